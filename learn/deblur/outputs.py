"""Which photographs a command restores, and which files come of each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from psf import InputError
from render.calibration_files import RAW_SUFFIXES

Format = Literal["dng", "png", "tif"]
FORMATS: tuple[Format, ...] = get_args(Format)
OWN_FORMATS: dict[str, Format] = {".dng": "dng", ".png": "png", ".tif": "tif", ".tiff": "tif"}
COMPARISON = "_before_after.png"


@dataclass(frozen=True)
class Output:
    """What comes of one photograph.

    Attributes:
        source: The photograph.
        pictures: Format by format, the file to write.
        comparison: The file of before and after, None if none is wanted.
    """

    source: Path
    pictures: tuple[tuple[Format, Path], ...]
    comparison: Path | None

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them."""
        more = () if self.comparison is None else (self.comparison,)
        return (*(path for _, path in self.pictures), *more)

    def missing(self, overwrite: bool) -> tuple[Path, ...]:
        """What has to be written."""
        return self.files if overwrite else tuple(path for path in self.files if not path.is_file())

    def developed(self, wanted: Sequence[Path]) -> list[Path]:
        """Those of the files that are developed pictures, among those wanted."""
        return [path for form, path in self.pictures if form != "dng" and path in wanted]


def list_photos(inputs: Iterable[Path]) -> list[Path]:
    """RAW files, and those that lie directly in folders, in order of their names.

    Args:
        inputs: Files and folders. A file that is named is taken whatever its suffix, and even if it is not there: it
            fails in its turn.
    """
    found: list[Path] = []
    for one in inputs:
        if one.is_dir():
            inside = [path for path in sorted(one.iterdir()) if path.is_file() and not path.name.startswith(".")]
            photos = [path for path in inside if path.suffix.lower() in RAW_SUFFIXES]
            if not photos:
                raise InputError(str(one), "no RAW file in the folder", "one at least: " + " ".join(RAW_SUFFIXES))
            found += photos
        else:
            found.append(one)
    return list(dict.fromkeys(found))


def plan_outputs(
    photos: Sequence[Path], out: Path, formats: Sequence[Format] = (), *, comparison: bool = False
) -> list[Output]:
    """Names for all that is to be written.

    Args:
        photos: As `list_photos` gives them.
        out: One file, .dng, .png or .tif, for one photograph; else a folder, made when it is needed, in which files
            bear the photographs' names.
        formats: What to write of each; by default what `out` says, else "dng".
        comparison: Whether a picture of before and after is wanted beside them.

    Raises:
        InputError: Two photographs would be written to the same file, or one over a photograph.
    """
    if not photos:
        raise InputError("photographs", "none", "at least one RAW file")
    suffix = out.suffix.lower()
    is_file = suffix in OWN_FORMATS and not out.is_dir()
    wanted = tuple(dict.fromkeys(formats)) or ((OWN_FORMATS[suffix],) if is_file else ("dng",))
    for one in wanted:
        if one not in FORMATS:
            raise InputError("formats", repr(one), " or ".join(FORMATS))
    if is_file and (len(photos) > 1 or wanted != (OWN_FORMATS[suffix],)):
        found = f"one file for {len(photos)} photographs in {' '.join(wanted)}"
        raise InputError(str(out), found, "a folder")
    if is_file:
        own = (OWN_FORMATS[suffix], out)
        planned = [Output(photos[0], (own,), out.with_name(out.stem + COMPARISON) if comparison else None)]
    else:
        planned = [
            Output(
                photo,
                tuple((one, out / f"{photo.stem}.{one}") for one in wanted),
                out / (photo.stem + COMPARISON) if comparison else None,
            )
            for photo in photos
        ]
    _check_names(planned)
    return planned


def make_folder(out: Path, planned: Sequence[Output]) -> None:
    """The folder to write to; its parent must exist.

    Args:
        out: As given to `plan_outputs`.
        planned: What that gave.
    """
    folder = planned[0].files[0].parent
    if folder == out and not folder.exists():
        if not folder.parent.is_dir():
            raise FileNotFoundError(f"{folder.parent}: no such folder to make {folder.name} in")
        folder.mkdir(exist_ok=True)
    if not folder.is_dir():
        kind = "a file" if folder.exists() else "no such folder"
        raise InputError(str(folder), kind, "a folder to write to")


def remove_leftovers(path: Path) -> None:
    """Remove what a killed run has left of a file under a temporary name.

    Args:
        path: The file.
    """
    if path.parent.is_dir():
        for left in path.parent.iterdir():
            if left.name.startswith(f".{path.name}.") and left.suffix == ".part":
                left.unlink(missing_ok=True)


def _check_names(planned: Sequence[Output]) -> None:
    sources = {one.source.resolve(): one.source for one in planned}
    # Another case is another name, but on many disks the same file.
    own = {_identify(one): one for one in sources.values() if one.exists()}
    makers: dict[Path, Path] = {}
    for one in planned:
        for path in one.files:
            target = path.resolve()
            source = sources.get(target) or (own.get(_identify(path)) if path.exists() else None)
            if source is not None:
                raise InputError(str(path), f"the photograph {source}", "another folder to write to")
            if target in makers:
                both = f"both of {makers[target]} and of {one.source}"
                raise InputError(str(path), both, "photographs of different names in one run")
            makers[target] = one.source


def _identify(path: Path) -> tuple[int, int]:
    """By which a disk knows a file, whatever it is called."""
    facts = path.stat()
    return facts.st_dev, facts.st_ino
