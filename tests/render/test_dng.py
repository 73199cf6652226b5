import dataclasses
import errno
import math
import os
import shutil
import subprocess
import sys
import time
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import rawpy
import torch
from hypothesis import given
from hypothesis import strategies as st

from psf import InputError
from render.bayer import PATTERNS
from render.dng import BITS, _find_fraction, _pack_rows, write_dng
from render.photographs import LinearFile, Photograph, RawFile
from render.raw import read_linear, read_raw
from render.tiff_tags import read_tags

S40 = torch.tensor([[0.8606, -0.2573, -0.0949], [-0.8237, 1.5489, 0.2974], [-0.2649, 0.3076, 0.9100]])
FACTS = {
    "white_balance": torch.tensor([1819 / 990, 1.0, 1794 / 990]),
    "color_matrices": ((17, S40 @ torch.diag(torch.tensor([1.1, 1.0, 0.9]))), (21, S40)),
    "iso": 400.0,
    "exposure_s": 1 / 3,
    "f_number": 2.8,
    "focal_mm": 7.09375,
    "time": datetime(2024, 2, 29, 23, 59, 58),
    "orientation": 6,
    "make": "Maker",
    "model": "Model 1",
    "lens": "Lens 50 mm f/1.8",
    "noise_profile": torch.tensor([[1e-4, 1e-7], [2e-4, 2e-7], [3e-4, 4e-7]]),
    "baseline_exposure_ev": -0.35,
    "pixel_aspect": 1.25,
    "crop_px": (2, 4, 36, 30),
    "opcodes": ((51009, b"\0\0\0\1shading"), (51022, b"\0\0\0\1distortion")),
}


def make_photo(pattern="RGGB", *, shape=(40, 48), bits=10, seed=0, **facts):
    generator = torch.Generator().manual_seed(seed)
    mosaic = torch.randint(0, 2**bits, shape, generator=generator, dtype=torch.int32).to(torch.uint16)
    black = torch.tensor([30.0, 31.0, 32.0, 33.0])
    return RawFile(mosaic, pattern, **{"black_dn": black, "white_dn": 2.0**bits - 1, **FACTS, **facts})


def make_linear(*, shape=(40, 48), **facts):
    generator = torch.Generator().manual_seed(1)
    image = torch.randint(0, 65536, (3, *shape), generator=generator, dtype=torch.int32).to(torch.uint16)
    return LinearFile(image, **{"black_dn": torch.zeros(3), "white_dn": 65535.0, **FACTS, **facts})


def find_differences(one, other):
    """Names of the fields that are not equal, number for number."""

    def same(a, b):
        if isinstance(a, torch.Tensor):
            return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
        if isinstance(a, tuple):
            return isinstance(b, tuple) and len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
        return a == b

    names = [field.name for field in dataclasses.fields(one)]
    return [name for name in names if not same(getattr(one, name), getattr(other, name))]


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_mosaic_and_every_fact_come_back_identical(tmp_path, pattern, bits):
    for shape in ((40, 48), (39, 47), (37, 38)):
        photo = make_photo(pattern, shape=shape, bits=bits)
        write_dng(tmp_path / "a.dng", photo, bits=bits)
        assert find_differences(photo, read_raw(tmp_path / "a.dng")) == []


def test_linear_photograph_comes_back_identical(tmp_path):
    photo = make_linear()
    write_dng(tmp_path / "a.dng", photo)
    assert find_differences(photo, read_linear(tmp_path / "a.dng")) == []


def test_rawpy_alone_sees_what_was_written(tmp_path):
    photo = make_photo("GBRG")
    write_dng(tmp_path / "a.dng", photo)
    with rawpy.imread(str(tmp_path / "a.dng")) as opened:
        np.testing.assert_array_equal(opened.raw_image, photo.mosaic)
        assert opened.raw_pattern.tolist() == [[3, 2], [0, 1]]
        assert opened.black_level_per_channel == [30, 31, 33, 32]  # R, G of a red row, B, G of a blue row
        assert opened.white_level == 1023
        np.testing.assert_allclose(opened.camera_whitebalance[:3], photo.white_balance, rtol=1e-6)
        assert opened.other.iso_speed == 400
        assert opened.other.shutter_speed == pytest.approx(1 / 3)
        assert opened.other.timestamp == photo.time
        assert opened.lens.model == "Lens 50 mm f/1.8"
        assert opened.sizes.flip == 6
        assert opened.sizes.pixel_aspect == pytest.approx(1.25)
        assert (opened.sizes.crop_left_margin, opened.sizes.crop_top_margin) == (2, 4)
        assert (opened.sizes.crop_width, opened.sizes.crop_height) == (36, 30)


