"""Compiled loop of `pupils`: a kernel's light, shared evenly among rays."""

import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Bins of a kernel's polar histogram, and samples that its light is spread on along the longer side at least.
AZIMUTHS, DISTANCES, FINE = 64, 128, 96


def _scan_kernel(kernel: Array, step: float, places: Array, beyond: bool, out: Array) -> None:
    """Offsets right and up (A, 2) in px that share a kernel's light evenly, matched by quantiles (`pupils`).

    Light is even over each stored square, `step` px wide. The light's azimuths begin at -180 degrees (0 beyond the
    crossing, so that the first ray is the same ray).
    """
    size = kernel.shape[0]
    half = 0.5 * (size - 1)
    total, cy, cx = 0.0, 0.0, 0.0
    top, bottom, left, right = size, -1, size, -1
    for i in range(size):
        for j in range(size):
            if kernel[i, j] > 0:
                total += kernel[i, j]
                cy += kernel[i, j] * (half - i)
                cx += kernel[i, j] * (j - half)
                top, bottom = min(top, i), max(bottom, i)
                left, right = min(left, j), max(right, j)
    cy, cx = cy / total, cx / total
    fine = max(1, math.ceil(FINE / max(bottom - top + 1, right - left + 1)))
    reach = 0.0
    for y in (top - 0.5, bottom + 0.5):
        for x in (left - 0.5, right + 0.5):
            reach = max(reach, math.hypot(half - y - cy, x - half - cx))
    light = np.zeros((AZIMUTHS, DISTANCES))
    origin = 0.0 if beyond else -math.pi
    for i in range(top, bottom + 1):
        for j in range(left, right + 1):
            if kernel[i, j] <= 0:
                continue
            for a in range(fine):
                up = half - i - cy + (a + 0.5) / fine - 0.5
                for b in range(fine):
                    across = j - half - cx + (b + 0.5) / fine - 0.5
                    turn = ((math.atan2(up, across) - origin) / (2 * math.pi)) % 1.0
                    u = min(int(turn * AZIMUTHS), AZIMUTHS - 1)
                    v = min(int(math.hypot(up, across) / reach * DISTANCES), DISTANCES - 1)
                    light[u, v] += kernel[i, j]
    around = np.zeros(AZIMUTHS + 1)
    along = np.zeros((AZIMUTHS, DISTANCES + 1))
    for u in range(AZIMUTHS):
        for v in range(DISTANCES):
            along[u, v + 1] = along[u, v] + light[u, v]
        around[u + 1] = around[u] + along[u, DISTANCES]
    for n in range(places.shape[0]):
        wanted = places[n, 0] * around[AZIMUTHS]
        u = min(max(np.searchsorted(around, wanted) - 1, 0), AZIMUTHS - 1)
        while along[u, DISTANCES] == 0.0:
            u = (u + 1) % AZIMUTHS
        part = min(max((wanted - around[u]) / along[u, DISTANCES], 0.0), 1.0)
        angle = origin + 2 * math.pi * (u + part) / AZIMUTHS
        wanted = places[n, 1] * along[u, DISTANCES]
        v = min(max(np.searchsorted(along[u], wanted) - 1, 0), DISTANCES - 1)
        within = along[u, v + 1] - along[u, v]
        inner = (wanted - along[u, v]) / within if within > 0 else 0.5
        # Even light over a ring's area, not over its radius.
        distance = math.sqrt(v * v + inner * (2 * v + 1)) / DISTANCES * reach
        out[n, 0] = step * (cx + distance * math.cos(angle))
        out[n, 1] = step * (cy + distance * math.sin(angle))


scan_kernel = numba.njit(cache=True, nogil=True)(_scan_kernel)
