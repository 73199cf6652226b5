"""From a lens file to the PSF field of its camera, with the numbers and pictures to judge it by.

    python examples/trace_lens.py f2.2_fixedfocus
    python examples/trace_lens.py camera_rf50mm_f1p8 --nearest-m 3 --f-number 2.8
    python examples/trace_lens.py stack_12mm_f2.8 --focus-m 0.5 --nearest-m 0.3 --out out/stack
    python examples/trace_lens.py my_lens.json --wavelengths 0.656 0.588 0.486 --quick

Writes into `--out`: NAME.h5 (the field; `psf.load` reads it), NAME.csv (a row per depth, image height and channel) and
the pictures NAME_layout.png, NAME_spots.png, NAME_montage.png, NAME_curves.png. Nothing is written before all of it is
computed.
"""

from __future__ import annotations

import csv
import io
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import torch
import tyro
from tqdm import tqdm

import optics
from optics.analysis import find_encircled_diameters_px, find_field_curves, find_spots, trace_fans
from psf import Channel, InputError, PolarPSFField
from psf.arguments import parse_arguments
from psf.command_line import run_command
from psf.metrics import find_centroid_px, find_rms_radius_px
from psf.runs import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWN_RADII = (0.0, 0.35, 0.7, 1.0)
CURVE_RADII = tuple(i / 40 for i in range(41))
SHORTEST_UM, LONGEST_UM = 0.2, 20.0


@dataclass(frozen=True)
class Args:
    """Trace a lens: its data, pictures, and the PSF field of the camera over depth and image height."""

    lens: Annotated[str, tyro.conf.Positional]
    """A bundled lens such as f2.2_fixedfocus, or the path of a lens file."""
    depths: int | None = None
    """Depths of the field, uniform in dioptres from the nearest one to infinity: 20, or 5 with --quick."""
    radii: int | None = None
    """Image heights of the field, even from the centre to the corner: 20, or 5 with --quick."""
    nearest_m: float | None = None
    """The nearest depth in m from the first vertex; by default the lens's own."""
    kernel_px: int | None = None
    """Side of the kernels, odd; by default the smallest that holds 99 % of the light of 99 % of them."""
    oversample: int = 1
    """Stored values per pixel and axis, 1 to 4."""
    pitch_um: float | None = None
    """Another pixel pitch. The sensor keeps its size in mm and gets more or fewer pixels, rounded to whole ones."""
    f_number: float | None = None
    """Stop the lens down to this paraxial f-number."""
    focus_m: float | None = None
    """Move the sensor to where the spot of an object at this distance is smallest on the axis; inf is allowed."""
    wavelengths: tuple[str, ...] = ()
    """Wavelengths in um, a word per channel: "0.656 0.588 0.486"; several per channel with commas, or as JSON:
    "[[0.62, 0.65], [0.53, 0.56], [0.45, 0.48]]". By default those of the lens."""
    out: Path = Path("out")
    """Folder for the results."""
    quick: bool = False
    """Few depths and image heights: a look in seconds."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 for done, 2 for input that cannot be used."""
    return run_command(
        lambda: run(parse_arguments(lambda: tyro.cli(Args, args=argv, description=Args.__doc__))),
        interrupted="interrupted; nothing is half written",
    )


