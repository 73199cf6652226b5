"""What the training loop is to train: a network that finds depth, and the blur of every picture where it says so."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from psf import InputError
from psf.runs import make_generator
from render import encode_srgb

from ..sample_stream import make_loader
from ..trainer.tasks import Evaluation, Measured
from .alignment import align_sample, find_aligned
from .cost_volume import CostVolume
from .depth_colours import colour_depth
from .depth_metrics import measure_depth
from .depth_notes import make_depth_notes
from .depth_recipe import DepthRecipe
from .depth_stream import DepthStream, StackShelf
from .estimators import open_volume
from .focal_stacks import view_stack
from .networks import DepthConfig, make_depth_network, save_depth_network, to_depth_m, to_place
from .networks.checkpoints import DepthNetwork, hash_depth_network
from .stack_samples import StackBatch, StackSample, collate
from .stack_synthesis import StackSynthesis, draw_stack

SHOWN, GAP_PX = 4, 4
# A training's windows have one kernel in each square of this side: little is lost, and time is won.
TRAINED_CORE_PX = 64
EVALUATED_AT_ONCE = 4
# Stacks of a training are numbered from 0 by its seed; its own evaluation takes those of another seed.
OWN_EVALUATION = 1_000_003


@dataclass(frozen=True, eq=False, kw_only=True)
class DepthTask:
    """A depth network to be trained; `open_depth_task` makes it.

    Attributes:
        recipe: What was asked for.
        synthesis: The camera, and what makes stacks.
        shelf: Stored stacks to train on instead.
        evaluation: Fixed stacks, a few in a batch.
        start: A network of the recipe's shape to begin with; None: a new one.
        volume: Candidate depths, of a network that is given their residuals.
    """

    recipe: DepthRecipe
    synthesis: StackSynthesis
    shelf: StackShelf | None = None
    evaluation: tuple[StackBatch, ...] = ()
    start: DepthNetwork | None = None
    volume: CostVolume | None = None

    @property
    def config(self) -> DepthConfig:
        """The network's shape."""
        return self.recipe.find_config(len(self.synthesis.optics.fields))

    @property
    def magnifications(self) -> tuple[float, ...] | None:
        """Image scales by which pictures are aligned; None if they are not."""
        return tuple(one.magnification for one in self.synthesis.optics.fields) if self.recipe.align else None

    @property
    def part_names(self) -> tuple[str, ...]:
        """Parts of the loss."""
        return ("depth", "blur") if self.recipe.network == "defocus_net" else ("depth",)

    @property
    def evaluation_names(self) -> tuple[str, ...]:
        """Means over the evaluation set; the last is that of answering the middle of the range."""
        return ("mae_m", "mae_dpt", "delta1", "middle_mae_m") if self.evaluation else ()

    def describe(self) -> dict[str, Any]:
        """All that the weights hang on besides the trainer's settings."""
        recipe = self.recipe.to_json()
        stored = None if self.shelf is None else {"about": self.shelf.about, "stacks": len(self.shelf)}
        return {
            "network": self.config.to_json(),
            "align": recipe["align"],
            "blur_unit_px": recipe["blur_unit_px"] if self.recipe.network == "defocus_net" else None,
            "start": "" if self.start is None else hash_depth_network(self.start),
            "stacks": self.synthesis.describe(),
            "shards": json.dumps(stored),
        }

    def make_network(self, generator: torch.Generator) -> DepthNetwork:
        """The network before the first step."""
        network = make_depth_network(self.config, generator=generator)
        if self.start is not None:
            network.load_state_dict(self.start.state_dict())
        return network.train()

    def open_loader(
        self, *, batch: int, rank: int, ranks: int, first_step: int, steps: int, workers: int, pin_memory: bool
    ) -> Iterable[StackBatch]:
        """Batches of one of the processes."""
        stream = DepthStream(
            source=self.shelf or self.synthesis,
            seed=self.recipe.settings.seed,
            magnifications=self.magnifications,
            volume=self.volume,
            batch=batch,
            rank=rank,
            ranks=ranks,
            first_step=first_step,
            steps=steps,
        )
        loader: Iterable[StackBatch] = make_loader(stream, workers=workers, pin_memory=pin_memory)
        return loader

    def measure(self, network: nn.Module, batch: StackBatch, *, with_slopes: bool) -> Measured:
        """Absolute error of the place; of DefocusNet its square, and that of the blur beside it."""
        found = network(*take_inputs(self.config, batch))
        seen = self.find_seen(batch)
        error = found.place.float() - to_place(batch.depth_m, self.config)
        if found.blur is None:
            depth = _mean_of(error.abs(), seen)
            return Measured(depth, {"depth": depth.detach()})
        depth = _mean_of(error.square(), seen)
        blur = _mean_of(
            (found.blur.float() - batch.blur_px / self.recipe.blur_unit_px).square(), seen.expand_as(batch.blur_px)
        )
        return Measured(depth + blur, {"depth": depth.detach(), "blur": blur.detach()})

    def find_seen(self, batch: StackBatch) -> Tensor:
        """Pixels that all pictures show, bool, shape (B, 1, h, w)."""
        if self.magnifications is None:
            return torch.ones_like(batch.depth_m, dtype=torch.bool)
        shape = (int(batch.depth_m.shape[-2]), int(batch.depth_m.shape[-1]))
        masks = [find_aligned(shape, self.magnifications, batch.image_shape_px, one.window_px) for one in batch.drawn]
        return torch.stack(masks).to(batch.depth_m.device)

    @torch.no_grad()
    def evaluate(self, network: nn.Module, device: torch.device) -> Evaluation:
        """Errors over the evaluation set, and a page of the first few."""
        if not self.evaluation:
            return Evaluation({})
        middle_m = math.fsum(self.config.depth_m) / 2
        numbers: dict[str, list[float]] = {name: [] for name in self.evaluation_names}
        rows: list[Tensor] = []
        for whole in self.evaluation:
            batch = whole.to(device)
            found_m = to_depth_m(network(*take_inputs(self.config, batch)).place.float(), self.config)
            for found, true, seen, stack in zip(
                found_m, batch.depth_m, self.find_seen(batch), batch.stack, strict=True
            ):
                errors = measure_depth(found, true, seen)
                middle = measure_depth(torch.full_like(true, middle_m), true, seen)
                row = (errors.mae_m, errors.mae_dpt, errors.delta1, middle.mae_m)
                for name, value in zip(self.evaluation_names, row, strict=True):
                    numbers[name].append(value)
                if len(rows) < SHOWN:
                    rows.append(self._draw_row(stack.cpu(), true.cpu(), found.cpu()))
        means = {name: math.fsum(values) / len(values) for name, values in numbers.items()}
        return Evaluation(means, {"step": torch.cat(rows, 1)})

    def _draw_row(self, stack: Tensor, true_m: Tensor, found_m: Tensor) -> Tensor:
        """First and last picture, true and found depth side by side, sRGB (3, h, W)."""
        srgb = [encode_srgb(one.clamp(0, 1)) if self._is_linear else one for one in (stack[0], stack[-1])]
        maps = [colour_depth(one, self.config.depth_m) for one in (true_m, found_m)]
        gap = stack.new_ones(3, stack.shape[-2], GAP_PX)
        return torch.cat([part.clamp(0, 1) for one in (*srgb, *maps) for part in (one, gap)], 2)

    @property
    def _is_linear(self) -> bool:
        return self.recipe.settings.encoding == "linear"

    def save(self, network: nn.Module, path: Path, step: int) -> None:
        """Write the network with what its user must know of its training."""
        if not isinstance(network, DepthNetwork):
            raise InputError("network", type(network).__name__, "a depth network")
        optics = self.synthesis.optics
        notes = make_depth_notes(optics, self.synthesis.describe(), aligned=self.recipe.align, steps=step)
        save_depth_network(network, path, notes={**notes, "recipe": json.dumps(self.recipe.to_json())})


