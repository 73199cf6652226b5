"""Compiled loops: rays of a pupil, as far as apertures let them pass, and their light on cells or on pixels.

A pupil function W gives where the ray through the pupil point (u, v) lands: (dW/du, e dW/dv) in pixels. Its monomials
are u^k (u^2 + v^2)^j: even in v, as the mirror symmetry wants. Only the upper half of the pupil is traced, each ray
stands for its mirror image too. Rays lie on even angles about a point inside every aperture and reach as far as the
first aperture's rim, so no rim ever cuts between two rays and light changes smoothly with where the rims are.

What describes one kernel are its Q + 4 + 2 S locals: the coefficients of W, e, three coefficients of the logarithm of
the light (u, u^2 + v^2, and their product), and place and radius of S circles that clip the unit disc.
"""

import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from ..compiled import CONTRACT
from .row_loops import spread

Array = npt.NDArray[Any]

# Rings lie between equal areas (1/2) and equal steps (1).
RING_POWER = 0.6
# A ray's light covers its neighbours' places: this many times half the distance to them on either side, but no less
# than LEAST_PX.
OVERLAP, LEAST_PX = 1.6, 0.03
# A kernel with less of its light in the window says nothing of how to change it.
LEAST_LIGHT = 0.05
# Rims nearer than this count as this.
LEAST_RIM = 0.01


def _share_below(t: float) -> float:
    """Light below t of a hump 3/4 (1 - t^2) from -1 to 1."""
    t = min(max(t, -1.0), 1.0)
    return 0.5 + 0.75 * t - 0.25 * t * t * t


def _hump(t: float) -> float:
    return max(0.75 * (1.0 - t * t), 0.0)


share_below = numba.njit(cache=True, nogil=True, inline="always")(_share_below)
hump = numba.njit(cache=True, nogil=True, inline="always")(_hump)


def _trace(
    found: Array,
    k_power: Array,
    j_power: Array,
    rings: int,
    angles: int,
    slopes: bool,
    rays: Array,
    by_x: Array,
    by_y: Array,
    by_light: Array,
) -> None:
    """Fill rays (n, 5): right, up (of the upper half), light, half widths along both; and their derivatives (n, L)."""
    count = k_power.size
    circles = (found.size - count - 4) // 2
    ratio, tilt, hollow, skew = found[count], found[count + 1], found[count + 2], found[count + 3]
    low, high, most = -1.0, 1.0, 0
    for s in range(circles):
        place, radius = found[count + 4 + 2 * s], found[count + 5 + 2 * s]
        low, high = max(low, place - radius), min(high, place + radius)
    for q in range(count):
        most = max(most, k_power[q] + 2 * j_power[q])
    middle = 0.5 * (low + high)
    step = math.pi / angles
    us, rs = np.empty(most + 3), np.empty(most + 3)
    n = 0
    for a in range(angles):
        cosine, sine = math.cos((a + 0.5) * step), math.sin((a + 0.5) * step)
        rim = -middle * cosine + math.sqrt(max(1 - (middle * sine) ** 2, 1e-9))
        binding, by_place, by_radius = -1, 0.0, 0.0
        for s in range(circles):
            radius, off = found[count + 5 + 2 * s], middle - found[count + 4 + 2 * s]
            root = math.sqrt(max(radius * radius - (off * sine) ** 2, 1e-9))
            if root - off * cosine < rim:
                rim, binding = root - off * cosine, s
                by_place, by_radius = cosine + off * sine * sine / root, radius / root
        if rim < LEAST_RIM:
            rim, by_place, by_radius = LEAST_RIM, 0.0, 0.0
        for i in range(rings):
            inner, outer = (i / rings) ** RING_POWER, ((i + 1) / rings) ** RING_POWER
            share = math.sqrt(0.5 * (inner * inner + outer * outer))
            rho = share * rim
            u, v = middle + rho * cosine, rho * sine
            r = u * u + v * v
            us[0], rs[0] = 1.0, 1.0
            for p in range(1, most + 3):
                us[p], rs[p] = us[p - 1] * u, rs[p - 1] * r
            x, y, uu, uv, vv = 0.0, 0.0, 0.0, 0.0, 0.0
            for q in range(count):
                k, j = k_power[q], j_power[q]
                du, dv = 0.0, 0.0
                if k > 0:
                    du = k * us[k - 1] * rs[j]
                if j > 0:
                    du += 2 * j * us[k + 1] * rs[j - 1]
                    dv = 2 * j * v * us[k] * rs[j - 1]
                w = found[q]
                x += w * du
                y += w * dv
                if slopes:
                    by_x[n, q], by_y[n, q], by_light[n, q] = du, ratio * dv, 0.0
                if k > 1:
                    uu += w * k * (k - 1) * us[k - 2] * rs[j]
                if j > 0:
                    uu += w * 2 * j * (2 * k + 1) * us[k] * rs[j - 1]
                    vv += w * 2 * j * us[k] * rs[j - 1]
                    if k > 0:
                        uv += w * 2 * j * k * v * us[k - 1] * rs[j - 1]
                if j > 1:
                    uu += w * 4 * j * (j - 1) * us[k + 2] * rs[j - 2]
                    uv += w * 4 * j * (j - 1) * v * us[k + 1] * rs[j - 2]
                    vv += w * 4 * j * (j - 1) * v * v * us[k] * rs[j - 2]
            # How the landing point moves outwards along the angle, and with the angle.
            out_x, out_y = uu * cosine + uv * sine, ratio * (uv * cosine + vv * sine)
            round_x, round_y = rho * (uv * cosine - uu * sine), ratio * rho * (vv * cosine - uv * sine)
            size = (outer - inner) * rim
            rays[n, 0], rays[n, 1] = x, ratio * y
            rays[n, 2] = (outer * outer - inner * inner) * rim * rim * math.exp(tilt * u + hollow * r + skew * u * r)
            rays[n, 3] = max(0.5 * OVERLAP * math.hypot(out_x * size, round_x * step), LEAST_PX)
            rays[n, 4] = max(0.5 * OVERLAP * math.hypot(out_y * size, round_y * step), LEAST_PX)
            if slopes:
                for m in range(count, found.size):
                    by_x[n, m], by_y[n, m], by_light[n, m] = 0.0, 0.0, 0.0
                by_y[n, count] = y
                by_light[n, count + 1], by_light[n, count + 2], by_light[n, count + 3] = u, r, u * r
                if binding >= 0:
                    inward = (tilt + skew * r) * cosine + 2 * (hollow + skew * u) * (u * cosine + v * sine)
                    for m in range(2):
                        move = by_place if m == 0 else by_radius
                        where = count + 4 + 2 * binding + m
                        by_x[n, where], by_y[n, where] = out_x * share * move, out_y * share * move
                        by_light[n, where] = 2 * move / rim + inward * share * move
            n += 1


