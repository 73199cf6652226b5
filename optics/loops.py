"""The inner loops of the fast grid: from smooth landing maps to kernels, compiled.

For each kernel the maps of the field are combined to its depth and wavelength, the bundle's rim is solved for every
angle as the smallest root of any surface's clearance, sub-rays are evaluated between centre and rim, and each leaves
its cell's light on the pixels as a box. Inner loops run over angles or rings and become vector instructions.
"""

# mypy: disallow-untyped-decorators=False
from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

# Points of the scan for notches, and what narrows a root down.
_SCAN = 96
_ROOT_STEPS = 10
_NEWTON = 7
_MOST_PATCHES = 3
# Narrower than any difference that a pixel could show; keeps divisions by the width finite.
_SMALLEST_PX = 1e-3

OPTIONS: dict[str, Any] = {
    "nogil": True,
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"contract", "reassoc", "nsz"},
}


@njit(**OPTIONS)
def combine(maps, depth_weights, wave_weights, out):  # type: ignore[no-untyped-def]
    """Maps (nq, nw, 2 + S, 2, n, m/2) of a field at one depth and wavelength: x, y and the clearances that can cut."""
    out[:] = 0.0
    for iq in range(len(depth_weights)):
        for iw in range(len(wave_weights)):
            factor = depth_weights[iq] * wave_weights[iw]
            if factor != 0.0:
                for c in range(len(out)):
                    source = maps[iq, iw, c].ravel()
                    target = out[c].ravel()
                    for i in range(len(target)):
                        target[i] += factor * source[i]


@njit(**OPTIONS)
def to_lines(combined, cosines, sines, lines):  # type: ignore[no-untyped-def]
    """Polynomials in rho for every angle: lines (c, 2 n, A) from combined (c, 2, n, m/2) and harmonics (2, m/2, A)."""
    lines[:] = 0.0
    count, _, n, mh = combined.shape
    for c in range(count):
        harmonics = sines if c == 1 else cosines
        for p in range(2):
            for i in range(n):
                row = lines[c, 2 * i + p]
                for k in range(mh):
                    a, wave = combined[c, p, i, k], harmonics[p, k]
                    for j in range(len(row)):
                        row[j] += a * wave[j]


@njit(**OPTIONS)
def single_rims(g, rim, scratch):  # type: ignore[no-untyped-def]
    """Rims (A,) of half lines whose clearances g (S, P, A) only rise: Newton from outside. Returns how many are 1."""
    degree, angles = g.shape[1] - 1, g.shape[2]
    value, rate, rho = scratch[0], scratch[1], scratch[2]
    rim[:] = 1.0
    opened = angles
    for s in range(len(g)):
        for j in range(angles):
            rho[j] = rim[j]
        for step in range(_NEWTON):
            for j in range(angles):
                value[j], rate[j] = g[s, degree, j], 0.0
            for p in range(degree - 1, -1, -1):
                row = g[s, p]
                for j in range(angles):
                    rate[j] = rate[j] * rho[j] + value[j]
                    value[j] = value[j] * rho[j] + row[j]
            largest = 0.0
            for j in range(angles):
                # Where this surface does not cut inside the present rim, nothing moves.
                move = value[j] / rate[j] if (value[j] > 0.0 and rate[j] > 0.0) or step > 0 else 0.0
                move = move if rho[j] < rim[j] or step == 0 else 0.0
                rho[j] -= move
                largest = max(largest, abs(move))
            if largest < 1e-9:
                break
        for j in range(angles):
            rim[j] = min(rim[j], max(rho[j], 0.0))
    for j in range(angles):
        if rim[j] < 1.0:
            opened -= 1
    return opened


@njit(**OPTIONS)
def _clearance(g, s, j, rho):  # type: ignore[no-untyped-def]
    """Clearance of one surface of g (S, P, A) on half line j at rho."""
    v = 0.0
    for p in range(g.shape[1] - 1, -1, -1):
        v = v * rho + g[s, p, j]
    return v


