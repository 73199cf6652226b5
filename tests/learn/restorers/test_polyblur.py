import math

import numpy as np
import pytest
import torch

from learn.restorers.polyblur import (
    GaussianBlur,
    PolyBlur,
    differentiate,
    estimate_blur,
    reblur,
    remove_halos,
    restore_polyblur,
)
from psf import InputError

F64 = torch.float64


@pytest.fixture(scope="module")
def golden(shared):
    with np.load(shared / "golden" / "deblur_a.npz") as file:
        return {n.removeprefix("polyblur__"): torch.from_numpy(v) for n, v in file.items() if n.startswith("poly")}


def test_both_rounds_are_the_tabled_ones(golden):
    picture = golden["input"].permute(2, 0, 1)[None].double() / 255
    for number in (0, 1):
        blur = estimate_blur(picture)
        assert (blur.steepest[0] - golden[f"f{number}"]).abs().max() < 1e-10
        assert (blur.steepest_fine[0] - golden[f"fi{number}"]).abs().max() < 1e-10
        for name in ("theta_rad", "sigma_px", "rho_px"):
            assert abs(getattr(blur, name)[0] - golden[f"{name.split('_')[0]}{number}"]) < 1e-10
        if number == 0:
            assert (blur.kernels()[0] - golden["kernel0"]).abs().max() < 1e-10
            sharp = reblur(picture, blur.kernels())
            assert (sharp[0].permute(1, 2, 0) - golden["deconv0"]).abs().max() < 1e-6  # stored in float32
        picture = restore_polyblur(picture, PolyBlur(rounds=1))
        if number == 0:
            assert (picture[0].permute(1, 2, 0) - golden["out0"]).abs().max() < 1e-6
    assert (picture[0].mean((1, 2)) - golden["out1_mean"]).abs().max() < 1e-10
    assert (picture[0].permute(1, 2, 0)[24:40, 30:46] - golden["out1_window"]).abs().max() < 1e-10


def test_single_precision_is_close(golden):
    picture = golden["input"].permute(2, 0, 1)[None].double() / 255
    single = restore_polyblur(picture.float(), PolyBlur(rounds=2))
    assert (single - restore_polyblur(picture, PolyBlur(rounds=2))).abs().max() < 1e-4


def gaussian(sigma_px, rho_px, theta_deg):
    one = torch.tensor([1.0], dtype=F64)
    return GaussianBlur(one, one, one * math.radians(theta_deg), one * sigma_px, one * rho_px)


def edges(side=96):
    """Black and white sectors: edges in every direction."""
    y, x = torch.meshgrid(*[torch.arange(side, dtype=F64) - side / 2 + 0.3] * 2, indexing="ij")
    return ((torch.atan2(-y, x) * 12 / math.pi).floor() % 2)[None, None]


def blurred_edges(sigma_px, rho_px, theta_deg):
    kernel = gaussian(sigma_px, rho_px, theta_deg).kernels()[:, None]
    return torch.nn.functional.conv2d(torch.nn.functional.pad(edges(), (12,) * 4, mode="replicate"), kernel)


@pytest.mark.parametrize("theta_deg", [0, 30, 90, 120])
def test_the_direction_of_the_strongest_blur_is_found(theta_deg):
    blur = estimate_blur(blurred_edges(2.5, 1.0, theta_deg))
    apart = (math.degrees(blur.theta_rad) - theta_deg + 90) % 180 - 90
    assert abs(apart) <= 12  # two steps of the fine angles
    assert blur.sigma_px > 1.5 * blur.rho_px


def test_more_blur_gives_larger_estimates():
    found = [float(estimate_blur(blurred_edges(s, s, 0)).sigma_px) for s in (0.8, 1.5, 2.5)]
    assert found == sorted(found)
    assert abs(found[2] / 2.5 - 1) < 0.2  # edges of half a sector are narrower than the constant assumes


def test_a_kernel_lies_along_its_direction_counter_clockwise():
    kernel = gaussian(3, 1, 45).kernels()[0]
    assert kernel[12 - 4, 12 + 4] > 10 * kernel[12 + 4, 12 + 4]  # up and to the right
    assert abs(kernel.sum() - 1) < 1e-12