def _lay_rays(
    rays: Array,
    by_x: Array,
    by_y: Array,
    by_light: Array,
    slopes: bool,
    cells: Array,
    half: int,
    inner: int,
    out: Array,
    by: Array,
) -> None:
    """Add rays to folded cells out (T,) and derivatives to by (T, L)."""
    side = 2 * half + 1
    place, width = np.empty(half + 1), np.empty(half + 1)
    columns, rows = np.empty(side + 1), np.empty(side + 1)
    for axis in range(2):
        edges = columns if axis == 0 else rows
        spread(cells[1 + axis], cells[3], half, inner, place, width)
        for k in range(half + 1):
            edges[half + 1 + k] = place[k] + 0.5 * width[k]
            edges[half - k] = -edges[half + 1 + k]
    in_column, in_row = np.empty(side), np.empty(side)
    slope_column, slope_row = np.empty(side), np.empty(side)
    for n in range(rays.shape[0]):
        x, y, wide, high = rays[n, 0] - cells[0], rays[n, 1], rays[n, 3], rays[n, 4]
        if x + wide <= columns[0] or x - wide >= columns[side] or y + high <= rows[0] or y - high >= rows[side]:
            continue
        left = max(np.searchsorted(columns, x - wide, side="right") - 1, 0)
        right = min(np.searchsorted(columns, x + wide, side="left"), side)
        top = max(np.searchsorted(rows, y - high, side="right") - 1, 0)
        bottom = min(np.searchsorted(rows, y + high, side="left"), side)
        for i in range(left, right):
            t0, t1 = (columns[i] - x) / wide, (columns[i + 1] - x) / wide
            in_column[i], slope_column[i] = share_below(t1) - share_below(t0), (hump(t0) - hump(t1)) / wide
        for i in range(top, bottom):
            t0, t1 = (rows[i] - y) / high, (rows[i + 1] - y) / high
            in_row[i], slope_row[i] = share_below(t1) - share_below(t0), (hump(t0) - hump(t1)) / high
        for row in range(top, bottom):
            # The mirror image falls on the same folded cell, and on the axis into the same cell.
            light = 2.0 * rays[n, 2] if row == half else rays[n, 2]
            for i in range(left, right):
                cell = abs(row - half) * side + i
                value = light * in_column[i] * in_row[row]
                out[cell] += value
                if slopes:
                    along, across = light * slope_column[i] * in_row[row], light * in_column[i] * slope_row[row]
                    for m in range(by.shape[1]):
                        by[cell, m] += along * by_x[n, m] + across * by_y[n, m] + value * by_light[n, m]


