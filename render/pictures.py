"""Image and depth files: PNG, TIFF, EXR and NPY (and JPEG to read) to linear light and metres, and back.

| suffix | read as a picture | written (`bits`, the first is the default) |
|---|---|---|
| .png | 8 or 16 bit, sRGB | 8, 16, sRGB |
| .jpg, .jpeg | 8 bit, sRGB | |
| .tif, .tiff | 8 or 16 bit, sRGB; float, linear | 16, sRGB; 32, linear |
| .exr | half or float, linear; needs `pip install 'psfield[exr]'` | 32, 16, linear |
| .npy | (H, W) or (H, W, C); integers sRGB, floats linear | 32, 64, linear |

"sRGB" is the transfer curve; colours are taken as they are, no matrix is applied.
"""

import math
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from psf import InputError
from psf.errors import import_extra, one_line
from psf.runs import load_npy, load_tiff, whole_file

from .png import find_png_bits, read_png16, write_png16

# IEC 61966-2-1: the straight piece near black, and the power above it.
SRGB_SLOPE, SRGB_KNEE, SRGB_OFFSET, SRGB_POWER = 12.92, 0.0031308, 0.055, 2.4
SRGB_ENCODED_KNEE = 0.04045
ENCODINGS = ("auto", "srgb", "linear")
METRES_PER = {"m": 1.0, "cm": 0.01, "mm": 0.001}
UNITS = (*METRES_PER, "dpt")
FILLS = ("refuse", "nearest", "inf")
READABLE = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".exr", ".npy")
# suffix -> bits that can be written, the default first
WRITABLE = {".png": (8, 16), ".tif": (16, 32), ".tiff": (16, 32), ".exr": (32, 16), ".npy": (32, 64)}
# (suffix, bits) -> the curve that "auto" stands for; what is not here is linear
SRGB_FILES = {(".png", 8), (".png", 16), (".tif", 16), (".tiff", 16)}
Samples = npt.NDArray[Any]


def decode_srgb(srgb: Tensor) -> Tensor:
    """Linear light of sRGB values.

    Args:
        srgb: 0 to 1; the two pieces of the curve go on beyond. Any shape.

    Returns:
        The same shape.
    """
    # The power sees only values that it has a finite slope at, or the piece not chosen would spoil the gradient.
    upper = ((srgb.clamp_min(SRGB_ENCODED_KNEE) + SRGB_OFFSET) / (1 + SRGB_OFFSET)) ** SRGB_POWER
    return torch.where(srgb <= SRGB_ENCODED_KNEE, srgb / SRGB_SLOPE, upper)


def encode_srgb(linear: Tensor) -> Tensor:
    """SRGB values of linear light, the inverse of `decode_srgb`.

    Args:
        linear: 0 to 1; the two pieces of the curve go on beyond. Any shape.

    Returns:
        The same shape.
    """
    upper = (1 + SRGB_OFFSET) * linear.clamp_min(SRGB_KNEE) ** (1 / SRGB_POWER) - SRGB_OFFSET
    return torch.where(linear <= SRGB_KNEE, linear * SRGB_SLOPE, upper)


def read_picture(path: str | os.PathLike[str], *, encoding: str = "auto", dtype: torch.dtype = torch.float32) -> Tensor:
    """A picture in linear light.

    Turned upright where the file says how it was held. A colour profile other than sRGB is warned of and not applied.

    Args:
        path: A file of one of the kinds in the table above.
        encoding: "srgb", "linear", or "auto": integers are sRGB, floats are linear.
        dtype: Of the result.

    Returns:
        Shape (1, C, H, W), C 1 or 3; integers are divided by their largest value.
    """
    file = _existing(path, READABLE)
    _check_choice("read_picture(encoding)", encoding, ENCODINGS)
    samples = _without_alpha(file, _read_samples(file, _pick_colours))
    if samples.shape[2] not in (1, 3):
        raise InputError(str(file), f"{samples.shape[2]} channels", "1 (grey) or 3 (R, G, B)")
    is_float = samples.dtype.kind == "f"
    if not is_float and samples.dtype not in (np.uint8, np.uint16):
        raise InputError(str(file), f"samples of type {samples.dtype}", "8 or 16 bits, or floats")
    if bad := int((~np.isfinite(samples)).sum()):
        raise InputError(str(file), f"{bad} samples that are not finite", "finite light")
    largest = 1 if is_float else np.iinfo(samples.dtype).max
    # Through float64: 16 bits then come back to themselves whatever `dtype` is.
    picture = torch.from_numpy(samples.astype(np.float64) / largest).permute(2, 0, 1)[None]
    if encoding == "srgb" or (encoding == "auto" and not is_float):
        picture = decode_srgb(picture)
    return picture.to(dtype).contiguous()


