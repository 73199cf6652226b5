import numpy as np
import pytest
import torch

from psf import Captures
from psf.errors import InputError
from psf.estimators import row_loops
from psf.estimators.normal_equations import (
    HEIGHT_STEPS,
    View,
    add_pair,
    count_pixels,
    empty_sums,
    group_depths,
    lay_out,
    make_places,
    usable_pixels,
)

F64 = torch.float64


def small(patch: int = 14, kernel_px: int = 5) -> Captures:
    numbers = np.random.default_rng(0)
    sharp = numbers.random((3, patch + kernel_px - 1, patch + kernel_px - 1))
    blurred = numbers.random((3, patch, patch))
    return Captures.from_arrays(sharp, blurred, [3, 20, 9], [5, 2, 16], [0.5, 1.0, 0.5], (40, 50), kernel_px, 0.7)


def test_sums_are_those_of_plain_loops():
    captures, view, radii = small(), View(5, 5, 2), torch.tensor([0.0, 0.4, 1.0], dtype=F64)
    layout = lay_out(captures, radii, 10, view)
    sums = empty_sums(layout, 3)
    for n in range(3):
        add_pair(sums, captures, n, 0, view)
    slots = len(layout.slot_node)
    form = torch.zeros(slots, layout.taps, slots, layout.taps, dtype=F64)
    light = torch.zeros(slots, layout.taps, dtype=F64)
    for n in range(3):
        pixels = usable_pixels(captures, n, view)
        sharp = captures[n].sharp[0]
        picture = np.pad((sharp - sharp.mean()).numpy(), row_loops.PAD).astype(np.float32)
        rows = row_loops.read_rows(picture, make_places(captures, n, view, pixels).numpy(), 2, 2)[:, :-1]
        rows = torch.from_numpy(rows).double()
        for row, col, r, radius in zip(rows, *pixels[:3], strict=True):
            weight = torch.zeros(slots, dtype=F64)
            for slot in range(slots):
                if layout.slot_depth[slot] == layout.pair_depth[n]:
                    left = radii[int(layout.slot_node[slot])]
                    before = radius < 0.4
                    if left != (1.0 if before else 0.0):
                        share = radius / 0.4 if before else (radius - 0.4) / 0.6
                        share = (torch.floor(HEIGHT_STEPS * share) + 0.5) / HEIGHT_STEPS
                        weight[slot] = share if left == (0.4 if before else 1.0) else 1 - share
            both = weight[:, None] * row
            form += both[:, :, None, None] * both
            light += both * captures[n].blurred[0, int(r), int(col)]
    found = torch.zeros_like(form)
    for block, (a, b) in enumerate(zip(layout.block_left.tolist(), layout.block_right.tolist(), strict=True)):
        found[a, :, b] = sums.gram[block].double()
        found[b, :, a] = sums.gram[block].double()
    summed = torch.zeros_like(light).index_add(0, layout.part_slot, sums.light)
    # Single precision.
    torch.testing.assert_close(found, form, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(summed, light, atol=1e-3, rtol=1e-4)


def test_near_depths_are_taken_together_only_where_there_are_too_many():
    dioptres = torch.tensor([3.0, 1.0, 1.001, 2.0], dtype=F64)
    assert len(group_depths(dioptres, 10)[0]) == 4
    mean, groups = group_depths(dioptres, 3)
    torch.testing.assert_close(mean, torch.tensor([1.0005, 2, 3], dtype=F64))
    assert groups.tolist() == [2, 0, 0, 1]


def test_pairs_that_hold_no_turned_kernel_are_refused():
    numbers = np.random.default_rng(0)
    captures = Captures.from_arrays(
        numbers.random((1, 15, 15)), numbers.random((1, 1, 1)), 10, 30, 1.0, (40, 50), 15, 0.7
    )
    with pytest.raises(InputError, match="hold turned kernels of 15 px"):
        lay_out(captures, torch.tensor([0.0, 1.0], dtype=F64), 10, View(15, 15, 7))


def test_drawn_pixels_are_the_same_for_the_same_seed():
    captures, view, radii = small(), View(5, 5, 2), torch.tensor([0.0, 1.0], dtype=F64)
    layout = lay_out(captures, radii, 10, view)
    found = []
    for _ in range(2):
        sums = empty_sums(layout, 3)
        add_pair(sums, captures, 0, 0, view, most_pixels=20, generator=torch.Generator().manual_seed(5))
        found.append(sums)
    assert float(found[0].weight.sum()) == pytest.approx(20)
    assert torch.equal(found[0].gram, found[1].gram)


def test_pixels_are_counted_by_image_height():
    captures = small()
    counts = count_pixels(captures, 10)
    assert float(counts.sum()) == 3 * 14 * 14
    radius = torch.cat([captures.radius(n).reshape(-1) for n in range(3)])
    assert float(counts[3]) == float(((radius >= 0.3) & (radius < 0.4)).sum())


def test_pixels_of_rare_image_heights_are_drawn_more_often():
    captures, view, radii = small(), View(5, 5, 2), torch.tensor([0.0, 1.0], dtype=F64)
    layout = lay_out(captures, radii, 10, view)
    counts = torch.ones(10, dtype=F64)
    # As if the other pairs were full of the inner heights of pair 2.
    split = int(10 * usable_pixels(captures, 2, view)[2].median())
    counts[: split + 1] = 1e6
    squares = []
    for given in (None, counts):
        sums = empty_sums(layout, 3)
        options = {"pixel_counts": given, "generator": torch.Generator().manual_seed(5)}
        add_pair(sums, captures, 2, 0, view, most_pixels=20, **options)
        assert float(sums.weight.sum()) == pytest.approx(20)
        squares.append(float(sums.squares[:, 0].sum()))
    assert squares[1] > 1.2 * squares[0]
