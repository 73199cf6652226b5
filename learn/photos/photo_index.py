"""What a folder holds: which files are photographs that can be used, and why the others cannot.

`index_photos` reads every file once and keeps what it learnt in an index file, one JSON object a line; the next time
only files whose size or time has changed are read again.
"""

import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from psf import InputError
from psf.errors import one_line
from render.noise import write_whole

from ..depth_files import is_depth_name
from .decoding import RAW_SUFFIXES, SUFFIXES, OpenPhoto
from .fingerprints import find_fingerprint

INDEX_NAME = ".psfield_photos.jsonl"
HEADER = {"format": "psfield photo index", "version": 1}
LEAST_SIDE_PX = 64
THUMBNAIL_PX = 64
# Largest difference of two channels of a thumbnail, of 255, in a picture without colour.
GREY_LEVELS = 2
FILES_BETWEEN_SAVES = 1000
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Photo:
    """One photograph that can be used.

    Attributes:
        name: Path in the folder, with slashes.
        bytes: Size of the file.
        modified_ns: When it was changed last.
        shape_px: Height and width, upright.
        is_grey: Without colour.
        artist: Who took it, as its Exif data say, or "".
        fingerprint: 64 bits of its coarse looks; near-duplicates differ in few.
    """

    name: str
    bytes: int
    modified_ns: int
    shape_px: tuple[int, int]
    is_grey: bool
    artist: str
    fingerprint: int


@dataclass(frozen=True)
class Unusable:
    """One file that cannot be used.

    Attributes:
        name: Path in the folder, with slashes.
        bytes: Size of the file.
        modified_ns: When it was changed last.
        reason: One line.
    """

    name: str
    bytes: int
    modified_ns: int
    reason: str


Entry = Photo | Unusable


def inspect_photo(folder: Path, name: str) -> Entry:
    """Read one file to its end.

    Args:
        folder: The folder of photographs.
        name: Path in it, with slashes.
    """
    path = folder / name
    about = (name, *_find_facts(path))
    try:
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file; a link that leads nowhere, or a name that is not UTF-8")
        if not path.stat().st_size:
            raise InputError(str(path), "an empty file", "a picture")
        opened = OpenPhoto(path)
        if min(opened.shape_px) < LEAST_SIDE_PX:
            height, width = opened.shape_px
            raise InputError(str(path), f"{width} x {height} px", f"at least {LEAST_SIDE_PX} px a side")
        small = opened.thumbnail(THUMBNAIL_PX)
    except (InputError, ImportError, OSError) as error:
        # The folder's name stands in every message; the report names it once.
        reason = one_line(error).replace(f"{path}: ", "", 1)
        return Unusable(*about, reason)
    spread = int((small.max(-1).astype(int) - small.min(-1)).max())
    return Photo(
        *about, opened.shape_px, opened.is_grey or spread <= GREY_LEVELS, opened.artist, find_fingerprint(small)
    )


def list_files(folder: Path) -> list[str]:
    """Names of all files in a folder and below that may be photographs, sorted; depth maps and hidden ones are not.

    Bytes that are not UTF-8 are told by their numbers: a name that can be printed and kept, under which no file lies.
    """
    names = []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        inner = Path(parent).relative_to(folder)
        names += [(inner / one).as_posix() for one in files if _may_be_photo(one)]
    return sorted(name.encode("utf-8", "backslashreplace").decode() for name in names)


def _may_be_photo(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES and not is_depth_name(name)


def index_photos(
    folder: Path,
    *,
    index: Path | None = None,
    workers: int = 2,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Entry]:
    """What a folder holds, from its index file and from those files that it does not know yet.

    Args:
        folder: Of photographs; folders in it count.
        index: The index file, read and written; by default a hidden file in the folder.
        workers: Files are read by so many threads.
        on_progress: Called with the number of files read and the number to read.

    Returns:
        In the order of their names.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    if workers < 1:
        raise InputError("index_photos(workers)", workers, "at least 1")
    file = folder / INDEX_NAME if index is None else index
    known = read_index(file)
    names = list_files(folder)
    entries: dict[str, Entry] = {}
    unread: list[str] = []
    for name in names:
        entry = known.get(name)
        if entry is not None and (entry.bytes, entry.modified_ns) == _find_facts(folder / name):
            entries[name] = entry
        else:
            unread.append(name)
    if not unread and entries.keys() == known.keys():
        return [entries[name] for name in names]
    with ThreadPoolExecutor(workers) as pool:
        found = _read_all(folder, unread, pool, workers)
        for done, entry in enumerate(found, 1):
            entries[entry.name] = entry
            if done % FILES_BETWEEN_SAVES == 0:
                _save_index(file, entries)
            if on_progress:
                on_progress(done, len(unread))
    _save_index(file, entries)
    return [entries[name] for name in names]


def _find_facts(path: Path) -> tuple[int, int]:
    """Size and time of a file, by which it is known again; zeros where there is none."""
    try:
        facts = path.stat()
    except OSError:
        return 0, 0
    return facts.st_size, facts.st_mtime_ns


def _read_all(folder: Path, names: list[str], pool: ThreadPoolExecutor, workers: int) -> Iterator[Entry]:
    """Entries in order; no more files are open at a time than a few for each worker."""
    waiting = iter(names)
    queue = [pool.submit(inspect_photo, folder, name) for name in islice(waiting, 4 * workers)]
    while queue:
        yield queue.pop(0).result()
        queue += [pool.submit(inspect_photo, folder, name) for name in islice(waiting, 1)]


def read_index(file: Path) -> dict[str, Entry]:
    """Entries of an index file by name; none where there is no file, or one of another version."""
    if not file.exists():
        return {}
    try:
        head, *lines = file.read_text(encoding="utf-8").splitlines()
        if json.loads(head) != HEADER:
            logger.info("%s: an index of another version, read anew", file)
            return {}
        return {entry.name: entry for entry in map(_parse, lines)}
    except (ValueError, KeyError, TypeError) as error:
        warnings.warn(f"{file}: not an index of photographs, made anew ({error})", stacklevel=3)
        return {}


def _parse(line: str) -> Entry:
    fields: dict[str, Any] = json.loads(line)
    if "reason" in fields:
        return Unusable(**fields)
    return Photo(**{**fields, "shape_px": tuple(fields["shape_px"])})


def _save_index(file: Path, entries: dict[str, Entry]) -> None:
    lines = [HEADER, *(asdict(entries[name]) for name in sorted(entries))]
    # In ASCII: an object a line, whatever characters of other alphabets end a line, too.
    text = "\n".join(json.dumps(line, separators=(",", ":")) for line in lines) + "\n"
    try:
        write_whole(file, text.encode())
    except OSError as error:
        warnings.warn(
            f"{file}: the index cannot be kept and the next start reads all files again ({error})", stacklevel=3
        )


def count_raw(entries: list[Entry]) -> int:
    """How many of the photographs are RAW files, which take seconds to develop."""
    return sum(isinstance(one, Photo) and one.name.lower().endswith(RAW_SUFFIXES) for one in entries)