@njit(**OPTIONS)
def scan(g, steps, largest, binding, scratch):  # type: ignore[no-untyped-def]
    """Largest clearance (I, A) of any surface at steps (I,) along every half line, and the surface that has it."""
    value = scratch[0]
    for i in range(len(steps)):
        rho = steps[i]
        for s in range(len(g)):
            value[:] = g[s, g.shape[1] - 1]
            for p in range(g.shape[1] - 2, -1, -1):
                row = g[s, p]
                for j in range(len(value)):
                    value[j] = value[j] * rho + row[j]
            for j in range(len(value)):
                if s == 0 or value[j] > largest[i, j]:
                    largest[i, j], binding[i, j] = value[j], s


@njit(**OPTIONS)
def _root(g, s, j, live, dead):  # type: ignore[no-untyped-def]
    """Where the clearance of surface s passes zero between a live and a dead place: false position (Illinois)."""
    f_live, f_dead = _clearance(g, s, j, live), _clearance(g, s, j, dead)
    if f_live >= 0.0:
        return live
    side = 0
    for _ in range(_ROOT_STEPS):
        middle = (live * f_dead - dead * f_live) / (f_dead - f_live)
        f = _clearance(g, s, j, middle)
        if f > 0.0:
            dead, f_dead = middle, f
            f_live = 0.5 * f_live if side == 1 else f_live
            side = 1
        else:
            live, f_live = middle, f
            f_dead = 0.5 * f_dead if side == -1 else f_dead
            side = -1
    return 0.5 * (live + dead) if abs(live - dead) < 1e-9 else (live * f_dead - dead * f_live) / (f_dead - f_live)


@njit(**OPTIONS)
def all_rims(g, low, high, patches, scratch):  # type: ignore[no-untyped-def]
    """Intervals of light, (patches, A) each, by a scan and false position; returns how many half lines end in light."""
    angles = g.shape[2]
    # Denser towards the rim, where notches leave thin crescents.
    steps = 1.0 - (1.0 - np.arange(_SCAN + 1) / _SCAN) ** 1.5
    largest, binding = np.empty((_SCAN + 1, angles)), np.empty((_SCAN + 1, angles), dtype=np.int64)
    scan(g, steps, largest, binding, scratch)
    opened = 0
    for j in range(angles):
        count, inside = 0, largest[0, j] <= 0.0
        low[:, j], high[:, j] = 0.0, 0.0
        opened += 1 if largest[_SCAN, j] <= 0.0 else 0
        for i in range(1, _SCAN + 1):
            now = largest[i, j] <= 0.0
            if now and not inside:
                low[count, j] = _root(g, binding[i - 1, j], j, steps[i], steps[i - 1])
            elif inside and not now:
                high[count, j] = _root(g, binding[i, j], j, steps[i - 1], steps[i])
                count += 1
            inside = now
            if count == _MOST_PATCHES:
                break
        if inside and count < _MOST_PATCHES:
            high[count, j] = 1.0
            count += 1
        patches[j] = count
    return opened


@njit(**OPTIONS)
def evaluate(line, rho_powers, low, width, x):  # type: ignore[no-untyped-def]
    """Values x (N,) of a polynomial line (P,) at low + width s; rho_powers (P, N) holds s^p. P is a multiple of 4."""
    if low == 0.0:
        x[:] = 0.0
        power = 1.0
        for p in range(0, len(line), 4):
            a = line[p] * power
            power *= width
            b = line[p + 1] * power
            power *= width
            c = line[p + 2] * power
            power *= width
            d = line[p + 3] * power
            power *= width
            s0, s1, s2, s3 = rho_powers[p], rho_powers[p + 1], rho_powers[p + 2], rho_powers[p + 3]
            for i in range(len(x)):
                x[i] += (a * s0[i] + b * s1[i]) + (c * s2[i] + d * s3[i])
        return
    s = rho_powers[1]
    x[:] = line[len(line) - 1]
    for p in range(len(line) - 2, -1, -1):
        a = line[p]
        for i in range(len(x)):
            x[i] = x[i] * (low + width * s[i]) + a


@njit(**OPTIONS)
def weigh(low, width, edges, ring, dphi, q, slope, u0, u1, v1, weight):  # type: ignore[no-untyped-def]
    """Light of the cells of one half line: area times density. u = u0 + u1 rho, v = v1 rho. Returns their sum."""
    total = 0.0
    for i in range(len(weight)):
        r0, r1 = low + edges[i] * width, low + edges[i + 1] * width
        weight[i] = 0.5 * (r1 * r1 - r0 * r0) * dphi
    if q > 0.0:
        for i in range(len(weight)):
            rho = low + ring[i] * width
            sx, sy = slope + (u0 + u1 * rho) * q, v1 * rho * q
            norm = 1.0 + sx * sx + sy * sy
            weight[i] *= q * q / (norm * np.sqrt(norm))
    for i in range(len(weight)):
        total += weight[i]
    return total


