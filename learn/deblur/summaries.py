"""From scores to tables: means, standard errors over pictures and over seeds, paired differences, bins.

    table = summarise(rows, methods, distance="lite0", reference="input")
    print(format_table(table)); write_table(table, "OUT/table.csv"); write_bins(table, "OUT/bins.csv")

Several networks of one name are seeds of one row: a picture's number is then the mean over them. Standard errors over
pictures treat these as drawn at random and the networks as given; those over seeds the other way round. Differences are
paired: of the same pictures, whose own ease or difficulty is left out that way.
"""

import csv
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from psf import InputError
from psf.runs import whole_file

from .methods import Method
from .scoring import BINNED, BLUR_BINS, BLUR_EDGES_PX, ScoreRow

INPUT = "input"
# Fewer pixels than these of a picture say nothing of a bin.
LEAST_PIXELS = 1024


@dataclass(frozen=True)
class Kind:
    """One way to sort pictures into bins.

    Attributes:
        name: Of the kind, with its unit.
        edges: Where bins begin; the last has no end.
        labels: Of the bins.
        value: Of a picture.
    """

    name: str
    edges: tuple[float, ...]
    labels: tuple[str, ...]
    value: Callable[[ScoreRow], float]


KINDS = (
    Kind("blur_px", BLUR_EDGES_PX, BLUR_BINS, lambda row: row.blur_px),
    Kind("iso", (0.0, 400.0, 1600.0), ("below 400", "400-1600", "from 1600"), lambda row: row.iso),
    Kind("radius", (0.0, 1 / 3, 2 / 3), ("0-1/3", "1/3-2/3", "over 2/3"), lambda row: row.radius),
    Kind("depth_spread_dpt", (0.0, 0.5, 2.0), ("0-0.5", "0.5-2", "over 2"), lambda row: row.depth_spread_dpt),
)
# Not a sorting of pictures: each counts in every bin that it has pixels in.
BY_PIXEL = "blur_of_pixels_px"


@dataclass(frozen=True)
class Estimate:
    """A mean with its standard error.

    Attributes:
        mean: NaN of nothing.
        error: Of the mean, over pictures; NaN of fewer than two.
        count: Pictures behind it.
    """

    mean: float
    error: float
    count: int


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row of the table.

    Attributes:
        method: Its name.
        takes: "RAW" or "RGB".
        knows: What it is told besides.
        note: What the row says besides.
        networks: How many seeds.
        psnr_db: Mean over pictures.
        psnr_seed_error_db: Standard error over seeds; NaN of one.
        ssim: Mean over pictures.
        distance: Mean over pictures; NaN if none was measured.
        gain_db: Over the input, paired.
        difference_db: To the reference, paired.
        difference_seed_error_db: Of it, over seeds; those of a reference of as many seeds are taken pair by pair.
        time_s: Median processor time of a picture.
        bins: Gain over the input by (kind, bin), paired.
        bin_differences: To the reference, likewise.
    """

    method: str
    takes: str
    knows: tuple[str, ...]
    note: str
    networks: int
    psnr_db: Estimate
    psnr_seed_error_db: float
    ssim: Estimate
    distance: Estimate
    gain_db: Estimate
    difference_db: Estimate
    difference_seed_error_db: float
    time_s: float
    bins: Mapping[tuple[str, str], Estimate]
    bin_differences: Mapping[tuple[str, str], Estimate]


@dataclass(frozen=True)
class Table:
    """All rows.

    Attributes:
        lines: In the order of the methods.
        distance: Name of the perceptual distance, "none" if there is none.
        reference: Method that differences are to.
    """

    lines: tuple[Line, ...]
    distance: str
    reference: str

    @property
    def is_lpips(self) -> bool:
        """Whether the distance may be called LPIPS."""
        return self.distance.startswith("lpips-")


Scores = dict[str, dict[str, dict[int, ScoreRow]]]  # by method, by network, by picture


def summarise(
    rows: Sequence[ScoreRow], methods: Sequence[Method], *, distance: str = "none", reference: str = INPUT
) -> Table:
    """A table of scores.

    Args:
        rows: Of these methods.
        methods: In the order of the table.
        distance: Name of the perceptual distance in the rows.
        reference: Method that differences are to; gains are over the one that is called "input", if there is one.
    """
    scores: Scores = {}
    for method in methods:
        scores.setdefault(method.name, {}).setdefault(method.fingerprint, {})
    for row in rows:
        if row.fingerprint not in scores.get(row.method, {}):
            raise InputError(f"rows ({row.method})", f"fingerprint {row.fingerprint!r}", "one of the methods")
        scores[row.method][row.fingerprint][row.index] = row
    if reference not in scores:
        raise InputError("reference", repr(reference), "one of " + ", ".join(scores))
    lines = []
    for name, networks in scores.items():
        first = next(method for method in methods if method.name == name)
        notes = dict.fromkeys(method.note for method in methods if method.name == name)
        pictures = _mean_over_seeds(networks, _take_psnr)
        seeds = [_mean(list(_read(own, _take_psnr).values())) for own in networks.values() if own]
        apart = _list_seed_differences(networks, scores[reference])
        lines.append(
            Line(
                method=name,
                takes=first.takes,
                knows=first.knows,
                note="; ".join(note for note in notes if note),
                networks=len(networks),
                psnr_db=estimate(list(pictures.values())),
                psnr_seed_error_db=estimate(seeds).error,
                ssim=estimate(list(_mean_over_seeds(networks, lambda row: row.ssim).values())),
                distance=estimate(list(_mean_over_seeds(networks, lambda row: row.distance).values())),
                gain_db=_compare(networks, scores.get(INPUT)),
                difference_db=_compare(networks, scores[reference]),
                difference_seed_error_db=estimate(apart).error,
                time_s=_median([row.time_s for own in networks.values() for row in own.values()]),
                bins=_compare_bins(networks, scores.get(INPUT)),
                bin_differences=_compare_bins(networks, scores[reference]),
            )
        )
    return Table(tuple(lines), distance, reference)


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and standard error of some numbers; those that are NaN are left out."""
    found = [value for value in values if not math.isnan(value)]
    if not found:
        return Estimate(math.nan, math.nan, 0)
    mean = _mean(found)
    if len(found) == 1:
        return Estimate(mean, math.nan, 1)
    variance = sum((value - mean) ** 2 for value in found) / (len(found) - 1)
    return Estimate(mean, math.sqrt(variance / len(found)), len(found))


