"""The physical estimator: a camera's pupil from pairs of pictures, and kernels as its images.

    model = estimate_physical(captures)
    kernels = model.kernels_at(radius, depth_m)             # (N, C, K, K), azimuth 0
    model.is_physical                                       # per channel: does a pupil take part

The direct estimator comes first: it needs no idea of what a lens does. A pupil function and its rims (`physical_pupil`)
are fitted to its kernels, order by order, and then to all pixels at once, by sums like the direct estimator's. A
hundred unknowns say what tens of thousands of cells do, so noise and smoothing matter less, and rings, tails and cut
discs stay sharp. What a pupil of that order does not say may be added in cells, as strongly as depths that are held
back find good. Where even that foretells those depths worse than the direct estimator does without them, its kernels
stay, and so they do where there are too few depths to hold any back; else kernels are the mean of both.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..captures import Captures
from ..errors import InputError
from ..interpolation import PIXEL_VARIANCE
from ..jobs import Progress
from ..threads import limit_threads
from . import taps
from .direct import DirectOptions, run_direct
from .direct_model import NodeKernels
from .estimates import check_pairs
from .fitting import HELD_EVERY, HELD_LEAST, Fit, find_areas, start_fit
from .normal_equations import Sums, View, add_pair, empty_sums, lay_out
from .physical_fitting import KernelTarget, PictureTarget, fit_pupil, trace_cells
from .physical_judging import STRENGTHS, Beyond, find_least_regret, hold_back, make_target, regrid_direct
from .physical_model import PhysicalModel, PupilKernels
from .physical_pupil import Pupil, start_pupil
from .priors import find_amplitude, make_prior
from .solving import solve

Array = npt.NDArray[Any]

# Spherical aberration to start from, in px: its sign is a valley of its own each.
SPHERES_PX = (-2.0, -0.6, 0.6, 2.0)
# Kernels within this image height decide on it.
NEAR_AXIS = 0.3
# Degrees in the square of image height of the order that is asked for.
STEPS = 3
# Rings, and angles of half the pupil, for kernels and for pictures.
FEW_RAYS, RAYS = (14, 24), (20, 32)
# Share of the cells in the core, as the direct estimator has it.
INNER_SHARE = 0.58
# Errors, in units of the noise's variance, that a step has to take away per kernel of the sums.
LEAST_GAIN = 0.3


@dataclass(frozen=True, eq=False, kw_only=True)
class PhysicalOptions:
    """How the physical estimator works; the defaults need no tuning.

    Attributes:
        order: Highest order of the pupil function's polynomials.
        cells: Along a side of a kernel in the sums, odd.
        most_pixels: Pixels per channel at most; they bound the time.
        steps: Steps towards the pictures, at most.
        strengths: Of what may be added to a pupil's light, in shares of it, of which depths held back choose.
        direct: Of the direct estimator, which comes first.
    """

    order: int = 8
    cells: int = 21
    most_pixels: int = 1_500_000
    steps: int = 12
    strengths: tuple[float, ...] = STRENGTHS
    direct: DirectOptions = field(default_factory=DirectOptions)

    def __post_init__(self) -> None:
        for name, least, most in (("order", 6, 12), ("cells", 5, 99), ("most_pixels", 1000, None), ("steps", 1, None)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least or (most and value > most):
                expected = f"a whole number of at least {least}" + (f" and at most {most}" if most else "")
                raise InputError(f"PhysicalOptions.{name}", repr(value), expected)
        if self.cells % 2 == 0:
            raise InputError("PhysicalOptions.cells", self.cells, "an odd number")
        if not self.strengths or not all(math.isfinite(one) and one >= 0 for one in self.strengths):
            raise InputError("PhysicalOptions.strengths", self.strengths, "shares of at least 0, one or more")


def estimate_physical(
    captures: Captures,
    options: PhysicalOptions | None = None,
    *,
    generator: torch.Generator | None = None,
    on_progress: Progress | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> PhysicalModel:
    """A model of the camera's kernels.

    Args:
        captures: Pairs of one focus distance.
        options: See `PhysicalOptions`.
        generator: Draws pixels where there are too many; the same state gives the same model.
        on_progress: Called with (steps done, steps in all).
        checkpoint: As for `estimate_direct`; of the second, shorter half the steps are made again.

    Returns:
        The model; its `is_physical` says of every channel whether a pupil takes part in its kernels.

    Raises:
        InputError: As `estimate_direct`.
    """
    options = options or PhysicalOptions()
    if not isinstance(options, PhysicalOptions):
        raise InputError("options", type(options).__name__, "PhysicalOptions")
    check_pairs(captures)
    later = captures.channel_count * (len(captures) + len(captures) // 2 + 1)
    state = {"done": 0, "total": later}

    def tell(done: int, total: int) -> None:
        state["done"], state["total"] = done, total + later
        if on_progress is not None:
            on_progress(done, total + later)

    def step(count: int) -> None:
        tell(state["done"] + count, state["total"] - later)

    threads = torch.get_num_threads()
    nodes: list[NodeKernels] = []
    # Threads are ours: see `parallel`.
    with limit_threads(1):
        direct = run_direct(captures, options.direct, generator, tell, checkpoint, threads)
        for channel, found in enumerate(direct.nodes):
            if len(captures.depths_m) < HELD_LEAST:
                # None can be held back to judge by.
                nodes.append(found)
                step(len(captures))
            else:
                nodes.append(_fit_channel(captures, channel, found, direct.magnification, options, step, threads))
            step(len(captures) // 2 + 1)
    if checkpoint is not None:
        Path(checkpoint).unlink(missing_ok=True)
    given = {one.name: getattr(direct, one.name) for one in fields(direct)}
    return PhysicalModel(**{**given, "nodes": tuple(nodes)})


def _fit_channel(
    captures: Captures,
    channel: int,
    direct: NodeKernels,
    magnification: float,
    options: PhysicalOptions,
    step: Callable[[int], None],
    threads: int,
) -> NodeKernels:
    half = options.cells // 2
    view = View(captures.kernel_px, options.cells, round(INNER_SHARE * half), direct.view.moments, magnification)
    sums, fit = _sum_pictures(captures, channel, direct, view, options, step, threads)
    layout = sums.layout
    kept, held = hold_back(len(layout.dioptres), HELD_EVERY, HELD_LEAST)
    pupil = _fit_to_kernels(direct, (float(layout.dioptres[0]), float(layout.dioptres[-1])), options.order, threads)
    target = make_target(sums, view, fit, kept, threads)
    pupil, _ = fit_pupil(pupil, target, RAYS, steps=options.steps, least_gain=LEAST_GAIN, threads=threads)
    judge = make_target(sums, view, fit, held, threads)

    beyond = _look_beyond(pupil, target, fit, view, threads)

    def errors_of(kernels: Tensor) -> Tensor:
        """At each of the depths held back, shape (H,)."""
        by_depth = torch.zeros(len(held), dtype=torch.float64)
        return by_depth.index_add(0, layout.slot_depth, judge.compare_each(kernels)[0])[held > 0]

    errors = [errors_of(_foretell(direct, target, fit, view, options.direct))]
    for one in options.strengths:
        errors.append(errors_of(beyond.combine(target.quadratic, beyond.solve(target.quadratic, one))))
    best = find_least_regret(torch.stack(errors))
    if best == 0:
        return direct
    strength = options.strengths[best - 1]
    whole = make_target(sums, view, fit, torch.ones_like(kept), threads)
    pupil, _ = fit_pupil(pupil, whole, RAYS, steps=3, least_gain=LEAST_GAIN, threads=threads)
    beyond = _look_beyond(pupil, whole, fit, view, threads)
    return PupilKernels(
        cells=beyond.solve(whole.quadratic, strength),
        dioptres=fit.dioptres,
        radii=fit.radii,
        view=view,
        fall_off=fit.fall_off,
        gain=direct.gain,
        noise=direct.noise,
        factor=direct.factor,
        pupil=pupil,
        strength=strength,
        direct=direct,
    )


def _sum_pictures(
    captures: Captures,
    channel: int,
    direct: NodeKernels,
    view: View,
    options: PhysicalOptions,
    step: Callable[[int], None],
    threads: int,
) -> tuple[Sums, Fit]:
    """Sums over pixels with twice as many nodes of image height, and the light as the direct estimator found it."""
    radii = torch.linspace(float(direct.radii[0]), float(direct.radii[-1]), 2 * len(direct.radii) - 1).double()
    layout = lay_out(captures, radii, options.direct.most_depths, view)
    sums = empty_sums(layout, len(captures))
    per_pair = max(1, options.most_pixels // len(captures))
    for index in range(len(captures)):
        numbers = torch.Generator().manual_seed(index)
        add_pair(sums, captures, index, channel, view, most_pixels=per_pair, generator=numbers, threads=threads)
        step(1)
    powers = torch.stack((direct.radii**2, direct.radii**4), 1)
    slopes = torch.linalg.lstsq(powers, direct.fall_off.log()[:, None]).solution[:, 0]
    fit = start_fit(sums, direct.dioptres, direct.noise**2)
    return sums, replace(fit, gain=direct.gain, slopes=slopes)


def _fit_to_kernels(direct: NodeKernels, dioptres: tuple[float, float], most_order: int, threads: int) -> Pupil:
    """A pupil that fits the direct estimator's kernels: coarsely, but in the right valley."""
    columns = len(direct.radii)
    radius, dioptre = direct.radii.repeat(len(direct.dioptres)), direct.dioptres.repeat_interleave(columns)
    view = direct.view
    target = KernelTarget.of_kernels(
        direct.cells,
        find_areas(view, direct.radii, direct.dioptres).double(),
        radius.numpy(),
        dioptre.numpy(),
        view.cells_at(radius, dioptre).numpy(),
        view.side,
        view.inner,
    )
    if view.moments is None:
        raise InputError("captures", "kernels without sizes", "kernels of the direct estimator")
    variance = (view.moments.at(radius, dioptre)[1] - 2 * PIXEL_VARIANCE).clamp_min(0.01)
    reach = max(NEAR_AXIS, float(direct.radii[min(2, columns - 1)]))
    inner = target.chosen(np.flatnonzero(target.radius <= reach))
    best, lowest = None, math.inf
    for sphere_px in SPHERES_PX:
        start = start_pupil(target.radius, target.dioptre, variance.numpy(), dioptres, sphere_px=sphere_px)
        axial = [n for n, one in enumerate(start.terms) if one.what == "wave" and one.second <= 1]
        found, error = fit_pupil(start, inner, FEW_RAYS, free=np.array(axial), steps=12, threads=threads)
        if best is None or error < lowest:
            best, lowest = found, error
    pupil = start if best is None else best
    early = np.array([n for n, one in enumerate(pupil.terms) if one.what == "wave" and one.first <= 4])
    pupil, _ = fit_pupil(pupil, target, FEW_RAYS, free=early, steps=15, threads=threads)
    pupil, _ = fit_pupil(pupil, target, FEW_RAYS, steps=15, threads=threads)
    pupil, _ = fit_pupil(pupil.grown(most_order, STEPS), target, FEW_RAYS, steps=12, threads=threads)
    return pupil


