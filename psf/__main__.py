"""The command line of `psf`: `python -m psf plan`, `check`, `estimate`, `import` and `view`."""

import sys
import webbrowser
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from tqdm import tqdm

from .arguments import parse_arguments
from .command_line import run_command
from .commands_capture import CheckOptions, PlanOptions
from .commands_estimate import EstimateOptions
from .commands_import import ImportOptions
from .commands_view import ViewOptions

Out = Annotated[Path, tyro.conf.arg(aliases=["-o"])]


@dataclass(frozen=True, kw_only=True)
class Plan(PlanOptions):
    """Plan a session: patterns for a monitor, and one page that says what to photograph.

    Example: python -m psf plan --focal-mm 12 --f-number 2.8 --near-m 0.5 --far-m 1.4 -o session
    """

    out: Out
    """Folder for patterns, plan.md, plan.pdf and a captures.json to fill in; new or empty."""


@dataclass(frozen=True, kw_only=True)
class Check(CheckOptions):
    """Look for what ruins an estimate, and say in which file. Exit code 1 if something serious was found.

    Example: python -m psf check session
    """

    captures: tyro.conf.Positional[Path]
    """A folder with a captures.json, or an .npz file of captures."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Write all findings and numbers to this .json file, too."""


@dataclass(frozen=True, kw_only=True)
class Estimate(EstimateOptions):
    """Estimate the PSF field of a camera from pairs of photographs. Stopped with Ctrl-C, the same command goes on.

    Example: python -m psf estimate session -o camera.h5 --focus-m 0.72 --depths 20
    """

    captures: tyro.conf.Positional[Path]
    """A folder with a captures.json, or an .npz file of captures."""
    out: Out
    """The field to write, .h5; of several focus distances one each, FIELD_0.5m.h5 and so on."""


@dataclass(frozen=True, kw_only=True)
class Import(ImportOptions):
    """Make a field of PSFs from other programs: OpticStudio's text exports, or files of kernels.

    Example: python -m psf import exports/manifest.json -o lens.h5
    """

    manifest: tyro.conf.Positional[Path]
    """The manifest, .json or .csv, or a folder that holds one: which file belongs to which depth and place."""
    out: Out
    """The field to write, .h5."""


@dataclass(frozen=True, kw_only=True)
class View(ViewOptions):
    """Look at a field in a browser: drag a point over the sensor, slide the depth, see the kernel.

    The page holds everything itself: it opens without a network, on a phone too.

    Example: python -m psf view lens.h5 other.h5 -o page.html
    """

    field: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FIELD.h5")]
    """The field, .h5."""
    other: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="OTHER.h5")] = None
    """A second field, shown beside the first."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """The page to write, .html; by default FIELD.html beside FIELD.h5."""


Command = Plan | Check | Estimate | Import | View
COMMANDS: dict[str, Callable[..., Any]] = {
    "plan": Plan,
    "check": Check,
    "estimate": Estimate,
    "import": Import,
    "view": View,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 for done, 1 for captures that are no good, 2 for input that cannot be used."""
    return run_command(lambda: run(parse_arguments(lambda: read_words(argv))), interrupted="stopped")


def read_words(argv: Sequence[str] | None) -> Command:
    """One of the commands, filled in."""
    told = "PSF fields: from photographs, from other programs, and to look at."
    found: Any = tyro.extras.subcommand_cli_from_dict(COMMANDS, args=argv, prog="python -m psf", description=told)
    chosen: Command = found
    return chosen


def open_page(address: str) -> bool:
    """Open an address in a browser that has windows; whether there is one."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    # One that draws with letters would take the terminal.
    return type(browser) is not webbrowser.GenericBrowser and browser.open(address)


def run(args: Command) -> int:
    """Do what is asked for; the exit code."""
    with tqdm(leave=False, disable=None) as bar:

        def on_progress(done: int, of: int) -> None:
            bar.total = of
            bar.update(done - bar.n)

        def say(line: str) -> None:
            tqdm.write(line, file=sys.stdout)

        if isinstance(args, Import):
            from .commands_import import run_import

            run_import(args, say=say, on_progress=on_progress)
            return 0
        if isinstance(args, View):
            from .commands_view import run_view
            from .viewer import make_page

            run_view(args, make=make_page, show=open_page, say=say)
            return 0
        if isinstance(args, Estimate):
            from render.capture_reading import read_capture

            from .commands_estimate import run_estimate
            from .estimators.plots import draw_page

            for file in run_estimate(args, read=read_capture, draw=draw_page, say=say, on_progress=on_progress):
                say(f"written: {file}")
            return 0
        if isinstance(args, Check):
            from render.capture_reading import read_capture

            from .commands_capture import run_check

            return 0 if run_check(args, read=read_capture, say=say, on_progress=on_progress) else 1
        from render.pictures import read_picture, write_picture

        from .commands_capture import run_plan, to_pdf
        from .draw import draw_plan

        folder = run_plan(
            args,
            read=lambda file: read_picture(file)[0],
            write=lambda file, picture: write_picture(file, picture, bits=8),
            draw=lambda plan: to_pdf(draw_plan(plan)),
            say=say,
            on_progress=on_progress,
        )
        say(f"written: {folder}")
        return 0


if __name__ == "__main__":
    sys.exit(main())
