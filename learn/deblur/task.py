"""What the training loop is to train: a network that restores packed mosaics, by equation 8."""

import copy
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from psf import InputError
from psf.runs import make_generator
from render import process
from render.bayer import Pattern

from ..losses import Loss, compare_developed, find_gradient_norms, measure_loss
from ..metrics import find_psnr_db, find_ssim
from ..networks import NAFNet, find_box, make_network, save_network
from ..networks.checkpoints import hash_weights
from ..perceptual import Distance, load_distance
from ..sample_files import read_samples
from ..sample_stream import SampleStream, make_loader
from ..samples import Batch, Sample, collate
from ..synthesis import Synthesis, draw_sample
from ..trainer.tasks import Evaluation, Measured
from .notes import make_notes
from .recipe import NO_DISTANCE, DeblurRecipe

# Evaluated at once: what a small machine has memory for.
EVALUATED_AT_ONCE = 4
SHOWN = 4
GAP_PX = 4
# Samples of a training are numbered from 0 by its seed; its own evaluation takes those of another seed.
OWN_EVALUATION = 1_000_003


@dataclass(frozen=True, eq=False, kw_only=True)
class DeblurTask:
    """A restorer to be trained; `open_task` makes it.

    Attributes:
        recipe: What was asked for.
        synthesis: Makes the samples.
        distance: Perceptual part of the loss that is really used; None: L1 alone.
        evaluation: Fixed samples, those of one size in a batch.
        start: A network of the recipe's shape to begin with; None: a new one.
    """

    recipe: DeblurRecipe
    synthesis: Synthesis
    distance: Distance | None
    evaluation: tuple[Batch, ...]
    start: NAFNet | None = None

    @property
    def loss_name(self) -> str:
        """The loss that is really used, in words."""
        if self.distance is None:
            return "L1"
        return f"L1 + {self.recipe.distance_weight:g} {self.distance.name}"

    @property
    def part_names(self) -> tuple[str, ...]:
        """Parts of the loss and the norms of their gradients."""
        return tuple(name for one in self._parts for name in (one, f"{one}_gradient"))

    @property
    def evaluation_names(self) -> tuple[str, ...]:
        """Means over the evaluation set, of the result and of what the network was given."""
        return ("psnr_db", "input_psnr_db", "ssim", "input_ssim") if self.evaluation else ()

    @property
    def _parts(self) -> tuple[str, ...]:
        return ("l1",) if self.distance is None else ("l1", self.distance.name)

    @property
    def _pattern(self) -> Pattern:
        return cast(Pattern, self.synthesis.camera.sensor.pattern)

    def describe(self) -> dict[str, Any]:
        """All that the weights hang on besides the trainer's settings."""
        recipe = self.recipe.to_json()
        return {
            "network": recipe["network"],
            "choosing": self.recipe.choosing,
            "start": "" if self.start is None else hash_weights(self.start),
            "distance": NO_DISTANCE if self.distance is None else self.distance.name,
            "distance_weight": self.recipe.distance_weight,
            "told_scale": self.recipe.told_scale,
            "synthesis": self.synthesis.describe(),
        }

    def make_network(self, generator: torch.Generator) -> NAFNet:
        """The network before the first step."""
        network = make_network(self.recipe.config, generator=generator)
        if self.start is not None:
            network.load_state_dict(self.start.state_dict())
            self._scale_weights(network, 1 / self.recipe.told_scale)
        return network.train()

    def open_loader(
        self, *, batch: int, rank: int, ranks: int, first_step: int, steps: int, workers: int, pin_memory: bool
    ) -> Iterable[Batch]:
        """Batches of one of the processes."""
        stream = SampleStream(self.synthesis, batch=batch, rank=rank, ranks=ranks, first_step=first_step, steps=steps)
        loader: Iterable[Batch] = make_loader(stream, workers=workers, pin_memory=pin_memory)
        return loader

    def measure(self, network: nn.Module, batch: Batch, *, with_slopes: bool) -> Measured:
        """Equation 8, in single precision whatever the network computes in."""
        found = network(self._scale_planes(batch.input)).float()
        loss = self._compare(found, batch)
        parts = {"l1": loss.l1.detach()}
        if self.distance is not None and loss.perceptual is not None:
            parts[self.distance.name] = loss.perceptual.detach()
        if with_slopes:
            # Of a copy: the engine guards the network's own result against gradients that it does not take itself.
            copied = found.detach().requires_grad_()
            norms = find_gradient_norms(self._compare(copied, batch), copied)
            parts |= {
                f"{one}_gradient": loss.l1.new_tensor(norm) for one, norm in zip(self._parts, norms, strict=False)
            }
        return Measured(loss.total, parts)

    def _compare(self, found: Tensor, batch: Batch) -> Loss:
        weight = self.recipe.distance_weight
        if batch.metadata is None:
            return compare_developed(found, batch.target, distance=self.distance, weight=weight)
        return measure_loss(
            found, batch.target, batch.metadata, distance=self.distance, weight=weight, pattern=self._pattern
        )

    @torch.no_grad()
    def evaluate(self, network: nn.Module, device: torch.device) -> Evaluation:
        """PSNR and SSIM of the developed samples, clipped, and a page of the first few."""
        if not self.evaluation:
            return Evaluation({})
        psnr_db: list[float] = []
        given_psnr_db: list[float] = []
        ssim: list[float] = []
        given_ssim: list[float] = []
        rows: list[Tensor] = []
        for whole in self.evaluation:
            batch = whole.to(device)
            colours = batch.target.shape[1]
            found = self._restore(network, batch.input)
            for picture, psnrs, ssims in (
                (found, psnr_db, ssim),
                (batch.input[:, :colours], given_psnr_db, given_ssim),
            ):
                result, target = (self._develop(one, batch) for one in (picture, batch.target))
                psnrs += find_psnr_db(result, target).tolist()
                ssims += find_ssim(result, target).tolist()
            if len(rows) < SHOWN:
                three = (batch.input[:, :colours], found, batch.target)
                rows += _lay_out([self._develop(one, batch, full=True) for one in three])
        numbers = dict(zip(self.evaluation_names, map(_mean, (psnr_db, given_psnr_db, ssim, given_ssim)), strict=True))
        return Evaluation(numbers, {"step": _stack(rows[:SHOWN])})

    def _restore(self, network: nn.Module, planes: Tensor) -> Tensor:
        """Of frames larger than the patches, with means over boxes, as photographs are restored."""
        rows, columns = self.synthesis.settings.shape_px
        cell_px = 1 if self.synthesis.settings.space == "rgb" else 2
        patch_cells = min(rows, columns) // cell_px
        box_cells = None if max(planes.shape[-2:]) <= patch_cells else find_box(patch_cells)
        scaled = self._scale_planes(planes).split(EVALUATED_AT_ONCE)
        return torch.cat([network(one, box_cells) for one in scaled]).float()

    def _scale_planes(self, planes: Tensor) -> Tensor:
        """Planes (B, P, h, w) as the network sees them while it learns."""
        if self.recipe.told_scale == 1:
            return planes
        scaled = planes.clone()
        scaled[:, self.synthesis.settings.told] *= self.recipe.told_scale
        return scaled

    def _scale_weights(self, network: NAFNet, scale: float) -> None:
        """Multiply the weights of the planes of ISO and place."""
        with torch.no_grad():
            network.intro.weight[:, self.synthesis.settings.told] *= scale

    def _develop(self, colours: Tensor, batch: Batch, *, full: bool = False) -> Tensor:
        if batch.metadata is None:
            return colours.clamp(0, 1)
        return process(colours, batch.metadata, pattern=self._pattern, full=full).clamp(0, 1)

    def save(self, network: nn.Module, path: Path, step: int) -> None:
        """Write the network with what its user must know of its training."""
        if not isinstance(network, NAFNet):
            raise InputError("network", type(network).__name__, "a NAFNet")
        told = {
            "loss": self.loss_name,
            "recipe": json.dumps(self.recipe.to_json()),
        }
        plain = copy.deepcopy(network)
        self._scale_weights(plain, self.recipe.told_scale)
        save_network(plain, path, notes={**make_notes(self.synthesis, step), **told})


