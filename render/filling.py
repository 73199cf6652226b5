"""Surfaces that a picture with depth does not show: what a lens sees behind the edges of nearer things.

A pinhole sees one surface per pixel, a lens sees past edges. What it meets there is guessed from the visible side:
the surface goes on at the depth of the nearest farther edge, and its colour is the visible one mirrored at the edge,
averaged over more the deeper it lies, since a guess so far from what is known is better the mean than one of many
possible textures. Where depth alone decides, the colours are a linear function of the picture.
"""

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from .marching import spread

Array = npt.NDArray[Any]

# The half side of the square that a guessed colour is averaged over, per px behind the edge. A texture of no known
# scale has no other length to go by; a factor of two either way changes the mean over many scenes by 0.3 dB at most.
SPREAD = 1.0


@dataclass(frozen=True, eq=False)
class Hidden:
    """Surfaces behind the visible one.

    Attributes:
        dioptres_dpt: The nearer first, negative where there is none, shape (L, H, W).
        sources: Row and column of the edge pixel that each goes on from, shape (L, H, W, 2).
    """

    dioptres_dpt: Array
    sources: Array


def jumps(dioptres_dpt: Array, threshold_dpt: float) -> tuple[Array, Array]:
    """Pixels at the farther and at the nearer side of a jump between 4-neighbours, two boolean maps (H, W)."""
    far = np.zeros(dioptres_dpt.shape, bool)
    near = np.zeros(dioptres_dpt.shape, bool)
    for axis in (0, 1):
        d = np.moveaxis(dioptres_dpt, axis, 0)
        f, n = np.moveaxis(far, axis, 0), np.moveaxis(near, axis, 0)
        down, up = d[:-1] - d[1:] > threshold_dpt, d[1:] - d[:-1] > threshold_dpt
        f[1:] |= down
        n[:-1] |= down
        f[:-1] |= up
        n[1:] |= up
    return far, near


def find_hidden(
    dioptres_dpt: Array, threshold_dpt: float, drift_px_per_dpt: float, hidden: int = 2, threads: int = 1
) -> Hidden:
    """Guess where surfaces go on behind nearer ones.

    A surface is needed as far behind an edge as a ray can drift between the two depths, and one pixel more.

    Args:
        dioptres_dpt: Shape (H, W).
        threshold_dpt: Neighbours that differ by more belong to different surfaces.
        drift_px_per_dpt: How far the outermost ray moves sideways per dioptre.
        hidden: Surfaces to guess behind the visible one, at most.
        threads: To use at a time.
    """
    height, width = dioptres_dpt.shape
    far, _ = jumps(dioptres_dpt, threshold_dpt)
    largest = drift_px_per_dpt * float(dioptres_dpt.max() - dioptres_dpt.min()) + 1
    reach = min(math.ceil(largest), height + width)
    offsets = _disc_offsets(reach)
    rows, cols = np.nonzero(_near_edges(far, reach))
    dioptres, sources = [], []
    below = dioptres_dpt
    for _level in range(hidden):
        behind = np.full_like(dioptres_dpt, -1)
        source = np.zeros((height, width, 2), np.int32)

        def work(part: slice, below: Array = below, behind: Array = behind, source: Array = source) -> None:
            continue_edges(
                *(rows[part], cols[part], dioptres_dpt, below, far, offsets),
                *(threshold_dpt, drift_px_per_dpt, behind, source),
            )

        spread(work, len(rows), threads)
        if not (behind >= 0).any():
            break
        dioptres.append(behind)
        sources.append(source)
        below = behind
    if not dioptres:
        return Hidden(np.zeros((0, height, width), dioptres_dpt.dtype), np.zeros((0, height, width, 2), np.int32))
    return Hidden(np.stack(dioptres), np.stack(sources))


