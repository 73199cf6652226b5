"""The training loop: batches, loss, step, average; log, evaluation, states.

    RUN/run.json             what the weights hang on; a run goes on only with the same
    RUN/log.csv              a line every so many steps (and TensorBoard's files, where that is installed)
    RUN/samples/*.png        the fixed evaluation set, as the network of that step sees it
    RUN/state.pt             where it stands; the state before as state.previous.pt
    RUN/network.pt           the averaged network, at the end

Step s takes batch s, whatever was stopped or killed before: on a CPU a run that went on ends with the same bits as one
that was never stopped. By `torchrun` each process makes its part of the batch, and gradients are averaged.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from psf import InputError
from psf.errors import one_line
from psf.runs import begin_run, make_generator
from psf.threads import limit_threads
from render import write_picture

from .averaging import average_weights, copy_network
from .engine import Device, open_engine
from .logs import TrainingLog, open_log
from .schedules import find_rate
from .settings import TrainerSettings
from .states import TrainingState, read_state, write_state
from .tasks import Task

NETWORK_FILE, SAMPLES_FOLDER = "network.pt", "samples"

Progress = Callable[[int, int, float | None], None]
Sums = dict[str, tuple[Tensor, int]]


@dataclass(frozen=True)
class Outcome:
    """How a call of `train` ended.

    Attributes:
        folder: Of the run.
        step: Steps done.
        is_done: Whether that is all of them; else the same call goes on.
        first_step: Where this call began.
        is_writer: Whether this process wrote the files: of several the first one does.
        numbers: The last line of the log.
    """

    folder: Path
    step: int
    is_done: bool
    first_step: int
    is_writer: bool
    numbers: dict[str, float]

    @property
    def network(self) -> Path:
        """Where the network lies when all is done."""
        return self.folder / NETWORK_FILE


def train(
    task: Task,
    settings: TrainerSettings,
    folder: str | Path,
    *,
    device: Device = "auto",
    should_stop: Callable[[], bool] | None = None,
    on_progress: Progress | None = None,
    on_begin: Callable[[int], None] | None = None,
) -> Outcome:
    """Train a network, from the start or from where the folder's run stands.

    Args:
        task: What is trained.
        settings: How.
        folder: New, empty, or of a run with the same task and settings; all processes must see it.
        device: "auto" takes a GPU where there is one.
        should_stop: Asked after each step; if it says so, the state is written and the call returns.
        on_progress: Called after each step with steps done, steps in all, and the loss of the log's last line; only
            in the process that writes.
        on_begin: Called before the first step, with steps done, by the process that writes.
    """
    place = Path(folder)
    threads = nullcontext() if settings.threads is None else limit_threads(settings.threads)
    with threads, open_engine(settings.precision, device) as fabric:
        if settings.batch % fabric.world_size:
            raise InputError("trainer.batch", settings.batch, f"a multiple of the {fabric.world_size} processes")
        _begin(task, settings, place, fabric)
        run = _open_run(task, settings, place, fabric)
        columns = ("rate", "loss", *task.part_names, "gradient_norm", "steps_per_s", *task.evaluation_names)
        log = open_log(place, columns, run.first_step) if fabric.is_global_zero else nullcontext()
        if on_begin is not None and fabric.is_global_zero:
            on_begin(run.first_step)
        with log as opened:
            return _run_steps(run, opened, should_stop or (lambda: False), on_progress)


@dataclass(frozen=True, eq=False)
class _Run:
    """What all steps share."""

    task: Task
    settings: TrainerSettings
    folder: Path
    fabric: Any
    network: nn.Module
    wrapped: Any
    optimiser: Any
    average: nn.Module
    first_step: int
    sums: Sums


def _begin(task: Task, settings: TrainerSettings, folder: Path, fabric: Any) -> None:
    """Make the folder, or check that it is this run's; what the first process finds wrong, all of them raise."""
    wrong: Exception | None = None
    if fabric.is_global_zero:
        try:
            begin_run(folder, _flatten({"trainer": settings.describe(), **task.describe()}))
            (folder / SAMPLES_FOLDER).mkdir(exist_ok=True)
        except (InputError, OSError) as error:
            wrong = error
    wrong = fabric.broadcast(wrong)
    if wrong is not None:
        raise wrong


