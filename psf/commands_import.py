"""What the command line does with kernels of other programs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError
from .files.assembly import import_field


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """Make a field of PSFs from other programs: OpticStudio's text exports, or files of kernels."""

    manifest: Path
    """The manifest, .json or .csv, or a folder that holds one: which file belongs to which depth and place."""
    out: Path
    """The field to write, .h5."""
    kernel_px: int | None = None
    """Side of the kernels in pixels, odd, instead of the manifest's."""
    most_asymmetry: float = 0.2
    """Refuse kernels with more of their light elsewhere than in their mirror image about the radius."""
    strict: bool = False
    """Refuse what is guessed or lost instead of telling it."""


def run_import(
    options: ImportOptions,
    *,
    say: Callable[[str], None],
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Read kernels of other programs and write a field.

    Args:
        options: What to do.
        say: Told each notice and what was written, a line each.
        on_progress: Called with (kernels placed, kernels in all).

    Returns:
        The file that was written.
    """
    if options.out.suffix.lower() not in (".h5", ".hdf5"):
        raise InputError("--out", str(options.out), "a file name that ends in .h5")
    if not options.out.parent.is_dir():
        raise FileNotFoundError(f"{options.out.parent}: no such folder to write {options.out.name} to")
    if not 0 < options.most_asymmetry <= 1:
        raise InputError("--most-asymmetry", options.most_asymmetry, "a share above 0, up to 1")
    made = import_field(
        options.manifest,
        kernel_px=options.kernel_px,
        most_asymmetry=options.most_asymmetry,
        on_progress=on_progress,
    )
    if options.strict and (doubts := [one for one in made.notices if one.kind in ("guessed", "lost")]):
        raise InputError("--strict", str(doubts[0]), f"nothing guessed or lost ({len(doubts)} in all)")
    for notice in made.notices:
        say(str(notice))
    made.field.save(options.out)
    say(f"{made.files} files: {made.field!r}")
    return options.out