def open_task(
    recipe: DeblurRecipe,
    synthesis: Synthesis,
    *,
    evaluation: Path | Sequence[Sample] | None = None,
    evaluation_count: int = 16,
    lpips_weights: Path | None = None,
    trust_weights: bool = False,
    start: NAFNet | None = None,
    device: torch.device | str = "cpu",
) -> DeblurTask:
    """A recipe and samples, checked against one another.

    Args:
        recipe: What is trained; its `synthesis` is that of `synthesis`.
        synthesis: Makes the samples.
        evaluation: Samples to look at while it trains, or a folder of shards of them; by default some that are made
            as those of the training are, of the same photographs, from another seed.
        evaluation_count: So many of them, evenly picked; 0 for none.
        lpips_weights: File of the backbone of an LPIPS.
        trust_weights: Take it if it is none of those published; the loss's name then says so.
        start: A network to begin with.
        device: Where the network of the distance lives.
    """
    whole = replace(recipe, synthesis=synthesis.settings)
    if isinstance(evaluation_count, bool) or not isinstance(evaluation_count, int) or evaluation_count < 0:
        raise InputError("evaluation_count", repr(evaluation_count), "a whole number from 0")
    if start is not None and start.config != whole.config:
        raise InputError("start", start.config, f"{whole.config}, as the recipe has it")
    distance = _open_distance(whole, lpips_weights, trust_weights, device)
    if distance is not None and min(synthesis.settings.shape_px) < distance.least_px:
        rows, columns = synthesis.settings.shape_px
        expected = f"at least {distance.least_px} px to a side for {distance.name}, or another distance"
        raise InputError("settings.cropping.shape_px", f"{rows} x {columns} px", expected)
    samples = _find_samples(synthesis, evaluation, evaluation_count)
    return DeblurTask(recipe=whole, synthesis=synthesis, distance=distance, evaluation=_gather(samples), start=start)


