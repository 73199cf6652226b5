"""The command line of `learn.photos`: `python -m learn.photos check`, `develop` and `split`."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from tqdm import tqdm

from psf import InputError
from psf.arguments import parse_arguments
from psf.command_line import run_command

from .developed import QUALITY, develop_photos
from .photo_folder import PhotoFolder, open_photos
from .photo_index import count_raw
from .splits import split_photos


@dataclass(frozen=True)
class Check:
    """Index a folder, and list what cannot be used.

    Example: python -m learn.photos check photos
    """

    folder: tyro.conf.Positional[Path]
    """The photographs; folders in it count."""
    index: Path | None = None
    """The index file, instead of a hidden file in the folder."""


@dataclass(frozen=True)
class Develop:
    """Copy RAW files or large pictures into another folder as JPEG files that are quickly read in parts.

    Example: python -m learn.photos develop originals -o photos --longest-px 2048
    """

    folder: tyro.conf.Positional[Path]
    """The originals; folders in it are kept."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """The folder to write to. What is there already stays."""
    longest_px: int | None = None
    """Shrink what is longer."""
    quality: int = QUALITY
    """Of the JPEG files."""


@dataclass(frozen=True)
class DivideFolder:
    """Divide a folder into training and evaluation pictures that share no photographer, package, scene or look.

    Example: python -m learn.photos split photos -o split.json --share 0.1
    """

    folder: tyro.conf.Positional[Path]
    """The photographs."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """The manifest to write, .json."""
    share: float = 0.1
    """Of the photographs, for evaluation."""
    groups: Path | None = None
    """A CSV file with the columns file and some of photographer, package, scene; else groups.csv in the folder, else
    folders are groups."""
    pattern: str | None = None
    """A regular expression that finds the group in a name."""
    seed: int = 0
    """Of the draw."""
    index: Path | None = None
    """The index file, instead of a hidden file in the folder."""


Command = Check | Develop | DivideFolder


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 for done, 2 for input that cannot be used, 130 for Ctrl-C."""
    return run_command(lambda: run(parse_arguments(lambda: read_words(argv))))


def read_words(argv: Sequence[str] | None) -> Command:
    """One of the commands, filled in."""
    found: Command = tyro.extras.subcommand_cli_from_dict(
        {"check": Check, "develop": Develop, "split": DivideFolder},
        args=argv,
        prog="python -m learn.photos",
        description="Folders of photographs for training.",
    )
    return found


def run(args: Command) -> None:
    """Do what is asked for, and say what came of it."""
    if isinstance(args, Check):
        photos = open_folder(args.folder, args.index)
        print(photos.report())
        if raw := count_raw(list(photos.photos)):
            print(f"{raw} are RAW files, which take seconds each time: python -m learn.photos develop makes copies")
    elif isinstance(args, Develop):
        with tqdm(unit="file", leave=False, disable=None) as bar:
            found = develop_photos(
                args.folder,
                args.out,
                longest_px=args.longest_px,
                quality=args.quality,
                on_progress=lambda done, of: advance(bar, done, of),
            )
        print(f"written: {len(found.written)} pictures; {len(found.kept)} were there; {len(found.failed)} left out")
        for name, reason in found.failed:
            print(f"left out: {name}: {reason}", file=sys.stderr)
    else:
        divide(args)


def divide(args: DivideFolder) -> None:
    """Write a manifest, and say how many went where."""
    if args.out.suffix.lower() != ".json":
        raise InputError("--out", f"the suffix {args.out.suffix!r}", ".json")
    photos = open_folder(args.folder, args.index)
    generator = torch.Generator().manual_seed(args.seed)
    split = split_photos(photos, share=args.share, generator=generator, groups=args.groups, pattern=args.pattern)
    split.save(args.out)
    print(f"written: {args.out}, {len(split.training)} for training, {len(split.evaluation)} for evaluation")


def open_folder(folder: Path, index: Path | None) -> PhotoFolder:
    """The photographs of a folder, with a progress bar."""
    with tqdm(unit="file", desc="index", leave=False, disable=None) as bar:
        return open_photos(folder, index=index, on_progress=lambda done, of: advance(bar, done, of))


def advance(bar: "tqdm[None]", done: int, of: int) -> None:
    """Move a progress bar to `done` of `of`."""
    bar.total = of
    bar.update(done - bar.n)


if __name__ == "__main__":
    sys.exit(main())
