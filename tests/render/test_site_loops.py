import itertools

import numpy as np
import pytest
import torch

from render.bayer import PATTERNS
from render.demosaicing import METHODS, find_taps, sum_slices
from render.site_loops import BAND_ROWS, THREADED_PX, spread_taps, sum_taps

CASES = list(itertools.product(PATTERNS, METHODS))
SHAPES = [(8, 10), (7, 9), (5, 4), (2 * BAND_ROWS + 3, 6)]


@pytest.mark.parametrize(("pattern", "method"), CASES)
@pytest.mark.parametrize("shape", SHAPES)
def test_loops_agree_with_tensor_operations(pattern, method, shape):
    padded = np.random.default_rng(1).standard_normal((3, shape[0] + 4, shape[1] + 4))
    taps = find_taps(pattern, method)
    want = sum_slices(torch.from_numpy(padded), taps).numpy()
    assert np.abs(sum_taps(padded, taps, 1) - want).max() < 1e-14
    assert np.abs(sum_taps(padded.astype(np.float32), taps, 1) - want).max() < 3e-6  # up to 11 terms of some 4


@pytest.mark.parametrize(("pattern", "method"), CASES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_transpose_is_the_transpose(pattern, method, shape):
    numbers = np.random.default_rng(2)
    padded, given = numbers.random((2, shape[0] + 4, shape[1] + 4)), numbers.random((2, 3, *shape))
    taps = find_taps(pattern, method)
    one = (sum_taps(padded, taps, 1) * given).sum()
    assert abs((padded * spread_taps(given, taps, 1)).sum() - one) < 1e-11 * abs(one)


def test_threads_do_not_change_a_bit():
    side = int(THREADED_PX**0.5) // 2 + 30
    numbers, taps = np.random.default_rng(3), find_taps("GRBG", "malvar")
    padded = numbers.random((4, side + 4, side + 4), np.float32)
    colours = sum_taps(padded, taps, 1)
    assert colours.size > 3 * THREADED_PX  # else there is one thread anyway
    assert (sum_taps(padded, taps, 2) == colours).all()
    assert (spread_taps(colours, taps, 2) == spread_taps(colours, taps, 1)).all()


def test_taps_cannot_be_changed():
    taps = find_taps("RGGB", "bilinear")
    with pytest.raises(ValueError, match="read-only"):
        taps.weights[0] = 2
    assert find_taps("RGGB", "bilinear") is taps
