"""A photograph as the RAW file of another camera: any sharp picture, the f/2.2 phone lens before a noisy 10-bit sensor.

    python examples/simulate_raw.py PHOTO                             # writes out/PHOTO.dng and out/PHOTO.png
    python examples/simulate_raw.py PHOTO --depth depth.png --unit mm -o out/desk.dng --iso 3200
    python examples/simulate_raw.py PHOTO --depth 0.2                 # all of it at 20 cm
    python examples/simulate_raw.py PHOTO --middle                    # the middle of the phone's own sensor

The picture is brought back to linear light in the sensor's colours, blurred by every pixel's own kernel, thinned to a
Bayer mosaic, given the noise of a phone's sensor, and rounded. The DNG opens in raw converters, which find black,
white, white balance, colour matrix, ISO and noise profile in it. The PNG beside it shows what went in, and what comes
out of the camera at its lowest and at the chosen ISO. Without a depth map the picture is taken for a floor that runs
from 20 cm at its lower edge to the horizon at its upper one.

By default the lens covers the whole picture, whatever its size: a smaller picture is that of a camera with larger
pixels, and blur has fewer of them. With --middle pixels stay as they are, so that a network which was trained for the
lens restores the DNG; the command that does so is printed.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import torch
import tyro
from torch import Tensor

import optics
import psf
from psf import InputError
from psf.arguments import parse_arguments
from psf.command_line import run_command
from psf.runs import whole_file
from render.camera import Camera
from render.dng import write_dng
from render.metadata import random_metadata
from render.noise_presets import load_noise
from render.pictures import read_depth, read_picture
from render.raw_photo import RawPhoto
from render.sensor import RawSensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FLOOR_M = 0.20  # the lower edge of a picture without a depth map
LOWEST_ISO = 100.0
DETAIL_PX = 96  # side of the details that the PNG shows enlarged
SIDES_PX = (DETAIL_PX + 32, 6000)


@dataclass(frozen=True)
class Args:
    """Photograph a picture with a simulated camera, into a DNG."""

    photo: tyro.conf.Positional[Path]
    """A sharp picture: .jpg, .png, .tif ..."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """The DNG; the PNG stands beside it. By default out/PHOTO.dng."""
    depth: str | None = None
    """A depth map of the picture's size, or one distance in m for all of it."""
    unit: Literal["m", "cm", "mm", "dpt"] = "m"
    """Of the depth map."""
    iso: float = 1600.0
    """Of the DNG, 100 to 3200."""
    width_px: int = 1200
    """Wider pictures are scaled down to this; the lens covers the picture, whatever its size."""
    middle: bool = False
    """The picture is the middle of the lens's own sensor, pixel by pixel, not all of a camera with larger pixels."""
    field: Path | None = None
    """A PSF field (.h5) in place of the f/2.2 lens, which is traced anew each time."""
    seed: int = 1
    """Of the sensor's colours and of the noise."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 for done, 2 for input that cannot be used."""

    def start() -> None:
        start_s = time.perf_counter()
        args = parse_arguments(lambda: tyro.cli(Args, args=argv, description=Args.__doc__))
        out, picture, (left, top) = run(args)
        print(f"written: {out}, {picture} ({time.perf_counter() - start_s:.1f} s)")
        if args.middle:
            print(f"python -m learn.deblur restore {out} --model NETWORK.pt -o restored --window {left} {top}")

    return run_command(start, interrupted="interrupted; nothing is half written")


def run(args: Args) -> tuple[Path, Path, tuple[int, int]]:
    """Everything between the arguments and the two files; the sensor's column and row of the picture's first pixel."""
    out = Path("out") / f"{args.photo.stem}.dng" if args.out is None else args.out
    if out.suffix.lower() != ".dng":
        raise InputError("--out", out, "a name that ends in .dng")
    if not SIDES_PX[0] <= args.width_px <= SIDES_PX[1]:
        raise InputError("--width-px", args.width_px, f"{SIDES_PX[0]} to {SIDES_PX[1]} px")
    image, depth_m = load_scene(args)
    noise = load_noise("imx586")
    noise.levels(args.iso)  # refuses an ISO that is not known before anything takes time
    field = optics.psf_grid(optics.load("f2.2_fixedfocus")) if args.field is None else psf.load(args.field)
    shape = (int(image.shape[2]), int(image.shape[3]))
    camera = Camera(field.to(dtype=torch.float32), RawSensor("RGGB", bits=10, black_dn=64), noise)
    if not args.middle:
        camera = camera.fitted(shape)
    window = find_middle(shape, camera.image_shape_px)
    generator = torch.Generator().manual_seed(args.seed)
    colours = random_metadata(1, generator=generator)
    calm, photo = (
        camera.simulate(
            image, depth_m, iso=iso, window=window, metadata=colours, renderer="pixelwise", generator=generator
        )
        for iso in (LOWEST_ISO, args.iso)
    )
    if args.out is None:
        out.parent.mkdir(exist_ok=True)
    write_dng(out, photo.to_raw_file())
    picture = out.with_suffix(".png")
    with whole_file(picture) as part:
        compare(calm, photo, depth_m, field.provenance.lens).savefig(part, format="png", dpi=100)
    return out, picture, window


