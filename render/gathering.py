"""Compiled loops of the per-pixel renderer: node kernels from a polar field, and their transpose.

A node kernel is not the kernel of one pixel: every tap is read at the image height and azimuth of the pixel that it
belongs to (`nodes.py` says why). Stored kernels lie as (R, row, col, plane and channel), so that one tap's places and
weights serve all planes and channels as one vector.
"""

import itertools
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Zeros around every stored kernel: no tap of a reading falls off the array.
PAD = 3
CONTRACT = {"contract"}


def _tap_weights(cubic: bool, t: float, out: Array) -> None:
    """Weights of the samples at -1, 0, 1, 2 (cubic) or 0, 1 (bilinear) around a point at t in [0, 1)."""
    if cubic:  # Keys 1981, a = -1/2
        out[0] = ((-0.5 * t + 1.0) * t - 0.5) * t
        out[1] = (1.5 * t - 2.5) * t * t + 1.0
        out[2] = ((-1.5 * t + 2.0) * t + 0.5) * t
        out[3] = (0.5 * t - 0.5) * t * t
    else:
        out[0] = 1.0 - t
        out[1] = t


tap_weights_at = numba.njit(cache=True, nogil=True, inline="always")(_tap_weights)


def _place(
    x_px: float, y_px: float, centre: Array, radii: Array, angles: int
) -> tuple[float, float, int, int, float, int, float]:
    """Where a sensor place lies: cosine, sine, radius nodes and share, angle node and share.

    `centre` is column, row and half the diagonal.
    """
    u, v = x_px - centre[0], centre[1] - y_px
    distance = math.sqrt(u * u + v * v)
    cosine, sine = 1.0, 0.0
    if distance > 0:
        cosine, sine = u / distance, v / distance
    radius = distance / centre[2]
    last = len(radii) - 1
    low, high, share = 0, last, 0.0
    if radius >= radii[last]:
        low = last
    elif radius <= radii[0]:
        high = 0
    else:
        while high - low > 1:
            middle = (low + high) // 2
            if radii[middle] <= radius:
                low = middle
            else:
                high = middle
        share = (radius - radii[low]) / (radii[high] - radii[low])
    # The sum of a turned kernel repeats after 90 degrees; this index needs no arc tangent.
    a, b = abs(cosine), abs(sine)
    if u * v < 0:
        a, b = b, a
    t = b / (a + b) * (angles - 1)
    k = min(int(t), angles - 2)
    return cosine, sine, low, high, share, k, t - k


place_of = numba.njit(cache=True, nogil=True)(_place)