def write_picture(
    path: str | os.PathLike[str], image: Tensor, *, encoding: str = "auto", bits: int | None = None
) -> None:
    """Write a picture; a file of that name is replaced once the new one is whole.

    Integers hold 0 to 1: brighter light is clipped, as in a camera. Floats hold everything.

    Args:
        path: Its suffix names the kind, see the table above; its folder must exist.
        image: Linear light, shape (C, H, W) or (1, C, H, W) with C 1 or 3.
        encoding: "srgb", "linear", or "auto": sRGB in integers, linear in floats.
        bits: Per sample; by default the first that the table above names.
    """
    file = Path(path)
    bits = check_writable(file, bits)
    _check_choice("write_picture(encoding)", encoding, ENCODINGS)
    picture = image[0] if image.ndim == 4 and image.shape[0] == 1 else image
    if picture.ndim != 3 or picture.shape[0] not in (1, 3) or not picture.numel() or not picture.is_floating_point():
        raise InputError("image", f"{image.dtype} of shape {tuple(image.shape)}", "floats of shape (1 or 3, H, W)")
    light = picture.detach().to(device="cpu", dtype=torch.float64)
    if bad := int((~light.isfinite()).sum()):
        raise InputError("image", f"{bad} values that are not finite", "finite light")
    suffix = file.suffix.lower()
    if encoding == "srgb" or (encoding == "auto" and (suffix, bits) in SRGB_FILES):
        light = encode_srgb(light)
    samples: Samples = light.permute(1, 2, 0).contiguous().numpy()
    if suffix == ".png" or (suffix != ".exr" and bits == 16):
        samples = np.rint(samples.clip(0, 1) * (2**bits - 1)).astype(f"u{bits // 8}")
    else:
        with np.errstate(over="ignore"):
            samples = samples.astype(f"f{bits // 8}")
        if not np.isfinite(samples).all():
            raise InputError("image", f"light up to {float(light.max()):g}", f"what {bits} bits of {suffix} can hold")
    with whole_file(file) as part:
        _write_samples(part, suffix, samples)


def check_writable(path: str | os.PathLike[str], bits: int | None = None) -> int:
    """Whether `write_picture` can write such a file, before anything is computed: raises if not, else the bits."""
    file = Path(path)
    suffix = file.suffix.lower()
    if suffix not in WRITABLE:
        raise InputError(str(file), f"the suffix {file.suffix!r}", "one of " + ", ".join(WRITABLE))
    if bits is not None and bits not in WRITABLE[suffix]:
        raise InputError(f"{file} (bits)", bits, " or ".join(map(str, WRITABLE[suffix])))
    if not file.parent.is_dir():
        raise FileNotFoundError(f"{file.parent}: no such folder to write {file.name} to")
    if file.is_dir():
        raise InputError(str(file), "a folder", "the name of a file to write")
    if suffix == ".exr":
        import_extra("OpenEXR", "exr")
    return WRITABLE[suffix][0] if bits is None else bits