def find_middle(shape_px: tuple[int, int], sensor_px: tuple[int, int]) -> tuple[int, int]:
    """Sensor column and row, both even, of the first pixel of a picture (H, W) in the middle of a sensor (H, W)."""
    if shape_px[0] > sensor_px[0] or shape_px[1] > sensor_px[1]:
        found = f"a picture of {shape_px[1]} x {shape_px[0]} px"
        raise InputError("--middle", found, f"at most the sensor's {sensor_px[1]} x {sensor_px[0]} px; see --width-px")
    top, left = ((whole - part) // 4 * 2 for whole, part in zip(sensor_px, shape_px, strict=True))
    return left, top


def load_scene(args: Args) -> tuple[Tensor, Tensor]:
    """Picture in sRGB (1, 3, H, W) and depth in m (1, 1, H, W), of even sides and at most as wide as wanted."""
    image = read_picture(args.photo, encoding="linear")  # as it stands in the file
    image = image.expand(-1, 3, -1, -1)
    height, width = image.shape[2:]
    if min(height, width) < SIDES_PX[0]:
        raise InputError(str(args.photo), f"{width} x {height} px", f"{SIDES_PX[0]} px and more")
    if float(image.min()) < 0 or float(image.max()) > 1:
        raise InputError(str(args.photo), f"values up to {float(image.max()):g}", "sRGB from 0 to 1")
    depth_m = load_depth(args, height, width)
    if width > args.width_px:
        size = (round(height * args.width_px / width), args.width_px)
        image = torch.nn.functional.interpolate(image, size, mode="area")
        depth_m = torch.nn.functional.interpolate(depth_m, size, mode="nearest-exact")
    height, width = (side // 2 * 2 for side in image.shape[2:])
    return image[..., :height, :width].contiguous(), depth_m[..., :height, :width].contiguous()


def load_depth(args: Args, height: int, width: int) -> Tensor:
    """Depth in m, (1, 1, H, W): a map, one number, or a floor."""
    if args.depth is None:
        down = torch.linspace(0, 1, height)[:, None].expand(height, width)
        return (FLOOR_M / down)[None, None]  # dioptres grow evenly from the horizon down, as those of a floor do
    try:
        distance_m = float(args.depth)
    except ValueError:
        depth_m = read_depth(args.depth, unit=args.unit, fill="nearest")
        if tuple(depth_m.shape[2:]) != (height, width):
            found = f"{depth_m.shape[3]} x {depth_m.shape[2]} px"
            raise InputError(args.depth, found, f"{width} x {height} px, as {args.photo} has") from None
        return depth_m
    if not distance_m > 0:
        raise InputError("--depth", args.depth, "a depth map, or a distance above 0 m")
    return torch.full((1, 1, height, width), distance_m)


def compare(calm: RawPhoto, photo: RawPhoto, depth_m: Tensor, lens: str) -> Figure:
    """What went in and what came out: whole pictures above, a near and a far detail of each below."""
    from matplotlib.figure import Figure
    from matplotlib.gridspec import GridSpec
    from matplotlib.patches import Rectangle

    columns = [
        ("perfect lens, no noise", photo.developed(photo.target)),
        (f"simulated, ISO {float(calm.iso[0]):g}", calm.developed()),
        (f"simulated, ISO {float(photo.iso[0]):g}", photo.developed()),
    ]
    height, width = photo.shape_px
    spots = find_details(columns[0][1][0], depth_m[0, 0])
    wide = 5.0
    tall = wide * height / width
    figure = Figure(figsize=(3 * wide + 0.4, tall + wide / 2 + 1.1))
    grid = GridSpec(
        2,
        6,
        figure,
        height_ratios=(tall, wide / 2),
        left=0.012,
        right=0.988,
        top=0.9,
        bottom=0.05,
        wspace=0.04,
        hspace=0.1,
    )
    for n, (title, picture) in enumerate(columns):
        whole = figure.add_subplot(grid[0, 2 * n : 2 * n + 2])
        whole.imshow(picture[0].movedim(0, -1).numpy(), interpolation="antialiased")
        whole.set_title(title, fontsize=14)
        whole.set_axis_off()
        for k, (top, left) in enumerate(spots):
            whole.add_patch(Rectangle((left, top), DETAIL_PX, DETAIL_PX, fill=False, edgecolor="white", linewidth=1))
            detail = figure.add_subplot(grid[1, 2 * n + k])
            part = picture[0, :, top : top + DETAIL_PX, left : left + DETAIL_PX]
            detail.imshow(part.movedim(0, -1).numpy(), interpolation="nearest")
            detail.set_axis_off()
            depth = float(depth_m[0, 0, top + DETAIL_PX // 2, left + DETAIL_PX // 2])
            detail.text(0.5, -0.03, name_depth(depth), transform=detail.transAxes, ha="center", va="top", fontsize=11)
    sensor = photo.sensor
    facts = f"{width} x {height} px, {sensor.bits} bits, {sensor.pattern}, developed without noise reduction"
    figure.suptitle(f"{lens or 'a lens'}: {facts}", fontsize=12)
    return figure


def find_details(picture: Tensor, depth_m: Tensor) -> list[tuple[int, int]]:
    """Top and left of the most detailed square in the nearer and in the farther half; (3, H, W) and (H, W)."""
    grey, dioptres = picture.mean(0), 1 / depth_m
    rough = (grey - torch.nn.functional.avg_pool2d(grey[None], 5, 1, 2)[0]).square()[None, None]
    step = DETAIL_PX // 4
    detail, nearness = (
        torch.nn.functional.avg_pool2d(one, DETAIL_PX, step)[0, 0] for one in (rough, dioptres[None, None])
    )
    middle = nearness.median()
    found = []
    for half in (nearness >= middle, nearness <= middle):
        place = int(torch.where(half, detail, -1.0).argmax())
        found.append((place // detail.shape[1] * step, place % detail.shape[1] * step))
    return found


def name_depth(depth_m: float) -> str:
    """A distance for people."""
    if math.isinf(depth_m) or depth_m > 100:
        return "far away"
    return f"at {100 * depth_m:.0f} cm" if depth_m < 1 else f"at {depth_m:.1f} m"


if __name__ == "__main__":
    sys.exit(main())
