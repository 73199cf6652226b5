"""Lenses side by side, each with a restorer of its own; and one lens as it is made, with the restorer of its design."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from optics import Lens, Limit, Tolerances, choose_tolerances, find_violations, perturbed
from psf.runs import make_generator

from .exposures import Exposure, Patches
from .judging import Fitted, JudgePlan, Sight, Verdict, fit_to_kernels, judge_kernels, judge_lens, look_at_lens

# Numbers of the generators of a comparison: every lens has the same noise.
_FIT, _JUDGE, _MADE = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Compared:
    """One lens of a comparison.

    Attributes:
        lens: The lens.
        fitted: Its restorer.
        verdict: What its pictures are worth.
        violation: Of the published lens's limits, in units of their softness, the norm.
    """

    lens: Lens
    fitted: Fitted
    verdict: Verdict
    violation: float


def compare_lenses(
    lenses: Mapping[str, Lens],
    published: Lens,
    limits: tuple[Limit, ...],
    seen: Patches,
    fresh: Patches,
    exposure: Exposure,
    *,
    plan: JudgePlan | None = None,
    seed: int = 1,
    sights: Mapping[str, Sight] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Compared]:
    """Fit a restorer to every lens and judge both, with the same photographs and noise.

    Args:
        lenses: By name.
        published: By whose light the exposure is set.
        limits: What lenses should keep.
        seen: Patches that restorers are fitted to.
        fresh: Patches of other photographs.
        exposure: The sensor.
        plan: Where they are looked at.
        seed: Of the noise.
        sights: The lenses as `look_at_lens` saw them with this plan, by the same names, so as not to trace them again.
        on_progress: Called with (lenses done, lenses).
    """
    plan = plan or JudgePlan()
    found = {}
    for number, (name, lens) in enumerate(lenses.items(), start=1):
        with torch.no_grad():
            sight = sights[name] if sights else look_at_lens(lens, published, plan)
            generators = [make_generator(seed, number) for number in (_FIT, _JUDGE)]
            fitted = fit_to_kernels(sight.fit_kernels, sight.fit_light, seen, exposure, plan, generators[0])
            verdict = judge_kernels(sight.kernels, sight.light, fitted, fresh, exposure, plan, generators[1])
            violation = float(find_violations(lens, limits).norm())
        found[name] = Compared(lens, fitted, verdict, violation)
        if on_progress:
            on_progress(number, len(lenses))
    return found


def judge_made(
    one: Compared,
    published: Lens,
    fresh: Patches,
    exposure: Exposure,
    count: int,
    *,
    tolerances: Tolerances | None = None,
    plan: JudgePlan | None = None,
    seed: int = 1,
) -> list[Verdict]:
    """The lens as it is made, many times: errors drawn from tolerances, refocused as the maker would, same restorer.

    Args:
        one: The lens with the restorer of its design.
        published: By whose light the exposure is set.
        fresh: Patches of photographs that the restorer has not seen.
        exposure: The sensor.
        count: How many lenses.
        tolerances: By default those that suit the lens.
        plan: Where they are looked at.
        seed: Of errors and noise.
    """
    plan, chosen = plan or JudgePlan(), tolerances or choose_tolerances(one.lens)
    verdicts = []
    for number in range(count):
        made = perturbed(one.lens, chosen, generator=make_generator(seed, _MADE + number))
        with torch.no_grad():
            generator = make_generator(seed, _JUDGE)
            verdicts.append(judge_lens(made, published, one.fitted, fresh, exposure, plan, generator))
    return verdicts
