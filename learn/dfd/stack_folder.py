"""A folder of photographs, each focused elsewhere, as one focal stack.

    STACK/*.dng or *.png ...     RAW files or pictures, one for each focus distance
    STACK/stack.json             {"pictures": [{"file": "a.dng", "focus_m": 0.5}, ...], "window_px": [0, 0]}

Without stack.json the focus distances are typed, in the order of the files' names, or Exif's subject distances. They
count from the lens, as those of fields do; cameras count from the sensor, so that Exif's are made shorter by how far
the lens's first surface stands before it.
"""

import itertools
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from psf import InputError, PolarPSFField
from render import develop, read_picture
from render.calibration_files import RAW_SUFFIXES
from render.pictures import READABLE
from render.raw import read_photo
from render.tiff_tags import read_tags

from .focal_stacks import FocalStack, check_fields

MANIFEST = "stack.json"
EXIF_IFD, SUBJECT_DISTANCE, FOCAL_LENGTH = 0x8769, 0x9206, 0x920A
# Rows and columns that a file has beside the fields' sensor (of the longer side): borders, and what binning leaves.
MOST_BESIDE = 0.02
LEAST_LIGHT = 1e-6


@dataclass(frozen=True, eq=False, kw_only=True)
class StackFolder:
    """What a folder holds.

    Attributes:
        files: Pictures, the nearest focus first.
        stack: As linear light, on the sensor of the fields.
        focal_mm: Of the lens, if a file tells.
        binned: So many pixels a side became one.
    """

    files: tuple[Path, ...]
    stack: FocalStack
    focal_mm: float | None
    binned: int


def read_stack_folder(
    folder: str | os.PathLike[str],
    fields: Sequence[PolarPSFField],
    *,
    focus_m: Sequence[float] | None = None,
    lens_to_sensor_mm: float = 0.0,
    window_px: tuple[int, int] | None = None,
    level: bool = True,
) -> StackFolder:
    """Read a folder.

    Args:
        folder: With the pictures.
        fields: Of their camera, the nearest focus first; pictures of so many more pixels are binned to their sensor.
        focus_m: In the order of the files' names, instead of what the folder says.
        lens_to_sensor_mm: Taken off Exif's distances.
        window_px: Sensor column and row of the first pixel, where pictures are a part of the frame.
        level: Bring all pictures to the same mean light: blur keeps it, so what differs is exposure.
    """
    place = Path(folder)
    if not place.is_dir():
        raise FileNotFoundError(f"{place}: no such folder")
    told = _read_manifest(place)
    files = [one for one, _ in told[0]] if told is not None else _list_files(place)
    if len(files) < 2:
        raise InputError(str(place), f"{len(files)} picture", "at least 2: a focal stack has several")
    distances = _find_focus(place, files, told, focus_m, lens_to_sensor_mm)
    order = sorted(range(len(files)), key=lambda n: distances[n])
    files, distances = [files[n] for n in order], [distances[n] for n in order]
    window = window_px or (told[1] if told is not None else None)
    pictures = _read_pictures(files)
    binned, pictures = _fit_sensor(place, pictures, fields, window)
    if level:
        means = pictures.mean((1, 2, 3), keepdim=True)
        pictures = pictures * (means[:1] / means.clamp_min(LEAST_LIGHT))
    stack = FocalStack(
        pictures=pictures.clamp(0, 1),
        focus_m=torch.tensor(distances),
        image_shape_px=fields[0].image_shape_px,
        window_px=window or (0, 0),
    )
    check_fields(stack, fields)
    return StackFolder(files=tuple(files), stack=stack, focal_mm=read_exif(files[0], FOCAL_LENGTH), binned=binned)


def read_exif(file: Path, tag: int) -> float | None:
    """A number of a file's Exif data, above 0 and finite; None if there is none.

    Args:
        file: A RAW file or a picture.
        tag: Its number.
    """
    if file.suffix.lower() in (".jpg", ".jpeg", ".png"):
        from PIL import Image

        try:
            with Image.open(file) as opened:
                found = opened.getexif().get_ifd(EXIF_IFD).get(tag)
            number = None if found is None else float(found)
        except (OSError, TypeError, ValueError, ZeroDivisionError):
            return None
    else:
        number = read_tags(file).exif.number(tag)
    return number if number is not None and math.isfinite(number) and number > 0 else None


def _list_files(place: Path) -> list[Path]:
    inside = [one for one in sorted(place.iterdir()) if one.is_file() and not one.name.startswith(".")]
    raw = [one for one in inside if one.suffix.lower() in RAW_SUFFIXES]
    plain = [one for one in inside if one.suffix.lower() in READABLE and one not in raw]
    # Cameras write a JPEG beside each RAW file.
    return raw or plain


