"""What a lens with its restorer is worth: fresh photographs, fresh noise, kernels really traced, places between nodes.

The restorer is fitted to `psf_grid` kernels with all wavelengths at many depths. Depths are weighed until the worst of
them is as good as it gets; of all weightings on that way, and of those half-way to even ones, the best by patches that
had no part in it is taken, for every lens alike. It is then held, and judged at other depths and image heights through
kernels of `psf_at`'s tracing. Every lens gets the same photographs and the same noise.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from optics import Lens, Sampling, psf_grid
from optics.geometric import kernels_at
from psf import InputError

from .design_grid import LEAST_LIGHT
from .exposures import Exposed, Exposure, Patches, expose
from .filter_bank import FilterSettings, Normals, apply_filters, solve_filters, sum_normals
from .objective import find_depth_errors_db, find_errors, settle_depth_weights
from .tiny_restorer import crop

JUDGED_SAMPLING = Sampling(rings=48, angles=64, nodes=16)
# How often depths are weighed anew for a restorer, how fast (per dB), and of how many weightings one is tried.
_ROUNDS, _RATE, _EVERY = 24, 0.25, 3


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
    fit_radii: tuple[tuple[float, ...], ...] = ((0.15,), (0.44,), (0.7,), (0.87,))
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
        held_worst_db: PSNR at the worst depth by the patches that chose these weights.
    """

    filters: Tensor
    depth_weights: Tensor
    held_worst_db: float


@dataclass(frozen=True, eq=False)
class Sight:
    """A lens as restorers are fitted to it, and as it is judged; G neighbouring image heights to a filter.

    Attributes:
        fit_kernels: Of the fast grid, shape (D, R G, 3, K, K).
        fit_light: Against the published lens's, shape (D, R G, 3).
        kernels: As `psf_at` traces them, at the judged depths and heights, shape (D, R, 3, K, K).
        light: Shape (D, R, 3).
    """

    fit_kernels: Tensor
    fit_light: Tensor
    kernels: Tensor
    light: Tensor


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
        patches: Half for the filters, a quarter to weigh depths by, a quarter to choose among the weightings.
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
    if len(patches) < 4:
        raise InputError("patches", len(patches), "at least 4")
    half, quarter = len(patches) // 2, len(patches) // 4
    group, depths = len(plan.fit_radii[0]), len(plan.fit_depths_m)
    whole = sum_normals(expose(patches[:half], kernels, light, exposure, generator), plan.filters)
    normals = Normals(*(one.unflatten(1, (-1, group)).mean(2) for one in (whole.gram, whole.moment)))

    def look_at(chosen: Patches) -> Callable[[Tensor], Tensor]:
        exposed = expose(chosen, kernels, light, exposure, generator)

        def find_errors_db(weights: Tensor) -> Tensor:
            filters = solve_filters(normals, weights, plan.filters).repeat_interleave(group, 0)
            return find_depth_errors_db(_find_errors(filters, exposed, chosen, plan))

        return find_errors_db

    way = settle_depth_weights(look_at(patches[half:-quarter]), depths, _ROUNDS, _RATE)[::_EVERY]
    tried = [*way, *(0.5 * (one + way[0]) for one in way[1:])]
    judge = look_at(patches[-quarter:])
    worst = [float(judge(weights).max()) for weights in tried]
    best = min(range(len(tried)), key=worst.__getitem__)
    return Fitted(solve_filters(normals, tried[best], plan.filters), tried[best], -worst[best])


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
    return judge_kernels(kernels, light, fitted, patches, exposure, plan, generator)


def judge_kernels(
    kernels: Tensor,
    light: Tensor,
    fitted: Fitted,
    patches: Patches,
    exposure: Exposure,
    plan: JudgePlan,
    generator: torch.Generator,
) -> Verdict:
    """The same for kernels (D, R, 3, K, K) and light (D, R, 3) that are traced already."""
    exposed = expose(patches, kernels, light, exposure, generator)
    errors = _find_errors(fitted.filters, exposed, patches, plan)
    border = plan.filters.side_cells // 2
    given = crop(exposed.noisy, border).contiguous()
    before = find_errors(given, crop(exposed.sharp, border), patches.metadata)
    return Verdict(-find_depth_errors_db(errors), -10 * errors.log10(), -find_depth_errors_db(before))


def look_at_lens(lens: Lens, published: Lens, plan: JudgePlan) -> Sight:
    """All kernels of a lens that judging asks for: traced once, used with many pictures."""
    with torch.no_grad():
        return Sight(*trace_fit(lens, published, plan), *trace_places(lens, published, plan))


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
