"""The paper's third table, at the scale of a CPU: depth networks by what they know of the lens.

    python benchmarks/dfd_table3.py -o FOLDER --truth T1.h5 ... --fields F1.h5 ...   all rows; a stopped run goes on
    python benchmarks/dfd_table3.py -o FOLDER ... --rows dual_dfd_invariant          some of them
    python benchmarks/dfd_table3.py -o FOLDER ... --full                             the full-scale recipe, on GPUs

Three rows for each of two networks: trained with one kernel for the whole sensor, with kernels for every place, and
with these and a map of image heights. Beside them a network on the aberration-aware cost volume, the middle of the
range, and the classical rival that needs no training; on flat scenes every one of them once more with its pictures
shuffled against their focus distances, which must fail. --fields are those that trainings and the rival are told
(estimated from photographs of targets); --truth are those that take the pictures of the test, which nobody is told.
Without either, one lens at five focus distances is traced (examples/focal_stack_fields.py) and serves as both. --second
are the fields of another lens, on which all are judged again without training.

    FOLDER/fields                  traced fields, where none are given
    FOLDER/invariant               the same, with one kernel for the whole sensor
    FOLDER/stacks, stacks_invariant    stacks to train on, with --stacks N; without, every step makes its own
    FOLDER/runs/ROW_SEED           a training each
    FOLDER/table3/table.csv        MAE and the rest of flat scenes by row; errors.png, page.png
    FOLDER/others/table.csv        the same of slanted scenes and of two planes
    FOLDER/traced/table.csv        the same of path-traced ones, by the fields of their ideal lens
    FOLDER/second/table.csv        of flat scenes through the second lens
    FOLDER/dfd_table3.csv          all of them in few columns: what benchmarks/results holds
    FOLDER/commands.txt            every command that was run, in order
"""

import csv
import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from restoration_runs import RECIPES, ROOT, Row, Runs

import psf
from learn.dfd.invariance import make_invariant
from psf.runs import whole_file

FOCUS_M = (0.5, 0.59, 0.72, 0.94, 1.415)
NETWORKS = {"dual_dfd": "DualDfD", "defocus_net": "DefocusNet"}
KINDS = {
    "invariant": ("invariant field", ("--invariant", "--radius", "False")),
    "polar": ("polar field", ("--radius", "False")),
    "radius": ("polar field + image height", ("--radius", "True")),
}
ROWS = (
    *(
        Row(f"{title}, {name}", f"{network}_{kind}", ("--network", network, *options))
        for network, title in NETWORKS.items()
        for kind, (name, options) in KINDS.items()
    ),
    Row("cost volume, polar field", "cost_volume_polar", ("--network", "cost_volume", "--radius", "False")),
)
# Channels at the scale of a CPU, in the proportion of the publications; ours is small as it is.
WIDTHS = {"dual_dfd": 8, "defocus_net": 4, "cost_volume": 8}
RIVAL = "likelihood"
# Of tables, what the results' file keeps.
KEPT = (
    "method", "scene", "seeds", "scenes", "mae_m", "median_m", "mae_dpt", "delta1", "centre_mae_m", "middle_mae_m",
    "corner_mae_m", "edge_mae_m", "away_mae_m", "edge_mae_dpt", "away_mae_dpt", "time_s",
)  # fmt: skip


@dataclass(frozen=True)
class Args:
    """Train and judge every row of the table."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for everything; it is made."""
    fields: tuple[Path, ...] = ()
    """What trainings and the rival are told, one field file for each focus distance."""
    truth: tuple[Path, ...] = ()
    """What takes the pictures of the test; by default --fields."""
    second: tuple[Path, ...] = ()
    """Fields of another lens, on which all rows are judged as well, with one texture at each depth."""
    stacks: int | None = None
    """Train on so many stacks that are made once, instead of fresh ones in each step."""
    photos: Path | None = None
    """Photographs for textures of the trainings; without: procedural ones."""
    test_photos: Path | None = None
    """Other photographs for textures of the test."""
    rows: tuple[str, ...] = tuple(row.key for row in ROWS)
    """Networks to train, by key."""
    seeds: int = 1
    """Trainings of each."""
    steps: int | None = None
    """Of each training, instead of the recipe's."""
    window: tuple[int, int] | None = None
    """Of the trainings, instead of the recipe's."""
    test_window: tuple[int, int] = (128, 128)
    """Of the test's scenes."""
    jobs: int = 1
    """Trainings at a time."""
    depths: int = 20
    """Of the one-plane scenes, times three textures."""
    others: int = 20
    """Slanted scenes, and scenes of two planes; 0: neither."""
    shuffled: bool = True
    """Flat scenes once more with every stack's pictures shuffled, which takes as long again."""
    traced: tuple[Path, ...] = ()
    """Path-traced scenes (.npz) to judge on as well."""
    mirrored: bool = False
    """Networks look at mirrored stacks as well, which tells how sure they are; takes four times as long."""
    rival: bool = True
    """The classical rival's row, if it is there."""
    full: bool = False
    """The full-scale recipe."""


