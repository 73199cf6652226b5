import dataclasses

import torch

from psf.captures import HeldPairs
from psf.estimators.networks.evening import fit_quick_levels


def with_light(captures, gains, fall_off):
    """The same pairs, exposed otherwise and darker towards the corners."""
    light = [gains[n] * torch.exp(fall_off * captures.radius(n) ** 2) for n in range(len(captures))]
    blurred = captures.blurred * torch.stack(light)[:, None].float()
    return dataclasses.replace(captures, source=HeldPairs(captures.sharp, blurred))


def test_equal_exposures_are_found_equal(captures):
    levels = fit_quick_levels(captures)
    # Sums under a window differ by what random light moves across it.
    assert torch.allclose(levels.gain, torch.ones(len(captures), dtype=torch.float64), atol=5e-3)
    assert not levels.fall_off.any()


def test_gains_and_fall_off_are_found(make):
    pairs = make(pairs=24, patch_px=60)
    gains = 1 + 0.1 * torch.rand(24, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    levels = fit_quick_levels(with_light(pairs, gains, -0.5))
    radius = torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64)
    powers = torch.stack((radius**2, radius**4))
    assert torch.allclose(levels.fall_off[0] @ powers, -0.5 * radius**2, atol=0.03)
    assert torch.allclose(levels.gain, gains, atol=0.03)


def test_pictures_smaller_than_a_window_have_a_gain(make):
    levels = fit_quick_levels(with_light(make(pairs=3, patch_px=12), torch.tensor([1.0, 2.0, 0.5]), 0.0))
    assert torch.allclose(levels.gain, torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64), rtol=0.05)
