"""Edge pixels taken apart: how much of the square the nearer surface covers, and the colours of both.

An all-in-focus picture is a mean over each pixel's square, and at the edge of a nearer thing that square shows two
surfaces. As one opaque surface such a pixel would carry the farther one's light along with the nearer one's blur.
"""

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Pixels around an edge pixel whose colours stand for the two surfaces, weighted by 1 / distance^4: colours change.
LOOK_PX = 2
# Where colours cannot tell: a pixel whose centre is on the nearer side of a straight edge through it is covered by
# half to all, evenly spread: 3/4, variance 1/48; on the farther side 1/4.
PRIOR_SHARE = 0.75
PRIOR_VARIANCE = 1 / 48
# Colours never tell more exactly than this (variance, per channel).
COLOUR_FLOOR = 1e-4
# Shares that are weighed against one another, from 0 to 1.
GRID = 20


@dataclass(frozen=True, eq=False)
class Edges:
    """What the pixels at jumps of depth are made of.

    Attributes:
        coverage: Of the visible surface, 1 away from edges, shape (H, W).
        colours: Of the visible surface alone, shape (H, W, C).
        rim_dpt: The nearer surface where it covers part of a farther pixel, else negative, shape (H, W).
        rim_coverage: Shape (H, W).
        rim_colours: Shape (H, W, C).
        back_colours: Of what a nearer pixel leaves uncovered, shape (H, W, C).
    """

    coverage: Array
    colours: Array
    rim_dpt: Array
    rim_coverage: Array
    rim_colours: Array
    back_colours: Array


def unmix_edges(image: Array, dioptres_dpt: Array, far: Array, near: Array, threshold_dpt: float) -> Edges:
    """Take the pixels at jumps apart.

    Args:
        image: Shape (H, W, C).
        dioptres_dpt: Shape (H, W).
        far: Pixels at the farther side of a jump, shape (H, W).
        near: Pixels at the nearer side, shape (H, W).
        threshold_dpt: What makes a jump.

    Returns:
        See `Edges`; coverage times the nearer colour plus the rest times the farther one is the picture.
    """
    edges = Edges(
        coverage=np.ones_like(dioptres_dpt),
        colours=image.copy(),
        rim_dpt=np.full_like(dioptres_dpt, -1),
        rim_coverage=np.zeros_like(dioptres_dpt),
        rim_colours=np.zeros_like(image),
        back_colours=image.copy(),
    )
    rows, cols = np.nonzero(far | near)
    unmix(
        *(rows, cols, image, dioptres_dpt, far, near, threshold_dpt, LOOK_PX),
        *(PRIOR_SHARE, PRIOR_VARIANCE, COLOUR_FLOOR),
        *(edges.coverage, edges.colours, edges.rim_dpt, edges.rim_coverage, edges.rim_colours, edges.back_colours),
    )
    return edges


def _unmix(
    rows: Array,
    cols: Array,
    image: Array,
    dioptres: Array,
    far: Array,
    near: Array,
    threshold: float,
    look: int,
    prior: float,
    prior_variance: float,
    floor: float,
    coverage: Array,
    colours: Array,
    rim: Array,
    rim_coverage: Array,
    rim_colours: Array,
    back: Array,
) -> None:
    height, width, channels = image.shape
    sums = np.zeros((2, channels))
    squares = np.zeros((2, channels))
    counts = np.zeros(2)
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
        middle = 0.5 * (here + other)
        nearer, farther = max(here, other), min(here, other)
        # Colours of whole pixels if there are any, else of edge pixels.
        for whole in range(2):
            sums[:] = 0.0
            squares[:] = 0.0
            counts[:] = 0.0
            for y in range(max(row - look, 0), min(row + look, height - 1) + 1):
                for x in range(max(col - look, 0), min(col + look, width - 1) + 1):
                    if whole == 0 and (far[y, x] or near[y, x]):
                        continue
                    if y == row and x == col:
                        continue
                    d = dioptres[y, x]
                    group = 0 if d > middle else 1
                    if abs(d - (nearer if group == 0 else farther)) > 0.5 * strongest:
                        continue
                    nearness = 1.0 / ((y - row) ** 2 + (x - col) ** 2) ** 2
                    counts[group] += nearness
                    for c in range(channels):
                        sums[group, c] += nearness * image[y, x, c]
                        squares[group, c] += nearness * image[y, x, c] ** 2
            if counts[0] > 0 and counts[1] > 0:
                break
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
        share /= evidence
        norm = share * share + (1 - share) ** 2
        if here > other:
            coverage[row, col] = share
        else:
            rim[row, col] = other
            rim_coverage[row, col] = share
        for c in range(channels):
            # What the means do not explain is shared so that both change least.
            rest = image[row, col, c] - share * sums[0, c] - (1 - share) * sums[1, c]
            front = sums[0, c] + rest * share / norm
            rear = sums[1, c] + rest * (1 - share) / norm
            if here > other:
                colours[row, col, c] = front
                back[row, col, c] = rear
            else:
                rim_colours[row, col, c] = front
                colours[row, col, c] = rear


unmix = numba.njit(cache=True, nogil=True)(_unmix)
