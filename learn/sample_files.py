"""Samples that are kept: evaluation sets and fixed training sets in shards, each with every number that was drawn.

    SHARDS/run.json         settings, camera, hashes of field and photographs
    SHARDS/samples.json     every number that was drawn for every sample
    SHARDS/shard-000000.tar, manifest.json: see `learn.shards`

A sample in a shard is what the sensor recorded, not what a network is given, so that one set serves every choice of
planes: `dn` (uint16, or `srgb`, uint8, in "rgb"), `target`, `depth_m` (both float32) and `about` (JSON).
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from psf import InputError, PolarPSFField
from psf.runs import read_settings, write_json
from render import ColourMetadata, RawSensor
from render.bayer import Pattern, check_pattern

from .samples import Drawn, Sample, make_planes
from .shards import ShardRun, list_shards, read_shard, write_shards
from .synthesis import Synthesis, draw_sample
from .variants import COLOURS, SynthesisSettings

SAMPLES_FILE = "samples.json"
RGB_LEVELS = 255


@dataclass(frozen=True)
class SampleRun:
    """What was written.

    Attributes:
        shards: The shards, and the samples that could not be made.
        lost: Photographs and depth maps that were passed over, once each, in order.
    """

    shards: ShardRun
    lost: tuple[str, ...]


def write_samples(
    synthesis: Synthesis,
    folder: str | os.PathLike[str],
    count: int,
    *,
    per_shard: int = 64,
    workers: int | None = None,
    ray_address: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> SampleRun:
    """Write samples 0 to count - 1, those shards that are not there yet; one bad picture does not end a run.

    Args:
        synthesis: What they are made of.
        folder: New, empty, or of a run with the same settings, field and photographs.
        count: How many.
        per_shard: Samples in a shard, the part that is made in one go.
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
    write_json(Path(folder) / SAMPLES_FILE, {"samples": abouts})
    lost = [line for about in abouts for line in about["drawn"]["lost"]]
    return SampleRun(run, tuple(dict.fromkeys(lost)))


def make_record(synthesis: Synthesis, index: int) -> dict[str, Any]:
    """Sample `index` as a shard holds it."""
    sample = draw_sample(synthesis, index, with_depth=True)
    return encode_record(sample, synthesis.settings, synthesis.camera.sensor)


def encode_record(sample: Sample, settings: SynthesisSettings, sensor: RawSensor) -> dict[str, Any]:
    """A sample as a shard holds it.

    Args:
        sample: With its depth.
        settings: Of the synthesis.
        sensor: That recorded it.
    """
    colours = sample.input[: len(COLOURS[settings.space])]
    about: dict[str, Any] = {
        "space": settings.space,
        "drawn": sample.drawn.to_json(),
        "shot": sample.shot.tolist(),
        "read": sample.read.tolist(),
        "image_shape_px": list(sample.image_shape_px),
        "sensor": dict(vars(sensor)),
        "metadata": None,
    }
    if sample.metadata is not None:
        about["metadata"] = {name: value[0].tolist() for name, value in vars(sample.metadata).items()}
    record: dict[str, Any] = {"about": about, "target": sample.target}
    if sample.depth_m is not None:
        record["depth_m"] = sample.depth_m
    if settings.space == "rgb":
        record["srgb"] = (colours * RGB_LEVELS).round().to(torch.uint8)
    else:
        record["dn"] = sensor.quantised(colours).numpy().astype(np.uint16)
    return record


def decode_record(record: Mapping[str, Any], settings: SynthesisSettings, field: PolarPSFField | None = None) -> Sample:
    """The sample that was encoded, to the bit, with the planes that the settings name.

    Args:
        record: As `learn.shards.read_shard` gives it.
        settings: Those of the planes count; `space` must be that of the record.
        field: As in `learn.samples.make_planes`.
    """
    key = record.get("__key__", "")
    about, colours_name = record.get("about"), "srgb" if settings.space == "rgb" else "dn"
    if not isinstance(about, Mapping) or about.get("space") != settings.space or colours_name not in record:
        found = about.get("space") if isinstance(about, Mapping) else "no synthetic sample"
        raise InputError(f"sample {key}", str(found), f"a sample in space {settings.space!r}")
    drawn = Drawn.from_json(about["drawn"])
    stored: Tensor = record[colours_name]
    pattern: Pattern = "RGGB"
    if settings.space == "rgb":
        colours = stored.to(torch.float32) / RGB_LEVELS
    else:
        sensor = about["sensor"]
        options: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in sensor.items()}
        recorder = RawSensor(**options)
        colours = recorder.normalised(stored.to(torch.int32).to(torch.float32))
        pattern = check_pattern(recorder.pattern)
    shot, read = (torch.tensor(about[name], dtype=torch.float32) for name in ("shot", "read"))
    sensor_px = (int(about["image_shape_px"][0]), int(about["image_shape_px"][1]))
    metadata = about["metadata"]
    if metadata is not None:
        metadata = ColourMetadata(**{name: torch.tensor([value]) for name, value in metadata.items()})
    planes = make_planes(
        colours,
        settings,
        iso=drawn.iso,
        shot=shot,
        read=read,
        window_px=drawn.window_px,
        image_shape_px=sensor_px,
        field=field,
        pattern=pattern,
    )
    return Sample(
        input=planes,
        target=record["target"],
        metadata=metadata,
        shot=shot,
        read=read,
        image_shape_px=sensor_px,
        drawn=drawn,
        depth_m=record.get("depth_m"),
    )


def read_samples(
    folder: str | os.PathLike[str], settings: SynthesisSettings | None = None, field: PolarPSFField | None = None
) -> Iterator[Sample]:
    """The samples of a folder of shards, in order.

    Args:
        folder: As `write_samples` left it.
        settings: Whose planes they get; by default those that the set was made with.
        field: As in `learn.samples.make_planes`.
    """
    chosen = settings or SynthesisSettings.from_json(read_settings(folder).get("settings", {}))
    for path in list_shards(folder):
        for record in read_shard(path):
            yield decode_record(record, chosen, field)
