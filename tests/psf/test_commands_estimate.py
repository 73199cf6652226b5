import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import psf
from psf import commands_estimate
from psf.__main__ import main
from psf.capture_files import write_captures
from psf.commands_estimate import EstimateOptions, hold_back, run_estimate


def make_captures(focus_m=0.7, pairs: int = 8) -> psf.Captures:
    """Light goes to four neighbours, too."""
    numbers = np.random.default_rng(1)
    sharp = numbers.random((pairs, 1, 30, 30))
    around = sharp[..., 1:-3, 2:-2] + sharp[..., 3:-1, 2:-2] + sharp[..., 2:-2, 1:-3] + sharp[..., 2:-2, 3:-1]
    blurred = 0.6 * sharp[..., 2:-2, 2:-2] + 0.1 * around
    places = numbers.integers(0, 20, (2, pairs))
    return psf.Captures.from_arrays(sharp, blurred, *places, np.linspace(0.5, 1, pairs), (48, 60), 5, focus_m)


@pytest.fixture
def small(monkeypatch):
    """Few cells and nodes: what is tested here is not the estimator."""
    usual = commands_estimate.make_options

    def make(options, several):
        found = usual(options, several)
        few = replace(found.direct, cells=5, radius_nodes=2, depth_nodes=3)
        return replace(found, cells=5, order=6, steps=1, direct=few)

    monkeypatch.setattr(commands_estimate, "make_options", make)


def options_of(tmp_path, **changes) -> EstimateOptions:
    given = {"captures": tmp_path / "shots.npz", "out": tmp_path / "lens.h5", "depths": 3, "radii": 4, "held": 0.25}
    return EstimateOptions(**{**given, **changes})


def draw(field, left, title, held_back, suffix) -> bytes:
    return f"{title} {len(left)} {held_back} {suffix}".encode()


def test_photographs_become_a_field_and_a_page(tmp_path, small):
    write_captures(tmp_path / "shots.npz", make_captures())
    told, steps = [], []
    files = run_estimate(
        options_of(tmp_path),
        read=lambda _: None,
        draw=draw,
        say=told.append,
        on_progress=lambda done, of: steps.append((done, of)),
    )
    assert files == [tmp_path / "lens.h5"]
    field = psf.load(files[0])
    assert field.kernels.shape == (3, 4, 1, 5, 5)
    assert (tmp_path / "lens.png").read_bytes() == b"shots.npz: physical, focus 0.7 m 2 True png"
    assert steps[-1] == (1000, 1000)
    assert steps == sorted(steps)
    assert told[0].startswith("focus 0.7 m: 8 pairs, magnification 1.0")
    assert {path.name for path in tmp_path.iterdir()} == {"shots.npz", "lens.h5", "lens.png"}


def test_a_run_that_was_stopped_goes_on_and_does_nothing_twice(tmp_path, small, monkeypatch):
    both = torch.tensor([0.6] * 4 + [0.9] * 4)
    write_captures(tmp_path / "shots.npz", make_captures(both))
    whole = run_estimate(options_of(tmp_path, out=tmp_path / "a.h5"), read=lambda _: None, draw=draw, say=str)
    assert [path.name for path in whole] == ["a_0.6m.h5", "a_0.9m.h5"]

    def stop(done: int, of: int) -> None:
        if done > 1200:
            raise KeyboardInterrupt

    given = {"read": lambda _: None, "draw": draw, "say": str}
    options = options_of(tmp_path, out=tmp_path / "b.h5")
    with pytest.raises(KeyboardInterrupt):
        run_estimate(options, **given, on_progress=stop)
    assert (tmp_path / "b.h5.run" / "0.h5").is_file()
    with pytest.raises(psf.InputError, match=r"b\.h5\.run: seed"):
        run_estimate(options_of(tmp_path, out=tmp_path / "b.h5", seed=1), **given)
    steps = []
    again = run_estimate(options, **given, on_progress=lambda done, _: steps.append(done))
    assert min(steps) >= 1000
    for one, other in zip(whole, again, strict=True):
        assert torch.equal(psf.load(one).kernels, psf.load(other).kernels)
    assert not (tmp_path / "b.h5.run").exists()


def test_several_focus_distances_have_their_breathing_in_the_field(tmp_path, small, monkeypatch):
    both = torch.tensor([0.6] * 4 + [0.9] * 4)
    write_captures(tmp_path / "shots.npz", make_captures(both))
    monkeypatch.setattr("psf.estimators.breathing.find_magnification", lambda captures: 1.001)
    files = run_estimate(options_of(tmp_path, focus_m=(0.9,)), read=lambda _: None, draw=draw, say=str)
    assert [path.name for path in files] == ["lens.h5"]
    files = run_estimate(options_of(tmp_path, out=tmp_path / "two.h5"), read=lambda _: None, draw=draw, say=str)
    assert [psf.load(one).magnification for one in files] == pytest.approx([1.001, 1.001])


@pytest.mark.parametrize("method", ["direct", "psfnet"])
def test_fields_may_be_finer_than_pixels(tmp_path, method):
    write_captures(tmp_path / "shots.npz", make_captures())
    out, steps = tmp_path / "lens.h5", [] if method == "direct" else ["--steps", "3"]
    words = [tmp_path / "shots.npz", "-o", out, "--method", method, "--depths", 2, "--radii", 2, "--oversample", 3]
    assert main(["estimate", *map(str, words), *steps]) == 0
    field = psf.load(out)
    assert field.oversample == 3
    assert field.kernels.shape[-1] == 3 * make_captures().kernel_px


def test_pairs_at_the_ends_of_the_range_are_not_held_back():
    captures = make_captures()
    used, held = hold_back(captures, 0.5, 3)
    assert len(used) == 4
    assert len(held) == 4
    assert not set(held.depth_m.tolist()) & {0.5, 1.0}
    assert hold_back(captures, 0.5, 3)[1].names == held.names
    everything, some = hold_back(captures, 0, 0)
    assert len(everything) == 8
    assert len(some) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere", "-o", "x.h5"], "nowhere"),
        (["shots.npz", "-o", "x.png"], "--out"),
        (["shots.npz", "-o", "no/x.h5"], "no such folder"),
        (["shots.npz", "-o", "x.h5", "--method", "magic"], "magic"),
        (["shots.npz", "-o", "x.h5", "--held", "0.9"], "--held"),
        (["shots.npz", "-o", "x.h5", "--depths", "1"], "--depths"),
        (["shots.npz", "-o", "x.h5", "--page", "x.gif"], "--page"),
        (["shots.npz", "-o", "x.h5", "--focus-m", "3"], "one of 0.7"),
        (["shots.npz", "-o", "x.h5", "--steps", "3"], "--steps"),
        (["shots.npz", "-o", "x.h5", "--method", "yang", "--oversample", "3"], "--oversample"),
        (["broken", "-o", "x.h5"], "captures.json"),
        (["spoiled.npz", "-o", "x.h5"], "not finite"),
    ],
)
def test_what_cannot_be_estimated_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys, words, told):
    monkeypatch.chdir(tmp_path)
    write_captures(tmp_path / "shots.npz", make_captures())
    with np.load(tmp_path / "shots.npz") as kept:
        spoiled = dict(kept)
    spoiled["blurred"][2, 0, 3, 3] = math.nan
    np.savez(tmp_path / "spoiled.npz", **spoiled)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "captures.json").write_text(json.dumps({"pairs": []}))
    assert main(["estimate", *words]) == 2
    line = capsys.readouterr().err.strip()
    assert line.startswith("error: ")
    assert "\n" not in line
    assert told in line
    assert not (tmp_path / "x.h5").exists()
