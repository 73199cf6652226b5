"""What the command line does to show a field."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .errors import InputError
from .hdf5 import load
from .runs import whole_file

SUFFIXES = (".html", ".htm")


class Page(Protocol):
    """What is written: a `viewer.ViewerPage`."""

    @property
    def html(self) -> str:
        """The whole page."""
        ...

    @property
    def size_mb(self) -> float:
        """Of the page, in MB."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader should know."""
        ...


@dataclass(frozen=True, kw_only=True)
class ViewOptions:
    """Look at a field in a browser: drag a point over the sensor, slide the depth, see the kernel."""

    field: Path
    """The field, .h5."""
    other: Path | None = None
    """A second field, shown beside the first."""
    out: Path | None = None
    """The page to write, .html; by default FIELD.html beside FIELD.h5."""
    open: bool = True
    """Open the page in a browser."""
    depths: int | None = None
    """Keep at most so many depths."""
    radii: int | None = None
    """Keep at most so many image heights."""
    kernel_px: int | None = None
    """Keep at most this side of the kernels, odd."""
    most_mb: float = 16.0
    """Bound of the page's size in MB; every other depth and image height goes until it holds."""


def run_view(
    options: ViewOptions,
    *,
    make: "Callable[..., Page]",
    show: Callable[[str], bool],
    say: Callable[[str], None],
) -> Path:
    """Write a page that shows one field or two.

    Args:
        options: What to show.
        make: `viewer.make_page`, handed in: only a command line loads what draws.
        show: Opens an address in a browser; whether it did.
        say: Told what the page holds and where it is, a line each.

    Returns:
        The page.

    Raises:
        FileNotFoundError: No such field, or no such folder.
        InputError: What cannot be used.
    """
    out = options.out or options.field.with_suffix(".html")
    if out.suffix.lower() not in SUFFIXES:
        raise InputError("--out", str(out), "a file name that ends in .html")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"{out.parent}: no such folder to write {out.name} to")
    sources = [options.field, *([options.other] if options.other else [])]
    if out.resolve() in [source.resolve() for source in sources]:
        raise InputError("--out", str(out), "another file than a field to show")
    fields = [load(source) for source in sources]
    page = make(
        fields,
        _names(sources, [field.provenance.lens for field in fields]),
        depths=options.depths,
        radii=options.radii,
        kernel_px=options.kernel_px,
        most_mb=options.most_mb,
    )
    with whole_file(out) as part:
        part.write_text(page.html, encoding="utf-8")
    for note in page.notes:
        say(note)
    say(f"written: {out} ({page.size_mb:.1f} MB)")
    if options.open and not show(out.resolve().as_uri()):
        say("no browser was found to open it")
    return out


def _names(sources: list[Path], lenses: list[str]) -> list[str]:
    """Lenses' names where they tell the fields apart, else the files', else these with their folders."""
    if all(lenses) and len(set(lenses)) == len(sources):
        return lenses
    stems = [source.stem for source in sources]
    if len(set(stems)) == len(sources):
        return stems
    return [f"{source.resolve().parent.name}/{source.name}" for source in sources]
