import numpy as np
import pytest
import torch

from psf import InputError
from psf.capture_files import read_captures
from render.capture_reading import read_capture
from render.dng import write_dng
from render.photographs import RawFile
from render.pictures import write_picture


def write_raw(path, saturated=()):
    generator = torch.Generator().manual_seed(0)
    dn = torch.randint(64, 900, (24, 32), generator=generator, dtype=torch.int32)
    for row, column in saturated:
        dn[row, column] = 1023
    known = {"white_balance": torch.tensor([1.8, 1.0, 1.6]), "color_matrices": ((21, torch.eye(3)),)}
    facts = {"f_number": 2.8, "exposure_s": 0.02, "iso": 200.0, "focal_mm": 12.0}
    black = torch.full((4,), 64.0)
    write_dng(path, RawFile(dn.to(torch.uint16), "GRBG", black_dn=black, white_dn=1023.0, **known, **facts))
    return (dn.float() - 64) / (1023 - 64)


def test_mosaic_becomes_three_colours_without_a_neighbours_help(tmp_path):
    light = write_raw(tmp_path / "a.dng", [(5, 7)])
    photo = read_capture(tmp_path / "a.dng", 4, "auto")
    assert photo.light.shape == (3, 6, 8)
    # GRBG: red at (0, 1), blue at (1, 0), greens at (0, 0) and (1, 1).
    cell = light[4:8, 8:12]
    assert float(photo.light[0, 1, 2]) == pytest.approx(float(cell[::2, 1::2].mean()), abs=1e-6)
    green = (cell[::2, ::2].mean() + cell[1::2, 1::2].mean()) / 2
    assert float(photo.light[1, 1, 2]) == pytest.approx(float(green), abs=1e-6)
    assert float(photo.light[2, 1, 2]) == pytest.approx(float(cell[1::2, ::2].mean()), abs=1e-6)
    assert photo.clipped.nonzero().tolist() == [[1, 1]]
    assert photo.is_raw
    assert not photo.was_curved
    assert (photo.f_number, photo.iso, photo.focal_mm) == (2.8, 200.0, 12.0)
    assert read_capture(tmp_path / "a.dng", 2, "auto").light.shape == (3, 12, 16)
    with pytest.raises(InputError, match=r"a\.dng: bin: found 3, expected an even number"):
        read_capture(tmp_path / "a.dng", 3, "auto")


def test_pictures_tell_whether_they_had_a_curve(tmp_path):
    light = torch.rand(3, 12, 16, generator=torch.Generator().manual_seed(0))
    light[:, 3, 4] = 1.5
    write_picture(tmp_path / "a.png", light, bits=16)
    write_picture(tmp_path / "b.tif", light, bits=32)
    np.save(tmp_path / "c.npy", light.permute(1, 2, 0).numpy())
    png, tiff, npy = (read_capture(tmp_path / name, 2, "auto") for name in ("a.png", "b.tif", "c.npy"))
    assert [one.was_curved for one in (png, tiff, npy)] == [True, False, False]
    assert png.clipped.nonzero().tolist() == [[1, 2]]
    wanted = torch.nn.functional.avg_pool2d(light[None], 2)[0]
    torch.testing.assert_close(npy.light, wanted)
    torch.testing.assert_close(tiff.light, wanted)
    torch.testing.assert_close(
        png.light, torch.nn.functional.avg_pool2d(light.clamp(max=1)[None], 2)[0], atol=1e-4, rtol=0
    )
    assert not read_capture(tmp_path / "a.png", 1, "linear").was_curved


def test_folder_of_raw_files_is_captures(tmp_path):
    write_raw(tmp_path / "s.dng")
    write_raw(tmp_path / "b.dng")
    (tmp_path / "captures.json").write_text(
        '{"schema": "psfield-captures-1", "kernel_px": 3, "bin": 2, "focus_m": 1, "pairs": '
        '[{"sharp": "s.dng", "blurred": "b.dng", "depth_m": 0.7}]}',
        encoding="utf-8",
    )
    captures = read_captures(tmp_path, read_capture)
    assert captures.channel_count == 3
    assert captures.image_shape_px == (12, 16)
    assert captures[0].blurred.shape == (3, 10, 14)
