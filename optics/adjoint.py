"""The way back through a traced lens: gradients of landing point, direction, path and crossings, compiled.

Each block of rays is followed once more with the stored ways (one number per ray and surface, whatever the number of
Newton steps was) and then swept from the image plane to the front. A crossing q = p + t d with F(q) = 0 has
dt = -(F_q . (dp + t dd) + dF) / (F_q . d), the derivative of the implicit function; nothing of the iteration is kept.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
import numpy as np

from .compiled import (
    AT,
    FOUND,
    INDEX,
    R2,
    ROWS,
    SLOPE,
    T0,
    WAY,
    A,
    B,
    L,
    M,
    N,
    X,
    Y,
    Z,
    bend,
    index_behind,
    load,
    to_vertex_plane,
)
from .forms import CONIC, EVEN, KIND, LANES, LIMIT2, LONG, MIXED, PLANE, VERTEX, C, K, Q, axis_guard, eight, kernel, sag

# Blocks that add up their gradients in one place: sums do not depend on the number of threads.
BLOCKS_PER_GROUP = 16

# Rows of the scratch array behind those of the forward run. KEPT: what each surface leaves behind of the second run,
# the crossing, the direction that led to it, and the way. G*: gradients by position, direction and optical path, by
# the sag and its slope at the crossing, and by the indices before and behind. RHO: r^2 inside the limit; POWER: of r.
_ROW = ROWS * LANES
KEPT, KEPT_ROWS = _ROW, 6
QX, QY, DL, DM, DN, T = _ROW, _ROW + LANES, _ROW + 2 * LANES, _ROW + 3 * LANES, _ROW + 4 * LANES, _ROW + 5 * LANES
GX, GY, GZ, GL, GM, GN = (_ROW + row * LANES for row in range(6, 12))
GOPL, LIVE, BEFORE, BEHIND = (_ROW + row * LANES for row in range(12, 16))
GSAG, GSLOPE, GBEFORE, GBEHIND, RHO, POWER = (_ROW + row * LANES for row in range(16, 22))
_ALL_ROWS = ROWS + 22


@kernel
def _copy(to, to_offset, source, source_offset):
    """The kept rows of one surface. Arithmetic never mixes arrays: it would depend on where they lie in memory."""
    for i in range(KEPT_ROWS * LANES):
        to[to_offset + i] = source[source_offset + i]


@kernel
def _slope(w, c, q, a, limit2):
    """Slope at the crossings, as the forward run had it."""
    one, half, guard = w.dtype.type(1), w.dtype.type(0.5), axis_guard(w)
    for i in range(LANES):
        way = w[WAY + i]
        rho = w[R2 + i] + way * (w[B + i] + w[B + i] + w[A + i] * way)
        _z, slope, _second = sag(rho if rho < limit2 else limit2, c, q, a, one, half, guard)
        w[SLOPE + i] = slope


@kernel
def _replay(w, h, first, block, which, table, form, coefficients, ways):
    zero, one = w.dtype.type(0), w.dtype.type(1)
    for s in range(len(form) - 1):
        row = form[s]
        kind = row[KIND]
        index_behind(w, first, which, table, s)
        to_vertex_plane(w, row[VERTEX])
        for i in range(LANES):
            w[WAY + i] = ways[block, s, i] if w[LIVE + i] != zero else zero
            w[FOUND + i], w[SLOPE + i] = one, zero
            w[DL + i], w[DM + i], w[DN + i] = w[L + i], w[M + i], w[N + i]
            w[T + i] = w[T0 + i] + w[WAY + i]
        if kind == CONIC:
            _slope(w, row[C], row[Q], None, row[LIMIT2])
        elif kind == EVEN:
            _slope(w, row[C], row[Q], eight(coefficients[s], 1), row[LIMIT2])
        elif kind == MIXED:
            a = (eight(coefficients[s], 1), eight(coefficients[s], 0))
            _slope(w, row[C], row[Q], a, row[LIMIT2])
        elif kind == LONG:
            _slope(w, row[C], row[Q], coefficients[s], row[LIMIT2])
        bend(w, zero, zero, False)
        for i in range(LANES):
            w[QX + i], w[QY + i] = w[X + i], w[Y + i]
        _copy(h, s * KEPT_ROWS * LANES, w, KEPT)


@kernel
def _back(w, c, q, a, limit2):
    """From gradients behind a surface to those in front of it; leaves GSAG, GSLOPE and the indices' gradients."""
    one, half, guard = w.dtype.type(1), w.dtype.type(0.5), axis_guard(w)
    zero = one - one
    for i in range(LANES):
        x, y, l, m, n, t = w[QX + i], w[QY + i], w[DL + i], w[DM + i], w[DN + i], w[T + i]
        rho = x * x + y * y
        near = rho if rho < limit2 else limit2
        _z, slope, second = sag(near, c, q, a, one, half, guard)
        second = second if rho <= limit2 else zero
        two = slope + slope
        u0, v0 = -two * x, -two * y
        inverse = one / np.sqrt(one + u0 * u0 + v0 * v0)
        u, v = u0 * inverse, v0 * inverse
        cosine = l * u + m * v + n * inverse
        by_behind = one / w[BEHIND + i]
        ratio = w[BEFORE + i] * by_behind
        under = one - ratio * ratio * (one - cosine * cosine)
        root = np.sqrt(under if under > zero else one)
        root = root if cosine > zero else -root
        by_root = one / root
        gain = root - ratio * cosine
        gl, gm, gn = w[GL + i], w[GM + i], w[GN + i]
        # Refraction: d' = ratio d + gain N.
        g_gain = gl * u + gm * v + gn * inverse
        g_cosine = g_gain * (ratio * ratio * cosine * by_root - ratio)
        g_ratio = gl * l + gm * m + gn * n - g_gain * (ratio * (one - cosine * cosine) * by_root + cosine)
        nu, nv, nw = gain * gl + g_cosine * l, gain * gm + g_cosine * m, gain * gn + g_cosine * n
        gl, gm, gn = ratio * gl + g_cosine * u, ratio * gm + g_cosine * v, ratio * gn + g_cosine * inverse
        # The normal N = (u0, v0, 1) / length, with u0, v0 = -2 slope (x, y).
        along = nu * u + nv * v + nw * inverse
        bu, bv = (nu - along * u) * inverse, (nv - along * v) * inverse
        g_slope = -(bu * x + bv * y) - (bu * x + bv * y)
        spread = g_slope * second
        gx = w[GX + i] - two * bu + (spread + spread) * x
        gy = w[GY + i] - two * bv + (spread + spread) * y
        gz = w[GZ + i]
        # The crossing.
        g_way = gx * l + gy * m + gz * n + w[GOPL + i] * w[BEFORE + i]
        rate = u0 * l + v0 * m + n
        push = -g_way / (rate if rate != zero else one)
        gx, gy, gz = gx + push * u0, gy + push * v0, gz + push
        w[GX + i], w[GY + i], w[GZ + i] = gx, gy, gz
        w[GL + i], w[GM + i], w[GN + i] = gl + t * gx, gm + t * gy, gn + t * gz
        w[GSAG + i] = -push
        w[GSLOPE + i] = g_slope - push * (rho - near)
        w[RHO + i] = near
        w[GBEFORE + i] = w[GOPL + i] * t + g_ratio * by_behind
        w[GBEHIND + i] = -g_ratio * ratio * by_behind


