"""Can a machine read a page that lies too near for the lens, before and after it is restored?

    python examples/ocr.py                                 # camera, PolyBlur and Wiener; no network needed
    python examples/ocr.py --model runs/M.pt runs/bank.pt  # networks and ridge banks as well
    python examples/ocr.py --points 8 10 12 --fonts "DejaVu Serif" my.ttf

A page of print in each font and type size lies 12 cm before the phone lens that is focused at infinity: it is blurred
by every pixel's own kernel, thinned to a Bayer mosaic, given the noise of a phone's sensor, rounded to 10 bits. Each
restorer's developed picture is read by Tesseract (Debian: tesseract-ocr) and by a neural reader (pip install rapidocr
onnxruntime), whichever are there. Networks and PolyBlur are told nothing of the depth; Wiener is, and shows what the
light still holds. Written: a table, all that was read, and a picture of each page with the words that were misread.

At 12 cm a sensor pixel sees 42 um of the page: 10 points (3.5 mm) are 83 px, and the lens blurs by about 35 px.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import shots
import torch
import tyro
from pages import Page, draw_page, find_fonts
from PIL import Image
from readers import Reader, Score, find_readers, score
from shots import Restorer
from torch import Tensor

from psf import InputError
from psf.runs import whole_file
from render.metadata import random_metadata
from render.raw_photo import RawPhoto

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOCAL_MM = 3.2781  # of the bundled lens; with --field, type sizes in points are those of this lens
POINT_MM = 25.4 / 72
CAUTION = 1.0  # of Wiener: a flat page at a known depth has no edges in depth to be careful of
READ_PX = 40.0  # type size that readers are given: smaller than large type was in what they were trained on
SIDES_PX = (64, 3024)
USUAL_COUNT = 4  # fonts, where none are named


@dataclass(frozen=True)
class Args:
    """Photograph printed pages too near, restore them, have them read."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("out/ocr")
    """Folder for tables and pictures."""
    model: tuple[Path, ...] = ()
    """Networks of python -m learn.deblur train, and ridge banks."""
    any_lens: bool = False
    """Take networks that were trained for another lens."""
    fonts: tuple[str, ...] = ()
    """Families, or .ttf and .otf files; by default text faces that are on this machine."""
    points: tuple[float, ...] = (10.0,)
    """Type sizes on paper. Blur of 0.3 to 0.6 of the type size is where there is most to win."""
    depth_m: float = 0.12
    """Distance of the page."""
    iso: float = 400.0
    """100 to 3200."""
    page_px: tuple[int, int] = (900, 1600)
    """Height and width of the part of the sensor that is used; its place is drawn anew for each page."""
    readers: tuple[str, ...] = ("tesseract", "rapidocr")
    """Which to use, if they are installed."""
    field: Path | None = None
    """A PSF field (.h5) in place of the f/2.2 lens, which is traced anew each time."""
    seed: int = 1
    """Of texts, places, colours and noise."""


