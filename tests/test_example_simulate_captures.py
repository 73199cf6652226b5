"""The lens that photographs a display, small: what is written can be read, and was made with the lens's kernels."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

import optics
from psf.capture_files import read_captures

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "simulate_captures.py"
SMALL = ["--bin", "16", "--pairs", "2", "--crop-px", "13", "--kernel-px", "9", "--node-px", "6"]


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("simulate_captures", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["simulate_captures"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["simulate_captures"]


def test_lens_photographs_a_display_at_two_focus_distances(example, tmp_path, capsys):
    out = tmp_path / "shots.npz"
    assert example.main(["-o", str(out), "--focus-m", "0.5", "1.415", "--noise", "0", *SMALL]) == 0
    captures = read_captures(out)
    assert len(captures) == 4
    assert captures.focuses_m.tolist() == [0.5, 1.415]
    assert captures.image_shape_px == (243, 324)
    assert captures.f_number == pytest.approx(2.8, abs=0.1)
    # As the image distance of a lens of 12 mm that is focused as a whole.
    assert captures.provenance["magnifications"][1] == pytest.approx(0.985, abs=0.003)
    assert captures.provenance["blend_l1_max"] < 0.03
    told = capsys.readouterr().out
    assert "4 pairs" in told
    assert "blending kernels between nodes" in told
    # The middle pixel is a node of the crop: its kernel is the lens's own.
    lens = example.bin_pixels(optics.load("stack_12mm_f2.8"), 16).refocused(0.5)
    pair = captures[0]
    x_px, y_px = (float(one) for one in pair.middle())
    options = {"kernel_px": 9, "wavelengths_um": [[example.GREEN_UM]], "reference": lens}
    kernel = optics.psf_at(lens, x_px, y_px, float(pair.depth_m), **options)[0]
    light = (kernel.flip(0, 1) * pair.sharp[0, 6:15, 6:15].double()).sum()
    assert float(pair.blurred[0, 6, 6]) == pytest.approx(float(light), abs=1e-5)
    assert torch.equal(captures[0].sharp, captures[2].sharp)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--focus-m", "0.9", "0.5"], "ascending"),
        (["--near-m", "2"], "--near-m"),
        (["--pairs", "0"], "--pairs"),
        (["--bin", "0"], "--bin"),
        (["--lens", "no_such_lens"], "no_such_lens"),
        (["--textures", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_photographed_is_said_in_one_line(example, tmp_path, monkeypatch, capsys, words, told):
    monkeypatch.chdir(tmp_path)
    assert example.main([*SMALL, *words]) == 2
    line = capsys.readouterr().err.strip()
    assert line.startswith("error: ")
    assert told in line
    assert "\n" not in line
    assert not list(tmp_path.iterdir())