def read_depth(
    path: str | os.PathLike[str],
    *,
    unit: str,
    scale: float = 1.0,
    offset: float = 0.0,
    missing: Sequence[float] = (),
    fill: str = "refuse",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """A depth map in metres along the axis.

    A stored value v means `offset + scale v` in `unit`. So 16-bit millimetres are unit "mm"; 5000 steps to the metre
    are unit "m" and scale 1/5000; 16 bits from `near` to `far` are scale (far - near) / 65535 and offset near; a
    normalised inverse depth is unit "dpt" with the scale and offset of its ends in 1/m.

    Args:
        path: PNG, TIFF, EXR or NPY of one channel, or of three equal ones. In an EXR file of several channels the one
            named Z, V or depth (in any layer) counts.
        unit: "m", "cm", "mm", or "dpt": dioptres, 1/m, where 0 is infinity.
        scale: Unit per stored step, not 0.
        offset: In `unit`.
        missing: Stored values (before scale and offset) that mean that nothing was measured. NaN always means that.
        fill: What stands for them: "refuse" is an error, "nearest" the depth of the nearest measured pixel, "inf"
            infinity.
        dtype: Of the result.

    Returns:
        Above 0, may be `inf`; shape (1, 1, H, W).
    """
    file = _existing(path, tuple(suffix for suffix in READABLE if not suffix.startswith(".j")))
    _check_choice("read_depth(unit)", unit, UNITS)
    _check_choice("read_depth(fill)", fill, FILLS)
    if not (math.isfinite(scale) and scale != 0):
        raise InputError("read_depth(scale)", scale, f"{unit} per stored step, finite and not 0")
    if not math.isfinite(offset):
        raise InputError("read_depth(offset)", offset, f"a finite number of {unit}")
    samples = _read_samples(file, _pick_depth)
    if samples.shape[2] != 1 and bool((samples != samples[..., :1]).any()):
        raise InputError(str(file), f"{samples.shape[2]} channels that differ", "one channel of depth")
    stored = samples[..., 0].astype(np.float64)
    unknown = np.isnan(stored)
    for value in missing:
        unknown |= stored == value
    quantity = offset + scale * np.where(unknown, 1.0, stored)
    with np.errstate(divide="ignore"):
        depth_m = 1 / np.where(quantity == 0, 0.0, quantity) if unit == "dpt" else quantity * METRES_PER[unit]
    bad = ~unknown & ~((quantity >= 0) if unit == "dpt" else (quantity > 0))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        expected = "no dioptres below 0" if unit == "dpt" else f"depths above 0 {unit}"
        hint = "; if that value means that nothing was measured, name it as missing"
        found = f"{quantity[row, column]:g} {unit} at row {row}, column {column} (and {int(bad.sum()) - 1} more)"
        raise InputError(str(file), found, expected + hint)
    if unknown.any():
        depth_m = _fill_missing(file, depth_m, unknown, fill)
    found_m = torch.from_numpy(depth_m).to(dtype)
    if not bool((found_m > 0).all()):
        raise InputError(str(file), f"depths down to {depth_m.min():g} m", f"depths above 0 m in {dtype}")
    return found_m[None, None]


def _fill_missing(file: Path, depth_m: Samples, unknown: npt.NDArray[np.bool_], fill: str) -> Samples:
    count = int(unknown.sum())
    if fill == "refuse":
        raise InputError(str(file), f"{count} of {unknown.size} pixels without depth", "a depth everywhere, or a fill")
    if fill == "inf":
        return np.where(unknown, math.inf, depth_m)
    if count == unknown.size:
        raise InputError(str(file), "no pixel with a depth", "at least one to fill the others from")
    from scipy import ndimage

    rows, columns = ndimage.distance_transform_edt(unknown, return_distances=False, return_indices=True)
    filled: Samples = depth_m[rows, columns]
    return filled


def _check_choice(where: str, found: str, choices: Sequence[str]) -> None:
    if found not in choices:
        raise InputError(where, repr(found), "one of " + ", ".join(map(repr, choices)))


def _existing(path: str | os.PathLike[str], suffixes: Sequence[str]) -> Path:
    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(f"{file}: no such file")
    if not file.is_file():
        raise InputError(str(file), "a folder", "a file")
    if file.suffix.lower() not in suffixes:
        raise InputError(str(file), f"the suffix {file.suffix!r}", "one of " + ", ".join(suffixes))
    return file


def _without_alpha(file: Path, samples: Samples) -> Samples:
    """Samples (H, W, C) less an alpha channel that hides nothing."""
    if samples.shape[2] not in (2, 4):
        return samples
    alpha = samples[..., -1]
    if not (alpha == (1 if samples.dtype.kind == "f" else np.iinfo(samples.dtype).max)).all():
        raise InputError(str(file), "pixels that are partly transparent", "an opaque picture")
    return samples[..., :-1]


def _read_samples(file: Path, pick: Callable[[Path, dict[str, Samples]], Samples]) -> Samples:
    """What the file holds, (H, W, C); `pick` chooses among an EXR file's channels."""
    suffix = file.suffix.lower()
    readers = {".tif": _read_tiff, ".tiff": _read_tiff, ".npy": _read_npy}
    try:
        samples = pick(file, _read_exr(file)) if suffix == ".exr" else readers.get(suffix, _read_with_pillow)(file)
    except (InputError, ImportError):
        raise
    # Each library has its own way of saying that a file is broken; the user needs one.
    except (OSError, ValueError, RuntimeError, SyntaxError, EOFError, KeyError, IndexError) as error:
        raise InputError(str(file), f"no readable content ({one_line(error)})", "a whole file") from error
    if samples.ndim != 3 or not samples.size or samples.dtype.kind not in "uif":
        raise InputError(str(file), f"{samples.dtype} of shape {samples.shape}", "numbers of shape (H, W) or (H, W, C)")
    return samples


def _read_with_pillow(file: Path) -> Samples:
    from PIL import Image, ImageOps

    # Its limit is a guard against pictures that unpack to far more than they seem; large frames are our trade.
    quiet = warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning)
    with quiet, Image.open(file) as opened:
        if opened.format not in ("PNG", "JPEG"):
            raise InputError(str(file), f"a file of kind {opened.format}", "what its suffix says")
        profile = opened.info.get("icc_profile") or b""
        mode = opened.mode
        deep = find_png_bits(file) == 16
        samples: Samples | None = None
        if not deep:
            if mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
                raise InputError(str(file), f"pillow's mode {mode}", "grey or RGB")
            upright = ImageOps.exif_transpose(opened)
            wanted = {"1": "L", "P": "RGBA" if "transparency" in opened.info else "RGB"}.get(mode, mode)
            samples = np.atleast_3d(np.array(upright.convert(wanted)))
    if profile and b"sRGB" not in profile and "sRGB".encode("utf-16-be") not in profile:
        warnings.warn(f"{file}: the colour profile is not sRGB; its colours are taken as they are", stacklevel=4)
    return read_png16(file) if samples is None else samples


