"""Compiled loops: a sharp picture read where the cells of turned kernels lie, and cells laid down on a kernel's pixels.

A kernel's value at a pixel is the light on that pixel's square. So what a point of light at t adds to a picture is the
picture's nearest pixel to p - t, and what a cell of light adds is the mean over the cell: between two pixels of the
same row it changes within the cell's width and is even elsewhere. Both loops do that, one is the other's transpose.
"""

import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from ..compiled import CONTRACT

Array = npt.NDArray[Any]

# Cells lie inside the picture; what they reach beyond their middles may lie this far outside.
PAD = 8


def _spread(core: float, extent: float, half: int, inner: int, place: Array, width: Array) -> None:
    """Middles (half + 1,) and widths of cells from the axis outwards.

    The cell on the axis and `inner` more are alike and reach as far as the core; the others grow outwards, each as many
    times wider than the one before as it takes to reach the extent.
    """
    outer = half - inner
    if outer <= 0 or core * (half + 0.5) >= extent * (inner + 0.5):
        core, growth = extent * (inner + 0.5) / (half + 0.5), 1.0
    else:
        wanted = (extent - core) * (inner + 0.5) / core
        low, high = 1.0, 8.0
        for _ in range(40):
            growth = 0.5 * (low + high)
            total, term = 0.0, 1.0
            for _k in range(outer):
                term *= growth
                total += term
            if total < wanted:
                low = growth
            else:
                high = growth
    size, edge = core / (inner + 0.5), 0.5 * core / (inner + 0.5)
    place[0], width[0] = 0.0, size
    for i in range(1, half + 1):
        if i > inner:
            size *= growth
        place[i], width[i] = edge + 0.5 * size, size
        edge += size


spread = numba.njit(cache=True, nogil=True)(_spread)


def _overlap(low: float, size: float, pixel: int) -> float:
    """Share of an interval from `low` on that a pixel's square holds; pixels have their middles at whole numbers."""
    inside = min(low + size, pixel + 0.5) - max(low, pixel - 0.5)
    return max(inside, 0.0) / size


overlap = numba.njit(cache=True, nogil=True, inline="always")(_overlap)


def _read_rows(picture: Array, places: Array, half: int, inner: int, out: Array) -> None:
    """Fill out (P, T + 1), the last column excepted, for places (P, 8)."""
    size = 2 * half + 1
    along, wide = np.empty(half + 1), np.empty(half + 1)
    across, high = np.empty(half + 1), np.empty(half + 1)
    for p in range(places.shape[0]):
        x, y, c, s = places[p, 0] + PAD, places[p, 1] + PAD, places[p, 2], places[p, 3]
        centre = places[p, 4]
        spread(places[p, 5], places[p, 7], half, inner, along, wide)
        spread(places[p, 6], places[p, 7], half, inner, across, high)
        for d in range(half + 1):
            for i in range(size):
                k = i - half
                right = centre + (along[k] if k >= 0 else -along[-k])
                w, h = wide[abs(k)], high[d]
                extent_x = max(math.sqrt(c * c * w * w + s * s * h * h), 1e-3)
                extent_y = max(math.sqrt(s * s * w * w + c * c * h * h), 1e-3)
                value = np.float32(0.0)
                for mirror in range(1 if d == 0 else 2):
                    below = across[d] if mirror == 0 else -across[d]
                    col = x - (c * right + s * below)
                    row = y - (c * below - s * right)
                    if extent_x <= 1.0 and extent_y <= 1.0:
                        a, b = np.uint32(row), np.uint32(col)
                        u = np.float32(min(max((row - a - 0.5) / extent_y + 0.5, 0.0), 1.0))
                        v = np.float32(min(max((col - b - 0.5) / extent_x + 0.5, 0.0), 1.0))
                        above = picture[a, b] + v * (picture[a, b + 1] - picture[a, b])
                        under = picture[a + 1, b] + v * (picture[a + 1, b + 1] - picture[a + 1, b])
                        value += above + u * (under - above)
                        continue
                    top, left = row - 0.5 * extent_y, col - 0.5 * extent_x
                    light = 0.0
                    for m in range(int(top + 0.5), int(top + extent_y + 0.5) + 1):
                        line = 0.0
                        for q in range(int(left + 0.5), int(left + extent_x + 0.5) + 1):
                            line += overlap(left, extent_x, q) * picture[m, q]
                        light += overlap(top, extent_y, m) * line
                    value += light
                out[p, d * size + i] = value


