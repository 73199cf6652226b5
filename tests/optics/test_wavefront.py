import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import optics
from optics.disc import DiscNodes
from optics.pupil import bundle_rays, chief_rays, dioptre_per_mm
from optics.wave_maps import L, M, map_wavefronts
from optics.wavefront import find_wavefront, gauss_points, sub_rays
from psf.errors import InputError

F64 = torch.float64
META = json.loads(str(np.load(Path(__file__).parents[1] / "data" / "diffraction.npz")["meta"]))
CASES = [(name, case) for name, cases in META.items() for case in cases]


def lens_of(name, case):
    lens = optics.load(name)
    if case["stop_semi_aperture_mm"] is None:
        return lens
    surfaces, stop = list(lens.surfaces), lens.stop_surface - 1
    closed = torch.tensor(case["stop_semi_aperture_mm"], dtype=F64)
    surfaces[stop] = replace(surfaces[stop], semi_aperture_mm=closed)
    return replace(lens, surfaces=tuple(surfaces))


def wavefront_of(name, case, **options):
    depth_m = math.inf if case["depth_mm"] is None else 1e-3 * case["depth_mm"]
    wave = 1e-3 * case["wavelength_nm"]
    return find_wavefront(lens_of(name, case), case["radius_fraction"], depth_m, wave, **options)


@pytest.mark.parametrize(("name", "case"), CASES)
def test_wavefronts_agree_with_the_independent_tables(name, case):
    found = wavefront_of(name, case)
    # The tables change by up to 2e-4 waves and 6e-4 of Strehl when their sampling is halved.
    assert abs(float(found.rms_waves) - case["rms_waves"]) < 1e-4
    assert abs(float(found.rms_waves_tilt_removed) - case["rms_waves_tilt_removed"]) < 1e-4
    assert abs(float(found.strehl) - case["strehl_at_chief_point"]) < 5e-4
    assert found.sphere_radius_mm == pytest.approx(case["reference_sphere_radius_mm"], abs=1e-8)


def test_path_differences_agree_with_the_tables_ray_by_ray(reference):
    with np.load(reference / "diffraction" / "phone_us9651759.npz") as file:
        for case in META["phone_us9651759"]:
            if case["azimuth_deg"]:
                continue
            l, m, opd = (torch.from_numpy(t.astype(np.float64)) for t in file[f"wavefront_{case['case']:02d}"])
            found = wavefront_of("phone_us9651759", case)
            # Both as smooth functions of (l, m): polynomials fitted to ours, read at the table's rays.
            ours, theirs = found.direction, torch.stack([l, m], 1)
            middle, size = ours.mean(0), (ours.max(0).values - ours.min(0).values) / 2
            # The table counts its direction cosines in the lens frame, which is ours turned by half a turn.
            theirs = -theirs
            design, read = (powers((t - middle) / size, 20) for t in (ours, theirs))
            fitted = torch.linalg.lstsq(design, found.opd_waves[:, None]).solution
            apart = (read @ fitted)[:, 0] - opd
            # At the very rim the polynomial between the two goes astray by some thousandths.
            assert apart.square().mean().sqrt() < 1e-3, case["case"]
            assert apart.abs().max() < 0.01, case["case"]


def powers(points, degree):
    x, y = points.unbind(1)
    terms = [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)]
    return torch.stack([chebyshev(x, i) * chebyshev(y, j) for i, j in terms], 1)


def chebyshev(x, n):
    return torch.special.chebyshev_polynomial_t(x, n)


def test_zernikes_of_a_full_pupil_square_up_to_the_rms():
    found = wavefront_of("phone_us9651759", META["phone_us9651759"][0])
    coefficients = found.zernikes(37)
    # A flat amplitude over the stop makes them independent; beyond 37 little is left.
    assert float(coefficients[1:].norm()) == pytest.approx(float(found.rms_waves), abs=1e-3)
    # On the axis only polynomials without an angle are there.
    turning = [j for j in range(1, 37) if j + 1 not in (4, 11, 22, 37)]
    assert coefficients[turning].abs().max() < 1e-3


