"""Lenses side by side, each with a restorer of its own; and one lens as it is made, with the restorer of its design."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from optics import Lens, Tolerances, choose_tolerances, perturbed
from psf.runs import make_generator

from .exposures import Exposure, Patches
from .judging import Fitted, Verdict, fit_restorer, judge_fitted
from .sights import JudgePlan, Sight, trace_judged

# Numbers of the generators of a comparison: every lens has the same noise.
FIT, JUDGE, MADE = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Compared:
    """One lens of a comparison.

    Attributes:
        fitted: Its restorer.
        verdict: What its pictures are worth.
    """

    fitted: Fitted
    verdict: Verdict


def compare_lenses(
    sights: Mapping[str, Sight],
    seen: Patches,
    fresh: Patches,
    exposure: Exposure,
    *,
    plan: JudgePlan | None = None,
    seed: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Compared]:
    """Fit a restorer to every lens and judge both, with the same photographs and noise.

    Args:
        sights: Of the lenses by name, as `look_at_lens` saw them with this plan.
        seen: Patches that restorers are fitted to.
        fresh: Patches of other photographs.
        exposure: The sensor.
        plan: Where they are looked at.
        seed: Of the noise.
        on_progress: Called with (lenses done, lenses).
    """
    plan = plan or JudgePlan()
    found = {}
    for number, (name, sight) in enumerate(sights.items(), start=1):
        with torch.no_grad():
            fitted = fit_restorer(sight.fitted, seen, exposure, plan, make_generator(seed, FIT))
            verdict = judge_fitted(fitted, sight.judged, fresh, exposure, plan, make_generator(seed, JUDGE))
        found[name] = Compared(fitted, verdict)
        if on_progress:
            on_progress(number, len(sights))
    return found


def judge_made(
    lens: Lens,
    fitted: Fitted,
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
        lens: As designed.
        fitted: Its restorer.
        published: By whose light the exposure is set.
        fresh: Patches of photographs that the restorer has not seen.
        exposure: The sensor.
        count: How many lenses.
        tolerances: By default those that suit the lens.
        plan: Where they are looked at.
        seed: Of errors and noise.
    """
    plan, chosen = plan or JudgePlan(), tolerances or choose_tolerances(lens)
    verdicts = []
    for number in range(count):
        made = perturbed(lens, chosen, generator=make_generator(seed, MADE + number))
        with torch.no_grad():
            view = trace_judged(made, published, plan)
            verdicts.append(judge_fitted(fitted, view, fresh, exposure, plan, make_generator(seed, JUDGE)))
    return verdicts
