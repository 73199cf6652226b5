"""Captures as a folder of pictures with a `captures.json`, or as one `.npz` file.

    {
     "schema": "psfield-captures-1",
     "kernel_px": 25,
     "focus_m": 0.5, "f_number": 2.8, "sharp_f_number": 22,
     "bin": 4, "pitch_um": 13.44, "image_shape_px": [972, 1296],
     "pairs": [
      {"sharp": "far_a_f22.dng", "blurred": "far_a_f2.8.dng", "depth_m": 1.415},
      {"sharp": "near_a_f22.dng", "blurred": "near_a_f2.8.dng", "depth_m": 0.5, "focus_m": 0.59}
     ]
    }

What stands at the top holds for every pair that does not say otherwise. All pixels are counted after `bin` x `bin` of
them are made one: `kernel_px`, `pitch_um`, `image_shape_px` and `window_px`, the sensor column and row of the blurred
file's first pixel (default 0, 0: the file shows the whole sensor, whose shape then need not be given). A sharp file is
as large as its blurred one, whose border of half a kernel is then cut off; or it reaches half a kernel further.
`encoding` says what numbers in PNG, TIFF and NPY files are: "linear", "srgb", or "auto": integers sRGB, floats linear.
Pictures are read when a pair is asked for, and checked then.

An `.npz` holds the arguments of `Captures.from_arrays`.
"""

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .capture_arrays import check_light
from .captures import Captures
from .errors import InputError, one_line
from .runs import load_npy, read_json, whole_file, write_json

MANIFEST = "captures.json"
SCHEMA = "psfield-captures-1"
ENCODINGS = ("auto", "linear", "srgb")
# key -> whether every pair may have its own
KEYS = {
    "schema": False,
    "pairs": False,
    "kernel_px": False,
    "bin": False,
    "pitch_um": False,
    "image_shape_px": False,
    "encoding": False,
    "provenance": False,
    "focus_m": True,
    "depth_m": True,
    "f_number": False,
    "sharp_f_number": False,
    "window_px": True,
    "sharp": True,
    "blurred": True,
}
ARRAYS = ("sharp", "blurred", "x0_px", "y0_px", "depth_m", "image_shape_px", "kernel_px", "focus_m")
EXTRAS = ("pitch_um", "f_number", "sharp_f_number")


@dataclass(frozen=True, eq=False, kw_only=True)
class CapturePhoto:
    """A picture file as captures need it.

    Attributes:
        light: Linear, 1 is white, shape (C, H, W), after binning.
        clipped: Where any of the pixels that were made one is saturated, shape (H, W); None if the file does not tell.
        is_raw: Whether the numbers come straight from a sensor.
        was_curved: Whether the file's numbers had a tone curve, which was undone as if it were sRGB's.
        f_number: As the file tells it.
        focal_mm: As the file tells it.
        exposure_s: As the file tells it.
        iso: As the file tells it.
    """

    light: Tensor
    clipped: Tensor | None = None
    is_raw: bool = False
    was_curved: bool = False
    f_number: float | None = None
    focal_mm: float | None = None
    exposure_s: float | None = None
    iso: float | None = None


# (file, how many pixels a side become one, encoding) -> what it holds
ReadPhoto = Callable[[Path, int, str], CapturePhoto]


@dataclass(frozen=True, eq=False)
class FolderPairs:
    """Pairs on disk: per pair the sharp and the blurred file, read when asked for."""

    files: tuple[tuple[Path, Path], ...]
    kernel_px: int
    shape_px: tuple[int, int]
    channel_count: int
    bin_px: int
    encoding: str
    read: ReadPhoto

    def read_photos(self, row: int) -> tuple[CapturePhoto, CapturePhoto]:
        """Both files of pair `row` as they are."""
        sharp, blurred = (self.read(file, self.bin_px, self.encoding) for file in self.files[row])
        for file, photo in zip(self.files[row], (sharp, blurred), strict=True):
            check_light(str(file), photo.light)
        return sharp, blurred

    def read_pair(self, row: int) -> tuple[Tensor, Tensor]:
        """As `PairSource.read_pair`."""
        sharp, blurred = (photo.light for photo in self.read_photos(row))
        blurred = trim(self.files[row], sharp, blurred, self.kernel_px)
        found = (int(blurred.shape[0]), int(blurred.shape[1]), int(blurred.shape[2]))
        wanted = (self.channel_count, *self.shape_px)
        if found != wanted:
            raise InputError(str(self.files[row][1]), _size(found), f"{_size(wanted)} as in the first pair")
        return sharp, blurred


