"""Samples in shards: plain tar files, as WebDataset reads them, written and read by a page of our own code.

    SHARDS/run.json             what the samples depend on
    SHARDS/shard-000000.tar     samples 0 to per_shard - 1, and so on
    SHARDS/manifest.json        the shards with the number of samples in each, and the samples that could not be made

In a shard, a sample is a few files of one key, the sample's number in nine digits: `000000012.input.npy`,
`000000012.about.json`. Tensors are NPY files, numbers, texts, lists and objects JSON, and bytes whatever their name
says (`000000012.picture.png`). The last member, `__shard__`, tells as JSON which numbers the shard covers and why some
of them are missing; WebDataset passes over names of that form.

Sample i depends on the settings and on i alone, and a shard holds nothing of when, where and by whom it was written:
runs with any number of workers, on one machine or many, interrupted or not, give the same bytes. There is no writer of
the webdataset package in here, because its shards hold the time and end by size or by process.
"""

import io
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from psf.errors import InputError, import_extra, one_line
from psf.jobs import Failure, JobError, Progress, check_workers
from psf.runs import begin_run, make_files, make_generator, write_json

# Names to tensors, bytes, and what JSON holds; `__key__` is the sample's number in nine digits.
Sample = dict[str, Any]

ABOUT_MEMBER, MANIFEST_FILE = "__shard__", "manifest.json"
_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9]+)?")


@dataclass(frozen=True)
class ShardRun:
    """What a run has written.

    Attributes:
        folder: Where.
        shards: In order.
        samples: How many samples they hold.
        failed: Why samples are missing, by their number.
    """

    folder: Path
    shards: tuple[Path, ...]
    samples: int
    failed: Mapping[int, str]


def write_shards(
    make_sample: Callable[[int], Mapping[str, Any]],
    folder: str | os.PathLike[str],
    count: int,
    *,
    settings: Mapping[str, Any],
    per_shard: int = 256,
    on_error: Literal["raise", "keep"] = "keep",
    workers: int | None = None,
    ray_address: str | None = None,
    on_progress: Progress | None = None,
) -> ShardRun:
    """Write samples 0 to count - 1, shard by shard, those shards that are not there yet.

    Args:
        make_sample: Makes sample i of i alone; importable by other processes, as in `psf.jobs.map_jobs`.
        folder: New, empty, or of a run with the same settings.
        count: How many samples.
        settings: All that the samples depend on (seed, field, hash of the photographs' index ...), as JSON holds it.
        per_shard: Samples in a shard.
        on_error: "keep" leaves out a sample that cannot be made and tells why; "raise" ends the run there.
        workers: As in `psf.jobs.map_jobs`; each makes one shard at a time.
        ray_address: Likewise.
        on_progress: Called with (shards done, shards in all).

    Raises:
        JobError: A shard cannot be written, or a sample cannot be made and `on_error` is "raise".
        InputError: Numbers out of range, or a folder that holds something else.
    """
    for name, value in (("count", count), ("per_shard", per_shard)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(name, repr(value), "a whole number from 1")
    if on_error not in ("raise", "keep"):
        raise InputError("on_error", repr(on_error), '"raise" or "keep"')
    check_workers(workers)
    begin_run(folder, {**settings, "count": count, "per_shard": per_shard})
    place, starts = Path(folder), range(0, count, per_shard)
    ranges = [range(start, min(start + per_shard, count)) for start in starts]
    make_files(
        partial(_write_range, make_sample, on_error),
        ranges,
        [place / f"shard-{number:06d}.tar" for number in range(len(ranges))],
        workers=workers,
        ray_address=ray_address,
        on_progress=on_progress,
    )
    shards = list_shards(place)
    abouts = [read_about(path) for path in shards]
    failed = {int(key): reason for about in abouts for key, reason in about["failed"].items()}
    rows = [
        {"file": path.name, "first": about["first"], "samples": about["count"] - len(about["failed"])}
        for path, about in zip(shards, abouts, strict=True)
    ]
    write_json(place / MANIFEST_FILE, {"shards": rows, "failed": {f"{key:09d}": why for key, why in failed.items()}})
    return ShardRun(place, tuple(shards), sum(row["samples"] for row in rows), failed)


def list_shards(folder: str | os.PathLike[str]) -> list[Path]:
    """The shards in a folder, in order.

    Raises:
        FileNotFoundError: There is none.
    """
    found = sorted(Path(folder).glob("shard-*.tar"))
    if not found:
        raise FileNotFoundError(f"{folder}: no shards (shard-000000.tar ...) in this folder")
    return found


def read_shard(path: str | os.PathLike[str]) -> Iterator[Sample]:
    """The samples of a shard, in order, as they were given to the writer, with `__key__`.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: The file is no tar file, or damaged.
    """
    source = Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"{source}: no such file")
    key, raw = "", dict[str, Any]()
    try:
        with tarfile.open(source, "r:") as file:
            for member in file:
                own, _, name = member.name.partition(".")
                content = file.extractfile(member) if name and member.isfile() else None
                if content is None:
                    continue
                if own != key and raw:
                    yield decode_sample({"__key__": key, **raw})
                    raw = {}
                key = own
                raw[name] = content.read()
            if raw:
                yield decode_sample({"__key__": key, **raw})
    except (tarfile.TarError, EOFError) as error:
        raise InputError(str(source), f"a file that tar cannot read ({error})", "a shard") from error


