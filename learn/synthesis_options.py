"""What command lines are told of a synthesis: photographs, camera, choices; and what that makes."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import torch

import psf
from psf import InputError, PolarPSFField
from psf.runs import read_json
from render import NoiseModel, RawSensor, load_noise
from render.camera import Camera
from render.noise_presets import ISO_PRESETS

from .depth_scaling import RULES
from .depth_source import Kind
from .photos import PhotoFolder, load_split, open_photos
from .synthesis import Synthesis, open_synthesis
from .variants import (
    Aux,
    Blur,
    DepthVariant,
    FieldPlanes,
    Framing,
    IsoPlane,
    Space,
    SynthesisSettings,
    Transmission,
)

NO_NOISE = "none"


@dataclass(frozen=True, kw_only=True)
class SynthesisOptions:
    """What both commands take; what is not given is as in --settings, or as in the paper."""

    field: Path
    """The lens: a field file (.h5), or a folder that Camera.save wrote, with its sensor and noise."""
    noise: str = "imx586"
    """The sensor's noise: imx586, imx385, release, none, or a file that calibrate-noise wrote."""
    bits: int = 10
    """Of the sensor's counts; black is 64 of 1024."""
    fields: Path | None = None
    """A folder of perturbed fields, as python -m optics perturb makes it; one is drawn for each sample."""
    split: Path | None = None
    """A manifest of python -m learn.photos split ..."""
    side: Literal["training", "evaluation"] = "training"
    """... and the side of it to take."""
    depth_sources: tuple[Kind, ...] | None = None
    """Where depth is sought, in this order (file network segments)."""
    depth_folder: Path | None = None
    """Depth maps under the photographs' names, instead of beside them."""
    index: Path | None = None
    """The index file of the photographs, instead of a hidden file in their folder."""
    settings: Path | None = None
    """A JSON file of settings (those of a run.json count, too), which the options below change."""
    seed: int | None = None
    """Sample i depends on the seed and on i (0)."""
    cells: int | None = None
    """Side of a patch in packed cells, half its sensor pixels (256)."""
    framing: Framing | None = None
    """Random crops, or the centre of every photograph in turn (random)."""
    blur: Blur | None = None
    """blend, pixelwise, layered or none (blend)."""
    depth: DepthVariant | None = None
    """varying, constant or constant_matched (varying)."""
    space: Space | None = None
    """raw or rgb (raw)."""
    aux: Aux | None = None
    """Planes beside the colours (iso_field)."""
    field_planes: FieldPlanes | None = None
    """radius or xy (radius)."""
    iso_plane: IsoPlane | None = None
    """linear or sigma (linear)."""
    deconvolved_dpt: tuple[float, ...] | None = None
    """More planes: the mosaic deconvolved by the lens's field as if all of it lay at each of these depths, in dioptres,
    0 for infinity (none)."""
    transmission: Transmission | None = None
    """Darker corners: off, input or both (off)."""
    iso: tuple[float, float] | None = None
    """Least and greatest ISO (100 3200)."""
    near_m: tuple[float, float] | None = None
    """Range of the nearest depth in m (0.1 1)."""
    dioptre: bool = False
    """A fourth rule for depth: even in dioptres."""
    metres: bool = False
    """Depth files in metres are taken as they are."""
    spread_px: float | None = None
    """Greatest Gaussian that is added to kernels, in px (0.7)."""


def open_options(
    photos: Path,
    options: SynthesisOptions,
    *,
    changes: dict[str, Any] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Synthesis:
    """What a command line asks for.

    Args:
        photos: The folder.
        options: As they were typed.
        changes: Settings of the command's own, which a settings file and options go over.
        on_progress: Called while the folder is read, with files done and in all.
    """
    settings = make_settings(options, changes or {})
    camera = make_camera(options)
    folder = open_side(photos, options, on_progress)
    return open_synthesis(folder, camera, settings, fields=options.fields)


def make_settings(options: SynthesisOptions, changes: dict[str, Any]) -> SynthesisSettings:
    """Settings of a command line: the command's own, then the file's, then those that were typed.

    Args:
        options: As they were typed.
        changes: The command's own, under the names of `SynthesisSettings`.
    """
    settings = SynthesisSettings().changed(**changes) if options.settings is None else read_file(options.settings)
    names = {one.name for one in fields(SynthesisSettings)} & {one.name for one in fields(options)}
    typed = {name: value for name in names if (value := getattr(options, name)) is not None}
    more = {
        "shape_px": None if options.cells is None else (2 * options.cells, 2 * options.cells),
        "iso_range": options.iso,
        "near_m": options.near_m,
        "rules": RULES if options.dioptre else None,
        "keep_metres": options.metres or None,
        "order": options.depth_sources,
        "folder": options.depth_folder,
    }
    return settings.changed(**typed, **{name: value for name, value in more.items() if value is not None})


def read_file(path: Path) -> SynthesisSettings:
    """Settings from a JSON file, or from the `settings` in it."""
    found = read_json(path, "settings")
    inner = found.get("settings", found) if isinstance(found, dict) else found
    try:
        return SynthesisSettings.from_json(inner)
    except InputError as error:
        raise InputError(f"{path}: {error.where}", error.found, error.expected) from error


def make_camera(options: SynthesisOptions) -> Camera:
    """The camera of a command line."""
    if options.field.is_dir():
        return Camera.load(options.field).to(dtype=torch.float32)
    sensor = RawSensor(bits=options.bits, black_dn=2**options.bits / 16)
    return Camera(read_field(options.field), sensor, read_noise(options.noise))


def read_field(path: Path) -> PolarPSFField:
    """A field file in single precision, its image scale taken as the reference's."""
    field = psf.load(path).to(dtype=torch.float32)
    # Whatever a focus does to the size of the picture, the photographs were not taken with this lens.
    return field if field.magnification == 1 else replace(field, magnification=1.0)


def read_noise(name: str) -> NoiseModel | None:
    """Noise by the name of a sensor or of a file."""
    if name == NO_NOISE:
        return None
    if name in ISO_PRESETS:
        return load_noise(name)
    if not name.endswith(".json"):
        raise InputError("--noise", repr(name), f"one of {', '.join((*ISO_PRESETS, NO_NOISE))}, or a .json file")
    return NoiseModel.load(name)


def open_side(
    photos: Path, options: SynthesisOptions, on_progress: Callable[[int, int], None] | None = None
) -> PhotoFolder:
    """The photographs, all or those of one side of a split."""
    folder = open_photos(photos, index=options.index, on_progress=on_progress)
    if options.split is None:
        return folder
    split = load_split(options.split)
    return folder.subset(split.training if options.side == "training" else split.evaluation)
