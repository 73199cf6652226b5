"""Ways to restore what is too near, side by side: a resolution chart, and a near card before a far, sharp wall.

    python examples/compare_methods.py                                  # what learns nothing; needs no file
    python examples/compare_methods.py --model runs/M.pt runs/bank.pt   # networks and ridge banks as well

Both scenes are photographed through the f/2.2 lens that is focused at infinity, each pixel with its own kernel, near
things hiding far ones, with a phone's noise and 10 bits. The card is photographed twice, before the wall and with all
of the picture as near as the card. Inside the card (half a blur's width from its edge) both photographs are the same
to the bit, so a method that looks at the place itself does the same to it; one that judges the blur by all of the
picture, as PolyBlur does, may not. Wiener and Richardson-Lucy are told the depth.

Written: chart.png, near_and_far.png, contrast.png, and two tables: PSNR of the developed pictures (flat, as in the
tables of learn.deblur), and the contrast of every line group against that of a perfect lens.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import shots
import torch
import tyro
from charts import (
    LEAST_PX,
    Chart,
    draw_chart,
    draw_near_and_far,
    find_contrast,
    find_region_psnr_db,
    list_periods,
    shrink,
)
from torch import Tensor

from learn.deblur.methods import CAUTION
from psf import InputError
from render.metadata import random_metadata
from render.raw_photo import RawPhoto

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EDGE_PX = 4.0  # beyond half the blur, kept from the card's edge and the picture's border


@dataclass(frozen=True)
class Args:
    """Compare restorers on a near chart, and on a near card before a far wall."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("out/compare")
    """Folder for tables and pictures."""
    model: tuple[Path, ...] = ()
    """Networks of python -m learn.deblur train, and ridge banks."""
    any_lens: bool = False
    """Take networks that were trained for another lens."""
    near_m: float = 0.12
    """Distance of chart and card."""
    far_m: float = 3.0
    """Distance of the wall, which is sharp there."""
    iso: float = 200.0
    """100 to 3200."""
    picture_px: tuple[int, int] = (704, 960)
    """Height and width of the part of the sensor that is used."""
    window: tuple[int, int] | None = None
    """Sensor column and row of its first pixel, even; by default the middle of the sensor."""
    rounds: int = 10
    """Of Richardson-Lucy, the slowest method; 0 leaves it out."""
    caution: float = CAUTION
    """Of Wiener: noise counts so many times. The usual value is that of photographs; a flat chart allows 1."""
    field: Path | None = None
    """A PSF field (.h5) in place of the f/2.2 lens, which is traced anew each time."""
    seed: int = 1
    """Of colours, wall and noise."""