@njit(**OPTIONS)
def boxes(  # type: ignore[no-untyped-def]
    x, y, before_x, before_y, after_x, after_y, flip0, flip1, along, scale, half, box
):
    """Edges of the boxes of one half line, in window coordinates: box (4, N) left, width, top, height.

    A box is as wide as its cell's image: the root of the summed squares of the cell's two edges. `flip0` and `flip1`
    are -1 where a neighbour is the mirror image.
    """
    n = len(x)
    for i in range(n):
        i0, i1 = max(i - 1, 0), min(i + 1, n - 1)
        ux, uy = (x[i1] - x[i0]) * along[i], (y[i1] - y[i0]) * along[i]
        vx, vy = 0.5 * (after_x[i] - before_x[i]), 0.5 * (flip1 * after_y[i] - flip0 * before_y[i])
        w, h = scale * np.sqrt(ux * ux + vx * vx), scale * np.sqrt(uy * uy + vy * vy)
        w, h = max(w, _SMALLEST_PX), max(h, _SMALLEST_PX)
        box[0, i] = scale * x[i] - 0.5 * w + half
        box[1, i] = w
        box[2, i] = half - scale * y[i] - 0.5 * h
        box[3, i] = h


@njit(**OPTIONS)
def add_box(left, w, top, h, light, window):  # type: ignore[no-untyped-def]
    """Share the light of a box among the pixels (K, K) that it covers."""
    k = len(window)
    right, bottom = left + w, top + h
    if left >= 0.0 and top >= 0.0 and right < k - 1 and bottom < k - 1:
        c, r = int(left), int(top)
        if right < c + 2 and bottom < r + 2:
            # The common case: at most two columns and two rows.
            far_c, far_r = max(right - (c + 1), 0.0) / w, max(bottom - (r + 1), 0.0) / h
            upper, lower = light * (1.0 - far_r), light * far_r
            window[r, c] += upper * (1.0 - far_c)
            window[r, c + 1] += upper * far_c
            window[r + 1, c] += lower * (1.0 - far_c)
            window[r + 1, c + 1] += lower * far_c
            return
    if not (right > 0.0 and left < k and bottom > 0.0 and top < k):
        return
    dense = light / (w * h)
    left, right, top, bottom = max(left, 0.0), min(right, float(k)), max(top, 0.0), min(bottom, float(k))
    for r in range(int(top), min(int(bottom), k - 1) + 1):
        share = dense * (min(bottom, r + 1.0) - max(top, float(r)))
        for c in range(int(left), min(int(right), k - 1) + 1):
            window[r, c] += share * (min(right, c + 1.0) - max(left, float(c)))