def run(args: Args) -> None:
    """All that the command does: load, print, compute, then write."""
    from optics import draw
    from psf import plots

    if args.out.exists() and not args.out.is_dir():
        raise InputError("--out", f"{args.out}, which is a file", "a folder")
    lens = prepare(args)
    depths_m = choose_depths_m(args, lens)
    radii = choose_radii(args)
    print("\n".join(describe(lens, float(depths_m[0]))))

    start = time.perf_counter()
    with tqdm(total=len(depths_m) * len(radii) * len(lens.channels), unit="kernel", leave=False, disable=None) as bar:
        field = optics.psf_grid(
            lens,
            depths_m,
            radii,
            kernel_px=args.kernel_px,
            oversample=args.oversample,
            on_progress=lambda done, total: advance(bar, done, total),
        )
    grid_s = time.perf_counter() - start
    depths, heights, channels = field.transmission.shape
    print(
        f"PSF field            {depths} depths x {heights} image heights x {channels} channels, {field.kernel_px} px, "
        f"in {grid_s:.2f} s; loses at most {float(field.lost.max()):.1%} of a kernel's light"
    )

    start = time.perf_counter()
    fans = trace_fans(lens, DRAWN_RADII)
    spot_depths_m = [float(depths_m[i]) for i in sorted({0, len(depths_m) // 2, len(depths_m) - 1})]
    spots = find_spots(lens, DRAWN_RADII, spot_depths_m)
    curves = find_field_curves(lens, CURVE_RADII)
    facts_s = time.perf_counter() - start

    start = time.perf_counter()
    middle = min(1, channels - 1)
    pitch_um = lens.sensor.pitch_um
    table = tabulate(field)
    pictures = {
        "layout": draw.plot_layout(lens, fans),
        "spots": draw.plot_spots(spots, pitch_um, f"{lens.name}: spot diagrams, focused at {show_depth(lens.focus_m)}"),
        "montage": plots.plot_montage(field, channel=middle),
        "curves": draw.plot_field_curves(curves, pitch_um, lens.name),
    }
    files: dict[str, Callable[[Path], object]] = {f"{lens.name}.csv": lambda path: path.write_bytes(table)}
    for name, figure in pictures.items():
        files[f"{lens.name}_{name}.png"] = saver(figure)
    args.out.mkdir(parents=True, exist_ok=True)
    field.save(args.out / f"{lens.name}.h5")
    for file, write in files.items():
        with whole_file(args.out / file) as part:
            write(part)
    rest_s = time.perf_counter() - start
    print(f"spots and curves     in {facts_s:.2f} s; table and pictures in {rest_s:.2f} s")
    print("written              " + ", ".join(str(args.out / name) for name in (f"{lens.name}.h5", *files)))


def prepare(args: Args) -> optics.Lens:
    """The lens as the arguments want it: pixels, then channels, stop and focus."""
    lens = optics.load(args.lens)
    if args.pitch_um is not None:
        # Checked by Sensor; here only a division by it must be possible.
        ratio = lens.sensor.pitch_um / args.pitch_um if args.pitch_um > 0 else math.nan
        sizes = [n * ratio for n in lens.sensor.image_shape_px]
        if not all(0.5 < size < 1e6 for size in sizes):
            raise InputError("--pitch-um", args.pitch_um, "a pitch that makes 1 to 1,000,000 pixels of a side")
        lens = replace(lens, sensor=optics.Sensor((round(sizes[0]), round(sizes[1])), args.pitch_um))
    if args.wavelengths:
        lens = replace(lens, channels=parse_channels(" ".join(args.wavelengths)))
    if args.f_number is not None:
        lens = lens.stopped_down(args.f_number)
    if args.focus_m is not None:
        lens = lens.refocused(args.focus_m, "spot")
    return lens


def choose_depths_m(args: Args, lens: optics.Lens) -> torch.Tensor:
    """Depths of the field, (D,)."""
    count = args.depths if args.depths is not None else 5 if args.quick else 20
    nearest_m = lens.nearest_m if args.nearest_m is None else args.nearest_m
    return optics.default_depths_m(nearest_m, count)


def choose_radii(args: Args) -> torch.Tensor:
    """Image heights of the field, (R,)."""
    count = args.radii if args.radii is not None else 5 if args.quick else 20
    if count < 2:
        raise InputError("--radii", count, "at least 2")
    return torch.linspace(0, 1, count, dtype=torch.float64)


def parse_channels(text: str) -> tuple[Channel, ...]:
    """Channels of even weights from "0.656 0.588 0.486", "0.62,0.65 0.55 0.46" or JSON lists."""
    expected = 'wavelengths in um, such as "0.656 0.588 0.486" or "[[0.62, 0.65], [0.55], [0.46]]"'
    try:
        if text.lstrip().startswith("["):
            rows = [row if isinstance(row, list) else [row] for row in json.loads(text)]
        else:
            rows = [[float(one) for one in word.split(",")] for word in text.split()]
        numbers = [[float(one) for one in row] for row in rows]
    except (ValueError, TypeError):
        raise InputError("--wavelengths", repr(text), expected) from None
    if not numbers or not all(numbers):
        raise InputError("--wavelengths", repr(text), expected)
    for one in (value for row in numbers for value in row):
        if not SHORTEST_UM <= one <= LONGEST_UM:
            raise InputError("--wavelengths", one, f"wavelengths in um, {SHORTEST_UM:g} to {LONGEST_UM:g}")
    names = "RGB" if len(numbers) == 3 else [f"{row[0]:g} um" for row in numbers]
    return tuple(Channel(name, tuple(row)) for name, row in zip(names, numbers, strict=True))


def describe(lens: optics.Lens, nearest_m: float) -> list[str]:
    """The lens's data for people."""
    facts = optics.first_order(lens)
    height, width = lens.sensor.image_shape_px
    pitch_um, corner_mm = lens.sensor.pitch_um, lens.sensor.half_diagonal_mm
    sensor_mm = (1e-3 * width * pitch_um, 1e-3 * height * pitch_um)
    diagonal = math.hypot(height, width)
    chief = optics.chief_rays(lens, torch.tensor([width / diagonal, height / diagonal, 1.0], dtype=torch.float64))
    angles = [2 * math.degrees(math.atan(abs(float(slope)))) for slope in chief.slope]
    defocus_um = 1e3 * float(facts.paraxial_defocus_of_image_plane_mm)
    near = optics.conjugate(lens, nearest_m)
    way_um = 1e3 * float(near.image_distance_from_last_vertex_mm - facts.image_plane_from_last_vertex_mm)
    rows = [
        ("focal length", f"{float(facts.efl_mm):.4f} mm at {1e3 * lens.reference_wavelength_um:.1f} nm"),
        ("f-number", f"{float(facts.f_number_infinity):.3f}"),
        (
            "field of view",
            f"{angles[0]:.1f} x {angles[1]:.1f} deg, {angles[2]:.1f} deg along the diagonal (chief rays)",
        ),
        ("image height", f"{corner_mm:.4f} mm at the corner"),
        ("sensor", f"{width} x {height} px of {pitch_um:g} um, {sensor_mm[0]:.3f} x {sensor_mm[1]:.3f} mm"),
        ("track", f"{lens.track_mm:.4f} mm from the first vertex to the sensor, {len(lens.surfaces)} surfaces"),
        (
            "entrance pupil",
            show_pupil(facts.entrance_pupil_semi_diameter_mm, facts.entrance_pupil_from_first_vertex_mm, "first"),
        ),
        ("exit pupil", show_pupil(facts.exit_pupil_semi_diameter_mm, facts.exit_pupil_from_last_vertex_mm, "last")),
        ("focus", f"{show_depth(lens.focus_m)}; sensor {defocus_um:+.1f} um from the paraxial focus of infinity"),
        (
            f"image of {show_depth(nearest_m)}",
            f"{way_um:+.1f} um from the sensor, magnification {float(near.magnification):.5f}, "
            f"working f-number {float(near.working_f_number):.3f}",
        ),
        *((f"channel {c.name}", show_channel(c)) for c in lens.channels),
    ]
    heading = f"{lens.name}: {lens.title}" if lens.title else lens.name
    return [heading, *(f"{name:<20} {text}" for name, text in rows)]


def show_pupil(semi_mm: torch.Tensor, place_mm: torch.Tensor, vertex: str) -> str:
    """Diameter and place of a pupil."""
    return f"{2 * float(semi_mm):.4f} mm wide, {float(place_mm):+.4f} mm from the {vertex} vertex"


def show_channel(channel: Channel) -> str:
    """Wavelengths with their shares."""
    total = sum(channel.weights)
    pairs = zip(channel.wavelengths_um, channel.weights, strict=True)
    return ", ".join(f"{wavelength:.4f} um ({weight / total:.0%})" for wavelength, weight in pairs)


def show_depth(depth_m: float) -> str:
    """A depth for people."""
    return "infinity" if math.isinf(depth_m) else f"{depth_m:g} m"


def tabulate(field: PolarPSFField) -> bytes:
    """The field as CSV: a row per depth, image height and channel; sizes in pixels, of the light in the window."""
    side, fine = field.kernel_px, field.oversample
    kernels = field.kernels.unflatten(-1, (side, fine)).unflatten(-3, (side, fine)).sum((-3, -1)).double()
    columns = {
        "rms_radius_px": find_rms_radius_px(kernels),
        "centroid_column_px": find_centroid_px(kernels)[..., 0],
        **{
            f"encircled_{name}_diameter_px": value
            for name, value in zip(
                ("50", "80"), find_encircled_diameters_px(kernels, (0.5, 0.8)).unbind(-1), strict=True
            )
        },
        "transmission": field.transmission,
        "lost": field.lost,
    }
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["depth_m", "radius", "channel", *columns])
    for d, depth_m in enumerate(field.depths_m.tolist()):
        for r, radius in enumerate(field.radii.tolist()):
            for c, channel in enumerate(field.channels):
                # 10 digits behind the point: what rounding leaves of a zero is none of the reader's business.
                numbers = [f"{round(float(values[d, r, c]), 10):.6g}" for values in columns.values()]
                writer.writerow([f"{depth_m:.6g}", f"{radius:.6g}", channel.name, *numbers])
    return text.getvalue().encode()


def advance(bar: tqdm[None], done: int, total: int) -> None:
    """Move a progress bar to `done`."""
    bar.total = total
    bar.update(done - bar.n)


def saver(figure: Figure) -> Callable[[Path], object]:
    """What writes a figure."""
    return lambda path: figure.savefig(path, dpi=150, format="png")


if __name__ == "__main__":
    sys.exit(main())
