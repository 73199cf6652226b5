import numpy as np
import pytest
import torch

from psf import InputError
from render.commands_raw import develop_command
from render.developing import develop
from render.dng import write_dng
from render.photographs import RawFile
from render.pictures import read_picture
from render.raw import read_raw

S40 = torch.tensor([[0.8606, -0.2573, -0.0949], [-0.8237, 1.5489, 0.2974], [-0.2649, 0.3076, 0.9100]])


def write_photo(path, **facts):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(64, 900, (24, 32), generator=generator, dtype=torch.int32).to(torch.uint16)
    known = {"white_balance": torch.tensor([1.8, 1.0, 1.6]), "color_matrices": ((21, S40),)}
    write_dng(path, RawFile(pixels, "GRBG", black_dn=torch.full((4,), 64.0), white_dn=1023.0, **known | facts))


@pytest.mark.parametrize(("suffix", "bits", "steps"), [(".tiff", None, 65535), (".png", None, 65535), (".png", 8, 255)])
def test_developed_picture_is_written_in_srgb(tmp_path, suffix, bits, steps):
    write_photo(tmp_path / "a.dng", orientation=6)
    out = develop_command(tmp_path / "a.dng", tmp_path / f"a{suffix}", bits=bits)
    assert out == tmp_path / f"a{suffix}"
    written = read_picture(out, encoding="linear")  # the numbers as they stand in the file
    expected = develop(read_raw(tmp_path / "a.dng"))
    assert written.shape == (1, 3, 32, 24)
    torch.testing.assert_close(written, expected, rtol=0, atol=0.51 / steps)


def test_float_pictures_hold_linear_light(tmp_path):
    write_photo(tmp_path / "a.dng")
    develop_command(tmp_path / "a.dng", tmp_path / "a.npy", method="bilinear", exposure_ev=-1, crop=False)
    light = develop(read_raw(tmp_path / "a.dng"), method="bilinear", exposure_ev=-1, crop=False, encoding="linear")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), light[0].permute(1, 2, 0))


def test_linear_files_are_developed_too(tmp_path):
    write_photo(tmp_path / "a.dng")
    photo = read_raw(tmp_path / "a.dng")
    write_dng(tmp_path / "linear.dng", photo.with_image(torch.full((1, 3, 24, 32), 0.3)))
    develop_command(tmp_path / "linear.dng", tmp_path / "a.tif")
    assert read_picture(tmp_path / "a.tif").shape == (1, 3, 24, 32)


def test_camera_without_a_matrix_needs_the_users_word(tmp_path):
    write_photo(tmp_path / "a.dng", color_matrices=())
    with pytest.warns(UserWarning, match="no colour matrix"), pytest.raises(InputError, match="--camera-colours"):
        develop_command(tmp_path / "a.dng", tmp_path / "a.tif")
    assert not (tmp_path / "a.tif").exists()
    with pytest.warns(UserWarning, match="no colour matrix"):
        develop_command(tmp_path / "a.dng", tmp_path / "a.npy", camera_colours=True, method="bilinear")
    # Colours as the sensor has them: a measured pixel is itself, balanced.
    with pytest.warns(UserWarning, match="no colour matrix"):
        photo = read_raw(tmp_path / "a.dng")
    light = np.load(tmp_path / "a.npy")
    assert light[0, 0, 1] == pytest.approx(float(photo.normalised()[0, 0, 0, 0]), abs=1e-6)
    assert light[0, 1, 0] == pytest.approx(min(1.8 * float(photo.normalised()[0, 0, 0, 1]), 1), abs=1e-6)


def test_given_white_balance_replaces_the_files(tmp_path):
    write_photo(tmp_path / "a.dng")
    develop_command(tmp_path / "a.dng", tmp_path / "a.npy", white_balance=(2.5, 1, 1.1))
    expected = develop(read_raw(tmp_path / "a.dng"), white_balance=torch.tensor([2.5, 1, 1.1]), encoding="linear")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), expected[0].permute(1, 2, 0))


def test_output_is_looked_at_before_the_file_is_read(tmp_path):
    with pytest.raises(InputError, match=r"\.jpg"):
        develop_command(tmp_path / "none.dng", tmp_path / "a.jpg")
    with pytest.raises(FileNotFoundError, match=r"none\.dng"):
        develop_command(tmp_path / "none.dng", tmp_path / "a.png")
