import numpy as np
import pytest
import torch

from psf.estimators import row_loops, taps

SIDE, KERNEL_PX = 5, 9


def draw(seed: int):
    numbers = np.random.default_rng(seed)
    folded = numbers.random((1, taps.count_taps(SIDE)))
    angle = numbers.uniform(0, 2 * np.pi)
    return numbers, folded, np.array([[np.cos(angle), np.sin(angle), 0.4, 0.7, 0.5]])


@pytest.mark.parametrize("seed", [0, 1])
def test_a_pixel_is_the_sum_over_the_laid_kernel(seed):
    numbers, folded, cells = draw(seed)
    picture = numbers.random((31, 31)).astype(np.float32)
    places = np.concatenate(([[15.0, 14.0]], cells), 1).astype(np.float32)
    row = row_loops.read_rows(np.pad(picture, row_loops.PAD), places, SIDE // 2, 1)[0, :-1]
    kernel = row_loops.lay_cells(folded, cells, KERNEL_PX, 1)[0]
    half = KERNEL_PX // 2
    window = picture[14 - half : 15 + half, 15 - half : 16 + half][::-1, ::-1]
    # Single precision.
    assert row @ folded[0] == pytest.approx((window * kernel).sum(), abs=2e-5)


def test_cells_keep_their_light_on_any_grid():
    _, folded, cells = draw(2)
    light = folded[0] @ taps.multiplicity(SIDE).numpy()
    for oversample in (1, 2, 3):
        assert row_loops.lay_cells(folded, cells, KERNEL_PX, oversample).sum() == pytest.approx(light)


def test_fine_squares_add_up_to_pixels():
    _, folded, cells = draw(3)
    fine = row_loops.lay_cells(folded, cells, KERNEL_PX, 3)[0]
    coarse = row_loops.lay_cells(folded, cells, KERNEL_PX, 1)[0]
    np.testing.assert_allclose(fine.reshape(KERNEL_PX, 3, KERNEL_PX, 3).sum((1, 3)), coarse, atol=1e-12)


def test_a_cell_to_the_right_lies_above_after_a_quarter_turn():
    folded = torch.zeros(SIDE // 2 + 1, SIDE)
    folded[0, -1] = 1
    kernel = row_loops.lay_cells(folded.reshape(1, -1).double().numpy(), np.array([[0.0, 1, 0, 1, 1]]), KERNEL_PX, 1)[0]
    assert kernel[KERNEL_PX // 2 - SIDE // 2, KERNEL_PX // 2] == pytest.approx(1)


def test_threads_change_nothing():
    numbers = np.random.default_rng(4)
    picture = numbers.random((30, 30)).astype(np.float32)
    places = np.tile(np.array([[15, 15, 1, 0, 0, 1, 1]], dtype=np.float32), (7, 1))
    places[:, :2] += numbers.random((7, 2))
    one, two = (row_loops.read_rows(picture, places, SIDE // 2, n)[:, :-1] for n in (1, 2))
    np.testing.assert_array_equal(one, two)