def _read_manifest(place: Path) -> tuple[list[tuple[Path, float | None]], tuple[int, int] | None] | None:
    file = place / MANIFEST
    if not file.is_file():
        return None
    try:
        found: Any = json.loads(file.read_text(encoding="utf-8"))
        listed = [(place / str(one["file"]), one.get("focus_m")) for one in found["pictures"]]
        corner = found.get("window_px")
        window = None if corner is None else (int(corner[0]), int(corner[1]))
        pairs = [(path, None if own is None else float(own)) for path, own in listed]
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        expected = '{"pictures": [{"file": ..., "focus_m": ...}, ...]}'
        raise InputError(str(file), f"what cannot be read ({error})", expected) from error
    for path, _ in pairs:
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file, named in {MANIFEST}")
    return pairs, window


def _find_focus(
    place: Path,
    files: Sequence[Path],
    told: tuple[list[tuple[Path, float | None]], tuple[int, int] | None] | None,
    typed_m: Sequence[float] | None,
    lens_to_sensor_mm: float,
) -> list[float]:
    """Focus distances of the files, in their order."""
    if typed_m is not None:
        if len(typed_m) != len(files):
            raise InputError("focus_m", f"{len(typed_m)} distances", f"{len(files)}, one for each picture in {place}")
        if any(two <= one for one, two in itertools.pairwise(typed_m)) and told is None:
            expected = "ascending distances, in the order of the files' names"
            raise InputError("focus_m", ", ".join(f"{one:g}" for one in typed_m), expected)
        distances: list[float | None] = list(typed_m)
    else:
        manifest = [None] * len(files) if told is None else [own for _, own in told[0]]
        exif = [
            None if own is not None else read_exif(file, SUBJECT_DISTANCE)
            for own, file in zip(manifest, files, strict=True)
        ]
        counted = [None if one is None else one - lens_to_sensor_mm / 1000 for one in exif]
        distances = [own if own is not None else other for own, other in zip(manifest, counted, strict=True)]
    found: list[float] = []
    for file, one in zip(files, distances, strict=True):
        if one is None:
            raise InputError(f"{file}: focus distance", "none in its Exif data", f"one there, in {MANIFEST}, or typed")
        if not (math.isfinite(one) and one > 0):
            raise InputError(f"{file}: focus distance", f"{one:g} m", "a finite distance above 0")
        found.append(one)
    if len(set(found)) != len(found):
        twice = next(one for one in found if found.count(one) > 1)
        raise InputError(f"{place}: focus distances", f"{twice:g} m twice", "each once")
    return found


def _read_pictures(files: Sequence[Path]) -> Tensor:
    """Linear light (N, 3, H, W), as the sensor lies; RAW files in the colours of the first one."""
    pictures: list[Tensor] = []
    balance: Tensor | None = None
    for file in files:
        if file.suffix.lower() in RAW_SUFFIXES:
            photo = read_photo(file)
            balance = photo.gains if balance is None else balance
            light = develop(replace(photo, orientation=1), white_balance=balance, encoding="linear", crop=False)
        else:
            light = read_picture(file).expand(-1, 3, -1, -1)
        if pictures and light.shape != pictures[0].shape:
            found = f"{light.shape[3]} x {light.shape[2]} px"
            expected = f"{pictures[0].shape[3]} x {pictures[0].shape[2]}, as {files[0].name} has"
            raise InputError(str(file), found, expected)
        pictures.append(light)
    return torch.cat(pictures)


def _fit_sensor(
    place: Path, pictures: Tensor, fields: Sequence[PolarPSFField], window_px: tuple[int, int] | None
) -> tuple[int, Tensor]:
    """Pictures at the pixels of the fields' sensor, and how many of theirs make one of these a side."""
    height, width = pictures.shape[-2:]
    own_height, own_width = fields[0].image_shape_px
    if window_px is not None:
        return 1, pictures
    many = min(width // own_width, height // own_height)
    beside = max(width - many * own_width, height - many * own_height)
    if many < 1 or beside > MOST_BESIDE * max(width, height):
        expected = f"{own_width} x {own_height} px of the fields' sensor, a multiple of it, or --window for a part"
        raise InputError(str(place), f"pictures of {width} x {height} px", expected)
    top, left = (height - many * own_height) // 2, (width - many * own_width) // 2
    inner = pictures[..., top : top + many * own_height, left : left + many * own_width]
    return many, torch.nn.functional.avg_pool2d(inner, many) if many > 1 else inner.contiguous()
