"""What the two tables of restorers share: one folder of fields, photographs, evaluation set and trained networks.

    FOLDER/lens.h5, other.h5       the f/2.2 camera's field, and that of the unmatched rows
    FOLDER/photos, split.json      copies that are quickly read, and their sides
    FOLDER/eval                    the evaluation set
    FOLDER/runs/ROW_SEED           a training each, which goes on where it was stopped
    FOLDER/commands.txt            every command that was run, in order

Everything is made by the project's own command lines, in processes of their own, so that each line can be pasted.
"""

import csv
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import optics

ROOT = Path(__file__).resolve().parent.parent
RECIPES = ROOT / "examples" / "recipes"
GROUPS = Path(__file__).with_name("restoration_groups.csv")
LENS, OTHER = "f2.2_fixedfocus", "camera_rf50mm_f1p8"
KERNEL_PX = 65
# Of splits 0 to 3 the one whose evaluation side has most sharp photographs, chosen before anything was trained.
SPLIT_SEED, SPLIT_SHARE = 3, 0.3
EVALUATED = 48


@dataclass(frozen=True)
class Row:
    """A network of the tables: what it is called, and in what its training departs from the recipe.

    Attributes:
        name: In the table.
        key: In file names.
        options: Of `python -m learn.deblur train`.
        seeds: How many trainings.
        field: Of the lens that it is trained for.
    """

    name: str
    key: str
    options: tuple[str, ...] = ()
    seeds: int = 1
    field: str = "lens.h5"


OURS = Row("RAW-ISO-Field", "ours", seeds=3)
PIXELWISE = Row("RAW-ISO-Field pixelwise", "pixelwise", ("--blur", "pixelwise"), seeds=3)


@dataclass(frozen=True)
class Runs:
    """Where everything lies, and at what scale.

    Attributes:
        folder: For all files.
        recipe: Of the trainings.
        steps: Of each training; None: as in the recipe.
        jobs: Trainings at a time, each in one thread.
    """

    folder: Path
    recipe: Path
    steps: int | None = None
    jobs: int = 1

    def __post_init__(self) -> None:
        # Commands run in the repository's folder.
        object.__setattr__(self, "folder", self.folder.absolute())

    def prepare(self, photos: Path, groups: Path) -> None:
        """Fields, photographs and the evaluation set, those that are not there yet."""
        (self.folder / "runs").mkdir(parents=True, exist_ok=True)
        for name, lens in (("lens.h5", LENS), ("other.h5", OTHER)):
            if not (self.folder / name).is_file():
                optics.psf_grid(optics.load(lens), kernel_px=KERNEL_PX).save(self.folder / name)
        split = self.prepare_photos(photos, groups)
        told = (self.folder / "photos", "--field", self.folder / "lens.h5", "--split", split)
        self.call("learn.deblur", "make-eval", *told, "-o", self.folder / "eval", "--count", EVALUATED)

    def prepare_photos(self, photos: Path, groups: Path) -> Path:
        """Copies that are quickly read, and their sides; the file of the sides."""
        self.folder.mkdir(parents=True, exist_ok=True)
        copies, split = self.folder / "photos", self.folder / "split.json"
        self.call("learn.photos", "develop", photos, "-o", copies)
        if not split.is_file():
            # Copies have .jpg behind the name of their original.
            with groups.open(newline="", encoding="utf-8") as file:
                told = list(csv.DictReader(file))
            groups = self.folder / "groups.csv"
            with groups.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(told[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows({**row, "file": f"{row['file']}.jpg"} for row in told)
            seed = ("--seed", SPLIT_SEED, "--share", SPLIT_SHARE)
            self.call("learn.photos", "split", copies, "-o", split, "--groups", groups, *seed)
        return split

    def train(self, rows: Iterable[Row]) -> None:
        """All seeds of all rows, the first seeds first; what is done already takes a moment."""
        jobs = sorted(((seed, row) for row in rows for seed in range(row.seeds)), key=lambda job: job[0])
        with ThreadPoolExecutor(self.jobs) as pool:
            started = [pool.submit(self.train_one, row, seed) for seed, row in jobs]
            try:
                for one in started:
                    one.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def train_one(self, row: Row, seed: int) -> None:
        """One training."""
        if self.network(row, seed).is_file():
            return
        scale = () if self.steps is None else ("--steps", self.steps)
        # The set is of RAW samples: what learns elsewhere looks at some of its own while it trains.
        watched = () if "--space" in row.options else ("--evaluation", self.folder / "eval")
        self.call(
            "learn.deblur", "train", self.folder / "photos", "--field", self.folder / row.field,
            "--split", self.folder / "split.json", "--recipe", self.recipe, "-o", self.network(row, seed).parent,
            *watched, "--seed", seed, *scale, *row.options,
        )  # fmt: skip

    def fit_bank(self, aux: str, count: int) -> Path:
        """The filter bank with these planes."""
        bank = self.folder / f"ridge_{aux}.pt"
        if not bank.is_file():
            lens = ("--field", self.folder / "lens.h5", "--split", self.folder / "split.json")
            plane = ("--aux", aux, "--count", count)
            self.call("learn.deblur", "fit-ridge", self.folder / "photos", *lens, "-o", bank, *plane)
        return bank

    def evaluate(self, out: Path, rows: Sequence[Row], *, reference: str, more: Sequence[object] = ()) -> None:
        """A table of networks, as CSV and as pictures."""
        networks = [
            f"{row.name}={self.network(row, seed)}"
            for row in rows
            for seed in range(row.seeds)
            if self.network(row, seed).is_file()
        ]
        told = ("--network", *networks) if networks else ()
        lens = ("--field", self.folder / "lens.h5")
        self.call("learn.deblur", "evaluate", self.folder / "eval", *lens, "-o", out, *more, *told,
                  "--reference", reference)  # fmt: skip

    def network(self, row: Row, seed: int) -> Path:
        """The file of a trained network."""
        return self.folder / "runs" / f"{row.key}_{seed}" / "network.pt"

    def call(self, module: str, *words: object) -> None:
        """Run one command, and keep it in commands.txt; its messages go through."""
        self.run_script("-m", module, *words)

    def run_script(self, *words: object) -> None:
        """Run Python on these words, from the repository's folder, and keep the line."""
        command = [str(word.absolute()) if isinstance(word, Path) else str(word) for word in words]
        line = f"python {shlex.join(command)}"
        kept = self.folder / "commands.txt"
        with _KEEPING:
            before = kept.read_text(encoding="utf-8") if kept.is_file() else ""
            if line not in before.splitlines():
                kept.write_text(f"{before}{line}\n", encoding="utf-8")
        print(f"$ {line}", flush=True)
        done = subprocess.run([sys.executable, *command], check=False, env=_environment(), cwd=ROOT)
        if done.returncode:
            raise SystemExit(done.returncode)


_KEEPING = threading.Lock()


def _environment() -> Mapping[str, str]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
