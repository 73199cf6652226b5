"""What `python -m learn.deblur make-eval`, `fit-ridge` and `evaluate` do."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from psf import InputError
from psf.jobs import check_workers
from psf.runs import write_json
from render.camera import Camera

from ..restorers import RidgeSample, RidgeSettings, find_cell_places, fit_ridge, save_bank
from ..sample_files import SAMPLES_FILE, SampleRun, write_samples
from ..sample_stream import SampleStream, make_loader
from ..samples import Batch
from ..synthesis import Synthesis
from ..synthesis_options import SynthesisOptions, open_options, read_field
from ..variants import EVALUATION
from .evaluation import (
    EVALUATION_SEED,
    SCORES_FILE,
    EvaluationSet,
    Shown,
    choose_shown,
    collect_shown,
    open_evaluation,
    run_methods,
)
from .methods import (
    GUESS_M,
    KnownLens,
    Method,
    know_lens,
    load_ridge,
    load_trained,
    make_blind_wiener,
    make_input,
    make_least_squares,
    make_polyblur,
    make_richardson_lucy,
    make_wiener,
)
from .scoring import choose_distance
from .summaries import INPUT, Table, format_table, summarise, write_bins, write_table

Known = Literal["input", "polyblur", "wiener", "wiener_guess", "wiener_blind", "richardson_lucy", "least_squares"]
KNOWN_LENS = ("wiener", "wiener_guess", "wiener_blind", "richardson_lucy", "least_squares")
TABLE_FILE, BINS_FILE = "table.csv", "bins.csv"
RIDGE_CELLS, RIDGE_BATCH = 48, 8
MOST_NAMED = 20
Say = Callable[[str], None]
Progress = Callable[[int, int], None]
Draw = Callable[[Table, Sequence[Shown], Path, str], None]


@dataclass(frozen=True, kw_only=True)
class MakeEvalOptions(SynthesisOptions):
    """Write an evaluation set: 512 x 512 px, every pixel its own kernel, at random places, depths and ISOs.

    Every number that was drawn stands in samples.json. Sample i shows the centre of photograph i, or, where there are
    fewer, begins with the first again: the same crop at another place, depth and ISO (--framing random takes other
    crops). A run that was interrupted goes on with the same command.
    """

    photos: Path
    """The photographs; folders in it count."""
    out: Path
    """Folder for the shards, samples.json and manifest.json."""
    count: int = 60
    """How many samples."""
    side: Literal["training", "evaluation"] = "evaluation"
    """Of a split, the side to take."""
    per_shard: int = 8
    """Samples in a shard."""
    workers: int | None = None
    """Processes; by default one per core. The shards are the same with any number."""


@dataclass(frozen=True, kw_only=True)
class FitRidgeOptions(SynthesisOptions):
    """Fit a bank of linear filters to the samples that a network would be trained on.

    It is the baseline that a network with the same planes must beat; --aux says which planes (iso_field).
    """

    photos: Path
    """The photographs; folders in it count."""
    out: Path
    """The bank to write, .pt; beside it a .json with all that it was fitted to."""
    count: int = 600
    """How many samples, of --cells 48 by default."""
    side_cells: int = RidgeSettings.side_cells
    """Side of the filters, odd."""
    radius_bins: int = RidgeSettings.radius_bins
    """Of image height."""
    azimuth_bins: int = RidgeSettings.azimuth_bins
    """Round the sensor."""
    iso_edges: tuple[float, ...] = RidgeSettings.iso_edges
    """Where bins of ISO meet."""
    prior_cells: float = RidgeSettings.prior_cells
    """As how many cells a coarser bin's filter counts in a finer one's fit."""
    ridge: float = RidgeSettings.ridge
    """Share of the mean diagonal that pulls filters towards doing nothing."""
    workers: int = 0
    """Processes that make samples; 0: none but this one. The bank is the same with any number."""


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Measure methods on an evaluation set: scores.csv, table.csv, bins.csv, page.png, bins.png.

    A run that was interrupted goes on with the same command, and more methods may join it later.
    """

    set: Path
    """As make-eval wrote it."""
    out: Path
    """Folder for the results."""
    methods: tuple[Known, ...] = ("input", "polyblur", "wiener")
    """Those that need no training; all but the first two need --field. wiener_guess and wiener_blind are told
    no depth; least_squares is slow."""
    field: Path | None = None
    """The lens that took the samples (.h5, or a camera's folder), for known-field methods and bins of blur by pixel."""
    any_field: bool = False
    """Take another lens's field all the same: rows say so."""
    ridge: tuple[str, ...] = ()
    """Filter banks: BANK.pt, or NAME=BANK.pt."""
    model: tuple[str, ...] = ()
    """Networks, NAME=RUN/network.pt; several of one NAME are seeds of one row."""
    guess_m: float | None = None
    """Depth that wiener_guess takes everywhere (0.5)."""
    reference: str | None = None
    """Row that paired differences are to (input)."""
    distance: str = "auto"
    """lpips-alex, lpips-vgg, lite0, ms-ssim, none, or auto: lpips-alex where its weights are, else lite0, else ms-ssim,
    each under its own name."""
    lpips_weights: Path | None = None
    """torchvision's weights of LPIPS's backbone, instead of torch's cache."""
    count: int | None = None
    """So many samples, the first ones (all)."""
    shown: int = 5
    """Samples on the page of pictures, evenly spread over blur; 0: no page."""
    workers: int | None = None
    """Processes; by default one per core, 0: none but this one."""