def _compare(networks: Mapping[str, dict[int, ScoreRow]], others: Mapping[str, dict[int, ScoreRow]] | None) -> Estimate:
    """Difference in PSNR, paired by picture."""
    return estimate(list(_pair(networks, others, _take_psnr).values()))


def _pair(
    networks: Mapping[str, dict[int, ScoreRow]],
    others: Mapping[str, dict[int, ScoreRow]] | None,
    take: Callable[[ScoreRow], float],
) -> dict[int, float]:
    """Difference of a number, by picture."""
    one, two = _mean_over_seeds(networks, take), _mean_over_seeds(others or {}, take)
    return {index: one[index] - two[index] for index in one if index in two}


def _compare_bins(
    networks: Mapping[str, dict[int, ScoreRow]], others: Mapping[str, dict[int, ScoreRow]] | None
) -> dict[tuple[str, str], Estimate]:
    """Differences in PSNR, in every bin of every kind, and by pixel."""
    found: dict[tuple[str, str], Estimate] = {}
    differences = _pair(networks, others, _take_psnr)
    pictures = {index: row for own in networks.values() for index, row in own.items()}
    for kind in KINDS:
        sorted_in: dict[str, list[float]] = {label: [] for label in kind.labels}
        for index, difference in differences.items():
            sorted_in[find_label(kind, pictures[index])].append(difference)
        found |= {(kind.name, label): estimate(values) for label, values in sorted_in.items()}
    for number, label in enumerate(BLUR_BINS):
        found[BY_PIXEL, label] = estimate(list(_pair(networks, others, _take_level(number)).values()))
    return found


def find_label(kind: Kind, row: ScoreRow) -> str:
    """The bin that a picture belongs to."""
    return kind.labels[max(0, sum(kind.value(row) >= edge for edge in kind.edges) - 1)]


def _list_seed_differences(
    networks: Mapping[str, dict[int, ScoreRow]], others: Mapping[str, dict[int, ScoreRow]]
) -> list[float]:
    """Mean difference to the reference, per seed; seed by seed where both have as many."""
    mine, theirs = list(networks.values()), list(others.values())
    pairs = zip(mine, theirs, strict=True) if len(mine) == len(theirs) else ((one, None) for one in mine)
    found = []
    for one, two in pairs:
        against = others if two is None else {"": two}
        found.append(_compare({"": one}, against).mean)
    return found


def _mean_over_seeds(
    networks: Mapping[str, dict[int, ScoreRow]], take: Callable[[ScoreRow], float]
) -> dict[int, float]:
    """A number per picture: the mean over those networks that have it, if all of them do."""
    each = [_read(own, take) for own in networks.values()]
    common = set.intersection(*(set(one) for one in each)) if each else set()
    return {index: _mean([one[index] for one in each]) for index in sorted(common)}


def _read(own: Mapping[int, ScoreRow], take: Callable[[ScoreRow], float]) -> dict[int, float]:
    return {index: take(row) for index, row in own.items()}


def _take_psnr(row: ScoreRow) -> float:
    return row.psnr_db


def _take_level(number: int) -> Callable[[ScoreRow], float]:
    """PSNR over the pixels of one bin; NaN where there are hardly any."""

    def take(row: ScoreRow) -> float:
        if row.pixels[number] < LEAST_PIXELS:
            return math.nan
        return -10 * math.log10(max(row.squared_errors[number], 1e-10))

    return take


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2 if ordered else math.nan