@kernel
def _back_plane(w):
    """`_back` where nothing is curved."""
    one = w.dtype.type(1)
    zero = one - one
    for i in range(LANES):
        x, y, l, m, n, t = w[QX + i], w[QY + i], w[DL + i], w[DM + i], w[DN + i], w[T + i]
        by_behind = one / w[BEHIND + i]
        ratio = w[BEFORE + i] * by_behind
        under = one - ratio * ratio * (one - n * n)
        root = np.sqrt(under if under > zero else one)
        by_root = one / (root if n > zero else -root)
        gl, gm, gn = w[GL + i], w[GM + i], w[GN + i]
        g_ratio = gl * l + gm * m - gn * ratio * (one - n * n) * by_root
        gl, gm, gn = ratio * gl, ratio * gm, gn * ratio * ratio * n * by_root
        gx, gy = w[GX + i], w[GY + i]
        g_way = gx * l + gy * m + w[GZ + i] * n + w[GOPL + i] * w[BEFORE + i]
        push = -g_way / n
        gz = w[GZ + i] + push
        w[GZ + i] = gz
        w[GL + i], w[GM + i], w[GN + i] = gl + t * gx, gm + t * gy, gn + t * gz
        w[GSAG + i], w[GSLOPE + i], w[RHO + i] = -push, zero, x * x + y * y
        w[GBEFORE + i] = w[GOPL + i] * t + g_ratio * by_behind
        w[GBEHIND + i] = -g_ratio * ratio * by_behind


