"""The command line of restorers: `python -m learn.deblur train`, `evaluate`, `restore`, `deconvolve` and two more."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from tqdm import tqdm

from psf.arguments import parse_arguments
from psf.command_line import run_command

from .commands_deconvolve import DeconvolveOptions
from .commands_evaluate import EvaluateOptions, FitRidgeOptions, MakeEvalOptions
from .commands_restore import STEPS, RestoreOptions
from .commands_train import TrainOptions


@dataclass(frozen=True, kw_only=True)
class Train(TrainOptions):
    """Train a network that restores what a lens blurs. The same command goes on with a run that was stopped.

    On several GPUs: torchrun --nproc-per-node 8 -m learn.deblur train ...

    Example: python -m learn.deblur train photos --field lens.h5 --near-m 0.1 1 -o run
    """

    photos: tyro.conf.Positional[Path]
    """The photographs; folders in it count."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for network.pt, log.csv, recipe.json, samples and the state."""


@dataclass(frozen=True, kw_only=True)
class MakeEval(MakeEvalOptions):
    """Write an evaluation set: 512 x 512 px, every pixel its own kernel, at random places, depths and ISOs.

    Every number that was drawn stands in samples.json. Sample i shows the centre of photograph i, or, where there are
    fewer, begins with the first again: the same crop at another place, depth and ISO (--framing random takes other
    crops). A run that was interrupted goes on with the same command.

    Example: python -m learn.deblur make-eval photos --field lens.h5 --near-m 0.1 1 -n 60 -o eval
    """

    photos: tyro.conf.Positional[Path]
    """The photographs; folders in it count."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for the shards, samples.json and manifest.json."""
    count: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 60
    """How many samples."""


@dataclass(frozen=True, kw_only=True)
class FitRidge(FitRidgeOptions):
    """Fit a bank of linear filters to the samples that a network would be trained on.

    It is the baseline that a network with the same planes must beat; --aux says which planes (iso_field).

    Example: python -m learn.deblur fit-ridge photos --field lens.h5 --near-m 0.1 1 -o bank.pt
    """

    photos: tyro.conf.Positional[Path]
    """The photographs; folders in it count."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """The bank to write, .pt; beside it a .json with all that it was fitted to."""
    count: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 600
    """How many samples, of --cells 48 by default."""


@dataclass(frozen=True, kw_only=True)
class Evaluate(EvaluateOptions):
    """Measure methods on an evaluation set: scores.csv, table.csv, bins.csv, page.png, bins.png.

    A run that was interrupted goes on with the same command, and more methods may join it later.

    Example: python -m learn.deblur evaluate eval --field lens.h5 --model ours=run/network.pt -o results
    """

    set: tyro.conf.Positional[Path]
    """As make-eval wrote it."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for the results."""
    # --network was its name before.
    model: Annotated[tuple[str, ...], tyro.conf.arg(aliases=["--network"])] = ()
    """Networks, NAME=RUN/network.pt; several of one NAME are seeds of one row."""


@dataclass(frozen=True, kw_only=True)
class Restore(RestoreOptions):
    """Restore RAW files with a network that learn.deblur train made.

    Exit code: 0, all of them are restored; 1, some could not be, and are named; 2, none could be, or the command
    itself is wrong.

    Example: python -m learn.deblur restore photo.dng --model run/network.pt -o restored --before-after
    """

    inputs: tyro.conf.Positional[tuple[Path, ...]]
    """RAW files (any Bayer pattern), or folders of them."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """A folder; or for one photograph a file, .dng, .png or .tif."""


@dataclass(frozen=True, kw_only=True)
class Deconvolve(DeconvolveOptions):
    """Restore RAW files with the field of their lens alone: depth is read off the blur, a Wiener filter undoes it.

    Best for what lies flat and far out of focus, such as a page held too near; a trained network (restore) is better
    where blur is small or depth changes from pixel to pixel. Exit codes as for restore.

    Example: python -m learn.deblur deconvolve page.dng --field lens.h5 --depth-m 0.15 -o restored
    """

    inputs: tyro.conf.Positional[tuple[Path, ...]]
    """RAW files (any Bayer pattern), or folders of them."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """A folder; or for one photograph a file, .dng, .png or .tif."""


Command = Train | MakeEval | FitRidge | Evaluate | Restore | Deconvolve


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 for done, 2 for input that cannot be used, 130 for Ctrl-C."""
    return run_command(lambda: run(parse_arguments(lambda: read_words(argv))))