@dataclass(frozen=True)
class Result:
    """PSNR in dB of the regions of one method's pictures."""

    method: str
    told: str
    chart_db: float
    card_all_near_db: float
    card_before_wall_db: float
    wall_db: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 for done, 2 for input that cannot be used."""
    return shots.run_command(Args, Args.__doc__, argv, run)


def run(args: Args) -> str:
    """Everything between the arguments and the files; returns the tables."""
    start = time.perf_counter()
    check(args)
    camera = shots.open_camera(args.field)
    trained = shots.from_files(args.model, camera, any_lens=args.any_lens)
    restorers = [shots.recorded(), *shots.classical(camera, caution=args.caution, rounds=args.rounds), *trained]
    blur_px = shots.find_blur_px(shots.find_field(camera), args.near_m)
    chart = draw_chart(args.picture_px)
    near_and_far = draw_near_and_far(
        args.picture_px, near_m=args.near_m, far_m=args.far_m, generator=torch.Generator().manual_seed(args.seed)
    )
    all_near = torch.full_like(near_and_far.depth_m, args.near_m)
    scenes = (
        (chart.image, all_near),
        (near_and_far.image, all_near),
        (near_and_far.image, near_and_far.depth_m),
    )
    margin_px = blur_px / 2 + EDGE_PX
    whole = shrink(torch.ones_like(near_and_far.card), margin_px)
    card = shrink(near_and_far.card, margin_px)
    regions = (whole, card, card, shrink(~near_and_far.card, margin_px))
    out = shots.make_folder(args.out)
    with shots.progress("methods", len(scenes) + len(restorers) * len(scenes)) as step:
        photos = []
        for image, depth_m in scenes:
            photos.append(photograph(camera, image, depth_m, args))
            step("photograph")
        results, shown, contrasts = [], {}, {}
        for restorer in restorers:
            flat, bright = [], []
            for photo, (_, depth_m) in zip(photos, scenes, strict=True):
                light = restorer.restore(photo, depth_m)
                flat.append(restorer.show(photo, light, "flat"))
                bright.append(restorer.show(photo, light))
                step(restorer.name)
            results.append(judge(restorer, photos, flat, regions))
            shown[restorer.name] = bright
            contrasts[restorer.name] = measure_contrasts(
                chart, flat[0], shots.develop(photos[0], photos[0].target, "flat")
            )
    shown["perfect lens"] = [shots.develop(photo, photo.target) for photo in photos]
    shots.write_table(out / "psnr.csv", [vars(one) for one in results])
    periods = list_periods(chart.groups)
    heads = [f"{period:g}_px" for period in periods]
    table = [
        {"method": name} | dict(zip(heads, (round(value, 4) for value in values), strict=True))
        for name, values in contrasts.items()
    ]
    shots.write_table(out / "contrast.csv", table)
    facts = f"at {100 * args.near_m:g} cm, blur of {blur_px:.0f} px, ISO {args.iso:g}"
    names = {one.method: f"{one.chart_db:.1f} dB" for one in results}
    shots.write_figure(out / "chart.png", show_all({n: p[0] for n, p in shown.items()}, names, f"Chart {facts}"))
    names = {
        one.method: f"card {one.card_before_wall_db:.1f} dB ({one.card_all_near_db:.1f} without wall), "
        f"wall {one.wall_db:.1f} dB"
        for one in results
    }
    title = f"Card {facts}, before a wall at {args.far_m:g} m"
    shots.write_figure(out / "near_and_far.png", show_all({n: p[2] for n, p in shown.items()}, names, title))
    shots.write_figure(out / "contrast.png", draw_contrasts(periods, contrasts, blur_px))
    said = [print_psnr(results), "", print_contrasts(periods, contrasts)]
    said.append(f"written to {out}: psnr.csv, contrast.csv, three pictures ({time.perf_counter() - start:.0f} s)")
    return "\n".join(said)


def check(args: Args) -> None:
    """Refuse arguments before anything takes time."""
    shots.check_range("--near-m", args.near_m, 0.1, 10.0, "m")
    if not args.far_m > args.near_m:
        raise InputError("--far-m", args.far_m, f"more than --near-m, {args.near_m:g} m")
    shots.check_range("--iso", args.iso, *shots.ISOS)
    shots.check_range("--rounds", args.rounds, 0, 1000)
    shots.check_range("--caution", args.caution, 1e-3, 1e6)
    for side, least in zip(args.picture_px, LEAST_PX, strict=True):
        shots.check_range("--picture-px", side, least, 4032, "px")
        if side % 2:
            raise InputError("--picture-px", side, "even numbers")


def photograph(camera: shots.Camera, image: Tensor, depth_m: Tensor, args: Args) -> RawPhoto:
    """A scene through the lens; the same seed for all, so that equal light gets equal noise."""
    generator = torch.Generator().manual_seed(args.seed)
    colours = random_metadata(1, generator=generator)
    return camera.simulate(
        image,
        depth_m,
        iso=args.iso,
        window=args.window,
        metadata=colours,
        renderer="layered",
        padding="replicate",
        generator=generator,
    )


def judge(
    restorer: shots.Restorer, photos: Sequence[RawPhoto], flat: Sequence[Tensor], regions: Sequence[Tensor]
) -> Result:
    """PSNR of chart, card among near things, card before the wall, wall."""
    pictures = (flat[0], flat[1], flat[2], flat[2])
    targets = [shots.develop(photo, photo.target, "flat") for photo in (photos[0], photos[1], photos[2], photos[2])]
    found = [find_region_psnr_db(*three) for three in zip(pictures, targets, regions, strict=True)]
    return Result(restorer.name, "depth" if restorer.knows_depth else "", *(round(one, 3) for one in found))


def measure_contrasts(chart: Chart, picture: Tensor, sharp: Tensor) -> list[float]:
    """Contrast of the lines of each period against the perfect lens's, both directions together."""
    found = []
    for period in list_periods(chart.groups):
        own = [group for group in chart.groups if group.period_px == period]
        found.append(sum(find_contrast(picture, one) for one in own) / sum(find_contrast(sharp, one) for one in own))
    return found


