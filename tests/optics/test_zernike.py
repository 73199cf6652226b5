import math

import pytest
import torch

from optics.zernike import evaluate_zernikes, find_noll_orders, fit_zernikes
from psf.errors import InputError

F64 = torch.float64


def disc_points(count=20000):
    """Equal shares of the unit disc, on a spiral."""
    i = torch.arange(count, dtype=F64) + 0.5
    r, angle = (i / count).sqrt(), i * math.pi * (3 - math.sqrt(5))
    return torch.stack([r * angle.cos(), r * angle.sin()], dim=1)


def test_orders_are_those_of_nolls_table():
    # (n, m) of the table, sines negative.
    table = [(0, 0), (1, 1), (1, -1), (2, 0), (2, -2), (2, 2), (3, -1), (3, 1), (3, -3), (3, 3), (4, 0), (4, 2)]
    table += [(4, -2), (4, 4), (4, -4), (5, 1), (5, -1), (5, 3), (5, -3), (5, 5), (5, -5), (6, 0)]
    assert [find_noll_orders(j + 1) for j in range(len(table))] == table


def test_polynomials_are_orthonormal_over_the_disc():
    values = evaluate_zernikes(disc_points(), 45)
    product = values.T @ values / len(values)
    # What a spiral of 20,000 points leaves of an integral.
    assert (product - torch.eye(45, dtype=F64)).abs().max() < 3e-3


def test_polynomials_are_those_that_papers_write_out():
    x, y = disc_points(500).unbind(1)
    r2 = x * x + y * y
    values = evaluate_zernikes(torch.stack([x, y], 1), 11)
    assert torch.allclose(values[:, 3], math.sqrt(3) * (2 * r2 - 1))
    assert torch.allclose(values[:, 4], math.sqrt(6) * 2 * x * y)
    assert torch.allclose(values[:, 5], math.sqrt(6) * (x * x - y * y))
    assert torch.allclose(values[:, 6], math.sqrt(8) * (3 * r2 - 2) * y)
    assert torch.allclose(values[:, 7], math.sqrt(8) * (3 * r2 - 2) * x)
    assert torch.allclose(values[:, 10], math.sqrt(5) * (6 * r2 * r2 - 6 * r2 + 1))


def test_a_fit_finds_what_was_put_in_whatever_the_weights():
    points = disc_points(800)
    truth = torch.linspace(-1, 1, 36, dtype=F64)
    weights = 0.1 + points[:, 0] ** 2
    values = (evaluate_zernikes(points, 36) @ truth).requires_grad_()
    found = fit_zernikes(values, points, weights, 36)
    assert torch.allclose(found, truth, atol=1e-10)
    found[10].backward()
    assert values.grad.isfinite().all()
    assert values.grad.abs().sum() > 0


@pytest.mark.parametrize("j", [0, -3, 1.5])
def test_numbers_that_no_polynomial_has_are_refused(j):
    with pytest.raises(InputError, match="j: found"):
        find_noll_orders(j)


def test_inputs_that_do_not_fit_are_refused():
    points = disc_points(20)
    with pytest.raises(InputError, match="count"):
        evaluate_zernikes(points, 0)
    with pytest.raises(InputError, match="points"):
        evaluate_zernikes(points[:, 0], 3)
    with pytest.raises(InputError, match="at least 37"):
        fit_zernikes(points[:, 0], points, points[:, 0], 37)
    with pytest.raises(InputError, match="shapes"):
        fit_zernikes(points[:5, 0], points, points[:, 0], 3)