def test_photograph_that_tells_nothing_comes_back_so(tmp_path):
    photo = RawFile(make_photo().mosaic, "RGGB", black_dn=torch.zeros(4), white_dn=1023.0, make="A", model="B")
    write_dng(tmp_path / "a.dng", photo)
    with pytest.warns(UserWarning, match="no white balance|no colour matrix"):
        back = read_raw(tmp_path / "a.dng")
    assert find_differences(photo, back) == []


def test_camera_without_a_name_gets_one_that_readers_can_show(tmp_path):
    write_dng(tmp_path / "a.dng", make_photo(make="", model=""))
    back = read_raw(tmp_path / "a.dng")
    assert (back.make, back.model) == ("unknown", "unknown")


@pytest.mark.parametrize("iso", [50, 65535, 65536, 102400, 3_276_800])
def test_iso_of_any_size_comes_back(tmp_path, iso):
    write_dng(tmp_path / "a.dng", make_photo(iso=float(iso)))
    assert read_raw(tmp_path / "a.dng").iso == iso


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_comes_back(tmp_path, orientation):
    write_dng(tmp_path / "a.dng", make_photo(orientation=orientation))
    assert read_raw(tmp_path / "a.dng").orientation == orientation


@pytest.mark.parametrize("black", [(30.25, 31.5, 32.125, 33.0), (0.0, 0.0, 0.0, 0.0), (255.0, 256.0, 257.0, 255.5)])
def test_black_level_keeps_its_fraction(tmp_path, black):
    write_dng(tmp_path / "a.dng", make_photo(black_dn=torch.tensor(black)))
    assert read_raw(tmp_path / "a.dng").black_dn.tolist() == list(black)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_masked_border_is_written_with_the_area_that_light_reaches(tmp_path, pattern):
    photo = make_photo(pattern, active_area_px=(4, 6, 40, 30), crop_px=(6, 8, 30, 20))
    write_dng(tmp_path / "a.dng", photo)
    assert find_differences(photo, read_raw(tmp_path / "a.dng", masked_border=True)) == []
    visible = read_raw(tmp_path / "a.dng")
    assert find_differences(photo.cropped(4, 6, 40, 30), visible) == ["active_area_px"]
    assert visible.opcodes == photo.opcodes
    assert visible.crop_px == (2, 2, 30, 20)


@pytest.mark.parametrize("name", ["iso", "exposure_s", "f_number", "focal_mm", "time", "noise_profile", "crop_px"])
def test_fact_that_is_unknown_stays_unknown(tmp_path, name):
    write_dng(tmp_path / "a.dng", make_photo(**{name: None}))
    assert getattr(read_raw(tmp_path / "a.dng"), name) is None


def test_software_and_time_are_in_the_tags(tmp_path):
    write_dng(tmp_path / "a.dng", make_photo())
    write_dng(tmp_path / "b.dng", make_photo(), software="restorer 3")
    tags = read_tags(tmp_path / "a.dng")
    assert tags.first.text(305).startswith("psfield")
    assert tags.first.text(306) == tags.exif.text(36867) == "2024:02:29 23:59:58"
    assert tags.first.text(50708) == "Maker Model 1"
    assert read_tags(tmp_path / "b.dng").first.text(305) == "restorer 3"


def test_the_same_photograph_gives_the_same_bytes(tmp_path):
    write_dng(tmp_path / "a.dng", make_photo())
    write_dng(tmp_path / "b.dng", make_photo())
    assert (tmp_path / "a.dng").read_bytes() == (tmp_path / "b.dng").read_bytes()


@pytest.mark.parametrize(
    ("black", "white"), [((32.0, 32.0, 32.0), 1023.0), ((30.0, 32.0, 34.0), 4095.0), ((0.5, 0.5, 0.5), 65535.0)]
)
def test_black_of_a_linear_photograph_is_subtracted(tmp_path, black, white):
    image = (make_linear().image_dn.to(torch.float32) * (white / 65535)).round().to(torch.uint16)
    photo = LinearFile(image, **FACTS, black_dn=torch.tensor(black), white_dn=white)
    write_dng(tmp_path / "a.dng", photo)
    back = read_linear(tmp_path / "a.dng")
    assert back.black_dn.tolist() == [0, 0, 0]
    # Half a step of 16 bits.
    torch.testing.assert_close(back.normalised(), photo.normalised().clamp(0, 1), rtol=0, atol=0.51 / 65535)
    if len(set(black)) == 1 and black[0] == 32:
        shifted = (photo.image_dn.to(torch.int32) - 32).clamp_min(0)
        assert torch.equal(back.image_dn.to(torch.int32), shifted)


