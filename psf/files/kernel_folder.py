"""Kernels in files of numbers or pictures: NPY, TIFF, PNG and EXR, beside a table that says where each belongs.

Values are light, linear: no curve is undone. Integers are as good as floats but for their steps.
"""

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import InputError, import_extra, one_line
from ..runs import load_npy, load_tiff

SUFFIXES = (".npy", ".tif", ".tiff", ".png", ".exr")
MANIFESTS = ("manifest.json", "manifest.csv")
Samples = npt.NDArray[Any]


def find_manifest(path: str | os.PathLike[str]) -> Path:
    """The manifest of a folder: `manifest.json`, `manifest.csv`, or else its only CSV file.

    Args:
        path: A folder, or a manifest itself.
    """
    place = Path(path)
    if place.is_file():
        return place
    if not place.is_dir():
        raise FileNotFoundError(f"{place}: no such file or folder")
    tables = [place / name for name in MANIFESTS if (place / name).is_file()]
    if not tables:
        tables = sorted(one for one in place.iterdir() if one.suffix.lower() == ".csv" and one.is_file())
    if len(tables) != 1:
        found = ", ".join(one.name for one in tables) or "none of them"
        raise InputError(str(place), found, "manifest.json, manifest.csv or one CSV file")
    return tables[0]


def read_kernel_file(path: str | os.PathLike[str]) -> Tensor:
    """Values of a file of kernels.

    Args:
        path: .npy of (rows, columns) or (rows, columns, channels); .tif, .png or .exr, grey or colour.

    Returns:
        As stored, in float64, shape (channels, rows, columns).

    Raises:
        FileNotFoundError: There is no such file.
        InputError: It cannot be read, or holds something else than finite values of at least 0.
    """
    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(f"{file}: no such file")
    readers = {".npy": load_npy, ".png": _read_png, ".exr": _read_exr}
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES or not file.is_file():
        raise InputError(str(file), f"the suffix {file.suffix!r}", "a file, one of " + ", ".join(SUFFIXES))
    try:
        samples = readers.get(suffix, load_tiff)(file)
    except (InputError, ImportError):
        raise
    # Each library has its own way of saying that a file is broken; the user needs one.
    except (OSError, ValueError, RuntimeError, SyntaxError, EOFError, KeyError, IndexError) as error:
        raise InputError(str(file), f"no readable content ({one_line(error)})", "a whole file") from error
    if samples.ndim == 2:
        samples = samples[..., None]
    if samples.ndim != 3 or not samples.size or samples.dtype.kind not in "uif":
        found = f"{samples.dtype} of shape {samples.shape}"
        raise InputError(str(file), found, "numbers of shape (rows, columns) or (rows, columns, channels)")
    values = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float64)).permute(2, 0, 1).contiguous()
    if not bool(values.isfinite().all()):
        channel, row, column = (int(one) for one in (~values.isfinite()).nonzero()[0])
        where = f"{file}: channel {channel}, row {row}, column {column}"
        raise InputError(where, f"{float(values[channel, row, column])}", "finite values")
    if bool((values < 0).any()):
        raise InputError(str(file), f"a value of {float(values.min()):g}", "light, at least 0")
    if not bool((values.sum((1, 2)) > 0).all()):
        raise InputError(str(file), "a channel without light", "values above 0 in every channel")
    return values


def _read_png(file: Path) -> Samples:
    from PIL import Image

    quiet = warnings.catch_warnings(action="ignore", category=DeprecationWarning)
    with quiet, Image.open(file) as opened:
        mode = opened.mode
        deep = file.read_bytes()[24:25] == b"\x10"  # IHDR: bits per sample
        if opened.format != "PNG" or mode not in ("L", "RGB", "I", "I;16") or (deep and mode == "RGB"):
            found = f"{opened.format} of pillow's mode {mode}" + (", 16 bits" if deep else "")
            raise InputError(str(file), found, "a PNG file, grey of 8 or 16 bits or RGB of 8; more as TIFF or NPY")
        return np.array(opened)


def _read_exr(file: Path) -> Samples:
    part = import_extra("OpenEXR", "exr").File(str(file), separate_channels=True).parts[0]
    channels = {name: channel.pixels for name, channel in part.channels.items()}
    if len(channels) == 1:
        return np.asarray(next(iter(channels.values())))
    if set(channels) != set("RGB"):
        raise InputError(str(file), "channels " + ", ".join(channels), "one channel, or R, G and B")
    return np.stack([channels[name] for name in "RGB"], -1)
