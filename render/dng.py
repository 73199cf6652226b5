"""Writing DNG files, mosaics and linear ones, which raw converters open like those of a camera.

One TIFF directory with the photograph's facts, an Exif directory (LibRaw and dcraw look for the ISO only there), and
the pixels in one strip, or one tile if they are compressed. No preview is written: it would show the picture as it was
before whatever was done to it. No maker notes either, whose inner offsets would be wrong.
"""

import math
import os
import struct
from collections.abc import Iterator, Sequence
from datetime import datetime
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from psf import InputError
from psf.errors import import_extra
from psf.runs import whole_file

from .bayer import Pattern, find_sites, shifted_pattern
from .photographs import LARGEST_DN, LinearFile, Photograph, RawFile
from .tiff_tags import (
    ASCII,
    BYTE,
    CFA,
    DOUBLE,
    EXIF_IFD,
    FORMATS,
    LARGEST_EXIF_ISO,
    LINEAR_RAW,
    LONG,
    RATIONAL,
    SHORT,
    SRATIONAL,
    UNDEFINED,
)

BITS = (8, 10, 12, 14, 16)
COMPRESSIONS = (None, "jpeg")
UNCOMPRESSED, LOSSLESS_JPEG = 1, 7
LARGEST_FILE_BYTES = 2**32 - 1
# Two light sources are what readers of DNG before 1.6 know.
MOST_MATRICES = 2
# LibRaw and dcraw take anything smaller for a thumbnail.
SMALLEST_SIDE_PX = 22
BLOCK_ROWS = 256
ALIGNMENT_BYTES = 16


class _Entry(NamedTuple):
    """A tag to write: its number, its type, and its values as numbers or text."""

    tag: int
    kind: int
    values: Sequence[float] | str | bytes


class _Pixels(NamedTuple):
    """The pixels as the file holds them: blocks of bytes, their sum, and the tags that tell how to read them."""

    blocks: Iterator[bytes | memoryview]
    size_bytes: int
    compression: int


def write_dng(
    path: str | os.PathLike[str],
    photo: RawFile | LinearFile,
    *,
    bits: int = 16,
    compression: str | None = None,
    software: str | None = None,
) -> None:
    """Write a photograph as a DNG; a file of that name is replaced once the new one is whole.

    A mosaic comes back from `read_raw` as it was, number for number, with everything that `Photograph` holds. Of a
    linear file black is subtracted, since some converters tint pictures whose black is not 0. A black level that is no
    whole number is written as it is; LibRaw, and what is built on it, cuts the fraction.

    Args:
        path: Ends in .dng; its folder must exist.
        photo: What to write. A mosaic with odd sides is allowed.
        bits: Per pixel of a mosaic: 8, 10, 12, 14 (packed without gaps) or 16. Linear files take 16.
        compression: None, or "jpeg": lossless, a third of the size; needs `pip install 'psfield[jpeg]'`.
        software: What the file says that it was written by; by default this library and its version.
    """
    file = Path(path)
    _check(file, photo, bits, compression)
    if isinstance(photo, RawFile):
        samples = photo.mosaic.numpy()[..., None]
        kind = _mosaic_entries(photo)
    else:
        photo = _without_black(photo)
        samples = photo.image_dn.numpy().transpose(1, 2, 0)
        kind = _linear_entries(photo)
    largest = max(int(samples.max()), math.ceil(photo.white_dn))
    if largest >= 2**bits:
        raise InputError("write_dng(bits)", bits, f"enough for pixels or white of {largest}")
    pixels = _encode_pixels(samples, bits, compression)
    shape = _shape_entries(samples.shape, bits, pixels)
    facts = _fact_entries(photo, _name_software() if software is None else software)
    head = _assemble_head([*shape, *kind, *facts], _exif_entries(photo), pixels)
    if len(head) + pixels.size_bytes > LARGEST_FILE_BYTES:
        raise InputError("write_dng(photo)", f"{len(head) + pixels.size_bytes} bytes", f"at most {LARGEST_FILE_BYTES}")
    with whole_file(file) as part, part.open("xb") as written:
        written.write(head)
        for block in pixels.blocks:
            written.write(block)


