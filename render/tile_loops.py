"""Compiled loops of `tile_jobs`: windows, products of spectra, and the weights of planes in a tile.

One tile at a time, complex numbers as the transforms give them: all of it stays in one core's cache.
"""

from typing import Any

import numba
import numpy as np

Array = np.ndarray[Any, Any]


def _window_across(picture: Array, where: Array, corner: Array, margin: int, windows: Array, out: Array) -> None:
    """out[t, b, c, y] = windows[t, b] * the tile's row y with its margin, zeros beyond; out is (T, 2, C, h, N).

    `where` (T, 5) holds sample, first row, first column, rows and columns of each tile, counted from `corner` in the
    picture (B, C, H, W), whose pixels begin half a margin further down and right.
    """
    zero = picture.dtype.type(0)
    for t in range(where.shape[0]):
        top, left, width = corner[0] + where[t, 1], corner[1] + where[t, 2], where[t, 4] + margin
        for b in range(2):
            for c in range(out.shape[2]):
                for y in range(out.shape[3]):
                    source, target = picture[where[t, 0], c, top + y, left : left + width], out[t, b, c, y]
                    weight = windows[t, b, :width]
                    for x in range(weight.size):
                        target[x] = weight[x] * source[x]
                    target[width:] = zero


def _window_down(lines: Array, windows: Array, out: Array) -> None:
    """out[t, a, b, c, y] = windows[a, y] * lines[t, b, c, y], zeros below; out is (T, 2, 2, C, N, kx)."""
    zero = out.dtype.type(0)
    for t in range(lines.shape[0]):
        for a in range(2):
            for b in range(2):
                for c in range(lines.shape[2]):
                    for y in range(lines.shape[3]):
                        weight, source, target = windows[a, y], lines[t, b, c, y], out[t, a, b, c, y]
                        for x in range(source.size):
                            target[x] = weight * source[x]
                    out[t, a, b, c, lines.shape[3] :] = zero


def _multiply(windowed: Array, owner: Array, upper: Array, lower: Array, index: Array, out: Array) -> None:
    """out[n, c] = sum over the corners of windowed[owner[n], a, b, c] * spectrum of corner (a, b) for pair n."""
    for n in range(index.shape[2]):
        tile = windowed[owner[n]]
        for c in range(out.shape[1]):
            for y in range(out.shape[2]):
                f0, f1, f2, f3 = tile[0, 0, c, y], tile[0, 1, c, y], tile[1, 0, c, y], tile[1, 1, c, y]
                g0, g1 = upper[index[0, 0, n], c, y], upper[index[0, 1, n], c, y]
                g2, g3 = lower[index[1, 0, n], c, y], lower[index[1, 1, n], c, y]
                target = out[n, c, y]
                for x in range(target.size):
                    target[x] = f0[x] * g0[x] + f1[x] * g1[x] + f2[x] * g2[x] + f3[x] * g3[x]


def _multiply_back(windowed: Array, owner: Array, upper: Array, lower: Array, index: Array, out: Array) -> None:
    """`_multiply` with conjugate corner spectra."""
    for n in range(index.shape[2]):
        tile = windowed[owner[n]]
        for c in range(out.shape[1]):
            for y in range(out.shape[2]):
                f0, f1, f2, f3 = tile[0, 0, c, y], tile[0, 1, c, y], tile[1, 0, c, y], tile[1, 1, c, y]
                g0, g1 = upper[index[0, 0, n], c, y], upper[index[0, 1, n], c, y]
                g2, g3 = lower[index[1, 0, n], c, y], lower[index[1, 1, n], c, y]
                target = out[n, c, y]
                for x in range(target.size):
                    above = f0[x] * np.conj(g0[x]) + f1[x] * np.conj(g1[x])
                    target[x] = above + f2[x] * np.conj(g2[x]) + f3[x] * np.conj(g3[x])