def _lay_cells(cells: Array, places: Array, half: int, inner: int, oversample: int, out: Array) -> None:
    """Add the light of folded cells (N, T) to the squares of out (N, S, S); places (N, 6), see `lay_cells`."""
    size, side = 2 * half + 1, out.shape[-1]
    middle = 0.5 * (side - 1)
    along, wide = np.empty(half + 1), np.empty(half + 1)
    across, high = np.empty(half + 1), np.empty(half + 1)
    for n in range(cells.shape[0]):
        c, s, centre = places[n, 0], places[n, 1], places[n, 2]
        spread(places[n, 3], places[n, 5], half, inner, along, wide)
        spread(places[n, 4], places[n, 5], half, inner, across, high)
        for d in range(half + 1):
            for i in range(size):
                light = cells[n, d * size + i]
                if light == 0.0:
                    continue
                k = i - half
                right = centre + (along[k] if k >= 0 else -along[-k])
                w, h = wide[abs(k)], high[d]
                width = max(math.sqrt(c * c * w * w + s * s * h * h), 1e-3) * oversample
                height = max(math.sqrt(s * s * w * w + c * c * h * h), 1e-3) * oversample
                for mirror in range(1 if d == 0 else 2):
                    below = across[d] if mirror == 0 else -across[d]
                    left = oversample * (c * right + s * below) + middle - 0.5 * width
                    top = oversample * (c * below - s * right) + middle - 0.5 * height
                    for r in range(max(math.floor(top + 0.5), 0), min(math.floor(top + height + 0.5), side - 1) + 1):
                        share = overlap(top, height, r)
                        for q in range(
                            max(math.floor(left + 0.5), 0), min(math.floor(left + width + 0.5), side - 1) + 1
                        ):
                            out[n, r, q] += light * share * overlap(left, width, q)


_read_rows_compiled = numba.njit(cache=True, nogil=True, fastmath=CONTRACT)(_read_rows)
_lay_cells_compiled = numba.njit(cache=True, nogil=True, fastmath=CONTRACT)(_lay_cells)


def read_rows(picture: Array, places: Array, half: int, inner: int) -> Array:
    """Rows of a picture for so many pixels, one column of them more than cells (its content is the caller's).

    Args:
        picture: Padded by PAD on all sides, float32.
        places: Per pixel its column and row in the picture, cosine and sine of its azimuth, and of its cells the
            centre along the radius, half the core along it and across it, and half of the whole extent, in px:
            float32, shape (P, 8).
        half: Half of the number of cells along a side.
        inner: Half of those in the core.

    Returns:
        Float32, shape (P, T + 1).
    """
    out = np.empty((len(places), (half + 1) * (2 * half + 1) + 1), dtype=np.float32)
    _read_rows_compiled(picture, places, half, inner, out)
    return out


def lay_cells(cells: Array, places: Array, inner: int, kernel_px: int, oversample: int) -> Array:
    """Light of folded cells on the squares of turned kernels.

    Args:
        cells: Shape (N, T).
        places: Cosine and sine of the azimuth, then as the last four of `read_rows`: shape (N, 6).
        inner: Half of the number of cells in the core.
        kernel_px: Side K of the kernels, in pixels.
        oversample: Squares per pixel and axis.

    Returns:
        Shape (N, O K, O K).
    """
    half = (math.isqrt(1 + 8 * cells.shape[1]) - 1) // 4
    out = np.zeros((len(cells), oversample * kernel_px, oversample * kernel_px), dtype=cells.dtype)
    _lay_cells_compiled(cells, places, half, inner, oversample, out)
    return out


def find_widths(core: Array, extent: Array, half: int, inner: int) -> Array:
    """Widths of cells from the axis outwards, shape (N, half + 1), of cores and extents, each of shape (N,)."""
    place, width = np.empty(half + 1), np.empty((len(core), half + 1))
    for n in range(len(core)):
        spread(core[n], extent[n], half, inner, place, width[n])
    return width
