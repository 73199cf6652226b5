"""Running methods over an evaluation set, to be gone on with at any time.

    chosen = open_evaluation("EVAL")
    rows = run_methods(methods, chosen, "OUT", distance="lite0", extent=lens.extent, workers=2)

    OUT/run.json          the set, the distance, the field that blur is counted by
    OUT/scores.csv        a row for each sample and method, as they come
    OUT/pictures/         developed results of the samples that the page of pictures shows, PNG

A row is known by its method's name, the method's fingerprint and the sample: a network that was trained on in the
meantime is measured anew, and its old rows go.
"""

import hashlib
import io
import json
import os
import tarfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from psf import InputError
from psf.jobs import Progress, stream_jobs
from psf.runs import begin_run, read_settings, whole_file
from render.bayer import Pattern, check_pattern

from ..patch_optics import FieldExtent
from ..sample_files import SAMPLES_FILE, decode_record
from ..samples import Drawn, Sample
from ..shards import decode_sample, list_shards, read_about
from ..variants import SynthesisSettings
from .methods import Method
from .scoring import ScoreRow, develop_result, load_table_distance, read_scores, score_sample, write_scores

# Of evaluation sets: with training's, sample i would lie where training's i lies, at its ISO.
EVALUATION_SEED = 1_000_000
SCORES_FILE, PICTURES_FOLDER = "scores.csv", "pictures"
TARGET = "target"
# Scores are written at most so often; a run that is killed loses this and what was in work.
SAVE_EVERY_S = 2.0
PICTURE_LEVELS = 255


@dataclass(frozen=True, eq=False, kw_only=True)
class EvaluationSet:
    """A folder of shards of samples in space "raw".

    Attributes:
        folder: Where they lie.
        settings: That they were made with.
        about: All of run.json: lens, sensor, noise, hashes.
        places: Shard and key of every sample, in order.
        drawn: Of every sample.
        pattern: Of the mosaics.
        sha256: Of all that was drawn and of run.json.
    """

    folder: Path
    settings: SynthesisSettings
    about: dict[str, Any]
    places: tuple[tuple[Path, str], ...]
    drawn: tuple[Drawn, ...]
    pattern: Pattern
    sha256: str

    def __len__(self) -> int:
        return len(self.places)

    @property
    def field_sha256(self) -> str:
        """Of the lens that took the samples (`learn.field_files.hash_field`)."""
        return str(self.about.get("field_sha256", ""))

    @property
    def lens(self) -> str:
        """Its name."""
        return str(self.about.get("lens", ""))

    def read_sample(self, number: int) -> Sample:
        """One sample, with its depth.

        Args:
            number: From 0, among those that could be made.
        """
        return read_place(self.places[number], self.settings)


@dataclass(frozen=True, eq=False, kw_only=True)
class Shown:
    """One sample for a page of pictures.

    Attributes:
        title: What it is.
        target: sRGB, shape (3, H, W).
        results: By method, sRGB, shape (3, H, W) each.
    """

    title: str
    target: Tensor
    results: Mapping[str, Tensor]


def open_evaluation(folder: str | os.PathLike[str]) -> EvaluationSet:
    """Open what `python -m learn.deblur make-eval` (or `learn.synthesise`) wrote.

    Raises:
        FileNotFoundError: No run, or one that was interrupted before its end.
        InputError: The set is not of mosaics.
    """
    place = Path(folder)
    about = read_settings(place)
    if "settings" not in about or "sensor" not in about:
        raise InputError(str(place / "run.json"), "no settings of samples", "a set of learn.deblur make-eval")
    settings = SynthesisSettings.from_json(about["settings"])
    if settings.space != "raw":
        raise InputError(f"{place}: space", repr(settings.space), "'raw'; what works on sRGB gets it developed")
    listed = place / SAMPLES_FILE
    if not listed.is_file():
        raise FileNotFoundError(f"{listed}: no such file; the set is not whole, its command goes on with it")
    places = []
    for path in list_shards(place):
        shard = read_about(path)
        numbers = range(shard["first"], shard["first"] + shard["count"])
        places += [(path, key) for number in numbers if (key := f"{number:09d}") not in shard["failed"]]
    told = listed.read_bytes()
    drawn = tuple(Drawn.from_json(one["drawn"]) for one in _read_listed(listed, told))
    if [one.index for one in drawn] != [int(key) for _, key in places]:
        raise InputError(str(listed), f"{len(drawn)} samples", f"the {len(places)} of the shards beside it")
    digest = hashlib.sha256((place / "run.json").read_bytes() + told).hexdigest()
    return EvaluationSet(
        folder=place,
        settings=settings,
        about=about,
        places=tuple(places),
        drawn=drawn,
        pattern=check_pattern(about["sensor"]["pattern"]),
        sha256=digest,
    )


