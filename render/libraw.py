"""The one door to LibRaw: what it makes of a camera file, copied out of its memory and with one kind of error."""

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from psf import InputError

from .tiff_tags import FileTags, read_tags

# DNG 1.7, table "Compression", and the codes that cameras use besides.
COMPRESSIONS = {
    1: "none",
    7: "JPEG",
    8: "deflate",
    9: "GoPro VC-5",
    32867: "Kodak",
    34892: "lossy JPEG",
    52546: "JPEG XL",
}
OTHER_KINDS = ((b"\xff\xd8\xff", "a JPEG picture"), (b"\x89PNG", "a PNG picture"), (b"%PDF", "a PDF document"))
WHAT_IS_READ = "a RAW file that LibRaw reads"


@dataclass(frozen=True, eq=False)
class Decoded:
    """A camera file as LibRaw sees it, unchecked; `RawFile` says what its numbers mean.

    Attributes:
        values: All of the sensor with its masked border, uint16, shape (H, W), or (H, W, 3 or 4) for linear files.
        top_px, left_px, height_px, width_px: The visible area.
        crop_px: The maker's crop (left, top, width, height) from the sensor's first pixel; zeros if there is none.
        pattern: Colour index per site of the visible area's smallest cell, shape (n, n); None for linear files.
        colours: A letter per colour index.
        colour_count: How many of them the sensor has.
        black_dn: By colour index, shape (4,).
        white_dn: Where a pixel is saturated.
        white_balance: Multipliers by colour index, shape (4,); may be meaningless.
        xyz_to_camera: From LibRaw's table of cameras, shape (4, 3); zeros if it does not know the model.
        camera_to_srgb: Shape (3, 4); zeros if nothing is known.
        flip: LibRaw's code of the orientation.
        pixel_aspect: Width over height of a pixel.
        iso, exposure_s, f_number, focal_mm: 0 if unknown.
        time: When the picture was taken, by the camera's clock.
        lens: Its name.
    """

    values: npt.NDArray[np.uint16]
    top_px: int
    left_px: int
    height_px: int
    width_px: int
    crop_px: tuple[int, int, int, int]
    pattern: npt.NDArray[np.uint8] | None
    colours: str
    colour_count: int
    black_dn: npt.NDArray[np.float64]
    white_dn: float
    white_balance: npt.NDArray[np.float64]
    xyz_to_camera: npt.NDArray[np.float64]
    camera_to_srgb: npt.NDArray[np.float64]
    flip: int
    pixel_aspect: float
    iso: float
    exposure_s: float
    f_number: float
    focal_mm: float
    time: datetime | None
    lens: str


def decode(path: str | os.PathLike[str]) -> tuple[Decoded, FileTags]:
    """Decode a camera file.

    Args:
        path: A RAW file of any camera that LibRaw knows, or a DNG.

    Returns:
        What LibRaw sees, and the file's tags.
    """
    import rawpy

    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(f"{file}: no such file")
    if not file.is_file():
        raise InputError(str(file), "a folder", "a file")
    if file.stat().st_size == 0:
        raise InputError(str(file), "an empty file", "a RAW file")
    tags = read_tags(file)
    # A lossy JPEG that ends too early is filled up without an error, so the promise of the tags is looked at first.
    if tags.is_dng and (end := tags.find_end_of_data_bytes()) > tags.size_bytes:
        found = f"{tags.size_bytes} bytes though its pixels reach to byte {end}"
        raise InputError(str(file), found, "a whole file (this one is cut off)")
    try:
        with rawpy.imread(str(file)) as opened:
            return _copy(opened), tags
    except rawpy.LibRawFileUnsupportedError as error:
        raise InputError(str(file), _describe(file, tags), WHAT_IS_READ) from error
    except (rawpy.LibRawIOError, rawpy.LibRawDataError) as error:
        found = _find_other_kind(file) or f"pixels{_name_compression(tags)} that cannot be decoded"
        raise InputError(str(file), found, "a whole file (this one is cut off or damaged)") from error
    except rawpy.LibRawError as error:
        raise InputError(str(file), f"something that LibRaw refuses ({_words(error)})", WHAT_IS_READ) from error
    # What rawpy raises where the numbers of a damaged file make no sense; NotImplementedError is a RuntimeError.
    except (ValueError, TypeError, RuntimeError, MemoryError, OverflowError, OSError) as error:
        raise InputError(str(file), f"numbers that make no sense ({_words(error)})", WHAT_IS_READ) from error


def _copy(opened: Any) -> Decoded:
    """Everything out of LibRaw's memory: touching its arrays after it is closed ends the process."""
    sizes, other = opened.sizes, opened.other
    values = np.array(opened.raw_image, dtype=np.uint16)  # the pixels first: here a damaged file shows itself
    pattern = opened.raw_pattern
    return Decoded(
        values=values,
        top_px=sizes.top_margin,
        left_px=sizes.left_margin,
        height_px=sizes.height,
        width_px=sizes.width,
        crop_px=(sizes.crop_left_margin, sizes.crop_top_margin, sizes.crop_width, sizes.crop_height),
        pattern=None if pattern is None else np.array(pattern),
        colours=opened.color_desc.decode("ascii", "replace"),
        colour_count=int(opened.num_colors),
        black_dn=np.array(opened.black_level_per_channel, dtype=np.float64),
        white_dn=float(opened.white_level),
        white_balance=np.array(opened.camera_whitebalance, dtype=np.float64),
        xyz_to_camera=np.array(opened.rgb_xyz_matrix, dtype=np.float64),
        camera_to_srgb=np.array(opened.color_matrix, dtype=np.float64),
        flip=int(sizes.flip),
        pixel_aspect=float(sizes.pixel_aspect),
        iso=float(other.iso_speed),
        exposure_s=float(other.shutter_speed),
        f_number=float(other.aperture),
        focal_mm=float(other.focal_length),
        time=other.timestamp if other.timestamp != datetime.fromtimestamp(0) else None,
        lens=opened.lens.model.strip(),
    )


def _describe(file: Path, tags: FileTags) -> str:
    """Why LibRaw may not know a file."""
    if tags.is_dng and (compression := _name_compression(tags)):
        return f"a DNG{compression} or of a structure that LibRaw does not support"
    return _find_other_kind(file) or "something that is no RAW file, or of a camera that LibRaw does not know"


def _name_compression(tags: FileTags) -> str:
    code = tags.raw.number(259)
    return "" if code is None or code == 1 else f" with compression {code:g} ({COMPRESSIONS.get(int(code), 'unknown')})"


def _find_other_kind(file: Path) -> str | None:
    with file.open("rb") as opened:
        start = opened.read(8)
    return next((name for signature, name in OTHER_KINDS if start.startswith(signature)), None)


def _words(error: BaseException) -> str:
    found = error.args[0] if error.args else type(error).__name__
    return " ".join((found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)).split())