def _read_tiff(file: Path) -> Samples:
    samples: Samples = load_tiff(file, kinds=("MINISBLACK", "RGB"))
    return samples[..., None] if samples.ndim == 2 else samples


def _read_npy(file: Path) -> Samples:
    samples: Samples = load_npy(file)
    return samples[..., None] if samples.ndim == 2 else samples


def _read_exr(file: Path) -> dict[str, Samples]:
    """Channels by name, each (H, W)."""
    part = import_extra("OpenEXR", "exr").File(str(file), separate_channels=True).parts[0]
    windows = [tuple(int(x) for corner in part.header[n] for x in corner) for n in ("dataWindow", "displayWindow")]
    if windows[0] != windows[1]:
        raise InputError(str(file), f"data in {windows[0]} of a display {windows[1]}", "data that fills the display")
    return {name: channel.pixels for name, channel in part.channels.items()}


def _pick_colours(file: Path, channels: dict[str, Samples]) -> Samples:
    layers = sorted({name.rpartition(".")[0] for name in channels}, key=len)
    for letters in ("RGBA", "RGB", "YA", "Y"):
        for layer in layers:
            names = [f"{layer}.{letter}" if layer else letter for letter in letters]
            if all(name in channels for name in names):
                return np.stack([channels[name] for name in names], -1)
    raise InputError(str(file), "channels " + ", ".join(channels), "R, G and B, or Y, in one layer")


def _pick_depth(file: Path, channels: dict[str, Samples]) -> Samples:
    if len(channels) == 1:
        return next(iter(channels.values()))[..., None]
    named = [name for name in channels if name.rpartition(".")[2].lower() in ("z", "v", "depth")]
    if len(named) == 1:
        return channels[named[0]][..., None]
    if not named and {name.rpartition(".")[2] for name in channels} <= set("RGBA"):
        return np.stack([pixels for name, pixels in channels.items() if not name.endswith("A")], -1)
    raise InputError(str(file), "channels " + ", ".join(channels), "one channel, or one named Z, V or depth")


def _write_samples(part: Path, suffix: str, samples: Samples) -> None:
    if suffix == ".exr":
        exr = import_extra("OpenEXR", "exr")
        names = "Y" if samples.shape[2] == 1 else "RGB"
        header = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
        planes = {name: np.ascontiguousarray(samples[..., i]) for i, name in enumerate(names)}
        exr.File(header, planes).write(str(part))
        return
    with part.open("xb") as file:
        if suffix == ".npy":
            np.save(file, samples[..., 0] if samples.shape[2] == 1 else samples, allow_pickle=False)
        elif suffix == ".png" and samples.dtype == np.uint16:
            write_png16(file, samples)
        elif suffix == ".png":
            from PIL import Image

            Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples).save(file, "PNG", optimize=True)
        else:
            import tifffile

            kind = "minisblack" if samples.shape[2] == 1 else "rgb"
            plain = samples[..., 0] if samples.shape[2] == 1 else samples
            tifffile.imwrite(file, plain, photometric=kind, compression="zlib", metadata=None)