def trim(files: tuple[Path, Path], sharp: Tensor, blurred: Tensor, kernel_px: int) -> Tensor:
    """The part of a blurred picture (C, H, W) that the sharp one (C, h, w) determines; an error if they do not fit."""
    half, more = kernel_px // 2, kernel_px - 1
    if sharp.shape == blurred.shape and min(blurred.shape[-2:]) > more:
        return blurred[:, half : blurred.shape[1] - half, half : blurred.shape[2] - half]
    if sharp.shape == (blurred.shape[0], blurred.shape[1] + more, blurred.shape[2] + more):
        return blurred
    found = f"{_size(sharp.shape)} beside {_size(blurred.shape)} of {files[1].name}"
    raise InputError(str(files[0]), found, f"pictures of one size above {more} px, or one {more} px larger each way")


def read_captures(path: str | os.PathLike[str], read: ReadPhoto | None = None) -> Captures:
    """Captures of a folder with a `captures.json` (or of that file itself), or of an `.npz` file.

    Only the first pair's pictures are read here; the names of all files are looked at.

    Args:
        path: The folder or file.
        read: Reads a picture file; `render.read_capture` reads RAW, DNG, TIFF, PNG, EXR and NPY. Without it NPY alone.
    """
    place = Path(path)
    if not place.exists():
        raise FileNotFoundError(f"{place}: no such file or folder")
    if place.is_file() and place.suffix.lower() == ".npz":
        return _read_arrays(place)
    file = place / MANIFEST if place.is_dir() else place
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file; a folder of captures has one")
    data = _read_manifest(file)
    kernel_px, bin_px = _whole(file, data, "kernel_px", None), _whole(file, data, "bin", 1)
    if kernel_px % 2 == 0:
        raise InputError(f"{file}: kernel_px", kernel_px, "an odd number")
    encoding = data.get("encoding", "auto")
    if encoding not in ENCODINGS:
        raise InputError(f"{file}: encoding", repr(encoding), "one of " + ", ".join(map(repr, ENCODINGS)))
    pairs = [_merge(file, data, n, one) for n, one in enumerate(data["pairs"])]
    files = tuple(
        (_find_file(file, n, one, "sharp"), _find_file(file, n, one, "blurred")) for n, one in enumerate(pairs)
    )
    reader = read or read_npy
    sharp, blurred = (reader(one, bin_px, encoding).light for one in files[0])
    for one, light in zip(files[0], (sharp, blurred), strict=True):
        check_light(str(one), light)
    seen = trim(files[0], sharp, blurred, kernel_px)
    cut = (int(blurred.shape[-1]) - int(seen.shape[-1])) // 2
    shape = _shape(file, data, (int(blurred.shape[-2]), int(blurred.shape[-1])))
    window = [_window(file, n, one) for n, one in enumerate(pairs)]
    shape_px, channels = (int(seen.shape[-2]), int(seen.shape[-1])), int(seen.shape[0])
    f64 = torch.float64
    return Captures(
        source=FolderPairs(files, kernel_px, shape_px, channels, bin_px, encoding, reader),
        rows=tuple(range(len(files))),
        names=tuple(_name(one[1], files) for one in files),
        x0_px=torch.tensor([one[0] + cut for one in window], dtype=f64),
        y0_px=torch.tensor([one[1] + cut for one in window], dtype=f64),
        depth_m=torch.tensor([_number(file, n, one, "depth_m") for n, one in enumerate(pairs)], dtype=f64),
        focus_m=torch.tensor([_number(file, n, one, "focus_m") for n, one in enumerate(pairs)], dtype=f64),
        shape_px=shape_px,
        channel_count=channels,
        image_shape_px=shape,
        kernel_px=kernel_px,
        provenance=dict(data.get("provenance", {})),
        **{name: _optional_number(file, data, name) for name in EXTRAS},
    )


