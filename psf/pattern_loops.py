"""Discs that lie on one another, painted in compiled loops."""

from typing import Any

import numba
import numpy as np

Array = np.ndarray[Any, Any]


def _paint(canvas: Array, covered: Array, x_px: Array, y_px: Array, radius_px: Array, colours: Array) -> int:
    """Lay discs under those that are there: canvas (C, H, W), covered (H, W), places (N,), colours (N, C).

    Returns how many pixels were covered anew.
    """
    channels, height, width = canvas.shape
    painted = 0
    for n in range(x_px.size):
        x, y, radius = x_px[n], y_px[n], radius_px[n]
        first, last = max(int(np.ceil(y - radius)), 0), min(int(np.floor(y + radius)), height - 1)
        for row in range(first, last + 1):
            half = np.sqrt(max(radius * radius - (row - y) ** 2, 0.0))
            for column in range(max(int(np.ceil(x - half)), 0), min(int(np.floor(x + half)), width - 1) + 1):
                if not covered[row, column]:
                    covered[row, column] = True
                    painted += 1
                    for channel in range(channels):
                        canvas[channel, row, column] = colours[n, channel]
    return painted


paint = numba.njit(cache=True, nogil=True)(_paint)
