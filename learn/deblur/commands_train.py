"""What `python -m learn.deblur train` does."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import torch

from psf import InputError
from psf.runs import write_json

from ..networks import load_network
from ..networks.config import NAMED
from ..synthesis_options import SynthesisOptions, open_options
from ..trainer import Outcome, TrainerSettings, train
from ..trainer.loop import SAMPLES_FOLDER
from ..trainer.settings import Precision
from ..trainer.stopping import catch_stop
from ..variants import SynthesisSettings
from .recipe import DeblurRecipe, find_shape, read_recipe
from .task import DeblurTask, open_task

RECIPE_FILE = "recipe.json"
INTERRUPTED = 130
Say = Callable[[str], None]
Progress = Callable[[int, int, float | None], None]


@dataclass(frozen=True, kw_only=True)
class TrainOptions(SynthesisOptions):
    """Train a network that restores what a lens blurs. The same command goes on with a run that was stopped."""

    photos: Path
    """The photographs; folders in it count."""
    out: Path
    """Folder for network.pt, log.csv, recipe.json, samples and the state."""
    recipe: Path | None = None
    """A JSON file of all settings (examples/recipes, or a run's recipe.json), which the options change."""
    network: str | None = None
    """nafnet32, nafnet64, nafnet32_sidd or tiny (nafnet32)."""
    start: Path | None = None
    """Begin with this network instead of a new one."""
    steps: int | None = None
    """Updates of the weights (39000)."""
    batch: int | None = None
    """Samples in each, over all processes (64)."""
    rate: float | None = None
    """AdamW's step size (1e-4), after ..."""
    warmup: int | None = None
    """... so many steps in which it rises (500) ..."""
    final_rate: float | None = None
    """... and before a cosine that ends here (1e-6)."""
    betas: tuple[float, float] | None = None
    """AdamW's memory (0.9 0.9)."""
    weight_decay: float | None = None
    """AdamW's (1e-4)."""
    clip: float | None = None
    """Greatest norm of the gradient (0.1); inf does not clip."""
    ema: float | None = None
    """Memory of the averaged weights, which are the result (0.999); 0 for the last weights."""
    precision: Precision | None = None
    """Of the network: fp32, bf16, or fp16 on a GPU (fp32)."""
    distance: str | None = None
    """Perceptual part of the loss: auto, lpips-vgg, lpips-alex, lpips-squeeze, lite0, ms-ssim or none (auto: lpips-vgg
    where its weights are, else ms-ssim)."""
    distance_weight: float | None = None
    """Its share (0.1)."""
    told_scale: float | None = None
    """What the planes of ISO and place are multiplied by while the network learns (1); less where the rate is high."""
    choosing: bool | None = None
    """Deconvolved planes are candidates that the result is mixed of (True), or planes like others."""
    lpips_weights: Path | None = None
    """torchvision's weights of LPIPS's backbone, instead of torch's cache."""
    trust_weights: bool = False
    """Take such a file if it is none of those published."""
    evaluation: Path | None = None
    """Shards of python -m learn.synthesise to look at while it trains; else fresh samples of the training's photos."""
    evaluation_count: int = 16
    """So many of them, evenly picked; 0 for none."""
    save_every: int | None = None
    """Steps between states to go on from (500)."""
    evaluate_every: int | None = None
    """Steps between evaluations (500)."""
    log_every: int | None = None
    """Steps that a line of log.csv is the mean of (50)."""
    workers: int | None = None
    """Processes that make samples, for each that trains (0: none but itself)."""
    threads: int | None = None
    """Threads of each process that trains (torch's own number)."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes a GPU where there is one."""


def run_train(
    options: TrainOptions,
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
        on_index: Called while the photographs are listed, with files done and in all.

    Returns:
        0 for done, 130 for stopped by Ctrl-C.
    """
    tell = say or (lambda line: None)
    recipe = make_recipe(options)
    task = open_training(options, recipe, on_index=on_index)
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


def make_recipe(options: TrainOptions) -> DeblurRecipe:
    """The recipe of a command line: the file's, then what was typed; samples aside, which a settings file may change.

    Args:
        options: As they were typed.
    """
    recipe = DeblurRecipe() if options.recipe is None else read_recipe(options.recipe)
    typed = {
        "steps": options.steps,
        "batch": options.batch,
        "rate": options.rate,
        "warmup_steps": options.warmup,
        "final_rate": options.final_rate,
        "betas": options.betas,
        "weight_decay": options.weight_decay,
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
    more: dict[str, Any] = {}
    if options.network is not None:
        if options.network not in NAMED:
            raise InputError("--network", repr(options.network), " or ".join(map(repr, NAMED)))
        more["network"] = find_shape(options.network)
    if options.distance is not None:
        more["distance"] = options.distance
    if options.distance_weight is not None:
        more["distance_weight"] = options.distance_weight
    if options.told_scale is not None:
        more["told_scale"] = options.told_scale
    if options.choosing is not None:
        more["choosing"] = options.choosing
    return replace(recipe, trainer=replace(recipe.trainer, **changes), **more)


def open_training(
    options: TrainOptions, recipe: DeblurRecipe, *, on_index: Callable[[int, int], None] | None = None
) -> DeblurTask:
    """Photographs, lens, loss and evaluation set of a command line.

    Args:
        options: As they were typed.
        recipe: As `make_recipe` gives it.
        on_index: As in `run_train`.
    """
    own = {one.name: getattr(recipe.synthesis, one.name) for one in fields(SynthesisSettings)}
    synthesis = open_options(options.photos, options, changes=own, on_progress=on_index)
    start = None if options.start is None else load_network(options.start).network
    on_gpu = options.device != "cpu" and torch.cuda.is_available()
    return open_task(
        recipe,
        synthesis,
        evaluation=options.evaluation,
        evaluation_count=options.evaluation_count,
        lpips_weights=options.lpips_weights,
        trust_weights=options.trust_weights,
        start=start,
        device="cuda" if on_gpu else "cpu",
    )


def begin(options: TrainOptions, task: DeblurTask, step: int, tell: Say) -> None:
    """Write the recipe, and say what is really trained; called by one process, once its folder is made."""
    write_json(options.out / RECIPE_FILE, task.recipe.to_json())
    trainer = task.recipe.trainer
    tell(f"loss: {task.loss_name}")
    for one in task.synthesis.photos.unusable:
        tell(f"photograph left out: {one.name}: {one.reason}")
    samples = sum(len(batch) for batch in task.evaluation)
    source = "fresh samples of the training's own photographs" if options.evaluation is None else options.evaluation
    tell(f"evaluation: {samples} of {source}" if samples else "evaluation: none")
    if step:
        tell(f"going on from step {step} of {trainer.steps}")


def tell_end(outcome: Outcome, trainer: TrainerSettings, tell: Say) -> None:
    """Say what came out."""
    if not outcome.is_done:
        tell(f"stopped after step {outcome.step} of {trainer.steps}; the same command goes on from there")
        return
    numbers = outcome.numbers
    if "psnr_db" in numbers:
        gain_db = numbers["psnr_db"] - numbers["input_psnr_db"]
        tell(f"PSNR {numbers['psnr_db']:.2f} dB, {gain_db:+.2f} dB against the input; pictures in {SAMPLES_FOLDER}")
    tell(f"written: {outcome.network}")
