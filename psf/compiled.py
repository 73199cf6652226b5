"""Compiled reading of kernels at turned, scaled points, and its transpose: the loops behind `sampling.sample`."""

import itertools
import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from .threads import run_threads

Array = npt.NDArray[Any]

# Places in `sampling.TURNINGS`.
BILINEAR, CUBIC, SPLINE = 0, 1, 2
# A read within REACH of the support touches taps up to REACH + 2 beyond it; one more for the rounding of the range's
# ends.
REACH = 2
PAD = REACH + 3


def _weights(kind: int, t: float) -> tuple[float, float, float, float]:
    """Weights of the samples at -1, 0, 1, 2 for a point at t in [0, 1)."""
    if kind == BILINEAR:
        return 0.0, 1.0 - t, t, 0.0
    if kind == CUBIC:  # Keys 1981, a = -1/2
        return (
            ((-0.5 * t + 1.0) * t - 0.5) * t,
            (1.5 * t - 2.5) * t * t + 1.0,
            ((-1.5 * t + 2.0) * t + 0.5) * t,
            (0.5 * t - 0.5) * t * t,
        )
    u = 1.0 - t
    return u * u * u / 6, ((3.0 * t - 6.0) * t * t + 4.0) / 6, ((3.0 * u - 6.0) * u * u + 4.0) / 6, t * t * t / 6


def _slopes(kind: int, t: float) -> tuple[float, float, float, float]:
    """Derivatives of `_weights` with respect to t."""
    if kind == BILINEAR:
        return 0.0, -1.0, 1.0, 0.0
    if kind == CUBIC:
        return (
            (-1.5 * t + 2.0) * t - 0.5,
            (4.5 * t - 5.0) * t,
            (-4.5 * t + 4.0) * t + 0.5,
            (1.5 * t - 1.0) * t,
        )
    u = 1.0 - t
    return -u * u / 2, (1.5 * t - 2.0) * t, -(1.5 * u - 2.0) * u, t * t / 2


def _span(first: int, last: int, base: float, slope: float, low: float, high: float, half: float) -> tuple[int, int]:
    """The part of columns first..last (inclusive) whose position base + slope * (column - half) lies in [low, high]."""
    if abs(slope) < 1e-9:
        if base + 1e-6 < low or base - 1e-6 > high:
            return 0, -1
        return first, last
    a, b = (low - base) / slope + half, (high - base) / slope + half
    if a > b:
        a, b = b, a
    if b < first or a > last:
        return 0, -1
    return max(first, math.ceil(a)), min(last, math.floor(b))


# Fused multiply-add changes roundings, not the order of sums: results stay the same from run to run.
CONTRACT = {"contract"}

weights_at = numba.njit(cache=True, nogil=True, fastmath=CONTRACT, inline="always")(_weights)
slopes_at = numba.njit(cache=True, nogil=True, fastmath=CONTRACT, inline="always")(_slopes)
span_of = numba.njit(cache=True, nogil=True, fastmath=CONTRACT)(_span)