def read_place(place: tuple[Path, str], settings: SynthesisSettings) -> Sample:
    """One sample out of a shard, without reading the others.

    Args:
        place: Shard and key.
        settings: Whose planes it gets.
    """
    path, key = place
    raw: dict[str, Any] = {"__key__": key}
    try:
        with tarfile.open(path, "r:") as file:
            for member in file:
                own, _, name = member.name.partition(".")
                if own == key and (content := file.extractfile(member)) is not None:
                    raw[name] = content.read()
                elif len(raw) > 1:
                    break
    except (tarfile.TarError, EOFError) as error:
        raise InputError(str(path), f"a file that tar cannot read ({error})", "a shard") from error
    if len(raw) == 1:
        raise InputError(str(path), f"no sample {key}", "the one that samples.json names")
    return decode_record(decode_sample(raw), settings)


def run_methods(
    methods: Sequence[Method],
    chosen: EvaluationSet,
    out: str | os.PathLike[str],
    *,
    distance: str = "none",
    weights: str | None = None,
    extent: FieldExtent | None = None,
    count: int | None = None,
    shown: Sequence[int] = (),
    workers: int | None = None,
    on_progress: Progress | None = None,
) -> list[ScoreRow]:
    """Restore and score every sample by every method, those that are not done yet, one method after the other.

    Args:
        methods: The rows of the table; several of one name are seeds.
        chosen: The set.
        out: New, empty, or of a run over the same set with the same distance.
        distance: As `scoring.choose_distance` gives it.
        weights: File of LPIPS's backbone.
        extent: Of the samples' field, for bins of blur by pixel; None leaves these empty.
        count: So many samples, the first ones; None: all.
        shown: Numbers of samples whose developed results are kept as pictures.
        workers: Processes, of one thread each; by default one per core, 0: none but this one.
        on_progress: Called with (scores done, scores in all), those that were there among them.

    Returns:
        The rows of these methods and samples, method by method.

    Raises:
        JobError: A method failed on a sample; its name begins the line. What was done before is kept.
    """
    _check_methods(methods)
    numbers = _check_numbers(chosen, count, shown)
    place = Path(out)
    begin_run(place, describe_run(chosen, distance, extent))
    (place / PICTURES_FOLDER).mkdir(exist_ok=True)
    file = place / SCORES_FILE
    current = {(one.name, one.fingerprint) for one in methods}
    names = {one.name for one in methods}
    kept: dict[tuple[str, str, int], ScoreRow] = {}
    for row in read_scores(file) if file.is_file() else []:
        if row.method not in names or (row.method, row.fingerprint) in current:
            kept[row.method, row.fingerprint, row.index] = row
    jobs = []
    for which, method in enumerate(methods):
        for number in numbers:
            picture = find_picture(place, method, chosen.drawn[number].index) if number in shown else None
            is_there = picture is None or picture.is_file()
            if (method.name, method.fingerprint, chosen.drawn[number].index) not in kept or not is_there:
                jobs.append((which, chosen.places[number], picture))
    total, ready = len(methods) * len(numbers), len(methods) * len(numbers) - len(jobs)
    if on_progress and ready:
        on_progress(ready, total)
    _write_targets(place, chosen, shown)
    work = partial(_score_one, tuple(methods), chosen.settings, chosen.pattern, distance, weights, extent)
    saved_s = time.monotonic()
    try:
        for done, (_, outcome) in enumerate(
            stream_jobs(work, jobs, workers=workers, name_of=partial(_name_job, tuple(methods))), start=1
        ):
            found: Any = outcome
            kept[found.method, found.fingerprint, found.index] = found
            if time.monotonic() - saved_s > SAVE_EVERY_S:
                write_scores(kept.values(), file)
                saved_s = time.monotonic()
            if on_progress:
                on_progress(ready + done, total)
    finally:
        write_scores(_sorted(kept, methods), file)
    indices = {chosen.drawn[number].index for number in numbers}
    return [row for row in _sorted(kept, methods) if (row.method, row.fingerprint) in current and row.index in indices]


def describe_run(chosen: EvaluationSet, distance: str, extent: FieldExtent | None) -> dict[str, Any]:
    """What the scores in a folder depend on, as JSON holds it.

    Args:
        chosen: The set.
        distance: Its name.
        extent: Of the field that blur is counted by.
    """
    counted = "" if extent is None else hashlib.sha256(extent.blur_px.numpy().tobytes()).hexdigest()[:16]
    return {"set_sha256": chosen.sha256, "lens": chosen.lens, "distance": distance, "blur_by": counted}


