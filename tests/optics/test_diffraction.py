import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import j0, j1, jn_zeros

import optics
from optics.diffraction import diffract, find_pattern, find_pixel_rule
from optics.disc import DiscNodes
from optics.pupil import chief_rays, dioptre_per_mm
from optics.wave_maps import map_wavefronts
from optics.wavefront import find_wavefront
from psf.errors import InputError

F64 = torch.float64
with np.load(Path(__file__).parents[1] / "data" / "diffraction.npz") as TABLES:
    META = json.loads(str(TABLES["meta"]))
    ARRAYS = {key: TABLES[key].astype(np.float64) for key in TABLES.files if key != "meta"}
SHIPPED = [(n, c) for n, cases in META.items() for c in cases if f"{n}_pixel_{c['case']:02d}" in ARRAYS]


def stopped(name, semi_mm):
    lens = optics.load(name)
    if semi_mm is None:
        return lens
    surfaces, stop = list(lens.surfaces), lens.stop_surface - 1
    surfaces[stop] = replace(surfaces[stop], semi_aperture_mm=torch.tensor(semi_mm, dtype=F64))
    return replace(lens, surfaces=tuple(surfaces))


def light(lens, radius, depth_m, wavelength_um, *, pixels, pixel_um=None, azimuth_rad=0.0, method="fft", fineness=1.0):
    """Share of the light in every pixel."""
    chief, depth_mm = chief_rays(lens, torch.tensor([radius], dtype=F64)), torch.tensor([1e3 * depth_m], dtype=F64)
    maps = map_wavefronts(lens, chief, depth_mm, np.array([wavelength_um]), DiscNodes(16, 24), depth_nodes=1)
    found, power = diffract(
        maps,
        0,
        np.ones((1, 1)),
        np.ones(1),
        dioptre_per_mm(chief.crossing_mm, depth_mm).numpy(),
        wavelength_um,
        azimuth_rad=azimuth_rad,
        pixel_um=pixel_um or lens.sensor.pitch_um,
        pixels=pixels,
        method=method,
        fineness=fineness,
    )
    return (found[0] / power[0]).numpy()


def l1(a, b):
    return 0.5 * np.abs(a / a.sum() - b / b.sum()).sum()


def of_case(name, case, **options):
    depth_m = math.inf if case["depth_mm"] is None else 1e-3 * case["depth_mm"]
    lens, azimuth_rad = stopped(name, case["stop_semi_aperture_mm"]), math.radians(case["azimuth_deg"])
    return lens, case["radius_fraction"], depth_m, 1e-3 * case["wavelength_nm"], {"azimuth_rad": azimuth_rad}


@pytest.mark.parametrize(("name", "case"), SHIPPED)
def test_kernels_agree_with_exact_debye_sums(name, case):
    lens, radius, depth_m, wave, options = of_case(name, case)
    truth = ARRAYS[f"{name}_pixel_{case['case']:02d}"]
    size, per_px = len(truth), round(case["pitch_um"] / case["fine_step_um"])
    found = light(lens, radius, depth_m, wave, pixels=size, **options)
    # The table takes the middle of 3 to 9 cells per pixel for their mean; that alone is an L1 of up to 0.006.
    assert l1(found, truth) < 0.007
    # Summed by the same rule both agree to what the table's own sampling leaves.
    step_um = case["fine_step_um"]
    fine = find_pattern(lens, radius, depth_m, wavelength_um=wave, step_um=step_um, samples=size * per_px, **options)
    cells = fine.numpy().reshape(size, per_px, size, per_px)
    assert l1(cells.mean((1, 3)), truth) < 5e-4
    assert abs(found.sum() - case["energy_inside_window"]) < 3e-4


