"""Fans, focus curves and axial colour against closed forms, Coddington's equations and reference tables."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

import optics
from optics.aberrations import find_axial_colour, find_focus_curves, trace_ray_fans
from optics.pupil import bundle_rays, chief_rays, dioptre_per_mm
from psf import Channel, InputError

D_UM = optics.glass.LINE_D_UM
LINE = (Channel("d", (D_UM,)),)


def coddington(lens, radii, depth_m):
    """Plain twin: the astigmatic foci along each real chief ray of a lens of spheres, from the sensor, in mm."""
    chief = chief_rays(lens, torch.tensor(radii, dtype=torch.float64))
    zero, wave = torch.zeros_like(chief.slope), torch.tensor(lens.reference_wavelength_um, dtype=torch.float64)
    q = dioptre_per_mm(chief.crossing_mm, torch.tensor(1e3 * depth_m, dtype=torch.float64))
    rays = bundle_rays(chief.crossing_mm, chief.slope, zero, zero, q, wave)
    traced = optics.trace(lens, rays, path=True, clip=False)
    indices = [1.0, *(float(s.medium.index(wave)) for s in lens.surfaces)]
    vertices = lens.vertices_mm.tolist()
    found = []
    for r in range(len(radii)):
        points = [p.tolist() for p in traced.path_mm[r]] + [[*traced.position_mm[r].tolist()[:2], vertices[-1]]]
        directions = [rays.direction[r].tolist()]
        for a, b in pairwise(points):
            gone = math.dist(a, b)
            directions.append([(v - u) / gone for u, v in zip(a, b, strict=True)])
        start = -math.inf if math.isinf(depth_m) else -(1e3 * depth_m + points[0][2]) / directions[0][2]
        tangential = sagittal = start
        for i, surface in enumerate(lens.surfaces):
            c = float(surface.shape.vertex_curvature_per_mm)
            x, _, z = points[i]
            height = z - vertices[i]
            normal = (-c * x, 1 - c * height)  # of unit length on a sphere
            before, after = (abs(d[0] * normal[0] + d[2] * normal[1]) for d in directions[i : i + 2])
            n, m = indices[i], indices[i + 1]
            power = (m * after - n * before) * c
            tangential = m * after**2 / (n * before**2 / tangential + power or 1e-300)
            sagittal = m / (n / sagittal + power or 1e-300)
            if i + 1 < len(lens.surfaces):
                gone = math.dist(points[i], points[i + 1])
                tangential, sagittal = tangential - gone, sagittal - gone
        last = points[len(lens.surfaces) - 1][2] - vertices[-1]
        found.append((last + tangential * directions[-1][2], last + sagittal * directions[-1][2]))
    return torch.tensor(found, dtype=torch.float64)


@pytest.mark.parametrize("depth_m", [math.inf, 0.4])
def test_close_rays_meet_where_coddingtons_equations_put_the_foci(depth_m):
    lens, radii = optics.load("cooke_triplet"), (0.2, 0.6, 1.0)
    curves = find_focus_curves(lens, radii, depth_m, LINE)
    expected = coddington(lens, radii, depth_m)
    # Close rays are 3e-4 of the pupil away: second order in that, on foci some 50 mm from the lens.
    assert torch.allclose(curves.tangential_mm[:, 0], expected[:, 0], atol=1e-5)
    assert torch.allclose(curves.sagittal_mm[:, 0], expected[:, 1], atol=1e-5)


@pytest.mark.parametrize("depth_m", [math.inf, 0.5])
def test_focus_curves_begin_at_the_gaussian_image(depth_m):
    lens = optics.load("cooke_triplet")
    curves = find_focus_curves(lens, (0.0,), depth_m, LINE)
    image = float(optics.conjugate(lens, depth_m).image_distance_from_last_vertex_mm - lens.surfaces[-1].thickness_mm)
    for found in (curves.tangential_mm, curves.sagittal_mm, curves.petzval_mm):
        assert float(found.flatten()[0]) == pytest.approx(image, abs=1e-5)


def test_near_the_axis_the_tangential_focus_is_three_times_as_far_from_petzval_as_the_sagittal_one():
    # Third-order theory; what is of higher order is some 0.01 squared.
    lens = optics.load("singlet_biconvex_nbk7").refocused(math.inf)
    curves = find_focus_curves(lens, (0.1,), math.inf, LINE)
    tangential, sagittal = (float(v[0, 0] - curves.petzval_mm[0]) for v in (curves.tangential_mm, curves.sagittal_mm))
    assert tangential / sagittal == pytest.approx(3.0, rel=0.02)


def test_innermost_zone_focuses_where_gaussian_optics_says_in_every_colour():
    lens = optics.load("f2.2_fixedfocus")
    for depth_m in (math.inf, 0.2):
        found = find_axial_colour(lens, (D_UM, 0.45), depth_m)
        for channel, zone in zip(found.channels, found.zone_mm, strict=True):
            wave = sum(w * a for w, a in zip(channel.wavelengths_um, channel.weights, strict=True))
            image = optics.conjugate(lens, depth_m, wave / sum(channel.weights)).image_distance_from_last_vertex_mm
            assert float(zone[0]) == pytest.approx(float(image - lens.surfaces[-1].thickness_mm), abs=1e-6)
        assert float(found.shift_mm[0]) == 0
        blue = optics.conjugate(lens, depth_m, 0.45).image_distance_from_last_vertex_mm
        own = optics.conjugate(lens, depth_m).image_distance_from_last_vertex_mm
        assert float(found.shift_mm[1]) == pytest.approx(float(blue - own))


@pytest.mark.parametrize(("depth_m", "table_waves"), [(math.inf, 0.0713), (1.0, 0.2015)])
def test_path_fans_have_the_rms_of_the_reference_tables_on_the_axis(depth_m, table_waves):
    # The tables come from an independent tracer (four digits). On the axis a fan tells the whole pupil.
    fans = trace_ray_fans(optics.load("phone_us9651759"), (0.0,), depth_m, LINE, rays=401)
    waves, pupil = fans.tangential_waves[0, 0, 200:], fans.pupil_t[0, 200:]
    area = pupil / pupil.sum()
    area[-1] *= 0.5  # the trapezoid's end
    area = area / area.sum()
    mean = (area * waves).sum()
    assert float((area * (waves - mean) ** 2).sum().sqrt()) == pytest.approx(table_waves, abs=3e-4)


def test_perfect_lens_has_flat_fans():
    lens = optics.load("asphere_planohyperbolic").refocused(math.inf)
    fans = trace_ray_fans(lens, (0.0,), math.inf, LINE, rays=21)
    # The field on the axis lies a hair off it, where this lens has a hair of coma.
    assert float(fans.tangential_um.abs().max()) < 0.01
    assert float(fans.tangential_waves.abs().max()) < 0.01


def test_fans_reach_from_rim_to_rim_and_are_symmetric_where_the_lens_is():
    lens = optics.load("camera_rf50mm_f1p8")
    fans = trace_ray_fans(lens, (0.0, 1.0), 3.0, LINE, rays=31)
    assert bool(fans.alive_t.all())
    assert bool(fans.alive_s.all())
    assert float(fans.pupil_t[0, -1]) == pytest.approx(1.0, abs=0.01)
    assert float(fans.pupil_t[1, -1]) < 0.6  # vignetted
    assert torch.allclose(fans.sagittal_um, -fans.sagittal_um.flip(-1), atol=1e-4)
    assert torch.allclose(fans.sagittal_waves, fans.sagittal_waves.flip(-1), atol=1e-3)
    # The two sections are one on the axis.
    assert torch.allclose(fans.tangential_um[0], fans.sagittal_um[0], atol=0.05)


def test_chief_ray_of_another_colour_is_lateral_colours():
    lens, blue = optics.load("f2.2_fixedfocus"), Channel("B", (0.45,))
    curves = optics.analysis.find_field_curves(lens, (0.85,), math.inf, (blue,))
    # The stop is in front of this lens: the middle of the fan is the chief ray of every colour.
    wide = trace_ray_fans(lens, (0.85,), math.inf, (blue,), rays=201)
    at_middle = float(wide.tangential_um[0, 0][wide.pupil_t[0].abs().argmin()])
    assert at_middle == pytest.approx(float(curves.lateral_um), abs=0.1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda lens: trace_ray_fans(lens, (1.2,)), "radii"),
        (lambda lens: trace_ray_fans(lens, (0.5,), -1.0), "depth_m"),
        (lambda lens: trace_ray_fans(lens, (0.5,), rays=1), "rays"),
        (lambda lens: trace_ray_fans(lens, (0.5,), channels=()), "channels"),
        (lambda lens: find_focus_curves(lens, ()), "radii"),
        (lambda lens: find_axial_colour(lens, (0.5,), zones=1), "zones"),
        (lambda lens: find_axial_colour(lens, (-0.5,)), "wavelength_um"),
        (lambda lens: find_focus_curves(replace(lens, focus_m=1.0), (0.5,), 0.0), "depth_m"),
    ],
)
def test_wrong_input_is_named(call, words):
    with pytest.raises(InputError, match=words):
        call(optics.load("singlet_biconvex_nbk7"))
