"""Compiled loops of the ray march: lens rays through a stack of surfaces, forwards and as the transposed sum."""

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
# Surfaces that one ray may meet in part before it ends, and what share of it is no longer worth following.
MEETINGS, SPENT = 8, 1e-3


def pad_places(count: int, margin: int, padding: str) -> Array:
    """The row or column that stands for each from -margin to count - 1 + margin; for "zeros" the nearest one."""
    place = np.arange(-margin, count + margin)
    if padding == "circular":
        return place % count
    if padding == "reflect" and count > 1:
        place = place % (2 * (count - 1))
        return np.minimum(place, 2 * (count - 1) - place)
    return place.clip(0, count - 1)


def pad_frame(height: int, width: int, margin: int, padding: str) -> tuple[tuple[Array, Array], Array]:
    """Rows (H', 1) and columns (W',) that stand for the padded ones, and 0 where "zeros" are, else 1, (H', W', 1)."""
    lit = np.full((height + 2 * margin, width + 2 * margin, 1), 0 if padding == "zeros" else 1, np.int8)
    lit[margin : margin + height, margin : margin + width] = 1
    return (pad_places(height, margin, padding)[:, None], pad_places(width, margin, padding)), lit


def fold(padded: Array, pads: tuple[Array, Array], shape_px: tuple[int, int]) -> Array:
    """The transpose of padding: every padded pixel (H', W', ...) added to the one (H, W, ...) that it copies."""
    out = np.zeros((*shape_px, *padded.shape[2:]), padded.dtype)
    rows = np.zeros((shape_px[0], *padded.shape[1:]), padded.dtype)
    for k, row in enumerate(pads[0][:, 0]):
        rows[row] += padded[k]
    for k, col in enumerate(pads[1]):
        out[:, col] += rows[:, k]
    return out


def _walk(
    x0: float,
    y0: float,
    x1: float,
    y1: float,
    high: float,
    low: float,
    width: int,
    surfaces: Array,
    top: Array,
    coverage: Array,
    thickness: float,
    cells: Array,
    parts: Array,
    at: int,
) -> tuple[int, float]:
    """Note what one ray meets on its straight way from (x0, y0) at `high` to (x1, y1) at `low`.

    It runs over cells of one pixel in which every surface lies level. It meets a surface where it comes down on it,
    and where it enters a cell no more than `thickness` beneath it: neighbouring cells of one surface differ by less,
    so that nothing slips through a slope. Where it enters deeper than that it has passed behind an edge. Meetings go
    to `cells` (as flat indices of `surfaces`) and `parts` (of the ray) from `at` on.

    Returns:
        The end of the notes, and what is left of the ray.
    """
    layers = surfaces.shape[1]
    cx, cy = math.floor(x0 + 0.5), math.floor(y0 + 0.5)
    ex, ey = math.floor(x1 + 0.5), math.floor(y1 + 0.5)
    dx, dy = x1 - x0, y1 - y0
    sx, sy = (1 if dx > 0 else -1), (1 if dy > 0 else -1)
    # Where the ray leaves its column and its row, as shares of the way; 2 is never.
    tx = (cx + 0.5 * sx - x0) / dx if cx != ex else 2.0
    ty = (cy + 0.5 * sy - y0) / dy if cy != ey else 2.0
    wx = 1.0 / abs(dx) if cx != ex else 0.0
    wy = 1.0 / abs(dy) if cy != ey else 0.0
    nx, ny = abs(ex - cx), abs(ey - cy)
    cell, sy = cy * width + cx, sy * width
    ray_d, left, first = high, 1.0, at
    while True:
        leave = low
        if nx + ny > 0:
            leave = min(ray_d, high + min(tx, ty) * (low - high))
        if top[cell] >= leave:
            for s in range(layers):
                d = surfaces[cell, s]
                if d < leave or d < 0:
                    continue
                # What is left of a ray beside an edge is beneath the edge's surface for good.
                whole = left > 0.999
                if ray_d < d - (thickness if whole else 0.0) or (not whole and ray_d == d):
                    continue
                part = left * coverage[cell, s]
                if part > 0:
                    left -= part
                    cells[at] = cell * layers + s
                    parts[at] = part
                    at += 1
            if left < SPENT or at - first > MEETINGS - layers:
                break
        if nx + ny <= 0:
            break
        ray_d = leave
        if tx < ty:
            cell += sx
            nx -= 1
            tx = tx + wx if nx > 0 else 2.0
        else:
            cell += sy
            ny -= 1
            ty = ty + wy if ny > 0 else 2.0
    return at, left


walk = numba.njit(cache=True, nogil=True, error_model="numpy")(_walk)


def _lit(table: Array, knots: Array, d: float, c: int) -> float:
    """Linear between the knots (descending dioptres) of one pixel's light, shape (P, C)."""
    if knots.shape[0] == 1:
        return float(table[0, c])
    k = 0
    while k < knots.shape[0] - 2 and knots[k + 1] > d:
        k += 1
    w = min(max((knots[k] - d) / (knots[k] - knots[k + 1]), 0.0), 1.0)
    return float((1 - w) * table[k, c] + w * table[k + 1, c])


