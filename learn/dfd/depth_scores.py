"""How well an estimator did on a scene: numbers, and lines of a CSV file that a run goes on from."""

import csv
import io
import math
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from psf import InputError
from psf.runs import whole_file

from .depth_metrics import measure_depth, measure_risk, measure_thirds
from .estimators import DepthEstimate, DepthEstimator
from .judged_scenes import JudgedScene


@dataclass(frozen=True, kw_only=True)
class DepthScore:
    """One estimator, one scene. NaN where there is nothing to count.

    Attributes:
        method: The estimator's name.
        fingerprint: And its own.
        scene: Kind of the scene.
        key: And its name.
        texture: What it shows.
        true_m: Mean true depth.
        radius: Image height of the window's middle.
        refused: Why the estimator would not have the stack; "" if it did.
        pixels: That were judged.
        mae_m: See `DepthErrors`, and so are those up to `median_m`.
        rmse_m: As there.
        abs_rel: As there.
        sq_rel_m: As there.
        rmse_log: As there.
        delta1: As there.
        delta2: As there.
        delta3: As there.
        mae_dpt: As there.
        rmse_dpt: As there.
        median_m: As there.
        centre_mae_m: In the inner third of image height ...
        middle_mae_m: ... in the middle ...
        corner_mae_m: ... and in the outer.
        centre_pixels: As many there ...
        middle_pixels: ... there ...
        corner_pixels: ... and there.
        edge_mae_m: Within 12 px of an edge in depth, or in a traced scene's band ...
        edge_pixels: ... as many ...
        away_mae_m: ... beyond it ...
        away_pixels: ... as many.
        edge_mae_dpt: In dioptres.
        away_mae_dpt: In dioptres.
        quarter_mae_m: Of the quarter of the pixels that the estimator is surest of ...
        half_mae_m: ... of the surer half ...
        most_mae_m: ... and of three quarters.
        time_s: Processor time of the estimate.
    """

    method: str
    fingerprint: str
    scene: str
    key: str
    texture: str
    true_m: float
    radius: float
    refused: str = ""
    pixels: int = 0
    mae_m: float = math.nan
    rmse_m: float = math.nan
    abs_rel: float = math.nan
    sq_rel_m: float = math.nan
    rmse_log: float = math.nan
    delta1: float = math.nan
    delta2: float = math.nan
    delta3: float = math.nan
    mae_dpt: float = math.nan
    rmse_dpt: float = math.nan
    median_m: float = math.nan
    centre_mae_m: float = math.nan
    middle_mae_m: float = math.nan
    corner_mae_m: float = math.nan
    centre_pixels: int = 0
    middle_pixels: int = 0
    corner_pixels: int = 0
    edge_mae_m: float = math.nan
    edge_pixels: int = 0
    away_mae_m: float = math.nan
    away_pixels: int = 0
    edge_mae_dpt: float = math.nan
    away_mae_dpt: float = math.nan
    quarter_mae_m: float = math.nan
    half_mae_m: float = math.nan
    most_mae_m: float = math.nan
    time_s: float = math.nan


COLUMNS: dict[str, Any] = {one.name: one.type for one in fields(DepthScore)}


def judge_scene(estimator: DepthEstimator, scene: JudgedScene) -> tuple[DepthScore, DepthEstimate | None]:
    """Estimate the depth of a scene, and say how far off it is.

    An estimator may refuse a path-traced scene, which another camera took; any other refusal is an error.

    Args:
        estimator: Told nothing of the truth; of a scene's own fields, where it has some.
        scene: Photographed.
    """
    told: dict[str, Any] = {
        "method": estimator.name,
        "fingerprint": estimator.fingerprint,
        "scene": scene.spec.kind,
        "key": scene.spec.key,
        "texture": scene.texture,
        "true_m": float(scene.depth_m[scene.judged].mean()) if bool(scene.judged.any()) else math.nan,
        "radius": float(scene.stack.radius.flatten().median()),
    }
    try:
        own = estimator if scene.fields is None else estimator.for_camera(scene.fields)
        begun_s = time.process_time()
        found = own.estimate(scene.stack)
        time_s = time.process_time() - begun_s
    except InputError as error:
        if scene.fields is None:
            raise InputError(
                f"{estimator.name} on {scene.spec.key}: {error.where}", error.found, error.expected
            ) from error
        return DepthScore(**told, refused=str(error)), None
    found_m, true_m, judged = found.depth_m.cpu(), scene.depth_m, scene.judged
    if found_m.shape != true_m.shape or not bool((found_m.isfinite() & (found_m > 0)).all()):
        expected = f"finite depths above 0 of shape {tuple(true_m.shape)}"
        raise InputError(f"{estimator.name} on {scene.spec.key}", f"shape {tuple(found_m.shape)}", expected)
    numbers: dict[str, Any] = measure_depth(found_m, true_m, judged).to_json()
    parts = zip(
        ("centre", "middle", "corner"), measure_thirds(found_m, true_m, scene.stack.radius, judged), strict=True
    )
    for name, errors in parts:
        numbers |= {f"{name}_mae_m": errors.mae_m, f"{name}_pixels": errors.pixels}
    if scene.near_edge is not None:
        for name, mask in (("edge", scene.near_edge), ("away", ~scene.near_edge)):
            errors = measure_depth(found_m, true_m, judged & mask)
            numbers |= {
                f"{name}_mae_m": errors.mae_m,
                f"{name}_mae_dpt": errors.mae_dpt,
                f"{name}_pixels": errors.pixels,
            }
    risk_m = measure_risk(found_m, true_m, found.confidence.cpu(), judged)
    numbers |= dict(zip(("quarter_mae_m", "half_mae_m", "most_mae_m"), risk_m, strict=False))
    return DepthScore(**told, **numbers, time_s=time_s), found


def write_scores(scores: Iterable[DepthScore], path: str | os.PathLike[str]) -> None:
    """Write lines of CSV.

    Args:
        scores: In order.
        path: The file.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in scores:
        values = [getattr(one, name) for name in COLUMNS]
        writer.writerow([_word(value) for value in values])
    with whole_file(path) as part:
        part.write_text(text.getvalue(), encoding="utf-8", newline="")


def read_scores(path: str | os.PathLike[str]) -> list[DepthScore]:
    """What `write_scores` wrote.

    Args:
        path: The file.
    """
    file = Path(path)
    with file.open(encoding="utf-8", newline="") as opened:
        reader = csv.DictReader(opened)
        if tuple(reader.fieldnames or ()) != tuple(COLUMNS):
            raise InputError(str(file), "other columns", ", ".join(list(COLUMNS)[:4]) + " ... of a run's scores")
        try:
            return [DepthScore(**{name: _read(name, word) for name, word in row.items()}) for row in reader]
        except (TypeError, ValueError) as error:
            raise InputError(str(file), f"a line that cannot be read ({error})", "what a run wrote") from error


def _word(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(value)
    return str(value)


def _read(name: str, word: str) -> Any:
    kind = COLUMNS[name]
    if kind is float:
        return math.nan if word == "" else float(word)
    return int(word) if kind is int else word
