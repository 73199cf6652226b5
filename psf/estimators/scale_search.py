"""The image scale at which kernels explain pictures best: shifts of patches tell it to a pixel at the corner.

At a scale that is off, kernels have to hold shifts of parts of a pixel, which on a sensor's pixels is a blur. So what
kernels leave of the pictures is least at the scale that the pictures have, and in focus it is least by far.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..captures import Captures
from .fitting import find_left, fit_kernels, start_fit
from .normal_equations import View, add_pair, empty_sums, group_depths, lay_out
from .priors import Strengths
from .sizing import Moments, place_nodes, shift_moments

# Scales that are tried: first this far from one another, in pixels at the sensor's corner, then twice half as far.
STEP_PX, HALVINGS = 1.0, 2
# Walks that do not end after so many steps are given up.
MOST_STEPS = 6
# The pairs with the smallest kernels tell: this share of all, at least and at most so many of them, and so many pixels.
# Fewer pairs would tell more of themselves than of the scale.
SHARE, LEAST_PAIRS, MOST_PAIRS, PIXELS = 0.34, 12, 80, 200_000


def refine_magnification(
    captures: Captures,
    channel: int,
    view: View,
    moments: Moments,
    radii: Tensor,
    noise: float,
    *,
    seed: int,
    threads: int,
) -> float:
    """A better image scale than that of a view.

    Args:
        captures: Pairs of one focus distance.
        channel: Whose kernels are looked at.
        view: At a scale that is nearly right.
        moments: Of kernels at that scale.
        radii: Nodes of image height, shape (R,).
        noise: Variance of the pictures' noise, about.
        seed: Of the pixels that are drawn.
        threads: How many; torch itself should use one.

    Returns:
        The scale; that of the view where no other is better, and where there are too few pairs to tell.
    """
    if len(captures) < LEAST_PAIRS:
        return view.magnification
    half_px = 0.5 * math.hypot(*captures.image_shape_px)
    chosen = _choose_sharpest(captures, moments)

    def measure(off_px: float) -> float:
        inverse = 1 / view.magnification + off_px / half_px
        moved = shift_moments(moments, off_px)
        own = View(view.kernel_px, view.side, view.inner, moved, 1 / inverse)
        nodes = place_nodes(moved, group_depths(1 / chosen.depth_m.double(), len(chosen))[0], len(chosen))
        return _find_residual(chosen, channel, own, radii, nodes, noise, seed, threads)

    return 1 / (1 / view.magnification + find_minimum(measure) / half_px)


def find_minimum(measure: Callable[[float], float]) -> float:
    """Where a function with one valley is least, walking from 0 in steps that are halved; a parabola at the end."""
    found: dict[float, float] = {}

    def look(place: float) -> float:
        if place not in found:
            found[place] = measure(place)
        return found[place]

    best, step = 0.0, STEP_PX
    for _ in range(MOST_STEPS):
        better = min((best - step, best + step), key=look)
        if look(better) >= look(best):
            break
        best = better
    else:
        return 0.0
    for _ in range(HALVINGS):
        step *= 0.5
        best = min((best - step, best, best + step), key=look)
    before, middle, after = (look(best + n * step) for n in (-1, 0, 1))
    bend = before - 2 * middle + after
    if not (bend > 0 and before >= middle <= after):
        return best
    return best + 0.5 * step * (before - after) / bend


def _choose_sharpest(captures: Captures, moments: Moments) -> Captures:
    dioptres = 1 / captures.depth_m.double()
    radius = torch.tensor([float(captures.radius(n).median()) for n in range(len(captures))], dtype=torch.float64)
    size = moments.at(radius, dioptres)[1].sum(1)
    count = min(len(captures), max(LEAST_PAIRS, min(MOST_PAIRS, math.ceil(SHARE * len(captures)))))
    return captures.chosen(size.sort(stable=True).indices[:count].sort().values)


def _find_residual(
    captures: Captures,
    channel: int,
    view: View,
    radii: Tensor,
    nodes: Tensor,
    noise: float,
    seed: int,
    threads: int,
) -> float:
    """Mean square of what kernels at nodes of depth (D,) leave of the pictures."""
    layout = lay_out(captures, radii, len(captures), view)
    sums = empty_sums(layout, len(captures))
    for index in range(len(captures)):
        generator = torch.Generator().manual_seed((seed + 7919 * index) % 2**62)
        add_pair(
            sums,
            captures,
            index,
            channel,
            view,
            most_pixels=max(1, PIXELS // len(captures)),
            generator=generator,
            threads=threads,
        )
    fit = fit_kernels(sums, view, start_fit(sums, nodes, noise), Strengths(), rounds=2, threads=threads)
    left, count = find_left(sums, fit)
    return float((left * count).sum() / count.sum())
