"""What a lens with its restorer is worth: fresh photographs, fresh noise, kernels really traced, places between nodes.

The restorer is fitted to `psf_grid` kernels with all wavelengths at many depths. Depths are weighed until the worst of
them is as good as it gets; of all weightings on that way, and of those half-way to even ones, the best by patches that
had no part in it is taken, for every lens alike. It is then held, and judged at other depths and image heights through
kernels of `psf_at`'s tracing. Every lens gets the same photographs and the same noise.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from psf import InputError

from .exposures import Exposure, Patches, expose
from .filter_bank import Normals, apply_filters, solve_filters, sum_normals
from .objective import find_depth_errors_db, find_errors, settle_depth_weights
from .sights import JudgePlan, View
from .tiny_restorer import crop

# How often depths are weighed anew for a restorer, how fast (per dB), and of how many weightings one is tried.
_ROUNDS, _RATE, _EVERY = 24, 0.25, 3


@dataclass(frozen=True, eq=False)
class Fitted:
    """A restorer for one lens.

    Attributes:
        filters: Of every image height, shape (R, F, 4).
        depth_weights: That made its worst depth best, shape (D,).
        held_worst_db: PSNR at the worst depth by the patches that chose these weights.
    """

    filters: Tensor
    depth_weights: Tensor
    held_worst_db: float


@dataclass(frozen=True, eq=False)
class Verdict:
    """How good restored pictures of a lens are; PSNR of mean squared errors of pictures developed with a gamma of 2.

    Attributes:
        psnr_db: At every judged depth over all image heights, shape (D,).
        places_psnr_db: At every place, shape (D, R).
        blurred_psnr_db: Of what the restorer was given, shape (D,).
    """

    psnr_db: Tensor
    places_psnr_db: Tensor
    blurred_psnr_db: Tensor

    @property
    def worst_psnr_db(self) -> float:
        """At the worst depth."""
        return float(self.psnr_db.min())


def fit_restorer(
    view: View, patches: Patches, exposure: Exposure, plan: JudgePlan, generator: torch.Generator
) -> Fitted:
    """Ridge filters for a lens, with depths weighed until the worst one is best.

    Args:
        view: The lens, at the plan's `all_fit_radii`.
        patches: Half for the filters, a quarter to weigh depths by, a quarter to choose among the weightings.
        exposure: The sensor.
        plan: Where.
        generator: Of the noise.
    """
    if len(patches) < 4:
        raise InputError("patches", len(patches), "at least 4")
    half, quarter = len(patches) // 2, len(patches) // 4
    group, depths = len(plan.fit_radii[0]), len(plan.fit_depths_m)
    whole = sum_normals(expose(patches[:half], view.kernels, view.light, exposure, generator), plan.filters)
    normals = Normals(*(one.unflatten(1, (-1, group)).mean(2) for one in (whole.gram, whole.moment)))

    def look_at(chosen: Patches) -> Callable[[Tensor], Tensor]:
        exposed = expose(chosen, view.kernels, view.light, exposure, generator)
        sharp = crop(exposed.sharp, plan.filters.border_cells)

        def find_errors_db(weights: Tensor) -> Tensor:
            filters = solve_filters(normals, weights, plan.filters).repeat_interleave(group, 0)
            restored = apply_filters(filters, exposed.noisy, plan.filters)
            return find_depth_errors_db(find_errors(restored, sharp, chosen.metadata))

        return find_errors_db

    way = settle_depth_weights(look_at(patches[half:-quarter]), depths, _ROUNDS, _RATE)[::_EVERY]
    tried = [*way, *(0.5 * (one + way[0]) for one in way[1:])]
    judge = look_at(patches[-quarter:])
    worst = [float(judge(weights).max()) for weights in tried]
    best = min(range(len(tried)), key=worst.__getitem__)
    return Fitted(solve_filters(normals, tried[best], plan.filters), tried[best], -worst[best])


def judge_fitted(
    fitted: Fitted, view: View, patches: Patches, exposure: Exposure, plan: JudgePlan, generator: torch.Generator
) -> Verdict:
    """Restore fresh pictures with the filters of a lens; the other arguments are those of `judge_restorer`."""

    def restore(noisy: Tensor) -> Tensor:
        return apply_filters(fitted.filters, noisy, plan.filters)

    return judge_restorer(restore, view, patches, exposure, plan, generator)


def judge_restorer(
    restore: Callable[[Tensor], Tensor],
    view: View,
    patches: Patches,
    exposure: Exposure,
    plan: JudgePlan,
    generator: torch.Generator,
) -> Verdict:
    """Restore fresh pictures.

    Args:
        restore: Takes pictures (D, R, N, 4, h, w), and cuts the plan's border off all sides.
        view: The lens, at the plan's `radii`.
        patches: Of photographs that the restorer has not seen.
        exposure: The sensor.
        plan: Where.
        generator: Of the noise.
    """
    exposed = expose(patches, view.kernels, view.light, exposure, generator)
    sharp, given = (
        crop(exposed.sharp, plan.filters.border_cells),
        crop(exposed.noisy, plan.filters.border_cells).contiguous(),
    )
    errors = find_errors(restore(exposed.noisy), sharp, patches.metadata)
    before = find_errors(given, sharp, patches.metadata)
    return Verdict(-find_depth_errors_db(errors), -10 * errors.log10(), -find_depth_errors_db(before))
