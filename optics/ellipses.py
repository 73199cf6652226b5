"""The smallest ellipse round points, compiled."""

# mypy: disallow-untyped-decorators=False
from __future__ import annotations

import numpy as np
from numba import njit

from .disc import Array
from .loops import OPTIONS

_MOST_ROUNDS = 200
# Within half a percent of the smallest: a bundle's margin is larger.
_NEARLY = 2.01


def enclose(u: Array, v: Array) -> tuple[Array, Array, Array]:
    """Smallest ellipses, symmetric about v = 0, round points and their mirror images in v.

    Args:
        u: Shape (R, N).
        v: Shape (R, N).

    Returns:
        Centres along u, semi-axes along u and along v, shape (R,) each.
    """
    found = np.empty((3, len(u)))
    _ascend(np.ascontiguousarray(u), np.ascontiguousarray(v), found)
    return found[0], found[1], found[2]


@njit(**OPTIONS)
def _ascend(u, v, found):  # type: ignore[no-untyped-def]
    """Khachiyan's ascent on the dual weights."""
    rows, count = u.shape
    weights, distance = np.empty(count), np.empty(count)
    for r in range(rows):
        x, y = u[r], v[r]
        weights[:] = 1.0 / count
        centre, xx, yy, largest = 0.0, 0.0, 0.0, 0.0
        for _ in range(_MOST_ROUNDS):
            # With the mirror images the weighted mean has v = 0 and the matrix is diagonal in (u - centre, v).
            centre, xx, yy, largest = 0.0, 0.0, 0.0, 0.0
            for i in range(count):
                centre += weights[i] * x[i]
            for i in range(count):
                xx += weights[i] * (x[i] - centre) ** 2
                yy += weights[i] * y[i] ** 2
            for i in range(count):
                distance[i] = (x[i] - centre) ** 2 / xx + y[i] ** 2 / yy
                largest = max(largest, distance[i])
            if largest < _NEARLY:
                break
            total = 0.0
            for i in range(count):
                weights[i] *= distance[i]
                total += weights[i]
            for i in range(count):
                weights[i] /= total
        found[0, r] = centre
        found[1, r], found[2, r] = np.sqrt(xx * largest), np.sqrt(yy * largest)
