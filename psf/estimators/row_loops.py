"""Compiled loops: a sharp picture read where the cells of turned kernels lie, and cells laid down on a kernel's pixels.

A kernel's value at a pixel is the light on that pixel's square. So what a point of light at t adds to a picture is the
picture's nearest pixel to p - t, and what a cell of light adds is the mean over the cell: between two pixels of the
same row it changes within the cell's width and is even elsewhere. Both loops do that, one is the other's transpose.
"""

import itertools
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from ..compiled import CONTRACT

Array = npt.NDArray[Any]

# Cells lie inside the picture; the pixel after may lie this far outside.
PAD = 2


def _read_rows(picture: Array, places: Array, half: int, out: Array) -> None:
    """Fill out (P, T + 1), the last column excepted, for places (P, 7)."""
    size = 2 * half + 1
    for p in range(places.shape[0]):
        x, y, c, s = places[p, 0] + PAD, places[p, 1] + PAD, places[p, 2], places[p, 3]
        centre, wide, high = places[p, 4], places[p, 5], places[p, 6]
        by_col = 1.0 / max(min(math.sqrt(c * c * wide * wide + s * s * high * high), 1.0), 1e-3)
        by_row = 1.0 / max(min(math.sqrt(s * s * wide * wide + c * c * high * high), 1.0), 1e-3)
        for d in range(half + 1):
            for i in range(size):
                along = centre + wide * (i - half)
                value = np.float32(0.0)
                for mirror in range(1 if d == 0 else 2):
                    below = high * d if mirror == 0 else -high * d
                    col = x - (c * along + s * below)
                    row = y - (c * below - s * along)
                    a, b = np.uint32(row), np.uint32(col)
                    u = min(
                        max((row - a - np.float32(0.5)) * by_row + np.float32(0.5), np.float32(0.0)), np.float32(1.0)
                    )
                    v = min(
                        max((col - b - np.float32(0.5)) * by_col + np.float32(0.5), np.float32(0.0)), np.float32(1.0)
                    )
                    above = picture[a, b] + v * (picture[a, b + 1] - picture[a, b])
                    under = picture[a + 1, b] + v * (picture[a + 1, b + 1] - picture[a + 1, b])
                    value += above + u * (under - above)
                out[p, d * size + i] = value


def _lay_cells(cells: Array, places: Array, half: int, oversample: int, out: Array) -> None:
    """Add the light of folded cells (N, T) to the squares of out (N, S, S); places (N, 5), see `lay_cells`."""
    size, side = 2 * half + 1, out.shape[-1]
    middle = 0.5 * side
    for n in range(cells.shape[0]):
        c, s, centre, wide, high = places[n, 0], places[n, 1], places[n, 2], places[n, 3], places[n, 4]
        width = max(min(math.sqrt(c * c * wide * wide + s * s * high * high), 1.0), 1e-3) * oversample
        height = max(min(math.sqrt(s * s * wide * wide + c * c * high * high), 1.0), 1e-3) * oversample
        for d in range(half + 1):
            for i in range(size):
                light = cells[n, d * size + i]
                if light == 0.0:
                    continue
                along = centre + wide * (i - half)
                for mirror in range(1 if d == 0 else 2):
                    below = high * d if mirror == 0 else -high * d
                    col = oversample * (c * along + s * below) + middle
                    row = oversample * (c * below - s * along) + middle
                    left, top = col - 0.5 * width, row - 0.5 * height
                    for r in range(max(math.floor(top), 0), min(math.floor(top + height), side - 1) + 1):
                        inside = max(min(top + height, r + 1.0) - max(top, float(r)), 0.0) / height
                        for k in range(max(math.floor(left), 0), min(math.floor(left + width), side - 1) + 1):
                            share = max(min(left + width, k + 1.0) - max(left, float(k)), 0.0) / width
                            out[n, r, k] += light * inside * share


_read_rows_compiled = numba.njit(cache=True, nogil=True, fastmath=CONTRACT)(_read_rows)
_lay_cells_compiled = numba.njit(cache=True, nogil=True, fastmath=CONTRACT)(_lay_cells)


def read_rows(picture: Array, places: Array, half: int, threads: int) -> Array:
    """Rows of a picture for so many pixels, one column of them more than taps (its content is the caller's).

    Args:
        picture: Padded by PAD on all sides, float32.
        places: Per pixel its column and row in the picture, cosine and sine of its azimuth, and of its cells the
            centre along the radius, the width along it and across it, in px: float32, shape (P, 7).
        half: Half of the number of cells along a side.
        threads: How many.

    Returns:
        Float32, shape (P, T + 1).
    """
    out = np.empty((len(places), (half + 1) * (2 * half + 1) + 1), dtype=np.float32)
    edges = np.linspace(0, len(out), min(max(threads, 1), max(len(out), 1)) + 1).astype(int)

    def work(ends: tuple[int, int]) -> None:
        part = slice(*ends)
        _read_rows_compiled(picture, places[part], half, out[part])

    parts = [(int(a), int(b)) for a, b in itertools.pairwise(edges)]
    if len(parts) == 1:
        work(parts[0])
        return out
    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(work, parts))
    return out


def lay_cells(cells: Array, places: Array, kernel_px: int, oversample: int) -> Array:
    """Light of folded cells on the squares of turned kernels.

    Args:
        cells: Shape (N, T).
        places: Cosine and sine of the azimuth, centre of the cells along the radius, width along it and across it:
            shape (N, 5).
        kernel_px: Side K of the kernels, in pixels.
        oversample: Squares per pixel and axis.

    Returns:
        Shape (N, O K, O K).
    """
    half = (math.isqrt(1 + 8 * cells.shape[1]) - 1) // 4
    out = np.zeros((len(cells), oversample * kernel_px, oversample * kernel_px), dtype=cells.dtype)
    _lay_cells_compiled(cells, places, half, oversample, out)
    return out
