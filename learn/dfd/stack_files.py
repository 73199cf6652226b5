"""Focal stacks that are kept: fixed training and evaluation sets in shards, each with every number that was drawn.

    SHARDS/run.json         settings, focus distances, hashes of fields and photographs
    SHARDS/stacks.json      every number that was drawn for every stack
    SHARDS/shard-000000.tar, manifest.json: see `learn.shards`

A stack in a shard is `dn` (uint8 or uint16), `depth_m` (float32), `in_front` (uint8), `blur_px` (float16) and `about`
(JSON: focus distances, encoding, bits, sensor, what was drawn).
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from psf import InputError
from psf.runs import write_json

from ..shards import ShardRun, read_shard, write_shards
from .stack_samples import DrawnStack, StackSample
from .stack_synthesis import StackSynthesis, draw_stack

STACKS_FILE = "stacks.json"
PARTS = ("dn", "depth_m", "in_front", "blur_px")


@dataclass(frozen=True)
class StackRun:
    """What was written.

    Attributes:
        shards: The shards, and the stacks that could not be made.
        lost: Photographs and depth maps that were passed over, once each, in order.
    """

    shards: ShardRun
    lost: tuple[str, ...]


def write_stacks(
    synthesis: StackSynthesis,
    folder: str | os.PathLike[str],
    count: int,
    *,
    per_shard: int = 64,
    workers: int | None = None,
    ray_address: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> StackRun:
    """Write stacks 0 to count - 1, those shards that are not there yet; one bad picture does not end a run.

    Args:
        synthesis: What they are made of.
        folder: New, empty, or of a run with the same settings, fields and photographs.
        count: How many.
        per_shard: Stacks in a shard, the part that is made in one go.
        workers: Processes; by default one per core. The result is the same with any number.
        ray_address: None for processes of this machine, "local" or the address of a Ray cluster.
        on_progress: Called with (shards done, shards in all).
    """
    run = write_shards(
        partial(make_record, synthesis),
        folder,
        count,
        settings=synthesis.describe(),
        per_shard=per_shard,
        workers=workers,
        ray_address=ray_address,
        on_progress=on_progress,
    )
    abouts = [record["about"] for path in run.shards for record in read_shard(path)]
    write_json(Path(folder) / STACKS_FILE, {"stacks": abouts})
    lost = [line for about in abouts for line in about["drawn"]["scene"]["lost"]]
    return StackRun(run, tuple(dict.fromkeys(lost)))


def make_record(synthesis: StackSynthesis, index: int) -> dict[str, Any]:
    """Stack `index` as a shard holds it."""
    return encode_stack(draw_stack(synthesis, index))


def encode_stack(sample: StackSample) -> dict[str, Any]:
    """A focal stack as a shard holds it."""
    counts = (sample.stack * (2**sample.bits - 1)).round().numpy()
    return {
        "dn": counts.astype(np.uint8 if sample.bits <= 8 else np.uint16),
        "depth_m": sample.depth_m,
        "in_front": sample.in_front.to(torch.uint8),
        "blur_px": sample.blur_px.half(),
        "about": {
            "focus_m": sample.focus_m.tolist(),
            "image_shape_px": list(sample.image_shape_px),
            "encoding": sample.encoding,
            "bits": sample.bits,
            "drawn": sample.drawn.to_json(),
        },
    }


def decode_stack(record: Mapping[str, Any]) -> StackSample:
    """The focal stack that was encoded, to the bit.

    Args:
        record: As `learn.shards.read_shard` gives it.
    """
    where, about = f"stack {record.get('__key__', '')}".rstrip(), record.get("about")
    if not isinstance(about, Mapping) or any(name not in record for name in PARTS):
        missing = [name for name in (*PARTS, "about") if name not in record] or ["about"]
        raise InputError(where, f"no {missing[0]}", "a focal stack of python -m learn.dfd make-stacks")
    dn: Tensor = record["dn"]
    bits = int(about["bits"])
    return StackSample(
        stack=dn.to(torch.int32).to(torch.float32) / (2**bits - 1),
        focus_m=torch.tensor(about["focus_m"], dtype=torch.float32),
        depth_m=record["depth_m"],
        in_front=record["in_front"].bool(),
        blur_px=record["blur_px"].float(),
        image_shape_px=(int(about["image_shape_px"][0]), int(about["image_shape_px"][1])),
        encoding=str(about["encoding"]),
        bits=bits,
        drawn=DrawnStack.from_json(about["drawn"]),
    )
