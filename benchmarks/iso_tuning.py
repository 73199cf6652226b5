"""The tuning knob of a restorer: what telling a network half or twice the ISO does to texture, noise and PSNR.

    python benchmarks/iso_tuning.py EVAL RUN/network.pt [--scales 0.5 1 2] [--count 60] [--out iso_tuning.csv]

EVAL is a set of `python -m learn.deblur make-eval`. The plane of the ISO alone is changed. High-frequency energy is the
mean square of what a binomial filter of 5 x 5 takes out of the developed picture (bilinear, gamma 2.2), over all
pixels and over flat ones, the fifth of the blocks of 16 px of the sharp picture with least of it. It is given against
that at scale 1, picture by picture, as the mean of its logarithm with its standard error over pictures.
"""

import csv
import itertools
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from torch import Tensor
from torch.nn import functional

from learn.deblur.evaluation import open_evaluation
from learn.deblur.restoring import Restorer, open_restorer
from learn.metrics import find_psnr_db
from learn.samples import Sample, make_planes
from learn.synthesis_options import read_field
from psf import InputError
from psf.command_line import run_command
from psf.runs import whole_file
from render import process
from render.bayer import check_pattern

BLOCK_PX, FLAT_SHARE = 16, 0.2
BINOMIAL = (1.0, 4.0, 6.0, 4.0, 1.0)


@dataclass(frozen=True)
class Args:
    set: tyro.conf.Positional[Path]
    """An evaluation set."""
    model: tyro.conf.Positional[Path]
    """The network; it must be told the ISO."""
    field: Path | None = None
    """The lens that took the set, for a network with deconvolved planes."""
    scales: tuple[float, ...] = (0.5, 1.0, 2.0)
    count: int | None = None
    """So many samples (all)."""
    out: Path | None = None
    """A CSV file."""


def make_told(sample: Sample, restorer: Restorer, scale: float) -> Tensor:
    """Planes of a sample, the ISO's for `scale` times its ISO, (1, P, h, w)."""
    notes = restorer.notes
    iso = sample.drawn.iso * scale
    shot, read = sample.shot, sample.read
    if scale != 1 and notes.noise is not None:
        shot, read = (level.reshape(-1) for level in notes.noise.levels(iso, outside="extend"))
    return make_planes(
        sample.input[:4],
        notes.settings,
        iso=iso,
        shot=shot,
        read=read,
        window_px=sample.drawn.window_px,
        image_shape_px=sample.image_shape_px,
        field=restorer.field,
        pattern=check_pattern(restorer.notes.sensor.pattern),
    )[None]


def find_texture(srgb: Tensor) -> Tensor:
    """Square of the fine part of a picture (1, 3, H, W), mean over colours, (1, 1, H, W)."""
    taps = torch.tensor(BINOMIAL) / sum(BINOMIAL)
    kernel = (taps[:, None] * taps)[None, None].repeat(3, 1, 1, 1)
    smooth = functional.conv2d(functional.pad(srgb, (2, 2, 2, 2), mode="reflect"), kernel, groups=3)
    return (srgb - smooth).square().mean(1, keepdim=True)


def find_flat(sharp: Tensor) -> Tensor:
    """Which blocks of a picture (1, 3, H, W) are flat, (N,)."""
    energy = mean_blocks(find_texture(sharp))
    return energy <= energy.quantile(FLAT_SHARE)


def mean_blocks(values: Tensor) -> Tensor:
    return functional.avg_pool2d(values, BLOCK_PX).reshape(-1)


def estimate(values: list[float]) -> tuple[float, float]:
    """Mean and its standard error."""
    found = torch.tensor(values, dtype=torch.float64)
    return float(found.mean()), float(found.std() / math.sqrt(len(found))) if len(found) > 1 else math.nan


def main(args: Args) -> None:
    torch.set_num_threads(1)
    field = None if args.field is None else read_field(args.field)
    restorer, chosen = open_restorer(args.model, field=field), open_evaluation(args.set)
    if "ISO" not in restorer.notes.settings.planes or not restorer.is_of_mosaics:
        raise InputError(str(args.model), ", ".join(restorer.notes.settings.planes), "planes of a mosaic and the ISO")
    if chosen.field_sha256 != restorer.notes.field_sha256:
        print(f"warning: {args.set} was taken with another lens than the network's")
    scales = tuple(dict.fromkeys((1.0, *args.scales)))
    found: dict[tuple[float, str], list[float]] = {}
    for number in range(len(chosen) if args.count is None else min(args.count, len(chosen))):
        sample = chosen.read_sample(number)
        sharp = process(sample.target[None], sample.metadata, pattern=chosen.pattern)
        flat, base = find_flat(sharp), {}
        for scale in scales:
            with torch.no_grad():
                restored = restorer.network(make_told(sample, restorer, scale), restorer.box_cells)
            srgb = process(restored, sample.metadata, pattern=chosen.pattern)
            blocks = mean_blocks(find_texture(srgb))
            energies = {"all": float(blocks.mean()), "flat": float(blocks[flat].mean())}
            base = base or energies
            for name, energy in energies.items():
                found.setdefault((scale, name), []).append(math.log(energy / base[name]))
            found.setdefault((scale, "psnr"), []).append(float(find_psnr_db(srgb, sharp)))
    rows = [
        ["iso_scale", "flat_energy", "flat_error", "all_energy", "all_error", "psnr_db", "psnr_change_db", "error_db"]
    ]
    for scale in sorted(scales):
        changes = [a - b for a, b in zip(found[scale, "psnr"], found[1.0, "psnr"], strict=True)]
        row = [f"{scale:g}"]
        for name in ("flat", "all"):
            mean, error = estimate(found[scale, name])
            row += [f"{math.exp(mean):.4f}", f"{math.exp(mean) * error:.4f}"]
        change, error = estimate(changes)
        rows.append([*row, f"{estimate(found[scale, 'psnr'])[0]:.3f}", f"{change:+.3f}", f"{error:.3f}"])
    print(f"{args.model}: {len(found[1.0, 'psnr'])} pictures of {args.set}, energy against scale 1")
    for row in rows:
        print("".join(f"{cell:>16}" for cell in row))
    flat = [estimate(found[scale, "flat"])[0] for scale in sorted(scales)]
    falls = all(one > other for one, other in itertools.pairwise(flat))
    print(f"fine energy of flat areas falls as the ISO told grows: {falls}")
    if args.out is not None:
        with whole_file(args.out) as part, part.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(tyro.cli(Args, description=__doc__))))