def test_defocus_has_the_size_that_the_f_number_says():
    lens = optics.load("asphere_planohyperbolic").stopped_down(20.0)
    last, moved_mm = lens.surfaces[-1], 0.5
    moved = replace(lens, surfaces=(*lens.surfaces[:-1], replace(last, thickness_mm=last.thickness_mm + moved_mm)))
    before, after = (find_wavefront(one, 0.0, math.inf) for one in (lens, moved))
    # dz / (8 N^2) from middle to rim; a balanced parabola has 1 / (2 sqrt 3) of that as RMS, which is Noll's fourth.
    # Seen from the pupil, whose distance the sphere has as its radius, that is a little less.
    moved_mm *= before.sphere_radius_mm / after.sphere_radius_mm
    expected = 1e3 * moved_mm / (8 * 20.0**2) / lens.reference_wavelength_um / (2 * math.sqrt(3))
    assert abs(float((after.zernikes(11) - before.zernikes(11))[3])) == pytest.approx(expected, rel=2e-3)
    assert float(before.strehl) == pytest.approx(1, abs=1e-6)


def test_gradients_of_the_rms_are_its_differences():
    lens = optics.load("cooke_triplet").stopped_down(8.0)

    def rms(thickness_mm, gradient=False):
        surfaces = list(lens.surfaces)
        surfaces[1] = replace(surfaces[1], thickness_mm=thickness_mm)
        return find_wavefront(replace(lens, surfaces=tuple(surfaces)), 0.5, 20.0, gradient=gradient).rms_waves

    value = lens.surfaces[1].thickness_mm.detach().clone().requires_grad_()
    rms(value, gradient=True).backward()
    step = 1e-4
    with torch.no_grad():
        difference = (rms(value + step) - rms(value - step)) / (2 * step)
    # The rim of the difference moves, that of the gradient stays.
    assert float(value.grad) == pytest.approx(float(difference), rel=0.02)


def test_maps_are_what_rays_do_in_between():
    lens = optics.load("phone_us9651759")
    chief = chief_rays(lens, torch.tensor([0.6], dtype=F64))
    depths_mm = torch.tensor([200.0, 400.0, math.inf], dtype=F64)
    maps = map_wavefronts(lens, chief, depths_mm, np.array([0.55]), DiscNodes(16, 24), depth_nodes=3)
    assert maps.whole.all()
    q = dioptre_per_mm(chief.crossing_mm, torch.tensor([250.0], dtype=F64))
    weights = torch.from_numpy(maps.depth_weights(0, q.numpy()))
    rays = sub_rays(maps, 0, maps.combined(0, weights, torch.ones(1, dtype=F64)), q, 6, 8)
    _, centre, a, b = maps.charts[0]
    # Sub-rays stand at Gauss points of half lines whose ends are inside the ellipse: their stop places name them.
    assert rays.values.shape == (1, 8, 48)
    u = torch.from_numpy(np.array([centre, centre + 0.5 * a, centre])).to(F64)
    v = torch.from_numpy(np.array([0.0, 0.0, 0.5 * b])).to(F64)
    wave = torch.tensor(0.55, dtype=F64)
    traced = optics.trace(lens, bundle_rays(chief.crossing_mm, chief.slope, u, v, q, wave))
    place = maps.nodes
    for i, (rho, phi) in enumerate([(0.0, 0.0), (0.5, 0.0), (0.5, math.pi / 2)]):
        combined = maps.combined(0, weights, torch.ones(1, dtype=F64))[0]
        for function, odd, truth in ((L, False, traced.direction[i, 0]), (M, True, traced.direction[i, 1])):
            table = place.table(np.array([phi]), odd=odd)[..., 0]
            value = sum(
                float(combined[function, p, j, k]) * rho ** (2 * j + p) * table[p, k]
                for p in range(2)
                for j in range(place.radial)
                for k in range(place.angular // 2)
            )
            assert value == pytest.approx(float(truth), abs=1e-7)


def test_gauss_points_integrate_polynomials():
    points, weights = gauss_points(5)
    assert (weights * points**9).sum() == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("arguments", "options", "named"),
    [((1.5, 1.0), {}, "radius"), ((0.5, -1.0), {}, "depth_m"), ((0.5, 1.0), {"wavelength_um": 0.0}, "wavelength_um")],
)
def test_arguments_out_of_range_are_named(arguments, options, named):
    with pytest.raises(InputError, match=named):
        find_wavefront(optics.load("cooke_triplet"), *arguments, **options)