def _foretell(direct: NodeKernels, target: PictureTarget, fit: Fit, view: View, options: DirectOptions) -> Tensor:
    """The direct estimator's kernels at the sums' slots, as they are without the depths that judge, shape (S, T)."""
    columns = len(fit.radii)
    radius, dioptre = fit.radii.repeat(len(fit.dioptres)), fit.dioptres.repeat_interleave(columns)
    area = find_areas(view, fit.radii, fit.dioptres)
    start = regrid_direct(direct, view, radius, dioptre).float()
    strengths = options.strengths.times(direct.factor)
    prior = make_prior(find_amplitude(start, area, view.side), area, fit.dioptres, fit.radii, view.side, strengths)
    found: Tensor = target.quadratic.slots.apply(solve(target.quadratic, prior, start, view.side, rounds=3)).double()
    return found / (found @ taps.multiplicity(view.side))[:, None].clamp_min(1e-12)


def _look_beyond(pupil: Pupil, target: PictureTarget, fit: Fit, view: View, threads: int) -> Beyond:
    columns = len(fit.radii)
    radius, dioptre = fit.radii.repeat(len(fit.dioptres)), fit.dioptres.repeat_interleave(columns)
    nodes = replace(
        target, radius=radius.numpy(), dioptre=dioptre.numpy(), cells=view.cells_at(radius, dioptre).numpy()
    )

    def trace(one: PictureTarget) -> Tensor:
        factors = pupil.factors(one.radius, one.dioptre)
        return trace_cells(pupil, one, factors, pupil.values, RAYS, False, threads)[0]

    return Beyond(fit=fit, view=view, at_slots=trace(target), at_nodes=trace(nodes))