def _read(
    stored: Array,
    sums: Array,
    radii: Array,
    reach_px: Array,
    centre: Array,
    step: Array,
    node_xy: Array,
    planes: Array,
    slot: Array,
    kernel_px: int,
    oversample: int,
    cubic: bool,
    out: Array,
) -> None:
    """Fill out (M, C, K, K); arguments as in `read_nodes`."""
    half, channels = kernel_px // 2, out.shape[1]
    taps, before = (4, 1) if cubic else (2, 0)
    middle, top = 0.5 * (stored.shape[1] - 1), stored.shape[1] - PAD
    u, v, w = np.zeros(4, stored.dtype), np.zeros(4, stored.dtype), np.zeros(12, stored.dtype)
    value = np.zeros(stored.shape[3], stored.dtype)
    zero = value[0]
    for n in range(node_xy.shape[0]):
        low, high = planes[n, 0], planes[n, 1] + 1
        first, last = low * channels, high * channels
        reach = 0.0
        for p in range(low, high):
            reach = max(reach, reach_px[p])
        for dy in range(-half, half + 1):
            for dx in range(-half, half + 1):
                if dx * dx + dy * dy > reach * reach:
                    continue
                x, y = node_xy[n, 0] + step[0] * dx, node_xy[n, 1] + step[1] * dy
                cosine, sine, j, j1, f, k, g = place_of(x, y, centre, radii, sums.shape[1])
                if oversample == 1 and not cubic:
                    row, col = middle + cosine * dy + sine * dx, middle - sine * dy + cosine * dx
                    if row < PAD - 1 or col < PAD - 1 or row >= top or col >= top:
                        continue
                    r, c = int(row), int(col)
                    t, s = row - r, col - c
                    w[0], w[1] = (1 - t) * (1 - s) * (1 - f), (1 - t) * s * (1 - f)
                    w[2], w[3] = t * (1 - s) * (1 - f), t * s * (1 - f)
                    w[4], w[5], w[6], w[7] = (1 - t) * (1 - s) * f, (1 - t) * s * f, t * (1 - s) * f, t * s * f
                    w0, w1, w2, w3, w4, w5, w6, w7 = w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]
                    a0, a1, a2, a3 = stored[j, r, c], stored[j, r, c + 1], stored[j, r + 1, c], stored[j, r + 1, c + 1]
                    b0, b1 = stored[j1, r, c], stored[j1, r, c + 1]
                    b2, b3 = stored[j1, r + 1, c], stored[j1, r + 1, c + 1]
                    for q in range(first, last):
                        value[q] = (
                            w0 * a0[q] + w1 * a1[q] + w2 * a2[q] + w3 * a3[q]
                            + w4 * b0[q] + w5 * b1[q] + w6 * b2[q] + w7 * b3[q]
                        )  # fmt: skip
                else:
                    value[first:last] = zero
                    for fine_y in range(oversample):
                        for fine_x in range(oversample):
                            across = oversample * dx + fine_x - 0.5 * (oversample - 1)
                            down = oversample * dy + fine_y - 0.5 * (oversample - 1)
                            row, col = middle + cosine * down + sine * across, middle - sine * down + cosine * across
                            if row < 1 or col < 1 or row >= top + PAD - 2 or col >= top + PAD - 2:
                                continue
                            r, c = int(row), int(col)
                            tap_weights_at(cubic, row - r, u)
                            tap_weights_at(cubic, col - c, v)
                            for a in range(taps):
                                for b in range(taps):
                                    w[0], w[1] = u[a] * v[b] * (1 - f), u[a] * v[b] * f
                                    w0, w1 = w[0], w[1]
                                    a0 = stored[j, r + a - before, c + b - before]
                                    b0 = stored[j1, r + a - before, c + b - before]
                                    for q in range(first, last):
                                        value[q] += w0 * a0[q] + w1 * b0[q]
                    if cubic:
                        for q in range(first, last):
                            value[q] = max(value[q], zero)
                w[8], w[9], w[10], w[11] = (1 - g) * (1 - f), g * (1 - f), (1 - g) * f, g * f
                w0, w1, w2, w3 = w[8], w[9], w[10], w[11]
                a0, a1, a2, a3 = sums[j, k], sums[j, k + 1], sums[j1, k], sums[j1, k + 1]
                for q in range(first, last):
                    value[q] /= w0 * a0[q] + w1 * a1[q] + w2 * a2[q] + w3 * a3[q]
                for p in range(low, high):
                    m = slot[n, p]
                    if m >= 0:
                        for q in range(channels):
                            out[m, q, dy + half, dx + half] = value[p * channels + q]


