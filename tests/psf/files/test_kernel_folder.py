"""Files of kernels: numbers and pictures."""

import sys

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from psf.errors import InputError
from psf.files.kernel_folder import find_manifest, read_kernel_file


@pytest.fixture
def values():
    return torch.rand((5, 7), generator=torch.Generator().manual_seed(0), dtype=torch.float64).numpy()


def test_numbers_come_back_as_they_are(tmp_path, values):
    np.save(tmp_path / "a.npy", values)
    np.save(tmp_path / "b.npy", np.stack([values, 2 * values, 3 * values], -1))
    tifffile.imwrite(tmp_path / "c.tif", values.astype(np.float32))
    tifffile.imwrite(
        tmp_path / "d.tif", np.stack([values] * 3).astype(np.float32), planarconfig="separate", photometric="rgb"
    )
    assert np.array_equal(read_kernel_file(tmp_path / "a.npy")[0], values)
    assert torch.equal(read_kernel_file(tmp_path / "b.npy")[2], torch.from_numpy(3 * values))
    assert np.allclose(read_kernel_file(tmp_path / "c.tif")[0], values, atol=1e-7)
    assert read_kernel_file(tmp_path / "d.tif").shape == (3, 5, 7)


def test_pictures_are_linear_light(tmp_path, values):
    Image.fromarray((255 * values).astype(np.uint8)).save(tmp_path / "a.png")
    Image.fromarray((65535 * values).astype(np.uint16)).save(tmp_path / "b.png")
    assert read_kernel_file(tmp_path / "a.png")[0].tolist() == np.floor(255 * values).tolist()
    assert read_kernel_file(tmp_path / "b.png")[0].tolist() == np.floor(65535 * values).tolist()


def test_exr_channels_come_in_the_order_red_green_blue(tmp_path, values):
    exr = pytest.importorskip("OpenEXR")
    planes = {name: (n + 1) * values.astype(np.float32) for n, name in enumerate("RGB")}
    exr.File({"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}, planes).write(str(tmp_path / "a.exr"))
    assert np.allclose(read_kernel_file(tmp_path / "a.exr")[2], 3 * values, atol=1e-6)


def test_exr_without_its_library_says_how_to_get_it(tmp_path, monkeypatch):
    (tmp_path / "a.exr").write_bytes(b"v/1\x01")
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(ImportError, match=r"psfield\[exr\]"):
        read_kernel_file(tmp_path / "a.exr")


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.array([[1.0, np.nan]]), "channel 0, row 0, column 1: found nan"),
        (np.array([[1.0, -1.0]]), "at least 0"),
        (np.zeros((3, 3)), "without light"),
        (np.ones((2, 2, 2, 2)), "shape"),
        (np.ones((2, 2), dtype=complex), "complex"),
        (np.array([{}], dtype=object), "no readable content"),
    ],
)
def test_what_is_no_kernel_is_refused(tmp_path, samples, words):
    np.save(tmp_path / "a.npy", samples, allow_pickle=True)
    with pytest.raises(InputError, match=words):
        read_kernel_file(tmp_path / "a.npy")


@pytest.mark.parametrize("name", ["a.npy", "a.tif", "a.png"])
def test_broken_file_is_refused_in_one_line(tmp_path, name):
    (tmp_path / name).write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="no readable content"):
        read_kernel_file(tmp_path / name)


def test_colour_png_of_16_bits_and_other_suffixes_are_refused(tmp_path):
    Image.new("RGBA", (3, 3)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="grey of 8 or 16 bits"):
        read_kernel_file(tmp_path / "a.png")
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="suffix"):
        read_kernel_file(tmp_path / "a.jpg")
    with pytest.raises(FileNotFoundError):
        read_kernel_file(tmp_path / "none.npy")


def test_folder_holds_one_manifest(tmp_path):
    with pytest.raises(InputError, match="manifest"):
        find_manifest(tmp_path)
    (tmp_path / "kernels.csv").write_text("")
    assert find_manifest(tmp_path).name == "kernels.csv"
    (tmp_path / "other.csv").write_text("")
    with pytest.raises(InputError, match=r"kernels\.csv, other\.csv"):
        find_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text("")
    assert find_manifest(tmp_path).name == "manifest.json"
    assert find_manifest(tmp_path / "other.csv").name == "other.csv"
    with pytest.raises(FileNotFoundError):
        find_manifest(tmp_path / "none")
