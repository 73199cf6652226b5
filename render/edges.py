"""Edge pixels taken apart: how much of the square the nearer surface covers, and the colours of both.

An all-in-focus picture is a mean over each pixel's square, and at the edge of a nearer thing that square shows two
surfaces. As one opaque surface such a pixel would carry the farther one's light along with the nearer one's blur.
Shares are decided first; given them, the colours are a linear function of the picture.
"""

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Pixels around an edge pixel whose colours stand for the two surfaces, weighted by 1 / distance^4: colours change.
# Beside an edge pixel lies the other edge pixel, and a whole one of that surface no nearer than this.
LOOK_PX = 2
# What another edge pixel, a mixture itself, counts against a whole one: beside this one as much as that at LOOK_PX.
MIXED = LOOK_PX**-4
# Where colours cannot tell: a pixel whose centre is on the nearer side of a straight edge through it is covered by
# half to all, evenly spread: 3/4, variance 1/48; on the farther side 1/4.
PRIOR_SHARE = 0.75
PRIOR_VARIANCE = 1 / 48
# Colours never tell more exactly than this (variance, per channel): a hundredth of white.
COLOUR_FLOOR = 1e-4
# Shares that are weighed against one another, from 0 to 1.
GRID = 20


@dataclass(frozen=True, eq=False)
class Edges:
    """What the pixels at jumps of depth are made of.

    Attributes:
        rows: Of those that could be taken apart, shape (N,).
        cols: Shape (N,).
        other_dpt: Dioptre of the surface beside each pixel's own, shape (N,).
        share: Of the square that the nearer surface covers, shape (N,).
        is_edge: Shape (H, W).
    """

    rows: Array
    cols: Array
    other_dpt: Array
    share: Array
    is_edge: Array


def weigh_edges(image: Array, dioptres_dpt: Array, far: Array, near: Array, threshold_dpt: float) -> Edges:
    """How much of each pixel at a jump belongs to which surface.

    Args:
        image: Shape (H, W, C).
        dioptres_dpt: Shape (H, W).
        far: Pixels at the farther side of a jump, shape (H, W).
        near: Pixels at the nearer side, shape (H, W).
        threshold_dpt: What makes a jump.
    """
    is_edge = far | near
    rows, cols = np.nonzero(is_edge)
    other, share = np.zeros(len(rows), dioptres_dpt.dtype), np.full(len(rows), -1.0)
    weigh(
        *(rows, cols, image, dioptres_dpt, is_edge, threshold_dpt, LOOK_PX, MIXED),
        *(PRIOR_SHARE, PRIOR_VARIANCE, COLOUR_FLOOR, other, share),
    )
    known = share >= 0
    return Edges(rows[known], cols[known], other[known], share[known], is_edge)


def split_colours(
    edges: Edges, dioptres_dpt: Array, image: Array, front: Array, rear: Array, *, back: bool = False
) -> None:
    """Colours of the two surfaces of each edge pixel; or, `back`, the transposed sum.

    Share times the nearer colour plus the rest times the farther one is the picture.

    Args:
        edges: N of them.
        dioptres_dpt: Shape (H, W).
        image: Shape (H, W, C).
        front: Of the nearer surfaces, shape (N, C).
        rear: Of the farther ones, shape (N, C).
        back: Whether to add to `image` what gradients `front` and `rear` bring it, in place of setting these.
    """
    split(
        *(edges.rows, edges.cols, edges.other_dpt, edges.share, edges.is_edge, dioptres_dpt, LOOK_PX, MIXED),
        *(back, image, front, rear),
    )


def _nearness(
    row: int, col: int, y: int, x: int, mixed: float, is_edge: Array, dioptres: Array, other: float
) -> tuple[int, float]:
    """Whether a pixel speaks for the nearer (0) or the farther (1) surface of an edge pixel, and how loudly."""
    if y == row and x == col:
        return 0, 0.0
    here, d = dioptres[row, col], dioptres[y, x]
    group = 0 if d > 0.5 * (here + other) else 1
    if abs(d - (max(here, other) if group == 0 else min(here, other))) > 0.5 * abs(here - other):
        return group, 0.0
    return group, (mixed if is_edge[y, x] else 1.0) / ((y - row) ** 2 + (x - col) ** 2) ** 2


nearness = numba.njit(cache=True, nogil=True)(_nearness)


