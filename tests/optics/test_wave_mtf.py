"""Contrast with diffraction against the closed form, and against rays where waves do not matter."""

import math
from dataclasses import replace

import pytest
import torch

import optics
from optics.mtf import find_geometric_mtf
from optics.wave_mtf import find_diffraction_mtf
from psf import Channel, InputError

LINE = (Channel("d", (optics.glass.LINE_D_UM,)),)


def perfect():
    return optics.load("asphere_planohyperbolic").refocused(math.inf).stopped_down(10)


def test_a_perfect_lens_reaches_the_limit():
    frequencies = [float(f) for f in range(0, 200, 10)]  # to beyond the cut-off at 170 per mm
    found = find_diffraction_mtf(perfect(), (0.0,), (math.inf,), frequencies, channels=LINE)
    # The lens bends angles of 0.05, and that squared is 0.0025; the rim is soft by half a cell of 128.
    assert torch.allclose(found.tangential[0, 0, 0, 0], found.limit[0, 0], atol=3e-3)
    assert torch.allclose(found.sagittal[0, 0, 0, 0], found.limit[0, 0], atol=3e-3)
    assert float(found.tangential[0, 0, 0, 0, 0]) == pytest.approx(1.0)


def test_contrast_of_a_defocused_perfect_lens_is_hopkins():
    # Hopkins 1955 by plain sums: both shifted pupils overlap, and the path differs by 2 W20 x s there.
    frequencies, way_mm, sine, wave_mm = (2.0, 6.0, 14.0, 40.0), 1.2, 0.0498, 1e-3 * optics.glass.LINE_D_UM
    found = find_diffraction_mtf(perfect(), (0.0,), (math.inf,), frequencies, channels=LINE, defocus_mm=(way_mm,))
    axis = torch.linspace(-1, 1, 801, dtype=torch.float64)
    x, y = torch.meshgrid(axis, axis, indexing="ij")
    for place, frequency in enumerate(frequencies):
        s = frequency * wave_mm / sine
        overlap = ((x + s / 2) ** 2 + y**2 < 1) & ((x - s / 2) ** 2 + y**2 < 1)
        defocus = way_mm * sine**2 / (2 * wave_mm)
        plain = (torch.cos(4 * math.pi * defocus * s * x) * overlap).sum() / (x**2 + y**2 < 1).sum()
        for values in (found.tangential, found.sagittal):
            # 2.5 waves of defocus, of which the parabola leaves out 0.06 %; the rim is soft by half a cell.
            assert float(values[0, 0, 0, 0, place]) == pytest.approx(abs(float(plain)), abs=6e-3)


def test_far_from_focus_waves_and_rays_agree():
    # Blur of 120 um against an Airy disc of 7 um; rays know nothing of the ripples near its zeros.
    frequencies, way = (0.0, 2.0, 4.0, 6.0), (1.2,)
    wave = find_diffraction_mtf(perfect(), (0.0,), (math.inf,), frequencies, channels=LINE, defocus_mm=way)
    rays = find_geometric_mtf(perfect(), (0.0,), (math.inf,), frequencies, channels=LINE, defocus_mm=way)
    assert torch.allclose(wave.tangential, rays.tangential, atol=0.03)
    assert torch.allclose(wave.sagittal, rays.sagittal, atol=0.03)


@pytest.mark.parametrize("depth_m", [0.2, math.inf])
def test_off_the_axis_and_near_by_waves_and_rays_agree_at_low_frequencies(depth_m):
    # Below some tenth of the cut-off contrast is the spot's, and the limit costs what it costs a perfect lens.
    lens, frequencies = optics.load("f2.2_fixedfocus"), (5.0, 10.0, 20.0)
    wave = find_diffraction_mtf(lens, (0.5,), (depth_m,), frequencies, channels=LINE)
    rays = find_geometric_mtf(lens, (0.5,), (depth_m,), frequencies, channels=LINE, with_limit=True)
    assert torch.allclose(wave.tangential, rays.tangential, atol=0.03)
    assert torch.allclose(wave.sagittal, rays.sagittal, atol=0.03)


def test_colours_that_land_apart_cost_contrast():
    lens, frequencies = optics.load("f2.2_fixedfocus"), (100.0,)
    both = Channel("both", (0.45, 0.65))
    each = [Channel(str(w), (w,)) for w in both.wavelengths_um]
    mixed, apart = (
        find_diffraction_mtf(lens, (0.85,), (math.inf,), frequencies, channels=c).tangential for c in ([both], each)
    )
    assert float(mixed.max()) < float(apart.mean())


def test_a_blur_too_wide_for_waves_is_refused():
    with pytest.raises(InputError, match="geometric"):
        find_diffraction_mtf(optics.load("camera_rf50mm_f1p8"), (0.0,), (0.3,), (1.0,), channels=LINE)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda lens: find_diffraction_mtf(lens, (0.0,), (), (1.0,)), "depths_m"),
        (lambda lens: find_diffraction_mtf(lens, (2.0,), (1.0,), (1.0,)), "radii"),
        (lambda lens: find_diffraction_mtf(lens, (0.0,), (1.0,), (-1.0,)), "frequencies_per_mm"),
        (lambda lens: find_diffraction_mtf(lens, (0.0,), (1.0,), (1.0,), defocus_mm=()), "defocus_mm"),
        (lambda lens: find_diffraction_mtf(replace(lens), (0.0,), (0.0,), (1.0,)), "depth_m"),
    ],
)
def test_wrong_input_is_named(call, words):
    with pytest.raises(InputError, match=words):
        call(optics.load("singlet_biconvex_nbk7"))