def run_make_eval(
    options: MakeEvalOptions,
    *,
    say: Say | None = None,
    on_progress: Progress | None = None,
    on_index: Progress | None = None,
) -> int:
    """Write an evaluation set, or go on with one.

    Args:
        options: As they were typed.
        say: Told a line whenever there is something to know.
        on_progress: Called with shards done and in all.
        on_index: Called while the photographs are listed, with files done and in all.

    Returns:
        0 for done, 2 if no sample could be made.
    """
    tell = say or _keep_silent
    check_workers(options.workers)
    changes = {**EVALUATION, "seed": EVALUATION_SEED}
    synthesis = open_options(options.photos, options, changes=changes, on_progress=on_index)
    if synthesis.settings.space != "raw":
        raise InputError("--space", repr(synthesis.settings.space), "raw; what works on sRGB gets it developed")
    if synthesis.settings.framing == "centre" and options.count > len(synthesis.photos):
        several = f"{options.count} samples of {len(synthesis.photos)} photographs"
        tell(f"{several}: the same centres at other places, depths and ISOs; --framing random takes other crops")
    made = write_samples(
        synthesis,
        options.out,
        options.count,
        per_shard=options.per_shard,
        workers=options.workers,
        on_progress=on_progress,
    )
    _tell_samples(synthesis, made, tell)
    return 0 if made.shards.samples else 2


def run_fit_ridge(
    options: FitRidgeOptions,
    *,
    say: Say | None = None,
    on_progress: Progress | None = None,
    on_index: Progress | None = None,
) -> int:
    """Fit a filter bank and write it.

    Args:
        options: As they were typed.
        say: Told a line whenever there is something to know.
        on_progress: Called with samples done and in all.
        on_index: Called while the photographs are listed, with files done and in all.

    Returns:
        0 for done.
    """
    tell = say or _keep_silent
    if options.out.suffix != ".pt":
        raise InputError("--out", f"the suffix {options.out.suffix!r}", ".pt")
    if not options.out.parent.is_dir():
        raise FileNotFoundError(f"{options.out.parent}: no such folder to write {options.out.name} to")
    if options.count < 1:
        raise InputError("--count", options.count, "a whole number from 1")
    if options.workers < 0:
        raise InputError("--workers", options.workers, "a whole number from 0")
    changes = {"shape_px": (2 * RIDGE_CELLS, 2 * RIDGE_CELLS)}
    synthesis = open_options(options.photos, options, changes=changes, on_progress=on_index)
    if synthesis.settings.space != "raw":
        raise InputError("--space", repr(synthesis.settings.space), "raw: a bank restores mosaics")
    settings = make_ridge_settings(options, synthesis.settings.aux)
    bank = fit_ridge(draw_ridge_samples(synthesis, options.count, options.workers, on_progress), settings)
    save_bank(bank, options.out)
    told = {**synthesis.describe(), "samples": options.count}
    write_json(options.out.with_suffix(".json"), told)
    filters = int((bank.cells > 0).sum())
    tell(f"written: {options.out}, {filters} filters of {settings.features} taps fitted to {options.count} samples")
    return 0


def make_ridge_settings(options: FitRidgeOptions, aux: str) -> RidgeSettings:
    """Settings of a bank, with bins for the planes that it may know.

    Args:
        options: As they were typed.
        aux: "none", "iso", "field" or "iso_field".
    """
    names = {one.name for one in fields(RidgeSettings)} & {one.name for one in fields(FitRidgeOptions)}
    typed: dict[str, Any] = {name: getattr(options, name) for name in names}
    return RidgeSettings(**typed, use_iso="iso" in aux.split("_"), use_field="field" in aux.split("_"))


