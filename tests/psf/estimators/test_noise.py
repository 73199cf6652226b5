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
