"""Surfaces that a picture with depth does not show: what a lens sees behind the edges of nearer things.

A pinhole sees one surface per pixel, a lens sees past edges. What it meets there is guessed from the visible side:
the surface goes on in a straight line (planes are linear in dioptres over the picture), and its colour is the visible
one mirrored at the edge, averaged over more the deeper it lies, since a guess so far from what is known is better the
mean than one of many possible textures.
"""

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from .marching import spread

Array = npt.NDArray[Any]

# Pixels around an edge from which the slope of the surface behind is taken.
SLOPE_REACH_PX = 4
# A pull towards level, in pixels: a slope counts where this many pixels about the edge say so.
SLOPE_RIDGE_PX = 2.0
# The half side of the square that a guessed colour is averaged over, in px per px behind the edge.
SPREAD = 1.0


@dataclass(frozen=True, eq=False)
class Surfaces:
    """Visible and hidden surfaces of one picture.

    Attributes:
        dioptres_dpt: Front first, negative where there is none, shape (L, H, W).
        colours: Shape (L, H, W, C).
    """

    dioptres_dpt: Array
    colours: Array


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


def fill_hidden(
    image: Array,
    dioptres_dpt: Array,
    threshold_dpt: float,
    drift_px_per_dpt: float,
    hidden: int = 2,
    threads: int = 1,
) -> Surfaces:
    """The visible surface and guesses of the hidden ones behind it.

    A surface is needed as far behind an edge as a ray can drift between the two depths, and one pixel more.

    Args:
        image: Shape (H, W, C).
        dioptres_dpt: Shape (H, W).
        threshold_dpt: Neighbours that differ by more belong to different surfaces.
        drift_px_per_dpt: How far the outermost ray moves sideways per dioptre.
        hidden: Surfaces to guess behind the visible one.
        threads: To use at a time.

    Returns:
        1 + `hidden` surfaces.
    """
    height, width, _ = image.shape
    depths, colours = [dioptres_dpt], [image]
    far, _ = jumps(dioptres_dpt, threshold_dpt)
    largest = drift_px_per_dpt * float(dioptres_dpt.max() - dioptres_dpt.min()) + 1
    reach = min(math.ceil(largest), height + width)
    offsets = _disc_offsets(reach)
    slopes = np.zeros((height, width, 2), image.dtype)
    edge_rows, edge_cols = np.nonzero(far)
    find_slopes(edge_rows, edge_cols, dioptres_dpt, threshold_dpt, SLOPE_REACH_PX, SLOPE_RIDGE_PX, slopes)
    rows, cols = np.nonzero(_near_edges(far, reach))
    for _level in range(hidden):
        below = depths[-1]
        behind, filled = np.full_like(dioptres_dpt, -1), np.zeros_like(image)

        def work(part: slice, below: Array = below, behind: Array = behind, filled: Array = filled) -> None:
            fill(
                *(rows[part], cols[part], image, dioptres_dpt, below, far, slopes, offsets),
                *(threshold_dpt, drift_px_per_dpt, SPREAD, behind, filled),
            )

        spread(work, len(rows), threads)
        if not (behind >= 0).any():
            break
        depths.append(behind)
        colours.append(filled)
    return Surfaces(np.stack(depths), np.stack(colours))


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


def _find_slopes(
    rows: Array, cols: Array, dioptres: Array, threshold: float, reach: int, ridge: float, slopes: Array
) -> None:
    """Change of the dioptre per row and column at some pixels, from their own surface's pixels around them."""
    height, width = dioptres.shape
    for m in range(rows.shape[0]):
        row, col = rows[m], cols[m]
        here = dioptres[row, col]
        syy, sxx, sxy = ridge * ridge, ridge * ridge, 0.0
        sy, sx = 0.0, 0.0
        for dy in range(-reach, reach + 1):
            for dx in range(-reach, reach + 1):
                y, x = row + dy, col + dx
                if y < 0 or x < 0 or y >= height or x >= width:
                    continue
                change = dioptres[y, x] - here
                # What lies on one surface differs by less than the threshold per step.
                if abs(change) > threshold * max(abs(dy), abs(dx)) or abs(change) > 4 * threshold:
                    continue
                syy += dy * dy
                sxx += dx * dx
                sxy += dy * dx
                sy += dy * change
                sx += dx * change
        determinant = syy * sxx - sxy * sxy
        if determinant > 1e-6 * syy * sxx:
            slopes[row, col, 0] = (sxx * sy - sxy * sx) / determinant
            slopes[row, col, 1] = (syy * sx - sxy * sy) / determinant


def _fill(
    rows: Array,
    cols: Array,
    image: Array,
    dioptres: Array,
    below: Array,
    far: Array,
    slopes: Array,
    offsets: Array,
    threshold: float,
    drift: float,
    spreading: float,
    behind: Array,
    filled: Array,
) -> None:
    """Continue the nearest farther edge behind each pixel, beneath `below`."""
    height, width, channels = image.shape
    for m in range(rows.shape[0]):
        row, col = rows[m], cols[m]
        if below[row, col] < 0:
            continue
        for n in range(offsets.shape[0]):
            y, x = row + offsets[n, 0], col + offsets[n, 1]
            if y < 0 or x < 0 or y >= height or x >= width or not far[y, x]:
                continue
            edge = dioptres[y, x]
            distance = math.sqrt(offsets[n, 0] ** 2 + offsets[n, 1] ** 2)
            if edge >= below[row, col] - threshold or distance > drift * (dioptres[row, col] - edge) + 1:
                continue
            d = edge - slopes[y, x, 0] * offsets[n, 0] - slopes[y, x, 1] * offsets[n, 1]
            behind[row, col] = min(max(d, 0.0), below[row, col] - threshold)
            # Mirrored at the edge; only pixels of that surface have a say.
            half = int(spreading * distance)
            my, mx = y + offsets[n, 0], x + offsets[n, 1]
            count = 0
            for yy in range(max(my - half, 0), min(my + half, height - 1) + 1):
                for xx in range(max(mx - half, 0), min(mx + half, width - 1) + 1):
                    away = max(abs(yy - y), abs(xx - x))
                    expected = edge + slopes[y, x, 0] * (yy - y) + slopes[y, x, 1] * (xx - x)
                    if abs(dioptres[yy, xx] - expected) > threshold * (1 + 0.25 * away):
                        continue
                    count += 1
                    for c in range(channels):
                        filled[row, col, c] += image[yy, xx, c]
            for c in range(channels):
                filled[row, col, c] = filled[row, col, c] / count if count else image[y, x, c]
            break


find_slopes = numba.njit(cache=True, nogil=True)(_find_slopes)
fill = numba.njit(cache=True, nogil=True)(_fill)