def _transpose(
    stored: Array,
    sums: Array,
    radii: Array,
    reach_px: Array,
    centre: Array,
    step: Array,
    node_xy: Array,
    planes: Array,
    slot: Array,
    kernel_px: int,
    oversample: int,
    cubic: bool,
    grad: Array,
    to_stored: Array,
    to_sums: Array,
) -> None:
    """Gradients of `_read` for the gradient `grad` (M, C, K, K) of its result; the last two arguments are added to."""
    half, channels = kernel_px // 2, grad.shape[1]
    taps, before = (4, 1) if cubic else (2, 0)
    middle, top = 0.5 * (stored.shape[1] - 1), stored.shape[1] - PAD
    u, v = np.zeros(4), np.zeros(4)
    value, change = np.zeros(stored.shape[3], stored.dtype), np.zeros(stored.shape[3], stored.dtype)
    for n in range(node_xy.shape[0]):
        low, high = planes[n, 0], planes[n, 1] + 1
        first, last = low * channels, high * channels
        reach = 0.0
        for p in range(low, high):
            reach = max(reach, reach_px[p])
        for dy in range(-half, half + 1):
            for dx in range(-half, half + 1):
                if dx * dx + dy * dy > reach * reach:
                    continue
                x, y = node_xy[n, 0] + step[0] * dx, node_xy[n, 1] + step[1] * dy
                cosine, sine, j, j1, f, k, g = place_of(x, y, centre, radii, sums.shape[1])
                # First the value once more, which the quotient's derivative needs, then its parts.
                for backward in range(2):
                    if backward:
                        for q in range(first, last):
                            m = slot[n, q // channels]
                            total = (1 - f) * ((1 - g) * sums[j, k, q] + g * sums[j, k + 1, q]) + f * (
                                (1 - g) * sums[j1, k, q] + g * sums[j1, k + 1, q]
                            )
                            one = grad[m, q % channels, dy + half, dx + half] / total if m >= 0 else 0.0
                            if cubic and value[q] <= 0:
                                one = 0.0
                            change[q] = one
                            to_total = -one * value[q] / total
                            to_sums[j, k, q] += (1 - g) * (1 - f) * to_total
                            to_sums[j, k + 1, q] += g * (1 - f) * to_total
                            to_sums[j1, k, q] += (1 - g) * f * to_total
                            to_sums[j1, k + 1, q] += g * f * to_total
                    else:
                        value[first:last] = 0
                    for fine_y in range(oversample):
                        for fine_x in range(oversample):
                            across = oversample * dx + fine_x - 0.5 * (oversample - 1)
                            down = oversample * dy + fine_y - 0.5 * (oversample - 1)
                            row, col = middle + cosine * down + sine * across, middle - sine * down + cosine * across
                            if row < 1 or col < 1 or row >= top + PAD - 2 or col >= top + PAD - 2:
                                continue
                            r, c = int(row), int(col)
                            tap_weights_at(cubic, row - r, u)
                            tap_weights_at(cubic, col - c, v)
                            for a in range(taps):
                                for b in range(taps):
                                    w0, w1 = u[a] * v[b] * (1 - f), u[a] * v[b] * f
                                    ra, cb = r + a - before, c + b - before
                                    for q in range(first, last):
                                        if backward:
                                            to_stored[j, ra, cb, q] += w0 * change[q]
                                            to_stored[j1, ra, cb, q] += w1 * change[q]
                                        else:
                                            value[q] += w0 * stored[j, ra, cb, q] + w1 * stored[j1, ra, cb, q]


def _weigh(
    sums: Array,
    transmission: Array,
    radii: Array,
    centre: Array,
    before: Array,
    share: Array,
    x_px: Array,
    y_px: Array,
    out: Array,
    has_transmission: bool,
) -> None:
    """Fill out (B, 2, C, h, W); arguments as in `weigh`."""
    channels, planes = out.shape[2], sums.shape[2] // out.shape[2]
    for y in range(len(y_px)):
        for x in range(len(x_px)):
            _, _, j, j1, f, k, g = place_of(x_px[x], y_px[y], centre, radii, sums.shape[1])
            w0, w1, w2, w3 = (1 - g) * (1 - f), g * (1 - f), (1 - g) * f, g * f
            for b in range(len(before)):
                part = share[b, y, x]
                first = before[b, y, x] * channels
                second = min(before[b, y, x] + 1, planes - 1) * channels
                for c in range(channels):
                    p, q = first + c, second + c
                    one = w0 * sums[j, k, p] + w1 * sums[j, k + 1, p] + w2 * sums[j1, k, p] + w3 * sums[j1, k + 1, p]
                    two = w0 * sums[j, k, q] + w1 * sums[j, k + 1, q] + w2 * sums[j1, k, q] + w3 * sums[j1, k + 1, q]
                    one, two = (1 - part) * one, part * two
                    scale = 1 / (one + two)
                    if has_transmission:
                        near = (1 - f) * transmission[j, p] + f * transmission[j1, p]
                        far = (1 - f) * transmission[j, q] + f * transmission[j1, q]
                        scale *= (1 - part) * near + part * far
                    out[b, 0, c, y, x] = one * scale
                    out[b, 1, c, y, x] = two * scale


_read_compiled = numba.njit(cache=True, nogil=True, fastmath=CONTRACT)(_read)
_weigh_compiled = numba.njit(cache=True, nogil=True, fastmath=CONTRACT)(_weigh)
_transpose_compiled = numba.njit(cache=True, nogil=True, fastmath=CONTRACT)(_transpose)


def _parts(planes: Array, threads: int) -> list[slice]:
    """Runs of nodes of about the same work; a few per thread, because supports differ."""
    work = np.cumsum(8 + planes[:, 1] - planes[:, 0])
    if not len(work):
        return []
    edges = np.searchsorted(work, np.linspace(0, work[-1], 4 * threads + 1 if threads > 1 else 2))
    edges[0], edges[-1] = 0, len(planes)
    return [slice(int(a), int(b)) for a, b in itertools.pairwise(edges) if b > a]


def read_nodes(
    stored: Array,
    sums: Array,
    radii: Array,
    reach_px: Array,
    centre: Array,
    step: Array,
    node_xy: Array,
    planes: Array,
    slot: Array,
    out: Array,
    *,
    oversample: int,
    cubic: bool,
    threads: int,
) -> None:
    """Fill `out` (M, C, K, K), zeros on entry, with node kernels.

    Args:
        stored: Kernels, shape (R, S + 2 PAD, S + 2 PAD, P C), zeros round them.
        sums: Sums of turned kernels by azimuth, shape (R, A, P C).
        radii: Image heights, shape (R,).
        reach_px: Distance from the middle beyond which a plane's kernels hold nothing, shape (P,).
        centre: Column and row of the sensor's centre, half its diagonal, shape (3,).
        step: Sensor columns and rows per tap, shape (2,).
        node_xy: Sensor places of the nodes, shape (N, 2).
        planes: First and last plane to be read, shape (N, 2).
        slot: Where in `out` a plane's kernel goes, -1 for nowhere, shape (N, P).
        out: Shape (M, C, K, K).
        oversample: Stored values per pixel and axis.
        cubic: Read between samples with cubic instead of linear weights.
        threads: How many.
    """

    def work(part: slice) -> None:
        _read_compiled(
            stored, sums, radii, reach_px, centre, step, node_xy[part], planes[part], slot[part],
            out.shape[-1], oversample, cubic, out,
        )  # fmt: skip

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, _parts(planes, threads)))


