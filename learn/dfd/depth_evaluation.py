"""Estimators on scenes, resumable: a line for each pair, and the maps of some scenes to look at.

OUT/run.json             the scenes: camera, settings, numbers
OUT/scores.csv           a line for each estimator and scene
OUT/maps/KEY-*.npz       pictures, truth and estimates of the scenes that are shown
"""

import hashlib
import io
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from psf import InputError
from psf.jobs import Progress, stream_jobs
from psf.runs import begin_run, whole_file

from .depth_scores import DepthScore, judge_scene, read_scores, write_scores
from .estimators import DepthEstimator
from .judged_scenes import SceneSpec, photograph_scene
from .stack_synthesis import StackSynthesis

SCORES_FILE, MAPS_FOLDER = "scores.csv", "maps"
# Scores are written at most so often; a run that is killed loses this and what was in work.
SAVE_EVERY_S = 2.0


@dataclass(frozen=True, eq=False, kw_only=True)
class ShownScene:
    """A scene to look at.

    Attributes:
        key: Its name.
        first: The picture of the nearest focus, as recorded, shape (3, h, w).
        last: That of the farthest, shape (3, h, w).
        true_m: Shape (1, h, w).
        found_m: By fingerprint, shape (1, h, w) each.
    """

    key: str
    first: Tensor
    last: Tensor
    true_m: Tensor
    found_m: Mapping[str, Tensor]


def run_estimators(
    estimators: Sequence[DepthEstimator],
    synthesis: StackSynthesis,
    specs: Sequence[SceneSpec],
    out: str | os.PathLike[str],
    *,
    shown: Sequence[str] = (),
    workers: int | None = None,
    on_progress: Progress | None = None,
) -> list[DepthScore]:
    """Judge every estimator on every scene, those that are not done yet.

    Args:
        estimators: The rows of the table; several of one name are seeds.
        synthesis: The camera that is the truth, and how it records.
        specs: The scenes.
        out: New, empty, or of a run over the same scenes.
        shown: Keys of the scenes whose maps are kept.
        workers: Processes, of one thread each; by default one per core, 0: none but this one.
        on_progress: Called with (scores done, scores in all), those that were there among them.

    Returns:
        Scores of these estimators and scenes, estimator by estimator.
    """
    _check(estimators, specs, shown)
    place = Path(out)
    begin_run(place, describe_scenes(synthesis, specs))
    (place / MAPS_FOLDER).mkdir(exist_ok=True)
    file = place / SCORES_FILE
    current = [(one.name, one.fingerprint) for one in estimators]
    names = {one.name for one in estimators}
    kept: dict[tuple[str, str, str], DepthScore] = {}
    for score in read_scores(file) if file.is_file() else []:
        if score.method not in names or (score.method, score.fingerprint) in current:
            kept[score.method, score.fingerprint, score.key] = score
    jobs = []
    for spec in specs:
        todo = tuple(
            n
            for n, (name, fingerprint) in enumerate(current)
            if (name, fingerprint, spec.key) not in kept
            or (spec.key in shown and not find_map(place, spec.key, fingerprint).is_file())
        )
        if todo:
            jobs.append((spec, todo))
    total = len(specs) * len(estimators)
    done = total - sum(len(todo) for _, todo in jobs)
    if on_progress and done:
        on_progress(done, total)
    work = partial(_judge_one, tuple(estimators), synthesis, place, tuple(shown))
    saved_s = time.monotonic()
    try:
        for _, outcome in stream_jobs(work, jobs, workers=workers, name_of=_name_job):
            found: Any = outcome
            for score in found:
                kept[score.method, score.fingerprint, score.key] = score
            done += len(found)
            if time.monotonic() - saved_s > SAVE_EVERY_S:
                write_scores(kept.values(), file)
                saved_s = time.monotonic()
            if on_progress:
                on_progress(done, total)
    finally:
        write_scores(_sort(kept, current, specs), file)
    keys = {spec.key for spec in specs}
    return [one for one in _sort(kept, current, specs) if (one.method, one.fingerprint) in current and one.key in keys]


def describe_scenes(synthesis: StackSynthesis, specs: Sequence[SceneSpec]) -> dict[str, Any]:
    """What the scores in a folder depend on, as JSON holds it.

    Args:
        synthesis: The camera.
        specs: The scenes.
    """
    listed = []
    for spec in specs:
        told = asdict(spec)
        told["file"] = None if spec.file is None else _hash_file(spec.file)
        listed.append(told)
    return {"stacks": synthesis.describe(), "scenes": listed}


