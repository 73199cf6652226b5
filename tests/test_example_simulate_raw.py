"""The example that turns a photograph into a DNG: both files come whole, what cannot be is refused in one line."""

import importlib.util
import math
import sys
from pathlib import Path

import pytest
import torch

import psf
from render.developing import develop
from render.pictures import write_picture
from render.raw import read_raw

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def simulate_raw():
    spec = importlib.util.spec_from_file_location("simulate_raw", ROOT / "examples" / "simulate_raw.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["simulate_raw"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["simulate_raw"]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A picture of tiles with odd sides, its depth in mm, and a field of ideal discs that traces in no time."""
    folder = tmp_path_factory.mktemp("inputs")
    g = torch.Generator().manual_seed(0)
    tiles = torch.rand((1, 3, 20, 26), generator=g).repeat_interleave(8, 2).repeat_interleave(8, 3)
    write_picture(folder / "tiles.png", tiles[..., :151, :201])
    write_picture(folder / "flat.npy", torch.full((1, 1, 150, 200), 300.0))
    lens = psf.thin_lens_field(3.3, 2.2, math.inf, 20.0, (150, 200), torch.tensor([0.1, 0.5, math.inf]), kernel_px=9)
    lens.save(folder / "lens.h5")
    return folder


def test_dng_and_picture_are_written_whole(simulate_raw, inputs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert simulate_raw.main([str(inputs / "tiles.png"), "--field", str(inputs / "lens.h5"), "--iso", "800"]) == 0
    assert "tiles.dng" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"tiles.dng", "tiles.png"}
    assert (tmp_path / "out" / "tiles.png").read_bytes().startswith(b"\x89PNG")
    photo = read_raw(tmp_path / "out" / "tiles.dng")
    assert (photo.shape_px, photo.pattern, photo.iso, photo.white_dn) == ((150, 200), "RGGB", 800.0, 1023.0)
    seen = develop(photo)
    assert seen.shape == (1, 3, 150, 200)
    assert bool(seen.isfinite().all())
    assert 0.1 < float(seen.mean()) < 0.9


def test_the_middle_of_the_sensor_keeps_its_pixels_and_says_how_to_restore_it(simulate_raw, inputs, tmp_path, capsys):
    arguments = ["--field", str(inputs / "lens.h5"), "--width-px", "140", "--middle", "-o", str(tmp_path / "a.dng")]
    assert simulate_raw.main([str(inputs / "tiles.png"), *arguments]) == 0
    # Of 150 x 200 px, even rows and columns: the mosaic keeps its pattern.
    assert capsys.readouterr().out.rstrip().endswith("--window 30 22")
    assert simulate_raw.find_middle((104, 140), (150, 200)) == (30, 22)
    assert read_raw(tmp_path / "a.dng").shape_px == (104, 140)


def test_same_seed_writes_the_same_mosaic(simulate_raw, inputs, tmp_path):
    arguments = [str(inputs / "tiles.png"), "--field", str(inputs / "lens.h5"), "--depth", "0.3", "--width-px", "140"]
    for name in "ab":
        assert simulate_raw.main([*arguments, "-o", str(tmp_path / f"{name}.dng")]) == 0
    a, b = (read_raw(tmp_path / f"{name}.dng").mosaic for name in "ab")
    assert a.shape == (104, 140)
    assert torch.equal(a, b)


def test_details_lie_on_what_has_detail_near_and_far(simulate_raw):
    picture, depth_m = torch.zeros(3, 400, 400), torch.full((400, 400), 5.0)
    depth_m[200:] = 0.2
    noise = torch.rand((96, 96), generator=torch.Generator().manual_seed(0))
    picture[:, 20:116, 280:376] = noise
    picture[:, 290:386, 10:106] = noise
    near, far = simulate_raw.find_details(picture, depth_m)
    for (top, left), (wanted_top, wanted_left) in ((near, (290, 10)), (far, (20, 280))):
        assert abs(top - wanted_top) < 24
        assert abs(left - wanted_left) < 24


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.png"], ["nowhere.png", "no such file"]),
        (["tiles.png", "-o", "a.tif"], ["--out", "a.tif", ".dng"]),
        (["tiles.png", "-o", "nowhere/a.dng"], ["nowhere"]),
        (["tiles.png", "--iso", "12800"], ["iso", "12800", "imx586"]),
        (["tiles.png", "--width-px", "10"], ["--width-px", "10"]),
        (["tiles.png", "--depth", "-1"], ["--depth", "-1"]),
        (["tiles.png", "--depth", "nan"], ["--depth", "nan"]),
        (["tiles.png", "--depth", "gone.png"], ["gone.png"]),
        (["tiles.png", "--depth", "flat.npy"], ["flat.npy", "200 x 150", "201 x 151"]),
        (["tiles.png", "--field", "gone.h5"], ["gone.h5"]),
    ],
    ids=" ".join,
)
def test_what_cannot_be_is_one_line_and_exit_code_2(simulate_raw, inputs, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(inputs)
    before = sorted(path.name for path in inputs.iterdir())
    field = [] if "--field" in arguments else ["--field", "lens.h5"]
    assert simulate_raw.main([*arguments, *field]) == 2
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1, error
    assert all(word in error for word in ["error: ", *words])
    assert sorted(path.name for path in inputs.iterdir()) == before
