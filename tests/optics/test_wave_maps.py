import math

import numpy as np
import pytest
import torch

import optics
from optics.disc import DiscNodes
from optics.maps import wavelength_nodes
from optics.pupil import chief_rays
from optics.wave_maps import MOST_WAVELENGTH_NODES, ROOT, L, M, X, Y, beam_density, map_wavefronts, start_path_mm

F64 = torch.float64


@pytest.fixture(scope="module")
def maps():
    lens = optics.load("f2.2_fixedfocus")
    chief = chief_rays(lens, torch.tensor([0.0, 0.7], dtype=F64))
    depths_mm = torch.tensor([150.0, 1000.0, math.inf], dtype=F64)
    return map_wavefronts(lens, chief, depths_mm, np.array([0.5, 0.6]), DiscNodes(14, 18), depth_nodes=3)


def test_phases_slope_as_light_lands(maps):
    # Fermat: the phase's slope by direction is the landing point. At nodes, along both coordinates of the disc.
    from optics.wave_maps import PHASE, _slopes

    for f in range(2):
        c = maps.coefficients[f]
        slopes = {name: _slopes(maps.nodes, c[:, :, name], odd=name == M) for name in (L, M, PHASE)}
        for way in (0, 1):
            expected = -(slopes[L][way] * maps.values[f, :, :, X] + slopes[M][way] * maps.values[f, :, :, Y])
            assert (slopes[PHASE][way] - expected).abs().max() < 1e-3 * expected.abs().max() + 1e-8


def test_amplitudes_square_to_the_light_per_direction(maps):
    e = maps.ellipses
    q = torch.from_numpy(maps.q_nodes)[:, :, None, None, None]
    rho, phi = torch.from_numpy(maps.nodes.rho)[:, None], torch.from_numpy(maps.nodes.phi)
    u = e.centre_mm[:, None, None, None, None] + e.semi_u_mm[:, None, None, None, None] * rho * torch.cos(phi)
    v = e.semi_v_mm[:, None, None, None, None] * rho * torch.sin(phi)
    density = beam_density(maps.chief.slope[:, None, None, None, None], u, v, q)
    # On the axis (l, m) is nearly a scaled disc: the stretch is its area.
    l = maps.values[0, 0, 0, L]
    scale = (l[0].max() - l[0].min()) / 2
    expected = (density[0, 0, 0] * e.semi_u_mm[0] * e.semi_v_mm[0]).sqrt() * scale
    assert (maps.values[0, 0, 0, ROOT] / expected - 1).abs().max() < 0.05


def test_paths_from_near_objects_pass_into_those_from_far_ones():
    slope, u, v = (torch.tensor(t, dtype=F64) for t in (0.3, 1.5, -0.7))
    far = start_path_mm(slope, u, v, torch.tensor(0.0, dtype=F64))
    assert float(far) == pytest.approx(1.5 * 0.3 / math.sqrt(1.09))
    assert float(start_path_mm(slope, u, v, torch.tensor(1e-9, dtype=F64))) == pytest.approx(float(far), abs=1e-8)
    # By hand at 100 mm: from (-30, 0, -100) to (1.5, -0.7, 0), less the way to the origin.
    near = math.hypot(31.5, 0.7, 100) - math.hypot(30, 100)
    assert float(start_path_mm(slope, u, v, torch.tensor(0.01, dtype=F64))) == pytest.approx(near, abs=1e-12)


def test_as_many_wavelengths_as_a_phase_needs_make_all_others():
    many = np.linspace(0.42, 0.68, 30)
    nodes, weights = wavelength_nodes(many, MOST_WAVELENGTH_NODES)
    assert len(nodes) == 8
    assert np.abs(weights @ nodes**-4.0 - many**-4.0).max() < 1e-9


def test_bundles_that_end_where_a_surface_ends_are_told():
    lens = optics.load("asphere_conic_end")
    chief = chief_rays(lens, torch.tensor([0.0, 1.0], dtype=F64))
    depths_mm = torch.tensor([math.inf], dtype=F64)
    found = map_wavefronts(lens, chief, depths_mm, np.array([0.55]), DiscNodes(14, 18), depth_nodes=1)
    assert not found.whole.all()