def transpose_nodes(
    stored: Array,
    sums: Array,
    radii: Array,
    reach_px: Array,
    centre: Array,
    step: Array,
    node_xy: Array,
    planes: Array,
    slot: Array,
    grad: Array,
    *,
    oversample: int,
    cubic: bool,
    threads: int,
) -> tuple[Array, Array]:
    """Gradients with respect to `stored` and `sums` of a sum weighted with `grad` (M, C, K, K)."""
    edges = np.linspace(0, len(node_xy), threads + 1).astype(int)
    parts = [slice(int(a), int(b)) for a, b in itertools.pairwise(edges)]
    found = [(np.zeros_like(stored), np.zeros_like(sums)) for _ in parts]

    def work(i: int) -> None:
        part = parts[i]
        _transpose_compiled(
            stored, sums, radii, reach_px, centre, step, node_xy[part], planes[part], slot[part],
            grad.shape[-1], oversample, cubic, grad, *found[i],
        )  # fmt: skip

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(len(parts))))
    for one, two in found[1:]:
        found[0][0][:] += one
        found[0][1][:] += two
    return found[0]


def weigh(
    sums: Array,
    transmission: Array,
    radii: Array,
    centre: Array,
    before: Array,
    share: Array,
    x_px: Array,
    y_px: Array,
    out: Array,
    *,
    has_transmission: bool,
    threads: int,
) -> None:
    """Fill `out` (B, 2, C, h, W) with the weights of the two planes of every pixel.

    Args:
        sums: As in `read_nodes`, shape (R, A, P C).
        transmission: Shape (R, P C).
        radii: Shape (R,).
        centre: As in `read_nodes`, shape (3,).
        before: The plane before, shape (B, h, W).
        share: Share of the one after it, shape (B, h, W).
        x_px: Sensor columns, shape (W,).
        y_px: Sensor rows, shape (h,).
        out: Shape (B, 2, C, h, W).
        has_transmission: Whether weights hold the transmission.
        threads: How many.
    """
    edges = np.linspace(0, len(y_px), threads + 1).astype(int)

    def work(rows: slice) -> None:
        _weigh_compiled(
            sums, transmission, radii, centre, before[:, rows], share[:, rows], x_px, y_px[rows],
            out[..., rows, :], has_transmission,
        )  # fmt: skip

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, [slice(int(a), int(b)) for a, b in itertools.pairwise(edges)]))
