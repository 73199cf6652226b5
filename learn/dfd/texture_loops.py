"""Compiled loops that paint textures: discs and strokes, the nearest first, with edges that cover pixels in part."""

import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# A pixel that lets less than this through takes no more paint.
COVERED = 1e-3


def _paint_strokes(strokes: Array, colours: Array, picture: Array, free: Array) -> None:
    """Paint strokes of round ends, the first on top.

    Args:
        strokes: Columns and rows of both ends, and radius, in px, float64 (N, 5); ends that coincide make a disc.
        colours: float64 (N, 3).
        picture: Changed in place, float64 (H, W, 3).
        free: Share of each pixel that no stroke covers yet, changed in place, float64 (H, W).
    """
    height, width = free.shape
    for n in range(len(strokes)):
        x0, y0, x1, y1, radius = strokes[n]
        across, down = x1 - x0, y1 - y0
        squared = across * across + down * down
        reach = radius + 1
        top, bottom = max(0, math.floor(min(y0, y1) - reach)), min(height - 1, math.ceil(max(y0, y1) + reach))
        left, right = max(0, math.floor(min(x0, x1) - reach)), min(width - 1, math.ceil(max(x0, x1) + reach))
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                if free[y, x] < COVERED:
                    continue
                place = 0.0
                if squared > 0:
                    place = min(1.0, max(0.0, ((x - x0) * across + (y - y0) * down) / squared))
                distance = math.hypot(x - x0 - place * across, y - y0 - place * down)
                # Strokes thinner than a pixel cover it as much as they are wide.
                cover = min(radius - distance + 0.5, 2 * radius, 1.0)
                if cover <= 0:
                    continue
                share = cover * free[y, x]
                for c in range(3):
                    picture[y, x, c] += share * colours[n, c]
                free[y, x] -= share


paint_strokes = numba.njit(cache=True, nogil=True)(_paint_strokes)


def paint(strokes: Array, colours: Array, ground: Array) -> Array:
    """Strokes on a ground, the first on top.

    Args:
        strokes: As `paint_strokes` takes them.
        colours: float64 (N, 3).
        ground: float64 (H, W, 3).

    Returns:
        float64 (H, W, 3).
    """
    picture, free = np.zeros_like(ground), np.ones(ground.shape[:2])
    paint_strokes(strokes, colours, picture, free)
    return picture + free[..., None] * ground