def _open_run(task: Task, settings: TrainerSettings, folder: Path, fabric: Any) -> _Run:
    """Network, average and optimiser, on their device, as the run's state has them."""
    state = read_state(folder)
    if state is not None and state.step > settings.steps:
        raise InputError(f"{folder}: step", state.step, f"at most {settings.steps}")
    network = task.make_network(make_generator(settings.seed, 0))
    average = copy_network(network)
    optimiser = torch.optim.AdamW(
        network.parameters(),
        lr=find_rate(settings, 0),
        betas=settings.betas,
        weight_decay=settings.weight_decay,
        fused=settings.precision != "fp16",  # whose gradients are clipped before the optimiser sees them
    )
    if state is not None:
        _fill(network, state.network, folder)
        _fill(average, state.average, folder)
    wrapped, wrapped_optimiser = fabric.setup(network, optimiser)
    average = average.to(fabric.device)
    sums: Sums = {}
    if state is not None:
        optimiser.load_state_dict(dict(state.optimiser))
        if (scaler := _scaler(fabric)) is not None and state.scaler:
            scaler.load_state_dict(dict(state.scaler))
        sums = {
            name: (torch.tensor(total, dtype=torch.float64, device=fabric.device), count)
            for name, (total, count) in state.sums.items()
        }
    step = 0 if state is None else state.step
    return _Run(task, settings, folder, fabric, network, wrapped, wrapped_optimiser, average, step, sums)


def _run_steps(
    run: _Run, log: TrainingLog | None, should_stop: Callable[[], bool], on_progress: Progress | None
) -> Outcome:
    settings, step, sums = run.settings, run.first_step, dict(run.sums)
    row: dict[str, float] = {}
    if step == 0:
        row = _tell(run, log, step, {}, 0.0)
        _save(run, step, sums)
    saved, since, done_since = step, time.perf_counter(), 0
    batches = _open_batches(run)
    while step < settings.steps:
        batch = _next_batch(batches, should_stop)
        if batch is None:
            break
        _add(sums, _take_step(run, batch, step))
        step, done_since = step + 1, done_since + 1
        is_last = step == settings.steps
        if step % settings.log_every == 0 or step % settings.evaluate_every == 0 or is_last:
            speed = done_since / (time.perf_counter() - since)
            row = _tell(run, log, step, _means(run, sums), speed)
            sums, since, done_since = {}, time.perf_counter(), 0
        if on_progress is not None and log is not None:
            on_progress(step, settings.steps, row.get("loss"))
        if step % settings.save_every == 0 or is_last:
            sums = _save(run, step, sums)
            saved = step
        if _agree_to_stop(run, should_stop):
            break
    if saved != step:
        _save(run, step, sums)
    is_done = step == settings.steps
    if is_done and run.fabric.is_global_zero:
        run.task.save(run.average, run.folder / NETWORK_FILE, step)
    run.fabric.barrier()
    return Outcome(run.folder, step, is_done, run.first_step, run.fabric.is_global_zero, row)


def _open_batches(run: _Run) -> Iterator[Any]:
    fabric, settings = run.fabric, run.settings
    if run.first_step == settings.steps:
        return iter(())
    loader = run.task.open_loader(
        batch=settings.batch,
        rank=fabric.global_rank,
        ranks=fabric.world_size,
        first_step=run.first_step,
        steps=settings.steps,
        workers=settings.workers,
        pin_memory=fabric.device.type == "cuda",
    )
    return iter(loader)


def _next_batch(batches: Iterator[Any], should_stop: Callable[[], bool]) -> Any:
    """The next one; None if the run was stopped while it waited and the workers, which Ctrl-C reaches too, are gone."""
    try:
        return next(batches)
    except RuntimeError:
        if should_stop():
            return None
        raise


def _take_step(run: _Run, batch: Any, step: int) -> dict[str, Tensor]:
    """One update of the weights; what the log wants to know of it."""
    settings, fabric = run.settings, run.fabric
    moved = batch.to(fabric.device, non_blocking=True)
    measured = run.task.measure(run.wrapped, moved, with_slopes=step < settings.slope_steps)
    run.optimiser.zero_grad()
    fabric.backward(measured.loss)
    norm = fabric.clip_gradients(run.wrapped, run.optimiser, max_norm=settings.clip_norm, error_if_nonfinite=False)
    for group in run.optimiser.param_groups:
        group["lr"] = find_rate(settings, step)
    run.optimiser.step()
    average_weights(run.average, run.network, settings.ema, step)
    return {"loss": measured.loss.detach(), **measured.parts, "gradient_norm": norm.detach()}


