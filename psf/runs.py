"""Long runs that write a folder of files, may be killed at any time, and go on where they stopped.

A file that is there is done: each is written under a temporary name in its own folder and renamed when it is whole, so
that nothing but the files themselves says how far a run has come. What is random in a file hangs on the run's seed and
the file's number alone (`make_generator`), and `begin_run` keeps a folder to one set of settings: a run that is gone
on with, by however many workers, ends with the same files as one that was never stopped.
"""

import contextlib
import functools
import glob
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch

from .errors import InputError, one_line
from .jobs import Failure, Progress, map_jobs

Item = TypeVar("Item")

SETTINGS_FILE = "run.json"


def make_generator(seed: int, index: int) -> torch.Generator:
    """Random numbers for item `index` of a run: the same for the same two numbers, unrelated for any others.

    Args:
        seed: The run's; any whole number.
        index: The item's, from 0.
    """
    for name, value in (("seed", seed), ("index", index)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise InputError(name, repr(value), "a whole number")
    # Seeds of torch's generator that are close give streams that are not: a hash keeps (1, 2) away from (2, 1), too.
    digest = hashlib.sha256(f"{seed}/{index}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary name beside `path` to write to; renamed to `path` when the block ends well, else removed.

    Args:
        path: What the file will be called; its folder must exist.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target.parent}: no such folder to write {target.name} to")
    if target.is_dir():
        raise InputError(str(target), "a folder", "the name of a file to write")
    part = target.with_name(f".{target.name}.{secrets.token_hex(6)}.part")
    try:
        yield part
        with part.open("rb+") as written:
            os.fsync(written.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    # What killed runs have left of this very file.
    for left in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        left.unlink(missing_ok=True)


def write_json(path: str | os.PathLike[str], data: Any) -> None:
    """Write JSON, whole or not at all; infinities as JSON's common extension `Infinity`."""
    text = json.dumps(data, indent=1, ensure_ascii=False)
    with whole_file(path) as part:
        part.write_text(text + "\n", encoding="utf-8")


def begin_run(folder: str | os.PathLike[str], settings: Mapping[str, Any]) -> None:
    """Make a folder for a run, or check that the one there was begun with the same settings.

    Args:
        folder: New, empty, or of a run; its parent must exist.
        settings: All that the files depend on, as JSON holds it; written to `run.json`.

    Raises:
        InputError: The folder holds something else, or a run with other settings.
    """
    place = Path(folder)
    if place.exists() and not place.is_dir():
        raise InputError(str(place), "a file", "a folder")
    if not place.parent.is_dir():
        raise FileNotFoundError(f"{place.parent}: no such folder to make {place.name} in")
    wanted = json.loads(json.dumps(dict(settings)))
    file = place / SETTINGS_FILE
    if file.is_file():
        found = read_settings(place)
        if differing := [key for key in {**wanted, **found} if found.get(key) != wanted.get(key)]:
            keys = ", ".join(differing)
            there, here = (json.dumps({key: one.get(key) for key in differing})[:200] for one in (found, wanted))
            raise InputError(f"{place}: {keys}", there, f"{here} to go on with this run, or another folder")
        return
    if place.is_dir() and any(not path.name.startswith(".") for path in place.iterdir()):
        raise InputError(str(place), f"files but no {SETTINGS_FILE}", "a new or empty folder, or one of a run")
    place.mkdir(exist_ok=True)
    write_json(file, wanted)


def read_settings(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """What `begin_run` wrote.

    Raises:
        FileNotFoundError: The folder holds no run.
        InputError: Its file is damaged.
    """
    file = Path(folder) / SETTINGS_FILE
    found = read_json(file, "the settings of a run")
    if not isinstance(found, dict):
        raise InputError(str(file), type(found).__name__, "an object")
    return found


def read_json(path: str | os.PathLike[str], expected: str) -> Any:
    """What a JSON file holds.

    Args:
        path: The file, UTF-8. A mark in front, as editors of Windows put it there, is no matter.
        expected: What it should hold, for messages.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: It holds something else than JSON.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:  # brackets in brackets in brackets
        raise InputError(str(file), f"text that is not JSON ({error})", expected) from error


def load_npy(path: str | os.PathLike[str]) -> np.ndarray[Any, Any]:
    """The array of an NPY file, any shape.

    Args:
        path: The file.

    Raises:
        ValueError: It holds something else than one array; what in particular, the caller says.
    """
    with Path(path).open("rb") as raw:  # numpy leaves a file open that begins as an archive and is none
        try:
            found = np.load(raw, allow_pickle=False)
        except Exception as error:  # half a file may look like anything to whoever reads it, terabytes among them
            raise ValueError(one_line(error)) from error
        if not isinstance(found, np.ndarray):
            raise ValueError("an archive of arrays")
        return found


def load_tiff(path: str | os.PathLike[str], *, kinds: Sequence[str] = ()) -> np.ndarray[Any, Any]:
    """The samples of a TIFF file of one page, shape (H, W) or (H, W, C).

    Args:
        path: The file.
        kinds: Photometric kinds that are taken, as TIFF names them; by default all.

    Raises:
        InputError: Several pages, or another kind.
        ValueError: No TIFF file that can be read; what in particular, the caller says.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as opened:
            if len(opened.pages) != 1:
                raise InputError(str(path), f"{len(opened.pages)} pages", "one")
            page = opened.pages.first
            if kinds and (kind := tifffile.PHOTOMETRIC(page.photometric).name) not in kinds:
                raise InputError(str(path), f"photometric kind {kind}", " or ".join(kinds))
            samples: np.ndarray[Any, Any] = page.asarray()
            planar = samples.ndim == 3 and int(page.planarconfig or 1) == 2
    except InputError:
        raise
    except Exception as error:  # as above
        raise ValueError(one_line(error)) from error
    return np.moveaxis(samples, 0, 2) if planar else samples


def make_files(
    make: Callable[[Item, Path], object],
    items: Sequence[Item],
    paths: Sequence[str | os.PathLike[str]],
    *,
    workers: int | None = None,
    ray_address: str | None = None,
    on_error: Literal["raise", "keep"] = "raise",
    on_progress: Progress | None = None,
) -> list[Path | Failure]:
    """Make one file per item, those that are not there yet.

    Args:
        make: Writes the file of an item to the (temporary) path that it is given.
        items: What it is called with.
        paths: What the files are called, one per item.
        workers: As in `map_jobs`, and so are the others.
        ray_address: None, "local" or the address of a cluster, whose machines must all see the paths.
        on_error: "raise" ends the run at the first failure; "keep" makes all the other files.
        on_progress: Called with (files done, files in all), those that were there among them.

    Returns:
        Per item its path, or why it has none.
    """
    targets = [Path(path) for path in paths]
    if len(targets) != len(items):
        raise InputError("paths", f"{len(targets)} of them", f"{len(items)}, one per item")
    if len(set(targets)) != len(targets):
        raise InputError("paths", "a path twice", "one per item")
    missing = [index for index, path in enumerate(targets) if not path.is_file()]
    ready = len(targets) - len(missing)
    if on_progress and ready:
        on_progress(ready, len(targets))
    made = map_jobs(
        functools.partial(_make_one, make),
        [(items[index], targets[index]) for index in missing],
        workers=workers,
        ray_address=ray_address,
        name_of=_file_name,
        on_error="keep" if on_error == "keep" else "raise",
        on_progress=(lambda done, _: on_progress(ready + done, len(targets))) if on_progress else None,
    )
    outcomes: list[Path | Failure] = list(targets)
    for index, outcome in zip(missing, made, strict=True):
        outcomes[index] = replace(outcome, index=index) if isinstance(outcome, Failure) else outcome
    return outcomes


def _make_one(make: Callable[[Item, Path], object], job: tuple[Item, Path]) -> Path:
    item, target = job
    try:
        with whole_file(target) as part:
            make(item, part)
    except FileNotFoundError:
        # Another run that writes this folder was first, and took our part for a leftover.
        if not target.is_file():
            raise
    return target


def _file_name(job: tuple[Any, Path]) -> str:
    return job[1].name
