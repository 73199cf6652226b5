"""What `python -m learn.dfd train` does."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from psf import InputError, PolarPSFField
from psf.runs import SETTINGS_FILE, write_json

from ..trainer import Outcome, TrainerSettings, train
from ..trainer.loop import SAMPLES_FOLDER
from ..trainer.settings import Precision
from ..trainer.stopping import catch_stop
from .commands_data import StackOptions, open_options
from .depth_recipe import DepthRecipe, read_depth_recipe
from .depth_stream import StackShelf, open_shelf
from .depth_task import DepthTask, open_depth_task
from .invariance import make_invariant
from .networks import load_depth_network
from .networks.config import Head, Kind, Shown
from .stack_optics import open_optics
from .stack_settings import StackSettings
from .stack_synthesis import StackSynthesis

RECIPE_FILE = "recipe.json"
INTERRUPTED = 130
Say = Callable[[str], None]
Progress = Callable[[int, int, float | None], None]


@dataclass(frozen=True, kw_only=True)
class TrainDepthOptions(StackOptions):
    """Train a network that finds depth in focal stacks. The same command goes on with a run that was stopped."""

    out: Path
    """Folder for network.pt, log.csv, recipe.json, samples and the state."""
    recipe: Path | None = None
    """A JSON file of all settings (examples/recipes, or a run's recipe.json), which the options change."""
    shards: Path | None = None
    """Train on the stacks of python -m learn.dfd make-stacks, made with the same fields, instead of fresh ones."""
    invariant: bool = False
    """Make fresh stacks with one round kernel for each depth, the mean over the sensor, instead of the fields' own."""
    network: Kind | None = None
    """defocus_net, dual_dfd, or cost_volume, which is given residuals of the fields' kernels (defocus_net)."""
    width: int | None = None
    """Channels of its first layers (16 of defocus_net, 32 of dual_dfd, 8 of cost_volume)."""
    radius: bool | None = None
    """Whether it is told the image height of every pixel (True)."""
    head: Head | None = None
    """dioptres or metres: what its result is linear in (dioptres)."""
    shown: Shown | None = None
    """light or detail: pictures as they are, or what they hold of fine detail (light)."""
    align: bool | None = None
    """Whether pictures are brought to the image scale of the first before it sees them (True)."""
    start: Path | None = None
    """Begin with this network instead of a new one."""
    steps: int | None = None
    """Updates of the weights (125000)."""
    batch: int | None = None
    """Stacks in each, over all processes (4)."""
    rate: float | None = None
    """AdamW's step size (1e-4), after ..."""
    warmup: int | None = None
    """... so many steps in which it rises (500) ..."""
    final_rate: float | None = None
    """... and before a cosine that ends here (1e-6)."""
    ema: float | None = None
    """Memory of the averaged weights, which are the result (0.999); 0 for the last weights."""
    clip: float | None = None
    """Greatest norm of the gradient (1); inf does not clip."""
    precision: Precision | None = None
    """Of the network: fp32, bf16, or fp16 on a GPU (fp32)."""
    evaluation_count: int = 16
    """Stacks of another seed to look at while it trains; 0 for none."""
    save_every: int | None = None
    """Steps between states to go on from (1000)."""
    evaluate_every: int | None = None
    """Steps between evaluations (1250)."""
    log_every: int | None = None
    """Steps that a line of log.csv is the mean of (50)."""
    workers: int | None = None
    """Processes that make stacks, for each that trains (0: none but itself)."""
    threads: int | None = None
    """Threads of each process that trains (torch's own number)."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes a GPU where there is one."""


def run_train_depth(
    options: TrainDepthOptions,
    *,
    say: Say | None = None,
    on_progress: Progress | None = None,
    on_index: Callable[[int, int], None] | None = None,
) -> int:
    """Train, or go on.

    Args:
        options: As they were typed.
        say: Told a line whenever there is something to know.
        on_progress: Called after each step, with steps done, steps in all and the last loss.
        on_index: Called while photographs are listed, with files done and in all.

    Returns:
        0 for done, 130 for stopped by Ctrl-C.
    """
    tell = say or (lambda line: None)
    recipe = make_depth_recipe(options)
    if not options.out.parent.is_dir():
        raise FileNotFoundError(f"{options.out.parent}: no such folder to make {options.out.name} in")
    synthesis = open_synthesis(options, recipe, on_index)
    start = None if options.start is None else load_depth_network(options.start).network
    task = open_depth_task(
        recipe,
        synthesis,
        shelf=open_shards(options, synthesis),
        evaluation_count=options.evaluation_count,
        start=start,
    )
    with catch_stop() as should_stop:
        outcome = train(
            task,
            recipe.trainer,
            options.out,
            device=options.device,
            should_stop=should_stop,
            on_progress=on_progress,
            on_begin=lambda step: begin(options, task, step, tell),
        )
    if outcome.is_writer:
        tell_end(outcome, recipe.trainer, tell)
    return 0 if outcome.is_done else INTERRUPTED


def make_depth_recipe(options: TrainDepthOptions) -> DepthRecipe:
    """The recipe of a command line: the file's, then what was typed; of the stacks' settings only the file's.

    Args:
        options: As they were typed.
    """
    recipe = DepthRecipe() if options.recipe is None else read_depth_recipe(options.recipe)
    typed = {
        "steps": options.steps,
        "batch": options.batch,
        "rate": options.rate,
        "warmup_steps": options.warmup,
        "final_rate": options.final_rate,
        "clip_norm": options.clip,
        "ema": options.ema,
        "precision": options.precision,
        "save_every": options.save_every,
        "evaluate_every": options.evaluate_every,
        "log_every": options.log_every,
        "workers": options.workers,
        "threads": options.threads,
        "seed": options.seed,
    }
    changes: dict[str, Any] = {name: value for name, value in typed.items() if value is not None}
    trainer: TrainerSettings = replace(recipe.trainer, **changes)
    own = {
        "network": options.network,
        "width": options.width,
        "with_radius": options.radius,
        "head": options.head,
        "shown": options.shown,
        "align": options.align,
    }
    more: dict[str, Any] = {name: value for name, value in own.items() if value is not None}
    return replace(recipe, trainer=trainer, **more)


def open_synthesis(
    options: TrainDepthOptions, recipe: DepthRecipe, on_index: Callable[[int, int], None] | None = None
) -> StackSynthesis:
    """The camera and the stacks of a command line.

    Args:
        options: As they were typed.
        recipe: As `make_depth_recipe` gives it.
        on_index: As in `run_train_depth`.
    """
    chosen = options
    if options.settings is None and options.shards is not None:
        chosen = replace(options, settings=options.shards / SETTINGS_FILE)
    elif options.settings is None and options.recipe is not None and recipe.settings != StackSettings():
        # A recipe is a settings file, too: its own stand under "settings".
        chosen = replace(options, settings=options.recipe)
    synthesis = open_options(chosen, on_index)
    if not options.invariant:
        return synthesis
    if options.shards is not None:
        raise InputError("--invariant", "beside --shards", "one of them: shards have the kernels that they have")
    fields: list[PolarPSFField] = [make_invariant(one) for one in synthesis.optics.fields]
    return replace(synthesis, optics=open_optics(fields))


def open_shards(options: TrainDepthOptions, synthesis: StackSynthesis) -> StackShelf | None:
    """The stored stacks of a command line, None without.

    Args:
        options: As they were typed.
        synthesis: Whose fields they must have been made with.
    """
    if options.shards is None:
        return None
    return open_shelf(options.shards, synthesis.describe())


def begin(options: TrainDepthOptions, task: DepthTask, step: int, tell: Say) -> None:
    """Write the recipe, and say what is really trained; called by one process, once its folder is made."""
    write_json(options.out / RECIPE_FILE, task.recipe.to_json())
    config, trainer = task.config, task.recipe.trainer
    weights = sum(one.numel() for one in (task.start or _make_empty(task)).parameters())
    heights = "with" if config.with_radius else "without"
    tell(f"{config.kind}: {weights:,} weights, {heights} image heights, {config.pictures} pictures, {config.head}")
    stacks = "fresh stacks" if task.shelf is None else f"{len(task.shelf)} stacks of {task.shelf.folder}"
    tell(f"{stacks}: {task.synthesis.settings.scenes}, {json.dumps(task.synthesis.settings.shape_px)} px")
    for one in () if task.synthesis.photos is None else task.synthesis.photos.unusable:
        tell(f"photograph left out: {one.name}: {one.reason}")
    if step:
        tell(f"going on from step {step} of {trainer.steps}")


def tell_end(outcome: Outcome, trainer: TrainerSettings, tell: Say) -> None:
    """Say what came out."""
    if not outcome.is_done:
        tell(f"stopped after step {outcome.step} of {trainer.steps}; the same command goes on from there")
        return
    numbers = outcome.numbers
    if "mae_m" in numbers:
        middle = f"answering the middle {numbers['middle_mae_m']:.4f} m"
        tell(f"MAE {numbers['mae_m']:.4f} m, {numbers['mae_dpt']:.4f} dpt ({middle}); pictures in {SAMPLES_FOLDER}")
    tell(f"written: {outcome.network}")


def _make_empty(task: DepthTask) -> Any:
    from .networks.checkpoints import MAKERS

    return MAKERS[task.config.kind](task.config)