def _tell(run: _Run, log: TrainingLog | None, step: int, means: dict[str, float], speed: float) -> dict[str, float]:
    """A line of the log, with an evaluation where one is due."""
    settings = run.settings
    _check_finite(run, step, means)
    row = {"step": float(step), **means}
    if means:
        row |= {"rate": find_rate(settings, step - 1), "steps_per_s": speed}
    if log is None:
        return row
    if step % settings.evaluate_every == 0 or step == settings.steps:
        found = run.task.evaluate(run.average, run.fabric.device)
        row |= found.numbers
        for name, picture in found.pictures.items():
            path = run.folder / SAMPLES_FOLDER / f"{name}_{step:06d}.png"
            write_picture(path, picture.clamp(0, 1), encoding="linear", bits=8)  # its values are sRGB already
    log.write(row)
    return row


def _save(run: _Run, step: int, sums: Sums) -> Sums:
    """Write the state; the sums as all processes go on with them."""
    fabric = run.fabric
    shared = _share(run, sums)
    means = {name: float(total) for name, (total, _) in shared.items()}
    _check_finite(run, step, means)
    if fabric.is_global_zero:
        scaler = _scaler(fabric)
        write_state(
            TrainingState(
                step,
                run.network.state_dict(),
                run.average.state_dict(),
                run.optimiser.state_dict(),
                {name: (means[name], count) for name, (_, count) in shared.items()},
                {} if scaler is None else scaler.state_dict(),
            ),
            run.folder,
        )
    fabric.barrier()
    return shared


def _add(sums: Sums, found: dict[str, Tensor]) -> None:
    for name, value in found.items():
        total, count = sums.get(name, (torch.zeros((), dtype=torch.float64, device=value.device), 0))
        sums[name] = (total + value, count + 1)


def _share(run: _Run, sums: Sums) -> Sums:
    """The mean over all processes."""
    if run.fabric.world_size == 1 or not sums:
        return sums
    names = sorted(sums)
    totals = run.fabric.all_reduce(torch.stack([sums[name][0] for name in names]), reduce_op="mean")
    return {name: (total, sums[name][1]) for name, total in zip(names, totals, strict=True)}


def _means(run: _Run, sums: Sums) -> dict[str, float]:
    return {name: float(total) / count for name, (total, count) in _share(run, sums).items()}


def _agree_to_stop(run: _Run, should_stop: Callable[[], bool]) -> bool:
    """Whether to stop here; all processes give the same answer."""
    if run.fabric.world_size == 1:
        return should_stop()
    # torchrun kills what has not ended half a minute after Ctrl-C, so they are asked after every step.
    wanted = torch.tensor(float(should_stop()), device=run.fabric.device)
    return float(run.fabric.all_reduce(wanted, reduce_op="sum")) > 0


def _check_finite(run: _Run, step: int, means: dict[str, float]) -> None:
    """Never go on with, or keep, weights that are lost."""
    # In half precision single gradients may overflow; the step is left out, and the next ones are scaled down.
    names = ("loss",) if run.settings.precision == "fp16" else ("loss", "gradient_norm")
    for name in names:
        if not math.isfinite(means.get(name, 0.0)):
            expected = f"a finite one: a smaller rate than {run.settings.rate:g}; the folder keeps the state before"
            raise InputError(f"{run.folder}: step {step}: {name}", means[name], expected)


def _flatten(found: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """One level of keys, trainer.rate: so a refusal names the very setting that differs."""
    flat: dict[str, Any] = {}
    for name, value in found.items():
        flat |= _flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def _scaler(fabric: Any) -> Any:
    return getattr(fabric.strategy.precision, "scaler", None)


def _fill(network: nn.Module, weights: Any, folder: Path) -> None:
    try:
        network.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise InputError(f"{folder}: state", one_line(error)[:160], "the weights of this network") from error
