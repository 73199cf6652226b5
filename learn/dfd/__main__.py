"""The command line of depth from defocus: `python -m learn.dfd make-stacks`, `preview`, `train`, `evaluate` ..."""

import io
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from tqdm import tqdm

from psf import InputError
from psf.arguments import parse_arguments
from psf.command_line import run_command
from render.noise import write_whole

from .commands_apply import ApplyDepthOptions
from .commands_data import StackOptions, make_shards, open_options
from .commands_depth_evaluate import EvaluateDepthOptions
from .commands_depth_train import TrainDepthOptions

DPI = 100


@dataclass(frozen=True, kw_only=True)
class MakeStacks(StackOptions):
    """Write focal stacks with their depth as tar shards. A run that was interrupted goes on with the same command.

    Example: python -m learn.dfd make-stacks --fields near.h5 far.h5 --depth-m 0.5 1.4 -n 5000 -o stacks
    """

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for the shards, stacks.json and manifest.json."""
    count: Annotated[int, tyro.conf.arg(aliases=["-n"])]
    """How many stacks; the paper's 5,000 train a network."""
    per_shard: int = 64
    """Stacks in a shard."""
    workers: int | None = None
    """Processes; by default one per core. The shards are the same with any number."""
    ray: str | None = None
    """Run on Ray: local, auto, or the address of a cluster that sees all folders under the same paths."""


@dataclass(frozen=True, kw_only=True)
class Preview(StackOptions):
    """Draw a page of focal stacks with their depth and numbers: what a network will see.

    Example: python -m learn.dfd preview --fields near.h5 far.h5 --depth-m 0.5 1.4 -n 6 -o page.png
    """

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """The page to write, .png."""
    count: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 6
    """How many stacks."""
    first: int = 0
    """The first of them."""


@dataclass(frozen=True, kw_only=True)
class Train(TrainDepthOptions):
    """Train a network that finds depth in focal stacks. The same command goes on with a run that was stopped.

    On several GPUs: torchrun --nproc-per-node 8 -m learn.dfd train ...

    Example: python -m learn.dfd train --fields near.h5 far.h5 --depth-m 0.5 1.4 --shape-px 128 128 -o run
    """

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for network.pt, log.csv, recipe.json, samples and the state."""


@dataclass(frozen=True, kw_only=True)
class Evaluate(EvaluateDepthOptions):
    """Measure estimators of depth on scenes that no training has seen: scores.csv, table.csv, page.png, errors.png.

    A run that was interrupted goes on with the same command, and more methods may join it later.

    Example: python -m learn.dfd evaluate --fields near.h5 far.h5 --model ours=run/network.pt -o results
    """

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for the results."""


@dataclass(frozen=True, kw_only=True)
class Apply(ApplyDepthOptions):
    """Find depth in a folder of photographs, each focused elsewhere.

    Beside the depth map come NAME_colour.png, NAME_confidence.png, NAME.ply (where the focal length is known) and
    NAME.json with all that was used.

    Example: python -m learn.dfd apply stack --fields near.h5 far.h5 --focus-m 0.5 1.4 --method likelihood -o depth.exr
    """

    stack: tyro.conf.Positional[Path]
    """The folder: RAW files or pictures, and stack.json if Exif does not tell the focus distances."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """The depth map: .exr, .tif or .npy in metres, or .png in millimetres."""


Command = MakeStacks | Preview | Train | Evaluate | Apply


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 for done, 2 for input that cannot be used, 130 for Ctrl-C."""

    def start() -> int:
        command = parse_arguments(lambda: read_words(argv))
        if isinstance(command, Train | Evaluate | Apply):
            return run_learned(command)
        for line in run(command):
            print(f"written: {line}")
        return 0

    return run_command(start)


def read_words(argv: Sequence[str] | None) -> Command:
    """One of the commands, filled in."""
    found: Command = tyro.extras.subcommand_cli_from_dict(
        {"make-stacks": MakeStacks, "preview": Preview, "train": Train, "evaluate": Evaluate, "apply": Apply},
        args=argv,
        prog="python -m learn.dfd",
        description="Depth from a focal stack by a camera whose lens is known.",
    )
    return found


def run_learned(args: Train | Evaluate | Apply) -> int:
    """Train, evaluate or apply; the exit code."""
    if isinstance(args, Train):
        from .commands_depth_train import run_train_depth

        with draw_bar("file", "index") as on_index, draw_bar("step", "train") as on_step:
            return run_train_depth(
                args, say=tell, on_progress=lambda done, of, loss: on_step(done, of), on_index=on_index
            )
    if isinstance(args, Evaluate):
        from .commands_depth_evaluate import run_evaluate_depth
        from .report import draw_depth_report

        with draw_bar("file", "index") as on_index, draw_bar("score", "evaluate") as on_score:
            return run_evaluate_depth(args, say=tell, on_progress=on_score, on_index=on_index, draw=draw_depth_report)
    from .commands_apply import run_apply_depth

    with draw_bar("tile", "apply") as on_tile:
        return run_apply_depth(args, say=tell, on_progress=on_tile)


def tell(line: str) -> None:
    """Print a line beside whatever bars there are."""
    tqdm.write(line, file=sys.stdout)


def run(args: MakeStacks | Preview) -> list[str]:
    """Do what is asked for; what was written."""
    if isinstance(args, Preview):
        return [str(draw_page(args))]
    with draw_bar("file", "index") as on_index, draw_bar("shard") as on_shard:
        made = make_shards(
            args,
            args.out,
            args.count,
            per_shard=args.per_shard,
            workers=args.workers,
            ray_address=args.ray,
            on_index=on_index,
            on_shard=on_shard,
        )
    return [made]


def draw_page(args: Preview) -> Path:
    """Draw the page."""
    from .plots import plot_stacks
    from .stack_synthesis import draw_stack

    if args.out.suffix.lower() != ".png":
        raise InputError("--out", f"the suffix {args.out.suffix!r}", ".png")
    if not args.out.parent.is_dir():
        raise FileNotFoundError(f"{args.out.parent}: no such folder to write {args.out.name} to")
    if args.count < 1:
        raise InputError("--count", args.count, "at least 1")
    with draw_bar("file", "index") as on_index:
        synthesis = open_options(args, on_index)
    samples = []
    with draw_bar("stack") as on_stack:
        for n in range(args.count):
            samples.append(draw_stack(synthesis, args.first + n))
            on_stack(n + 1, args.count)
    drawn = io.BytesIO()
    plot_stacks(samples).savefig(drawn, format="png", dpi=DPI)
    write_whole(args.out, drawn.getvalue())
    return args.out


@contextmanager
def draw_bar(unit: str, name: str | None = None) -> Iterator[Callable[[int, int], None]]:
    """A progress bar, as a function of what is done and of what there is in all."""
    bar: Any = None

    def advance(done: int, of: int) -> None:
        nonlocal bar
        if bar is None:
            bar = tqdm(total=of, unit=unit, desc=name, leave=False, disable=None)
        bar.total = of
        bar.update(done - bar.n)

    try:
        yield advance
    finally:
        if bar is not None:
            bar.close()


if __name__ == "__main__":
    sys.exit(main())
