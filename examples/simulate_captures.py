"""A lens of ours photographs a display: pairs of pictures, sharp and blurred, that an estimator can be tried on.

    python examples/simulate_captures.py                                       # out/captures.npz, 180 pairs
    python examples/simulate_captures.py --focus-m 0.5 0.72 1.415 --pairs 60 -o out/stack_captures
    python examples/simulate_captures.py --lens camera_rf50mm_f1p8 --bin 4 --near-m 0.6 --far-m 5 --focus-m 1.2

By default the camera of Wu, Monno and Okutomi: a 12 mm f/2.8 with its pixels binned by 4 (13.44 um, 1296 x 972 px),
focused to 0.5 m, 180 depths from 0.5 to 1.415 m even in dioptres, a crop each at a random place, dead leaves for a
texture, noise of 0.005 in both pictures. Kernels are traced through the lens at a few points of every crop, none of
which any field is stored at; the last line says how far kernels blended between them are from traced ones. More than
one focus distance: the first one's scale is the sharp pictures', the others show a scaled display.
"""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro
from torch import Tensor
from tqdm import tqdm

import optics
from optics.geometric import image_scale, kernels_at
from psf import Channel, InputError
from psf.arguments import parse_arguments
from psf.capture_files import write_captures
from psf.captures import Captures
from psf.command_line import run_command
from psf.patterns import find_textures, make_dead_leaves
from psf.turning import polar_place
from render.capture_simulation import SimulatedFocus, simulate_captures
from render.pictures import read_picture

# One wavelength for a grey picture.
GREEN_UM = 0.55
# Display pixels as large as the sensor's fit one to one at one scale and lie between pixels at all others, which blurs
# these by 0.4 px that no kernel of the lens has; half as large they blur far less.
FINE_DISPLAY_PX = 0.5


@dataclass(frozen=True)
class Args:
    """Photograph a display through a lens."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("out/captures.npz")
    """An .npz file, or a folder that is new or empty."""
    lens: str = "stack_12mm_f2.8"
    """A bundled lens or the path of a lens file."""
    focus_m: tuple[float, ...] = (0.5,)
    """Focus distances in m, ascending; the sharp pictures have the scale of the first."""
    bin: int = 4
    """So many pixels a side become one."""
    pairs: int = 180
    """Depths, a pair each per focus distance."""
    near_m: float = 0.5
    """Nearest depth of the display."""
    far_m: float = 1.415
    """Farthest."""
    crop_px: int = 128
    """Side of the blurred pictures."""
    kernel_px: int = 25
    """Side of the kernels, odd."""
    node_px: int = 16
    """Kernels are traced at every so many pixels of a crop; half of it is four times as true and four times as slow."""
    placing: Literal["area", "radius"] = "area"
    """Crops lie evenly over the sensor, or evenly over image heights."""
    noise: float = 0.005
    """Standard deviation, white is 1, of both pictures."""
    colour: bool = False
    """Red, green and blue, three wavelengths each, instead of one wavelength."""
    textures: Path | None = None
    """A folder of pictures to show instead of dead leaves."""
    display_pixel_px: float | None = None
    """Side of the display's pixels on the sensor; by default 1, and 0.5 for dead leaves at several focus distances."""
    seed: int = 0
    """The same seed gives the same pictures."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 for done, 2 for input that cannot be used."""

    def start() -> None:
        captures = run(parse_arguments(lambda: tyro.cli(Args, args=argv, description=Args.__doc__)))
        print(repr(captures))
        told = captures.provenance
        if told["blend_l1_max"] is not None:
            mean, most = (100 * told[name] for name in ("blend_l1_mean", "blend_l1_max"))
            print(
                f"light in the wrong place by blending kernels between nodes: {mean:.2f} % (mean), {most:.2f} % (most)"
            )

    return run_command(start, interrupted="interrupted; nothing is half written")