def _fill_cells(
    found: Array,
    cells: Array,
    k_power: Array,
    j_power: Array,
    rings: int,
    angles: int,
    half: int,
    inner: int,
    slopes: bool,
    out: Array,
    by: Array,
) -> None:
    """Unit-sum folded cells out (N, T) and their derivatives by (N, T, L)."""
    size, side = found.shape[1], 2 * half + 1
    count = rings * angles
    rays = np.empty((count, 5))
    by_x, by_y, by_light = np.zeros((count, size)), np.zeros((count, size)), np.zeros((count, size))
    one, total = np.zeros((out.shape[1], size)), np.zeros(size)
    for n in range(found.shape[0]):
        trace(found[n], k_power, j_power, rings, angles, slopes, rays, by_x, by_y, by_light)
        row = out[n]
        row[:] = 0.0
        if slopes:
            one[:] = 0.0
        lay_rays(rays, by_x, by_y, by_light, slopes, cells[n], half, inner, row, one)
        light = 0.0
        for t in range(row.size):
            light += row[t] if t < side else 2.0 * row[t]
        everything = 0.0
        for ray in range(count):
            everything += 2.0 * rays[ray, 2]
        known = light > LEAST_LIGHT * everything
        light = max(light, 1e-12)
        for t in range(row.size):
            row[t] /= light
        if slopes and not known:
            by[n] = 0.0
        if slopes and known:
            total[:] = 0.0
            for t in range(row.size):
                for m in range(size):
                    total[m] += one[t, m] if t < side else 2.0 * one[t, m]
            for t in range(row.size):
                for m in range(size):
                    by[n, t, m] = (one[t, m] - row[t] * total[m]) / light


def _fill_kernels(
    found: Array, turned: Array, k_power: Array, j_power: Array, rings: int, angles: int, oversample: int, out: Array
) -> None:
    """Add turned light to squares out (N, S, S), then divide by its sum; turned (N, 2): cosine, sine."""
    side = out.shape[-1]
    middle = 0.5 * (side - 1)
    rays, nothing = np.empty((rings * angles, 5)), np.zeros((1, found.shape[1]))
    in_column = np.empty(side)
    for n in range(found.shape[0]):
        trace(found[n], k_power, j_power, rings, angles, False, rays, nothing, nothing, nothing)
        c, s = turned[n, 0], turned[n, 1]
        light = 0.0
        for ray in range(rays.shape[0]):
            wide = oversample * math.hypot(c * rays[ray, 3], s * rays[ray, 4])
            high = oversample * math.hypot(s * rays[ray, 3], c * rays[ray, 4])
            right = rays[ray, 0]
            for mirror in range(2):
                below = rays[ray, 1] if mirror == 0 else -rays[ray, 1]
                x, y = oversample * (c * right + s * below) + middle, oversample * (c * below - s * right) + middle
                left, last = max(math.floor(x - wide + 0.5), 0), min(math.floor(x + wide + 0.5), side - 1)
                top, bottom = max(math.floor(y - high + 0.5), 0), min(math.floor(y + high + 0.5), side - 1)
                for i in range(left, last + 1):
                    in_column[i] = share_below((i + 0.5 - x) / wide) - share_below((i - 0.5 - x) / wide)
                for row in range(top, bottom + 1):
                    share = share_below((row + 0.5 - y) / high) - share_below((row - 0.5 - y) / high)
                    for i in range(left, last + 1):
                        value = rays[ray, 2] * share * in_column[i]
                        out[n, row, i] += value
                        light += value
        if light > 0.0:
            for row in range(side):
                for i in range(side):
                    out[n, row, i] /= light


trace = numba.njit(cache=True, nogil=True, fastmath=CONTRACT)(_trace)
lay_rays = numba.njit(cache=True, nogil=True, fastmath=CONTRACT)(_lay_rays)
_fill_cells_compiled = numba.njit(cache=True, nogil=True, fastmath=CONTRACT)(_fill_cells)
_fill_kernels_compiled = numba.njit(cache=True, nogil=True, fastmath=CONTRACT)(_fill_kernels)


def fill_cells(
    found: Array, cells: Array, powers: Array, rays: tuple[int, int], half: int, inner: int, *, slopes: bool
) -> tuple[Array, Array]:
    """Folded cells of kernels at azimuth 0.

    Args:
        found: Locals of every kernel, shape (N, L).
        cells: As `sizing.find_cells`, shape (N, 4).
        powers: Of u and of u^2 + v^2 of every monomial of W, shape (2, Q).
        rays: Rings, and angles of half the pupil.
        half: Half of the number of cells along a side.
        inner: Half of those in the core.
        slopes: Whether derivatives are wanted.

    Returns:
        Unit-sum cells, float64, shape (N, T), and their derivatives by the locals, float32, shape (N, T, L) or empty.
    """
    count = (half + 1) * (2 * half + 1)
    out = np.zeros((len(found), count))
    by = np.zeros((len(found), count, found.shape[1]) if slopes else (1, 1, 1), dtype=np.float32)
    _fill_cells_compiled(found, cells, powers[0], powers[1], *rays, half, inner, slopes, out, by)
    return out, by


def fill_kernels(
    found: Array, turned: Array, powers: Array, rays: tuple[int, int], kernel_px: int, oversample: int = 1
) -> Array:
    """Kernels of unit sum, turned.

    Args:
        found: As in `fill_cells`, shape (N, L).
        turned: Cosine and sine of every azimuth, shape (N, 2).
        powers: As in `fill_cells`.
        rays: Rings, and angles of half the pupil.
        kernel_px: Side K.
        oversample: Squares per pixel and axis.

    Returns:
        Float64, shape (N, O K, O K).
    """
    out = np.zeros((len(found), oversample * kernel_px, oversample * kernel_px))
    _fill_kernels_compiled(found, turned, powers[0], powers[1], *rays, oversample, out)
    return out
