"""The command line of fixed sets: `python -m learn.synthesise PHOTOS --field F.h5 -o SHARDS -n 1000`."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from tqdm import tqdm

from psf import InputError
from psf.arguments import parse_arguments
from psf.command_line import run_command

from ..sample_files import SAMPLES_FILE, SampleRun, write_samples
from ..synthesis import Synthesis
from ..synthesis_options import SynthesisOptions, open_options
from ..variants import EVALUATION

# So many of what could not be read are named one by one.
MOST_NAMED = 20


@dataclass(frozen=True, kw_only=True)
class Arguments(SynthesisOptions):
    """Write a fixed set of samples as tar shards. A run that was interrupted goes on with the same command.

    Example: python -m learn.synthesise photos --field lens.h5 --near-m 0.1 1 -n 6400 -o samples
    """

    photos: tyro.conf.Positional[Path]
    """The photographs; folders in it count."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for the shards, samples.json and manifest.json."""
    count: Annotated[int, tyro.conf.arg(aliases=["-n"])]
    """How many samples."""
    evaluation: bool = False
    """An evaluation set: the centre of every photograph in turn, pixelwise blur, kernels without a Gaussian."""
    per_shard: int = 64
    """Samples in a shard."""
    workers: int | None = None
    """Processes; by default one per core. The shards are the same with any number."""
    ray: str | None = None
    """Run on Ray: local, auto, or the address of a cluster that sees all folders under the same paths."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 for done, 2 for input that cannot be used, 130 for Ctrl-C."""
    return run_command(lambda: run(parse_arguments(lambda: read_words(argv))))


def read_words(argv: Sequence[str] | None) -> Arguments:
    """The arguments."""
    return tyro.cli(Arguments, args=argv, prog="python -m learn.synthesise", description=Arguments.__doc__)


def run(args: Arguments) -> int:
    """Make the shards, and name what could not be used."""
    if args.workers is not None and args.workers < 0:
        raise InputError("--workers", args.workers, "a whole number from 0")
    changes: dict[str, Any] = dict(EVALUATION) if args.evaluation else {}
    with tqdm(unit="file", desc="index", leave=False, disable=None) as bar:
        synthesis = open_options(args.photos, args, changes=changes, on_progress=lambda n, of: advance(bar, n, of))
    with tqdm(unit="shard", leave=False, disable=None) as bar:
        made = write_samples(
            synthesis,
            args.out,
            args.count,
            per_shard=args.per_shard,
            workers=args.workers,
            ray_address=args.ray,
            on_progress=lambda n, of: advance(bar, n, of),
        )
    return tell(synthesis, made)


def tell(synthesis: Synthesis, made: SampleRun) -> int:
    """Print what came out."""
    unusable = [f"{one.name}: {one.reason}" for one in synthesis.photos.unusable]
    name_some("photograph left out", unusable)
    name_some("passed over", list(made.lost))
    name_some("no sample", [f"{index}: {reason}" for index, reason in made.shards.failed.items()])
    shards = made.shards
    print(f"written: {shards.samples} samples in {len(shards.shards)} shards, {SAMPLES_FILE} in {shards.folder}")
    return 0 if shards.samples else 2


def name_some(kind: str, lines: Sequence[str]) -> None:
    """Name what went wrong, the first few one by one."""
    for line in lines[:MOST_NAMED]:
        print(f"warning: {kind}: {line}", file=sys.stderr)
    if len(lines) > MOST_NAMED:
        print(f"warning: {kind}: {len(lines) - MOST_NAMED} more", file=sys.stderr)


def advance(bar: "tqdm[None]", done: int, of: int) -> None:
    """Move a progress bar to `done` of `of`."""
    bar.total = of
    bar.update(done - bar.n)


if __name__ == "__main__":
    sys.exit(main())
