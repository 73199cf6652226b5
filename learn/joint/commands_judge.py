"""What `python -m learn.joint` does with lenses once they are designed: it judges them side by side."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from optics import Lens, Limit, find_violations
from psf import InputError
from psf.runs import make_generator

from ..photos import PhotoFolder
from .comparison import JUDGE, Compared, compare_lenses, judge_made
from .exposures import Exposure, Patches, set_exposure
from .patches import draw_patches
from .sights import JudgePlan, Sight, look_at_lens
from .tiny_judging import TinyBudget, judge_tiny, train_networks
from .verdict_tables import Judging, write_verdicts

TABLE_FILE, NETWORKS_FOLDER = "judged_{}.csv", "tiny"
# Numbers of the generators; the design's own count up from 0.
SEEN, FRESH, LEARNT = -11, -12, -14
# Ridge filters, the same with diffraction in all kernels, a small network per lens.
Judge = Literal["ridge", "waves", "tiny"]
Say = Callable[[str], None]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class JudgeOptions:
    """How lenses are judged."""

    seed: int = 1
    """Of photographs, noise and weights."""
    iso: float = 100.0
    """Of the sensor."""
    side_px: int = 64
    """Of a patch."""
    judged: int = 24
    """Fresh patches to judge with; 0: no judgement."""
    fitted: int = 32
    """Patches that the judged restorers are fitted to and their depth weights chosen by."""
    judgings: int = 1
    """How often all lenses are judged, with other patches and noise."""
    judges: tuple[Judge, ...] = ("ridge",)
    """Restorers of the judged lenses: ridge filters, the same with diffraction in all kernels (waves), or a network
    for each lens (tiny); those that are there are kept."""
    tiny_shared_steps: int = 800
    """Of one network with all lenses in turn, where those of the lenses begin."""
    tiny_steps: int = 400
    """Of each network, with its own lens."""
    tiny_pool: int = 256
    """Patches that networks learn from."""
    made: int = 0
    """Lenses with manufacturing errors to judge as well, of the joint design and of the best control."""

    def check(self) -> None:
        """Refuse counts that cannot be."""
        least = {
            "judged": 0,
            "fitted": 4,
            "judgings": 1,
            "tiny_shared_steps": 0,
            "tiny_steps": 1,
            "tiny_pool": 1,
            "made": 0,
        }
        for name, value in least.items():
            if getattr(self, name) < value:
                raise InputError(f"--{name.replace('_', '-')}", getattr(self, name), f"at least {value}")


@dataclass(frozen=True, eq=False)
class Judgement:
    """What lenses turned out to be worth.

    Attributes:
        plan: Where they were looked at.
        sights: Of the lenses by name, by rays.
        compared: Of the first judging with ridge filters; empty where these did not judge.
        told: For a summary in JSON.
    """

    plan: JudgePlan
    sights: Mapping[str, Sight]
    compared: Mapping[str, Compared]
    told: Mapping[str, object]


@dataclass(frozen=True, eq=False)
class _Bench:
    """What every judgement of one command shares."""

    options: JudgeOptions
    lenses: Mapping[str, Lens]
    exposure: Exposure
    margin_px: int
    training: PhotoFolder
    fresh: PhotoFolder
    on_progress: Progress | None

    def seed(self, number: int) -> int:
        # Far from one another: seeds of designs are small numbers.
        return self.options.seed + 1000 * number

    def draw(self, photos: PhotoFolder, count: int, number: int, generator: int) -> Patches:
        own = make_generator(self.seed(number), generator)
        return draw_patches(photos, count, self.options.side_px, self.margin_px, own)

    def draw_fresh(self, number: int) -> Patches:
        return self.draw(self.fresh, self.options.judged, number, FRESH)

    def tell(self, what: str, done: int, of: int) -> None:
        if self.on_progress:
            self.on_progress(what, done, of)


def run_judge(
    options: JudgeOptions,
    lenses: Mapping[str, Lens],
    limits: tuple[Limit, ...],
    training: PhotoFolder,
    fresh: PhotoFolder,
    out: Path,
    *,
    plan: JudgePlan | None = None,
    say: Say | None = None,
    on_progress: Progress | None = None,
) -> Judgement:
    """Judge lenses with restorers of their own on fresh photographs, and write the table.

    Args:
        options: How.
        lenses: By name; "published" sets the exposure, "joint" is compared with the others.
        limits: What lenses should keep.
        training: Photographs for restorers.
        fresh: Photographs to judge with.
        out: Folder for the table and the networks.
        plan: Where lenses are looked at.
        say: Called with lines for a person.
        on_progress: Called with what is being done, how many are, and of how many.
    """
    say = say or (lambda line: None)
    options.check()
    plan = plan or JudgePlan()
    bench = _Bench(options, lenses, set_exposure(options.iso), plan.kernel_px - 1, training, fresh, on_progress)
    sights = _look(bench, plan)
    outside = {name: float(find_violations(lens, limits).norm()) for name, lens in lenses.items()}
    told: dict[str, object] = {"depths_m": [str(depth) for depth in plan.depths_m], "radii": list(plan.radii)}
    told["outside_limits"] = outside

    def close(judge: Judge, title: str, judgings: Sequence[Judging]) -> None:
        write_verdicts(out / TABLE_FILE.format(judge), judgings, plan.depths_m, options.seed)
        told[judge] = _report(title, judgings, say)

    compared: dict[str, Compared] = {}
    if "ridge" in options.judges:
        rounds = [_compare(bench, sights, plan, number) for number in range(options.judgings)]
        compared, judgings = rounds[0], _sum_up(plan, rounds)
        close("ridge", "ridge filters", judgings)
        if options.made:
            told["made"] = _judge_made(bench, judgings, compared, plan, say)
    if "waves" in options.judges:
        waves = replace(plan, model="diffraction")
        seen = _look(bench, waves)
        rounds = [_compare(bench, seen, waves, number) for number in range(options.judgings)]
        close("waves", "ridge filters, kernels with diffraction", _sum_up(waves, rounds))
    if "tiny" in options.judges:
        found = _judge_networks(bench, sights, plan, out / NETWORKS_FOLDER)
        steps = f"{options.tiny_shared_steps} steps with all lenses and {options.tiny_steps} with each"
        close("tiny", f"NAFNet tiny, {steps}", found)
    return Judgement(plan, sights, compared, told)


def _look(bench: _Bench, plan: JudgePlan) -> dict[str, Sight]:
    found = {}
    for number, (name, lens) in enumerate(bench.lenses.items(), start=1):
        found[name] = look_at_lens(lens, bench.lenses["published"], plan)
        bench.tell("look", number, len(bench.lenses))
    return found


def _compare(bench: _Bench, sights: Mapping[str, Sight], plan: JudgePlan, number: int) -> dict[str, Compared]:
    seen = bench.draw(bench.training, bench.options.fitted, number, SEEN)
    return compare_lenses(
        sights,
        seen,
        bench.draw_fresh(number),
        bench.exposure,
        plan=plan,
        seed=bench.seed(number),
        on_progress=lambda done, of: bench.tell(f"judging {number + 1}", done, of),
    )


def _judge_networks(bench: _Bench, sights: Mapping[str, Sight], plan: JudgePlan, folder: Path) -> list[Judging]:
    options = bench.options
    shared, own = options.tiny_shared_steps, options.tiny_steps
    budget = TinyBudget(shared_steps=shared, steps=own, iso=options.iso, seed=options.seed)
    pool = bench.draw(bench.training, options.tiny_pool, 0, LEARNT)
    networks = train_networks(
        bench.lenses, sights, pool, bench.exposure, plan, budget, folder=folder, on_progress=bench.tell
    )
    found = []
    for number in range(options.judgings):
        new = bench.draw_fresh(number)
        verdicts = {}
        for name, network in networks.items():
            generator = make_generator(bench.seed(number), JUDGE)
            view = sights[name].judged
            verdicts[name] = judge_tiny(network, view, new, bench.exposure, plan, options.iso, generator)
        found.append(Judging("tiny", plan.model, number + 1, verdicts))
    return found


def _judge_made(
    bench: _Bench, judgings: Sequence[Judging], compared: Mapping[str, Compared], plan: JudgePlan, say: Say
) -> dict[str, list[float]]:
    options, lenses = bench.options, bench.lenses
    mean = {name: statistics.fmean(one.verdicts[name].worst_psnr_db for one in judgings) for name in lenses}
    new, told = bench.draw_fresh(0), {}
    for name in (max((name for name in lenses if name != "joint"), key=mean.__getitem__), "joint"):
        made = judge_made(
            lenses[name], compared[name].fitted, lenses["published"], new, bench.exposure, options.made,
            plan=plan, seed=options.seed,
        )  # fmt: skip
        told[name] = sorted(verdict.worst_psnr_db for verdict in made)
        ends = f"worst depth {told[name][0]:.2f} to {told[name][-1]:.2f} dB"
        say(f"{name:>15}  as made, {options.made} times: {ends}, mean {statistics.fmean(told[name]):.2f} dB")
    return told


def _sum_up(plan: JudgePlan, rounds: Sequence[Mapping[str, Compared]]) -> list[Judging]:
    return [
        Judging("ridge", plan.model, number, {name: one.verdict for name, one in compared.items()})
        for number, compared in enumerate(rounds, start=1)
    ]


def _report(title: str, judgings: Sequence[Judging], say: Say) -> dict[str, object]:
    """Say what lenses are worth, on the mean of all judgings; the same for a summary."""
    count = len(judgings)
    say(f"{title}; PSNR in dB, mean of {count} judging{'s' if count > 1 else ''}")
    lenses: dict[str, object] = {}
    for name in judgings[0].verdicts:
        verdicts = [one.verdicts[name] for one in judgings]
        worst = [one.worst_psnr_db for one in verdicts]
        psnr_db = [statistics.fmean(column) for column in zip(*(one.psnr_db.tolist() for one in verdicts), strict=True)]
        blurred = [float(one.blurred_psnr_db.min()) for one in verdicts]
        row = "  ".join(f"{value:5.2f}" for value in psnr_db)
        recorded = statistics.fmean(blurred)
        say(f"{name:>15}  worst depth {statistics.fmean(worst):.2f}, as recorded {recorded:.2f}, all depths {row}")
        lenses[name] = {"worst_psnr_db": worst, "worst_blurred_psnr_db": blurred, "psnr_db": psnr_db}
    gains = [one.gain_db() for one in judgings]
    said = f"joint over the best control: {statistics.fmean(gains):+.2f} dB at the worst depth"
    if count > 1:
        error = statistics.stdev(gains) / math.sqrt(count)
        said += f", standard error {error:.2f}, from {min(gains):+.2f} to {max(gains):+.2f}"
    say(said)
    return {"lenses": lenses, "gains_db": gains}
