"""Photographs of any kind to integer sRGB samples, a part of one as cheaply as its file allows.

Colours are taken as they are: no profile is applied, and the inks of CMYK files are converted without one. Grey is
repeated in three channels. Floats (TIFF) are linear light, clipped to 0..1 and kept in 16 bits of sRGB. RAW files are
developed plainly (`render.develop`), which takes seconds: `develop_photos` does it once for all.
"""

import functools
import io
import math
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from psf import InputError
from render import develop, encode_srgb, read_photo
from render.png import find_png_bits, read_png16

from .jpeg_rows import RowIndex, find_rows

Samples = npt.NDArray[Any]
Box = tuple[float, float, float, float]  # left, top, width, height in px

RAW_SUFFIXES = (".dng", ".nef", ".cr2", ".cr3", ".crw", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw", ".kdc")
TIFF_SUFFIXES = (".tif", ".tiff")
SUFFIXES = (".jpg", ".jpeg", ".png", *TIFF_SUFFIXES, *RAW_SUFFIXES)
ORIENTATION_TAG, ARTIST_TAG = 0x0112, 0x013B
# The libraries' own ways of saying that a file is broken.
BROKEN = (
    *(OSError, ValueError, RuntimeError, SyntaxError, EOFError, KeyError, IndexError, struct.error, zlib.error),
    Image.DecompressionBombError,
)
# So many pixels around a part that is resized: the filter's reach, and a decoder's smoothing of colours.
REACH_PX = 8
LARGEST_REDUCTION = 8
MEMORY = re.compile(r"<_io\.BytesIO object at \w+>")


def turn_samples(samples: Samples, orientation: int) -> Samples:
    """Samples as a viewer sees them.

    Args:
        samples: As the file holds them, shape (H, W, ...).
        orientation: Exif's 1 to 8.

    Returns:
        Shape (H, W, ...), or (W, H, ...) for 5 to 8; a view.
    """
    # Exif 2.3, table 6: 5 to 8 have the picture's rows in their columns.
    turned = samples.swapaxes(0, 1) if orientation >= 5 else samples
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    return turned[:, ::-1] if orientation in (2, 3, 6, 7) else turned


def store_box(box: Box, orientation: int, shape_px: tuple[int, int]) -> Box:
    """Where a part of the upright picture stands in the file.

    Args:
        box: Left, top, width, height in the upright picture.
        orientation: Exif's 1 to 8.
        shape_px: Height and width of the upright picture.
    """
    left, top, width, height = box
    if orientation in (2, 3, 6, 7):
        left = shape_px[1] - left - width
    if orientation in (3, 4, 7, 8):
        top = shape_px[0] - top - height
    return (top, left, height, width) if orientation >= 5 else (left, top, width, height)


class OpenPhoto:
    """One photograph file, of which parts are cut.

    Attributes:
        path: The file.
        shape_px: Height and width of the upright picture.
        orientation: Exif's 1 to 8: how the file's pixels are turned to be upright.
        is_grey: Whether the file has one channel.
        artist: Who took it, as Exif says, or "".
        bits: Per sample that `cut` gives, 8 or 16.
    """

    def __init__(self, path: Path) -> None:
        """Args: path, of a file with one of `SUFFIXES`. Raises InputError for what is no readable picture."""
        self.path = path
        if path.suffix.lower() not in SUFFIXES:
            raise InputError(str(path), f"the suffix {path.suffix!r}", "one of " + ", ".join(SUFFIXES))
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file")
        self.orientation, self.artist, self.is_grey, self._is_jpeg = 1, "", False, False
        self._content: bytes | None = None
        self._array: Samples | None = None
        self._decoded: dict[int, Image.Image] = {}
        try:
            stored_px = self._open()
        except (InputError, ImportError):
            raise
        except BROKEN as error:
            raise _broken(path, error) from error
        self.shape_px = (stored_px[1], stored_px[0]) if self.orientation >= 5 else stored_px
        self.bits = 16 if self._array is not None and self._array.dtype == np.uint16 else 8

    def _open(self) -> tuple[int, int]:
        suffix = self.path.suffix.lower()
        if suffix in RAW_SUFFIXES:
            self._array = _read_raw(self.path)
        elif suffix in TIFF_SUFFIXES:
            self._array, self.orientation, self.artist = _read_tiff(self.path)
        if self._array is not None:
            return self._take_array(self._array)
        if suffix == ".png" and find_png_bits(self.path) == 16:
            return self._take_array(read_png16(self.path))
        self._content = self.path.read_bytes()
        with Image.open(io.BytesIO(self._content)) as opened:
            if opened.format not in ("PNG", "JPEG", "MPO", "TIFF"):
                raise InputError(str(self.path), f"a file of kind {opened.format}", "what its suffix says")
            self._is_jpeg = opened.format in ("JPEG", "MPO")
            exif = opened.getexif()
            orientation = exif.get(ORIENTATION_TAG, 1)
            self.orientation = orientation if orientation in range(1, 9) else 1
            self.artist = str(exif.get(ARTIST_TAG, "")).strip()
            self.is_grey = opened.mode in ("1", "L", "LA")
            return opened.height, opened.width

    def _take_array(self, samples: Samples) -> tuple[int, int]:
        if samples.shape[2] in (2, 4):
            if not (samples[..., -1] == np.iinfo(samples.dtype).max).all():
                raise InputError(str(self.path), "pixels that are partly transparent", "an opaque picture")
            samples = samples[..., :-1]
        self.is_grey = samples.shape[2] == 1
        self._array = np.broadcast_to(samples, (*samples.shape[:2], 3)) if self.is_grey else samples
        return samples.shape[0], samples.shape[1]

    @functools.cached_property
    def _rows(self) -> RowIndex | None:
        return find_rows(self._content) if self._content is not None else None

    def thumbnail(self, longest_px: int) -> Samples:
        """A small copy, upright, uint8 of shape (h, w, 3); a JPEG is decoded small. Reads the file to its end."""
        if self._array is not None:
            step = max(1, max(self._array.shape[:2]) // (4 * longest_px))
            part = self._array[::step, ::step]
            small = Image.fromarray(
                (part >> 8).astype(np.uint8) if part.dtype == np.uint16 else np.ascontiguousarray(part)
            )
        else:
            small = self._decode_small(longest_px)
        small.thumbnail((longest_px, longest_px), Image.Resampling.BOX)
        return turn_samples(np.asarray(small), self.orientation)

    def _decode_small(self, longest_px: int) -> Image.Image:
        try:
            return self._decode(self._content or b"", longest_px)
        except InputError:
            raise
        except BROKEN as error:
            raise _broken(self.path, error) from error

    def cut(self, box: Box, size_px: tuple[int, int]) -> Samples:
        """A part of the picture, resized with antialiasing (bicubic, of the sRGB values).

        Args:
            box: Left, top, width, height in pixels of the upright picture.
            size_px: Height and width of the result; at most the box's.

        Returns:
            uint8 or uint16, shape (h, w, 3), upright.
        """
        turned = self.orientation >= 5
        height, width = self.shape_px
        stored_px = (width, height) if turned else (height, width)
        stored = store_box(box, self.orientation, self.shape_px)
        size = (size_px[1], size_px[0]) if turned else size_px
        try:
            part = self._cut_stored(stored, size, stored_px)
        except InputError:
            raise
        except BROKEN as error:
            raise _broken(self.path, error) from error
        return turn_samples(part, self.orientation)

    def _cut_stored(self, box: Box, size: tuple[int, int], stored_px: tuple[int, int]) -> Samples:
        if self._array is not None:
            return _resize_array(self._array, box, size)
        left, top, width, height = box
        reduction = find_reduction(size[0] / height) if self._is_jpeg else 1
        rows = self._rows
        if rows is None:
            picture, first = self._decode_whole(reduction), 0
        else:
            reach = REACH_PX * math.ceil(height / size[0])
            content, first = rows.cut(
                max(math.floor(top) - reach, 0), min(math.ceil(top + height) + reach, stored_px[0])
            )
            picture = self._decode(content, None, reduction)
        if reduction == 1 and (height, width) == size:
            corner = (round(left), round(top) - first)
            return np.array(picture.crop((*corner, corner[0] + size[1], corner[1] + size[0])))
        # A decoder that shrinks keeps the grid of blocks, of which units of rows are whole ones. The shrunken picture
        # may end a fraction of a pixel before the true edge.
        edges = ((left + width) / reduction, (top - first + height) / reduction)
        place = (
            left / reduction,
            (top - first) / reduction,
            min(edges[0], picture.width),
            min(edges[1], picture.height),
        )
        return np.array(picture.resize(size[::-1], Image.Resampling.BICUBIC, box=place))

    def _decode_whole(self, reduction: int) -> Image.Image:
        """All of it, kept for the next part that is cut."""
        if reduction not in self._decoded:
            self._decoded[reduction] = self._decode(self._content or b"", None, reduction)
        return self._decoded[reduction]

    def _decode(self, content: bytes, longest_px: int | None, reduction: int = 1) -> Image.Image:
        """RGB pixels of a file, not turned."""
        with Image.open(io.BytesIO(content)) as opened:
            if self._is_jpeg:
                # Floored, or pillow would not shrink sides that are no multiples.
                smaller = (max(opened.width // reduction, 1), max(opened.height // reduction, 1))
                opened.draft(None, (longest_px, longest_px) if longest_px is not None else smaller)
            opened.load()
            if opened.mode not in ("LA", "RGBA", "PA") and "transparency" not in opened.info:
                return opened.convert("RGB") if opened.mode != "RGB" else opened.copy()
            with_alpha = opened.convert("RGBA")
            if with_alpha.getchannel("A").getextrema() != (255, 255):
                raise InputError(str(self.path), "pixels that are partly transparent", "an opaque picture")
            return with_alpha.convert("RGB")


def find_reduction(scale: float) -> int:
    """How far a JPEG decoder may shrink a picture that is scaled to `scale`: 1, 2, 4 or 8, never below the scale."""
    reduction = 1
    while reduction < LARGEST_REDUCTION and 2 * reduction * scale <= 1:
        reduction *= 2
    return reduction


def _broken(path: Path, error: BaseException) -> InputError:
    # Pillow names the object in memory that it read from, another one each time.
    said = MEMORY.sub("the file", " ".join(str(error).split()))
    return InputError(str(path), f"no readable content ({said})", "a whole file")


def _read_raw(path: Path) -> Samples:
    srgb = develop(read_photo(path), method="malvar")[0]
    return _quantise(srgb.permute(1, 2, 0))


def _quantise(srgb: torch.Tensor) -> Samples:
    steps: Samples = np.rint(srgb.clamp(0, 1).numpy() * 65535).astype(np.uint16)
    return steps


def _read_tiff(path: Path) -> tuple[Samples | None, int, str]:
    """Samples (H, W, C) where they are plain, else None for pillow; orientation; artist."""
    import tifffile

    try:
        opened = tifffile.TiffFile(path)
    except tifffile.TiffFileError as error:
        raise ValueError(str(error)) from error
    with opened:
        if len(opened.pages) != 1:
            raise InputError(str(path), f"{len(opened.pages)} pages", "one")
        page = opened.pages.first
        found = {name: page.tags[name].value for name in ("Orientation", "Artist") if name in page.tags}
        orientation = found.get("Orientation", 1)
        about = (int(orientation) if orientation in range(1, 9) else 1, str(found.get("Artist", "")).strip())
        if tifffile.PHOTOMETRIC(page.photometric).name not in ("MINISBLACK", "RGB"):
            return None, *about
        samples: Samples = page.asarray()
        if samples.ndim == 3 and int(page.planarconfig) == 2:
            samples = np.moveaxis(samples, 0, 2)
    samples = samples[..., None] if samples.ndim == 2 else samples
    if samples.dtype.kind == "f":
        if not np.isfinite(samples).all():
            raise InputError(str(path), "samples that are not finite", "finite light")
        return _quantise(encode_srgb(torch.from_numpy(samples.astype(np.float32)).clamp(0, 1))), *about
    if samples.ndim != 3 or samples.dtype not in (np.uint8, np.uint16) or not 1 <= samples.shape[2] <= 4:
        raise InputError(str(path), f"{samples.dtype} of shape {samples.shape}", "8 or 16 bits, grey or RGB")
    return samples, *about


def _resize_array(samples: Samples, box: Box, size: tuple[int, int]) -> Samples:
    left, top, width, height = box
    if (height, width) == size:
        corner = (round(left), round(top))
        return samples[corner[1] : corner[1] + size[0], corner[0] : corner[0] + size[1]]
    part, place = _cut_with_reach(samples, box, size)
    if samples.dtype == np.uint8:
        return np.array(Image.fromarray(part).resize(size[::-1], Image.Resampling.BICUBIC, box=place))
    planes = [Image.fromarray(part[..., c].astype(np.float32)) for c in range(3)]
    floats = [np.asarray(one.resize(size[::-1], Image.Resampling.BICUBIC, box=place)) for one in planes]
    resized: Samples = np.rint(np.stack(floats, -1).clip(0, 65535)).astype(np.uint16)
    return resized


def _cut_with_reach(
    samples: Samples, box: Box, size: tuple[int, int]
) -> tuple[Samples, tuple[float, float, float, float]]:
    left, top, width, height = box
    reach = REACH_PX * max(1, math.ceil(max(height / size[0], width / size[1])))
    x0, y0 = max(math.floor(left) - reach, 0), max(math.floor(top) - reach, 0)
    part = samples[y0 : math.ceil(top + height) + reach, x0 : math.ceil(left + width) + reach]
    return np.ascontiguousarray(part), (left - x0, top - y0, left - x0 + width, top - y0 + height)
