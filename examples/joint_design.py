"""A lens designed together with its restorer: sharp from 10 cm to infinity, after a computer has seen the picture.

    python examples/joint_design.py PHOTOS                      # the f/2.2 fixed-focus lens, into out/joint
    python examples/joint_design.py PHOTOS --seeds 1 2 3 --judgings 3 --made 10
    python examples/joint_design.py PHOTOS --judges waves tiny  # the same lenses with diffraction, with networks

Free are seven numbers: the aspheres of r^4, r^6 and r^8 on both faces of the first element, next to the stop, and the
way to the sensor. The first asphere and the focus are scanned, and descents begin at the best places of that map
(`landscape.png`). Beside the result stand the published lens, the same lens refocused by the same objective, and the
lens optimised for spots over the same depths; each is judged with a restorer of its own. The same command goes on with
what its folder holds. `python -m learn.joint` does all of this for other lenses and parameters.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from learn.joint.__main__ import Arguments
from learn.joint.__main__ import run as run_design
from learn.joint.commands_judge import Judge
from optics import FOCUS
from psf import InputError
from psf.arguments import parse_arguments
from psf.command_line import run_command

FREE = (*(f"surface{n}.asphere_{power}" for n in (2, 3) for power in (4, 6, 8)), FOCUS)
# Asphere in mm^-3, both ways: up to 6 um at the rim of the first face. Focus in mm, from infinity to 15 cm and beyond.
SCAN = ("surface2.asphere_4=-0.018:0.018:5", f"{FOCUS}=-0.03:0.18:8")
# Even in dioptres, closer than a kernel changes.
DEPTHS_M = (math.inf, 0.6, 0.3, 0.2, 0.15, 0.12, 0.1)


@dataclass(frozen=True)
class Args:
    """Design the f/2.2 fixed-focus lens together with its restorer."""

    photos: tyro.conf.Positional[Path]
    """Photographs; a quarter of them is kept apart to judge with."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("out/joint")
    """Folder for the results, one folder per seed."""
    seeds: tuple[int, ...] = (1,)
    """Designs, each with patches and noise of its own."""
    steps: int = 60
    """Lenses tried per descent, at most."""
    starts: int = 2
    """Descents from the best places of the scan."""
    judgings: int = 1
    """How often the lenses of a seed are judged, with other patches and noise."""
    made: int = 5
    """Lenses with manufacturing errors, per seed, of the joint design and of the best control."""
    judges: tuple[Judge, ...] = ("ridge",)
    """Restorers of the judged lenses: ridge filters, the same with diffraction in all kernels (waves), or NAFNet tiny,
    trained for each lens."""
    tiny_shared_steps: int = 800
    """Of one network with all lenses in turn, where those of the lenses begin."""
    tiny_steps: int = 400
    """Of each of these."""
    pictures: bool = True
    """Field, report and pictures beside prescriptions and tables."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 for done, 2 for input that cannot be used."""
    return run_command(lambda: run(parse_arguments(lambda: tyro.cli(Args, args=argv, description=Args.__doc__))))


def run(args: Args) -> None:
    """Design with every seed, then tell."""
    if not args.seeds:
        raise InputError("--seeds", "none", "at least one")
    args.out.mkdir(parents=True, exist_ok=True)
    gains: dict[str, list[float]] = {judge: [] for judge in args.judges}
    for seed in args.seeds:
        out = args.out / f"seed_{seed}"
        run_design(
            Arguments(
                lens="f2.2_fixedfocus",
                photos=args.photos,
                out=out,
                free=FREE,
                steps=args.steps,
                scan=SCAN,
                starts=args.starts,
                depths_m=DEPTHS_M,
                radii=(0.0, 0.55, 0.9),
                pool=48,
                fit_patches=12,
                loss_patches=14,
                seed=seed,
                judgings=args.judgings,
                made=args.made,
                judges=args.judges,
                tiny_shared_steps=args.tiny_shared_steps,
                tiny_steps=args.tiny_steps,
                pictures=args.pictures,
            )
        )
        judged = json.loads((out / "summary.json").read_text(encoding="utf-8"))["judged"]
        for judge, found in gains.items():
            found += judged[judge]["gains_db"]
    for judge, found in gains.items():
        spread = f", from {min(found):+.2f} to {max(found):+.2f}" if len(found) > 1 else ""
        print(f"{judge}: joint over the best control, worst depth: {statistics.fmean(found):+.2f} dB{spread}")


if __name__ == "__main__":
    sys.exit(main())
