import json
import warnings

import numpy as np
import pytest
from PIL import Image

import optics
from learn.joint.__main__ import main


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Four textured photographs."""
    root = tmp_path_factory.mktemp("photos")
    for seed in range(4):
        noise = np.random.default_rng(seed).integers(0, 255, (40, 44, 3)).astype(np.uint8)
        Image.fromarray(noise.repeat(4, 0).repeat(4, 1)).save(root / f"{seed}.png")
    return root


SMALL = ["--kernel-px", "33", "--side-px", "40", "--pool", "20", "--depths-m", "inf", "1.0", "--radii", "0.0"]


def run(photos, out, *words):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return main(["f2.2_fixedfocus", "--photos", str(photos), "-o", str(out), *SMALL, *words])


def test_command_writes_prescriptions_that_read_back_and_a_table(photos, tmp_path, capsys):
    words = ["--steps", "2", "--controls", "none", "--judged", "0", "--no-pictures"]
    assert run(photos, tmp_path / "out", *words) == 0, capsys.readouterr().err
    own = optics.load(tmp_path / "out" / "f2.2_fixedfocus_joint.json")
    foreign = optics.read_lens_file(tmp_path / "out" / "f2.2_fixedfocus_joint.zmx").lens
    for name, value in own.parameters().items():
        assert float((value - foreign.parameters()[name]).abs()) <= 1e-12 * float(value.abs()), name
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert set(summary["free"]["focus_mm"]) == {"published", "joint"}
    assert (tmp_path / "out" / "design" / "descent_0" / "iterates.csv").is_file()
    # The same command has nothing left to do but to write its results again.
    assert run(photos, tmp_path / "out", *words) == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--free", "surface99.asphere_4"], "surface99"),
        (["--steps", "0"], "steps"),
        (["--fitted", "1"], "--fitted"),
        (["--scan", "focus_mm=1:2"], "--scan"),
        (["--scan", "surface2.asphere_4=-1:1:3"], "asphere_4"),
        (["--restorer", "magic"], "restorer"),
        (["--iso", "0"], "iso"),
    ],
)
def test_unusable_words_are_refused_in_one_line(photos, tmp_path, capsys, words, told):
    assert run(photos, tmp_path / "out", *words) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert told in said[0]


def test_missing_photographs_are_refused_in_one_line(tmp_path, capsys):
    assert run(tmp_path / "nowhere", tmp_path / "out") == 2
    assert "nowhere" in capsys.readouterr().err
