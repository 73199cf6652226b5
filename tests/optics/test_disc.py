import math

import numpy as np
import pytest
import torch

from optics.disc import DiscNodes, chebyshev_nodes, lagrange
from psf import InputError


def _value(coefficients, nodes, rho, phi, *, odd):
    table = nodes.table(np.array([phi]), odd=odd)[:, :, 0]
    powers = np.array([[rho ** (2 * j + p) for j in range(nodes.radial)] for p in (0, 1)])
    return float(np.einsum("pjk,pj,pk->", coefficients, powers, table))


@pytest.mark.parametrize("odd", [False, True])
def test_a_polynomial_of_the_plane_is_met_exactly(odd):
    nodes = DiscNodes(6, 8)
    rho, phi = nodes.rho[:, None], nodes.phi[None, :]

    def function(rho, phi):
        u, v = rho * np.cos(phi), rho * np.sin(phi)
        smooth = 1 + 0.3 * u - 2 * u**2 + v**2 * u + u**5 - 0.4 * v**4 * u**2
        return smooth * v if odd else smooth

    coefficients = nodes.fit(torch.from_numpy(function(rho, phi)), odd=odd).numpy()
    for r, angle in ((0.0, 0.3), (0.37, 1.9), (0.99, 3.0), (1.0, math.pi)):
        assert _value(coefficients, nodes, r, angle, odd=odd) == pytest.approx(function(r, angle), abs=1e-12)


def test_a_smooth_function_converges_with_the_nodes():
    errors = []
    for radial, angular in ((4, 6), (6, 10), (8, 14)):
        nodes = DiscNodes(radial, angular)
        u, v = nodes.rho[:, None] * np.cos(nodes.phi), nodes.rho[:, None] * np.sin(nodes.phi)
        coefficients = nodes.fit(torch.from_numpy(np.exp(1.5 * u) * np.cos(2 * v)), odd=False).numpy()
        truth = math.exp(1.5 * 0.8 * math.cos(0.7)) * math.cos(2 * 0.8 * math.sin(0.7))
        errors.append(abs(_value(coefficients, nodes, 0.8, 0.7, odd=False) - truth))
    assert errors[0] > 10 * errors[1] > 100 * errors[2]
    assert errors[2] < 1e-8


def test_a_basis_that_double_precision_cannot_hold_is_refused():
    with pytest.raises(InputError, match="degree 39"):
        DiscNodes(20, 8)


def test_lagrange_weights_interpolate_a_cubic_through_four_chebyshev_points():
    nodes = chebyshev_nodes(-1.0, 3.0, 4)
    at = np.array([-1.0, 0.2, 2.9])
    assert lagrange(nodes, at) @ (nodes**3 - nodes) == pytest.approx(at**3 - at, abs=1e-12)


def test_an_interval_of_no_length_has_one_node():
    assert chebyshev_nodes(0.5, 0.5, 4).tolist() == [0.5]
    assert lagrange(np.array([0.5]), np.array([0.5])).tolist() == [[1.0]]
