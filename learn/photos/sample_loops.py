"""Compiled loops over the samples of a crop: how much detail it has, and integers to floats by a table."""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def _measure_high_pass(samples: Array, line: Array) -> tuple[float, float]:
    """Sum and sum of squares of grey less smoothed grey, over the pixels whose neighbours are all there.

    Args:
        samples: Shape (h, w, 3); grey is the sum of the three.
        line: Weights of the smoothing along an axis, of unit sum, shape (2 reach + 1,).
    """
    height, width = samples.shape[0], samples.shape[1]
    taps = line.shape[0]
    reach = taps // 2
    rows = np.empty((taps, width), np.float32)
    down = np.empty(width, np.float32)
    total = squares = np.float64(0)
    for y in range(height):
        fresh = rows[y % taps]
        for x in range(width):
            fresh[x] = np.float32(samples[y, x, 0]) + np.float32(samples[y, x, 1]) + np.float32(samples[y, x, 2])
        if y < taps - 1:
            continue
        first = y - taps + 1
        down[:] = 0
        for k in range(taps):
            row, weight = rows[(first + k) % taps], line[k]
            for x in range(width):
                down[x] += weight * row[x]
        middle = rows[(first + reach) % taps]
        line_total, line_squares = np.float32(0), np.float32(0)
        for x in range(reach, width - reach):
            smooth = np.float32(0)
            for k in range(taps):
                smooth += line[k] * down[x - reach + k]
            high = middle[x] - smooth
            line_total += high
            line_squares += high * high
        total += np.float64(line_total)
        squares += np.float64(line_squares)
    return total, squares


def _look_up(samples: Array, table: Array, out: Array) -> None:
    """out[c, y, x] = table[samples[y, x, c]].

    Args:
        samples: Integers, shape (h, w, 3), of any strides.
        table: Shape (values,).
        out: Shape (3, h, w).
    """
    for y in range(out.shape[1]):
        red, green, blue = out[0, y], out[1, y], out[2, y]
        for x in range(out.shape[2]):
            red[x] = table[samples[y, x, 0]]
            green[x] = table[samples[y, x, 1]]
            blue[x] = table[samples[y, x, 2]]


# Sums may be taken in any order: that is what lets the compiler use the vector units.
measure_high_pass = numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})(_measure_high_pass)
look_up = numba.njit(cache=True, nogil=True)(_look_up)
