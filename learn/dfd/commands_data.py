"""What command lines are told of focal stacks, what that makes, and shards of them."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import torch

import psf
from psf import InputError, PolarPSFField
from psf.runs import read_json

from ..depth_source import DepthSources, Kind
from ..photos import PhotoFolder, load_split, open_photos
from ..synthesis_options import NO_NOISE, read_noise
from .stack_files import STACKS_FILE, StackRun, write_stacks
from .stack_settings import Encoding, Noise, SceneKind, StackBlur, StackSettings, Texture
from .stack_synthesis import StackSynthesis, open_stacks

# So many of what could not be read are named one by one.
MOST_NAMED = 20
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class StackOptions:
    """What both commands take; what is not given is as in --settings, or as the paper's scenes are."""

    fields: tuple[Path, ...]
    """Field files (.h5), one for each focus distance, the nearest focus first; examples/focal_stack_fields.py."""
    scenes: SceneKind | None = None
    """two_plane, one_plane, slanted or photos (two_plane)."""
    photos: Path | None = None
    """Photographs for textures, or for --scenes photos; folders in it count. Without: procedural textures."""
    split: Path | None = None
    """A manifest of python -m learn.photos split ..."""
    side: Literal["training", "evaluation"] = "training"
    """... and the side of it to take."""
    index: Path | None = None
    """The index file of the photographs, instead of a hidden file in their folder."""
    textures: tuple[Texture, ...] | None = None
    """photos, leaves, noise, lines: one is drawn for each plane (all of them)."""
    depth_sources: tuple[Kind, ...] | None = None
    """Of --scenes photos: where depth is sought, in this order (file network segments)."""
    depth_folder: Path | None = None
    """Depth maps under the photographs' names, instead of beside them."""
    settings: Path | None = None
    """A JSON file of settings (those of a run.json count, too), which the other options change."""
    seed: int | None = None
    """Stack i depends on the seed and on i (0)."""
    shape_px: tuple[int, int] | None = None
    """Height and width of the window on the sensor (128 128)."""
    depth_m: tuple[float, float] | None = None
    """Nearest and farthest depth (0.5 1.415)."""
    blur: StackBlur | None = None
    """pixelwise, layered or blend (pixelwise)."""
    noise: Noise | None = None
    """sensor, even or none (sensor)."""
    noise_sd: float | None = None
    """Standard deviation of even noise, of light from 0 to 1 (0.005)."""
    sensor_noise: str = "imx586"
    """The sensor's noise: imx586, imx385, release, or a file that calibrate-noise wrote."""
    iso: tuple[float, float] | None = None
    """Least and greatest ISO (100 3200)."""
    jitter: float | None = None
    """Greatest difference of the exposures, either way (0.03)."""
    transmission: bool | None = None
    """Corners as dark as the fields say (True)."""
    encoding: Encoding | None = None
    """linear or srgb (linear)."""
    bits: int | None = None
    """Of the values (12)."""
    metres: bool = False
    """Of --scenes photos: depth files in metres are taken as they are."""


def make_shards(
    options: StackOptions,
    out: Path,
    count: int,
    *,
    per_shard: int = 64,
    workers: int | None = None,
    ray_address: str | None = None,
    on_index: Progress | None = None,
    on_shard: Progress | None = None,
) -> str:
    """Make the shards, and say what came out; what could not be used becomes warnings.

    Args:
        options: As they were typed.
        out: Folder for the shards.
        count: How many stacks.
        per_shard: Stacks in a shard.
        workers: Processes; by default one per core.
        ray_address: As `write_stacks` takes it.
        on_index: Called while photographs are read, with files done and in all.
        on_shard: Called with shards done and in all.
    """
    if workers is not None and workers < 0:
        raise InputError("--workers", workers, "a whole number from 0")
    synthesis = open_options(options, on_index)
    made = write_stacks(
        synthesis,
        out,
        count,
        per_shard=per_shard,
        workers=workers,
        ray_address=ray_address,
        on_progress=on_shard,
    )
    _warn_of_losses(synthesis, made)
    shards = made.shards
    return f"{shards.samples} focal stacks in {len(shards.shards)} shards, {STACKS_FILE} in {shards.folder}"


def open_options(args: StackOptions, on_progress: Progress | None = None) -> StackSynthesis:
    """What a command line asks for.

    Args:
        args: As they were typed.
        on_progress: Called while photographs are read, with files done and in all.
    """
    settings = make_settings(args)
    if args.sensor_noise == NO_NOISE:
        raise InputError("--sensor-noise", NO_NOISE, "a sensor; --noise none leaves the noise out")
    noise = read_noise(args.sensor_noise) if settings.noise == "sensor" else None
    return open_stacks(
        [read_field(path) for path in args.fields], settings, photos=open_side(args, on_progress), noise=noise
    )


def make_settings(args: StackOptions) -> StackSettings:
    """Settings of a command line: those of the file, then those that were typed."""
    settings = StackSettings() if args.settings is None else read_settings_file(args.settings)
    names = {one.name for one in fields(StackSettings)} & {one.name for one in fields(args)}
    changes: dict[str, Any] = {name: value for name in names if (value := getattr(args, name)) is not None}
    more = {
        "iso_range": args.iso,
        "exposure_jitter": args.jitter,
        "keep_metres": args.metres or None,
    }
    changes |= {name: value for name, value in more.items() if value is not None}
    if args.depth_sources is not None or args.depth_folder is not None:
        sources = settings.sources
        changes["sources"] = DepthSources(
            order=args.depth_sources or sources.order, folder=args.depth_folder or sources.folder
        )
    return settings.changed(**changes)


def read_settings_file(path: Path) -> StackSettings:
    """Settings from a JSON file, or from the `settings` in it."""
    found = read_json(path, "settings")
    inner = found.get("settings", found) if isinstance(found, dict) else found
    try:
        return StackSettings.from_json(inner)
    except InputError as error:
        raise InputError(f"{path}: {error.where}", error.found, error.expected) from error


def read_field(path: Path) -> PolarPSFField:
    """A field file in single precision."""
    return psf.load(path).to(dtype=torch.float32)


def open_side(args: StackOptions, on_progress: Progress | None = None) -> PhotoFolder | None:
    """The photographs, all or those of one side of a split; None without any."""
    if args.photos is None:
        if args.split is not None:
            raise InputError("--split", args.split, "--photos beside it, the folder that it divides")
        return None
    folder = open_photos(args.photos, index=args.index, on_progress=on_progress)
    if args.split is None:
        return folder
    split = load_split(args.split)
    return folder.subset(split.training if args.side == "training" else split.evaluation)


def _warn_of_losses(synthesis: StackSynthesis, made: StackRun) -> None:
    unusable = [] if synthesis.photos is None else synthesis.photos.unusable
    _warn_of("photograph left out", [f"{one.name}: {one.reason}" for one in unusable])
    _warn_of("passed over", list(made.lost))
    _warn_of("no stack", [f"{index}: {reason}" for index, reason in made.shards.failed.items()])


def _warn_of(kind: str, lines: Sequence[str]) -> None:
    for line in lines[:MOST_NAMED]:
        warnings.warn(f"{kind}: {line}", stacklevel=3)
    if len(lines) > MOST_NAMED:
        warnings.warn(f"{kind}: {len(lines) - MOST_NAMED} more", stacklevel=3)
