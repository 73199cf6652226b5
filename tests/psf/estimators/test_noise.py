import pytest
import torch

from psf.estimators.noise import find_noise_variance


@pytest.mark.parametrize("sigma", [0.003, 0.02])
def test_noise_on_even_light_and_ramps_is_measured(sigma):
    g = torch.Generator().manual_seed(0)
    ramp = torch.linspace(0, 1, 128)[None, None, :] + torch.zeros(20, 128, 1)
    found = find_noise_variance(ramp + sigma * torch.randn(20, 128, 128, generator=g)) ** 0.5
    # The quantile of 2,000 squares is known to a few percent.
    assert found == pytest.approx(sigma, rel=0.06)


def test_no_picture_has_no_noise():
    assert find_noise_variance(torch.zeros(0, 32, 32)) == 0


def test_a_single_small_picture_is_not_noisier_than_many():
    g = torch.Generator().manual_seed(1)
    found = [find_noise_variance(0.01 * torch.randn(1, 40, 40, generator=g)) ** 0.5 for _ in range(40)]
    # Nine squares each: the mean of forty is known to 2 %, and the share that the least one has is a rule of thumb.
    assert sum(found) / 40 == pytest.approx(0.01, rel=0.08)


def test_pictures_too_small_to_tell_have_none():
    assert find_noise_variance(torch.rand(2, 3, 9, generator=torch.Generator().manual_seed(2))) == 0