def write_captures(path: str | os.PathLike[str], captures: Captures) -> None:
    """Write captures as one `.npz` file, or as a folder of NPY pictures with a `captures.json`.

    Args:
        path: Ends in `.npz` for a file; a folder must be new or empty, and its manifest is written last.
        captures: What to write.
    """
    place = Path(path)
    if not len(captures):
        raise InputError("captures", "no pairs", "at least one to write")
    extras = {name: getattr(captures, name) for name in EXTRAS if getattr(captures, name) is not None}
    if place.suffix.lower() == ".npz":
        held = captures.stacked()
        tensors = ("sharp", "blurred", "x0_px", "y0_px", "depth_m", "focus_m")
        arrays: dict[str, Any] = {name: getattr(held, name).cpu().numpy() for name in tensors}
        arrays |= {"image_shape_px": np.array(captures.image_shape_px), "kernel_px": np.array(captures.kernel_px)}
        arrays |= {"provenance": np.array(json.dumps(dict(captures.provenance))), **extras}
        with whole_file(place) as part, part.open("wb") as opened:
            np.savez_compressed(opened, **arrays)
        return
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise InputError(str(place), "something that is there already", "a new or an empty folder")
    if not place.parent.is_dir():
        raise FileNotFoundError(f"{place.parent}: no such folder to make {place.name} in")
    place.mkdir(exist_ok=True)
    pairs = []
    for n, pair in enumerate(captures):
        entry: dict[str, Any] = {}
        for kind in ("sharp", "blurred"):
            entry[kind] = f"{n:04d}_{kind}.npy"
            with whole_file(place / entry[kind]) as part, part.open("wb") as opened:
                np.save(opened, getattr(pair, kind).cpu().movedim(0, -1).squeeze(-1).numpy(), allow_pickle=False)
        entry |= {"depth_m": float(pair.depth_m), "focus_m": float(pair.focus_m)}
        pairs.append({**entry, "window_px": [float(pair.x0_px), float(pair.y0_px)]})
    shape = list(captures.image_shape_px)
    head = {"schema": SCHEMA, "kernel_px": captures.kernel_px, "image_shape_px": shape, "encoding": "linear", **extras}
    write_json(place / MANIFEST, {**head, "provenance": dict(captures.provenance), "pairs": pairs})


def read_npy(file: Path, bin_px: int, encoding: str) -> CapturePhoto:
    """A picture of floats in linear light in an NPY file, (H, W) or (H, W, C)."""
    if file.suffix.lower() != ".npy":
        raise InputError(
            str(file), f"the suffix {file.suffix!r}", ".npy, or a reader of pictures (render.read_capture)"
        )
    try:
        samples = load_npy(file)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(str(file), f"no array ({one_line(error)})", "a whole NPY file") from error
    if samples.ndim not in (2, 3) or samples.dtype.kind != "f" or encoding == "srgb" or not samples.size:
        found = f"{samples.dtype} of shape {samples.shape}, encoding {encoding}"
        raise InputError(str(file), found, "floats of linear light, (H, W) or (H, W, C)")
    # Whatever the order of bytes and the width, torch takes these two.
    wanted = np.float32 if samples.dtype.itemsize <= 4 else np.float64
    light = torch.from_numpy(np.ascontiguousarray(np.atleast_3d(samples), dtype=wanted))
    return CapturePhoto(light=bin_pixels(light.movedim(-1, 0).contiguous(), bin_px))


def bin_pixels(light: Tensor, bin_px: int) -> Tensor:
    """Means over squares of `bin_px` pixels a side; rows and columns left over at the end are dropped.

    Args:
        light: Shape (C, H, W).
        bin_px: Side of the squares.
    """
    if bin_px < 1 or min(light.shape[-2:]) < bin_px:
        raise InputError("bin", bin_px, f"1 to {min(light.shape[-2:])}")
    return light if bin_px == 1 else torch.nn.functional.avg_pool2d(light[None], bin_px)[0]


