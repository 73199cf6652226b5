import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from psf import InputError
from render.libraw import decode
from render.tiff_tags import CFA, LINEAR_RAW

NEUTRAL = (50728, 5, 3, (1, 2, 1, 1, 2, 3), True)
MATRIX = (50721, 10, 9, (1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1), True)
DNG = [(50706, 1, 4, (1, 4, 0, 0), True), (50708, 2, 5, "Camera", True), (271, 2, 2, "M", True), (272, 2, 2, "C", True)]


def write_mosaic(path, *, shape=(64, 96), tags=()):
    mosaic = np.random.default_rng(0).integers(0, 1024, shape).astype(np.uint16)
    cfa = [(33421, 3, 2, (2, 2), True), (33422, 1, 4, (0, 1, 1, 2), True)]
    tifffile.imwrite(path, mosaic, photometric=CFA, extratags=[*DNG, *cfa, NEUTRAL, MATRIX, *tags], metadata=None)
    return mosaic


def write_lossy(path):
    """A linear DNG in one tile of baseline JPEG, which tifffile cannot write without a codec: patched in."""
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    jpeg = io.BytesIO()
    Image.fromarray(picture).save(jpeg, "JPEG", quality=95)
    data = np.frombuffer(jpeg.getvalue().ljust(64 * 64 * 3, b"\0"), np.uint8)[: 64 * 64 * 3].reshape(64, 64, 3)
    assert len(jpeg.getvalue()) <= 64 * 64 * 3
    tags = [*DNG, NEUTRAL, MATRIX]
    tifffile.imwrite(path, data, photometric=LINEAR_RAW, extratags=tags, metadata=None, tile=(64, 64))
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages.first.tags[259].overwrite(34892)


def test_arrays_outlive_the_file(tmp_path):
    mosaic = write_mosaic(tmp_path / "a.dng")
    decoded, tags = decode(tmp_path / "a.dng")
    (tmp_path / "a.dng").unlink()
    np.testing.assert_array_equal(decoded.values, mosaic)
    assert decoded.values.flags.owndata
    assert tags.is_dng


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.dng"):
        decode(tmp_path / "none.dng")


def jpeg_file():
    content = io.BytesIO()
    Image.new("RGB", (64, 64)).save(content, "JPEG")
    return content.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.dng", b"", "an empty file"),
        ("text.nef", b"plain text " * 40, "no RAW file"),
        ("picture.cr2", jpeg_file(), "a JPEG picture"),
        ("header.dng", b"II*\0\x08\0\0\0", "cut off"),
    ],
)
def test_what_is_no_raw_file_is_called_what_it_is(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}.*{words}") as caught:
        decode(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="a folder"):
        decode(tmp_path)


def test_plain_tiff_is_no_raw_file(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 64, 3), np.uint8), photometric="rgb")
    with pytest.raises(InputError, match="no RAW file"):
        decode(tmp_path / "a.tif")


@pytest.mark.parametrize(("code", "name"), [(8, "deflate"), (9, "GoPro VC-5"), (52546, "JPEG XL"), (12345, "unknown")])
def test_compression_that_nobody_decodes_is_named(tmp_path, code, name):
    write_mosaic(tmp_path / "a.dng")
    with tifffile.TiffFile(tmp_path / "a.dng", mode="r+b") as file:
        file.pages.first.tags[259].overwrite(code)
    with pytest.raises(InputError, match=rf"compression {code} \({name}\)"):
        decode(tmp_path / "a.dng")


@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
def test_mosaic_that_is_cut_off_is_refused(tmp_path, share):
    write_mosaic(tmp_path / "a.dng")
    content = (tmp_path / "a.dng").read_bytes()
    (tmp_path / "a.dng").write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match="cut off"):
        decode(tmp_path / "a.dng")


def test_lossy_picture_that_is_cut_off_is_refused_though_libraw_fills_it_up(tmp_path):
    write_lossy(tmp_path / "a.dng")
    decoded, _ = decode(tmp_path / "a.dng")
    assert decoded.values.shape[:2] == (64, 64)
    content = (tmp_path / "a.dng").read_bytes()
    (tmp_path / "a.dng").write_bytes(content[:-500])
    with pytest.raises(InputError, match=r"reach to byte \d+.*cut off"):
        decode(tmp_path / "a.dng")
