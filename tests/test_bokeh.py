"""The picture for the README, small: it runs, it is sharp where it is focused, its lights are the lens's own discs."""

import importlib.util
import math
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
if importlib.util.find_spec("render.spatial") is None:
    pytest.skip("render.spatial is not there", allow_module_level=True)


@pytest.fixture(scope="module")
def bokeh():
    spec = importlib.util.spec_from_file_location("bokeh", ROOT / "examples" / "bokeh.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["bokeh"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["bokeh"]


def test_a_small_photograph_is_written_whole(bokeh, tmp_path, capsys):
    assert bokeh.main(["--out", str(tmp_path / "a.npy"), "--width-px", "120"]) == 0
    assert "a.npy" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]
    from render.pictures import read_picture

    photo = read_picture(tmp_path / "a.npy")
    assert photo.isfinite().all()
    assert photo.min() >= 0
    assert photo.max() <= 1
    red, _, blue = photo[0]
    rows, columns = red.shape
    assert (blue - red)[: rows // 5].mean() > 0  # the evening sky
    ball = (slice(int(0.5 * rows), int(0.7 * rows)), slice(int(0.38 * columns), int(0.48 * columns)))
    assert (red[ball] - blue[ball]).mean() > 0.1  # the ball in focus


def test_the_same_seed_makes_the_same_town(bokeh):
    towns = [bokeh.make_town((40, 60), 600.0, torch.Generator().manual_seed(seed)) for seed in (7, 7, 8)]
    assert torch.equal(towns[0].colour, towns[1].colour)
    assert not torch.equal(towns[0].colour, towns[2].colour)


def test_a_traced_ball_has_its_outline_and_its_depth(bokeh):
    middle_m, radius_m = (0.0, 0.0, 0.8), 0.1
    layer = bokeh.trace_layer(
        lambda direction: bokeh.shade_ball(direction, middle_m, radius_m, (0.5, 0.5, 0.5), 0.2), (80, 120), 300.0
    )
    # On the axis the outline is a circle of tan(asin(r / z)).
    outline_px = math.tan(math.asin(radius_m / 0.8)) * bokeh.FOCAL_MM / 0.3
    assert float(layer.cover.sum()) == pytest.approx(math.pi * outline_px**2, rel=0.01)
    assert float(layer.depth_m[0, 0, 40, 60]) == pytest.approx(0.7, abs=1e-3)
    assert float(layer.depth_m.max()) <= 0.8
    assert layer.depth_m.isfinite().all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "a.gif"], "'.gif'"),
        (["--width-px", "9"], "--width-px"),
        (["--focus-m", "inf"], "--focus-m"),
        (["--f-number", "1.0"], "f_number"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(bokeh, tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    out = [] if "--out" in arguments else ["--out", "a.png"]
    assert bokeh.main([*arguments, *out]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert words in told
    assert told.count("\n") == 1
    assert not list(tmp_path.iterdir())
