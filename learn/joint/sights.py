"""What judged lenses look like: kernels that restorers are fitted to, and kernels really traced, with their light."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from optics import Lens, Sampling, psf_grid
from optics.geometric import Kernels, kernels_at
from optics.hybrid import Model, kernels_of_place
from psf import InputError

from .design_grid import LEAST_LIGHT
from .filter_bank import FilterSettings

JUDGED_SAMPLING = Sampling(rings=48, angles=64, nodes=16)
# For the light of bundles, which is smooth.
_COARSE = Sampling(rings=4, angles=16, nodes=6)


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
        sampling: Of the judged kernels, by rays.
        model: Rays ("geometric") or waves ("diffraction"), as `psf_grid` and `psf_at` take it.
        filters: Of the ridge filters.
    """

    fit_depths_m: tuple[float, ...] = _depths(range(11))
    fit_radii: tuple[tuple[float, ...], ...] = ((0.15,), (0.44,), (0.7,), (0.87,))
    depths_m: tuple[float, ...] = _depths((0, 0.6, 1.5, 2.6, 3.5, 4.5, 5.4, 6.5, 7.4, 8.5, 9.4, 10))
    radii: tuple[float, ...] = (0.12, 0.4, 0.66, 0.9)
    kernel_px: int = 97
    sampling: Sampling = JUDGED_SAMPLING
    model: Model = "geometric"
    filters: FilterSettings = field(default_factory=FilterSettings)

    def __post_init__(self) -> None:
        if len(self.fit_radii) != len(self.radii):
            found = f"{len(self.fit_radii)} groups for {len(self.radii)}"
            raise InputError("JudgePlan.fit_radii", found, "one group of image heights per judged one")
        if len({len(group) for group in self.fit_radii}) != 1:
            raise InputError("JudgePlan.fit_radii", self.fit_radii, "groups of one size")

    @property
    def all_fit_radii(self) -> tuple[float, ...]:
        """Image heights of the kernels that restorers are fitted to, group after group."""
        return tuple(radius for group in self.fit_radii for radius in group)


@dataclass(frozen=True, eq=False)
class View:
    """A lens at D depths and R image heights.

    Attributes:
        kernels: Of azimuth 0, shape (D, R, 3, K, K).
        light: Against the published lens's, shape (D, R, 3).
    """

    kernels: Tensor
    light: Tensor

    def __getitem__(self, index: tuple[slice, slice]) -> "View":
        return View(self.kernels[index], self.light[index])


@dataclass(frozen=True, eq=False)
class Sight:
    """All that judging asks of a lens: traced once, used with many pictures.

    Attributes:
        fitted: What restorers are fitted to, by the fast grid, at the plan's `fit_depths_m` and `all_fit_radii`.
        judged: As `psf_at` traces it, at the plan's `depths_m` and `radii`.
    """

    fitted: View
    judged: View


def look_at_lens(lens: Lens, published: Lens, plan: JudgePlan) -> Sight:
    """A lens as restorers are fitted to it, and as it is judged.

    Args:
        lens: The lens.
        published: By whose light the exposure is set.
        plan: Where to look.
    """
    with torch.no_grad():
        return Sight(trace_fitted(lens, published, plan), trace_judged(lens, published, plan))


def trace_fitted(lens: Lens, published: Lens, plan: JudgePlan) -> View:
    """A lens by the fast grid; the arguments are those of `look_at_lens`."""
    order = sorted(range(len(plan.fit_depths_m)), key=plan.fit_depths_m.__getitem__)
    ascending = [plan.fit_depths_m[number] for number in order]
    found = psf_grid(lens, ascending, plan.all_fit_radii, kernel_px=plan.kernel_px, model=plan.model)
    back = torch.tensor(order).argsort()
    return View(found.kernels[back], _compare_light(lens, published, plan.fit_depths_m, plan.all_fit_radii))


def trace_judged(lens: Lens, published: Lens, plan: JudgePlan) -> View:
    """A lens as `psf_at` traces it, with all wavelengths; light outside the window is haze in it.

    The arguments are those of `look_at_lens`.
    """
    look = _trace_rays if plan.model == "geometric" else _trace_waves
    found = [look(lens, depth_m, plan) for depth_m in plan.depths_m]
    kernels, haze = torch.stack([one.kernels for one in found]), torch.stack([one.lost for one in found])
    haze = haze.clamp_min(0)[..., None, None]
    whole = kernels * (1 - haze) + haze / plan.kernel_px**2
    return View(whole.float(), _compare_light(lens, published, plan.depths_m, plan.radii))


def _trace_rays(lens: Lens, depth_m: float, plan: JudgePlan) -> Kernels:
    return _trace(lens, depth_m, plan.radii, plan.kernel_px, plan.sampling)


def _trace_waves(lens: Lens, depth_m: float, plan: JudgePlan) -> Kernels:
    found = []
    for radius in plan.radii:

        def rays(kernel_px: int | None, radius: float = radius) -> Kernels:
            return _trace(lens, depth_m, [radius], kernel_px, plan.sampling)

        found.append(
            kernels_of_place(
                lens,
                radius,
                0.0,
                depth_m,
                lens.channels,
                kernel_px=plan.kernel_px,
                reference=None,
                sampling=None,
                gradient=False,
                model=plan.model,
                rays=rays,
            )
        )
    kernels, lost, beam = (torch.stack([getattr(one, name) for one in found]) for name in ("kernels", "lost", "beam"))
    return Kernels(kernels, lost, beam)


def _trace(lens: Lens, depth_m: float, radii: Sequence[float], kernel_px: int | None, sampling: Sampling) -> Kernels:
    return kernels_at(
        lens,
        list(radii),
        [0.0] * len(radii),
        [depth_m] * len(radii),
        lens.channels,
        kernel_px=kernel_px,
        sampling=sampling,
        check_loss=False,
    )


def _compare_light(lens: Lens, published: Lens, depths_m: Sequence[float], radii: Sequence[float]) -> Tensor:
    """Light of bundles against those of the published lens, (D, R, 3); at the middle depth, which stands for all."""
    middle_m = sorted(depths_m)[len(depths_m) // 2]
    beams = [_trace(one, middle_m, radii, 3, _COARSE).beam for one in (lens, published)]
    share = (beams[0] / beams[1]).clamp_min(LEAST_LIGHT).float()
    return share.expand(len(depths_m), *share.shape)