lit_at = numba.njit(cache=True, nogil=True, error_model="numpy")(_lit)


def _march(
    rows: Array,
    cols: Array,
    start: Array,
    own: Array,
    place: Array,
    width: int,
    surfaces: Array,
    top: Array,
    coverage: Array,
    lowest: float,
    lines: Array,
    rays: int,
    knots: Array,
    transmission: Array,
    thickness: float,
    margin: int,
    back: bool,
    first_cell: int,
    image: Array,
    colours: Array,
    control: Array,
    out: Array,
) -> None:
    """Mean colour that the lens rays of some pixels meet; or, `back`, the transposed sum.

    A ray of the pixel p through pupil point q runs from near to far along x(D) = p - offset(q, D), straight in D.
    What the pixel gathers at its own depth if nothing hides anything is known better than by a few rays. The same
    rays' estimate of it says how wrong they are, and the share of them that meets what it would have gathered is how
    much of that is taken off: it depends on depth alone, so that the whole is linear in the colours.

    N is the number of pixels of the frame padded by `margin`, row by row.

    Args:
        rows: Of the pixels, shape (M,).
        cols: Of the pixels, shape (M,).
        start: No surface within reach is nearer than this, in dpt, shape (M,).
        own: The pixels' own dioptres, shape (M,).
        place: Index of the inner radius, weight of the next one, cosine and sine of the azimuth, shape (M, 4).
        width: Of the padded frame.
        surfaces: Dioptres, negative where there is none; index 1 is what is visible; shape (N, L).
        top: The nearest of them, shape (N,).
        coverage: How much of its cell a surface covers; the rest of the ray goes on. Shape (N, L).
        lowest: No surface is farther, in dpt.
        lines: Of each ray right and up at 0 dpt and their growth per dpt, azimuth 0, shape (R, A, 4), A a square
            multiple of `rays`.
        rays: Of each pixel; neighbouring pixels take different ones in turn.
        knots: Dioptres, descending, shape (P,).
        transmission: Of the channels, shape (R, P, C).
        thickness: In dpt.
        margin: In px.
        back: Whether to add to `image`, `colours` and `control` what gradients `out` bring them, in place of the
            reverse.
        first_cell: Pixel of the padded frame that `image` and `colours` begin at.
        image: The picture as it is, shape (N, C).
        colours: Of the surfaces, shape (N L, C).
        control: What the pixels gather, shape (M, C).
        out: Shape (M, C).
    """
    layers, channels = surfaces.shape[1], colours.shape[1]
    side = int(math.sqrt(lines.shape[1] // rays) + 0.5)
    cells, parts = np.empty(rays * MEETINGS, np.int64), np.empty(rays * MEETINGS)
    # Where the notes of each ray end, what its parts are divided by (0: it met nothing), the cell it would gather.
    ends, scales, plain = np.empty(rays, np.int64), np.empty(rays), np.empty(rays, np.int64)
    table, total = np.empty((knots.shape[0], channels)), np.empty(channels)
    before_colours, even = first_cell * layers, knots.shape[0] == 1
    for m in range(rows.shape[0]):
        row, col = rows[m] + margin, cols[m] + margin
        r0, weight, cosine, sine = int(place[m, 0]), place[m, 1], place[m, 2], place[m, 3]
        r1, inner = min(r0 + 1, lines.shape[0] - 1), 1 - weight
        for k in range(table.shape[0]):
            for c in range(channels):
                table[k, c] = inner * transmission[r0, k, c] + weight * transmission[r1, k, c]
        first = ((rows[m] % side) * side + cols[m] % side) * rays
        high, here, count, same, at = start[m], own[m], 0, 0.0, 0
        for q in range(rays):
            k = first + q
            bx = inner * lines[r0, k, 0] + weight * lines[r1, k, 0]
            by = inner * lines[r0, k, 1] + weight * lines[r1, k, 1]
            gx = inner * lines[r0, k, 2] + weight * lines[r1, k, 2]
            gy = inner * lines[r0, k, 3] + weight * lines[r1, k, 3]
            # Columns right of and rows below the pixel: the negative of the turned offset.
            x, y = col + sine * by - cosine * bx, row + sine * bx + cosine * by
            dx, dy = sine * gy - cosine * gx, sine * gx + cosine * gy
            before = at
            at, left = walk(
                x + high * dx,
                y + high * dy,
                x + lowest * dx,
                y + lowest * dy,
                high,
                lowest,
                width,
                surfaces,
                top,
                coverage,
                thickness,
                cells,
                parts,
                at,
            )
            gathers = math.floor(y + here * dy + 0.5) * width + math.floor(x + here * dx + 0.5)
            plain[q], scales[q] = gathers, 0.0
            if left > 0.999:
                at = before
            else:
                count += 1
                scales[q] = 1 / (1 - left)
                for i in range(before, at):
                    if cells[i] == gathers * layers + 1:
                        same += parts[i] * scales[q]
            ends[q] = at
        # Where every ray passes behind all that is known, what is gathered has to do.
        share = same / count if count > 0 else 1.0
        for c in range(channels):
            total[c] = 0.0
            if back:
                control[m, c] += share * out[m, c]
        before = 0
        for q in range(rays):
            if scales[q] == 0:
                continue
            for i in range(before, ends[q]):
                cell, part = cells[i], parts[i] * scales[q] / count
                d = here if even else surfaces[cell // layers, cell % layers]
                for c in range(channels):
                    w = part * lit_at(table, knots, d, c)
                    if back:
                        colours[cell - before_colours, c] += w * out[m, c]
                    else:
                        total[c] += w * colours[cell - before_colours, c]
            before = ends[q]
            if share > 0:
                cell = plain[q] - first_cell
                for c in range(channels):
                    w = share / count * lit_at(table, knots, here, c)
                    if back:
                        image[cell, c] -= w * out[m, c]
                    else:
                        total[c] -= w * image[cell, c]
        if not back:
            for c in range(channels):
                out[m, c] = total[c] + share * control[m, c]


def _gather_discs(
    rows: Array,
    cols: Array,
    radius: Array,
    discs: Array,
    step: float,
    margin: int,
    back: bool,
    first_row: int,
    image: Array,
    out: Array,
) -> None:
    """Discs of the pixels' own radii times the image around them, linear between discs stored in even steps.

    Args: rows, cols, radius (M,) in px, discs (S, K, K), step of their radii in px, margin that the image is padded
    by, whether to add to the image what gradients `out` bring it, padded row that it begins at, image (H, W, C),
    out (M, C).
    """
    half, channels = discs.shape[1] // 2, image.shape[2]
    for m in range(rows.shape[0]):
        at = radius[m] / step
        k = min(int(at), discs.shape[0] - 2)
        w = at - k
        reach = min(half, math.ceil((k + 1) * step + 0.5))
        for dy in range(-reach, reach + 1):
            y = rows[m] + margin - first_row - dy
            for dx in range(-reach, reach + 1):
                share = (1 - w) * discs[k, half + dy, half + dx] + w * discs[k + 1, half + dy, half + dx]
                if share == 0.0:
                    continue
                x = cols[m] + margin - dx
                for c in range(channels):
                    if back:
                        image[y, x, c] += share * out[m, c]
                    else:
                        out[m, c] += share * image[y, x, c]


def _paint(rows: Array, cols: Array, reach: Array, out: Array) -> None:
    """Set the discs of radius `reach` (M,) px about some pixels in a map (H, W)."""
    height, width = out.shape
    for m in range(rows.shape[0]):
        whole = int(reach[m])
        for y in range(max(rows[m] - whole, 0), min(rows[m] + whole, height - 1) + 1):
            for x in range(max(cols[m] - whole, 0), min(cols[m] + whole, width - 1) + 1):
                if (y - rows[m]) ** 2 + (x - cols[m]) ** 2 <= reach[m] ** 2:
                    out[y, x] = True


march = numba.njit(cache=True, nogil=True, error_model="numpy")(_march)
gather_discs = numba.njit(cache=True, nogil=True)(_gather_discs)
paint = numba.njit(cache=True, nogil=True)(_paint)


def spread(work: Callable[[slice], None], count: int, threads: int) -> None:
    """Do `work` on slices of `count` pixels, `threads` at a time."""
    slices = [slice(first, min(first + CHUNK, count)) for first in range(0, count, CHUNK)]
    if threads == 1 or len(slices) < 2:
        for one in slices:
            work(one)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, slices))


def spread_back(
    work: Callable[[slice, int, tuple[Array, ...]], None],
    rows: Array,
    margin: int,
    sums: tuple[Array, ...],
    threads: int,
) -> None:
    """Do transposed `work` on slices of pixels and add up, in one order whatever the threads.

    Args:
        work: Takes a slice of the pixels, a padded row, and arrays that begin at that row, to add to.
        rows: Of the pixels, ascending, shape (M,).
        margin: How far pixels reach, in px.
        sums: Padded arrays (H + 2 margin, ...) to add to.
        threads: To use at a time.
    """
    slices = [slice(first, min(first + CHUNK, len(rows))) for first in range(0, len(rows), CHUNK)]

    def part(one: slice) -> tuple[int, tuple[Array, ...]]:
        first, last = int(rows[one.start]), int(rows[one.stop - 1]) + 2 * margin + 1
        own = tuple(np.zeros((last - first, *whole.shape[1:]), whole.dtype) for whole in sums)
        work(one, first, own)
        return first, own

    with ThreadPoolExecutor(threads) as pool:
        for k in range(0, len(slices), threads):
            for first, own in pool.map(part, slices[k : k + threads]):
                for whole, piece in zip(sums, own, strict=True):
                    whole[first : first + len(piece)] += piece
