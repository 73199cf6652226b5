"""Contrast behind a kernel against closed forms."""

import math

import pytest
import torch

from psf import InputError
from psf.contrast import find_mtf

F64 = torch.float64
FREQUENCIES = torch.linspace(0, 0.5, 11, dtype=F64)


def gauss(sigma_x, sigma_y, size=41):
    offset = torch.arange(size, dtype=F64) - size // 2
    return torch.exp(-0.5 * (offset / sigma_y) ** 2)[:, None] * torch.exp(-0.5 * (offset / sigma_x) ** 2)


def test_a_gaussian_keeps_its_transform_along_and_across():
    found = find_mtf(gauss(2.0, 1.5), FREQUENCIES)
    assert found.shape == (11, 2)
    for column, sigma in enumerate((2.0, 1.5)):
        expected = torch.exp(-2 * (math.pi * sigma * FREQUENCIES) ** 2)
        # Sampled, so that at Nyquist the mirrored spectrum adds its own.
        assert (found[:, column] - expected).abs().max() < 1e-4


def test_a_point_keeps_all_contrast_wherever_it_lies():
    kernel = torch.zeros(9, 9, dtype=F64)
    kernel[2, 7] = 3.0
    assert torch.allclose(find_mtf(kernel, FREQUENCIES, 0.7), torch.ones(11, 2, dtype=F64))


def test_outwards_is_counter_clockwise_on_the_upright_picture():
    streak = torch.zeros(9, 9, dtype=F64)
    for step in range(-3, 4):
        streak[4 - step, 4 + step] = 1.0  # towards the upper right
    tangential, sagittal = find_mtf(streak, FREQUENCIES, math.pi / 4).unbind(-1)
    assert torch.allclose(sagittal, torch.ones(11, dtype=F64))
    assert tangential[5] < 0.5
    assert torch.allclose(find_mtf(streak, FREQUENCIES, -math.pi / 4), torch.stack((sagittal, tangential), -1))


def test_batches_carry_their_azimuths():
    kernels = torch.stack([gauss(2.0, 1.0), gauss(2.0, 1.0)])[:, None]
    found = find_mtf(kernels, FREQUENCIES, torch.tensor([[0.0], [math.pi / 2]], dtype=F64))
    assert found.shape == (2, 1, 11, 2)
    assert torch.allclose(found[0].flip(-1), found[1])


@pytest.mark.parametrize(
    ("kernels", "frequencies", "azimuth", "words"),
    [
        (torch.ones(4, 4), FREQUENCIES, 0.0, "odd K"),
        (torch.ones(3, 3), torch.tensor([0.2, 0.75]), 0.0, r"frequencies_per_px: found 0\.75"),
        (torch.ones(3, 3), FREQUENCIES, math.nan, "azimuth_rad"),
    ],
)
def test_wrong_input_is_named(kernels, frequencies, azimuth, words):
    with pytest.raises(InputError, match=words):
        find_mtf(kernels, frequencies, azimuth)
