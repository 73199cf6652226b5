"""Compiled loops of the ray march: lens rays through a stack of surfaces, and plain gathering from discs or kernels."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

ZEROS, REFLECT, REPLICATE, CIRCULAR = 0, 1, 2, 3
PADDINGS = {"zeros": ZEROS, "reflect": REFLECT, "replicate": REPLICATE, "circular": CIRCULAR}
# Pixels that one task of a thread takes: even loads, and little to hand over.
CHUNK = 2048


def _inside(i: int, count: int, padding: int) -> int:
    """The row or column that stands for one outside the frame; for "zeros" the nearest (its colour is not used)."""
    if 0 <= i < count:
        return i
    if padding == REFLECT:
        if count == 1:
            return 0
        period = 2 * (count - 1)
        i = i % period
        return i if i < count else period - i
    if padding == CIRCULAR:
        return i % count
    return 0 if i < 0 else count - 1


inside = numba.njit(cache=True, nogil=True)(_inside)


def _place_of(
    offsets: Array, r0: int, r1: int, weight: float, k0: int, k1: int, w: float, q: int, turn: Array
) -> tuple[float, float]:
    """Columns right and rows below the pixel where its ray q is: the negative of the turned offset."""
    inner, outer = (1 - weight) * (1 - w), weight * (1 - w)
    right = inner * offsets[r0, k0, q, 0] + outer * offsets[r1, k0, q, 0]
    up = inner * offsets[r0, k0, q, 1] + outer * offsets[r1, k0, q, 1]
    if w != 0:
        inner, outer = (1 - weight) * w, weight * w
        right += inner * offsets[r0, k1, q, 0] + outer * offsets[r1, k1, q, 0]
        up += inner * offsets[r0, k1, q, 1] + outer * offsets[r1, k1, q, 1]
    return turn[3] * up - turn[2] * right, turn[3] * right + turn[2] * up


def _light_of(transmission: Array, r0: int, r1: int, weight: float, k0: int, k1: int, w: float, c: int) -> float:
    near = (1 - weight) * transmission[r0, k0, c] + weight * transmission[r1, k0, c]
    far = (1 - weight) * transmission[r0, k1, c] + weight * transmission[r1, k1, c]
    return float((1 - w) * near + w * far)


place_of = numba.njit(cache=True, nogil=True)(_place_of)
light_of = numba.njit(cache=True, nogil=True)(_light_of)


def _march(
    rows: Array,
    cols: Array,
    start: Array,
    own: Array,
    place: Array,
    image: Array,
    surfaces: Array,
    colours: Array,
    coverage: Array,
    knots: Array,
    offsets: Array,
    rays: int,
    transmission: Array,
    thickness: float,
    padding: int,
    control: Array,
    out: Array,
) -> None:
    """Mean colour that the lens rays of some pixels meet.

    A ray of the pixel p through pupil point q runs from near to far along x(D) = p - offset(q, D), straight between
    the knots, over cells of one pixel in which every surface lies level. It meets a surface where it comes down on
    it, and where it enters a cell no more than `thickness` beneath it: neighbouring cells of one surface differ by
    less, so that nothing slips through a slope. Where it enters deeper than that it has passed behind an edge.

    Args:
        rows: Of the pixels, shape (M,).
        cols: Of the pixels, shape (M,).
        start: No surface within reach is nearer than this, in dpt, shape (M,).
        own: The pixels' own dioptres, shape (M,).
        place: Index of the table's inner radius, weight of the next one, cosine and sine of the azimuth, (M, 4).
        image: The picture as it is, shape (H, W, C).
        surfaces: Dioptres, the nearest first, negative where there is none, shape (L, H, W).
        colours: Shape (L, H, W, C).
        coverage: How much of its cell a surface covers; the rest of the ray goes on. Shape (L, H, W).
        knots: Dioptres, descending, shape (P,).
        offsets: Right and up from the pixel, at azimuth 0, shape (R, P, A, 2), A a square multiple of `rays`.
        rays: Of each pixel; neighbouring pixels take different ones in turn.
        transmission: Of the channels, shape (R, P, C).
        thickness: In dpt.
        padding: One of `PADDINGS`.
        control: What the pixels gather at their own depths if nothing hides anything, shape (M, C). The same rays'
            estimate of it says how wrong few rays are; as much of that as the pixel's rays bear out (their
            regression of met on gathered colours) is taken off.
        out: Shape (M, C).
    """
    layers, height, width = surfaces.shape
    channels, planes = colours.shape[3], knots.shape[0]
    side = int(math.sqrt(offsets.shape[2] // rays) + 0.5)
    total, plain, met = np.zeros(channels), np.zeros(channels), np.zeros(channels)
    for m in range(rows.shape[0]):
        total[:] = 0.0
        plain[:] = 0.0
        both, square, count = 0.0, 0.0, 0
        row, col, turn = rows[m], cols[m], place[m]
        r0, weight = int(turn[0]), turn[1]
        r1 = min(r0 + 1, offsets.shape[0] - 1)
        own0 = 0
        while own0 < planes - 2 and knots[own0 + 1] > own[m]:
            own0 += 1
        own1 = min(own0 + 1, planes - 1)
        own_w = min(max((knots[own0] - own[m]) / (knots[own0] - knots[own1]), 0.0), 1.0) if own1 > own0 else 0.0
        first = ((row % side) * side + col % side) * rays
        for q in range(first, first + rays):
            ray_d, left = start[m], 1.0
            met[:] = 0.0
            for k in range(-1, planes):
                # Pieces: above the first knot straight down, then from knot to knot, below the last straight down.
                low = knots[k + 1] if k + 1 < planes else -1.0
                if low >= ray_d:
                    continue
                k0, k1 = max(k, 0), min(k + 1, planes - 1)
                t = (knots[k0] - ray_d) / (knots[k0] - knots[k1]) if k0 != k1 else 0.0
                x0, y0 = place_of(offsets, r0, r1, weight, k0, k1, t, q, turn)
                x1, y1 = place_of(offsets, r0, r1, weight, k1, k1, 0.0, q, turn)
                x0, y0, x1, y1 = x0 + col, y0 + row, x1 + col, y1 + row
                high = ray_d
                cx, cy = math.floor(x0 + 0.5), math.floor(y0 + 0.5)
                ex, ey = math.floor(x1 + 0.5), math.floor(y1 + 0.5)
                dx, dy = x1 - x0, y1 - y0
                sx, sy = (1 if dx > 0 else -1), (1 if dy > 0 else -1)
                # Where the ray leaves its column and its row, as shares of the piece; 2 is never.
                tx = (cx + 0.5 * sx - x0) / dx if cx != ex else 2.0
                ty = (cy + 0.5 * sy - y0) / dy if cy != ey else 2.0
                wx = 1.0 / abs(dx) if cx != ex else 0.0
                wy = 1.0 / abs(dy) if cy != ey else 0.0
                steps = abs(ex - cx) + abs(ey - cy)
                for n in range(steps + 1):
                    t = min(max(min(tx, ty), 0.0), 1.0) if n < steps else 1.0
                    leave = high + t * (low - high)
                    yy, xx = inside(cy, height, padding), inside(cx, width, padding)
                    dark = padding == ZEROS and (cx < 0 or cy < 0 or cx >= width or cy >= height)
                    for s in range(layers):
                        d = surfaces[s, yy, xx]
                        # Where a piece begins in the cell that the last one ended in, what lies above was met there;
                        # and what is left of a ray beside an edge is beneath the edge's surface for good.
                        slack = thickness if (n > 0 or ray_d == start[m]) and left > 0.999 else 0.0
                        if d < 0 or d < leave or ray_d < d - slack or (slack == 0.0 and ray_d == d):
                            continue
                        part = left * coverage[s, yy, xx]
                        left -= part
                        if dark:
                            continue
                        w = 0.0
                        if k0 != k1:
                            w = min(max((knots[k0] - d) / (knots[k0] - knots[k1]), 0.0), 1.0)
                        for c in range(channels):
                            light = light_of(transmission, r0, r1, weight, k0, k1, w, c)
                            met[c] += part * light * colours[s, yy, xx, c]
                    ray_d = min(ray_d, leave)
                    if left < 1e-3:
                        break
                    if tx < ty:
                        cx += sx
                        tx = tx + wx if cx != ex else 2.0
                    else:
                        cy += sy
                        ty = ty + wy if cy != ey else 2.0
                if left < 1e-3:
                    break
            if left > 0.999:
                continue
            count += 1
            x0, y0 = place_of(offsets, r0, r1, weight, own0, own1, own_w, q, turn)
            cx, cy = math.floor(x0 + col + 0.5), math.floor(y0 + row + 0.5)
            dark = padding == ZEROS and (cx < 0 or cy < 0 or cx >= width or cy >= height)
            yy, xx = inside(cy, height, padding), inside(cx, width, padding)
            for c in range(channels):
                seen = 0.0 if dark else image[yy, xx, c] * light_of(transmission, r0, r1, weight, own0, own1, own_w, c)
                found = met[c] / (1 - left)
                # Products with departures from the exact mean, which is known: no second pass, little rounding.
                both += found * (seen - control[m, c])
                square += seen * (seen - control[m, c])
                total[c] += found
                plain[c] += seen
        if count == 0:
            # Every ray passes behind all that is known.
            out[m] = control[m]
            continue
        for c in range(channels):
            excess = plain[c] - count * control[m, c]
            both -= total[c] / count * excess
            square -= plain[c] / count * excess
        share = min(max(both / square, 0.0), 1.0) if square > 1e-9 * count else 1.0
        for c in range(channels):
            out[m, c] = (total[c] - share * (plain[c] - count * control[m, c])) / count


def _gather_discs(
    rows: Array, cols: Array, radius: Array, image: Array, discs: Array, step: float, padding: int, out: Array
) -> None:
    """Discs of the pixels' own radii times the image around them, linear between discs stored in even steps.

    Args: rows, cols, radius (M,) in px, image (H, W, C), discs (S, K, K), step of their radii in px, out (M, C).
    """
    height, width, channels = image.shape
    half = discs.shape[1] // 2
    for m in range(rows.shape[0]):
        at = radius[m] / step
        k = min(int(at), discs.shape[0] - 2)
        w = at - k
        reach = min(half, math.ceil((k + 1) * step + 0.5))
        for dy in range(-reach, reach + 1):
            for dx in range(-reach, reach + 1):
                share = (1 - w) * discs[k, half + dy, half + dx] + w * discs[k + 1, half + dy, half + dx]
                y, x = rows[m] - dy, cols[m] - dx
                if share == 0.0 or (padding == ZEROS and (y < 0 or x < 0 or y >= height or x >= width)):
                    continue
                yy, xx = inside(y, height, padding), inside(x, width, padding)
                for c in range(channels):
                    out[m, c] += share * image[yy, xx, c]


def _gather_kernels(rows: Array, cols: Array, image: Array, kernels: Array, padding: int, out: Array) -> None:
    """Kernels (M, C, K, K) of the pixels times the image (H, W, C) around them: out (M, C)."""
    height, width, channels = image.shape
    half = kernels.shape[2] // 2
    for m in range(rows.shape[0]):
        for dy in range(-half, half + 1):
            for dx in range(-half, half + 1):
                y, x = rows[m] - dy, cols[m] - dx
                if padding == ZEROS and (y < 0 or x < 0 or y >= height or x >= width):
                    continue
                yy, xx = inside(y, height, padding), inside(x, width, padding)
                for c in range(channels):
                    out[m, c] += kernels[m, c, half + dy, half + dx] * image[yy, xx, c]


def _paint(rows: Array, cols: Array, reach: Array, out: Array) -> None:
    """Set the discs of radius `reach` (M,) px about some pixels in a map (H, W)."""
    height, width = out.shape
    for m in range(rows.shape[0]):
        whole = int(reach[m])
        for y in range(max(rows[m] - whole, 0), min(rows[m] + whole, height - 1) + 1):
            for x in range(max(cols[m] - whole, 0), min(cols[m] + whole, width - 1) + 1):
                if (y - rows[m]) ** 2 + (x - cols[m]) ** 2 <= reach[m] ** 2:
                    out[y, x] = True


march = numba.njit(cache=True, nogil=True)(_march)
gather_discs = numba.njit(cache=True, nogil=True)(_gather_discs)
paint = numba.njit(cache=True, nogil=True)(_paint)
gather_kernels = numba.njit(cache=True, nogil=True)(_gather_kernels)


def spread(work: Callable[[slice], None], count: int, threads: int) -> None:
    """Do `work` on slices of `count` pixels, `threads` at a time."""
    slices = [slice(first, min(first + CHUNK, count)) for first in range(0, count, CHUNK)]
    if threads == 1 or len(slices) < 2:
        for one in slices:
            work(one)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, slices))