def _collect(
    pairs: Array, start: Array, upper: Array, lower: Array, index: Array, is_conjugate: bool, out: Array
) -> None:
    """out[t, a, b, c] = sum over the tile's pairs n of pairs[n, c] * spectrum (or its conjugate) of corner (a, b).

    The pairs of tile t are start[t] to start[t + 1] - 1.
    """
    zero = out.dtype.type(0)
    for t in range(out.shape[0]):
        for a in range(2):
            corner = lower if a else upper
            for b in range(2):
                for c in range(pairs.shape[1]):
                    for y in range(pairs.shape[2]):
                        target = out[t, a, b, c, y]
                        target[:] = zero
                        for n in range(start[t], start[t + 1]):
                            f, g = pairs[n, c, y], corner[index[a, b, n], c, y]
                            if is_conjugate:
                                for x in range(target.size):
                                    target[x] += f[x] * np.conj(g[x])
                            else:
                                for x in range(target.size):
                                    target[x] += f[x] * g[x]


def _add_corner(first: Array, second: Array, index: Array, out: Array) -> None:
    """out[index[n]] += conj(first[n]) * second[n], (n, C, N, kx); one of the two is one tile's, (1, C, N, kx)."""
    for n in range(index.size):
        f, g = first[n if first.shape[0] > 1 else 0], second[n if second.shape[0] > 1 else 0]
        for c in range(out.shape[1]):
            for y in range(out.shape[2]):
                a, b, target = f[c, y], g[c, y], out[index[n], c, y]
                for x in range(target.size):
                    target[x] += np.conj(a[x]) * b[x]


def _sum_down(lines: Array, windows: Array, out: Array) -> None:
    """out[t, b, c, y] = sum over a of windows[a, y] * lines[t, a, b, c, y]; out is (T, 2, C, h, kx)."""
    for t in range(out.shape[0]):
        for b in range(2):
            for c in range(out.shape[2]):
                for y in range(out.shape[3]):
                    u, v, target = windows[0, y], windows[1, y], out[t, b, c, y]
                    first, second = lines[t, 0, b, c, y], lines[t, 1, b, c, y]
                    for x in range(target.size):
                        target[x] = u * first[x] + v * second[x]


def _sum_across(lines: Array, windows: Array, out: Array) -> None:
    """out[t, c, y] = sum over b of windows[t, b] * lines[t, b, c, y]; out is (T, C, h, w)."""
    for t in range(out.shape[0]):
        for c in range(out.shape[1]):
            for y in range(out.shape[2]):
                u, v, target = windows[t, 0], windows[t, 1], out[t, c, y]
                first, second = lines[t, 0, c, y], lines[t, 1, c, y]
                for x in range(target.size):
                    target[x] = u[x] * first[x] + v[x] * second[x]


def _sum_moments(upper: Array, lower: Array, index: Array, start: Array, ends: Array, sign: int, out: Array) -> None:
    """What interpolated kernels sum to, `out[n, c]` = (s, s_x, s_y, s_xy): s + s_x x + (s_y + s_xy x) y at pixel x, y.

    Windows are linear, so four moments of the corner kernels tell it exactly: `w(o - sign d) = w(o) - sign w' d`.
    `ends[t]` is ((offset, slope) of the second window along y, along x): its value is offset + slope * pixel.
    """
    out[:] = 0
    for t in range(len(start) - 1):
        for a in range(2):
            corner = lower if a else upper
            y0, y1 = (ends[t, 0, 0], ends[t, 0, 1]) if a else (1 - ends[t, 0, 0], -ends[t, 0, 1])
            for b in range(2):
                x0, x1 = (ends[t, 1, 0], ends[t, 1, 1]) if b else (1 - ends[t, 1, 0], -ends[t, 1, 1])
                for n in range(start[t], start[t + 1]):
                    for c in range(out.shape[1]):
                        m = corner[index[a, b, n], c]
                        # (y0 + y1 y - sign y1 dy) (x0 + x1 x - sign x1 dx), summed over the kernel
                        t00, t01, t10, t11 = m[0, 0], -sign * x1 * m[0, 1], -sign * y1 * m[1, 0], x1 * y1 * m[1, 1]
                        out[n, c, 0] += y0 * x0 * t00 + y0 * t01 + x0 * t10 + t11
                        out[n, c, 1] += x1 * (y0 * t00 + t10)
                        out[n, c, 2] += y1 * (x0 * t00 + t01)
                        out[n, c, 3] += y1 * x1 * t00