def _weigh(
    rows: Array,
    cols: Array,
    image: Array,
    dioptres: Array,
    is_edge: Array,
    threshold: float,
    look: int,
    mixed: float,
    prior: float,
    prior_variance: float,
    floor: float,
    others: Array,
    shares: Array,
) -> None:
    height, width, channels = image.shape
    sums, squares, counts = np.zeros((2, channels)), np.zeros((2, channels)), np.zeros(2)
    for m in range(rows.shape[0]):
        row, col = rows[m], cols[m]
        here = dioptres[row, col]
        # The strongest jump at this pixel decides which two surfaces it is made of.
        other, strongest = here, threshold
        for side in range(4):
            y = row + (1 if side == 0 else -1 if side == 1 else 0)
            x = col + (1 if side == 2 else -1 if side == 3 else 0)
            if y < 0 or x < 0 or y >= height or x >= width:
                continue
            if abs(dioptres[y, x] - here) > strongest:
                strongest = abs(dioptres[y, x] - here)
                other = dioptres[y, x]
        if other == here:
            continue
        sums[:] = 0.0
        squares[:] = 0.0
        counts[:] = 0.0
        for y in range(max(row - look, 0), min(row + look, height - 1) + 1):
            for x in range(max(col - look, 0), min(col + look, width - 1) + 1):
                group, near = nearness(row, col, y, x, mixed, is_edge, dioptres, other)
                counts[group] += near
                for c in range(channels):
                    sums[group, c] += near * image[y, x, c]
                    squares[group, c] += near * image[y, x, c] ** 2
        if counts[0] == 0 or counts[1] == 0:
            continue
        # The mean of a surface's pixels predicts this one up to their own variance.
        front_noise, rear_noise = floor, floor
        for c in range(channels):
            for group in range(2):
                sums[group, c] /= counts[group]
            front_noise += max(squares[0, c] / counts[0] - sums[0, c] ** 2, 0.0) / channels
            rear_noise += max(squares[1, c] / counts[1] - sums[1, c] ** 2, 0.0) / channels
        expected = prior if here > other else 1 - prior
        share, evidence, best = 0.0, 0.0, -1e30
        for step in range(2 * GRID + 2):
            # First pass for the largest exponent, second for the mean.
            a = (step % (GRID + 1)) / GRID
            noise = a * a * front_noise + (1 - a) * (1 - a) * rear_noise
            miss = 0.0
            for c in range(channels):
                miss += (image[row, col, c] - a * sums[0, c] - (1 - a) * sums[1, c]) ** 2 / channels
            exponent = -0.5 * (miss / noise + math.log(noise) + (a - expected) ** 2 / prior_variance)
            if step <= GRID:
                best = max(best, exponent)
            else:
                likely = math.exp(exponent - best)
                share += a * likely
                evidence += likely
        others[m], shares[m] = other, share / evidence


def _split(
    rows: Array,
    cols: Array,
    others: Array,
    shares: Array,
    is_edge: Array,
    dioptres: Array,
    look: int,
    mixed: float,
    back: bool,
    image: Array,
    front: Array,
    rear: Array,
) -> None:
    height, width, channels = image.shape
    sums, counts = np.zeros((2, channels)), np.zeros(2)
    for m in range(rows.shape[0]):
        row, col, share = rows[m], cols[m], shares[m]
        norm = share * share + (1 - share) ** 2
        sums[:] = 0.0
        counts[:] = 0.0
        for adding in range(2 if back else 1):
            if adding == 1:
                for c in range(channels):
                    own = (front[m, c] * share + rear[m, c] * (1 - share)) / norm
                    image[row, col, c] += own
                    sums[0, c] = (front[m, c] - share * own) / counts[0]
                    sums[1, c] = (rear[m, c] - (1 - share) * own) / counts[1]
            for y in range(max(row - look, 0), min(row + look, height - 1) + 1):
                for x in range(max(col - look, 0), min(col + look, width - 1) + 1):
                    group, near = nearness(row, col, y, x, mixed, is_edge, dioptres, others[m])
                    if near == 0.0:
                        continue
                    if adding == 0:
                        counts[group] += near
                    for c in range(channels):
                        if adding == 1:
                            image[y, x, c] += near * sums[group, c]
                        elif not back:
                            sums[group, c] += near * image[y, x, c]
        if back:
            continue
        for c in range(channels):
            near, far = sums[0, c] / counts[0], sums[1, c] / counts[1]
            # What the means do not explain is shared so that both change least.
            rest = image[row, col, c] - share * near - (1 - share) * far
            front[m, c] = near + rest * share / norm
            rear[m, c] = far + rest * (1 - share) / norm


weigh = numba.njit(cache=True, nogil=True)(_weigh)
split = numba.njit(cache=True, nogil=True)(_split)
