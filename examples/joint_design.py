"""A lens designed together with its restorer: sharp from 10 cm to infinity, after a computer has seen the picture.

    python examples/joint_design.py PHOTOS                      # the f/2.2 fixed-focus lens, into out/joint
    python examples/joint_design.py PHOTOS --seeds 1 2 3 --made 10
    python examples/joint_design.py PHOTOS --landscape 7 -o out/map --steps 0

Free are seven numbers: the aspheres of r^4, r^6 and r^8 on both faces of the first element, next to the stop, and the
way to the sensor. Beside the result stand the published lens, the same lens refocused by the same objective, and the
lens optimised for spots over the same depths; each is judged with a restorer of its own (`python -m learn.joint` does
all of this for other lenses and parameters).

`--landscape N` draws the worst depth over the first asphere and the focus at N x N places.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from tqdm import tqdm

import optics
from learn.joint import JointSettings, Patches, draw_patches, open_chain
from learn.joint.__main__ import Arguments, split_folder, write_figure
from learn.joint.__main__ import run as run_design
from learn.joint.exposures import expose
from learn.joint.filter_bank import apply_filters, solve_filters, sum_normals
from learn.joint.imaging import Chain, look_through
from learn.joint.objective import find_depth_errors_db, find_errors, shift_depth_weights
from learn.joint.plots import plot_landscape
from learn.joint.tiny_restorer import crop
from learn.photos import open_photos
from optics import FOCUS
from psf import InputError
from psf.arguments import ArgumentError, parse_arguments
from psf.runs import make_generator

FREE = (*(f"surface{n}.asphere_{power}" for n in (2, 3) for power in (4, 6, 8)), FOCUS)
# Of the landscape, in steps of the variables: rim heights of 1e-3 semi-apertures, focus of 1e-2.
ACROSS, ALONG = (-4.0, 8.0), (-1.0, 2.0)
ROUNDS, RATE = 12, 0.4


@dataclass(frozen=True)
class Args:
    """Design the f/2.2 fixed-focus lens together with its restorer."""

    photos: tyro.conf.Positional[Path]
    """Photographs; a quarter of them is kept apart to judge with."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("out/joint")
    """Folder for the results, one folder per seed."""
    seeds: tuple[int, ...] = (1,)
    """Designs, each with patches and noise of its own."""
    steps: int = 30
    """Lenses tried per design; 0 for the landscape alone."""
    made: int = 5
    """Lenses with manufacturing errors, per seed and lens."""
    landscape: int = 0
    """Places to a side; 0 for none."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 for done, 2 for input that cannot be used."""
    try:
        run(parse_arguments(lambda: tyro.cli(Args, args=argv, description=Args.__doc__)))
    except (ArgumentError, InputError, ImportError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def run(args: Args) -> None:
    """Design with every seed, then tell."""
    if args.landscape < 0 or args.landscape == 1:
        raise InputError("--landscape", args.landscape, "0, or at least 2 places to a side")
    if args.steps < 0 or not args.seeds:
        raise InputError("--steps, --seeds", (args.steps, args.seeds), "0 or more, and at least one seed")
    args.out.mkdir(parents=True, exist_ok=True)
    gains = []
    for seed in args.seeds if args.steps else ():
        out = args.out / f"seed_{seed}"
        run_design(
            Arguments(
                lens="f2.2_fixedfocus",
                photos=args.photos,
                out=out,
                free=FREE,
                steps=args.steps,
                radii=(0.0, 0.55, 0.9),
                seed=seed,
                made=args.made,
            )
        )
        judged = json.loads((out / "summary.json").read_text(encoding="utf-8"))["judged"]
        names = ("published", "refocused", "sharpest spots")
        best = max(judged[name]["worst_psnr_db"] for name in names)
        gains.append(judged["joint"]["worst_psnr_db"] - best)
    if gains:
        spread = f", from {min(gains):+.2f} to {max(gains):+.2f}" if len(gains) > 1 else ""
        print(f"joint over the best control, worst depth: {statistics.fmean(gains):+.2f} dB{spread}")
    if args.landscape:
        draw_landscape(args)


def draw_landscape(args: Args) -> None:
    """The worst depth over an asphere and the focus, each place with filters of its own."""
    settings = JointSettings(free=("surface2.asphere_4", FOCUS), seed=args.seeds[0])
    chain = open_chain(optics.load("f2.2_fixedfocus"), settings)
    training, _ = split_folder(open_photos(args.photos))
    margin = settings.grid.kernel_px - 1
    count = settings.fit_patches + settings.loss_patches
    patches = draw_patches(training, count, settings.side_px, margin, make_generator(settings.seed, 0))
    start = chain.variables.read()
    across, along = (torch.linspace(*ends, args.landscape, dtype=start.dtype) for ends in (ACROSS, ALONG))
    found = torch.zeros(args.landscape, args.landscape)
    with tqdm(total=args.landscape**2, unit="lens", leave=False, disable=None) as bar:
        for i, first in enumerate(across):
            for j, second in enumerate(along):
                found[i, j] = find_worst_psnr_db(chain, start + torch.stack([first, second]), patches)
                bar.update()
    values = [(start[n] + change) * chain.variables.steps[n] for n, change in enumerate((across, along))]
    marks = {"published": tuple((start * chain.variables.steps).tolist())}
    names = ("surface 2, term of r^4 (mm^-3)", "last surface to sensor (mm)")
    figure = plot_landscape(values[0].tolist(), values[1].tolist(), found, names, marks)  # type: ignore[arg-type]
    write_figure(args.out / "landscape.png", figure)


def find_worst_psnr_db(chain: Chain, vector: torch.Tensor, patches: Patches) -> float:
    """With filters whose depths are weighed until the worst one is best."""
    settings = chain.settings
    count, filters_like = settings.fit_patches, settings.filters
    with torch.no_grad():
        kernels, light = look_through(chain, chain.variables.apply(vector))
        generator = make_generator(settings.seed, 1)
        fitted = expose(patches[:count], kernels, light, chain.exposure, generator)
        given = expose(patches[count:], kernels, light, chain.exposure, generator)
        normals = sum_normals(fitted, filters_like)
        depths = len(settings.grid.depths_m)
        weights, best = torch.full((depths,), 1 / depths), -float("inf")
        for _ in range(ROUNDS):
            restored = apply_filters(solve_filters(normals, weights, filters_like), given.noisy, filters_like)
            sharp = crop(given.sharp, chain.border_cells)
            errors = find_errors(restored, sharp, patches[count:].metadata)
            errors_db = find_depth_errors_db(errors)
            best = max(best, -float(errors_db.max()))
            weights = shift_depth_weights(weights, errors_db, RATE)
    return best


if __name__ == "__main__":
    sys.exit(main())