def find_map(out: Path, key: str, fingerprint: str) -> Path:
    """File of an estimate; of pictures and truth for the fingerprint "truth"."""
    return out / MAPS_FOLDER / f"{key}-{fingerprint}.npz"


def read_shown(out: str | os.PathLike[str], key: str, fingerprints: Sequence[str]) -> ShownScene:
    """A scene that `run_estimators` kept.

    Args:
        out: Of the run.
        key: Of the scene.
        fingerprints: Of the estimators; one that refused the scene is left out.
    """
    place = Path(out)
    with np.load(find_map(place, key, "truth")) as held:
        first, last, true_m = (torch.from_numpy(held[name]) for name in ("first", "last", "true_m"))
    found = {}
    for one in fingerprints:
        with np.load(find_map(place, key, one)) as held:
            if held["found_m"].size:
                found[one] = torch.from_numpy(held["found_m"])
    return ShownScene(key=key, first=first, last=last, true_m=true_m, found_m=found)


def choose_shown(specs: Sequence[SceneSpec], count: int) -> tuple[str, ...]:
    """Keys of scenes to look at: as many of each kind as can be, evenly spread.

    Args:
        specs: Of all scenes.
        count: How many at most.
    """
    kinds = list(dict.fromkeys(spec.kind for spec in specs))
    found = []
    for n, kind in enumerate(kinds):
        own = [spec.key for spec in specs if spec.kind == kind]
        share = min(len(own), count // len(kinds) + (n < count % len(kinds)))
        found += [own[(2 * k + 1) * len(own) // (2 * share)] for k in range(share)]
    return tuple(found)


def _judge_one(
    estimators: tuple[DepthEstimator, ...],
    synthesis: StackSynthesis,
    out: Path,
    shown: tuple[str, ...],
    job: tuple[SceneSpec, tuple[int, ...]],
) -> list[DepthScore]:
    """One scene by some estimators, in whatever process."""
    spec, numbers = job
    scene = photograph_scene(synthesis, spec)
    if spec.key in shown:
        pictures = scene.stack.pictures
        arrays = {"first": pictures[0], "last": pictures[-1], "true_m": scene.depth_m}
        _write_arrays(find_map(out, spec.key, "truth"), arrays)
    scores = []
    for n in numbers:
        score, found = judge_scene(estimators[n], scene)
        scores.append(score)
        if spec.key in shown:
            map_m = torch.empty(0) if found is None else found.depth_m.cpu()
            _write_arrays(find_map(out, spec.key, estimators[n].fingerprint), {"found_m": map_m})
    return scores


def _name_job(job: tuple[SceneSpec, tuple[int, ...]]) -> str:
    return job[0].key


def _write_arrays(path: Path, arrays: Mapping[str, Tensor]) -> None:
    content = io.BytesIO()
    plain: dict[str, Any] = {name: values.float().numpy() for name, values in arrays.items()}
    np.savez_compressed(content, **plain)
    with whole_file(path) as part:
        part.write_bytes(content.getvalue())


def _sort(
    scores: Mapping[tuple[str, str, str], DepthScore], current: Sequence[tuple[str, str]], specs: Sequence[SceneSpec]
) -> list[DepthScore]:
    """In the order of estimators and scenes; those of others, measured earlier, behind them."""
    order = {one: n for n, one in reversed(list(enumerate(current)))}
    place = {spec.key: n for n, spec in enumerate(specs)}
    rank = {key: (order.get(key[:2], len(order)), key[:2], place.get(key[2], len(place)), key[2]) for key in scores}
    return [scores[key] for key in sorted(scores, key=lambda key: rank[key])]


def _hash_file(file: Path) -> str:
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _check(estimators: Sequence[DepthEstimator], specs: Sequence[SceneSpec], shown: Sequence[str]) -> None:
    if not estimators:
        raise InputError("estimators", "none", "at least one")
    seen: set[tuple[str, str]] = set()
    for one in estimators:
        if (key := (one.name, one.fingerprint)) in seen:
            raise InputError(f"method {one.name}", "the same one twice", "each once; seeds are other networks")
        seen.add(key)
    keys = [spec.key for spec in specs]
    if not keys or len(set(keys)) != len(keys):
        raise InputError("specs", "none" if not keys else "a scene twice", "scenes, each once")
    if wrong := sorted(set(shown) - set(keys)):
        raise InputError("shown", wrong[0], "keys of the scenes")
