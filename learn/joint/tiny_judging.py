"""NAFNet tiny as the restorer that lenses are judged with: they share its start, then each has a network of its own.

It learns from the kernels that ridge filters are fitted to, with the same photographs, and is judged as they are. The
depth is not told to it; the picture may. Depths count half alike and half by how bad they have been.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from optics import Lens
from psf import InputError
from psf.runs import begin_run, make_generator

from ..networks import NAFNet, load_network, save_network
from .exposures import Exposure, Patches, expose
from .judging import Verdict, judge_restorer
from .objective import find_depth_errors_db, shift_depth_weights
from .sights import JudgePlan, Sight, View
from .tiny_restorer import crop, make_trainer, restore_packed

NETWORK_FILE, SHARED_FOLDER = "network.pt", "shared"
# Numbers of the generators: the first weights; the steps that lenses share count up from the second, the others from 0.
_WEIGHTS, _SHARED = -1, 1_000_000


@dataclass(frozen=True, kw_only=True)
class TinyBudget:
    """How networks learn lenses; the same for all lenses that are compared.

    Attributes:
        shared_steps: Of one network with all lenses in turn, before any learns its own.
        steps: Of each network, with its own lens.
        patches: In each step, at one image height and all depths.
        learning_rate: Adam's, after a warm-up; with a lens of its own it falls to nothing along half a cosine.
        warm_up_steps: In which it rises, each time.
        weight_rate: How fast depths come to count more, per dB and step.
        iso: Told to the network.
        seed: Of weights, order and noise.
    """

    shared_steps: int = 800
    steps: int = 400
    patches: int = 2
    learning_rate: float = 2e-3
    warm_up_steps: int = 30
    weight_rate: float = 0.005
    iso: float = 100.0
    seed: int = 1

    def __post_init__(self) -> None:
        for name, least in (("shared_steps", 0), ("steps", 1), ("patches", 1), ("warm_up_steps", 1)):
            if getattr(self, name) < least:
                raise InputError(f"TinyBudget.{name}", getattr(self, name), f"at least {least}")
        for name in ("learning_rate", "iso"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"TinyBudget.{name}", getattr(self, name), "a positive number")

    def rate_of(self, step: int, *, shared: bool = False) -> float:
        """Adam's step size at a step, from 0."""
        risen = self.learning_rate * min(1.0, (step + 1) / self.warm_up_steps)
        return risen if shared else risen * 0.5 * (1 + math.cos(math.pi * step / self.steps))


def train_tiny(
    views: Sequence[View],
    pool: Patches,
    exposure: Exposure,
    plan: JudgePlan,
    budget: TinyBudget,
    *,
    start: NAFNet | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> NAFNet:
    """A network for one lens; or, of several, the one that these share.

    Args:
        views: Of the lenses, at the plan's `all_fit_radii`.
        pool: Patches that every step takes some of.
        exposure: The sensor.
        plan: Where.
        budget: How long.
        start: Where to begin; by default at a new network, which returns its input.
        on_progress: Called with (steps done, steps).
    """
    radii, depths, shared = plan.all_fit_radii, len(plan.fit_depths_m), len(views) > 1
    trainer = make_trainer(radii, budget.iso, make_generator(budget.seed, _WEIGHTS))
    if start is not None:
        trainer.network.load_state_dict(start.state_dict())
    even = torch.full((depths,), 1 / depths)
    weights, steps = even, budget.shared_steps if shared else budget.steps
    for step in range(steps):
        generator = make_generator(budget.seed, step + (_SHARED if shared else 0))
        patches = pool[torch.randperm(len(pool), generator=generator)[: budget.patches]]
        place = int(torch.randint(len(radii), (1,), generator=generator))
        here = views[step % len(views)][:, place : place + 1]
        exposed = expose(patches, here.kernels, here.light, exposure, generator)
        for group in trainer.optimiser.param_groups:
            group["lr"] = budget.rate_of(step, shared=shared)
        told, wanted = replace(trainer, radii=(radii[place],)), 0.5 * (weights + even)
        errors = told.learn(exposed, patches.metadata, wanted, exposure.sensor.pattern, plan.filters.border_cells)
        if not shared:
            weights = shift_depth_weights(weights, find_depth_errors_db(errors), budget.weight_rate)
        if on_progress:
            on_progress(step + 1, steps)
    return trainer.network


def train_networks(
    lenses: Mapping[str, Lens],
    sights: Mapping[str, Sight],
    pool: Patches,
    exposure: Exposure,
    plan: JudgePlan,
    budget: TinyBudget,
    *,
    folder: Path,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, NAFNet]:
    """A network for every lens, after a start that they share; those that a folder holds are not trained again.

    Args:
        lenses: By name.
        sights: Of them, by the same names.
        pool: As `train_tiny` takes it.
        exposure: As it takes it.
        plan: As it takes it.
        budget: As it takes it.
        folder: For the networks; its parent exists.
        on_progress: Called with (whose network, steps done, steps).

    Raises:
        InputError: The folder holds networks for other lenses, or of another budget.
    """
    parameters = {
        name: {one: float(value) for one, value in lens.parameters().items()} for name, lens in lenses.items()
    }
    told = {"kind": "networks to judge lenses with", "model": plan.model, "pool": len(pool), "lenses": parameters}
    begin_run(folder, {**told, "budget": asdict(budget)})

    def train(name: str, views: Sequence[View], start: NAFNet | None) -> NAFNet:
        place = folder / name.replace(" ", "_")
        file = place / NETWORK_FILE
        if file.is_file():
            return load_network(file).network
        tell = None if on_progress is None else lambda done, of: on_progress(name, done, of)
        network = train_tiny(views, pool, exposure, plan, budget, start=start, on_progress=tell)
        place.mkdir(exist_ok=True)
        save_network(network, file, notes={"lens": name, "iso": budget.iso})
        return network

    views = {name: sight.fitted for name, sight in sights.items()}
    start = train(SHARED_FOLDER, list(views.values()), None) if len(views) > 1 and budget.shared_steps else None
    return {name: train(name, [view], start) for name, view in views.items()}


def judge_tiny(
    network: NAFNet,
    view: View,
    patches: Patches,
    exposure: Exposure,
    plan: JudgePlan,
    iso: float,
    generator: torch.Generator,
) -> Verdict:
    """Restore fresh pictures with a network; the other arguments are those of `judge_restorer`."""

    def restore(noisy: Tensor) -> Tensor:
        # Depth by depth: a thousand pictures at once need gigabytes.
        found = [restore_packed(network, one, plan.radii, iso) for one in noisy.split(1)]
        return crop(torch.cat(found), plan.filters.border_cells).contiguous()

    with torch.no_grad():
        return judge_restorer(restore, view, patches, exposure, plan, generator)
