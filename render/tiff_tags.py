"""Tags of camera files: TIFF directories (DNG, NEF, KDC, ... and those inside CR3 and MRW), and who made the camera.

LibRaw decodes the pixels; what it cuts off, leaves out or rescales stands in the tags. A damaged directory gives the
tags that can still be read: whether the file as a whole can be, is for the decoder to say.
"""

import math
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

# TIFF 6.0, section 2, and type 13 (an offset) of its supplement: code -> struct's letter and the letters per value.
FORMATS = {1: "B", 2: "s", 3: "H", 4: "I", 5: "II", 6: "b", 7: "s", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d", 13: "I"}
BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SRATIONAL, DOUBLE = 1, 2, 3, 4, 5, 7, 10, 12
# 42 is TIFF; Olympus and Panasonic write their own number and go on as TIFF does.
MAGICS = {42, 0x4F52, 0x5352, 0x55}
SUB_IFDS, EXIF_IFD = 330, 34665
CFA, LINEAR_RAW = 32803, 34892
# Exif's ISO has 16 bits; a longer one there is misread, and stands in ISOSpeed or its kin.
LARGEST_EXIF_ISO = 65535
# No camera writes as many directories or tags; a damaged file may promise them.
MOST_DIRECTORIES, MOST_TAGS, MOST_VALUE_BYTES = 64, 4096, 1 << 20
HEADER_BYTES = 4096
CIFF = b"HEAPCCDR"
Value = str | bytes | tuple[float, ...]


@dataclass(frozen=True)
class Directory:
    """One image file directory.

    Attributes:
        tags: By number: text, bytes, or a tuple of numbers (fractions as floats; NaN for a denominator of 0).
        is_exif: Whether it is the Exif directory of another one.
    """

    tags: Mapping[int, Value] = field(default_factory=dict)
    is_exif: bool = False

    def numbers(self, tag: int) -> tuple[float, ...]:
        """The numbers of a tag; none if it is missing or something else."""
        found = self.tags.get(tag, ())
        if isinstance(found, bytes):
            return tuple(found)
        return found if isinstance(found, tuple) else ()

    def integers(self, tag: int) -> tuple[int, ...]:
        """The numbers of a tag as whole ones; none where one of them is not finite, as in a damaged file."""
        found = self.numbers(tag)
        return tuple(map(int, found)) if all(map(math.isfinite, found)) else ()

    def number(self, tag: int) -> float | None:
        """The first number of a tag, None if there is none that is finite."""
        found = self.numbers(tag)
        return found[0] if found and math.isfinite(found[0]) else None

    def text(self, tag: int) -> str:
        """The text of a tag, "" if it is missing or something else."""
        found = self.tags.get(tag, "")
        return found if isinstance(found, str) else ""


@dataclass(frozen=True)
class FileTags:
    """The directories of a file, in the order in which they are found; none if it is no TIFF.

    Attributes:
        directories: The first is IFD0.
        size_bytes: Of the file.
        is_ciff: Whether it is a CRW file, Canon's own container of that time.
    """

    directories: tuple[Directory, ...] = ()
    size_bytes: int = 0
    is_ciff: bool = False

    @property
    def first(self) -> Directory:
        """IFD0; an empty one if there is none."""
        return self.directories[0] if self.directories else Directory()

    @property
    def exif(self) -> Directory:
        """The Exif directory; an empty one if there is none."""
        return next((one for one in self.directories if one.is_exif), Directory())

    @property
    def is_dng(self) -> bool:
        """Whether the file says that it is a DNG."""
        return len(self.first.numbers(50706)) == 4

    @property
    def raw(self) -> Directory:
        """The directory of the RAW image: the largest one of mosaic or linear camera values; an empty one if none."""
        kinds = [one for one in self.directories if one.number(262) in (CFA, LINEAR_RAW)]
        return max(kinds, key=lambda one: (one.number(256) or 0) * (one.number(257) or 0), default=Directory())

    def find(self, tag: int) -> Directory:
        """The directory that holds a tag of the RAW image: its own, or IFD0, which speaks for the whole file."""
        return self.raw if tag in self.raw.tags else self.first

    def find_end_of_data_bytes(self) -> int:
        """Where the strips and tiles of the RAW image end, 0 if it does not tell."""
        ends = [0]
        for offsets, counts in ((273, 279), (324, 325)):
            # More or fewer counts than offsets is a damage of its own, which the decoder finds.
            ends += [a + b for a, b in zip(self.raw.integers(offsets), self.raw.integers(counts), strict=False)]
        return max(ends)


def read_tags(path: str | os.PathLike[str]) -> FileTags:
    """The TIFF directories of a file, none if it has none.

    Args:
        path: An existing file of any kind.
    """
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        header = file.read(HEADER_BYTES)
        start = _find_tiff(header)
        found = tuple(_directories(file, size, start)) if start is not None else ()
        return FileTags(found, size, is_ciff=header[6:14] == CIFF)


def read_camera_name(path: str | os.PathLike[str]) -> tuple[str, str]:
    """Make and model of a camera file, "" where it does not tell.

    Args:
        path: An existing file of any kind.
    """
    first = read_tags(path).first
    make, model = first.text(271), first.text(272)
    if not (make or model):
        with Path(path).open("rb") as file:
            start = file.read(HEADER_BYTES)
            if start[:8] == b"FUJIFILM":
                make, model = "FUJIFILM", _text(start[28:60])
            elif start[6:14] == CIFF:
                make, model = _read_ciff_name(file, start)
    return make, model


def _find_tiff(start: bytes) -> int | None:
    """Where the TIFF header stands in a file that begins so."""
    if start[:4] == b"\0MRM" and (at := start.find(b"\0TTW")) >= 0:
        return at + 8
    if start[4:8] == b"ftyp" and (at := start.find(b"CMT1")) >= 0:
        return at + 4
    return 0 if start[:2] in (b"II", b"MM") else None


def _directories(file: BinaryIO, size: int, start: int) -> Iterator[Directory]:
    file.seek(start)
    header = file.read(8)
    order = {b"II": "<", b"MM": ">"}.get(header[:2])
    if order is None or len(header) < 8 or struct.unpack(order + "H", header[2:4])[0] not in MAGICS:
        return
    waiting = [(struct.unpack(order + "I", header[4:])[0], False)]
    seen: set[int] = set()
    while waiting and len(seen) < MOST_DIRECTORIES:
        at, is_exif = waiting.pop(0)
        if at in seen or not 0 < at < size:
            continue
        seen.add(at)
        file.seek(start + at)
        head = file.read(2)
        count = struct.unpack(order + "H", head)[0] if len(head) == 2 else 0
        entries = file.read(12 * count + 4)
        if not 0 < count <= MOST_TAGS or len(entries) < 12 * count:
            continue
        tags: dict[int, Value] = {}
        for n in range(count):
            number, kind, many = struct.unpack_from(order + "HHI", entries, 12 * n)
            if (found := _read_value(file, order, start, kind, many, entries[12 * n + 8 : 12 * n + 12])) is not None:
                tags.setdefault(number, found)
        directory = Directory(tags, is_exif)
        yield directory
        waiting += [(at, True) for at in directory.integers(EXIF_IFD)[:1]]
        waiting += [(at, False) for at in directory.integers(SUB_IFDS)]
        if len(entries) == 12 * count + 4 and not is_exif:
            waiting.append((struct.unpack_from(order + "I", entries, 12 * count)[0], False))


def _read_value(file: BinaryIO, order: str, start: int, kind: int, many: int, inline: bytes) -> Value | None:
    """The value of a tag, None where it cannot be read or is longer than anything that is read here."""
    if kind not in FORMATS:
        return None
    letters = FORMATS[kind]
    needed = many * struct.calcsize(order + letters)
    if needed > MOST_VALUE_BYTES:
        return None
    if needed > 4:
        file.seek(start + struct.unpack(order + "I", inline)[0])
        inline = file.read(needed)
    data = inline[:needed]
    if len(data) < needed:
        return None
    if letters == "s":
        return _text(data) if kind == ASCII else data
    numbers = struct.unpack(order + letters * many, data)
    if len(letters) == 2:
        return tuple(a / b if b else math.nan for a, b in zip(numbers[::2], numbers[1::2], strict=True))
    return tuple(numbers)


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("utf-8", "replace").strip()


def _read_ciff_name(file: BinaryIO, start: bytes) -> tuple[str, str]:
    """Make and model from Canon's CRW: a heap of heaps, each with its table at the end."""
    order = "<" if start[:2] == b"II" else ">"
    file.seek(0, os.SEEK_END)
    heaps = [(struct.unpack_from(order + "I", start, 2)[0], file.tell())]
    for _ in range(MOST_DIRECTORIES):
        if not heaps:
            break
        begin, end = heaps.pop(0)
        file.seek(max(end - 4, 0))
        tail = file.read(4)
        if len(tail) < 4:
            continue
        file.seek(begin + struct.unpack(order + "I", tail)[0])
        head = file.read(2)
        count = min(struct.unpack(order + "H", head)[0], MOST_TAGS) if len(head) == 2 else 0
        table = file.read(10 * count)
        for kind, length, at in struct.iter_unpack(order + "HII", table[: len(table) // 10 * 10]):
            if kind & 0x3FFF == 0x080A:  # make and model, one after the other
                file.seek(begin + at)
                make, _, model = file.read(min(length, HEADER_BYTES)).partition(b"\0")
                return _text(make), _text(model)
            if kind & 0xF800 in (0x2800, 0x3000):  # a heap inside
                heaps.append((begin + at, begin + at + length))
    return "", ""
