"""Zernike polynomials of the unit disc in Noll's order and norm (Noll 1976, JOSA 66, 207): RMS 1 over the disc each."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from psf.errors import InputError

MOST_ZERNIKES = 231


def find_noll_orders(j: int) -> tuple[int, int]:
    """Radial order n and azimuthal order m of Noll's polynomial number j, from 1; m < 0 stands for a sine.

    Raises:
        InputError: A number below 1.
    """
    if j != int(j) or j < 1:
        raise InputError("j", j, "a whole number from 1")
    n = int((math.sqrt(8 * j - 7) - 1) / 2)
    place = j - n * (n + 1) // 2  # 1 .. n + 1 within the order
    m = 2 * (place // 2) if n % 2 == 0 else 2 * ((place - 1) // 2) + 1
    return n, m if j % 2 == 0 or m == 0 else -m


def evaluate_zernikes(points: Tensor, count: int) -> Tensor:
    """Polynomials 1 to `count` at points of the plane; outside the unit disc they go on as polynomials.

    Args:
        points: x and y, shape (N, 2).
        count: How many.

    Returns:
        Shape (N, count).

    Raises:
        InputError: A number of polynomials out of range, or points of another shape.
    """
    if not 1 <= count <= MOST_ZERNIKES:
        raise InputError("count", count, f"a number from 1 to {MOST_ZERNIKES}")
    if points.ndim != 2 or points.shape[1] != 2:
        raise InputError("points", f"shape {tuple(points.shape)}", "shape (N, 2)")
    x, y = points.unbind(1)
    r2 = x * x + y * y
    # rho^m cos(m phi) and rho^m sin(m phi) are polynomials in x and y: nothing is divided by rho.
    orders = [find_noll_orders(j) for j in range(1, count + 1)]
    real, imaginary = [torch.ones_like(x)], [torch.zeros_like(x)]
    for _ in range(max(n for n, _ in orders)):
        real, imaginary = (
            [*real, real[-1] * x - imaginary[-1] * y],
            [*imaginary, real[-1] * y + imaginary[-1] * x],
        )
    columns = []
    for n, m in orders:
        k = abs(m)
        radial = torch.zeros_like(x)
        # Horner in rho^2 from the highest power down.
        for s in range((n - k) // 2 + 1):
            radial = radial * r2 + _radial_coefficient(n, k, s)
        norm = math.sqrt(n + 1) * (math.sqrt(2) if k else 1.0)
        columns.append(norm * radial * (imaginary[k] if m < 0 else real[k]))
    return torch.stack(columns, dim=1)


def fit_zernikes(values: Tensor, points: Tensor, weights: Tensor, count: int) -> Tensor:
    """Coefficients of the polynomials that fit values best, by weighted least squares.

    Args:
        values: Shape (N,).
        points: Places in the unit disc, shape (N, 2).
        weights: Not negative, shape (N,).
        count: How many polynomials.

    Returns:
        Shape (count,), in the values' unit, with gradients in them.

    Raises:
        InputError: Fewer points than polynomials, or shapes that do not fit.
    """
    if values.shape != weights.shape or values.shape != points.shape[:1]:
        found = f"shapes {tuple(values.shape)}, {tuple(points.shape)} and {tuple(weights.shape)}"
        raise InputError("values, points, weights", found, "(N,), (N, 2) and (N,)")
    if len(values) < count:
        raise InputError("values", f"{len(values)} of them", f"at least {count}, one for each polynomial")
    root = weights.detach().sqrt()
    design = root[:, None] * evaluate_zernikes(points.detach(), count)
    # A small part of the disc determines some sums of polynomials only weakly: least squares by singular values.
    inverse: Tensor = torch.linalg.pinv(design, rtol=1e-10)
    return inverse @ (root * values)


def _radial_coefficient(n: int, m: int, s: int) -> float:
    """Coefficient of rho^(n - 2 s) in the radial polynomial."""
    below = math.factorial(s) * math.factorial((n + m) // 2 - s) * math.factorial((n - m) // 2 - s)
    size = math.factorial(n - s) / below
    return -size if s % 2 else size