def _spread_moments(given: Array, index: Array, a: int, b: int, ends: Array, sign: int, out: Array) -> None:
    """Transpose of `_sum_moments` for one corner: gradients `given` (n, C, 4) by its result go to `out[index[n]]`."""
    y0, y1 = (ends[0, 0], ends[0, 1]) if a else (1 - ends[0, 0], -ends[0, 1])
    x0, x1 = (ends[1, 0], ends[1, 1]) if b else (1 - ends[1, 0], -ends[1, 1])
    for n in range(index.size):
        for c in range(given.shape[1]):
            s, sx, sy, sxy = given[n, c, 0], given[n, c, 1], given[n, c, 2], given[n, c, 3]
            m = out[index[n], c]
            m[0, 0] += y0 * x0 * s + x1 * y0 * sx + y1 * x0 * sy + y1 * x1 * sxy
            m[0, 1] += -sign * x1 * (y0 * s + y1 * sy)
            m[1, 0] += -sign * y1 * (x0 * s + x1 * sx)
            m[1, 1] += x1 * y1 * s


def _add_pairs(
    values: Array, lead: int, start: Array, numbers: Array, spot: Array, before: Array, weights: Array, sums: Array,
    out: Array,
) -> None:  # fmt: skip
    """Add weight of plane numbers[n] * values[n, :, :, lead:] / sum of the kernel, to out, for all pairs n of tiles.

    `spot` (T, 5, 2) says where tile t lies: sample and entry of `weights`; row and column in `out` (B, C, H, W); in
    `before` (B, H, W), each pixel's first plane; in `weights` (S, 2, C, H, W), those of it and of the next; and its
    size.
    """
    zero, one = values.dtype.type(0), numbers.dtype.type(1)
    for t in range(len(start) - 1):
        b, s, height, width = spot[t, 0, 0], spot[t, 0, 1], spot[t, 4, 0], spot[t, 4, 1]
        for n in range(start[t], start[t + 1]):
            plane = numbers[n]
            for c in range(out.shape[1]):
                for y in range(height):
                    level, slope = sums[n, c, 0] + sums[n, c, 2] * y, sums[n, c, 1] + sums[n, c, 3] * y
                    base, rise = values.dtype.type(level), values.dtype.type(slope)
                    target = out[b, c, spot[t, 1, 0] + y, spot[t, 1, 1] : spot[t, 1, 1] + width]
                    first = before[b, spot[t, 2, 0] + y, spot[t, 2, 1] : spot[t, 2, 1] + width]
                    low = weights[s, 0, c, spot[t, 3, 0] + y, spot[t, 3, 1] : spot[t, 3, 1] + width]
                    high = weights[s, 1, c, spot[t, 3, 0] + y, spot[t, 3, 1] : spot[t, 3, 1] + width]
                    source = values[n, c, y, lead : lead + width]
                    for x in range(target.size):
                        w = low[x] if first[x] == plane else (high[x] if first[x] + one == plane else zero)
                        target[x] += w * source[x] / (base + rise * values.dtype.type(x))


def _weigh_pairs(
    light: Array, lead: int, start: Array, numbers: Array, spot: Array, before: Array, weights: Array, sums: Array,
    out: Array,
) -> None:  # fmt: skip
    """out[n, c, lead:, lead:] = weight of plane numbers[n] * light[c] / sum of the kernel, zeros elsewhere.

    `spot` as in `_add_pairs`, with `light` (B, C, H, W) in place of its `out`.
    """
    zero, one = light.dtype.type(0), numbers.dtype.type(1)
    out[:] = zero
    for t in range(len(start) - 1):
        b, s, height, width = spot[t, 0, 0], spot[t, 0, 1], spot[t, 4, 0], spot[t, 4, 1]
        for n in range(start[t], start[t + 1]):
            plane = numbers[n]
            for c in range(out.shape[1]):
                for y in range(height):
                    level, slope = sums[n, c, 0] + sums[n, c, 2] * y, sums[n, c, 1] + sums[n, c, 3] * y
                    base, rise = light.dtype.type(level), light.dtype.type(slope)
                    source = light[b, c, spot[t, 1, 0] + y, spot[t, 1, 1] : spot[t, 1, 1] + width]
                    first = before[b, spot[t, 2, 0] + y, spot[t, 2, 1] : spot[t, 2, 1] + width]
                    low = weights[s, 0, c, spot[t, 3, 0] + y, spot[t, 3, 1] : spot[t, 3, 1] + width]
                    high = weights[s, 1, c, spot[t, 3, 0] + y, spot[t, 3, 1] : spot[t, 3, 1] + width]
                    target = out[n, c, lead + y, lead : lead + width]
                    for x in range(source.size):
                        w = low[x] if first[x] == plane else (high[x] if first[x] + one == plane else zero)
                        target[x] = w * source[x] / (base + rise * light.dtype.type(x))


