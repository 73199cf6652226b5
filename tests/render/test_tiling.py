"""How pictures are cut into tiles."""

import numpy as np
import pytest

from render.tiling import cut_axis, cut_picture, fast_length, smooth_length, tile_side


@pytest.mark.parametrize(("sensor", "first", "length"), [(512, 0, 512), (511, 0, 511), (4000, 1234, 300), (40, 12, 18)])
@pytest.mark.parametrize("side", [16, 64])
def test_tiles_cover_every_pixel_once_and_the_axis_is_a_border(sensor, first, length, side):
    axis = cut_axis(length, 0, 1, first, sensor, tile_side(sensor, side))
    pixels = [p for start, size in zip(axis.start, axis.size, strict=True) for p in range(start, start + size)]
    assert pixels == list(range(length))
    assert axis.largest <= side + 1
    centre = (sensor - 1) / 2 - first
    steps = (np.array(axis.border) - centre) / tile_side(sensor, side)
    assert np.abs(steps - steps.round()).max() < 1e-9
    for border, after, start in zip(axis.border, axis.border[1:], axis.start, strict=False):
        assert border <= start + 1e-9
        assert start < after


@pytest.mark.parametrize("form", ["gather", "scatter"])
@pytest.mark.parametrize("padding", ["reflect", "replicate", "zeros"])
def test_blocks_without_their_holes_cover_the_padded_picture_once(form, padding):
    blocks = cut_picture((70, 90), (100, 120), 9, (20, 10), form, padding, 16)
    covered = np.zeros((78, 98), dtype=int)
    for block in blocks:
        x0, y0 = block.canvas_xy
        for i, (y, h) in enumerate(zip(block.rows.start, block.rows.size, strict=True)):
            for j, (x, w) in enumerate(zip(block.cols.start, block.cols.size, strict=True)):
                hole_y, hole_x = block.hole
                if not (i in range(*hole_y.indices(10**6)) and j in range(*hole_x.indices(10**6))):
                    covered[y0 + y : y0 + y + h, x0 + x : x0 + x + w] += 1
    inner = covered[4:-4, 4:-4]
    assert (inner == 1).all()
    margin = covered.sum() - inner.sum()
    assert margin == (covered.size - inner.size if form == "scatter" and padding != "zeros" else 0)


@pytest.mark.parametrize(("least", "length"), [(88, 90), (128, 128), (7, 8), (97, 100)])
def test_transforms_have_only_small_factors(least, length):
    assert fast_length(least) == length


@pytest.mark.parametrize(("least", "length"), [(1, 1), (7, 8), (15, 15), (26, 27), (121, 125)])
def test_lengths_that_need_not_be_even_are_the_nearest_of_small_factors(least, length):
    assert smooth_length(least) == length