def _check(file: Path, photo: RawFile | LinearFile, bits: int, compression: str | None) -> None:
    if not isinstance(photo, RawFile | LinearFile):
        raise InputError("write_dng(photo)", type(photo).__name__, "a RawFile or LinearFile")
    if min(photo.shape_px) < SMALLEST_SIDE_PX:
        found = f"{photo.shape_px[1]} x {photo.shape_px[0]} px"
        raise InputError("write_dng(photo)", found, f"at least {SMALLEST_SIDE_PX} px on each side, or nobody reads it")
    if file.suffix.lower() != ".dng":
        raise InputError(str(file), f"the suffix {file.suffix!r}", ".dng")
    if not file.parent.is_dir():
        raise FileNotFoundError(f"{file.parent}: no such folder to write {file.name} to")
    if file.is_dir():
        raise InputError(str(file), "a folder", "the name of a file to write")
    allowed = BITS if isinstance(photo, RawFile) else (16,)
    if bits not in allowed:
        raise InputError("write_dng(bits)", bits, " or ".join(map(str, allowed)))
    if compression not in COMPRESSIONS:
        raise InputError("write_dng(compression)", repr(compression), "None or 'jpeg'")
    if compression is not None:
        import_extra("imagecodecs", "jpeg")


def _without_black(photo: LinearFile) -> LinearFile:
    """The same light with black at 0: the same numbers less the black level where that is one whole number."""
    black = float(photo.black_dn[0])
    if bool((photo.black_dn == 0).all()):
        return photo
    if bool((photo.black_dn == black).all()) and black == int(black):
        pixels = (photo.image_dn.to(torch.int32) - int(black)).clamp_min(0)
        white = photo.white_dn - black
    else:
        pixels = (photo.normalised()[0].double().clamp(0, 1) * LARGEST_DN).round()
        white = float(LARGEST_DN)
    rest = {name: getattr(photo, name) for name in Photograph.__dataclass_fields__}
    return LinearFile(pixels.to(torch.uint16), **rest | {"black_dn": torch.zeros(3), "white_dn": white})


# Pixels


