"""Rows of a JPEG file without decoding the others, where the file has restart markers.

A decoder has to read a JPEG from its first byte on, because each block is coded against the one before it. Restart
markers are where that begins anew. Many cameras write them once per row of blocks, and `develop_photos` does: then some
of the rows are a JPEG file of their own, made by copying bytes.
"""

import re
import struct
from dataclasses import dataclass

# ITU T.81, table B.1
START, END, SCAN, RESTART_INTERVAL = 0xD8, 0xD9, 0xDA, 0xDD
SEQUENTIAL_FRAMES = (0xC0, 0xC1)
OTHER_FRAMES = (0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
BLOCK_PX = 8
RESTART = re.compile(rb"\xff[\xd0-\xd7]")


@dataclass(frozen=True)
class RowIndex:
    """Where rows of a JPEG file stand.

    Attributes:
        header: Everything up to the coded rows.
        height_at: Where in the header the height stands, two bytes.
        height_px: Of the whole picture.
        unit_px: Rows come in units of so many.
        units: Coded bytes of each unit: runs of blocks, between which restart markers stand.
    """

    header: bytes
    height_at: int
    height_px: int
    unit_px: int
    units: tuple[tuple[bytes, ...], ...]

    def cut(self, top_px: int, bottom_px: int) -> tuple[bytes, int]:
        """A JPEG file of at least the rows from `top_px` up to `bottom_px`, and which row its first one is.

        A unit more stands on both sides, because decoders smooth colours across units.
        """
        first = max(top_px // self.unit_px - 1, 0)
        last = min(-(-bottom_px // self.unit_px) + 1, len(self.units))
        height_px = min(last * self.unit_px, self.height_px) - first * self.unit_px
        runs = [run for unit in self.units[first:last] for run in unit]
        parts = [self.header[: self.height_at], struct.pack(">H", height_px), self.header[self.height_at + 2 :]]
        for n, run in enumerate(runs):
            parts += [run, bytes((0xFF, 0xD0 + n % 8)) if n + 1 < len(runs) else bytes((0xFF, END))]
        return b"".join(parts), first * self.unit_px


def find_rows(content: bytes) -> RowIndex | None:
    """Where rows stand in a JPEG file; None where they cannot be told apart.

    Args:
        content: The whole file.
    """
    frame: tuple[int, int, int, int] | None = None  # where the height stands, height, width, and a block row's size
    block_px = (0, 0)
    interval = 0
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        kind, length = content[at + 1], struct.unpack_from(">H", content, at + 2)[0]
        body = at + 4
        if kind in OTHER_FRAMES or length < 2 or body + length - 2 > len(content):
            return None
        if kind in SEQUENTIAL_FRAMES and length >= 8:
            height_px, width_px, parts = struct.unpack_from(">HHB", content, body + 1)
            if length < 8 + 3 * parts:
                return None
            factors = [content[body + 7 + 3 * n] for n in range(parts)]
            # One component alone is coded block by block, whatever its sampling factors say (T.81, A.2.2).
            across, down = (1, 1) if parts == 1 else (max(f >> 4 for f in factors), max(f & 15 for f in factors))
            block_px = (across * BLOCK_PX, down * BLOCK_PX)
            frame = (body + 1, height_px, width_px, parts)
        elif kind == RESTART_INTERVAL and length == 4:
            (interval,) = struct.unpack_from(">H", content, body)
        elif kind == SCAN:
            start = body + length - 2
            if frame is None or not interval or not all(block_px) or not frame[1] or content[body] != frame[3]:
                return None
            return _index_scan(content, start, frame, block_px, interval)
        at = body + length - 2
    return None


def _index_scan(
    content: bytes, start: int, frame: tuple[int, int, int, int], block_px: tuple[int, int], interval: int
) -> RowIndex | None:
    height_at, height_px, width_px, _ = frame
    across, rows = -(-width_px // block_px[0]), -(-height_px // block_px[1])
    if interval % across and across % interval:
        return None
    rows_per_unit, runs_per_unit = max(interval // across, 1), max(across // interval, 1)
    # Inside coded bytes 0xFF is followed by 0 or by a restart marker, so the first end that is found is the end.
    end = content.find(bytes((0xFF, END)), start)
    if end < 0:
        return None
    cuts = [match.start() for match in RESTART.finditer(content, start, end)]
    if len(cuts) + 1 != -(-across * rows // interval):
        return None
    starts, ends = [start, *(cut + 2 for cut in cuts)], [*cuts, end]
    runs = [content[a:b] for a, b in zip(starts, ends, strict=True)]
    units = tuple(tuple(runs[n : n + runs_per_unit]) for n in range(0, len(runs), runs_per_unit))
    return RowIndex(content[:start], height_at, height_px, rows_per_unit * block_px[1], units)
