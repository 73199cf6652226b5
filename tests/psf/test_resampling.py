import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from psf import InputError
from psf.resampling import apply_matrices, check_odd, crop, gaussian_matrix, overlap_matrix, renormalise

F64 = torch.float64


@given(size=st.integers(1, 12), scale=st.floats(0.1, 5), shift=st.floats(-1, 1))
def test_a_row_long_enough_receives_all_light(size, scale, shift):
    size_to = 2 * math.ceil(size * scale / 2 + abs(shift) + 1) + 1
    matrix = overlap_matrix(size, size_to, scale, shift)
    assert (matrix.sum(0) - 1).abs().max() < 1e-12
    assert matrix.min() >= 0


def test_overlaps_of_a_pixel_and_a_half_are_shared_by_area():
    matrix = overlap_matrix(1, 3, 1.5)
    assert matrix[:, 0].tolist() == pytest.approx([1 / 6, 2 / 3, 1 / 6])
    assert torch.equal(overlap_matrix(5, 5, 1.0), torch.eye(5, dtype=F64))


@pytest.mark.parametrize("sigma", [0.05, 0.3, 0.7, 2.0])
def test_a_gaussian_spread_adds_its_variance(sigma):
    matrix = gaussian_matrix(41, sigma)
    offset = torch.arange(41, dtype=F64) - 20
    share = matrix[:, 20]
    assert float(share.sum()) == pytest.approx(1, abs=1e-12)
    # Light uniform over a pixel and tallied at pixel centres has a sixth more than s^2. The ripple of that falls as
    # exp(-2 pi^2 s^2) and is nothing from half a pixel on.
    if sigma >= 0.7:
        assert float((share * offset**2).sum()) == pytest.approx(sigma**2 + 1 / 6, abs=2e-4)
    assert (matrix - matrix.T).abs().max() < 1e-13


def test_no_spread_is_the_identity_and_a_small_one_near_it():
    assert torch.equal(gaussian_matrix(5, 0.0), torch.eye(5, dtype=F64))
    assert (gaussian_matrix(5, 1e-4) - torch.eye(5, dtype=F64)).abs().max() < 1e-4


def test_rows_and_columns_are_treated_apart():
    kernels = torch.rand(2, 5, 5, dtype=F64, generator=torch.Generator().manual_seed(0))
    rows = torch.eye(5, dtype=F64).roll(1, 0)
    assert torch.equal(apply_matrices(kernels, rows, torch.eye(5, dtype=F64)), kernels.roll(1, 1))


def test_cropping_keeps_the_middle():
    kernel = torch.arange(25.0).reshape(5, 5)
    assert crop(kernel, 1).tolist() == [[12.0]]
    assert torch.equal(crop(kernel, 5), kernel)


def test_a_kernel_left_without_light_is_an_error():
    kernels = torch.zeros(2, 3, 3)
    kernels[0, 1, 1] = 2.0
    with pytest.raises(InputError, match="cropped: found a kernel without light"):
        renormalise(kernels, "cropped")
    unit, kept = renormalise(kernels[:1], "cropped")
    assert float(kept) == 2.0
    assert float(unit.sum()) == 1.0


@pytest.mark.parametrize("bad", [0, -3, 4, 3.0, True, None])
def test_sizes_are_odd_positive_integers(bad):
    with pytest.raises(InputError, match="kernel_px: found"):
        check_odd("kernel_px", bad)