def run(args: Args) -> Captures:
    """Trace, photograph, write."""
    if not args.focus_m or any(b <= a for a, b in itertools.pairwise(args.focus_m)) or args.focus_m[0] <= 0:
        raise InputError("--focus-m", args.focus_m, "distances above 0 m, ascending")
    if not 0 < args.near_m < args.far_m:
        raise InputError("--near-m, --far-m", (args.near_m, args.far_m), "two depths above 0, ascending")
    if args.pairs < 1:
        raise InputError("--pairs", args.pairs, "1 or more")
    if args.display_pixel_px is not None and not 0.1 <= args.display_pixel_px <= 10:
        raise InputError("--display-pixel-px", args.display_pixel_px, "0.1 to 10")
    if args.out.suffix != ".npz" and args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())):
        raise InputError("--out", str(args.out), "an .npz file, or a folder that is new or empty")
    lens = bin_pixels(optics.load(args.lens), args.bin)
    reference = lens.refocused(args.focus_m[0])
    channels = lens.channels if args.colour else (Channel("G", (GREEN_UM,)),)
    focuses = [make_focus(lens.refocused(one), reference, one, channels, args.kernel_px) for one in args.focus_m]
    generator = torch.Generator().manual_seed(args.seed)
    dioptres = torch.linspace(1 / args.near_m, 1 / args.far_m, args.pairs, dtype=torch.float64)
    with tqdm(total=args.pairs * len(focuses), unit="photograph", leave=False, disable=None) as bar:
        captures = simulate_captures(
            show_displays(args, lens, focuses, generator),
            focuses,
            1 / dioptres,
            image_shape_px=lens.sensor.image_shape_px,
            kernel_px=args.kernel_px,
            generator=generator,
            crop_px=(args.crop_px, args.crop_px),
            display_pixel_px=find_display_pixel_px(args),
            placing=args.placing,
            noise=args.noise,
            node_px=args.node_px,
            pitch_um=lens.sensor.pitch_um,
            f_number=float(optics.first_order(lens).f_number_infinity),
            on_progress=lambda done, _: bar.update(done - bar.n),
        )
    captures = replace(captures, provenance={**captures.provenance, "lens": lens.name, "seed": args.seed})
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_captures(args.out, captures)
    return captures


def make_focus(
    lens: optics.Lens, reference: optics.Lens, focus_m: float, channels: tuple[Channel, ...], kernel_px: int
) -> SimulatedFocus:
    """A focused lens as the simulation asks for it."""
    trace = functools.partial(trace_kernels, lens, reference, channels, kernel_px)
    return SimulatedFocus(trace, focus_m, image_scale(lens, reference) if lens is not reference else 1.0)


def trace_kernels(
    lens: optics.Lens,
    reference: optics.Lens,
    channels: tuple[Channel, ...],
    kernel_px: int,
    x_px: Tensor,
    y_px: Tensor,
    depth_m: Tensor,
) -> Tensor:
    """Kernels of N pixels, each really traced, shape (N, C, K, K)."""
    radius, cosine, sine = polar_place(x_px, y_px, lens.sensor.image_shape_px)
    azimuth_rad = torch.atan2(sine, cosine).tolist()
    options = {"kernel_px": kernel_px, "reference": reference, "check_loss": False}
    return kernels_at(lens, radius.clamp_max(1).tolist(), azimuth_rad, depth_m.tolist(), channels, **options).kernels


def find_display_pixel_px(args: Args) -> float:
    """Side of the display's pixels on the sensor."""
    if args.display_pixel_px is not None:
        return args.display_pixel_px
    return FINE_DISPLAY_PX if len(args.focus_m) > 1 and args.textures is None else 1.0


def show_displays(
    args: Args, lens: optics.Lens, focuses: Sequence[SimulatedFocus], generator: torch.Generator
) -> list[Tensor]:
    """What the display shows, larger than crop, kernel and breathing: textures, or leaves, a picture per 20 pairs."""
    if args.textures is not None:
        return [read_picture(file)[0].mean(0, keepdim=True) for file in find_textures(args.textures)]
    half_px = 0.5 * sum(side**2 for side in lens.sensor.image_shape_px) ** 0.5
    reach = half_px * max(abs(1 / one.magnification - 1) for one in focuses)
    side = round((3 * args.crop_px + args.kernel_px + 2 * round(reach + 1)) / find_display_pixel_px(args))
    count = -(-args.pairs // 20)
    return [make_dead_leaves((side, side), generator=generator, is_coloured=args.colour) for _ in range(count)]


def bin_pixels(lens: optics.Lens, count: int) -> optics.Lens:
    """The same lens before a sensor of which `count` x `count` pixels are read as one."""
    height, width = lens.sensor.image_shape_px
    if count < 1 or height < count or width < count:
        raise InputError("--bin", count, f"1 to {min(height, width)}")
    return replace(lens, sensor=optics.Sensor((height // count, width // count), lens.sensor.pitch_um * count))


if __name__ == "__main__":
    sys.exit(main())
