import math

import numpy as np
import pytest
import torch

import optics
from optics.disc import DiscNodes, lagrange
from optics.maps import depth_nodes, trace_maps, wavelength_nodes
from optics.pupil import bundle_rays, chief_rays, dioptre_per_mm, find_ellipses

F64 = torch.float64


@pytest.fixture(scope="module", params=["phone_us9651759", "camera_rf50mm_f1p8", "wide_laikin100"])
def mapped(request):
    lens = optics.load(request.param)
    nearest = 0.1 if request.param.startswith("phone") else 3.0
    depths_mm = 1e3 * optics.default_depths_m(nearest, 6)
    chief = chief_rays(lens, torch.tensor([0.0, 0.6, 0.9], dtype=F64))
    waves, _ = wavelength_nodes(np.array([0.45, 0.48, 0.53, 0.58, 0.65]))
    ellipses = find_ellipses(lens, chief, depths_mm, torch.from_numpy(waves))
    nodes = DiscNodes(14, 18)
    q = depth_nodes(chief, depths_mm, 4)
    return lens, chief, ellipses, waves, q, nodes, trace_maps(lens, chief, ellipses, q, waves, nodes, 1.0)


@pytest.mark.parametrize("field", [0, 1, 2])
def test_maps_predict_real_rays_inside_the_bundle(mapped, field):
    lens, chief, ellipses, waves, q_nodes, nodes, maps = mapped
    assert maps.whole.all()
    generator = np.random.default_rng(field)
    one = {"crossing": chief.crossing_mm[field], "slope": chief.slope[field]}
    pitch_mm = 1e-3 * lens.sensor.pitch_um
    worst = 0.0
    for _ in range(40):
        rho, phi = math.sqrt(generator.uniform(0, 0.95)), generator.uniform(0, math.pi)
        depth_mm, wave = (
            1.0 / generator.uniform(0, 1e-3 / (0.1 if "phone" in lens.name else 3.0)),
            generator.uniform(0.46, 0.64),
        )
        q = dioptre_per_mm(one["crossing"], torch.tensor(depth_mm, dtype=F64))
        u = ellipses.centre_mm[field] + ellipses.semi_u_mm[field] * rho * math.cos(phi)
        v = ellipses.semi_v_mm[field] * rho * math.sin(phi)
        ray = optics.trace(lens, bundle_rays(one["crossing"], one["slope"], u, v, q, torch.tensor(wave, dtype=F64)))
        if not bool(ray.alive):
            continue
        depth_weights = lagrange(q_nodes[field], np.array([float(q)]))[0]
        wave_weights = lagrange(1 / waves**2, np.array([1 / wave**2]))[0]
        combined = np.einsum("q,w,qwcpjk->cpjk", depth_weights, wave_weights, maps.coefficients[field])
        powers = np.array([[rho ** (2 * j + p) for j in range(nodes.radial)] for p in (0, 1)])
        x, y = (
            np.einsum("pjk,pj,pk->", combined[c], powers, nodes.table(np.array([phi]), odd=c == 1)[:, :, 0])
            for c in (0, 1)
        )
        found = ray.position_mm[:2].numpy() - [float(chief.radius_mm[field]), 0.0]
        worst = max(worst, float(np.hypot(x - found[0], y - found[1])) / pitch_mm)
    assert worst < 0.15


def test_up_to_four_wavelengths_are_traced_themselves():
    waves, weights = wavelength_nodes(np.array([0.65, 0.55, 0.45]))
    assert waves.tolist() == [0.45, 0.55, 0.65]
    assert weights.tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
    waves, weights = wavelength_nodes(np.array([0.6, 0.5, 0.6]))
    assert waves.tolist() == [0.5, 0.6]
    assert weights.tolist() == [[0, 1], [1, 0], [0, 1]]


def test_more_wavelengths_are_interpolated_in_inverse_squares():
    wave = np.linspace(0.43, 0.66, 9)
    nodes, weights = wavelength_nodes(wave)
    assert len(nodes) == 4
    # Cauchy's index is linear in 1 / wavelength^2 and must come out exactly.
    assert weights @ (1.5 + 0.004 / nodes**2) == pytest.approx(1.5 + 0.004 / wave**2, abs=1e-14)


def test_clearances_that_cannot_cut_are_left_out():
    lens = optics.load("cooke_triplet")
    chief = chief_rays(lens, torch.tensor([0.0], dtype=F64))
    depths = torch.tensor([math.inf], dtype=F64)
    ellipses = find_ellipses(lens, chief, depths, torch.tensor([0.55], dtype=F64))
    maps = trace_maps(lens, chief, ellipses, depth_nodes(chief, depths, 4), np.array([0.55]), DiscNodes(8, 10), 1.0)
    assert maps.kept[0] < len(lens.surfaces)
    assert not maps.notched[0]