def write_table(table: Table, path: str | os.PathLike[str]) -> None:
    """Write one row per method as CSV, whole or not at all; LPIPS stays empty where it was not measured.

    Args:
        table: What to write.
        path: The file.
    """
    rows = [list(_tell_line(table, table.lines[0]))] if table.lines else []
    _write_csv([*rows, *(list(_tell_line(table, line).values()) for line in table.lines)], path)


def write_bins(table: Table, path: str | os.PathLike[str]) -> None:
    """Write one row per method, kind of bin and bin as CSV: gain over the input and difference to the reference.

    Args:
        table: What to write.
        path: The file.
    """
    heads = ["method", "by", "bin", "pictures", "gain_db", "gain_error_db", "reference", "difference_db"]
    rows: list[list[str]] = [[*heads, "difference_error_db"]]
    for line in table.lines:
        for (kind, label), gain in line.bins.items():
            apart = line.bin_differences[kind, label]
            gains, others = (_number(gain.mean), _number(gain.error)), (_number(apart.mean), _number(apart.error))
            rows.append([line.method, kind, label, str(max(gain.count, apart.count)), *gains, table.reference, *others])
    _write_csv(rows, path)


def format_table(table: Table) -> str:
    """The table as text for a terminal."""
    distance = "LPIPS" if table.is_lpips else table.distance
    heads = ["method", "takes", "knows", "n", "PSNR dB", "SSIM", distance, "gain dB"]
    heads += [f"{label} px" for label in BLUR_BINS] + [f"pixels {label}" for label in BLUR_BINS]
    has_reference = table.reference != INPUT
    rows = [heads + ([f"to {table.reference}"] if has_reference else []) + ["s"]]
    for line in table.lines:
        seeds = f" ({line.networks} seeds +-{line.psnr_seed_error_db:.2f})" if line.networks > 1 else ""
        row = [line.method, line.takes, ", ".join(line.knows) or "nothing", str(line.psnr_db.count)]
        row += [f"{_pm(line.psnr_db)}{seeds}", _plain(line.ssim.mean, 4)]
        row += ["" if table.distance == "none" else _plain(line.distance.mean, 4), _pm(line.gain_db, True)]
        for kind in ("blur_px", BY_PIXEL):
            row += [_pm(line.bins[kind, label], True) for label in BLUR_BINS]
        if has_reference:
            apart = _pm(line.difference_db, True)
            row.append(apart + (f" (seeds +-{line.difference_seed_error_db:.2f})" if seeds else ""))
        rows.append([*row, _plain(line.time_s, 2)])
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    text.insert(1, "-" * len(text[0]))
    notes = [f"{line.method}: {line.note}" for line in table.lines if line.note]
    told = "+-: standard error over pictures. Gains by blur: of pictures by their median, and of pixels by their own."
    return "\n".join([*text, "", told, *notes])


def _tell_line(table: Table, line: Line) -> dict[str, str]:
    """A row of the file, by heads."""
    stand_in = "" if table.is_lpips or table.distance == "none" else table.distance
    told = {
        "method": line.method,
        "takes": line.takes,
        "knows": " ".join(line.knows),
        "note": line.note,
        "networks": str(line.networks),
        "pictures": str(line.psnr_db.count),
        "psnr_db": _number(line.psnr_db.mean),
        "psnr_error_db": _number(line.psnr_db.error),
        "psnr_seed_error_db": _number(line.psnr_seed_error_db),
        "ssim": _number(line.ssim.mean),
        "ssim_error": _number(line.ssim.error),
        "lpips": _number(line.distance.mean) if table.is_lpips else "",
        "lpips_name": table.distance if table.is_lpips else "",
        "stand_in": _number(line.distance.mean) if stand_in else "",
        "stand_in_name": stand_in,
        "gain_db": _number(line.gain_db.mean),
        "gain_error_db": _number(line.gain_db.error),
        "reference": table.reference,
        "difference_db": _number(line.difference_db.mean),
        "difference_error_db": _number(line.difference_db.error),
        "difference_seed_error_db": _number(line.difference_seed_error_db),
    }
    for kind, word in (("blur_px", "gain"), (BY_PIXEL, "gain_of_pixels")):
        for label, name in zip(BLUR_BINS, BINNED, strict=True):
            told[f"{word}_{name}_px_db"] = _number(line.bins[kind, label].mean)
            told[f"{word}_{name}_px_error_db"] = _number(line.bins[kind, label].error)
    return told | {"time_s": _number(line.time_s)}


def _write_csv(rows: Sequence[Sequence[str]], path: str | os.PathLike[str]) -> None:
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.5g}"


def _plain(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def _pm(found: Estimate, signed: bool = False) -> str:
    if math.isnan(found.mean):
        return ""
    mean = f"{found.mean:+.2f}" if signed else f"{found.mean:.2f}"
    return mean if math.isnan(found.error) else f"{mean} +-{found.error:.2f}"