@kernel
def _conic_gradient(w, c, k, q):
    """Gradients by curvature and conic constant, summed over the block."""
    one, half = w.dtype.type(1), w.dtype.type(0.5)
    by_c, by_k = one - one, one - one
    for i in range(LANES):
        rho, by_sag, by_slope = w[RHO + i], w[GSAG + i], w[GSLOPE + i]
        root = np.sqrt(one - q * rho)
        z = c * rho / (one + root)
        inverse = half / root
        cube = inverse / (root * root)
        by_c += by_sag * (rho + (one + k) * z * z) * inverse + by_slope * cube
        by_k += by_sag * c * z * z * inverse + by_slope * half * cube * c * c * c * rho
    return by_c, by_k


@kernel
def _polynomial_gradient(w, out, terms, even):
    """Gradients by the coefficients of r^1 .. r^terms, added to `out`."""
    one, half, guard = w.dtype.type(1), w.dtype.type(0.5), axis_guard(w)
    for i in range(LANES):
        w[POWER + i] = one if even else one / np.sqrt(w[RHO + i] + guard)
    for p in range(2 if even else 1, terms + 1, 2 if even else 1):
        half_p = half * w.dtype.type(p)
        total = one - one
        if even:
            for i in range(LANES):
                total += w[POWER + i] * (w[GSAG + i] * w[RHO + i] + w[GSLOPE + i] * half_p)
                w[POWER + i] = w[POWER + i] * w[RHO + i]
        else:
            for i in range(LANES):
                total += w[POWER + i] * (w[GSAG + i] * w[RHO + i] + w[GSLOPE + i] * half_p)
                w[POWER + i] = w[POWER + i] * np.sqrt(w[RHO + i] + guard)
        out[p - 1] += total


@kernel
def _add_index_gradient(w, row, out, first, which, surface, rays):
    if len(out) == 1:
        total = w.dtype.type(0)
        for i in range(LANES):
            total += w[row + i]
        out[0, surface] += total
    else:
        for i in range(rays):
            out[which[first + i], surface] += w[row + i]


@kernel
def _load_gradient(w, first, rays, at, g_landed, g_heading, g_opl):
    zero, one = w.dtype.type(0), w.dtype.type(1)
    for i in range(LANES):
        w[LIVE + i], w[GX + i], w[GY + i], w[GZ + i] = zero, zero, zero, zero
        w[GL + i], w[GM + i], w[GN + i], w[GOPL + i] = zero, zero, zero, zero
    for i in range(rays):
        ray = first + i
        # A gradient that reaches a lost ray, even NaN, ends here.
        if at[ray] == 0:
            w[LIVE + i] = one
            w[GX + i], w[GY + i], w[GZ + i] = g_landed[ray, 0], g_landed[ray, 1], g_landed[ray, 2]
            w[GL + i], w[GM + i], w[GN + i] = g_heading[ray, 0], g_heading[ray, 1], g_heading[ray, 2]
            w[GOPL + i] = g_opl[ray]


