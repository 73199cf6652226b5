"""`examples/psf_from_photos.py`: a picture of kernels, and one line where something is wrong."""

import importlib
import sys
from pathlib import Path

import pytest

from psf.estimators import direct

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture(scope="module")
def example():
    """As `python examples/psf_from_photos.py` finds it and its sibling."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        yield importlib.import_module("psf_from_photos")
    for name in ("psf_from_photos", "simulate_captures"):
        sys.modules.pop(name, None)


def test_photographs_become_a_picture_of_kernels(example, tmp_path, capsys, monkeypatch):
    # Few cells: what is tested here is the example.
    monkeypatch.setattr(direct, "CELLS", 9)
    monkeypatch.setattr(example.simulate_captures.Args, "node_px", 32)
    out = tmp_path / "a.png"
    words = ["--pairs", "3", "--crop-px", "24", "--kernel-px", "11", "--bin", "12", "-o", str(out)]
    assert example.main(words) == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    assert "of the light in the wrong place" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--near-m", "5"], ["--method", "magic", "--pairs", "2"], ["--focus", "x"]])
def test_what_is_wrong_is_one_line(example, tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    assert example.main([*words, "--crop-px", "16", "--kernel-px", "9", "--bin", "12"]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("error: ")
