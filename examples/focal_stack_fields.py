"""The fields of a focal-stack camera: one lens at several focus distances, as `python -m learn.dfd` takes them.

    python examples/focal_stack_fields.py                          # out/stack/F_0.5.h5 ... F_1.415.h5
    python examples/focal_stack_fields.py --focus-m 0.3 0.5 1.0 --lens phone_us9651759 --bin 1 --near-m 0.25 --far-m 2

By default the 12 mm f/2.8 with its 20 megapixels binned by 4 (13.44 um, 1296 x 972 px) at 0.5, 0.59, 0.72, 0.94 and
1.415 m: the camera of Wu, Monno and Okutomi, with a patent's lens in place of theirs. The first focus distance is the
reference: sharp pictures and depth maps have its image scale. Each of the others shows a smaller picture (the lens
breathes); that scale is the field's `magnification`, and its kernels hold what distortion leaves of the shift.

Kernels are stored three times finer than pixels. Turning kernels of whole pixels blurs them: the share of the light in
the wrong place, against kernels traced for the very pixel, is 0.04 with them and 0.13 without.
"""

from __future__ import annotations

import itertools
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from simulate_captures import bin_pixels
from tqdm import tqdm

import optics
from psf import InputError
from psf.arguments import parse_arguments
from psf.command_line import run_command

# Stored depths go a little beyond those of the scenes: between them is interpolated, beyond them is not.
BEYOND = 0.05


@dataclass(frozen=True)
class Args:
    """Trace a lens at several focus distances."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("out/stack")
    """Folder for the fields, F_0.5.h5 and so on; it is made."""
    lens: str = "stack_12mm_f2.8"
    """A bundled lens or the path of a lens file."""
    focus_m: tuple[float, ...] = (0.5, 0.59, 0.72, 0.94, 1.415)
    """Focus distances in m, ascending; the first one is the reference."""
    bin: int = 4
    """So many pixels a side become one."""
    near_m: float = 0.5
    """Nearest depth of the scenes."""
    far_m: float = 1.415
    """Farthest."""
    depths: int = 24
    """Stored depths, even in dioptres."""
    radii: int = 20
    """Stored image heights."""
    kernel_px: int | None = 21
    """Side of the kernels in binned pixels, odd."""
    oversample: int = 3
    """Stored values per pixel and axis, 1 to 4."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 for done, 2 for input that cannot be used."""

    def start() -> None:
        for path in run(parse_arguments(lambda: tyro.cli(Args, args=argv, description=Args.__doc__))):
            print(f"written: {path}")

    return run_command(start, interrupted="interrupted; nothing is half written")


def run(args: Args) -> list[Path]:
    """Trace and write; the files."""
    focus_m = args.focus_m
    if len(focus_m) < 2 or any(b <= a for a, b in itertools.pairwise(focus_m)) or focus_m[0] <= 0:
        raise InputError("--focus-m", focus_m, "two distances or more, ascending")
    if not 0 < args.near_m < args.far_m:
        raise InputError("--near-m, --far-m", (args.near_m, args.far_m), "two depths above 0, ascending")
    if args.depths < 2:
        raise InputError("--depths", args.depths, "2 or more")
    if args.radii < 2:
        raise InputError("--radii", args.radii, "2 or more")
    lens = bin_pixels(optics.load(args.lens), args.bin)
    near_dpt, far_dpt = (1 + BEYOND) / args.near_m, (1 - BEYOND) / args.far_m
    depths_m = 1 / torch.linspace(near_dpt, far_dpt, args.depths, dtype=torch.float64)
    radii = torch.linspace(0, 1, args.radii, dtype=torch.float64)
    reference = lens.refocused(focus_m[0])
    args.out.mkdir(parents=True, exist_ok=True)
    paths = []
    for one_m in tqdm(focus_m, unit="field", leave=False, disable=None):
        with warnings.catch_warnings():
            # The field says what its windows lose; the line below does, too.
            warnings.simplefilter("ignore", UserWarning)
            field = optics.psf_grid(
                lens.refocused(one_m),
                depths_m,
                radii,
                reference=reference,
                kernel_px=args.kernel_px,
                oversample=args.oversample,
            )
        path = args.out / f"F_{one_m:g}.h5"
        field.save(path)
        paths.append(path)
        told = f"image scale {field.magnification:.5f}, kernels of {field.kernel_px} px"
        tqdm.write(f"focus {one_m:g} m: {told}, up to {100 * float(field.lost.max()):.1f} % of the light outside")
    return paths


if __name__ == "__main__":
    sys.exit(main())
