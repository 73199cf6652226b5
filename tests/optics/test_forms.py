"""The table that the compiled loops work from."""

import math

import numpy as np
import pytest
import torch
from numba import njit

from optics.forms import (
    CONIC,
    EVEN,
    FORM_COLUMNS,
    FOUND2,
    HIGH,
    LIMIT2,
    LONG,
    LOW,
    MIXED,
    PLANE,
    RIM2,
    VERTEX,
    axis_guard,
    eight,
    prepare,
    sag,
)
from optics.surface import EvenAsphere, PolynomialAsphere

F64 = torch.float64


@njit
def conic_sag(rho, c, q, a):
    return sag(rho, c, q, None, 1.0, 0.5, axis_guard(a))


@njit
def even_sag(rho, c, q, a):
    return sag(rho, c, q, eight(a, 1), 1.0, 0.5, axis_guard(a))


@njit
def mixed_sag(rho, c, q, a):
    return sag(rho, c, q, (eight(a, 1), eight(a, 0)), 1.0, 0.5, axis_guard(a))


@njit
def long_sag(rho, c, q, a):
    return sag(rho, c, q, a, 1.0, 0.5, axis_guard(a))


@pytest.mark.parametrize(
    ("compiled", "powers"),
    [
        (conic_sag, ()),
        (even_sag, (2, 4, 6, 8, 10, 12, 14, 16)),
        (mixed_sag, tuple(range(1, 17))),
        (long_sag, tuple(range(1, 23))),
        (long_sag, (2, 20)),
    ],
)
def test_sag_slope_and_second_derivative_are_those_of_the_shape(compiled, powers):
    c, k = 0.3, -0.7
    g = torch.Generator().manual_seed(4)
    values = 0.2 * torch.rand(len(powers), generator=g, dtype=F64) - 0.1
    shape = PolynomialAsphere(torch.tensor(c, dtype=F64), torch.tensor(k, dtype=F64), values, powers)
    dense = np.zeros(max(16, *powers, 0) if powers else 16)
    for power, value in zip(powers, values.tolist(), strict=True):
        dense[power - 1] = value
    rho = torch.linspace(0.01, 1.4, 30, dtype=F64, requires_grad=True)
    height, slope, _ = shape.sag(rho)
    (second,) = torch.autograd.grad(slope.sum(), rho)
    for i, value in enumerate(rho.tolist()):
        found = compiled(value, c, (1 + k) * c * c, dense)
        expected = (float(height[i].detach()), float(slope[i].detach()), float(second[i]))
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-13)


def table(shape, kind, *, clip, semi=1.0, top=16):
    dense = np.zeros((1, top))
    for power, value in zip(shape.powers, shape.coefficients.tolist(), strict=True):
        dense[0, power - 1] = value
    c, k = (np.array([float(value)]) for value in (shape.curvature_per_mm, shape.conic_k))
    return prepare(np.array([kind]), c, k, dense, np.array([0.5, 2.0]), np.array([semi]), clip, 1.5)


def asphere(c, k, *terms):
    return EvenAsphere(torch.tensor(c, dtype=F64), torch.tensor(k, dtype=F64), torch.tensor(terms, dtype=F64))


def test_the_table_has_a_row_per_surface_and_one_for_the_image_plane():
    form = table(asphere(0.1, 0.0, 0.0, 0.01), EVEN, clip=True)
    assert form.shape == (2, FORM_COLUMNS)
    assert form[:, VERTEX].tolist() == [0.5, 2.0]


def test_a_surface_counts_up_to_its_end_and_no_further():
    ending = asphere(0.8, 0.0, 0.0, 0.01)
    for clip in (True, False):
        form = table(ending, EVEN, clip=clip)
        assert form[0, FOUND2] < 1 / 0.8**2
        assert form[0, LIMIT2] < 1 / 0.8**2
    endless = asphere(0.8, -1.0, 0.0, 0.01)
    assert table(endless, EVEN, clip=False)[0, FOUND2] == math.inf
    assert table(endless, EVEN, clip=True)[0, FOUND2] == 1.5**2


@pytest.mark.parametrize("kind", [EVEN, MIXED, LONG])
def test_the_surface_lies_between_its_bounds(kind):
    shape = asphere(-0.4, -2.0, 0.1, -0.3, 0.2)
    form = table(shape, kind, clip=True)
    height = shape.sag(torch.linspace(0, 1, 1000, dtype=F64) ** 2)[0]
    assert form[0, LOW] < height.min()
    assert form[0, HIGH] > height.max()
    assert form[0, HIGH] - form[0, LOW] < 1.1 * (height.max() - height.min())


def test_planes_and_conics_are_their_own_kinds():
    assert len({PLANE, CONIC, EVEN, MIXED, LONG}) == 5
    form = prepare(np.array([PLANE]), *np.zeros((2, 1)), np.zeros((1, 16)), np.zeros(2), np.ones(1), True, 1.5)
    assert form[0, RIM2] == pytest.approx(1.0)
