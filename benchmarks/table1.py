"""The paper's first table, at the scale of a CPU: restorers of near-range blur, each trained with equal steps.

    python benchmarks/table1.py PHOTOS -o FOLDER                  all rows; one that was stopped goes on
    python benchmarks/table1.py PHOTOS -o FOLDER --rows ours raw  some of them
    python benchmarks/table1.py PHOTOS -o FOLDER --full           the full-scale recipe, on GPUs

All are judged on one set of 48 pictures of 512 x 512 px that share neither photographer nor package with those of the
training: the bundled f/2.2 lens at 1.16 um, 10 cm to infinity, ISO 100 to 3200, every pixel its own kernel of 65 px.
Results: FOLDER/table1/table.csv (a row for each method), bins.csv (gain by blur), scores.csv, page.png, bins.png.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from restoration_runs import GROUPS, OURS, RECIPES, Row, Runs

from psf.command_line import run_command

LENS_DPT = ("0.4", "1.1", "2", "3.4", "5.6", "9")  # blurs of 5 to 41 px, each half as large again as the last
ROWS = (
    OURS,
    Row("RAW-ISO-Field + lens", "lens", ("--deconvolved-dpt", *LENS_DPT)),  # not in the paper
    Row("RAW", "raw", ("--aux", "none"), seeds=3),
    Row("RAW-ISO", "iso", ("--aux", "iso")),
    Row("RAW-Field", "field", ("--aux", "field")),
    Row("constant depth", "constant", ("--depth", "constant")),
    Row("constant depth matched", "matched", ("--depth", "constant_matched")),
    Row("RGB space", "rgb", ("--space", "rgb")),
    Row("unmatched lens", "unmatched", field="other.h5"),
)
UNTRAINED = ("input", "polyblur", "wiener", "wiener_guess", "wiener_blind", "richardson_lucy")
BANKS = {"ridge RAW": "none", "ridge RAW-ISO-Field": "iso_field"}


@dataclass(frozen=True)
class Args:
    """Train, fit and judge every row of the table."""

    photos: tyro.conf.Positional[Path]
    """Photographs; their groups stand in --groups."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for everything."""
    groups: Path = GROUPS
    """Who took what, as python -m learn.photos split takes it."""
    rows: tuple[str, ...] = tuple(row.key for row in ROWS)
    """Networks to train, by key."""
    steps: int | None = None
    """Of each training, instead of the recipe's."""
    seeds: int = 3
    """At most so many of each."""
    jobs: int = 1
    """Trainings at a time."""
    samples: int = 3000
    """That the filter banks are fitted to."""
    full: bool = False
    """The full-scale recipe."""


def main(args: Args) -> None:
    unknown = set(args.rows) - {row.key for row in ROWS}
    if unknown:
        raise SystemExit(f"error: --rows {' '.join(sorted(unknown))}: expected {' '.join(row.key for row in ROWS)}")
    runs = Runs(args.out, RECIPES / f"deblur_{'full' if args.full else 'cpu'}.json", args.steps, args.jobs)
    runs.prepare(args.photos, args.groups)
    banks = [f"{name}={runs.fit_bank(aux, args.samples)}" for name, aux in BANKS.items()]
    chosen = [Row(row.name, row.key, row.options, min(row.seeds, args.seeds), row.field) for row in ROWS]
    runs.train(row for row in chosen if row.key in args.rows)
    more = ("--methods", *UNTRAINED, "--ridge", *banks)
    runs.evaluate(args.out / "table1", chosen, reference=next(row.name for row in ROWS if row.key == "raw"), more=more)


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(tyro.cli(Args, description=__doc__))))