@pytest.mark.parametrize(("name", "case"), SHIPPED)
def test_patterns_agree_with_exact_debye_sums_point_by_point(name, case):
    lens, radius, depth_m, wave, options = of_case(name, case)
    truth = ARRAYS[f"{name}_fine_{case['case']:02d}"]
    found = find_pattern(
        lens, radius, depth_m, wavelength_um=wave, step_um=case["fine_step_um"], samples=len(truth), **options
    )
    assert np.abs(found.numpy() - truth).max() < 5e-4
    assert float(found.max()) == pytest.approx(case["strehl_peak"], abs=2e-3)


def airy(radius_um, wavelength_um, sine):
    v = 2 * math.pi / wavelength_um * sine * np.maximum(radius_um, 1e-12)
    return (2 * j1(v) / v) ** 2


@pytest.fixture(scope="module")
def perfect():
    """A lens without aberration whose aperture is so small that its amplitude is flat to 1e-5, and its sine."""
    lens = optics.load("asphere_planohyperbolic").stopped_down(40.0)
    semi = lens.surfaces[lens.stop_surface - 1].semi_aperture_mm
    rim = optics.Rays(
        torch.stack([0 * semi, semi * (1 - 1e-12), 0 * semi - 1]), torch.tensor([0.0, 0.0, 1.0], dtype=F64), 0.5875618
    )
    sine = float(optics.trace(lens, rim).direction[1].abs())
    facts = optics.first_order(lens)
    assert sine == pytest.approx(float(facts.entrance_pupil_semi_diameter_mm / facts.efl_mm), rel=1e-3)
    return lens, sine


def test_a_perfect_lens_draws_the_airy_pattern(perfect):
    lens, sine = perfect
    wave = lens.reference_wavelength_um
    pattern = find_pattern(lens, 0.0, math.inf, step_um=2.0, samples=121).numpy()
    at = 2.0 * (np.arange(121) - 60)
    assert np.abs(pattern - airy(np.hypot(at, at[:, None]), wave, sine)).max() < 1e-4
    # First zero: where the field changes its sign.
    zero_um = jn_zeros(1, 1)[0] / (2 * math.pi / wave * sine)
    line = find_pattern(lens, 0.0, math.inf, step_um=zero_um / 200, samples=441).numpy()[220, 220:]
    steps = np.arange(-10, 11)
    field = -np.sign(steps) * np.sqrt(line[190:211])
    crossing = np.roots(np.polyfit(steps[steps != 0], field[steps != 0], 4))
    nearest = crossing[np.abs(crossing).argmin()].real
    assert nearest / 200 == pytest.approx(0, abs=1e-4)
    assert line[200] < 1e-7


def test_energy_encircled_by_a_perfect_lens_is_rayleighs(perfect):
    lens, sine = perfect
    wave = lens.reference_wavelength_um
    kernel = light(lens, 0.0, math.inf, wave, pixels=301, pixel_um=2.0)
    at = 2.0 * (np.arange(301) - 150)
    # 1 - J0^2 - J1^2 within a circle; compared as the integral over pixels of the analytic pattern in a square.
    fine = (np.arange(301 * 8) - (301 * 8 - 1) / 2) / 4
    k = 2 * math.pi / wave * sine
    whole = airy(np.hypot(fine, fine[:, None]), wave, sine) * (k * k / (4 * math.pi)) / 16
    for half in (5, 10, 30, 100, 150):
        inside = kernel[150 - half : 151 + half, 150 - half : 151 + half].sum()
        cut = slice((150 - half) * 8, (151 + half) * 8)
        assert inside == pytest.approx(whole[cut, cut].sum(), abs=1e-4)
    # Rayleigh's rings, by pixels whose middles lie inside: their staircase limits it.
    for radius_um in (60.0, 150.0):
        v = k * radius_um
        inside = kernel[np.hypot(at, at[:, None]) < radius_um].sum()
        assert inside == pytest.approx(1 - j0(v) ** 2 - j1(v) ** 2, abs=2e-3)