def read_words(argv: Sequence[str] | None) -> Command:
    """One of the commands, filled in."""
    commands: dict[str, Any] = {
        "train": Train,
        "evaluate": Evaluate,
        "make-eval": MakeEval,
        "fit-ridge": FitRidge,
        "restore": Restore,
        "deconvolve": Deconvolve,
    }
    found: Command = tyro.extras.subcommand_cli_from_dict(
        commands,
        args=argv,
        prog="python -m learn.deblur",
        description="Networks that restore what a lens with a fixed focus blurs.",
    )
    return found


def run(args: Command) -> int:
    """Do what is asked for."""
    if isinstance(args, Train):
        from .commands_train import run_train

        with draw_bar("index", "file") as index, draw_bar("train", "step") as bar:
            return run_train(
                args,
                say=tell,
                on_progress=lambda done, of, loss: advance(bar, done, of, loss),
                on_index=lambda done, of: advance(index, done, of),
            )
    if isinstance(args, MakeEval):
        from .commands_evaluate import run_make_eval

        with draw_bar("index", "file") as index, draw_bar("samples", "shard") as bar:
            return run_make_eval(
                args,
                say=tell,
                on_progress=lambda done, of: advance(bar, done, of),
                on_index=lambda done, of: advance(index, done, of),
            )
    if isinstance(args, FitRidge):
        from .commands_evaluate import run_fit_ridge

        with draw_bar("index", "file") as index, draw_bar("fit", "sample") as bar:
            return run_fit_ridge(
                args,
                say=tell,
                on_progress=lambda done, of: advance(bar, done, of),
                on_index=lambda done, of: advance(index, done, of),
            )
    if isinstance(args, Evaluate):
        from .commands_evaluate import run_evaluate
        from .plots import draw_report

        with draw_bar("evaluate", "score") as bar:
            return run_evaluate(args, say=tell, on_progress=lambda done, of: advance(bar, done, of), draw=draw_report)
    if isinstance(args, Deconvolve):
        from .commands_deconvolve import run_deconvolve

        with draw_bar("deconvolve", "photo", scale=1 / STEPS) as bar:
            return run_deconvolve(args, say=tell, on_progress=lambda done, of: advance(bar, done, of))
    from .commands_restore import run_restore

    with draw_bar("restore", "photo", scale=1 / STEPS) as bar:
        return run_restore(args, say=tell, on_progress=lambda done, of: advance(bar, done, of))


def tell(line: str) -> None:
    """Print a line beside whatever bars there are."""
    tqdm.write(line, file=sys.stdout)


@contextmanager
def draw_bar(name: str, unit: str, *, scale: float = 1.0) -> "Iterator[tqdm[None]]":
    """A bar that is drawn once there is progress, on terminals."""
    with tqdm(
        desc=name, unit=unit, unit_scale=scale if scale != 1 else False, leave=False, disable=None, delay=0.5
    ) as bar:
        yield bar


def advance(bar: "tqdm[None]", done: int, of: int, loss: float | None = None) -> None:
    """Move a bar to `done` of `of`; a run that goes on begins where it stood, lest its speed be told wrongly."""
    if bar.total is None and done > 1:
        bar.initial = bar.n = bar.last_print_n = done - 1
    bar.total = of
    if loss is not None:
        bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
    bar.update(done - bar.n)


if __name__ == "__main__":
    sys.exit(main())
