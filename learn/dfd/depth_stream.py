"""Stacks for training, made or stored, in the order of their steps, and at one image scale if that is wanted.

Step s of a training takes the stacks s B to s B + B - 1 of an endless list: made stacks are numbered, stored ones come
in a new order in every epoch, and mirrored at random, as a round lens allows: each is worth four. So a run that goes on
finds its place, with any number of ranks and workers.
"""

import io
import json
import os
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from psf import InputError
from psf.runs import make_generator, read_settings, whole_file

from ..sample_stream import IndexStream
from ..shards import decode_sample, list_shards, read_about
from .alignment import align_sample
from .cost_volume import CostVolume
from .focal_stacks import view_stack
from .stack_files import decode_stack
from .stack_samples import StackBatch, StackSample, collate, mirror_sample
from .stack_synthesis import StackSynthesis, draw_stack


@dataclass(frozen=True)
class StoredStack:
    """Where a stack lies.

    Attributes:
        shard: Its tar file.
        key: Its name there.
        parts: Name, first byte and number of bytes of each of its files.
    """

    shard: Path
    key: str
    parts: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class StackShelf:
    """Stored stacks by number; `open_shelf` finds them.

    Attributes:
        folder: Where the shards lie.
        about: Their run.json.
        places: Of every stack.
    """

    folder: Path
    about: dict[str, Any]
    places: tuple[StoredStack, ...]

    def __len__(self) -> int:
        return len(self.places)

    def read(self, number: int) -> StackSample:
        """One stack, without reading the others of its shard."""
        place = self.places[number]
        raw: dict[str, Any] = {"__key__": place.key}
        with place.shard.open("rb") as file:
            for name, first, size in place.parts:
                file.seek(first)
                raw[name] = file.read(size)
        return decode_stack(decode_sample(raw))

    def read_costs(self, number: int, sample: StackSample, volume: CostVolume) -> Tensor:
        """Residuals of one stack, kept beside the shards once they are found: finding them takes longer than a step.

        Args:
            number: Of the stack.
            sample: As `read` gives it.
            volume: The candidates.

        Returns:
            Shape (Z, h, w).
        """
        file = self.folder / f"costs-{volume.fingerprint}" / f"{self.places[number].key}.npy"
        if file.is_file():
            kept: Tensor = torch.from_numpy(np.load(file))
            return kept
        costs = volume.find(view_stack(sample))
        file.parent.mkdir(exist_ok=True)
        content = io.BytesIO()
        np.save(content, costs.numpy())
        with whole_file(file) as part:
            part.write_bytes(content.getvalue())
        return costs


@dataclass(frozen=True, eq=False)
class DepthStream(IndexStream):
    """Stacks as a depth network is trained with them.

    Attributes:
        source: What makes them, or where they lie.
        seed: Of the order of stored ones.
        magnifications: Image scale of each picture, if they are to be aligned.
        volume: Candidate depths whose residuals come with the pictures, if a network wants them.
    """

    source: StackSynthesis | StackShelf
    seed: int = 0
    magnifications: tuple[float, ...] | None = None
    volume: CostVolume | None = None

    def make(self, index: int) -> StackSample:
        """Stack `index` of the endless list."""
        if isinstance(self.source, StackShelf):
            epoch, place = divmod(index, len(self.source))
            generator = make_generator(self.seed, epoch)
            number = int(torch.randperm(len(self.source), generator=generator)[place])
            mirror = int(torch.randint(4, (len(self.source),), generator=generator)[place])
            sample = self.source.read(number)
            if self.volume is not None:
                sample = replace(sample, costs=self.source.read_costs(number, sample, self.volume))
            sample = mirror_sample(sample, across=bool(mirror & 1), down=bool(mirror & 2))
        else:
            sample = draw_stack(self.source, index)
            if self.volume is not None:
                sample = replace(sample, costs=self.volume.find(view_stack(sample)))
        return sample if self.magnifications is None else align_sample(sample, self.magnifications)

    @property
    def join(self) -> Callable[[Sequence[StackSample]], StackBatch]:
        """`collate`."""
        return collate


def open_shelf(folder: str | os.PathLike[str], described: dict[str, Any] | None = None) -> StackShelf:
    """The stacks that `python -m learn.dfd make-stacks` wrote.

    Args:
        folder: With their shards.
        described: `StackSynthesis.describe` of the fields that they must have been made with; None: any.
    """
    place = Path(folder)
    about = read_settings(place)
    if about.get("kind") != "focal stacks":
        raise InputError(str(place), "no focal stacks", "shards of python -m learn.dfd make-stacks")
    for name in ("focus_m", "image_shape_px", "fields_sha256") if described is not None else ():
        if about.get(name) != (wanted := json.loads(json.dumps(described))[name]):
            short = [str(one)[:12] if isinstance(one, str) else one for one in wanted]
            raise InputError(f"{place}: {name}", "those of other fields", f"{short}, those of the fields given")
    places: list[StoredStack] = []
    for path in list_shards(place):
        shard = read_about(path)
        numbers = range(shard["first"], shard["first"] + shard["count"])
        parts = _index_shard(path)
        for key in (f"{number:09d}" for number in numbers):
            if key in shard["failed"]:
                continue
            if key not in parts:
                raise InputError(str(path), f"no stack {key}", "the one that it counts")
            places.append(StoredStack(path, key, tuple(parts[key])))
    if not places:
        raise InputError(str(place), "no stacks", "at least one")
    return StackShelf(folder=place, about=about, places=tuple(places))


def _index_shard(path: Path) -> dict[str, list[tuple[str, int, int]]]:
    """Name, first byte and number of bytes of every file in a shard, by the stack that it belongs to."""
    found: dict[str, list[tuple[str, int, int]]] = {}
    try:
        with tarfile.open(path, "r:") as file:
            for member in file:
                key, _, name = member.name.partition(".")
                if member.isfile():
                    found.setdefault(key, []).append((name, member.offset_data, member.size))
    except (tarfile.TarError, EOFError) as error:
        raise InputError(str(path), f"a file that tar cannot read ({error})", "a shard") from error
    return found
