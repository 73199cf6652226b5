"""Compiled loops that make a field ready for per-pixel rendering: layout, support, and taps of turned kernels."""

from typing import Any

import numba
import numpy as np

from psf.threads import run_threads

Array = np.ndarray[Any, Any]
# Of the light of a kernel, a value that may be left out of its sum.
NOTHING = 1e-10


def _lay_out(kernels: Array, rings: Array, counts: Array, pad: int, out: Array, light: Array, sums: Array) -> None:
    """Kernels (D, C, S, S) of one radius to out (S + 2 pad, S + 2 pad, D C), light by ring to light (D C, rings).

    And what kernels sum to, with the weights `counts` (S, S, A), to sums (A, D C).
    """
    zero, channels = out.dtype.type(0), kernels.shape[1]
    out[:pad] = zero
    out[-pad:] = zero
    light[:] = 0
    for y in range(kernels.shape[2]):
        row = out[y + pad]
        row[:pad] = zero
        row[-pad:] = zero
        for q in range(row.shape[1]):
            source, ring, rung = kernels[q // channels, q % channels, y], rings[y], light[q]
            for x in range(source.size):
                row[x + pad, q] = source[x]
                rung[ring[x]] += source[x]
    total = np.empty(counts.shape[2], out.dtype)
    for q in range(out.shape[2]):
        total[:] = zero
        for y in range(kernels.shape[2]):
            source = kernels[q // channels, q % channels, y]
            for x in range(source.size):
                value, weight = source[x], counts[y, x]
                if abs(value) > NOTHING:
                    for a in range(total.size):
                        total[a] += value * weight[a]
        for a in range(total.size):
            sums[a, q] = total[a]


def _count_taps(size: int, cosines: Array, sines: Array, out: Array) -> None:
    """out[y, x, a] = how much of stored value (y, x) the taps of a kernel turned to azimuth a read in all."""
    middle = 0.5 * (size - 1)
    out[:] = 0
    for a in range(cosines.size):
        for down in range(size):
            for right in range(size):
                e, d = down - middle, right - middle
                row, col = cosines[a] * e + sines[a] * d + middle, -sines[a] * e + cosines[a] * d + middle
                r, c = int(np.floor(row)), int(np.floor(col))
                u, v = row - r, col - c
                for i in range(2):
                    for k in range(2):
                        if 0 <= r + i < size and 0 <= c + k < size:
                            out[r + i, c + k, a] += (u if i else 1 - u) * (v if k else 1 - v)


def _change(kernels: Array, others: Array, out: Array) -> None:
    """Sum of |kernels - others|, both (D, C, S, S), to out[0]."""
    total = 0.0
    for d in range(kernels.shape[0]):
        for c in range(kernels.shape[1]):
            for y in range(kernels.shape[2]):
                one, other = kernels[d, c, y], others[d, c, y]
                part = one.dtype.type(0)
                for x in range(one.size):
                    part += abs(one[x] - other[x])
                total += part
    out[0] = total


_change_compiled = numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})(_change)
_lay_out_compiled = numba.njit(cache=True, nogil=True, fastmath={"contract"})(_lay_out)
_count_compiled = numba.njit(cache=True, nogil=True)(_count_taps)


def lay_out(kernels: Array, rings: Array, counts: Array, pad: int, threads: int) -> tuple[Array, Array, Array]:
    """Kernels as the node reader wants them, how their light lies, and weighted sums.

    Args:
        kernels: Shape (D, R, C, S, S).
        rings: Number of the ring round the middle that a value belongs to, shape (S, S).
        counts: Weights of kernel values, shape (S, S, A).
        pad: Zeros round every kernel.
        threads: How many.

    Returns:
        Kernels, shape (R, S + 2 pad, S + 2 pad, D C); light by ring, float64, shape (R, D C, rings); sums, shape
        (R, A, D C).
    """
    depths, radii, channels, size = kernels.shape[:4]
    stored = np.empty((radii, size + 2 * pad, size + 2 * pad, depths * channels), kernels.dtype)
    light = np.empty((radii, depths * channels, int(rings.max()) + 1))
    sums = np.empty((radii, counts.shape[2], depths * channels), kernels.dtype)
    run_threads(
        lambda r: _lay_out_compiled(kernels[:, r], rings, counts, pad, stored[r], light[r], sums[r]),
        range(radii), threads,
    )  # fmt: skip
    return stored, light, sums


def count_taps(size: int, cosines: Array, sines: Array) -> Array:
    """How much of each stored value the taps of a turned kernel read in all.

    Args:
        size: Side of the kernels.
        cosines: Of the azimuths, shape (A,).
        sines: Of the azimuths, shape (A,).

    Returns:
        Shape (size, size, A).
    """
    out = np.empty((size, size, len(cosines)), cosines.dtype)
    _count_compiled(size, cosines, sines, out)
    return out


def change_between_radii(kernels: Array, threads: int) -> Array:
    """Mean L1 distance from each stored image height to the next.

    Args:
        kernels: Shape (D, R, C, S, S).
        threads: How many.

    Returns:
        Shape (R - 1,), float64.
    """
    steps = kernels.shape[1] - 1
    out = np.empty((steps, 1))
    run_threads(lambda r: _change_compiled(kernels[:, r], kernels[:, r + 1], out[r]), range(steps), threads)
    found: Array = out[:, 0] / (kernels.shape[0] * kernels.shape[2])
    return found
