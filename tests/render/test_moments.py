import math

import numpy as np
import pytest
import torch

from psf import InputError
from render.moments import expected_moments, remove_rounding

F64 = torch.float64


@pytest.fixture(autouse=True)
def one_thread():
    """Small frames: threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def golden(root):
    with np.load(root / "tests" / "data" / "sensor_golden.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files if name[:2] in ("q_", "c_")}


def series(mean, sd, terms=40):
    """Mean and variance of a rounded Gaussian by its Fourier series, as the literature has it."""
    bias, variance = torch.zeros_like(mean), sd.square() + 1 / 12
    for k in range(1, terms):
        e, sign = torch.exp(-2 * (math.pi * k * sd).square()), (-1) ** k
        bias = bias + sign / (math.pi * k) * torch.sin(2 * math.pi * k * mean) * e
        variance = variance + sign * (4 * sd.square() + 1 / (math.pi * k) ** 2) * torch.cos(2 * math.pi * k * mean) * e
    return mean + bias, variance - bias.square()


def test_golden_moments_of_rounding(golden):
    mean, variance = expected_moments(golden["q_mu"], golden["q_sigma"])
    assert (mean - golden["q_mean"]).abs().max() < 1e-12
    assert (variance - golden["q_var"]).abs().max() < 1e-12


def test_golden_moments_of_clipping(golden):
    found = expected_moments(golden["c_mu"], golden["c_sigma"], low_dn=0, high_dn=1023, rounded=False)
    assert (found[0] - golden["c_mean"]).abs().max() < 1e-11
    # The table's variances are differences of squares of up to 1e6.
    assert (found[1] - golden["c_var"]).abs().max() < 1e-9


def test_moments_of_rounding_are_those_of_the_series():
    mean = torch.linspace(-3, 3, 241, dtype=F64)
    for sd in (0.15, 0.3, 0.7, 2.0):
        for found, want in zip(
            expected_moments(mean, torch.tensor(sd, dtype=F64)), series(mean, mean * 0 + sd), strict=True
        ):
            assert (found - want).abs().max() < 1e-12


@pytest.mark.parametrize("rounded", [False, True])
def test_moments_are_those_of_samples(rounded):
    mean, sd = torch.tensor([-1.0, 3.3, 14.0, 19.0], dtype=F64), torch.tensor([2.0, 3.0, 5.0, 0.4], dtype=F64)
    samples = mean + sd * torch.randn(400_000, 4, generator=torch.Generator().manual_seed(0), dtype=F64)
    clipped = (samples.round() if rounded else samples).clamp(0, 15)
    found = expected_moments(mean, sd, low_dn=0, high_dn=15, rounded=rounded)
    assert (found[0] - clipped.mean(0)).abs().max() < 0.04  # 5 standard errors of the widest
    assert (found[1] - clipped.var(0)).abs().max() < 0.2


def test_noise_of_no_width_is_its_mean():
    mean = torch.tensor([4.2, 700.0, -5.0], dtype=F64)
    for rounded, want in ((True, [4.0, 500.0, 0.0]), (False, [4.2, 500.0, 0.0])):
        found = expected_moments(mean, torch.zeros(3, dtype=F64), low_dn=0, high_dn=500, rounded=rounded)
        assert found[0].tolist() == pytest.approx(want, abs=1e-12)
        assert found[1].abs().max() < 1e-12


@pytest.mark.parametrize("pattern", [0.0, 0.05, 0.2, 0.4, 0.8, 3.0])
@pytest.mark.parametrize("mean", [64.0, 64.1, 64.25, 64.5])
def test_width_before_rounding_is_found_whatever_phase_and_pattern(mean, pattern):
    sd = torch.tensor([0.28, 0.43, 0.6, 0.9], dtype=F64)
    quantiles = torch.special.ndtri((torch.arange(20_001, dtype=F64) + 0.5) / 20_001)
    pixels = (mean + pattern * quantiles)[:, None].expand(-1, 4)
    means, variances = expected_moments(pixels, sd)
    found = remove_rounding(variances.mean(0), means.mean(0), means.std(0))
    assert (found / sd.square() - 1).abs().max() < 1e-3  # where 1/12 alone is wrong by up to 1.1
    if pattern == 0 and mean == 64.0:
        assert (variances.mean(0) - 1 / 12)[0] < 0


def test_broad_noise_loses_a_twelfth():
    found = remove_rounding(torch.tensor([1.0, 50.0], dtype=F64), torch.zeros(2, dtype=F64), torch.zeros(2, dtype=F64))
    assert found.tolist() == pytest.approx([1 - 1 / 12, 50 - 1 / 12], abs=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: expected_moments(torch.zeros(2), -torch.ones(2)), ["expected_moments", "deviations >= 0"]),
        (lambda: expected_moments(torch.tensor(math.nan), torch.ones(2)), ["finite means"]),
        (lambda: expected_moments(torch.zeros(2), torch.ones(2), low_dn=3, high_dn=3), ["low_dn", "3 with high_dn 3"]),
        (lambda: remove_rounding(torch.zeros(2), torch.zeros(3), torch.zeros(2)), ["remove_rounding", "(3,)"]),
    ],
)
def test_bad_input_is_named_in_one_line(call, words):
    with pytest.raises(InputError) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)
