"""No prescription at all: a network trained on a field that was estimated from photographs of a display.

    python benchmarks/crossed.py PHOTOS -o FOLDER             half an hour of one core; goes on where it was stopped
    python benchmarks/crossed.py PHOTOS -o FOLDER --steps 500 a look

The f/2.2 lens, its pixels binned by 4 (4.64 um, 1008 x 756 px) and focused to 2 m, photographs a display at 120 depths
from 10 cm to 10 m (RGB, every kernel traced, noise 0.005). From these pictures alone the field is estimated, and a
network trained on it; another, of the same seed, is trained on the traced field. Both are judged on pictures blurred by
the traced field, every pixel its own kernel: what not having the prescription costs.
"""

import csv
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
import tyro
from restoration_runs import GROUPS, RECIPES, Runs

import optics
import psf
from psf.command_line import run_command

LENS, BIN, FOCUS_M, KERNEL_PX, NODE_PX = "f2.2_fixedfocus", 4, 2.0, 25, 32
NEAR_M, FAR_M, DEPTHS, RADII = 0.1, 10.0, 20, 20
EVALUATED = 48
# Places at which both fields are compared, off either's nodes.
PROBE_DPT, PROBE_RADII = (9.3, 6.1, 3.3, 1.7, 0.4), (0.13, 0.47, 0.81)


@dataclass(frozen=True)
class Args:
    """Estimate, train twice, judge."""

    photos: tyro.conf.Positional[Path]
    """Photographs; their groups stand in --groups."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for everything."""
    groups: Path = GROUPS
    """Who took what, as python -m learn.photos split takes it."""
    pairs: int = 120
    """Photographs of the display."""
    steps: int = 1500
    """Of each training."""


def main(args: Args) -> None:
    args = replace(args, out=args.out.absolute())
    (args.out / "runs").mkdir(parents=True, exist_ok=True)
    runs = Runs(args.out, RECIPES / "deblur_cpu.json", args.steps)
    traced, estimated = args.out / "traced.h5", args.out / "estimated.h5"
    depths_m = 1 / torch.linspace(1 / NEAR_M, 1 / FAR_M, DEPTHS, dtype=torch.float64)
    if not traced.is_file():
        lens = optics.load(LENS).refocused(FOCUS_M)
        shape = tuple(side // BIN for side in lens.sensor.image_shape_px)
        lens = replace(lens, sensor=optics.Sensor((shape[0], shape[1]), BIN * lens.sensor.pitch_um))
        optics.psf_grid(lens, depths_m, kernel_px=KERNEL_PX).save(traced)
    captures = args.out / "captures.npz"
    if not captures.is_file():
        runs.run_script(
            "examples/simulate_captures.py", "--lens", LENS, "--bin", BIN, "--focus-m", FOCUS_M, "--near-m", NEAR_M,
            "--far-m", FAR_M, "--pairs", args.pairs, "--kernel-px", KERNEL_PX, "--node-px", NODE_PX, "--colour",
            "-o", captures,
        )  # fmt: skip
    if not estimated.is_file():
        runs.call("psf", "estimate", captures, "-o", estimated, "--method", "direct")
    tell_fields(psf.load(traced), psf.load(estimated))
    split = runs.prepare_photos(args.photos, args.groups)
    evaluation = args.out / "eval"
    told = (args.out / "photos", "--field", traced, "--split", split)
    runs.call("learn.deblur", "make-eval", *told, "-o", evaluation, "--count", EVALUATED)
    networks = []
    for name, field in (("traced", traced), ("estimated", estimated)):
        run = args.out / "runs" / name
        if not (run / "network.pt").is_file():
            runs.call(
                "learn.deblur", "train", args.out / "photos", "--field", field, "--split", split, "--recipe",
                runs.recipe, "-o", run, "--evaluation", evaluation, "--steps", args.steps,
            )  # fmt: skip
        networks.append(f"{name} field={run / 'network.pt'}")
    runs.call(
        "learn.deblur", "evaluate", evaluation, "--field", traced, "-o", args.out / "results", "--methods", "input",
        "--network", *networks, "--reference", "traced field",
    )  # fmt: skip
    with (args.out / "results" / "table.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            print(", ".join(f"{key} {value}" for key, value in row.items() if value))


def tell_fields(traced: psf.PolarPSFField, estimated: psf.PolarPSFField) -> None:
    """How far the estimated kernels are from the traced ones."""
    print("L1 of estimated kernels (half the summed difference), by depth (down) and image height (across):")
    print("       " + "".join(f"{radius:8.2f}" for radius in PROBE_RADII))
    for dpt in PROBE_DPT:
        kernels = [(traced.at(one, 1 / dpt).double(), estimated.at(one, 1 / dpt).double()) for one in PROBE_RADII]
        found = [float((a - b).abs().sum((-2, -1)).mean()) / 2 for a, b in kernels]
        print(f"{1 / dpt:5.2f} m" + "".join(f"{one:8.3f}" for one in found))


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(tyro.cli(Args, description=__doc__))))
