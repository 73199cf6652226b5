"""Scores as a table: for every method and kind of scene the means, with what seeds make of them."""

import csv
import io
import math
import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from psf import InputError
from psf.runs import whole_file

from .depth_scores import DepthScore

# Means over scenes of one number each, and those that are weighed by how many pixels they stand for.
PLAIN = ("mae_m", "abs_rel", "sq_rel_m", "rmse_log", "delta1", "delta2", "delta3", "mae_dpt", "median_m")
ROOTED = ("rmse_m", "rmse_dpt")
RISKS = ("quarter_mae_m", "half_mae_m", "most_mae_m")
WEIGHED = {
    "centre_mae_m": "centre_pixels",
    "middle_mae_m": "middle_pixels",
    "corner_mae_m": "corner_pixels",
    "edge_mae_m": "edge_pixels",
    "away_mae_m": "away_pixels",
    "edge_mae_dpt": "edge_pixels",
    "away_mae_dpt": "away_pixels",
}
NUMBERS = (*PLAIN, *ROOTED, *WEIGHED, *RISKS, "time_s")
SHOWN = ("mae_m", "median_m", "rmse_m", "abs_rel", "delta1", "mae_dpt", "rmse_dpt", "centre_mae_m", "middle_mae_m",
         "corner_mae_m", "edge_mae_m", "away_mae_m", "half_mae_m")  # fmt: skip


@dataclass(frozen=True)
class DepthRow:
    """A method on one kind of scene.

    Attributes:
        method: Its name.
        scene: The kind.
        seeds: Networks of that name.
        scenes: That each has judged.
        refused: That it would not have.
        means: By name, over scenes, then over seeds; NaN where there is nothing.
        spreads: Standard deviation over seeds; NaN for one.
    """

    method: str
    scene: str
    seeds: int
    scenes: int
    refused: int
    means: dict[str, float]
    spreads: dict[str, float]


def summarise(scores: Sequence[DepthScore]) -> list[DepthRow]:
    """Rows in the order in which methods and kinds of scenes come.

    Args:
        scores: Of any number of methods.
    """
    if not scores:
        raise InputError("scores", "none", "at least one")
    rows = []
    for scene in dict.fromkeys(one.scene for one in scores):
        for method in dict.fromkeys(one.method for one in scores):
            own = [one for one in scores if (one.scene, one.method) == (scene, method)]
            prints = list(dict.fromkeys(one.fingerprint for one in own))
            if not own:
                continue
            judged = [[one for one in own if one.fingerprint == key and not one.refused] for key in prints]
            found = [{name: _mean(name, some) for name in NUMBERS} for some in judged]
            means = {name: _average([one[name] for one in found]) for name in NUMBERS}
            spreads = {name: _spread([one[name] for one in found]) for name in NUMBERS}
            refused = sum(bool(one.refused) for one in own) // len(prints)
            rows.append(DepthRow(method, scene, len(prints), max(map(len, judged)), refused, means, spreads))
    return rows


def format_table(rows: Sequence[DepthRow]) -> str:
    """The table as text, a block for each kind of scene.

    Args:
        rows: As `summarise` gives them.
    """
    lines = []
    heads = [name.replace("_mae_m", "").replace("_", " ") for name in SHOWN]
    wide = max(24, *(len(one.method) for one in rows))
    for scene in dict.fromkeys(one.scene for one in rows):
        lines.append(f"{scene:{wide}} scenes seeds " + " ".join(f"{head:>9}" for head in heads))
        for row in (one for one in rows if one.scene == scene):
            numbers = " ".join("        -" if math.isnan(row.means[n]) else f"{row.means[n]:9.4f}" for n in SHOWN)
            told = f"  +- {row.spreads['mae_m']:.4f}" if row.seeds > 1 else ""
            refused = f"  ({row.refused} refused)" if row.refused else ""
            lines.append(f"{row.method:{wide}} {row.scenes:6d} {row.seeds:5d} {numbers}{told}{refused}")
    return "\n".join(lines)


def write_table(rows: Sequence[DepthRow], path: str | os.PathLike[str]) -> None:
    """The table as CSV, with a spread over seeds behind each number.

    Args:
        rows: As `summarise` gives them.
        path: The file.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["method", "scene", "seeds", "scenes", "refused", *(n for one in NUMBERS for n in (one, f"{one}_sd"))]
    )
    for row in rows:
        numbers = [value for name in NUMBERS for value in (row.means[name], row.spreads[name])]
        words = ["" if math.isnan(value) else f"{value:.6g}" for value in numbers]
        writer.writerow([row.method, row.scene, row.seeds, row.scenes, row.refused, *words])
    with whole_file(path) as part:
        part.write_text(text.getvalue(), encoding="utf-8", newline="")


def _mean(name: str, scores: Sequence[DepthScore]) -> float:
    """Of one method and seed over scenes; roots are taken after the mean of squares."""
    values = [float(getattr(one, name)) for one in scores]
    if name in ROOTED:
        return math.sqrt(_average([value**2 for value in values]))
    if name in WEIGHED:
        counts = [int(getattr(one, WEIGHED[name])) for one in scores]
        pairs = [(value, count) for value, count in zip(values, counts, strict=True) if count]
        total = sum(count for _, count in pairs)
        return math.fsum(value * count for value, count in pairs) / total if total else math.nan
    return _average(values)


def _average(values: Sequence[float]) -> float:
    return _of_known(values, statistics.fmean)


def _spread(values: Sequence[float]) -> float:
    return _of_known(values, statistics.stdev, least=2)


def _of_known(values: Sequence[float], function: Callable[[list[float]], float], *, least: int = 1) -> float:
    known = [one for one in values if not math.isnan(one)]
    return function(known) if len(known) >= least else math.nan
