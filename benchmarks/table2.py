"""The paper's second table: what full per-pixel simulation costs beside depth-blend, and what it is worth in training.

    python benchmarks/table2.py PHOTOS -o FOLDER              costs, and networks trained on both, 3 seeds
    python benchmarks/table2.py PHOTOS -o FOLDER --costs      costs alone

The FOLDER may be that of table1.py, whose networks and evaluation set are taken. Costs: one picture of 3 x 512 x 512
on a window of the f/2.2 lens's sensor, kernels of 65 px, each in a process of its own, two threads, inputs and compiled
code there. Unfolding is the paper's way: the kernel of every pixel is read, turned, and held against its neighbourhood;
all kernels at once would take what the table says beside it. It renders what `pixelwise` renders, so that no network is
trained on it of its own: how much they differ stands in the table instead.

Results: FOLDER/table2/costs.csv, and table.csv with the networks.
"""

import csv
import json
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from render_scenes import depth_map, make_field, photograph
from restoration_runs import GROUPS, KERNEL_PX, OURS, PIXELWISE, RECIPES, ROOT, Row, Runs

import render
from psf.command_line import run_command
from render.reference import gather_at

SIDE_PX, COMPARED = 512, 4000
# Each is rendered so often, after a small picture; the slow one once.
REPEATS = {"unfolding": 1, "pixelwise": 5, "depth_blend": 9}
GIB = 2**30


@dataclass(frozen=True)
class Args:
    """Measure costs, train, judge."""

    photos: tyro.conf.Positional[Path]
    """Photographs; their groups stand in --groups."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for everything."""
    groups: Path = GROUPS
    """Who took what."""
    steps: int | None = None
    """Of each training, instead of the recipe's."""
    seeds: int = 3
    """At most so many."""
    jobs: int = 1
    """Trainings at a time."""
    costs: bool = False
    """Costs alone."""
    full: bool = False
    """The full-scale recipe."""


def main(args: Args) -> None:
    folder = args.out / "table2"
    folder.mkdir(parents=True, exist_ok=True)
    costs = measure_costs()
    with (folder / "costs.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(costs[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(costs)
    print(f"written: {folder / 'costs.csv'}")
    if args.costs:
        return
    runs = Runs(args.out, RECIPES / f"deblur_{'full' if args.full else 'cpu'}.json", args.steps, args.jobs)
    runs.prepare(args.photos, args.groups)
    rows = [Row(row.name, row.key, row.options, min(row.seeds, args.seeds), row.field) for row in (OURS, PIXELWISE)]
    runs.train(rows)
    runs.evaluate(folder, rows, reference=OURS.name, more=("--methods", "input"))


def measure_costs() -> list[dict[str, str]]:
    """A line for each way, beside depth-blend."""
    found = {what: measure(what, repeats) for what, repeats in REPEATS.items()}
    base = found["depth_blend"]
    agreement_db = compare()
    lines = []
    for what, one in found.items():
        kernels_gib = 4 * 3 * (SIDE_PX * KERNEL_PX) ** 2 / GIB
        line = {
            "way": what,
            "seconds": f"{one['seconds']:.4f}",
            "times depth_blend": f"{one['seconds'] / base['seconds']:.1f}",
            "peak MiB above the inputs": f"{one['added_mib']:.0f}",
            "all kernels at once GiB": f"{kernels_gib:.1f}" if what == "unfolding" else "",
            "PSNR dB against unfolding": f"{agreement_db:.1f}" if what == "pixelwise" else "",
        }
        print(", ".join(f"{name} {value}" for name, value in line.items() if value), flush=True)
        lines.append(line)
    return lines


def measure(what: str, repeats: int) -> dict[str, float]:
    """Time and memory of one way, in a process of its own."""
    words = ("--what", what, "--field", "window", "--kernel-px", str(KERNEL_PX), "--repeats", str(repeats))
    command = [sys.executable, str(ROOT / "benchmarks" / "render_memory.py"), *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def compare() -> float:
    """PSNR of `pixelwise` against unfolding, over pixels drawn at random."""
    with warnings.catch_warnings(action="ignore"):
        field, window = make_field("window", KERNEL_PX, SIDE_PX)
    field = field.to(dtype=torch.float32)
    image, depth_m = photograph(SIDE_PX).float(), depth_map(SIDE_PX, SIDE_PX).float()
    g = torch.Generator().manual_seed(0)
    x_px, y_px = (torch.randint(SIDE_PX, (COMPARED,), generator=g) for _ in range(2))
    truth = gather_at(image, depth_m, field, x_px, y_px, window=window)
    found = render.pixelwise(image, depth_m, field, window=window)[0, :, y_px, x_px].T
    return float(-10 * torch.log10((found - truth).square().mean()))


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(tyro.cli(Args, description=__doc__))))