@njit(parallel=True, nogil=True, cache=True, error_model="numpy")
def sweep(  # type: ignore[no-untyped-def]
    tasks,
    maps,
    kept,
    notched,
    depth_weights,
    wave_weights,
    cosines,
    sines,
    phi,
    edges,
    ring,
    charts,
    dioptres,
    channel_of,
    share,
    per_px,
    kernels,
    lights,
    extents,
    opened,
):
    """Kernels of tasks (field, depth).

    Args:
        tasks: (T, 2) field and depth of each.
        maps: (R, nq, nw, 2 + S, 2, n, m/2) coefficients of x and y (mm, against the kernel's centre) and clearances.
        kept: (R,) how many of the clearances can cut.
        notched: (R,) whether clearances of a field fall again outwards.
        depth_weights: (R, D, nq) and
        wave_weights: (W, nw) interpolation of the maps.
        cosines: (2, m/2, A) and
        sines: (2, m/2, A) harmonics at the angles.
        phi: (A,) angles of half the pupil.
        edges: (N + 1,) edges of the rings in 0..1,
        ring: (N,) and the places of their sub-rays.
        charts: (R, 4) slope of the chief ray, centre and semi-axes of the ellipse.
        dioptres: (R, D) 1 / distance of the object from the pupil plane, 0 at infinity.
        channel_of: (W,) channel of each wavelength; wavelengths of a channel stand together.
        share: (W,) of each wavelength in its channel's light.
        per_px: 1 / pixel pitch in 1/mm.
        kernels: (R, D, C, K, K) out; unnormalised light.
        lights: (R, D, W) out; all light of a bundle, inside the window or not, in units of the ellipse's disc.
        extents: (R, D, W, bins) out, if not empty: instead of kernels, light by the larger of |x| and |y| in pixels.
        opened: (R, D) out: half lines on which no surface cuts inside the ellipse.
    """
    size = kernels.shape[-1]
    n, mh = maps.shape[-2], maps.shape[-1]
    angles, rings = len(phi), len(edges) - 1
    measuring = extents.shape[-1] > 0
    dphi = np.pi / angles
    powers = np.ones((2 * n, rings))
    for p in range(1, 2 * n):
        powers[p] = powers[p - 1] * ring
    along = np.empty(rings)
    for i in range(rings):
        along[i] = (edges[i + 1] - edges[i]) / (ring[min(i + 1, rings - 1)] - ring[max(i - 1, 0)])
    for t in prange(len(tasks)):
        f, d = tasks[t, 0], tasks[t, 1]
        count = 2 + kept[f]
        combined = np.empty((count, 2, n, mh))
        lines = np.empty((count, 2 * n, angles))
        line = np.empty(2 * n)
        low, high = np.zeros((_MOST_PATCHES, angles)), np.zeros((_MOST_PATCHES, angles))
        patches, scratch = np.ones(angles, dtype=np.int64), np.empty((3, angles))
        x, y, weight = np.empty((angles, rings)), np.empty((angles, rings)), np.empty((angles, rings))
        box = np.empty((4, rings))
        window = np.zeros((size, size))
        slope, centre, a, b = charts[f, 0], charts[f, 1], charts[f, 2], charts[f, 3]
        q = dioptres[f, d]
        for w in range(len(wave_weights)):
            combine(maps[f], depth_weights[f, d], wave_weights[w], combined)
            to_lines(combined, cosines, sines, lines)
            most = 1
            if notched[f]:
                opened[f, d] += all_rims(lines[2:], low, high, patches, scratch)
                most = max(1, patches.max())
            else:
                opened[f, d] += single_rims(lines[2:], high[0], scratch)
            total = 0.0
            for patch in range(most):
                for j in range(angles):
                    inner, width = low[patch, j], high[patch, j] - low[patch, j]
                    for p in range(2 * n):
                        line[p] = lines[0, p, j]
                    evaluate(line, powers, inner, width, x[j])
                    for p in range(2 * n):
                        line[p] = lines[1, p, j]
                    evaluate(line, powers, inner, width, y[j])
                    u1, v1 = a * np.cos(phi[j]), b * np.sin(phi[j])
                    total += weigh(inner, width, edges, ring, dphi, q, slope, centre, u1, v1, weight[j])
                if measuring:
                    for j in range(angles):
                        for i in range(rings):
                            reach = per_px * max(abs(x[j, i]), abs(y[j, i]))
                            cell = min(int(reach + 0.5), extents.shape[-1] - 1)
                            extents[f, d, w, cell] += weight[j, i]
                    continue
                for j in range(angles):
                    if high[patch, j] <= low[patch, j]:
                        continue
                    # Beyond both ends the mirror image continues.
                    j0, j1 = max(j - 1, 0), min(j + 1, angles - 1)
                    flip0, flip1 = (-1.0 if j == 0 else 1.0), (-1.0 if j == angles - 1 else 1.0)
                    boxes(x[j], y[j], x[j0], y[j0], x[j1], y[j1], flip0, flip1, along, per_px, 0.5 * size, box)
                    for i in range(rings):
                        add_box(box[0, i], box[1, i], box[2, i], box[3, i], share[w] * weight[j, i], window)
            lights[f, d, w] = 2.0 * total
            channel = channel_of[w]
            last = w == len(wave_weights) - 1 or channel_of[w + 1] != channel
            if last and not measuring:
                # The other half of the pupil is the mirror image in the rows.
                for r in range(size):
                    for c in range(size):
                        kernels[f, d, channel, r, c] = window[r, c] + window[size - 1 - r, c]
                window[:] = 0.0