def read_about(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `__shard__` tells: `first` number, `count` of numbers, and `failed`, reasons by number.

    Raises:
        InputError: The file is no shard of ours.
    """
    try:
        with tarfile.open(path, "r:") as file:
            content = file.extractfile(ABOUT_MEMBER)
            found = json.loads(content.read()) if content else None
    except (tarfile.TarError, KeyError, EOFError, ValueError) as error:
        raise InputError(str(path), f"a file without {ABOUT_MEMBER} ({error})", "a whole shard; delete it") from error
    if not isinstance(found, dict) or not {"first", "count", "failed"} <= set(found):
        raise InputError(f"{path}: {ABOUT_MEMBER}", repr(found)[:60], "first, count and failed")
    return found


def decode_sample(raw: Mapping[str, Any]) -> Sample:
    """A sample from the bytes of its files by their names; keys in underscores stay as they are."""
    sample: Sample = {}
    for name, content in raw.items():
        stem, _, kind = name.rpartition(".")
        if name.startswith("__") or not isinstance(content, bytes):
            sample[name] = content
        elif kind == "npy":
            # Copied: arrays on bytes are read-only.
            sample[stem] = torch.from_numpy(np.load(io.BytesIO(content), allow_pickle=False).copy())
        elif kind == "json":
            sample[stem] = json.loads(content)
        else:
            sample[name] = content
    return sample


@dataclass(frozen=True)
class ShardDataset(IterableDataset[Sample]):
    """The samples of shards, each once: ranks and a loader's workers share the shards among them.

    Attributes:
        paths: Shards.
        rank: This process among those that train.
        ranks: How many of these there are.
        seed: Shuffles the order of shards in every epoch; None keeps it.
        epoch: Which; `in_epoch` gives another.
    """

    paths: tuple[Path, ...]
    rank: int = 0
    ranks: int = 1
    seed: int | None = None
    epoch: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.ranks:
            raise InputError("ShardDataset.rank", self.rank, f"0 to {self.ranks - 1}, of {self.ranks} ranks")

    def in_epoch(self, epoch: int) -> "ShardDataset":
        """The same samples in the order of another epoch."""
        return replace(self, epoch=epoch)

    def __iter__(self) -> Iterator[Sample]:
        order = list(range(len(self.paths)))
        if self.seed is not None:
            drawn = torch.randperm(len(order), generator=make_generator(self.seed, self.epoch))
            order = [int(place) for place in drawn]
        worker = get_worker_info()
        share, shares = (worker.id, worker.num_workers) if worker else (0, 1)
        for place in order[self.rank * shares + share :: self.ranks * shares]:
            yield from read_shard(self.paths[place])


def open_webdataset(paths: Sequence[str | os.PathLike[str]], **options: Any) -> Any:
    """A `webdataset.WebDataset` of shards whose samples are those of `read_shard`, for its shuffling and caching.

    Args:
        paths: Shards; addresses too, as WebDataset takes them.
        options: As `webdataset.WebDataset` has them; `shardshuffle` is False by default.

    Raises:
        ImportError: webdataset is not installed.
    """
    webdataset = import_extra("webdataset", "scale")
    given = {"shardshuffle": False, **options}
    return webdataset.WebDataset([os.fspath(path) for path in paths], **given).map(decode_sample)


def _write_range(
    make_sample: Callable[[int], Mapping[str, Any]], on_error: str, numbers: Sequence[int], path: Path
) -> None:
    failed: dict[int, str] = {}
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as file:
        for number in numbers:
            try:
                files = _encoded(number, make_sample(number))
            except Exception as error:
                message = one_line(error) or type(error).__name__
                if on_error == "raise":
                    raise JobError(Failure(number, f"sample {number}", type(error).__name__, message)) from error
                failed[number] = message
                if len(failed) == len(numbers):  # not one bad picture: something is wrong with the run
                    whole = f"samples {numbers[0]} to {numbers[-1]}"
                    message = f"none can be made: {message}"
                    raise JobError(Failure(number, whole, type(error).__name__, message)) from error
                continue
            for name, content in files.items():
                _add(file, name, content)
        _add_about(file, numbers[0], len(numbers), failed)


def _add_about(file: tarfile.TarFile, first: int, count: int, failed: Mapping[int, str]) -> None:
    told = {"first": first, "count": count, "failed": {f"{key:09d}": why for key, why in failed.items()}}
    _add(file, ABOUT_MEMBER, json.dumps(told, ensure_ascii=False).encode())


def _add(file: tarfile.TarFile, name: str, content: bytes) -> None:
    # TarInfo's own defaults: no owner, mode 644, the first second of 1970.
    member = tarfile.TarInfo(name)
    member.size = len(content)
    file.addfile(member, io.BytesIO(content))


def _encoded(number: int, sample: Mapping[str, Any]) -> dict[str, bytes]:
    """Members of a sample by name, in the order of their names."""
    files: dict[str, bytes] = {}
    for name, value in sorted(sample.items()):
        where = f"sample {number}: {name}"
        if not _NAME.fullmatch(name) or name.startswith("__"):
            raise InputError(where, "a name that a shard cannot hold", "a-z, 0-9 and _, and a suffix for bytes")
        is_bytes = isinstance(value, bytes)
        if is_bytes != ("." in name) or name.endswith((".npy", ".json")):
            kind = "bytes" if is_bytes else type(value).__name__
            raise InputError(where, kind, "bytes under a name with a suffix (not npy, json), others under one without")
        if is_bytes:
            files[f"{number:09d}.{name}"] = value
        elif isinstance(value, Tensor | np.ndarray):
            files[f"{number:09d}.{name}.npy"] = _npy(value, where)
        else:
            try:
                files[f"{number:09d}.{name}.json"] = json.dumps(value, ensure_ascii=False).encode()
            except (TypeError, ValueError) as error:
                raise InputError(where, str(error), "a tensor, bytes, or what JSON holds") from error
    if not files:
        raise InputError(f"sample {number}", "nothing", "at least one tensor, text or number")
    return files


def _npy(value: Tensor | np.ndarray[Any, Any], where: str) -> bytes:
    try:
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
    except TypeError as error:  # bfloat16 and its kin
        raise InputError(where, str(error), "a dtype that NumPy has") from error
    if array.dtype.kind not in "biuf":
        raise InputError(where, f"an array of {array.dtype}", "numbers")
    # Memory order and byte order would else be those of the machine and of chance.
    plain = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
    content = io.BytesIO()
    np.lib.format.write_array(content, plain, version=(1, 0), allow_pickle=False)
    return content.getvalue()
