import math
import struct

import numpy as np
import pytest
import tifffile

from render.tiff_tags import CFA, Directory, FileTags, read_camera_name, read_tags

MATRIX = (8606, 10000, -2573, 10000)


def write(path, *, byteorder="<", tags=(), shape=(4, 6)):
    tifffile.imwrite(path, np.zeros(shape, np.uint16), byteorder=byteorder, extratags=tags, metadata=None, software="x")


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_every_type_of_tag_is_read_in_both_byte_orders(tmp_path, byteorder):
    tags = [
        (271, 2, 6, "Maker", True),
        (50706, 1, 4, (1, 4, 0, 0), True),
        (50717, 4, 1, 70000, True),
        (50730, 10, 1, (-35, 100), True),
        (50721, 10, 2, MATRIX, True),
        (51041, 12, 2, (1e-4, 2e-7), True),
        (51022, 7, 5, b"\0\1\2\3\4", True),
    ]
    write(tmp_path / "a.tif", byteorder=byteorder, tags=tags)
    first = read_tags(tmp_path / "a.tif").first
    assert first.text(271) == "Maker"
    assert first.numbers(50706) == (1, 4, 0, 0)
    assert first.number(50717) == 70000
    assert first.number(50730) == -0.35
    assert first.numbers(50721) == (0.8606, -0.2573)
    assert first.numbers(51041) == (1e-4, 2e-7)
    assert first.tags[51022] == b"\0\1\2\3\4"
    assert (first.number(256), first.number(257)) == (6, 4)


def test_missing_tags_and_tags_of_another_type_are_nothing(tmp_path):
    write(tmp_path / "a.tif")
    first = read_tags(tmp_path / "a.tif").first
    assert first.number(50717) is None
    assert first.numbers(305) == ()
    assert first.text(256) == ""


def test_denominator_of_0_is_no_number(tmp_path):
    write(tmp_path / "a.tif", tags=[(50730, 10, 1, (1, 0), True)])
    assert read_tags(tmp_path / "a.tif").first.number(50730) is None


def test_directories_behind_and_below_the_first_are_found(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(np.zeros((2, 2), np.uint8), subifds=1, metadata=None)
        file.write(np.zeros((8, 10), np.uint16), photometric=CFA, metadata=None)
        file.write(np.zeros((3, 3), np.uint8), metadata=None)
    tags = read_tags(tmp_path / "a.tif")
    assert sorted(one.number(256) for one in tags.directories) == [2, 3, 10]
    assert tags.raw.number(256) == 10


def test_largest_image_of_camera_values_is_the_raw_image():
    small, large = (Directory({262: (CFA,), 256: (side,), 257: (side,)}) for side in (16, 640))
    preview = Directory({262: (2,), 256: (4000,), 257: (4000,)})
    assert FileTags((preview, small, large)).raw is large
    assert FileTags((preview,)).raw.tags == {}


def test_end_of_data_is_that_of_the_last_strip_or_tile():
    raw = {262: (CFA,), 256: (4,), 257: (4,)}
    assert FileTags((Directory(raw | {273: (100, 900), 279: (50, 60)}),)).find_end_of_data_bytes() == 960
    assert FileTags((Directory(raw | {324: (100,), 325: (50,)}),)).find_end_of_data_bytes() == 150
    assert FileTags((Directory(raw),)).find_end_of_data_bytes() == 0


def test_directories_that_lead_back_to_themselves_end(tmp_path):
    entry = struct.pack("<HHII", 330, 4, 1, 8)
    (tmp_path / "loop.dng").write_bytes(b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 8))
    assert len(read_tags(tmp_path / "loop.dng").directories) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"II",
        b"plain text",
        b"II*\0\xff\xff\xff\xff",
        b"II*\0" + struct.pack("<I", 8),
        b"II*\0" + struct.pack("<IH", 8, 60000),
        b"II*\0" + struct.pack("<IH", 8, 5) + b"\1",
        b"\0MRM",
        b"\0\0\0\x18ftypcrx CMT1",
    ],
)
def test_what_is_no_tiff_or_ends_too_early_has_no_tags(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    assert read_tags(tmp_path / "a").directories == ()
    assert read_camera_name(tmp_path / "a") == ("", "")


@pytest.mark.parametrize(("kind", "count", "where"), [(4, 2, 0xFFFFFF00), (12, 0xFFFFFFF, 8), (99, 1, 0), (2, 100, 30)])
def test_tag_that_cannot_be_read_is_left_out_and_the_others_are_not(tmp_path, kind, count, where):
    entries = struct.pack("<HHII", 256, 4, 1, 77) + struct.pack("<HHII", 270, kind, count, where)
    (tmp_path / "a").write_bytes(b"II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(4))
    assert read_tags(tmp_path / "a").first.tags == {256: (77,)}


def small_tiff() -> bytes:
    """A TIFF header and a directory of make "AB" and model "C"."""
    entries = struct.pack("<HHI4s", 271, 2, 3, b"AB\0\0") + struct.pack("<HHI4s", 272, 2, 2, b"C\0\0\0")
    return b"II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(4)


def ciff() -> bytes:
    """Canon's CRW: a heap in a heap in a heap, the innermost with make and model."""

    def heap(kind: int, body: bytes) -> bytes:
        return body + struct.pack("<HHII", 1, kind, len(body), 0) + struct.pack("<I", len(body))

    inner = heap(0x2807, heap(0x080A, b"Canon\0Canon PowerShot S40\0"))
    return struct.pack("<2sI8s", b"II", 26, b"HEAPCCDR") + bytes(12) + heap(0x300A, inner)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (small_tiff(), ("AB", "C")),
        (b"II" + struct.pack("<H", 0x4F52) + small_tiff()[4:], ("AB", "C")),  # Olympus
        (b"\0\0\0\x18ftypcrx " + bytes(64) + b"CMT1" + small_tiff(), ("AB", "C")),  # Canon CR3
        (b"\0MRM" + bytes(12) + b"\0TTW" + bytes(4) + small_tiff(), ("AB", "C")),  # Minolta
        (b"FUJIFILMCCD-RAW 0201FF393101FinePix S5000".ljust(100, b"\0"), ("FUJIFILM", "FinePix S5000")),
        (ciff(), ("Canon", "Canon PowerShot S40")),
    ],
)
def test_camera_is_named_in_every_container(tmp_path, content, name):
    (tmp_path / "a").write_bytes(content)
    assert read_camera_name(tmp_path / "a") == name


def test_numbers_that_a_damaged_file_does_not_have_are_no_integers():
    damaged = Directory({262: (float(CFA),), 256: (4.0, 5.0), 273: (8.0, math.nan), 279: (16.0, 16.0)})
    assert damaged.integers(256) == (4, 5)
    assert damaged.integers(273) == damaged.integers(999) == ()
    assert FileTags((damaged,)).find_end_of_data_bytes() == 0