def draw_ridge_samples(
    synthesis: Synthesis, count: int, workers: int = 0, on_progress: Progress | None = None
) -> Iterator[RidgeSample]:
    """Samples 0 to count - 1, as a bank is fitted to them.

    Args:
        synthesis: What they are made of.
        count: How many.
        workers: Processes that make them.
        on_progress: Called with samples done and in all.
    """
    batch = next(size for size in range(min(RIDGE_BATCH, count), 0, -1) if count % size == 0)
    stream = SampleStream(synthesis=synthesis, batch=batch, steps=count // batch)
    done = 0
    for drawn in make_loader(stream, workers=workers):
        yield _to_ridge_sample(drawn)
        done += batch
        if on_progress is not None:
            on_progress(done, count)


def run_evaluate(
    options: EvaluateOptions, *, say: Say | None = None, on_progress: Progress | None = None, draw: Draw | None = None
) -> int:
    """Measure methods, or go on with that; tell the table.

    Args:
        options: As they were typed.
        say: Told the table, and lines about it.
        on_progress: Called with scores done and in all.
        draw: Writes figures: `learn.deblur.plots.draw_report`; None for none.

    Returns:
        0 for done.
    """
    tell = say or _keep_silent
    check_workers(options.workers)
    if options.shown < 0:
        raise InputError("--shown", options.shown, "0 or more")
    if not options.out.parent.is_dir():
        raise FileNotFoundError(f"{options.out.parent}: no such folder to make {options.out.name} in")
    chosen = open_evaluation(options.set)
    lens, is_own = open_lens(options, chosen)
    methods = list_methods(options, chosen, lens)
    names = list(dict.fromkeys(method.name for method in methods))
    reference = options.reference or (INPUT if INPUT in names else names[0])
    if reference not in names:
        raise InputError("--reference", repr(reference), "one of " + ", ".join(names))
    weights = None if options.lpips_weights is None else str(options.lpips_weights)
    distance = choose_distance(options.distance, weights)
    total = len(chosen) if options.count is None else min(options.count, len(chosen))
    shown = choose_shown(chosen.drawn[: max(total, 0)], options.shown)
    rows = run_methods(
        methods,
        chosen,
        options.out,
        distance=distance,
        weights=weights,
        # Blur is counted by the lens that took the samples, never by another.
        extent=lens.extent if lens is not None and is_own else None,
        count=options.count,
        shown=shown,
        workers=options.workers,
        on_progress=on_progress,
    )
    table = summarise(rows, methods, distance=distance, reference=reference)
    write_table(table, options.out / TABLE_FILE)
    write_bins(table, options.out / BINS_FILE)
    if draw is not None:
        title = tell_set(chosen)
        draw(table, collect_shown(chosen, options.out, methods, shown), options.out, title)
    tell(tell_set(chosen))
    tell(format_table(table))
    tell(f"written: {SCORES_FILE}, {TABLE_FILE}, {BINS_FILE}{'' if draw is None else ' and figures'} in {options.out}")
    return 0


def tell_set(chosen: EvaluationSet) -> str:
    """An evaluation set in a line."""
    height, width = chosen.settings.shape_px
    low, high = chosen.settings.iso_range
    photos = len({one.photo for one in chosen.drawn})
    lens = chosen.lens or "a lens without a name"
    return (
        f"{len(chosen)} samples of {width} x {height} px from {photos} photographs, {lens}, "
        f"ISO {low:g} to {high:g}, {chosen.settings.blur}, seed {chosen.settings.seed}"
    )


def open_lens(options: EvaluateOptions, chosen: EvaluationSet) -> tuple[KnownLens | None, bool]:
    """The lens that methods are told, and whether it is the samples' own.

    Args:
        options: As they were typed.
        chosen: The set.
    """
    if options.field is None:
        if told := [name for name in options.methods if name in KNOWN_LENS]:
            raise InputError("--field", "none", f"the lens's field file for {', '.join(told)}")
        return None, False
    if options.field.is_dir():
        field = Camera.load(options.field).to(dtype=torch.float32).field
        if field is None:
            raise InputError(f"--field {options.field}", "a camera without a lens", "a field")
    else:
        field = read_field(options.field)
    lens = know_lens(field, transmission=chosen.settings.transmission, pattern=chosen.pattern)
    if lens.sha256 == chosen.field_sha256:
        return lens, True
    other = lens.name or "a field"
    if not options.any_field:
        found = f"{other} (hash {lens.sha256[:12]})"
        own = f"{chosen.lens or 'the field'} ({chosen.field_sha256[:12]})"
        expected = f"{own} that took {chosen.folder}, or --any-field"
        raise InputError(f"--field {options.field}", found, expected)
    if field.image_shape_px != tuple(chosen.about["image_shape_px"]):
        raise InputError(f"--field {options.field}", f"a sensor of {field.image_shape_px} px", "that of the samples")
    note = f"told another lens ({other})"
    return know_lens(field, transmission=chosen.settings.transmission, pattern=chosen.pattern, note=note), False


def list_methods(options: EvaluateOptions, chosen: EvaluationSet, lens: KnownLens | None) -> list[Method]:
    """The rows that a command line asks for, in the order of the table.

    Args:
        options: As they were typed.
        chosen: The set.
        lens: That known-field methods are told.
    """
    if options.guess_m is not None and not options.guess_m > 0:
        raise InputError("--guess-m", options.guess_m, "a depth above 0 m")
    found = [_make_known(known, options, chosen, lens) for known in dict.fromkeys(options.methods)]
    for word in options.ridge:
        name, path = _split_word(word, "ridge")
        found.append(load_ridge(path, name=name, note=_tell_ridge(path, chosen)))
    for word in options.model:
        name, path = _split_word(word, None)
        method = load_trained(path, name=name, field_sha256=chosen.field_sha256, pattern=chosen.pattern, lens=lens)
        found.append(method)
    if not found:
        raise InputError("--methods", "none", "a method, a --ridge or a --model")
    untrained = {*get_args(Known), *(_split_word(word, "ridge")[0] for word in options.ridge)}
    if twice := [name for word in options.model if (name := _split_word(word, None)[0]) in untrained]:
        raise InputError("--model", f"the name {twice[0]!r}", "one that no other method has")
    return found


def _make_known(name: str, options: EvaluateOptions, chosen: EvaluationSet, lens: KnownLens | None) -> Method:
    if name == "input":
        return make_input()
    if name == "polyblur":
        return make_polyblur(pattern=chosen.pattern)
    assert lens is not None
    if name == "wiener":
        return make_wiener(lens)
    if name == "wiener_guess":
        return make_wiener(lens, depth_m=GUESS_M if options.guess_m is None else options.guess_m, name=name)
    if name == "wiener_blind":
        return make_blind_wiener(lens)
    return make_richardson_lucy(lens) if name == "richardson_lucy" else make_least_squares(lens)


def _split_word(word: str, name: str | None) -> tuple[str, Path]:
    """NAME=PATH; without a name, the given one."""
    own, mark, path = word.partition("=")
    if not mark:
        if name is None:
            raise InputError("--model", repr(word), "NAME=RUN/network.pt")
        return name, Path(word)
    return own, Path(path)


def _tell_ridge(path: Path, chosen: EvaluationSet) -> str:
    """What a bank was fitted to, by the file that fit-ridge wrote beside it."""
    beside = path.with_suffix(".json")
    if not beside.is_file():
        return "fitted to nobody knows what"
    try:
        told = json.loads(beside.read_text(encoding="utf-8"))
        samples, lens, field_sha256 = int(told["samples"]), str(told["lens"]), str(told["field_sha256"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(str(beside), f"text that says nothing of a bank ({error})", "what fit-ridge writes") from error
    note = f"fitted to {samples} samples"
    return note if field_sha256 == chosen.field_sha256 else f"{note} of another lens ({lens or 'a perfect one'})"


def _to_ridge_sample(batch: Batch) -> RidgeSample:
    shape = (int(batch.target.shape[2]), int(batch.target.shape[3]))
    places = [find_cell_places(shape, drawn.window_px, batch.image_shape_px) for drawn in batch.drawn]
    radius, azimuth_rad = (torch.stack(one) for one in zip(*places, strict=True))
    return RidgeSample(batch.input[:, : batch.target.shape[1]], batch.target, batch.iso, radius, azimuth_rad)


def _tell_samples(synthesis: Synthesis, made: SampleRun, tell: Say) -> None:
    lines = [f"photograph left out: {one.name}: {one.reason}" for one in synthesis.photos.unusable]
    lines += [f"passed over: {line}" for line in made.lost]
    lines += [f"no sample: {index}: {reason}" for index, reason in made.shards.failed.items()]
    for line in lines[:MOST_NAMED]:
        tell(line)
    if len(lines) > MOST_NAMED:
        tell(f"and {len(lines) - MOST_NAMED} more")
    shards = made.shards
    tell(f"written: {shards.samples} samples in {len(shards.shards)} shards, {SAMPLES_FILE} in {shards.folder}")


def _keep_silent(line: str) -> None:
    """Nobody listens."""
