"""Contrast against closed forms, and against sums over plain rays."""

import math
from dataclasses import replace

import pytest
import torch

import optics
from optics.analysis import find_spots
from optics.mtf import find_geometric_mtf, limit_mtf, pixel_mtf
from psf import Channel, InputError

LINE = (Channel("d", (optics.glass.LINE_D_UM,)),)


def moved(lens, way_mm):
    last = lens.surfaces[-1]
    return replace(lens, surfaces=(*lens.surfaces[:-1], replace(last, thickness_mm=last.thickness_mm + way_mm)))


def test_contrast_of_a_defocused_perfect_lens_is_that_of_a_disc():
    f_number, way_mm = 10.0, 0.2
    lens = moved(optics.load("asphere_planohyperbolic").refocused(math.inf).stopped_down(f_number), way_mm)
    frequencies = [float(f) for f in range(0, 150, 10)]
    found = find_geometric_mtf(lens, (0.0,), (math.inf,), frequencies, channels=LINE)
    x = 2 * math.pi * torch.tensor(frequencies, dtype=torch.float64) * way_mm / (2 * f_number)
    expected = torch.where(x == 0, 1.0, 2 * torch.special.bessel_j1(x) / x.clamp_min(1e-9)).abs()
    # Light is not quite even over the disc: the lens bends angles of 0.05, and that squared is 0.0025.
    assert torch.allclose(found.tangential[0, 0, 0, 0], expected, atol=3e-3)
    assert torch.allclose(found.sagittal[0, 0, 0, 0], expected, atol=3e-3)


@pytest.mark.parametrize("depth_m", [math.inf, 0.3])
def test_contrast_is_the_fourier_sum_over_plain_rays(depth_m):
    lens, frequencies = optics.load("cooke_triplet"), (0.0, 10.0, 40.0)
    found = find_geometric_mtf(lens, (0.5,), (depth_m,), frequencies, channels=LINE)
    spots = find_spots(lens, (0.5,), (depth_m,), LINE, rings=60)
    light = spots.light[0, 0, 0]
    for values, place in ((found.tangential, spots.x_um), (found.sagittal, spots.y_um)):
        phase = 2e-3 * math.pi * place[0, 0, 0, :, None] * torch.tensor(frequencies, dtype=torch.float64)
        plain = torch.hypot((light[:, None] * phase.cos()).sum(0), (light[:, None] * phase.sin()).sum(0))
        # Plain rays see the rim to a ring, 1.7 % of the radius.
        assert torch.allclose(values[0, 0, 0, 0], plain, atol=0.012)


def test_through_focus_is_what_lenses_with_moved_sensors_give():
    lens, ways = optics.load("f2.2_fixedfocus"), (-0.02, 0.0, 0.03)
    found = find_geometric_mtf(lens, (0.3,), (1.0,), (80.0,), channels=LINE, defocus_mm=ways)
    # The same rays on another plane; a moved sensor has other chief rays at its image height, hardly so for 0.03 mm.
    for z, way in enumerate(ways):
        single = find_geometric_mtf(moved(lens, way), (0.3,), (1.0,), (80.0,), channels=LINE)
        assert float(found.tangential[0, 0, z]) == pytest.approx(float(single.tangential), abs=0.02)
        assert float(found.sagittal[0, 0, z]) == pytest.approx(float(single.sagittal), abs=0.02)


def test_both_directions_agree_on_the_axis_and_begin_at_one():
    found = find_geometric_mtf(optics.load("f2.2_fixedfocus"), (0.0,), (0.5,), (0.0, 50.0))
    assert torch.allclose(found.tangential, found.sagittal, atol=1e-6)
    assert torch.allclose(found.tangential[..., 0], torch.ones(1, 1, 1, 3, dtype=torch.float64))


def test_limit_of_a_round_pupil():
    cut = 1e3 / (0.55 * 4.0)
    found = limit_mtf(torch.tensor([0.0, cut / 2, cut, 2 * cut], dtype=torch.float64), 0.55, 4.0)
    expected = 2 / math.pi * (math.acos(0.5) - 0.5 * math.sqrt(0.75))
    assert found.tolist() == pytest.approx([1.0, expected, 0.0, 0.0], abs=1e-12)


def test_pixel_and_limit_are_factors():
    lens = optics.load("cooke_triplet")
    frequencies = (0.0, 40.0, 90.0)
    plain = find_geometric_mtf(lens, (0.0,), (math.inf,), frequencies, channels=LINE)
    full = find_geometric_mtf(lens, (0.0,), (math.inf,), frequencies, channels=LINE, with_pixel=True, with_limit=True)
    pixel = pixel_mtf(plain.frequencies_per_mm, lens.sensor.pitch_um)
    assert torch.allclose(full.tangential, plain.tangential * plain.limit[:, None, None] * pixel)
    assert torch.allclose(full.limit, plain.limit * pixel)
    half = pixel_mtf(torch.tensor([500 / lens.sensor.pitch_um]), lens.sensor.pitch_um)
    assert float(half) == pytest.approx(2 / math.pi, rel=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda lens: find_geometric_mtf(lens, (0.0,), (), (1.0,)), "depths_m"),
        (lambda lens: find_geometric_mtf(lens, (0.0,), (-1.0,), (1.0,)), "depth_m"),
        (lambda lens: find_geometric_mtf(lens, (2.0,), (1.0,), (1.0,)), "radii"),
        (lambda lens: find_geometric_mtf(lens, (0.0,), (1.0,), (-1.0,)), "frequencies_per_mm"),
        (lambda lens: find_geometric_mtf(lens, (0.0,), (1.0,), ()), "frequencies_per_mm"),
        (lambda lens: find_geometric_mtf(lens, (0.0,), (1.0,), (1.0,), defocus_mm=(math.nan,)), "defocus_mm"),
        (lambda _: limit_mtf(torch.ones(1), -0.5, 2.0), "wavelength_um"),
        (lambda _: limit_mtf(torch.ones(1), 0.5, 0.0), "f_number"),
        (lambda _: pixel_mtf(torch.ones(1), 0.0), "pitch_um"),
    ],
)
def test_wrong_input_is_named(call, words):
    with pytest.raises(InputError, match=words):
        call(optics.load("singlet_biconvex_nbk7"))