def choose_shown(drawn: Sequence[Drawn], count: int) -> tuple[int, ...]:
    """Numbers of samples for a page of pictures: evenly spread over blur, the least and the most blurred among them.

    Args:
        drawn: Of all samples.
        count: How many at most.
    """
    order = sorted(range(len(drawn)), key=lambda number: (drawn[number].blur_px[1], number))
    if count >= len(order):
        return tuple(order)
    if count <= 1:
        return tuple(order[len(order) // 2 :][:count])
    return tuple(order[round(n * (len(order) - 1) / (count - 1))] for n in range(count))


def find_picture(out: str | os.PathLike[str], method: Method | None, index: int) -> Path:
    """File of a developed result; of the target if there is no method."""
    own = TARGET if method is None else method.fingerprint
    return Path(out) / PICTURES_FOLDER / f"{index:09d}-{own}.png"


def read_shown(path: Path) -> Tensor:
    """A picture that was kept, sRGB from 0 to 1, shape (3, H, W)."""
    with Image.open(path) as picture:
        values = torch.from_numpy(np.asarray(picture.convert("RGB")).copy())
    return values.permute(2, 0, 1).to(torch.float32) / PICTURE_LEVELS


def collect_shown(
    chosen: EvaluationSet, out: str | os.PathLike[str], methods: Sequence[Method], numbers: Sequence[int]
) -> list[Shown]:
    """The pictures that `run_methods` kept, of each name's first network.

    Args:
        chosen: The set.
        out: The run.
        methods: Of the run.
        numbers: The samples that were `shown`.
    """
    firsts = {method.name: method for method in reversed(methods)}
    names = dict.fromkeys(method.name for method in methods)
    found = []
    for number in numbers:
        drawn = chosen.drawn[number]
        results = {name: read_shown(find_picture(out, firsts[name], drawn.index)) for name in names}
        title = f"{drawn.photo} ({drawn.index})\nblur {drawn.blur_px[1]:.1f} px, ISO {drawn.iso:.0f}"
        found.append(Shown(title=title, target=read_shown(find_picture(out, None, drawn.index)), results=results))
    return found


def write_shown(path: Path, srgb: Tensor) -> None:
    """Keep a developed picture, shape (1, 3, H, W), in 8 bits."""
    values = (srgb[0].clamp(0, 1) * PICTURE_LEVELS).round().to(torch.uint8).permute(1, 2, 0)
    content = io.BytesIO()
    Image.fromarray(values.numpy()).save(content, format="png")
    with whole_file(path) as part:
        part.write_bytes(content.getvalue())


def _score_one(
    methods: tuple[Method, ...],
    settings: SynthesisSettings,
    pattern: Pattern,
    distance: str,
    weights: str | None,
    extent: FieldExtent | None,
    job: tuple[int, tuple[Path, str], Path | None],
) -> ScoreRow:
    """One method on one sample, in whatever process."""
    number, place, picture = job
    method, sample = methods[number], read_place(place, settings)
    begun_s = time.process_time()
    found = method.restore(sample)
    time_s = time.process_time() - begun_s
    if not bool(found.isfinite().all()):
        raise InputError(f"{method.name} on sample {sample.drawn.index}", "values that are NaN or infinite", "light")
    if picture is not None:
        write_shown(picture, develop_result(found, sample, pattern))
    return score_sample(
        method,
        sample,
        found,
        time_s,
        pattern=pattern,
        distance=load_table_distance(distance, weights),
        extent=extent,
    )


def _name_job(methods: tuple[Method, ...], job: tuple[int, tuple[Path, str], Path | None]) -> str:
    return f"{methods[job[0]].name} on sample {int(job[1][1])}"


def _write_targets(out: Path, chosen: EvaluationSet, shown: Sequence[int]) -> None:
    for number in shown:
        file = find_picture(out, None, chosen.drawn[number].index)
        if not file.is_file():
            sample = chosen.read_sample(number)
            write_shown(file, develop_result(sample.target, sample, chosen.pattern))


def _sorted(rows: dict[tuple[str, str, int], ScoreRow], methods: Sequence[Method]) -> list[ScoreRow]:
    """Rows in the order of the methods; those of others, measured earlier, behind them."""
    order: dict[tuple[str, str], int] = {}
    for method in methods:
        order.setdefault((method.name, method.fingerprint), len(order))
    last = len(order)
    return [rows[key] for key in sorted(rows, key=lambda key: (order.get(key[:2], last), *key))]


def _read_listed(file: Path, told: bytes) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = json.loads(told)["samples"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(str(file), f"no list of samples ({error})", "what write_samples writes") from error
    return found


def _check_methods(methods: Sequence[Method]) -> None:
    if not methods:
        raise InputError("methods", "none", "at least one")
    seen: set[tuple[str, str]] = set()
    for method in methods:
        key = (method.name, method.fingerprint)
        if key in seen:
            raise InputError(f"method {method.name}", "the same one twice", "each once; seeds are other networks")
        seen.add(key)


def _check_numbers(chosen: EvaluationSet, count: int | None, shown: Sequence[int]) -> list[int]:
    """Numbers of the samples to score."""
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
        raise InputError("count", repr(count), "a whole number from 1, or None for all")
    numbers = list(range(len(chosen)))[:count]
    if not numbers:
        raise InputError(str(chosen.folder), "no samples", "at least one")
    if wrong := [number for number in shown if number not in numbers]:
        raise InputError("shown", wrong[0], f"numbers from 0 to {numbers[-1]}")
    return numbers