def show_all(pictures: dict[str, Tensor], notes: dict[str, str], title: str) -> Figure:
    """All versions of a picture."""
    from matplotlib.figure import Figure

    height, width = next(iter(pictures.values())).shape[2:]
    columns = 3
    rows = -(-len(pictures) // columns)
    wide, head, title_head = 5.2, 0.6, 0.5  # inches
    tall = wide * height / width + head
    whole = rows * tall + title_head
    figure = Figure(figsize=(columns * wide, whole))
    figure.suptitle(title, fontsize=15, y=1 - 0.1 / whole, va="top")
    for number, (name, picture) in enumerate(pictures.items()):
        row, column = divmod(number, columns)
        bottom = 1 - (title_head + (row + 1) * tall) / whole
        size = (1 / columns - 0.008, (tall - head - 0.05) / whole)
        axes = figure.add_axes((column / columns + 0.004, bottom + 0.02 / whole, *size))
        axes.imshow(shots.to_pixels(picture), interpolation="antialiased")
        axes.set_axis_off()
        axes.set_title(f"{name}\n{notes.get(name, '')}".rstrip(), fontsize=11, loc="left")
    return figure


def draw_contrasts(periods: Sequence[float], contrasts: dict[str, list[float]], blur_px: float) -> Figure:
    """Contrast against the lines' period for every method."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 5), layout="constrained")
    axes = figure.add_subplot()
    for number, (name, values) in enumerate(contrasts.items()):
        axes.plot(periods, values, marker="o", label=name, color="black" if not number else f"C{number - 1}")
    axes.axhline(1, color="grey", linewidth=0.8, linestyle=":")
    axes.axvline(blur_px, color="grey", linewidth=0.8, linestyle="--")
    axes.text(blur_px, axes.get_ylim()[1], " blur", va="top", color="grey")
    axes.set_xscale("log")
    axes.set_xticks(list(periods), [f"{period:g}" for period in periods])
    axes.minorticks_off()
    axes.set_xlabel("period of the lines in px")
    axes.set_ylabel("contrast against the perfect lens")
    axes.set_title("What is left of line groups, and what restorers bring back")
    axes.legend()
    return figure


def print_psnr(results: Sequence[Result]) -> str:
    """A row per method."""
    wide = max(len(one.method) for one in results)
    lines = [
        f"{'PSNR in dB':<{wide}}  {'chart':>7}  {'card, all near':>14}  {'before wall':>11}  {'change':>6}  {'wall':>6}"
    ]
    for one in results:
        change = one.card_before_wall_db - one.card_all_near_db
        lines.append(
            f"{one.method:<{wide}}  {one.chart_db:>7.2f}  {one.card_all_near_db:>14.2f}  "
            f"{one.card_before_wall_db:>11.2f}  {change:>+6.2f}  {one.wall_db:>6.2f}"
        )
    return "\n".join(lines)


def print_contrasts(periods: Sequence[float], contrasts: dict[str, list[float]]) -> str:
    """A row per method, a column per period."""
    wide = max(map(len, contrasts))
    lines = [f"{'contrast, period in px':<{max(wide, 22)}}" + "".join(f"{period:>7g}" for period in periods)]
    for name, values in contrasts.items():
        lines.append(f"{name:<{max(wide, 22)}}" + "".join(f"{value:>7.2f}" for value in values))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
