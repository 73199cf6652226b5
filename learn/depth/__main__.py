"""The command line of `learn.depth`: `python -m learn.depth FOLDER` stores a depth map for every photograph."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tqdm import tqdm

from psf.arguments import parse_arguments
from psf.command_line import run_command

from ..photos import open_photos
from .estimation import estimate_folder
from .network import DEFAULT_MODEL, load_network


@dataclass(frozen=True)
class Arguments:
    """Run a depth network once over a folder of photographs; results lie beside them, and a second run goes on.

    Example: python -m learn.depth photos --device cuda
    """

    folder: tyro.conf.Positional[Path]
    """The photographs; folders in it count."""
    model: str = DEFAULT_MODEL
    """A folder with a network's files, or its name in the cache of transformers. Nothing is fetched."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Where results go, instead of beside the photographs."""
    index: Path | None = None
    """The index file of the folder, instead of a hidden file in it."""
    device: str = "cpu"
    """Where the network runs: cpu, cuda, cuda:1, mps."""
    redo: bool = False
    """Also photographs that have a result of this network."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 for done, 2 for input that cannot be used, 130 for Ctrl-C."""
    return run_command(lambda: run(parse_arguments(lambda: read_words(argv))))


def read_words(argv: Sequence[str] | None) -> Arguments:
    """The command line, filled in."""
    return tyro.cli(Arguments, args=argv, prog="python -m learn.depth", description=Arguments.__doc__)


def run(args: Arguments) -> None:
    """Index the folder, run the network, say what came of it."""
    network = load_network(args.model, device=args.device)
    with tqdm(unit="file", desc="index", leave=False, disable=None) as bar:
        photos = open_photos(args.folder, index=args.index, on_progress=lambda done, of: advance(bar, done, of))
    with tqdm(unit="photo", desc="depth", leave=False, disable=None) as bar:
        found = estimate_folder(
            photos, network, out=args.out, redo=args.redo, on_progress=lambda done, of: advance(bar, done, of)
        )
    lost = [*((one.name, one.reason) for one in photos.unusable), *found.failed]
    print(f"written: {len(found.written)} depth maps; {len(found.kept)} were there; {len(lost)} photographs left out")
    if not network.is_trained:
        print("warning: the network is untrained, its depth is noise", file=sys.stderr)
    for name, reason in lost:
        print(f"left out: {name}: {reason}", file=sys.stderr)


def advance(bar: "tqdm[None]", done: int, of: int) -> None:
    """Move a progress bar to `done` of `of`."""
    bar.total = of
    bar.update(done - bar.n)


if __name__ == "__main__":
    sys.exit(main())