@dataclass(frozen=True, eq=False)
class Reading:
    """What a reader made of a page in one version."""

    font: str
    points: float
    method: str
    reader: str
    score: Score


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 for done, 2 for input that cannot be used."""
    return shots.run_command(Args, Args.__doc__, argv, run)


def run(args: Args) -> str:
    """Everything between the arguments and the files; returns the table."""
    start = time.perf_counter()
    check(args)
    fonts = find_fonts(args.fonts) if args.fonts else find_fonts()[:USUAL_COUNT]
    readers, missing = find_readers(args.readers)
    if not readers:
        raise InputError("--readers", "none that is installed", "; ".join(missing) or "tesseract or rapidocr")
    for line in missing:
        print(f"left out: {line}", file=sys.stderr)
    camera = shots.open_camera(args.field)
    trained = shots.from_files(args.model, camera, any_lens=args.any_lens)
    restorers = [shots.recorded(), *shots.classical(camera, caution=CAUTION), *trained]
    field = shots.find_field(camera)
    px_per_mm = FOCAL_MM / (args.depth_m * field.pitch_um)  # on the page
    blur_px = shots.find_blur_px(field, args.depth_m)
    out = shots.make_folder(args.out)
    readings: list[Reading] = []
    jobs = [(name, file, points) for name, file in fonts for points in args.points]
    with shots.progress("pages", len(jobs) * (len(restorers) + 1)) as step:
        for number, (name, file, points) in enumerate(jobs):
            generator = torch.Generator().manual_seed(args.seed * 1000 + number)
            type_px = points * POINT_MM * px_per_mm
            page = draw_page(file, type_px, args.page_px, generator=generator)
            photo = photograph(page.image, args, camera, generator)
            depth_m = torch.full((1, 1, *args.page_px), args.depth_m)
            versions = {}
            for restorer in restorers:
                versions[restorer.name] = restorer(photo, depth_m)
                step(f"{name}, {restorer.name}")
            versions["perfect lens"] = shots.develop(photo, photo.target)
            step(f"{name}, perfect lens")
            new = [
                Reading(name, points, method, reader.name, score(reader.read(scale_to(srgb, type_px)), page.text))
                for method, srgb in versions.items()
                for reader in readers
            ]
            readings += new
            title = f"{name}, {points:g} pt at {100 * args.depth_m:g} cm"
            title += f" (type of {type_px:.0f} px, blur of {blur_px:.0f} px), ISO {args.iso:g}"
            picture = out / f"page_{number:02d}.png"
            shots.write_figure(picture, mark_errors(page, versions, new, title))
    write_readings(out, readings)
    said = print_table(readings, readers, restorers)
    return f"{said}\nwritten to {out}: ocr.csv, read.txt, {len(jobs)} pictures ({time.perf_counter() - start:.0f} s)"


def check(args: Args) -> None:
    """Refuse arguments before anything takes time."""
    shots.check_range("--depth-m", args.depth_m, 0.1, 10.0, "m")
    shots.check_range("--iso", args.iso, *shots.ISOS)
    for points in args.points:
        shots.check_range("--points", points, 1, 200, "pt")
    for side in args.page_px:
        shots.check_range("--page-px", side, *SIDES_PX, unit="px")
        if side % 2:
            raise InputError("--page-px", side, "even numbers")
    if not args.points:
        raise InputError("--points", "none", "at least one type size")


def photograph(image: Tensor, args: Args, camera: shots.Camera, generator: torch.Generator) -> RawPhoto:
    """A picture at one distance, somewhere on the sensor."""
    room = [(whole - used) // 2 for whole, used in zip(camera.image_shape_px, args.page_px, strict=True)]
    if min(room) < 0:
        sensor = f"at most the sensor's {camera.image_shape_px[0]} {camera.image_shape_px[1]}"
        raise InputError("--page-px", f"{args.page_px[0]} {args.page_px[1]}", sensor)
    top, left = (2 * int(torch.randint(side + 1, (), generator=generator)) for side in room)
    colours = random_metadata(1, generator=generator)
    return camera.simulate(
        image.contiguous(),
        args.depth_m,
        iso=args.iso,
        window=(left, top),
        metadata=colours,
        renderer="pixelwise",
        padding="replicate",
        generator=generator,
    )


def scale_to(srgb: Tensor, type_px: float) -> Any:
    """A page as readers are given it, its type at most `READ_PX`: an array (h, w, 3) of uint8."""
    pixels = shots.to_pixels(srgb)
    share = READ_PX / type_px
    if share >= 1:
        return pixels
    size = (round(pixels.shape[1] * share), round(pixels.shape[0] * share))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def mark_errors(page: Page, versions: dict[str, Tensor], readings: list[Reading], title: str) -> Figure:
    """All versions of a page; words that the first reader did not find lie under red."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    height, width = page.image.shape[2:]
    columns = 2
    rows = -(-len(versions) // columns)
    wide, head, title_head = 7.4, 0.6, 0.45  # inches
    tall = wide * height / width + head
    whole = rows * tall + title_head
    figure = Figure(figsize=(columns * wide, whole))
    figure.suptitle(title, fontsize=15, y=1 - 0.1 / whole, va="top")
    for number, (method, srgb) in enumerate(versions.items()):
        own = [one for one in readings if one.method == method]
        row, column = divmod(number, columns)
        bottom = 1 - (title_head + (row + 1) * tall) / whole
        size = (1 / columns - 0.008, (tall - head - 0.06) / whole)
        axes = figure.add_axes((column / columns + 0.004, bottom + 0.03 / whole, *size))
        axes.imshow(shots.to_pixels(srgb), interpolation="antialiased")
        axes.set_axis_off()
        rates = "; ".join(
            f"{one.reader.split()[0]} {100 * one.score.error_rate:.1f} % wrong, "
            f"{sum(one.score.found)} of {one.score.words} words"
            for one in own
        )
        axes.set_title(f"{method}\n{rates}", fontsize=11, loc="left")
        for word, found in zip(page.words, own[0].score.found, strict=True):
            if not found:
                left, top, right, bottom = word.box_px
                axes.add_patch(Rectangle((left, top), right - left, bottom - top, color="red", alpha=0.28, linewidth=0))
    return figure


def write_readings(out: Path, readings: list[Reading]) -> None:
    """A line per reading as CSV, and what was read as text."""
    rows = [
        {
            "font": one.font,
            "points": f"{one.points:g}",
            "method": one.method,
            "reader": one.reader,
            "characters": one.score.characters,
            "edits": one.score.edits,
            "character_error_rate": f"{one.score.error_rate:.4f}",
            "words": one.score.words,
            "words_found": sum(one.score.found),
            "share_of_words_found": f"{one.score.share_found:.4f}",
        }
        for one in readings
    ]
    shots.write_table(out / "ocr.csv", rows)
    blocks = [f"{one.font}, {one.points:g} pt, {one.method}, {one.reader}:\n{one.score.text}\n" for one in readings]
    with whole_file(out / "read.txt") as part:
        part.write_text("\n".join(blocks), encoding="utf-8")


def print_table(readings: list[Reading], readers: list[Reader], restorers: list[Restorer]) -> str:
    """Errors of all pages of a type size together, a row per method."""
    methods = [*(one.name for one in restorers), "perfect lens"]
    wide = max(map(len, methods))
    lines = []
    for points in sorted({one.points for one in readings}):
        pages = len({one.font for one in readings})
        lines.append(f"{points:g} pt, {pages} pages: characters wrong, words found")
        lines.append(" " * wide + "".join(f"  {reader.name:>22}" for reader in readers))
        for method in methods:
            cells = []
            for reader in readers:
                own = [
                    one.score
                    for one in readings
                    if (one.points, one.method, one.reader) == (points, method, reader.name)
                ]
                wrong = sum(one.edits for one in own) / sum(one.characters for one in own)
                found = sum(sum(one.found) for one in own) / sum(one.words for one in own)
                cells.append(f"  {100 * wrong:>12.1f} %{100 * found:>6.0f} %")
            lines.append(f"{method:<{wide}}" + "".join(cells))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