def _open_distance(
    recipe: DeblurRecipe, weights: Path | None, trust_weights: bool, device: torch.device | str
) -> Distance | None:
    if recipe.distance == NO_DISTANCE or recipe.distance_weight == 0:
        return None
    return load_distance(recipe.distance, weights=weights, trust_weights=trust_weights, device=device)


def _find_samples(synthesis: Synthesis, evaluation: Path | Sequence[Sample] | None, count: int) -> list[Sample]:
    if count == 0:
        return []
    if evaluation is None:
        # Far from the seeds that people give to trainings.
        seed = int(torch.randint(1 << 31, (), generator=make_generator(synthesis.settings.seed, OWN_EVALUATION)))
        other = synthesis.varied(seed=seed)
        return [draw_sample(other, index) for index in range(count)]
    samples = list(
        read_samples(evaluation, synthesis.settings, synthesis.known_field)
        if isinstance(evaluation, Path)
        else evaluation
    )
    if not samples:
        raise InputError(str(evaluation), "no samples", "at least one")
    step = max(1.0, len(samples) / count)
    return [samples[int(n * step)] for n in range(min(count, len(samples)))]


def _gather(samples: Sequence[Sample]) -> tuple[Batch, ...]:
    """Batches of neighbours of one size."""
    groups: list[list[Sample]] = []
    for sample in samples:
        last = groups[-1][0] if groups else None
        alike = (
            last is not None
            and sample.input.shape == last.input.shape
            and sample.image_shape_px == last.image_shape_px
            and (sample.depth_m is None) == (last.depth_m is None)
        )
        if alike and len(groups[-1]) < EVALUATED_AT_ONCE:
            groups[-1].append(sample)
        else:
            groups.append([sample])
    return tuple(collate([replace(one, depth_m=None) for one in group]) for group in groups)


def _lay_out(columns: Sequence[Tensor]) -> list[Tensor]:
    """Pictures (B, 3, H, W) of several kinds to B rows (3, H, W')."""
    gap = columns[0].new_ones(*columns[0].shape[:3], GAP_PX)
    wide = [part for column in columns for part in (column, gap)][:-1]
    return list(torch.cat(wide, 3).cpu())


def _stack(rows: Sequence[Tensor]) -> Tensor:
    """Rows below one another, white between and beside them."""
    width = max(row.shape[2] for row in rows)
    parts: list[Tensor] = []
    for row in rows:
        padded = row.new_ones(3, row.shape[1] + GAP_PX, width)
        padded[:, : row.shape[1], : row.shape[2]] = row
        parts.append(padded)
    return torch.cat(parts, 1)[:, :-GAP_PX]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