# Compression


@pytest.mark.parametrize("bits", BITS)
def test_lossless_jpeg_comes_back_identical(tmp_path, bits):
    pytest.importorskip("imagecodecs")
    for shape in ((40, 48), (39, 47)):
        photo = make_photo("BGGR", shape=shape, bits=bits)
        write_dng(tmp_path / "a.dng", photo, bits=bits, compression="jpeg")
        assert find_differences(photo, read_raw(tmp_path / "a.dng")) == []
    linear = make_linear()
    write_dng(tmp_path / "b.dng", linear, compression="jpeg")
    assert find_differences(linear, read_linear(tmp_path / "b.dng")) == []


def test_missing_codec_is_asked_for_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(ImportError, match=r"psfield\[jpeg\]"):
        write_dng(tmp_path / "a.dng", make_photo(), compression="jpeg")
    assert list(tmp_path.iterdir()) == []


def pack_plainly(rows, bits):
    """Every row as a string of binary digits."""
    packed = b""
    for row in rows:
        digits = "".join(f"{int(number):0{bits}b}" for number in row)
        digits += "0" * (-len(digits) % 8)
        packed += int(digits, 2).to_bytes(len(digits) // 8, "big")
    return packed


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("width", [1, 3, 4, 7, 16, 33])
def test_numbers_are_packed_without_gaps_most_significant_bit_first(bits, width):
    rows = np.random.default_rng(bits).integers(0, 2**bits, (5, width)).astype(np.uint16)
    assert b"".join(_pack_rows(rows, bits)) == pack_plainly(rows, bits)


@pytest.mark.parametrize("bits", BITS)
def test_rows_beyond_a_block_follow_it(bits):
    rows = np.random.default_rng(bits).integers(0, 2**bits, (300, 6)).astype(np.uint16)
    expected = rows.astype("<u2").tobytes() if bits == 16 else pack_plainly(rows, bits)
    assert b"".join(bytes(block) for block in _pack_rows(rows, bits)) == expected


@given(st.floats(2**-10, 2**20, allow_subnormal=False), st.booleans())
def test_fraction_is_the_same_number_in_single_precision(number, signed):
    single = float(np.float32(number))
    top, bottom = _find_fraction(-single if signed else single, signed)
    assert abs(top) <= (2**31 - 1 if signed else 2**32 - 1)
    assert 0 < bottom <= 2**32 - 1
    assert math.isclose(abs(float(Fraction(top, bottom))), single, rel_tol=2**-24)


def test_plain_numbers_become_plain_fractions():
    assert _find_fraction(float(np.float32(0.8606)), True) == (4303, 5000)
    assert _find_fraction(1 / 3, False) == (1, 3)
    assert _find_fraction(0, False) == (0, 1)


# What is refused


@pytest.mark.parametrize(
    ("name", "facts", "options", "words"),
    [
        ("a.tif", {}, {}, r"\.tif.*\.dng"),
        ("a.dng", {}, {"bits": 11}, "11.*8 or 10 or 12"),
        ("a.dng", {}, {"bits": 8}, "1023"),
        ("a.dng", {"white_dn": 4095.0}, {"bits": 10}, "4095"),
        ("a.dng", {}, {"compression": "deflate"}, "deflate"),
        ("a.dng", {"shape": (21, 40), "crop_px": None}, {}, "22 px"),
    ],
)
def test_what_nobody_could_read_is_not_written(tmp_path, name, facts, options, words):
    with pytest.raises(InputError, match=words):
        write_dng(tmp_path / name, make_photo(**facts), **options)
    assert list(tmp_path.iterdir()) == []


def test_linear_files_take_16_bits(tmp_path):
    with pytest.raises(InputError, match="expected 16"):
        write_dng(tmp_path / "a.dng", make_linear(), bits=12)


def test_places_that_cannot_be_written_to_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        write_dng(tmp_path / "none" / "a.dng", make_photo())
    (tmp_path / "b.dng").mkdir()
    with pytest.raises(InputError, match="a folder"):
        write_dng(tmp_path / "b.dng", make_photo())
    with pytest.raises(InputError, match="RawFile or LinearFile"):
        write_dng(tmp_path / "a.dng", torch.zeros(4, 4))


def test_value_that_32_bits_cannot_hold_is_refused(tmp_path):
    with pytest.raises(InputError, match="at most"):
        write_dng(tmp_path / "a.dng", make_photo(white_balance=torch.tensor([1e-12, 1.0, 1.0])))


# Whole or not at all


@pytest.fixture
def old(tmp_path):
    """A file that stands where the new one is to go."""
    write_dng(tmp_path / "a.dng", make_photo(seed=5))
    return (tmp_path / "a.dng").read_bytes()


def test_disk_that_is_full_leaves_the_old_file_and_nothing_else(tmp_path, old, monkeypatch):
    def refuse(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        write_dng(tmp_path / "a.dng", make_photo())
    assert (tmp_path / "a.dng").read_bytes() == old
    assert len(list(tmp_path.iterdir())) == 1


def test_limit_of_the_file_size_leaves_the_old_file_and_nothing_else(tmp_path, old):
    resource = pytest.importorskip("resource")
    large = make_photo(shape=(600, 800))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_dng(tmp_path / "a.dng", large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (tmp_path / "a.dng").read_bytes() == old
    assert len(list(tmp_path.iterdir())) == 1


# Writes 40 MB, and waits for ever before the last block of it.
SLOW = """
import sys, time
import torch
from render import dng
from render.photographs import RawFile

pack_rows = dng._pack_rows
def slowly(rows, bits):
    for n, block in enumerate(pack_rows(rows, bits)):
        if n == 3:
            time.sleep(600)
        yield block
dng._pack_rows = slowly
mosaic = torch.full((2000, 2000), 500, dtype=torch.uint16)
dng.write_dng(sys.argv[1], RawFile(mosaic, "RGGB", black_dn=torch.zeros(4), white_dn=1023.0))
"""


def test_kill_in_the_middle_of_writing_leaves_the_old_file(tmp_path, old, root):
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", SLOW, str(tmp_path / "a.dng")]
    writer = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not (parts := [one for one in tmp_path.glob(".*.part") if one.stat().st_size > 1_000_000]):
            assert writer.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        writer.kill()
        writer.wait()
    assert (tmp_path / "a.dng").read_bytes() == old
    assert parts[0].name.startswith(".a.dng.")


# Other programs


@pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")
def test_exiftool_finds_no_fault_and_the_same_facts(tmp_path):
    write_dng(tmp_path / "mosaic.dng", make_photo("GRBG"))
    write_dng(tmp_path / "packed.dng", make_photo(active_area_px=(4, 6, 40, 30), crop_px=(6, 8, 30, 20)), bits=10)
    write_dng(tmp_path / "linear.dng", make_linear(iso=102400.0))
    files = sorted(map(str, tmp_path.glob("*.dng")))
    checked = subprocess.run(["exiftool", "-validate", "-warning", "-a", "-s3", *files], capture_output=True, text=True)
    lines = [line for line in checked.stdout.splitlines() if line and not line.startswith(("=", " "))]
    assert lines == ["OK"] * 3
    asked = ["-n", "-s3", "-p", "$ISO|$ISOSpeed|$FNumber|$Orientation|$LensModel|$CFAPattern2|$BlackLevel|$WhiteLevel"]
    told = subprocess.run(["exiftool", *asked, str(tmp_path / "mosaic.dng")], capture_output=True, text=True).stdout
    assert told.strip() == "400|400|2.8|6|Lens 50 mm f/1.8|1 0 2 1|31 30 33 32|1023"
    told = subprocess.run(["exiftool", "-n", "-s3", "-ISOSpeed", files[0]], capture_output=True, text=True).stdout
    assert told.strip() == "102400"


@pytest.mark.skipif(not shutil.which("dcraw"), reason="dcraw is not installed")
@pytest.mark.parametrize("bits", BITS)
def test_dcraw_reads_the_identical_mosaic(tmp_path, bits):
    photo = make_photo("BGGR", bits=bits, pixel_aspect=1.0)
    write_dng(tmp_path / "a.dng", photo, bits=bits)
    command = ["dcraw", "-c", "-D", "-4", "-t", "0", str(tmp_path / "a.dng")]
    header, size, _, pixels = subprocess.run(command, capture_output=True, check=True).stdout.split(b"\n", 3)
    assert (header, size) == (b"P5", b"48 40")
    np.testing.assert_array_equal(np.frombuffer(pixels, ">u2").reshape(40, 48), photo.mosaic)


def test_real_camera_file_survives_the_way_through_a_dng(tmp_path, shared):
    source = shared / "data" / "raw" / "canon_s40.crw"
    if not Path(source).is_file():
        pytest.skip("no camera file")
    photo = read_raw(source)
    write_dng(tmp_path / "a.dng", photo, bits=10)
    assert find_differences(photo, read_raw(tmp_path / "a.dng")) == []
    assert {field.name for field in dataclasses.fields(Photograph)} < {f.name for f in dataclasses.fields(photo)}
