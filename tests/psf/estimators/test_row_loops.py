import numpy as np
import pytest
import torch

from psf.estimators import row_loops, taps

SIDE, KERNEL_PX = 7, 13
HALF, INNER = 3, 2


def draw(seed: int):
    """Cells about 1 px wide in the core and wider outside."""
    numbers = np.random.default_rng(seed)
    folded = numbers.random((1, taps.count_taps(SIDE)))
    angle = numbers.uniform(0, 2 * np.pi)
    return numbers, folded, np.array([[np.cos(angle), np.sin(angle), 0.4, 1.7, 1.2, 3.6]])


@pytest.mark.parametrize("seed", [0, 1])
def test_a_pixel_is_the_sum_over_the_laid_kernel(seed):
    numbers, folded, cells = draw(seed)
    picture = numbers.random((41, 41)).astype(np.float32)
    places = np.concatenate(([[20.0, 19.0]], cells), 1).astype(np.float32)
    row = row_loops.read_rows(np.pad(picture, row_loops.PAD), places, HALF, INNER)[0, :-1]
    kernel = row_loops.lay_cells(folded, cells, INNER, KERNEL_PX, 1)[0]
    half = KERNEL_PX // 2
    window = picture[19 - half : 20 + half, 20 - half : 21 + half][::-1, ::-1]
    # Single precision.
    assert row @ folded[0] == pytest.approx((window * kernel).sum(), rel=1e-5)


def test_cells_keep_their_light_on_any_grid():
    _, folded, cells = draw(2)
    light = folded[0] @ taps.multiplicity(SIDE).numpy()
    for oversample in (1, 2, 3):
        laid = row_loops.lay_cells(folded, cells, INNER, KERNEL_PX, oversample)
        assert laid.sum() == pytest.approx(light)


def test_fine_squares_add_up_to_pixels():
    _, folded, cells = draw(3)
    fine = row_loops.lay_cells(folded, cells, INNER, KERNEL_PX, 3)[0]
    coarse = row_loops.lay_cells(folded, cells, INNER, KERNEL_PX, 1)[0]
    np.testing.assert_allclose(fine.reshape(KERNEL_PX, 3, KERNEL_PX, 3).sum((1, 3)), coarse, atol=1e-12)


def test_a_cell_to_the_right_lies_above_after_a_quarter_turn():
    folded = torch.zeros(HALF + 1, SIDE)
    folded[0, -1] = 1
    cells = np.array([[0.0, 1, 0, 2.5, 2.5, 3.5]])
    kernel = row_loops.lay_cells(folded.reshape(1, -1).double().numpy(), cells, INNER, KERNEL_PX, 1)[0]
    assert kernel[KERNEL_PX // 2 - HALF, KERNEL_PX // 2] == pytest.approx(1)


def test_cells_fill_the_extent_and_grow_outside_the_core():
    width = row_loops.find_widths(np.array([1.5, 9.0]), np.array([8.0, 8.0]), 9, 5)
    np.testing.assert_allclose(width.sum(1) - 0.5 * width[:, 0], 8, rtol=1e-6)
    np.testing.assert_allclose(width[0, :6], 1.5 / 5.5)
    assert (np.diff(width[0, 5:]) > 0).all()
    np.testing.assert_allclose(width[1], 8 / 9.5)