def test_a_mild_blur_is_undone():
    sharp, soft = edges(), blurred_edges(1.2, 1.2, 0)
    restored = restore_polyblur(soft, PolyBlur(rounds=1))
    assert (restored - sharp).square().mean() < 0.8 * (soft - sharp).square().mean()


def test_a_constant_picture_stays_and_so_does_one_without_rounds():
    flat = torch.full((2, 3, 30, 40), 0.4, dtype=F64)
    assert (restore_polyblur(flat) - flat).abs().max() < 1e-12
    assert restore_polyblur(edges(), PolyBlur(rounds=0)).equal(edges())


def test_the_polynomial_keeps_light_and_inverts_to_third_order():
    kernels = gaussian(0.5, 0.5, 0).kernels()
    picture = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0), dtype=F64)
    transfer = torch.linspace(0.9, 1, 5, dtype=F64)
    a3, a2, a1, a0 = 4, -9, 5, 1
    assert (((a3 * transfer + a2) * transfer + a1) * transfer + a0 - 1 / transfer).abs().max() < 0.016
    assert abs(reblur(picture, kernels).mean() / picture.mean() - 1) < 0.01


def test_slopes_are_those_of_a_cosine():
    x = torch.arange(40, dtype=F64)
    picture = torch.cos(math.pi * 6 * (x + 0.5) / 40)[None, :].expand(30, 40)
    slope_x, slope_y = differentiate(picture)
    wanted = -math.pi * 6 / 40 * torch.sin(math.pi * 6 * (x + 0.5) / 40)
    assert (slope_x - wanted).abs().max() < 1e-12
    assert slope_y.abs().max() < 1e-12


def test_a_slope_that_was_turned_round_is_taken_back():
    x = torch.cos(math.pi * torch.arange(40, dtype=F64) / 40)[None, None, None].expand(1, 1, 20, 40)
    assert (remove_halos(x, 3 * x) - 3 * x).abs().max() < 1e-12
    turned = remove_halos(x, -9 * x)  # M = 9 g, so 9/10 of what it was
    inner = (..., slice(5, 35))
    assert (turned[inner] - (0.9 * x - 0.9 * x)[inner]).abs().max() < 1e-9


def test_noise_is_sharpened_less_where_it_is_split_off():
    own = torch.Generator().manual_seed(0)
    soft = 0.25 + 0.5 * blurred_edges(1.5, 1.5, 0)
    noise = 0.02 * torch.randn(soft.shape, generator=own, dtype=F64)
    rough = []
    for split in (False, True):
        settings = PolyBlur(rounds=1, split_noise=split)
        rough.append((restore_polyblur(soft + noise, settings) - restore_polyblur(soft, settings)).std())
    assert rough[1] < 0.95 * rough[0]


def test_a_batch_is_its_pictures_one_by_one():
    both = torch.cat([blurred_edges(1, 1, 0), blurred_edges(3, 1, 60)])
    single = torch.cat([restore_polyblur(one) for one in both.split(1)])
    assert (restore_polyblur(both) - single).abs().max() < 1e-12


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: restore_polyblur(torch.zeros(3, 8, 8)), "srgb: found shape (3, 8, 8)"),
        (lambda: restore_polyblur(torch.zeros(1, 3, 1, 8)), "at least 2 px"),
        (lambda: restore_polyblur(torch.zeros(1, 3, 8, 8, dtype=torch.uint8)), "torch.uint8"),
        (lambda: restore_polyblur(torch.full((1, 3, 8, 8), torch.nan)), "NaN"),
        (lambda: PolyBlur(rounds=-1), "PolyBlur.rounds: found -1"),
        (lambda: PolyBlur(quantile=0.5), "PolyBlur.quantile: found 0.5"),
        (lambda: PolyBlur(alpha=math.inf), "PolyBlur.alpha: found inf"),
    ],
)
def test_bad_input_is_named_in_one_line(call, words):
    with pytest.raises(InputError) as caught:
        call()
    assert words in str(caught.value)