def take_inputs(config: DepthConfig, batch: StackBatch) -> tuple[Tensor, Tensor, Tensor | None]:
    """What a network is given of a batch: pictures (or residuals), focus distances, and image heights if it wants them.

    Args:
        config: Of the network.
        batch: With residuals, if the network is a "cost_volume".
    """
    if config.kind != "cost_volume":
        return batch.stack, batch.focus_m, batch.radius if config.with_radius else None
    if batch.costs is None:
        raise InputError("batch.costs", None, "residuals of candidate depths, which a cost_volume network is given")
    return batch.costs, batch.focus_m, None


def open_depth_task(
    recipe: DepthRecipe,
    synthesis: StackSynthesis,
    *,
    shelf: StackShelf | None = None,
    evaluation: Sequence[StackSample] | None = None,
    evaluation_count: int = 16,
    start: DepthNetwork | None = None,
) -> DepthTask:
    """A recipe and stacks, checked against one another.

    Args:
        recipe: What is trained; its `settings` are those of `synthesis`.
        synthesis: The camera, and what makes stacks.
        shelf: Stored stacks of the same fields to train on instead.
        evaluation: Stacks to look at while it trains; by default some that are made as those of the training are,
            from another seed.
        evaluation_count: So many of them, the first ones; 0 for none.
        start: A network to begin with.
    """
    whole = replace(recipe, settings=synthesis.settings)
    if isinstance(evaluation_count, bool) or not isinstance(evaluation_count, int) or evaluation_count < 0:
        raise InputError("evaluation_count", repr(evaluation_count), "a whole number from 0")
    task = DepthTask(recipe=whole, synthesis=synthesis, shelf=shelf, start=start)
    if start is not None and start.config != task.config:
        raise InputError("start", start.config, f"{task.config}, as the recipe has it")
    if shelf is not None:
        stored = shelf.about.get("settings", {})
        for name in ("encoding", "depth_m"):
            own = synthesis.settings.to_json()[name]
            if stored.get(name) != own:
                raise InputError(f"{shelf.folder}: {name}", stored.get(name), f"{own}, as the recipe has it")
    if evaluation is None:
        seed = int(torch.randint(1 << 31, (), generator=make_generator(synthesis.settings.seed, OWN_EVALUATION)))
        other = synthesis.varied(seed=seed)
        chosen = [draw_stack(other, index) for index in range(evaluation_count)]
    else:
        chosen = list(evaluation)[:evaluation_count]
        if evaluation_count and not chosen:
            raise InputError("evaluation", "no stacks", "at least one")
    if recipe.network == "cost_volume":
        fields = synthesis.optics.fields
        volume = open_volume(fields, task.config, core_px=TRAINED_CORE_PX, from_window=True)
        task = replace(task, volume=volume)
        chosen = [replace(one, costs=volume.find(view_stack(one))) for one in chosen]
    if (scales := task.magnifications) is not None:
        chosen = [align_sample(one, scales) for one in chosen]
    batches = [chosen[n : n + EVALUATED_AT_ONCE] for n in range(0, len(chosen), EVALUATED_AT_ONCE)]
    return replace(task, evaluation=tuple(collate(some) for some in batches))


def _mean_of(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the masks of the stacks, then over the stacks: so that a part of a batch counts as its share of it."""
    share = mask.to(values)
    return ((values * share).flatten(1).sum(1) / share.flatten(1).sum(1).clamp_min(1)).mean()