def colour_hidden(
    hidden: Hidden,
    dioptres_dpt: Array,
    threshold_dpt: float,
    image: Array,
    colours: Array,
    *,
    back: bool = False,
    threads: int = 1,
) -> None:
    """Colours of the hidden surfaces; or, `back`, the transposed sum.

    Args:
        hidden: L surfaces.
        dioptres_dpt: What is visible, shape (H, W).
        threshold_dpt: What makes a jump.
        image: Shape (H, W, C).
        colours: Shape (H, W, L, C).
        back: Whether to add to `image` what gradients `colours` bring it, in place of setting `colours`.
        threads: To use at a time, forwards.
    """
    for level, (behind, source) in enumerate(zip(hidden.dioptres_dpt, hidden.sources, strict=True)):
        rows, cols = np.nonzero(behind >= 0)
        into = colours[:, :, level]

        def work(
            part: slice, rows: Array = rows, cols: Array = cols, source: Array = source, into: Array = into
        ) -> None:
            mirror(*(rows[part], cols[part], source, dioptres_dpt, threshold_dpt, SPREAD, back, image, into))

        # Backwards squares overlap: one after the other.
        spread(work, len(rows), 1 if back else threads)


def _near_edges(far: Array, reach: int) -> Array:
    from scipy.ndimage import distance_transform_edt

    if not far.any():
        return far
    near: Array = distance_transform_edt(~far) <= reach
    return near


def _disc_offsets(reach: int) -> Array:
    """Rows and columns from the middle to each pixel of a disc, the nearest first, (N, 2)."""
    span = np.arange(-reach, reach + 1)
    dy, dx = (one.ravel() for one in np.meshgrid(span, span, indexing="ij"))
    square = dy * dy + dx * dx
    order = np.argsort(square, kind="stable")
    order = order[square[order] <= reach * reach]
    return np.stack((dy[order], dx[order]), 1)


def _continue_edges(
    rows: Array,
    cols: Array,
    dioptres: Array,
    below: Array,
    far: Array,
    offsets: Array,
    threshold: float,
    drift: float,
    behind: Array,
    source: Array,
) -> None:
    """Continue the nearest farther edge behind each pixel, beneath `below`."""
    height, width = dioptres.shape
    lowest = dioptres.min()
    for m in range(rows.shape[0]):
        row, col = rows[m], cols[m]
        if below[row, col] < 0:
            continue
        # Nothing lies farther than the farthest, and nothing beyond that drift is seen.
        furthest = (drift * (dioptres[row, col] - lowest) + 1) ** 2
        for n in range(offsets.shape[0]):
            square = offsets[n, 0] ** 2 + offsets[n, 1] ** 2
            if square > furthest:
                break
            y, x = row + offsets[n, 0], col + offsets[n, 1]
            if y < 0 or x < 0 or y >= height or x >= width or not far[y, x]:
                continue
            edge = dioptres[y, x]
            if edge >= below[row, col] - threshold or math.sqrt(square) > drift * (dioptres[row, col] - edge) + 1:
                continue
            behind[row, col] = edge
            source[row, col, 0], source[row, col, 1] = y, x
            break


def _mirror(
    rows: Array,
    cols: Array,
    source: Array,
    dioptres: Array,
    threshold: float,
    spreading: float,
    back: bool,
    image: Array,
    colours: Array,
) -> None:
    """The picture's mean over squares mirrored at an edge; only pixels of the edge's own surface have a say."""
    height, width, channels = image.shape
    for m in range(rows.shape[0]):
        row, col = rows[m], cols[m]
        y, x = source[row, col, 0], source[row, col, 1]
        edge = dioptres[y, x]
        half = int(spreading * math.sqrt((y - row) ** 2 + (x - col) ** 2))
        my, mx = 2 * y - row, 2 * x - col
        top, bottom = max(my - half, 0), min(my + half, height - 1)
        left, right = max(mx - half, 0), min(mx + half, width - 1)
        count = 0
        for adding in range(2 if back else 1):
            if adding == 1 and count == 0:
                for c in range(channels):
                    image[y, x, c] += colours[row, col, c]
                break
            for yy in range(top, bottom + 1):
                for xx in range(left, right + 1):
                    away = max(abs(yy - y), abs(xx - x))
                    if abs(dioptres[yy, xx] - edge) > threshold * (1 + 0.25 * away):
                        continue
                    if adding == 1:
                        for c in range(channels):
                            image[yy, xx, c] += colours[row, col, c] / count
                        continue
                    if not back:
                        for c in range(channels):
                            if count == 0:
                                colours[row, col, c] = 0.0
                            colours[row, col, c] += image[yy, xx, c]
                    count += 1
        if not back:
            for c in range(channels):
                colours[row, col, c] = colours[row, col, c] / count if count else image[y, x, c]


continue_edges = numba.njit(cache=True, nogil=True)(_continue_edges)
mirror = numba.njit(cache=True, nogil=True)(_mirror)
