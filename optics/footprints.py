"""Light onto pixels: every sub-ray carries the image of its pupil cell, and pixels take their exact share of it.

The cell's image is a box or a quadratic B-spline per axis, as wide as the cell's extent on the sensor. Both are
integrated over pixels in closed form, so no light is lost or made, and nothing is noisy. The box is sharper per
sub-ray; the spline is smooth, which is what gradients need (the derivative of a box's share jumps where an edge crosses
a pixel border).
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from psf.threads import share_threads

Spread = Literal["box", "spline"]

# Standard deviation of the spline over that of the cell: smallest error of kernels, and of their gradients.
SPLINE_FOR_KERNELS = 1.3
SPLINE_FOR_GRADIENTS = 1.5
# Narrower than any difference that a pixel could show; keeps divisions by the width finite.
SMALLEST_PX = 1e-3


def deposit(
    x_px: Tensor, y_px: Tensor, width_px: Tensor, height_px: Tensor, weight: Tensor, kernel_px: int, spread: Spread
) -> Tensor:
    """Sum sub-rays into kernels.

    Args:
        x_px: Landing points right of the centre pixel's middle, shape (B, N).
        y_px: Landing points above it, shape (B, N).
        width_px: Extent of each cell's image along x, shape (B, N).
        height_px: Extent along y, shape (B, N).
        weight: Light of each sub-ray, shape (B, N).
        kernel_px: Odd size K of the window.
        spread: "box" (extent = width) or "spline" (knot spacing = width, three spacings wide).

    Returns:
        Kernels of shape (B, K, K), rows down; light outside the window is not in them. Gradients pass to every tensor
        argument with both spreads.
    """
    width_px, height_px = width_px.clamp_min(SMALLEST_PX), height_px.clamp_min(SMALLEST_PX)
    if x_px.device.type == "cpu":
        result: Tensor = _Deposit.apply(x_px, -y_px, width_px, height_px, weight, kernel_px, spread == "spline")
        return result
    columns = _shares(x_px, width_px, kernel_px, spread)
    rows = _shares(-y_px, height_px, kernel_px, spread)
    return torch.einsum("bnr,bnc->brc", rows * weight[..., None], columns)


def spline_width(width_px: Tensor, factor: float) -> Tensor:
    """Knot spacing (...) of the spline with `factor` times the standard deviation of a box of `width_px` (...)."""
    # Box: w / sqrt(12); quadratic B-spline of knot spacing h: h / 2.
    return width_px * (2 * factor / math.sqrt(12))


def _shares(centre: Tensor, width: Tensor, kernel_px: int, spread: Spread) -> Tensor:
    """Share of every sub-ray in every pixel row or column, shape (B, N, K)."""
    edges = torch.arange(kernel_px + 1, dtype=centre.dtype, device=centre.device) - kernel_px / 2
    t = (edges - centre[..., None]) / width[..., None]
    if spread == "box":
        cumulative = (t + 0.5).clamp(0, 1)
    else:
        low, high = (t + 1.5).clamp(0, 1), (1.5 - t).clamp(0, 1)
        middle = t.clamp(-0.5, 0.5)
        cumulative = low**3 / 6 + 0.75 * middle - middle**3 / 3 + 1 / 3 + (1 - high**3) / 6
    return cumulative[..., 1:] - cumulative[..., :-1]


class _Deposit(torch.autograd.Function):
    """The compiled deposit and its adjoint."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, w: Tensor, h: Tensor, light: Tensor, kernel_px: int, spline: bool
    ) -> Tensor:
        arrays = [np.ascontiguousarray(t.detach().numpy()) for t in (x, y, w, h, light)]
        ctx.save_for_backward(x, y, w, h, light)
        ctx.kernel_px, ctx.spline = kernel_px, spline
        out = np.zeros((x.shape[0], kernel_px, kernel_px), dtype=arrays[0].dtype)
        with share_threads():
            _spread_all(*arrays, out, spline)
        return torch.from_numpy(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        arrays = [np.ascontiguousarray(t.detach().numpy()) for t in ctx.saved_tensors]
        out = [np.zeros_like(arrays[0]) for _ in range(5)]
        with share_threads():
            _gather_all(*arrays, np.ascontiguousarray(grads[0].numpy()), *out, ctx.spline)
        return (*(torch.from_numpy(g) for g in out), None, None)


@numba.njit(inline="always", cache=True)
def _cumulative(t, spline):  # type: ignore[no-untyped-def]
    """Share of a spread of unit width below t."""
    if not spline:
        return min(max(t + 0.5, 0.0), 1.0)
    if t <= -0.5:
        u = max(t + 1.5, 0.0)
        return u * u * u / 6
    if t >= 0.5:
        u = max(1.5 - t, 0.0)
        return 1 - u * u * u / 6
    return 0.5 + t * (0.75 - t * t / 3)


@numba.njit(inline="always", cache=True)
def _density(t, spline):  # type: ignore[no-untyped-def]
    """Derivative of `_cumulative`."""
    if not spline:
        return 1.0 if -0.5 < t < 0.5 else 0.0
    if t <= -0.5:
        u = max(t + 1.5, 0.0)
        return 0.5 * u * u
    if t >= 0.5:
        u = max(1.5 - t, 0.0)
        return 0.5 * u * u
    return 0.75 - t * t


@numba.njit(inline="always", cache=True)
def spread_one(x, y, w, h, light, kernel, spline):  # type: ignore[no-untyped-def]
    """Add one sub-ray to a window (K, K); x right and y down from the centre pixel's middle, in pixels."""
    k = kernel.shape[0]
    half = k / 2
    reach = 1.5 if spline else 0.5
    c0, c1 = max(int(np.floor(x - reach * w + half)), 0), min(int(np.floor(x + reach * w + half)), k - 1)
    r0, r1 = max(int(np.floor(y - reach * h + half)), 0), min(int(np.floor(y + reach * h + half)), k - 1)
    if c0 > c1 or r0 > r1:
        return
    inverse_w, inverse_h = 1.0 / w, 1.0 / h
    below = _cumulative((r0 - half - y) * inverse_h, spline)
    first = _cumulative((c0 - half - x) * inverse_w, spline)
    for r in range(r0, r1 + 1):
        above = _cumulative((r + 1 - half - y) * inverse_h, spline)
        share = light * (above - below)
        below = above
        left = first
        for c in range(c0, c1 + 1):
            right = _cumulative((c + 1 - half - x) * inverse_w, spline)
            kernel[r, c] += share * (right - left)
            left = right


@numba.njit(parallel=True, nogil=True, cache=True)
def _spread_all(x, y, w, h, light, out, spline):  # type: ignore[no-untyped-def]
    for b in numba.prange(x.shape[0]):
        for i in range(x.shape[1]):
            spread_one(x[b, i], y[b, i], w[b, i], h[b, i], light[b, i], out[b], spline)


@numba.njit(parallel=True, nogil=True, cache=True)
def _gather_all(x, y, w, h, light, grad, gx, gy, gw, gh, gl, spline):  # type: ignore[no-untyped-def]
    k = grad.shape[1]
    half = k / 2
    reach = 1.5 if spline else 0.5
    for b in numba.prange(x.shape[0]):
        for i in range(x.shape[1]):
            iw, ih = 1.0 / w[b, i], 1.0 / h[b, i]
            c0 = max(int(np.floor(x[b, i] - reach * w[b, i] + half)), 0)
            c1 = min(int(np.floor(x[b, i] + reach * w[b, i] + half)), k - 1)
            r0 = max(int(np.floor(y[b, i] - reach * h[b, i] + half)), 0)
            r1 = min(int(np.floor(y[b, i] + reach * h[b, i] + half)), k - 1)
            for r in range(r0, r1 + 1):
                t0, t1 = (r - half - y[b, i]) * ih, (r + 1 - half - y[b, i]) * ih
                share_r = _cumulative(t1, spline) - _cumulative(t0, spline)
                f0, f1 = _density(t0, spline), _density(t1, spline)
                move_r, grow_r = (f0 - f1) * ih, (t0 * f0 - t1 * f1) * ih
                for c in range(c0, c1 + 1):
                    s0, s1 = (c - half - x[b, i]) * iw, (c + 1 - half - x[b, i]) * iw
                    share_c = _cumulative(s1, spline) - _cumulative(s0, spline)
                    e0, e1 = _density(s0, spline), _density(s1, spline)
                    g = grad[b, r, c]
                    gl[b, i] += g * share_r * share_c
                    g *= light[b, i]
                    gx[b, i] += g * share_r * (e0 - e1) * iw
                    gw[b, i] += g * share_r * (s0 * e0 - s1 * e1) * iw
                    gy[b, i] += g * share_c * move_r
                    gh[b, i] += g * share_c * grow_r
