"""What a lens with its restorer is worth: fresh photographs, fresh noise, kernels really traced, places between nodes.

The restorer is fitted to `psf_grid` kernels with all wavelengths at many depths, until the worst of them is as good as
it gets (as in the design, by weights); it is then held, and judged at other depths and image heights through kernels
of `psf_at`'s tracing. Every lens gets the same photographs, the same noise and the same procedure.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from optics import Lens, Sampling, psf_grid
from optics.geometric import kernels_at
from psf import InputError

from .design_grid import LEAST_LIGHT
from .exposures import Exposed, Exposure, Patches, expose
from .filter_bank import FilterSettings, Normals, apply_filters, solve_filters, sum_normals
from .objective import find_depth_errors_db, find_errors, shift_depth_weights
from .tiny_restorer import crop

JUDGED_SAMPLING = Sampling(rings=48, angles=64, nodes=16)
# How often depths are weighed anew for a restorer, and how fast (per dB).
_ROUNDS, _RATE = 40, 0.15


def _depths(dioptres: Sequence[float]) -> tuple[float, ...]:
    return tuple(math.inf if one == 0 else 1 / one for one in dioptres)


@dataclass(frozen=True)
class JudgePlan:
    """How lenses are judged.

    Attributes:
        fit_depths_m: Of the kernels that restorers are fitted to, in any order; close enough that the sharpest depth is
            among them, or it is sharpened unseen.
        fit_radii: Their image heights, one or more per filter.
        depths_m: Of the kernels that are judged.
        radii: Their image heights, one per filter.
        kernel_px: Of all kernels; patches have a margin of this less 1.
        sampling: Of the judged kernels.
        filters: Of the ridge filters.
    """

    fit_depths_m: tuple[float, ...] = _depths(range(11))
    fit_radii: tuple[tuple[float, ...], ...] = ((0.0, 0.2), (0.3, 0.5), (0.55, 0.75), (0.8, 0.97))
    depths_m: tuple[float, ...] = _depths((0, 0.6, 1.5, 2.6, 3.5, 4.5, 5.4, 6.5, 7.4, 8.5, 9.4, 10))
    radii: tuple[float, ...] = (0.12, 0.4, 0.66, 0.9)
    kernel_px: int = 97
    sampling: Sampling = JUDGED_SAMPLING
    filters: FilterSettings = field(default_factory=FilterSettings)

    def __post_init__(self) -> None:
        if len(self.fit_radii) != len(self.radii):
            found = f"{len(self.fit_radii)} groups for {len(self.radii)}"
            raise InputError("JudgePlan.fit_radii", found, "one group of image heights per judged one")
        if len({len(group) for group in self.fit_radii}) != 1:
            raise InputError("JudgePlan.fit_radii", self.fit_radii, "groups of one size")


@dataclass(frozen=True, eq=False)
class Fitted:
    """A restorer for one lens.

    Attributes:
        filters: Of every image height, shape (R, F, 4).
        depth_weights: That made its worst depth best, shape (D,).
    """

    filters: Tensor
    depth_weights: Tensor


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
    lens: Lens, published: Lens, patches: Patches, exposure: Exposure, plan: JudgePlan, generator: torch.Generator
) -> Fitted:
    """Ridge filters for a lens, with depths weighed until the worst one is best.

    Args:
        lens: The lens.
        published: By whose light the exposure is set.
        patches: Three quarters for the filters, the rest for the weights.
        exposure: The sensor.
        plan: Where.
        generator: Of the noise.
    """
    kernels, light = trace_fit(lens, published, plan)
    return fit_to_kernels(kernels, light, patches, exposure, plan, generator)


def fit_to_kernels(
    kernels: Tensor, light: Tensor, patches: Patches, exposure: Exposure, plan: JudgePlan, generator: torch.Generator
) -> Fitted:
    """The same for kernels (D, R G, 3, K, K) and light (D, R G, 3), G neighbouring image heights to a filter."""
    count = max(round(0.75 * len(patches)), 1)
    if count == len(patches):
        raise InputError("patches", len(patches), "at least 2")
    group = len(plan.fit_radii[0])
    exposed = expose(patches[:count], kernels, light, exposure, generator)
    whole = sum_normals(exposed, plan.filters)
    normals = Normals(*(one.unflatten(1, (-1, group)).mean(2) for one in (whole.gram, whole.moment)))
    held = expose(patches[count:], kernels, light, exposure, generator)
    depths = len(plan.fit_depths_m)
    weights, best = torch.full((depths,), 1 / depths), (math.inf, torch.zeros(0), torch.zeros(0))
    for _ in range(_ROUNDS):
        filters = solve_filters(normals, weights, plan.filters)
        errors_db = find_depth_errors_db(_find_errors(filters.repeat_interleave(group, 0), held, patches[count:], plan))
        worst = float(errors_db.max())
        if worst < best[0]:
            best = (worst, filters, weights)
        weights = shift_depth_weights(weights, errors_db, _RATE)
    return Fitted(best[1], best[2])


def judge_lens(
    lens: Lens,
    published: Lens,
    fitted: Fitted,
    patches: Patches,
    exposure: Exposure,
    plan: JudgePlan,
    generator: torch.Generator,
) -> Verdict:
    """Restore fresh pictures through kernels really traced.

    Args:
        lens: The lens.
        published: By whose light the exposure is set.
        fitted: Its restorer.
        patches: Of photographs that the restorer has not seen.
        exposure: The sensor.
        plan: Where.
        generator: Of the noise.
    """
    kernels, light = trace_places(lens, published, plan)
    exposed = expose(patches, kernels, light, exposure, generator)
    errors = _find_errors(fitted.filters, exposed, patches, plan)
    border = plan.filters.side_cells // 2
    given = crop(exposed.noisy, border).contiguous()
    before = find_errors(given, crop(exposed.sharp, border), patches.metadata)
    return Verdict(-find_depth_errors_db(errors), -10 * errors.log10(), -find_depth_errors_db(before))


def trace_fit(lens: Lens, published: Lens, plan: JudgePlan) -> tuple[Tensor, Tensor]:
    """Kernels and light that restorers are fitted to, by the fast grid: (D, R G, 3, K, K), (D, R G, 3)."""
    radii = [radius for group in plan.fit_radii for radius in group]
    order = sorted(range(len(plan.fit_depths_m)), key=lambda i: plan.fit_depths_m[i])
    ascending = [plan.fit_depths_m[i] for i in order]
    found = psf_grid(lens, ascending, radii, kernel_px=plan.kernel_px)
    back = torch.tensor(order).argsort()
    light = _compare_light(lens, published, plan.fit_depths_m, radii)
    return found.kernels[back], light


def trace_places(lens: Lens, published: Lens, plan: JudgePlan) -> tuple[Tensor, Tensor]:
    """Kernels as `psf_at` traces them, with all wavelengths, and light: (D, R, 3, K, K), (D, R, 3)."""
    rows = [_trace(lens, depth_m, plan.radii, plan.kernel_px, plan.sampling)[0] for depth_m in plan.depths_m]
    return torch.stack(rows).float(), _compare_light(lens, published, plan.depths_m, plan.radii)


def _trace(
    lens: Lens, depth_m: float, radii: Sequence[float], kernel_px: int, sampling: Sampling
) -> tuple[Tensor, Tensor]:
    found = kernels_at(
        lens,
        list(radii),
        [0.0] * len(radii),
        [depth_m] * len(radii),
        lens.channels,
        kernel_px=kernel_px,
        sampling=sampling,
        check_loss=False,
    )
    haze = found.lost.clamp_min(0)[..., None, None]
    return found.kernels * (1 - haze) + haze / kernel_px**2, found.beam


def _compare_light(lens: Lens, published: Lens, depths_m: Sequence[float], radii: Sequence[float]) -> Tensor:
    """Light of bundles against those of the published lens, (D, R, 3); at the middle depth, which stands for all."""
    middle = sorted(depths_m)[len(depths_m) // 2]
    coarse = Sampling(rings=4, angles=16, nodes=6)
    beams = [_trace(one, middle, radii, 3, coarse)[1] for one in (lens, published)]
    share = (beams[0] / beams[1]).clamp_min(LEAST_LIGHT).float()
    return share.expand(len(depths_m), *share.shape)


def _find_errors(filters: Tensor, exposed: Exposed, patches: Patches, plan: JudgePlan) -> Tensor:
    restored = apply_filters(filters, exposed.noisy, plan.filters)
    return find_errors(restored, crop(exposed.sharp, plan.filters.side_cells // 2), patches.metadata)
