"""PNG files of 16 bits per sample, grey or RGB with or without alpha, which pillow reads as 8 bits and cannot write."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from psf import InputError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Colour type -> samples per pixel; type 3, a palette, has at most 8 bits.
CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
COLOUR_TYPES = {channels: colour for colour, channels in CHANNELS.items()}
# Adam7: first column and row of each pass, and the steps between its columns and rows (PNG, third edition, 8.1).
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
LARGEST_SIDE_PX = 1 << 20


def write_png16(file: BinaryIO, samples: npt.NDArray[np.uint16]) -> None:
    """Write 16-bit samples, marked as sRGB.

    Args:
        file: Open for writing bytes.
        samples: Shape (H, W, C) with C 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA).
    """
    if samples.dtype != np.uint16 or samples.ndim != 3 or samples.shape[2] not in COLOUR_TYPES or not samples.size:
        raise InputError("samples", f"{samples.dtype} of shape {samples.shape}", "uint16 of shape (H, W, 1 to 4)")
    height, width, channels = samples.shape
    rows = np.ascontiguousarray(samples, ">u2").view(np.uint8).reshape(height, -1)
    filtered = np.zeros((height, rows.shape[1] + 1), np.uint8)
    # Difference to the row above: one filter for all rows, and neighbouring rows of a picture are alike.
    filtered[:, 0] = 2
    filtered[0, 1:] = rows[0]
    filtered[1:, 1:] = rows[1:] - rows[:-1]
    header = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[channels], 0, 0, 0)
    file.write(SIGNATURE)
    for kind, content in (
        (b"IHDR", header),
        (b"sRGB", b"\0"),
        (b"IDAT", zlib.compress(filtered.tobytes(), 6)),
        (b"IEND", b""),
    ):
        file.write(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)))


def find_png_bits(path: Path) -> int | None:
    """Bits per sample of a PNG file, None for a file of another kind."""
    with path.open("rb") as file:
        start = file.read(25)
    return start[24] if len(start) == 25 and start[:8] == SIGNATURE and start[12:16] == b"IHDR" else None


def read_png16(path: Path) -> npt.NDArray[np.uint16]:
    """Samples of a PNG file of 16 bits per sample.

    Args:
        path: The file.

    Returns:
        Shape (H, W, C) with C from 1 to 4 as in `write_png16`.
    """
    chunks = list(_chunks(path))
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        raise InputError(str(path), "no header chunk", "a PNG file")
    width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    if bits != 16 or colour not in CHANNELS:
        raise InputError(str(path), f"{bits} bits, colour type {colour}", "16 bits per sample, grey or RGB")
    if not (0 < width <= LARGEST_SIDE_PX and 0 < height <= LARGEST_SIDE_PX and interlaced in (0, 1)):
        raise InputError(str(path), f"{width} x {height} px, interlace {interlaced}", "a PNG header that makes sense")
    channels = CHANNELS[colour]
    passes = PASSES if interlaced else ((0, 0, 1, 1),)
    sizes = [(len(range(y, height, down)), len(range(x, width, right))) for x, y, right, down in passes]
    needed = sum(rows * (2 * channels * columns + 1) for rows, columns in sizes if rows and columns)
    # No more than the header promises is unpacked, whatever the file holds.
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(b"".join(content for kind, content in chunks if kind == b"IDAT"), needed)
    except zlib.error as error:
        raise InputError(str(path), f"broken data ({error})", "a whole PNG file") from error
    if len(data) != needed:
        raise InputError(str(path), f"{len(data)} bytes of samples", f"{needed} for {width} x {height} px")
    picture = np.empty((height, width, channels), np.uint16)
    at = 0
    for (x, y, right, down), (rows, columns) in zip(passes, sizes, strict=True):
        if not (rows and columns):
            continue
        size = rows * (2 * channels * columns + 1)
        lines = np.frombuffer(data, np.uint8, size, at).reshape(rows, -1)
        at += size
        if int(lines[:, 0].max()) > 4:
            raise InputError(str(path), f"row filter {int(lines[:, 0].max())}", "filters 0 to 4")
        plain = _undo_filters(lines, 2 * channels)
        picture[y::down, x::right] = plain.view(">u2").reshape(rows, columns, channels)
    return picture


def _chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    content = path.read_bytes()
    if content[:8] != SIGNATURE:
        raise InputError(str(path), "another signature", "a PNG file")
    at = 8
    while at < len(content):
        if at + 12 > len(content):
            raise InputError(str(path), "an end in the middle", "a whole PNG file")
        (length,) = struct.unpack_from(">I", content, at)
        kind, body = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        if len(body) != length or at + 12 + length > len(content):
            raise InputError(str(path), "an end in the middle", "a whole PNG file")
        if zlib.crc32(kind + body) != struct.unpack_from(">I", content, at + 8 + length)[0]:
            raise InputError(str(path), f"a damaged chunk {kind.decode('latin-1')!r}", "a whole PNG file")
        yield kind, body
        if kind == b"IEND":
            return
        at += 12 + length


def _undo_filters(lines: npt.NDArray[np.uint8], step: int) -> npt.NDArray[np.uint8]:
    """Rows without their filter byte; `step` bytes make a pixel."""
    import numba

    undo: Any = numba.njit(cache=True)(_undo)
    plain = np.empty((lines.shape[0], lines.shape[1] - 1), np.uint8)
    undo(np.ascontiguousarray(lines), plain, step)
    return plain


def _undo(lines: npt.NDArray[np.uint8], plain: npt.NDArray[np.uint8], step: int) -> None:
    """PNG, third edition, 9.2 to 9.4: each byte from its left, upper and upper left neighbours."""
    rows, size = plain.shape
    for row in range(rows):
        kind = lines[row, 0]
        for i in range(size):
            left = int(plain[row, i - step]) if i >= step else 0
            above = int(plain[row - 1, i]) if row > 0 else 0
            corner = int(plain[row - 1, i - step]) if row > 0 and i >= step else 0
            guess = 0
            if kind == 1:
                guess = left
            elif kind == 2:
                guess = above
            elif kind == 3:
                guess = (left + above) // 2
            elif kind == 4:
                far_left, far_above = abs(above - corner), abs(left - corner)
                far_corner = abs(left + above - 2 * corner)
                if far_left <= far_above and far_left <= far_corner:
                    guess = left
                elif far_above <= far_corner:
                    guess = above
                else:
                    guess = corner
            plain[row, i] = (int(lines[row, i + 1]) + guess) & 255