@pytest.mark.parametrize(("radius", "depth_m"), [(0.0, math.inf), (0.6, 0.3), (1.0, math.inf)])
@pytest.mark.parametrize("azimuth_rad", [0.0, 2.2])
def test_the_grid_of_directions_gives_what_every_ray_gives(radius, depth_m, azimuth_rad):
    lens = optics.load("phone_us9651759")
    fast, plain = (
        light(lens, radius, depth_m, 0.55, pixels=21, azimuth_rad=azimuth_rad, method=m) for m in ("fft", "huygens")
    )
    assert np.abs(fast - plain).max() < 1e-6 * plain.max()


def wavelets(lens, radius, wavelength_um, at_um):
    """Huygens with spherical wavelets from the reference sphere to points (N, 2) of the sensor: intensity."""
    front = find_wavefront(lens, radius, math.inf, wavelength_um)
    n = (1 - front.direction.square().sum(1, keepdim=True)).sqrt()
    towards = torch.cat([front.direction, n], 1)
    source = -front.sphere_radius_mm * towards
    q = torch.cat([at_um * 1e-3, torch.zeros(len(at_um), 1, dtype=F64)], 1) - torch.tensor(
        [float(front.chief_mm), 0.0, 0.0], dtype=F64
    )
    way = (q[:, None] - source).norm(dim=2) - front.sphere_radius_mm
    phase = 2 * math.pi * (front.focal_opd_waves + way / (1e-3 * wavelength_um))
    return (front.amplitude * phase.cos()).sum(1) ** 2 + (front.amplitude * phase.sin()).sum(1) ** 2


def test_plane_waves_give_what_spherical_wavelets_give():
    lens = optics.load("phone_us9651759")
    pattern = find_pattern(lens, 0.5, math.inf, step_um=0.5, samples=21)
    at = 0.5 * (torch.arange(21, dtype=F64) - 10)
    points = torch.stack(torch.meshgrid(at, -at, indexing="xy"), -1).reshape(-1, 2)
    found = wavelets(lens, 0.5, lens.reference_wavelength_um, points).reshape(21, 21)
    # Curved waves differ by k (NA r)^2 / 2 R: hundredths of a radian at 5 um.
    assert (found - pattern).abs().max() < 5e-3


@pytest.mark.parametrize(("per_px", "band"), [(2, 0.8), (3, 1.1), (14, 5.5)])
def test_pixel_rules_are_the_integrals_over_pixels(per_px, band):
    rule = find_pixel_rule(9, per_px, band)
    pixels = np.arange(9) - 4
    for frequency in (0.0, 0.3 * band, 0.9 * band, band):
        wave = np.exp(2j * np.pi * frequency * rule.places_px)
        assert np.abs(rule.matrix @ wave - np.sinc(frequency) * np.exp(2j * np.pi * frequency * pixels)).max() < 1e-5


def test_light_within_and_beyond_the_window_is_all_light():
    lens = optics.load("phone_us9651759")
    small = light(lens, 0.6, 0.3, 0.55, pixels=51)
    large = light(lens, 0.6, 0.3, 0.55, pixels=301)
    middle = large[125:176, 125:176]
    assert np.abs(middle - small).max() < 1e-8
    assert small.sum() < large.sum() < 1
    # What is left falls like the reach: six times as wide, six times less.
    assert 1 - large.sum() == pytest.approx((1 - small.sum()) / 6, rel=0.25)


def test_finer_sampling_changes_nothing():
    lens = optics.load("phone_us9651759")
    for radius, depth_m in ((0.0, 0.2), (0.7, math.inf)):
        own, finer = (light(lens, radius, depth_m, 0.5, pixels=41, fineness=f) for f in (1.0, 2.0))
        assert np.abs(own - finer).sum() < 1e-5


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"step_um": 0.0, "samples": 5}, "step_um"),
        ({"step_um": 1.0, "samples": 4}, "samples"),
        ({"step_um": 1.0, "samples": 5, "method": "ray"}, "method"),
    ],
)
def test_arguments_out_of_range_are_named(options, named):
    with pytest.raises(InputError, match=named):
        find_pattern(optics.load("cooke_triplet"), 0.5, math.inf, **options)
