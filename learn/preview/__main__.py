"""The command line of previews: `python -m learn.preview PHOTOS --field F.h5 -o page.png`."""

import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tqdm import tqdm

from psf import InputError
from psf.arguments import parse_arguments
from psf.command_line import run_command
from render.noise import write_whole

from ..synthesis import Synthesis, draw_scene
from ..synthesis_options import SynthesisOptions, open_options
from .views import compare_blurs, make_view

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 100


@dataclass(frozen=True, kw_only=True)
class Arguments(SynthesisOptions):
    """Draw a page of samples with their numbers: what a network will see.

    Example: python -m learn.preview photos --field lens.h5 --near-m 0.1 1 -n 6 -o page.png
    """

    photos: tyro.conf.Positional[Path]
    """The photographs; folders in it count."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """The page to write, .png."""
    count: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 6
    """How many samples; with --statistics some hundreds."""
    first: int = 0
    """The first of them; with --compare, the one."""
    compare: bool = False
    """One sample under every kind of blur; layered takes seconds."""
    statistics: bool = False
    """Histograms of what is drawn, without pictures."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 for done, 2 for input that cannot be used, 130 for Ctrl-C."""

    def start() -> None:
        written = run(parse_arguments(lambda: read_words(argv)))
        print(f"written: {written}")

    return run_command(start)


def read_words(argv: Sequence[str] | None) -> Arguments:
    """The arguments."""
    return tyro.cli(Arguments, args=argv, prog="python -m learn.preview", description=Arguments.__doc__)


def run(args: Arguments) -> Path:
    """Draw the page."""
    if args.out.suffix.lower() != ".png":
        raise InputError("--out", f"the suffix {args.out.suffix!r}", ".png")
    if not args.out.parent.is_dir():
        raise FileNotFoundError(f"{args.out.parent}: no such folder to write {args.out.name} to")
    if args.count < 1:
        raise InputError("--count", args.count, "at least 1")
    if args.first < 0:
        raise InputError("--first", args.first, "a sample's number, from 0")
    if args.compare and args.statistics:
        raise InputError("--compare and --statistics", "both", "one page at a time")
    with tqdm(unit="file", desc="index", leave=False, disable=None) as bar:
        synthesis = open_options(args.photos, args, on_progress=lambda n, of: advance(bar, n, of))
    with tqdm(unit="sample", leave=False, disable=None) as bar:
        figure = draw_page(args, synthesis, bar)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI)
    write_whole(args.out, drawn.getvalue())
    return args.out


def draw_page(args: Arguments, synthesis: Synthesis, bar: "tqdm[None]") -> "Figure":
    """The page that is asked for."""
    from .plots import plot_comparison, plot_samples, plot_statistics

    indices = range(args.first, args.first + args.count)
    if args.compare:
        return plot_comparison(compare_blurs(synthesis, args.first, on_progress=lambda n, of: advance(bar, n, of)))
    found = []
    if args.statistics:
        for n, index in enumerate(indices, start=1):
            found.append(draw_scene(synthesis, index).drawn)
            advance(bar, n, args.count)
        return plot_statistics(found)
    views = []
    for n, index in enumerate(indices, start=1):
        views.append(make_view(synthesis, index))
        advance(bar, n, args.count)
    settings, field = synthesis.settings, synthesis.camera.field
    lens = "no lens" if field is None else field.provenance.lens or "a lens without a name"
    variants = f"blur {settings.blur}, depth {settings.depth}, space {settings.space}, planes {settings.aux}"
    return plot_samples(views, f"{lens}, seed {settings.seed}: {variants}")


def advance(bar: "tqdm[None]", done: int, of: int) -> None:
    """Move a progress bar to `done` of `of`."""
    bar.total = of
    bar.update(done - bar.n)


if __name__ == "__main__":
    sys.exit(main())