def _read(
    kernels: Array, box: Array, index: Array, weight: Array, affine: Array, oversample: int, kind: int, out: Array
) -> None:
    """Add to out (P, K, K): sum over j of weight (P, n) times kernels (M, S, S) read at affine (P, n, 6) points."""
    side = out.shape[-1] * oversample
    half = 0.5 * (side - 1)
    for p in range(out.shape[0]):
        for j in range(index.shape[1]):
            w, m = weight[p, j], index[p, j]
            if w == 0.0:
                continue
            row_by_row, row_by_col, row_0 = affine[p, j, 0], affine[p, j, 1], affine[p, j, 2] + PAD
            col_by_row, col_by_col, col_0 = affine[p, j, 3], affine[p, j, 4], affine[p, j, 5] + PAD
            low_row, high_row = float(box[m, 0] - REACH), float(box[m, 1] + REACH)
            low_col, high_col = float(box[m, 2] - REACH), float(box[m, 3] + REACH)
            for r in range(side):
                row_base = row_by_row * (r - half) + row_0
                col_base = col_by_row * (r - half) + col_0
                first, last = span_of(0, side - 1, row_base, row_by_col, low_row, high_row, half)
                if first > last:
                    continue
                first, last = span_of(first, last, col_base, col_by_col, low_col, high_col, half)
                # Counted, not divided: an integer division costs as much as reading the kernel.
                pixel, part, light = first // oversample, first % oversample, 0.0
                for c in range(first, last + 1):
                    row = row_base + row_by_col * (c - half)
                    col = col_base + col_by_col * (c - half)
                    i, k = np.uint32(row), np.uint32(col)
                    u0, u1, u2, u3 = weights_at(kind, row - i)
                    v0, v1, v2, v3 = weights_at(kind, col - k)
                    if kind == BILINEAR:
                        value = u1 * (v1 * kernels[m, i, k] + v2 * kernels[m, i, k + 1]) + u2 * (
                            v1 * kernels[m, i + 1, k] + v2 * kernels[m, i + 1, k + 1]
                        )
                    else:
                        value = (
                            u0 * _four(kernels, m, i - 1, k, v0, v1, v2, v3)
                            + u1 * _four(kernels, m, i, k, v0, v1, v2, v3)
                            + u2 * _four(kernels, m, i + 1, k, v0, v1, v2, v3)
                            + u3 * _four(kernels, m, i + 2, k, v0, v1, v2, v3)
                        )
                    light += value
                    part += 1
                    if part == oversample or c == last:
                        out[p, r // oversample, pixel] += w * light
                        pixel, part, light = pixel + 1, 0, 0.0


def _four_taps(kernels: Array, m: int, i: int, k: int, v0: float, v1: float, v2: float, v3: float) -> float:
    value: float = (
        v0 * kernels[m, i, k - 1] + v1 * kernels[m, i, k] + v2 * kernels[m, i, k + 1] + v3 * kernels[m, i, k + 2]
    )
    return value


_four = numba.njit(cache=True, nogil=True, fastmath=CONTRACT, inline="always")(_four_taps)


def _transpose(
    kernels: Array,
    index: Array,
    weight: Array,
    affine: Array,
    oversample: int,
    kind: int,
    out: Array,
    to_kernels: Array,
    to_weight: Array,
    to_affine: Array,
) -> None:
    """Gradients of `_read` for the gradient `out` (P, K, K) of its result; the last three arguments are added to."""
    side = out.shape[-1] * oversample
    half = 0.5 * (side - 1)
    rows, cols = kernels.shape[-2] - PAD, kernels.shape[-1] - PAD
    for p in range(out.shape[0]):
        for j in range(index.shape[1]):
            w, m = weight[p, j], index[p, j]
            for r in range(side):
                row_base = affine[p, j, 0] * (r - half) + affine[p, j, 2] + PAD
                col_base = affine[p, j, 3] * (r - half) + affine[p, j, 5] + PAD
                first, last = span_of(0, side - 1, row_base, affine[p, j, 1], PAD - 2.0, rows + 1.0, half)
                if first > last:
                    continue
                first, last = span_of(first, last, col_base, affine[p, j, 4], PAD - 2.0, cols + 1.0, half)
                for c in range(first, last + 1):
                    row = row_base + affine[p, j, 1] * (c - half)
                    col = col_base + affine[p, j, 4] * (c - half)
                    i, k = int(row), int(col)
                    u, v = weights_at(kind, row - i), weights_at(kind, col - k)
                    du, dv = slopes_at(kind, row - i), slopes_at(kind, col - k)
                    g = out[p, r // oversample, c // oversample]
                    value, by_row, by_col = 0.0, 0.0, 0.0
                    for a in range(4):
                        for b in range(4):
                            tap = kernels[m, i - 1 + a, k - 1 + b]
                            value += u[a] * v[b] * tap
                            by_row += du[a] * v[b] * tap
                            by_col += u[a] * dv[b] * tap
                            to_kernels[m, i - 1 + a, k - 1 + b] += g * w * u[a] * v[b]
                    to_weight[p, j] += g * value
                    to_affine[p, j, 0] += g * w * by_row * (r - half)
                    to_affine[p, j, 1] += g * w * by_row * (c - half)
                    to_affine[p, j, 2] += g * w * by_row
                    to_affine[p, j, 3] += g * w * by_col * (r - half)
                    to_affine[p, j, 4] += g * w * by_col * (c - half)
                    to_affine[p, j, 5] += g * w * by_col


# nogil and threads of our own, not numba's `parallel`: its default threading layer ends the process when two threads
# call at once.
_read_compiled = numba.njit(cache=True, nogil=True, fastmath=CONTRACT)(_read)
_transpose_compiled = numba.njit(cache=True, nogil=True, fastmath=CONTRACT)(_transpose)


def _parts(count: int, threads: int) -> list[slice]:
    edges = np.linspace(0, count, min(threads, max(count, 1)) + 1).astype(int)
    return [slice(int(a), int(b)) for a, b in itertools.pairwise(edges) if b > a]


def read(
    kernels: Array,
    box: Array,
    index: Array,
    weight: Array,
    affine: Array,
    out: Array,
    *,
    oversample: int,
    kind: int,
    threads: int,
) -> None:
    """Add to `out` (P, K, K) what `sampling.sample` returns.

    Args:
        kernels: Shape (M, S + 2 PAD, S + 2 PAD), padded with zeros.
        box: First and last row, first and last column outside which a kernel is zero, in padded indices, shape (M, 4).
        index: Shape (P, n), into M.
        weight: Shape (P, n).
        affine: Shape (P, n, 6), as in `sampling.sample`.
        out: Shape (P, K, K).
        oversample: Reading points per pixel and axis.
        kind: BILINEAR, CUBIC or SPLINE.
        threads: How many.
    """

    def work(part: slice) -> None:
        _read_compiled(kernels, box, index[part], weight[part], affine[part], oversample, kind, out[part])

    parts = _parts(len(out), threads)
    run_threads(work, parts, len(parts))


def transpose(
    kernels: Array, index: Array, weight: Array, affine: Array, out: Array, *, oversample: int, kind: int, threads: int
) -> tuple[Array, Array, Array]:
    """Gradients with respect to `kernels` (padded), `weight` and `affine` of a sum weighted with `out` (P, K, K)."""
    parts = _parts(len(out), threads)
    to_kernels = [np.zeros_like(kernels) for _ in parts]
    to_weight, to_affine = np.zeros_like(weight), np.zeros_like(affine)

    def work(part: slice) -> None:
        _transpose_compiled(
            kernels,
            index[part],
            weight[part],
            affine[part],
            oversample,
            kind,
            out[part],
            to_kernels[parts.index(part)],
            to_weight[part],
            to_affine[part],
        )

    run_threads(work, parts, len(parts))
    total = np.zeros_like(kernels)
    for one in to_kernels:
        total += one
    return total, to_weight, to_affine