def _read_arrays(file: Path) -> Captures:
    try:
        # numpy leaves a file open that begins as an archive and is none.
        with file.open("rb") as raw, np.load(raw, allow_pickle=False) as opened:
            found = {name: opened[name] for name in opened.files}
    except Exception as error:  # half an archive may look like anything to whoever unpacks it
        raise InputError(str(file), f"no arrays ({one_line(error)})", "a whole NPZ file") from error
    if missing := [name for name in ARRAYS if name not in found]:
        raise InputError(str(file), f"no {', '.join(missing)}", "the arguments of Captures.from_arrays")
    arguments: dict[str, Any] = {name: found[name] for name in ARRAYS}
    try:
        arguments["kernel_px"] = int(found["kernel_px"])
        arguments |= {name: float(found[name]) for name in EXTRAS if name in found}
        told = json.loads(str(found["provenance"])) if "provenance" in found else {}
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(str(file), one_line(error), "numbers in kernel_px and the like") from error
    try:
        return Captures.from_arrays(**arguments, provenance=told)
    except InputError as error:
        raise InputError(f"{file}: {error.where}", error.found, error.expected) from error


def _read_manifest(file: Path) -> dict[str, Any]:
    data = read_json(file, "a manifest of captures")
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = repr(data.get("schema")) if isinstance(data, dict) else type(data).__name__
        raise InputError(f"{file}: schema", found, repr(SCHEMA))
    if unknown := [key for key in data if key not in KEYS]:
        raise InputError(f"{file}: {unknown[0]}", "a key that nobody knows", "one of " + ", ".join(KEYS))
    if not isinstance(data.get("pairs"), list) or not data["pairs"]:
        raise InputError(f"{file}: pairs", "none", "a list of at least one pair")
    if not isinstance(data.get("provenance", {}), dict):
        raise InputError(f"{file}: provenance", type(data["provenance"]).__name__, "an object")
    return data


def _merge(file: Path, data: Mapping[str, Any], n: int, pair: Any) -> dict[str, Any]:
    """A pair's own keys over those at the top."""
    where = f"{file}: pairs[{n}]"
    if not isinstance(pair, dict):
        raise InputError(where, type(pair).__name__, "an object")
    own = [key for key, per_pair in KEYS.items() if per_pair]
    if unknown := [key for key in pair if key not in own]:
        raise InputError(f"{where}.{unknown[0]}", "a key that no pair has", "one of " + ", ".join(own))
    return {**{key: data[key] for key in own if key in data}, **pair}


def _find_file(file: Path, n: int, pair: Mapping[str, Any], kind: str) -> Path:
    where, named = f"{file}: pairs[{n}].{kind}", pair.get(kind)
    if not isinstance(named, str) or not named:
        raise InputError(where, repr(named), "the name of a picture file")
    found = file.parent / named
    if not found.is_file():
        raise FileNotFoundError(f"{found}: no such file, named by {where}")
    return found


def _number(file: Path, n: int, pair: Mapping[str, Any], key: str) -> float:
    value = pair.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise InputError(f"{file}: pairs[{n}].{key}", repr(value), "a distance above 0 m")
    return float(value)


def _optional_number(file: Path, data: Mapping[str, Any], key: str) -> float | None:
    value = data.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value > 0):
        raise InputError(f"{file}: {key}", repr(value), "a positive number")
    return None if value is None else float(value)


def _whole(file: Path, data: Mapping[str, Any], key: str, default: int | None) -> int:
    value = data.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{file}: {key}", repr(value), "a whole number from 1")
    return value


def _shape(file: Path, data: Mapping[str, Any], picture: tuple[int, int]) -> tuple[int, int]:
    value = data.get("image_shape_px", list(picture))
    if not isinstance(value, list) or len(value) != 2 or not all(isinstance(x, int) and x > 0 for x in value):
        raise InputError(f"{file}: image_shape_px", repr(value), "the sensor's [rows, columns]")
    return value[0], value[1]


def _window(file: Path, n: int, pair: Mapping[str, Any]) -> tuple[float, float]:
    value = pair.get("window_px", [0, 0])
    numbers = isinstance(value, list) and len(value) == 2 and all(isinstance(x, int | float) for x in value)
    if not numbers or not all(math.isfinite(x) for x in value):
        raise InputError(f"{file}: pairs[{n}].window_px", repr(value), "[column, row] of the file's first pixel")
    return float(value[0]), float(value[1])


def _name(file: Path, files: tuple[tuple[Path, Path], ...]) -> str:
    """A blurred file's name: it says which pair is meant."""
    return str(file.relative_to(files[0][1].parent)) if file.is_relative_to(files[0][1].parent) else str(file)


def _size(shape: tuple[int, ...] | torch.Size) -> str:
    return f"{shape[-1]} x {shape[-2]} px of {shape[0]} channels"