def _encode_pixels(samples: npt.NDArray[np.uint16], bits: int, compression: str | None) -> _Pixels:
    """Pixels of samples (H, W, C)."""
    height, width, planes = samples.shape
    if compression == "jpeg":
        # Neighbours of one colour predict each other: two columns of a mosaic are two components.
        shapes = {1: (height, width) if width % 2 else (height, width // 2, 2), 3: (height, width, 3)}
        components = np.ascontiguousarray(samples.reshape(shapes[planes]), dtype=np.uint8 if bits == 8 else np.uint16)
        encoded: bytes = import_extra("imagecodecs", "jpeg").jpeg_encode(components, lossless=True, bitspersample=bits)
        return _Pixels(iter((encoded,)), len(encoded), LOSSLESS_JPEG)
    row_bytes = (width * planes * bits + 7) // 8
    return _Pixels(_pack_rows(samples.reshape(height, -1), bits), height * row_bytes, UNCOMPRESSED)


def _pack_rows(rows: npt.NDArray[np.uint16], bits: int) -> Iterator[bytes | memoryview]:
    """Rows (H, N) without gaps, most significant bit first, each padded to a whole byte; 16 bits little-endian."""
    # So many numbers make whole bytes, and fit into 64 bits.
    group = 8 // math.gcd(8, bits)
    size = (rows.shape[1] * bits + 7) // 8
    for first in range(0, rows.shape[0], BLOCK_ROWS):
        block = rows[first : first + BLOCK_ROWS]
        if bits == 16:
            yield np.ascontiguousarray(block, dtype="<u2").data.cast("B")
            continue
        padded = np.zeros((block.shape[0], -(-block.shape[1] // group) * group), np.uint64)
        padded[:, : block.shape[1]] = block
        words = np.zeros((block.shape[0], padded.shape[1] // group), np.uint64)
        for n in range(group):
            words |= padded[:, n::group] << np.uint64(64 - bits * (n + 1))
        groups = words.astype(">u8").view(np.uint8).reshape(*words.shape, 8)[..., : group * bits // 8]
        yield groups.reshape(block.shape[0], -1)[:, :size].tobytes()


# Tags: TIFF 6.0 and DNG 1.4


def _shape_entries(shape: tuple[int, ...], bits: int, pixels: _Pixels) -> list[_Entry]:
    height, width, planes = shape
    layout = (
        [_Entry(273, LONG, [0]), _Entry(278, LONG, [height]), _Entry(279, LONG, [pixels.size_bytes])]
        if pixels.compression == UNCOMPRESSED
        else [
            *(_Entry(322, LONG, [width]), _Entry(323, LONG, [height])),
            *(_Entry(324, LONG, [0]), _Entry(325, LONG, [pixels.size_bytes])),
        ]
    )
    return [
        _Entry(254, LONG, [0]),
        _Entry(256, LONG, [width]),
        _Entry(257, LONG, [height]),
        _Entry(258, SHORT, [bits] * planes),
        _Entry(259, SHORT, [pixels.compression]),
        _Entry(277, SHORT, [planes]),
        _Entry(284, SHORT, [1]),
        *layout,
    ]


def _mosaic_entries(photo: RawFile) -> list[_Entry]:
    left, top, width, height = photo.active_area_px or (0, 0, *photo.shape_px[::-1])
    # Pattern and black level count from the corner of the area that light reaches.
    pattern: Pattern = shifted_pattern(photo.pattern, top, left)
    at_site = dict(zip(find_sites(pattern), photo.black_dn.tolist(), strict=True))
    area = [_Entry(50829, LONG, [top, left, top + height, left + width])] if photo.active_area_px else []
    return [
        _Entry(262, SHORT, [CFA]),
        _Entry(33421, SHORT, [2, 2]),
        _Entry(33422, BYTE, ["RGB".index(letter) for letter in pattern]),
        _Entry(50710, BYTE, [0, 1, 2]),
        _Entry(50711, SHORT, [1]),
        _Entry(50713, SHORT, [2, 2]),
        _Entry(50714, RATIONAL, [at_site[row, col] for row in (0, 1) for col in (0, 1)]),
        _Entry(50717, LONG, [round(photo.white_dn)]),
        *area,
    ]


def _linear_entries(photo: LinearFile) -> list[_Entry]:
    return [
        _Entry(262, SHORT, [LINEAR_RAW]),
        _Entry(50713, SHORT, [1, 1]),
        _Entry(50714, RATIONAL, [0.0] * 3),
        _Entry(50717, LONG, [round(photo.white_dn)] * 3),
    ]


def _fact_entries(photo: RawFile | LinearFile, software: str) -> list[_Entry]:
    make, model = photo.make or "unknown", photo.model or "unknown"
    entries = [
        _Entry(271, ASCII, make),
        _Entry(272, ASCII, model),
        _Entry(274, SHORT, [photo.orientation]),
        _Entry(305, ASCII, software),
        _Entry(50706, BYTE, [1, 4, 0, 0]),
        _Entry(50707, BYTE, [1, 1, 0, 0]),
        _Entry(50708, ASCII, model if model.startswith(make) else f"{make} {model}"),
    ]
    if photo.time is not None:
        entries.append(_Entry(306, ASCII, _write_time(photo.time)))
    for n, (light, matrix) in enumerate(photo.color_matrices[:MOST_MATRICES]):
        entries.append(_Entry(50721 + n, SRATIONAL, matrix.flatten().tolist()))
        entries.append(_Entry(50778 + n, SHORT, [light]))
    if photo.white_balance is not None:
        entries.append(_Entry(50728, RATIONAL, [1 / gain for gain in photo.white_balance.tolist()]))
    if photo.pixel_aspect != 1:
        entries.append(_Entry(50718, RATIONAL, [photo.pixel_aspect, 1]))
    if photo.crop_px is not None:
        left, top = (photo.active_area_px or (0, 0))[:2]
        entries.append(_Entry(50719, RATIONAL, [photo.crop_px[0] - left, photo.crop_px[1] - top]))
        entries.append(_Entry(50720, RATIONAL, photo.crop_px[2:]))
    if photo.baseline_exposure_ev is not None:
        entries.append(_Entry(50730, SRATIONAL, [photo.baseline_exposure_ev]))
    entries += [_Entry(tag, UNDEFINED, data) for tag, data in photo.opcodes]
    if photo.noise_profile is not None:
        entries.append(_Entry(51041, DOUBLE, photo.noise_profile.flatten().tolist()))
    return entries


def _exif_entries(photo: RawFile | LinearFile) -> list[_Entry]:
    entries = [_Entry(36864, UNDEFINED, b"0231")]
    if photo.iso is not None:
        iso = max(round(photo.iso), 1)
        entries.append(_Entry(34855, SHORT, [min(iso, LARGEST_EXIF_ISO)]))
        entries.append(_Entry(34864, SHORT, [3]))  # SensitivityType: ISO speed
        entries.append(_Entry(34867, LONG, [iso]))
    for tag, number in ((33434, photo.exposure_s), (33437, photo.f_number), (37386, photo.focal_mm)):
        if number is not None:
            entries.append(_Entry(tag, RATIONAL, [number]))
    if photo.time is not None:
        entries.append(_Entry(36867, ASCII, _write_time(photo.time)))
    if photo.lens:
        entries.append(_Entry(42036, ASCII, photo.lens))
    return entries


def _write_time(time: datetime) -> str:
    return time.strftime("%Y:%m:%d %H:%M:%S")


def _name_software() -> str:
    try:
        return f"psfield {metadata.version('psfield')}"
    except metadata.PackageNotFoundError:
        return "psfield"


# The file's head


def _assemble_head(entries: list[_Entry], exif: list[_Entry], pixels: _Pixels) -> bytes:
    """Everything before the pixels: the lengths of directories do not depend on the offsets in them."""
    exif_at = 8 + len(_pack_directory([*entries, _Entry(EXIF_IFD, LONG, [0])], 8))
    data_at = -(-(exif_at + len(_pack_directory(exif, exif_at))) // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
    offsets = 273 if pixels.compression == UNCOMPRESSED else 324
    placed = [one._replace(values=[data_at]) if one.tag == offsets else one for one in entries]
    head = b"II" + struct.pack("<HI", 42, 8)
    head += _pack_directory([*placed, _Entry(EXIF_IFD, LONG, [exif_at])], 8) + _pack_directory(exif, exif_at)
    return head.ljust(data_at, b"\0")


def _pack_directory(entries: list[_Entry], at: int) -> bytes:
    """A directory that stands at an offset, with the values that do not fit into its table behind it."""
    table, values = struct.pack("<H", len(entries)), b""
    values_at = at + 2 + 12 * len(entries) + 4
    for tag, kind, given in sorted(entries):
        data, count = _pack_values(kind, given)
        inline = data.ljust(4, b"\0") if len(data) <= 4 else struct.pack("<I", values_at + len(values))
        if len(data) > 4:
            values += data + b"\0" * (len(data) % 2)
        table += struct.pack("<HHI", tag, kind, count) + inline
    return table + struct.pack("<I", 0) + values


def _pack_values(kind: int, given: Sequence[float] | str | bytes) -> tuple[bytes, int]:
    """The bytes of a tag's values and how many values there are."""
    if isinstance(given, str):
        text = given.replace("\0", " ").encode("utf-8") + b"\0"
        return text, len(text)
    if isinstance(given, bytes):
        return given, len(given)
    numbers: list[float] = list(given)
    if kind in (RATIONAL, SRATIONAL):
        numbers = [part for number in given for part in _find_fraction(number, kind == SRATIONAL)]
    return struct.pack("<" + FORMATS[kind][:1] * len(numbers), *numbers), len(given)


def _find_fraction(number: float, signed: bool) -> tuple[int, int]:
    """Numerator and denominator that 32 bits hold: the plainest of the same number, or the nearest."""
    largest = 2**31 - 1 if signed else 2**32 - 1
    if abs(number) > largest:
        raise InputError("write_dng(photo)", f"a value of {number:g}", f"at most {largest}")
    single = np.float32(number)
    for limit in (1, 100, 10_000, 10_000_000):
        fraction = Fraction(number).limit_denominator(limit)
        # 0.8606 in single precision is meant to be 0.8606, whatever its binary digits.
        same = np.float32(fraction) == single if number == float(single) else float(fraction) == number
        if abs(fraction.numerator) <= largest and same:
            return fraction.numerator, fraction.denominator
    limit = min(largest, int(largest / max(abs(number), 1e-9)))
    nearest = Fraction(number).limit_denominator(max(limit, 1))
    return nearest.numerator, nearest.denominator
