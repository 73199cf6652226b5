import pytest
import torch

import psf
from learn.deblur.__main__ import main
from render import Camera, RawSensor, read_raw, write_dng
from render.metadata import random_metadata
from render.noise_presets import load_noise

SHAPE_PX = (140, 150)


@pytest.fixture(autouse=True)
def one_thread():
    """Two on busy cores wait for each other at each of some thousand small operations."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("deconvolve")
    field = psf.thin_lens_field(
        focal_mm=3.28, f_number=2.2, focus_m=float("inf"), pitch_um=2.0, image_shape_px=SHAPE_PX,
        depths_m=1 / torch.linspace(9.0, 0.0, 6), breathing=False, dtype=torch.float32,
    )  # fmt: skip
    field.save(out / "lens.h5")
    own = torch.Generator().manual_seed(1)
    page = torch.rand((1, 3, 14, 15), generator=own).repeat_interleave(10, 2).repeat_interleave(10, 3)
    camera = Camera(field, RawSensor("RGGB", bits=10, black_dn=64), load_noise("imx586"))
    (out / "in").mkdir()
    for name in ("a", "b"):
        photo = camera.simulate(page, 0.15, iso=200, metadata=random_metadata(1, generator=own), generator=own)
        write_dng(out / "in" / f"{name}.dng", photo.to_raw_file())
    return out


def test_a_folder_is_restored_and_goes_on_where_it_stopped(folder, tmp_path, capsys):
    command = ["deconvolve", str(folder / "in"), "--field", str(folder / "lens.h5"), "-o", str(tmp_path / "out")]
    assert main([*command, "--format", "dng", "png", "--before-after"]) == 0
    names = {f"{name}{end}" for name in "ab" for end in (".dng", ".png", "_before_after.png")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert "restored: 2 of 2" in capsys.readouterr().out
    before, after = (read_raw(one / "a.dng").normalised() for one in (folder / "in", tmp_path / "out"))
    assert float((before - after).abs().mean()) > 1e-3, "something happened"
    assert main([*command, "--format", "dng", "png", "--before-after"]) == 0
    assert "2 were there" in capsys.readouterr().out


def test_what_cannot_be_used_is_one_line_and_code_2(folder, tmp_path, capsys):
    base = ["deconvolve", str(folder / "in" / "a.dng"), "-o", str(tmp_path / "x.dng")]
    field = ["--field", str(folder / "lens.h5")]
    for words, said in (
        (["--field", str(folder / "gone.h5")], "gone.h5"),
        ([*field, "--caution", "0"], "--caution"),
        ([*field, "--window", "9", "9"], "sensor"),
    ):
        assert main([*base, *words]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert not (tmp_path / "x.dng").exists()
