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
U = np.uintp


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
    """Fill out (M, C, K, K); arguments as in `read_nodes`.

    Places are unsigned: a loop over a signed one that may be negative, as far as the compiler knows, is not vectorised.
    """
    half, channels = kernel_px // 2, out.shape[1]
    taps, before = (4, 1) if cubic else (2, 0)
    size, depth, angles = stored.shape[1], stored.shape[3], sums.shape[1]
    middle, top = 0.5 * (size - 1), size - PAD
    across, down = U(depth), U(depth * size)
    flat, totals, flat_out = stored.reshape(-1), sums.reshape(-1), out.reshape(-1)
    kind = stored.dtype.type
    one, zero = kind(1), kind(0)
    u, v = np.zeros(4, stored.dtype), np.zeros(4, stored.dtype)
    for n in range(node_xy.shape[0]):
        low, high = planes[n, 0], planes[n, 1] + 1
        first, count = low * channels, U((high - low) * channels)
        values = np.zeros(U(kernel_px) * count, stored.dtype)
        reach = 0.0
        for p in range(low, high):
            reach = max(reach, reach_px[p])
        for dy in range(-half, half + 1):
            values[:] = zero
            for dx in range(-half, half + 1):
                if dx * dx + dy * dy > reach * reach:
                    continue
                x, y = node_xy[n, 0] + step[0] * dx, node_xy[n, 1] + step[1] * dy
                cosine, sine, j, j1, f, k, g = place_of(x, y, centre, radii, angles)
                e, h = kind(f), kind(g)
                o = U(dx + half) * count
                if oversample == 1 and not cubic:
                    row, col = middle + cosine * dy + sine * dx, middle - sine * dy + cosine * dx
                    if row < PAD - 1 or col < PAD - 1 or row >= top or col >= top:
                        continue
                    r, c = int(row), int(col)
                    t, s = kind(row - r), kind(col - c)
                    w7 = t * s
                    w4, w5, w6, w7 = (one - t - s + w7) * e, (s - w7) * e, (t - w7) * e, w7 * e
                    w0, w1, w2, w3 = (one - t) * (one - s) - w4, (one - t) * s - w5, t * (one - s) - w6, t * s - w7
                    a0 = U(((j * size + r) * size + c) * depth + first)
                    b0 = U(((j1 * size + r) * size + c) * depth + first)
                    for q in range(count):
                        values[o + q] = (
                            w0 * flat[a0 + q] + w1 * flat[a0 + across + q]
                            + w2 * flat[a0 + down + q] + w3 * flat[a0 + down + across + q]
                            + w4 * flat[b0 + q] + w5 * flat[b0 + across + q]
                            + w6 * flat[b0 + down + q] + w7 * flat[b0 + down + across + q]
                        )  # fmt: skip
                else:
                    for fine_y in range(oversample):
                        for fine_x in range(oversample):
                            right = oversample * dx + fine_x - 0.5 * (oversample - 1)
                            under = oversample * dy + fine_y - 0.5 * (oversample - 1)
                            row, col = middle + cosine * under + sine * right, middle - sine * under + cosine * right
                            if row < 1 or col < 1 or row >= top + PAD - 2 or col >= top + PAD - 2:
                                continue
                            r, c = int(row), int(col)
                            tap_weights_at(cubic, row - r, u)
                            tap_weights_at(cubic, col - c, v)
                            for a in range(taps):
                                for b in range(taps):
                                    w1 = u[a] * v[b] * e
                                    w0 = u[a] * v[b] - w1
                                    place = (r + a - before) * size + c + b - before
                                    a0 = U((j * size * size + place) * depth + first)
                                    b0 = U((j1 * size * size + place) * depth + first)
                                    for q in range(count):
                                        values[o + q] += w0 * flat[a0 + q] + w1 * flat[b0 + q]
                    if cubic:
                        for q in range(count):
                            values[o + q] = max(values[o + q], zero)
                w3 = h * e
                w1, w2 = h - w3, e - w3
                w0 = one - h - w2
                a0, b0 = U((j * angles + k) * depth + first), U((j1 * angles + k) * depth + first)
                for q in range(count):
                    values[o + q] /= (
                        w0 * totals[a0 + q] + w1 * totals[a0 + across + q]
                        + w2 * totals[b0 + q] + w3 * totals[b0 + across + q]
                    )  # fmt: skip
            for p in range(low, high):
                m = slot[n, p]
                if m >= 0:
                    for i in range(channels):
                        o = U(((m * channels + i) * kernel_px + dy + half) * kernel_px)
                        entry = U((p - low) * channels + i)
                        for tap in range(kernel_px):
                            flat_out[o + U(tap)] = values[U(tap) * count + entry]


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
    size, depth, angles = stored.shape[1], stored.shape[3], sums.shape[1]
    middle, top = 0.5 * (size - 1), size - PAD
    across = U(depth)
    flat, totals = stored.reshape(-1), sums.reshape(-1)
    to_flat, to_totals = to_stored.reshape(-1), to_sums.reshape(-1)
    kind = stored.dtype.type
    one, zero = kind(1), kind(0)
    u, v = np.zeros(4, stored.dtype), np.zeros(4, stored.dtype)
    value, change = np.zeros(depth, stored.dtype), np.zeros(depth, stored.dtype)
    for n in range(node_xy.shape[0]):
        low, high = planes[n, 0], planes[n, 1] + 1
        first, count = low * channels, U((high - low) * channels)
        reach = 0.0
        for p in range(low, high):
            reach = max(reach, reach_px[p])
        for dy in range(-half, half + 1):
            for dx in range(-half, half + 1):
                if dx * dx + dy * dy > reach * reach:
                    continue
                x, y = node_xy[n, 0] + step[0] * dx, node_xy[n, 1] + step[1] * dy
                cosine, sine, j, j1, f, k, g = place_of(x, y, centre, radii, angles)
                e, h = kind(f), kind(g)
                # First the value once more, which the quotient's derivative needs, then its parts.
                for backward in range(2):
                    if backward:
                        for i in range((high - low) * channels):
                            m = slot[n, low + i // channels]
                            change[i] = grad[m, i % channels, dy + half, dx + half] if m >= 0 else zero
                        w3 = h * e
                        w1, w2 = h - w3, e - w3
                        w0 = one - h - w2
                        a0, b0 = U((j * angles + k) * depth + first), U((j1 * angles + k) * depth + first)
                        for q in range(count):
                            total = (
                                w0 * totals[a0 + q] + w1 * totals[a0 + across + q]
                                + w2 * totals[b0 + q] + w3 * totals[b0 + across + q]
                            )  # fmt: skip
                            part = zero if cubic and value[q] <= zero else change[q] / total
                            change[q] = part
                            part = -part * value[q] / total
                            to_totals[a0 + q] += w0 * part
                            to_totals[a0 + across + q] += w1 * part
                            to_totals[b0 + q] += w2 * part
                            to_totals[b0 + across + q] += w3 * part
                    else:
                        value[:] = zero
                    for fine_y in range(oversample):
                        for fine_x in range(oversample):
                            right = oversample * dx + fine_x - 0.5 * (oversample - 1)
                            under = oversample * dy + fine_y - 0.5 * (oversample - 1)
                            row, col = middle + cosine * under + sine * right, middle - sine * under + cosine * right
                            if row < 1 or col < 1 or row >= top + PAD - 2 or col >= top + PAD - 2:
                                continue
                            r, c = int(row), int(col)
                            tap_weights_at(cubic, row - r, u)
                            tap_weights_at(cubic, col - c, v)
                            for a in range(taps):
                                for b in range(taps):
                                    w1 = u[a] * v[b] * e
                                    w0 = u[a] * v[b] - w1
                                    place = (r + a - before) * size + c + b - before
                                    a0 = U((j * size * size + place) * depth + first)
                                    b0 = U((j1 * size * size + place) * depth + first)
                                    if backward:
                                        for q in range(count):
                                            to_flat[a0 + q] += w0 * change[q]
                                        for q in range(count):
                                            to_flat[b0 + q] += w1 * change[q]
                                    else:
                                        for q in range(count):
                                            value[q] += w0 * flat[a0 + q] + w1 * flat[b0 + q]


read_compiled = numba.njit(cache=True, nogil=True, fastmath=CONTRACT)(_read)
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
        read_compiled(
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