@dataclass(frozen=True)
class DepthRuns(Runs):
    """Where everything lies, and at what scale.

    Attributes:
        args: As they were typed.
        fields: Of the trainings.
        truth: Of the test.
    """

    args: Args | None = None
    fields: tuple[Path, ...] = ()
    truth: tuple[Path, ...] = ()

    def train_one(self, row: Row, seed: int) -> None:
        """One training."""
        args = self.args
        assert args is not None
        if self.network(row, seed).is_file():
            return
        is_invariant = "--invariant" in row.options
        fields, options = self.fields, list(row.options)
        words: list[object] = []
        if args.stacks is not None:
            if is_invariant:
                fields = self.make_invariant_fields()
                options.remove("--invariant")
            words += ["--shards", self.make_stacks(fields, "stacks_invariant" if is_invariant else "stacks")]
        words += ["--fields", *fields, "--recipe", self.recipe, "--seed", seed, *options]
        for name in ("steps", "photos"):
            if (value := getattr(args, name)) is not None:
                words += [f"--{name}", value]
        network = row.key.rpartition("_")[0]
        if network == "cost_volume" or not args.full:
            words += ["--width", WIDTHS[network]]
        if args.steps is not None:
            # A warm-up that a short training has room for.
            words += ["--warmup", min(50, args.steps // 10)]
        if args.window is not None and args.stacks is None:
            words += ["--shape-px", *args.window]
        self.call("learn.dfd", "train", "-o", self.network(row, seed).parent, *words)

    def make_stacks(self, fields: tuple[Path, ...], name: str) -> Path:
        """The stored stacks of some fields; what is there already takes a moment."""
        args = self.args
        assert args is not None
        words: list[object] = ["--settings", self.recipe, "-n", args.stacks, "--workers", args.jobs]
        words += ["--shape-px", *args.window] if args.window is not None else []
        words += ["--photos", args.photos] if args.photos is not None else []
        self.call("learn.dfd", "make-stacks", "--fields", *fields, "-o", self.folder / name, *words)
        return self.folder / name

    def make_invariant_fields(self) -> tuple[Path, ...]:
        """Files of the fields with one kernel for the whole sensor, those that are not there yet."""
        folder = self.folder / "invariant"
        folder.mkdir(exist_ok=True)
        paths = tuple(folder / path.name for path in self.fields)
        for path, own in zip(paths, self.fields, strict=True):
            if not path.is_file():
                make_invariant(psf.load(own)).save(path)
        return paths

    def judge(self, rows: list[Row]) -> None:
        """The tables."""
        args = self.args
        assert args is not None
        models = [
            f"{row.name}={self.network(row, seed)}"
            for row in rows
            for seed in range(row.seeds)
            if self.network(row, seed).is_file()
        ]
        words: list[object] = ["--methods", "middle", *([RIVAL] if args.rival else [])]
        words += ["--model", *models] if models else []
        words += ["--photos", args.test_photos] if args.test_photos is not None else []
        words += ["--shape-px", *args.test_window, "--noise", "even", "--jitter", 0, "--workers", args.jobs]
        words += [f"--{'' if args.mirrored else 'no-'}mirrored"]
        truth = ["--truth", *self.truth] if self.truth != self.fields else []
        flat = ["--judge", "one_plane", "--depths", args.depths]
        others = ["--judge", "slanted", "two_plane", "--others", args.others]
        own = ["--fields", *self.fields, *truth, *words]
        tables = {"own": [self.folder / "table3"]}
        shuffled = ["--shuffled"] if args.shuffled else []
        self.call("learn.dfd", "evaluate", *own, "-o", tables["own"][0], *flat, *shuffled)
        if args.others:
            tables["own"].append(self.folder / "others")
            self.call("learn.dfd", "evaluate", *own, "-o", tables["own"][-1], *others)
        if args.traced:
            tables["own"].append(self.folder / "traced")
            traced = ["--judge", "traced", "--traced", *args.traced]
            self.call("learn.dfd", "evaluate", *own, "-o", tables["own"][-1], *traced)
        if args.second:
            tables["second"] = [self.folder / "second"]
            second = ["--fields", *args.second, *words, "--any-camera"]
            self.call("learn.dfd", "evaluate", *second, "-o", tables["second"][0], *flat, "--textures-each", 1)
        write_results(tables, self.folder / "dfd_table3.csv")


def write_results(tables: dict[str, list[Path]], path: Path) -> None:
    """The columns worth keeping of all tables, with the lens before them."""
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["lens", *KEPT])
        for lens, folder in ((lens, folder) for lens, folders in tables.items() for folder in folders):
            with (folder / "table.csv").open(newline="", encoding="utf-8") as table:
                writer.writerows([lens, *(row[name] for name in KEPT)] for row in csv.DictReader(table))


def main(args: Args) -> None:
    if unknown := set(args.rows) - {row.key for row in ROWS}:
        raise SystemExit(f"error: --rows {' '.join(sorted(unknown))}: expected {' '.join(row.key for row in ROWS)}")
    (args.out / "runs").mkdir(parents=True, exist_ok=True)
    fields = args.fields or trace_fields(args.out / "fields")
    recipe = RECIPES / f"dfd_{'full' if args.full else 'cpu'}.json"
    runs = DepthRuns(args.out, recipe, args.steps, args.jobs, args, fields, args.truth or fields)
    chosen = [Row(row.name, row.key, row.options, args.seeds) for row in ROWS]
    runs.train(row for row in chosen if row.key in args.rows)
    runs.judge(chosen)


def trace_fields(folder: Path) -> tuple[Path, ...]:
    """The fields of the example's camera, those that are not there yet."""
    paths = tuple(folder / f"F_{focus_m:g}.h5" for focus_m in FOCUS_M)
    if not all(path.is_file() for path in paths):
        sys.path.append(str(ROOT / "examples"))
        example = importlib.import_module("focal_stack_fields")
        example.run(example.Args(out=folder, focus_m=FOCUS_M))
    return paths


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
