"""PNG files of 16 bits, against pillow and the arithmetic of the standard."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from psf import InputError
from render.png import PASSES, SIGNATURE, find_png_bits, read_png16, write_png16


def random_samples(channels, height=13, width=17, seed=0):
    return np.random.default_rng(seed).integers(0, 65536, (height, width, channels), dtype=np.uint16)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of(rows, width, height, colour, *, bits=16, interlaced=0, split=False):
    """A file of filtered rows, bytes in and bytes out."""
    data = zlib.compress(rows)
    parts = [data[:7], data[7:]] if split else [data]
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
    body = b"".join(chunk(b"IDAT", part) for part in parts)
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"tEXt", b"a\0b") + body + chunk(b"IEND", b"")


def filter_row(kind, row, above, step):
    """The forward filters of the standard, byte by byte."""
    out = [kind]
    for i, value in enumerate(row):
        a = row[i - step] if i >= step else 0
        b = above[i]
        c = above[i - step] if i >= step else 0
        p = a + b - c
        paeth = min((a, b, c), key=lambda one: abs(p - one))
        out.append((value - (0, a, b, (a + b) // 2, paeth)[kind]) % 256)
    return bytes(out)


def filtered(samples, kinds):
    step = 2 * samples.shape[2]
    rows = [row.astype(">u2").tobytes() for row in samples]
    above = [bytes(len(rows[0])), *rows[:-1]]
    return b"".join(filter_row(kinds[i % len(kinds)], row, above[i], step) for i, row in enumerate(rows))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_what_is_written_is_read(tmp_path, channels):
    samples = random_samples(channels)
    with (tmp_path / "a.png").open("wb") as file:
        write_png16(file, samples)
    assert find_png_bits(tmp_path / "a.png") == 16
    assert np.array_equal(read_png16(tmp_path / "a.png"), samples)


def test_pillow_reads_what_is_written():
    grey, colours = random_samples(1), random_samples(3)
    for samples in (grey, colours):
        file = io.BytesIO()
        write_png16(file, samples)
        opened = Image.open(file)
        opened.load()  # checks every checksum
        assert opened.size == (17, 13)
        if samples is grey:
            assert np.array_equal(np.array(opened).astype(np.uint16), grey[..., 0])
        else:  # it keeps the upper byte of colours
            assert np.abs(np.array(opened).astype(int) - (colours >> 8)).max() <= 1


@pytest.mark.parametrize("kinds", [(0,), (1,), (2,), (3,), (4,), (4, 0, 3, 1, 2)])
@pytest.mark.parametrize(("channels", "colour"), [(1, 0), (3, 2), (4, 6)])
def test_every_row_filter_is_undone(tmp_path, kinds, channels, colour):
    samples = random_samples(channels, 7, 5, seed=len(kinds) + channels)
    path = tmp_path / "a.png"
    path.write_bytes(png_of(filtered(samples, kinds), 5, 7, colour, split=True))
    assert np.array_equal(read_png16(path), samples)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (9, 11), (16, 8)])
def test_interlaced_files_are_put_together(tmp_path, size):
    samples = random_samples(3, *size)
    passes = [samples[y::down, x::right] for x, y, right, down in PASSES]
    rows = b"".join(filtered(part, (4, 1)) for part in passes if part.size)
    path = tmp_path / "a.png"
    path.write_bytes(png_of(rows, size[1], size[0], 2, interlaced=1))
    assert np.array_equal(read_png16(path), samples)


def test_bits_of_other_files_are_not_told(tmp_path):
    (tmp_path / "a.png").write_bytes(b"something else")
    assert find_png_bits(tmp_path / "a.png") is None
    Image.new("RGB", (3, 2)).save(tmp_path / "b.png")
    assert find_png_bits(tmp_path / "b.png") == 8


WHOLE = png_of(filtered(random_samples(1, 4, 4), (0,)), 4, 4, 0)
DAMAGED = WHOLE[:20] + bytes([WHOLE[20] ^ 1]) + WHOLE[21:]
BROKEN = {
    "signature": (b"GIF89a" + WHOLE, "signature"),
    "cut": (WHOLE[:-20], "end in the middle"),
    "cut in a chunk": (WHOLE[:40], "end in the middle"),
    "damaged": (DAMAGED, "damaged chunk 'IHDR'"),
    "too little data": (png_of(bytes(8), 4, 4, 0), "8 bytes of samples"),
    "no data": (SIGNATURE + WHOLE[8:33] + chunk(b"IEND", b""), "0 bytes of samples"),
    "data that does not unpack": (SIGNATURE + WHOLE[8:33] + chunk(b"IDAT", b"\1\2\3"), "broken data"),
    "filter 9": (png_of(bytes([9]) + bytes(35), 4, 4, 0), "row filter 9"),
    "no header": (SIGNATURE + chunk(b"IEND", b""), "no header"),
    "8 bits": (png_of(bytes(20), 4, 4, 0, bits=8), "8 bits"),
    "no width": (png_of(bytes(36), 0, 4, 0), "0 x 4 px"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused_in_one_line(tmp_path, name):
    content, words = BROKEN[name]
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        read_png16(tmp_path / "a.png")
    assert "a.png" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("samples", [np.zeros((2, 2, 5), np.uint16), np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2))])
def test_samples_of_another_kind_are_refused(samples):
    with pytest.raises(InputError, match="samples"):
        write_png16(io.BytesIO(), samples)


def test_samples_may_lie_in_memory_in_any_order():
    planes = np.arange(3 * 4 * 5, dtype=np.uint16).reshape(3, 4, 5)
    plain, turned = io.BytesIO(), io.BytesIO()
    write_png16(plain, np.ascontiguousarray(np.moveaxis(planes, 0, 2)))
    write_png16(turned, np.moveaxis(planes, 0, 2))
    assert turned.getvalue() == plain.getvalue()
