import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import optics
from optics.landing import Sampling, land, ring_edges
from optics.pupil import bundle_rays, chief_rays, dioptre_per_mm, find_ellipses

F64 = torch.float64
D_LINE = torch.tensor([0.5875618], dtype=F64)


def _landing(lens, radius, depth_mm, sampling=None, wavelength_um=D_LINE):
    chief = chief_rays(lens, torch.tensor([radius], dtype=F64))
    depth = torch.tensor([depth_mm], dtype=F64)
    ellipses = find_ellipses(lens, chief, depth, wavelength_um)
    return chief, ellipses, land(lens, chief, ellipses, depth, wavelength_um, sampling or Sampling())


def test_axial_light_at_infinity_is_the_area_of_the_stop_in_front():
    lens = optics.load("phone_us9651759")
    _, _, sub = _landing(lens, 0.0, math.inf)
    area = math.pi * float(lens.surfaces[0].semi_aperture_mm) ** 2
    assert 2 * float(sub.light.sum()) == pytest.approx(area, rel=1e-4)


def test_axial_light_at_a_finite_depth_is_the_solid_angle_of_the_stop():
    lens = optics.load("phone_us9651759")
    _, _, sub = _landing(lens, 0.0, 50.0)
    half_angle = math.atan(float(lens.surfaces[0].semi_aperture_mm) / 50.0)
    assert 2 * float(sub.light.sum()) == pytest.approx(2 * math.pi * (1 - math.cos(half_angle)), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "radius", "depth_mm"), [("cooke_triplet", 0.9, 3000.0), ("camera_rf50mm_f1p8", 1.0, math.inf)]
)
def test_light_of_a_vignetted_bundle_is_that_of_counted_rays(name, radius, depth_mm):
    lens = optics.load(name)
    chief, ellipses, sub = _landing(lens, radius, depth_mm)
    count = 600
    steps = (torch.arange(count, dtype=F64) + 0.5) / count * 2 - 1
    u = ellipses.centre_mm + 1.05 * ellipses.semi_u_mm * steps[:, None]
    v = 1.05 * ellipses.semi_v_mm * steps
    q = dioptre_per_mm(chief.crossing_mm, torch.tensor([depth_mm], dtype=F64))
    alive = optics.trace(lens, bundle_rays(chief.crossing_mm, chief.slope, u, v, q, D_LINE)).alive
    slope = chief.slope
    sx, sy = torch.broadcast_tensors(slope + u * q, v * q)
    density = (1 + slope**2).rsqrt() if math.isinf(depth_mm) else q**2 * (1 + sx**2 + sy**2) ** -1.5
    cell = (2.1 / count) ** 2 * ellipses.semi_u_mm * ellipses.semi_v_mm
    assert 2 * float(sub.light.sum()) == pytest.approx(float((alive * density).sum() * cell), rel=2e-3)


def test_a_notch_with_light_behind_it_makes_a_second_patch():
    # Corner of the phone lens in red light: a surface cuts a notch near the rim and leaves a thin crescent.
    red = torch.tensor([0.6562725], dtype=F64)
    lens = optics.load("phone_us9651759")
    _, _, sub = _landing(lens, 1.0, math.inf, wavelength_um=red)
    assert sub.bundle.tolist() == [0, 0]
    share = sub.light.sum(1) / sub.light.sum()
    assert 1e-4 < float(share[1]) < 5e-3
    _, _, whole = _landing(lens, 0.5, math.inf)
    assert whole.bundle.tolist() == [0]


def test_sub_rays_land_where_real_rays_do():
    lens = optics.load("cooke_triplet")
    sampling = Sampling(rings=6, angles=8, nodes=20)
    _, _, coarse = _landing(lens, 0.7, 4000.0, sampling)
    _, _, fine = _landing(lens, 0.7, 4000.0, replace(sampling, nodes=28))
    assert torch.allclose(coarse.x_mm, fine.x_mm, atol=1e-6)
    assert torch.allclose(coarse.y_mm, fine.y_mm, atol=1e-6)


def test_ring_edges_run_from_the_middle_to_the_rim():
    edges = ring_edges(10)
    assert edges[0] == 0
    assert edges[-1] == 1
    assert np.all(np.diff(edges) > 0)