@kernel
def sweep_groups(
    begin,
    end,
    position,
    direction,
    which,
    table,
    form,
    coefficients,
    terms,
    at,
    ways,
    g_landed,
    g_heading,
    g_opl,
    g_path,
    by_position,
    by_direction,
    by_table,
    by_form,
    by_coefficients,
):
    """Gradients of groups `begin` to `end` - 1.

    `by_form` (groups, S + 1, 3) takes those of curvature, conic constant and vertex, `by_coefficients` (groups, S, P)
    of r^1 .. r^P, `by_table` (groups or 1, W, S + 1) of the indices; with one table for all groups every ray must have
    its own row of it. An empty `g_path` stands for zeros.
    """
    surfaces = len(form) - 1
    w = np.empty(_ALL_ROWS * LANES, position.dtype)
    h = np.empty(surfaces * KEPT_ROWS * LANES, position.dtype)
    zero, one = w.dtype.type(0), w.dtype.type(1)
    for group in range(begin, end):
        indices = by_table[group if len(by_table) > 1 else 0]
        for block in range(group * BLOCKS_PER_GROUP, min((group + 1) * BLOCKS_PER_GROUP, len(ways))):
            first = block * LANES
            rays = min(LANES, len(position) - first)
            load(w, first, position, direction, which, table, form[0, VERTEX])
            _load_gradient(w, first, rays, at, g_landed, g_heading, g_opl)
            for i in range(LANES):
                w[AT + i] = zero
                if w[LIVE + i] == zero:
                    w[X + i], w[Y + i], w[Z + i] = zero, zero, form[0, VERTEX]
                    w[L + i], w[M + i], w[N + i] = zero, zero, one
            _replay(w, h, first, block, which, table, form, coefficients, ways)
            total, plane = zero, form[surfaces, VERTEX]
            for i in range(LANES):
                # The image plane is a crossing too; nothing bends there.
                l, m, n = w[L + i], w[M + i], w[N + i]
                t = (plane - w[Z + i]) / n
                g_way = w[GX + i] * l + w[GY + i] * m + w[GZ + i] * n + w[GOPL + i] * w[INDEX + i]
                push = -g_way / n
                gz = w[GZ + i] + push
                w[GZ + i] = gz
                w[GL + i], w[GM + i] = w[GL + i] + t * w[GX + i], w[GM + i] + t * w[GY + i]
                w[GN + i] = w[GN + i] + t * gz
                w[GBEHIND + i] = w[GOPL + i] * t
                w[BEHIND + i] = w[INDEX + i]
                total -= push
            by_form[group, surfaces, 2] += total
            _add_index_gradient(w, GBEHIND, indices, first, which, surfaces, rays)
            for s in range(surfaces - 1, -1, -1):
                row = form[s]
                kind = row[KIND]
                _copy(w, KEPT, h, s * KEPT_ROWS * LANES)
                if len(g_path):
                    for i in range(rays):
                        if w[LIVE + i] != zero:
                            w[GX + i] += g_path[first + i, s, 0]
                            w[GY + i] += g_path[first + i, s, 1]
                            w[GZ + i] += g_path[first + i, s, 2]
                for i in range(LANES):
                    ray = first + i
                    w[BEFORE + i] = table[which[ray if ray < len(which) else 0], s]
                if kind == PLANE:
                    _back_plane(w)
                elif kind == CONIC:
                    _back(w, row[C], row[Q], None, row[LIMIT2])
                elif kind == EVEN:
                    _back(w, row[C], row[Q], eight(coefficients[s], 1), row[LIMIT2])
                elif kind == MIXED:
                    a = (eight(coefficients[s], 1), eight(coefficients[s], 0))
                    _back(w, row[C], row[Q], a, row[LIMIT2])
                else:
                    _back(w, row[C], row[Q], coefficients[s], row[LIMIT2])
                total = zero
                for i in range(LANES):
                    total += w[GSAG + i]
                by_form[group, s, 2] += total
                if kind != PLANE:
                    by_c, by_k = _conic_gradient(w, row[C], row[K], row[Q])
                    by_form[group, s, 0] += by_c
                    by_form[group, s, 1] += by_k
                if terms[s] > 0:
                    _polynomial_gradient(w, by_coefficients[group, s], terms[s], kind == EVEN)
                _add_index_gradient(w, GBEHIND, indices, first, which, s + 1, rays)
                _add_index_gradient(w, GBEFORE, indices, first, which, s, rays)
                for i in range(LANES):
                    w[BEHIND + i] = w[BEFORE + i]
            for i in range(rays):
                ray = first + i
                by_position[ray, 0], by_position[ray, 1] = w[GX + i], w[GY + i]
                by_position[ray, 2] = w[GZ + i]
                by_direction[ray, 0], by_direction[ray, 1] = w[GL + i], w[GM + i]
                by_direction[ray, 2] = w[GN + i]