def _slope_pairs(
    values: Array, lead: int, start: Array, numbers: Array, spot: Array, before: Array, weights: Array, sums: Array,
    given: Array, to_weights: Array, to_sums: Array,
) -> None:  # fmt: skip
    """Gradients of sum(given * result of `_add_pairs`) by its weights (added to) and by sums (n, C, 4) (set)."""
    to_sums[:] = 0
    for t in range(len(start) - 1):
        b, s, height, width = spot[t, 0, 0], spot[t, 0, 1], spot[t, 4, 0], spot[t, 4, 1]
        for n in range(start[t], start[t + 1]):
            for c in range(given.shape[1]):
                for y in range(height):
                    level, slope = sums[n, c, 0] + sums[n, c, 2] * y, sums[n, c, 1] + sums[n, c, 3] * y
                    row, down = 0.0, 0.0
                    v = spot[t, 3, 0] + y
                    for x in range(width):
                        which = numbers[n] - before[b, spot[t, 2, 0] + y, spot[t, 2, 1] + x]
                        if which != 0 and which != 1:
                            continue
                        u = spot[t, 3, 1] + x
                        total = level + slope * x
                        light = given[b, c, spot[t, 1, 0] + y, spot[t, 1, 1] + x]
                        one = light * values[n, c, y, lead + x] / total
                        to_weights[s, which, c, v, u] += one
                        change = -one * weights[s, which, c, v, u] / total
                        row, down = row + change, down + change * x
                    to_sums[n, c, 0] += row
                    to_sums[n, c, 1] += down
                    to_sums[n, c, 2] += row * y
                    to_sums[n, c, 3] += down * y


def _mark(before: Array, share: Array, tile_row: Array, tile_col: Array, out: Array) -> None:
    """out[b, tile row, tile column, p]: whether plane p has a weight in the tile."""
    for b in range(before.shape[0]):
        for y in range(before.shape[1]):
            row = out[b, tile_row[y]]
            for x in range(before.shape[2]):
                p = before[b, y, x]
                if share[b, y, x] < 1:
                    row[tile_col[x], p] = True
                if share[b, y, x] > 0:
                    row[tile_col[x], p + 1] = True


def _moments(kernels: Array, out: Array) -> None:
    """out[m, c] = ((sum, sum of dx), (sum of dy, sum of dx dy)) of kernels (M, C, K, K)."""
    half = kernels.shape[-1] // 2
    for m in range(kernels.shape[0]):
        for c in range(kernels.shape[1]):
            s, sx, sy, sxy = 0.0, 0.0, 0.0, 0.0
            for y in range(kernels.shape[2]):
                t, tx = 0.0, 0.0
                for x in range(kernels.shape[3]):
                    t += kernels[m, c, y, x]
                    tx += kernels[m, c, y, x] * (x - half)
                s, sx, sy, sxy = s + t, sx + tx, sy + (y - half) * t, sxy + (y - half) * tx
            out[m, c, 0, 0], out[m, c, 0, 1], out[m, c, 1, 0], out[m, c, 1, 1] = s, sx, sy, sxy


_compile = numba.njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
window_across, window_down = _compile(_window_across), _compile(_window_down)
multiply, multiply_back, collect, add_corner = (
    _compile(one) for one in (_multiply, _multiply_back, _collect, _add_corner)
)
sum_down, sum_across = _compile(_sum_down), _compile(_sum_across)
sum_moments, spread_moments = _compile(_sum_moments), _compile(_spread_moments)
add_pairs, weigh_pairs, slope_pairs = _compile(_add_pairs), _compile(_weigh_pairs), _compile(_slope_pairs)
mark = _compile(_mark)
# Sums in any order: this one vectorises only then.
moments_of = numba.njit(cache=True, nogil=True, fastmath={"contract", "nsz", "reassoc"})(_moments)
