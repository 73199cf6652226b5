"""What a restorer makes of the planes that it is told: the same pictures restored under another place and another ISO.

    python benchmarks/plane_worth.py EVAL --model RUN/network.pt [--ridge BANK.pt] [--out table.csv]

EVAL is a set of `python -m learn.deblur make-eval`. Every picture is restored as it was taken, as if it came from the
sensor's middle, from its corner, and with the planes of half and of twice its ISO. The first row's PSNR stands alone,
the others' as paired differences to it: what is lost by a lie is what the truth was worth to this restorer.
"""

import csv
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro

from learn.deblur.evaluation import open_evaluation
from learn.deblur.methods import Method, load_ridge, load_trained
from learn.deblur.scoring import develop_result
from learn.metrics import find_psnr_db
from learn.samples import Sample
from psf import InputError
from psf.command_line import run_command
from psf.runs import whole_file


@dataclass(frozen=True)
class Args:
    """Restore an evaluation set under true and false planes."""

    set: tyro.conf.Positional[Path]
    """An evaluation set."""
    model: tuple[Path, ...] = ()
    """RUN/network.pt of trained networks that are told planes."""
    ridge: tuple[Path, ...] = ()
    """Banks of python -m learn.deblur fit-ridge with planes."""
    count: int | None = None
    """So many pictures (all)."""
    out: Path | None = None
    """A CSV file."""


def move_to_middle(sample: Sample) -> Sample:
    """The same picture, said to come from the sensor's middle."""
    height, width = (2 * side for side in sample.target.shape[-2:])
    rows, columns = sample.image_shape_px
    x0_px, y0_px = (columns - width) // 4 * 2, (rows - height) // 4 * 2
    return replace(sample, drawn=replace(sample.drawn, window_px=(x0_px, y0_px)))


def move_to_corner(sample: Sample) -> Sample:
    """The same picture, said to come from the sensor's first pixels."""
    return replace(sample, drawn=replace(sample.drawn, window_px=(0, 0)))


def scale_iso(sample: Sample, factor: float) -> Sample:
    """The same picture, said to have been taken at another ISO: shot noise goes with it, read noise with its square."""
    drawn = replace(sample.drawn, iso=sample.drawn.iso * factor)
    return replace(sample, drawn=drawn, shot=sample.shot * factor, read=sample.read * factor**2)


TOLD: dict[str, Callable[[Sample], Sample]] = {
    "as it was taken": lambda sample: sample,
    "the sensor's middle": move_to_middle,
    "the sensor's corner": move_to_corner,
    "half the ISO": lambda sample: scale_iso(sample, 0.5),
    "twice the ISO": lambda sample: scale_iso(sample, 2.0),
}


def main(args: Args) -> None:
    torch.set_num_threads(1)
    chosen = open_evaluation(args.set)
    methods: list[Method] = [load_trained(path, name=str(path)) for path in args.model]
    methods += [load_ridge(path, name=str(path)) for path in args.ridge]
    if not methods:
        raise InputError("--model, --ridge", "neither", "at least one restorer")
    count = len(chosen) if args.count is None else min(args.count, len(chosen))
    found = torch.zeros(len(methods), len(TOLD), count, dtype=torch.float64)
    for index in range(count):
        sample = chosen.read_sample(index)
        target = develop_result(sample.target, sample, chosen.pattern)
        for row, method in enumerate(methods):
            for column, tell in enumerate(TOLD.values()):
                with torch.no_grad():
                    restored = develop_result(method.restore(tell(sample)), sample, chosen.pattern)
                found[row, column, index] = float(find_psnr_db(restored, target))
    rows = [["restorer", "told", "psnr_db", "difference_db", "error_db"]]
    for row, method in enumerate(methods):
        for column, told in enumerate(TOLD):
            change = found[row, column] - found[row, 0]
            error = float(change.std()) / count**0.5 if count > 1 else 0.0
            rows.append(
                [method.name, told, f"{found[row, column].mean():.3f}", f"{change.mean():+.3f}", f"{error:.3f}"]
            )
    wide = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    print(f"{count} pictures of {chosen.lens}; differences are paired, errors standard errors over pictures")
    for line in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, wide, strict=True)).rstrip())
    if args.out is not None:
        with whole_file(args.out) as part, part.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(tyro.cli(Args, description=__doc__))))
