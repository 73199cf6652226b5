"""The fields of a focal stack, small: they fit together, and the picture shrinks as the focus goes away."""

import importlib
import sys
from pathlib import Path

import pytest

import psf
from learn.dfd.stack_optics import open_optics

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "focal_stack_fields.py"
SMALL = ["--bin", "24", "--depths", "3", "--radii", "3", "--kernel-px", "7", "--oversample", "1"]


@pytest.fixture(scope="module")
def example():
    """As `python examples/focal_stack_fields.py` finds it and its sibling."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLE.parent))
        yield importlib.import_module("focal_stack_fields")
    for name in ("focal_stack_fields", "simulate_captures"):
        sys.modules.pop(name, None)


def test_fields_of_a_focal_stack_fit_together(example, tmp_path, capsys):
    assert example.main(["-o", str(tmp_path / "stack"), "--focus-m", "0.5", "0.94", *SMALL]) == 0
    fields = [psf.load(tmp_path / "stack" / name) for name in ("F_0.5.h5", "F_0.94.h5")]
    optics = open_optics(fields)
    assert optics.focus_m == (0.5, 0.94)
    assert optics.image_shape_px == (162, 216)
    assert fields[0].pitch_um == pytest.approx(24 * 3.36)
    assert fields[0].magnification == 1
    # As the image distance of a lens of 12.2 mm that is focused as a whole.
    assert fields[1].magnification == pytest.approx(0.99, abs=0.003)
    assert float(fields[0].depths_m[0]) < 0.5
    assert float(fields[0].depths_m[-1]) > 1.415
    assert "F_0.94.h5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--focus-m", "0.5"], "--focus-m"),
        (["--focus-m", "0.9", "0.5"], "ascending"),
        (["--near-m", "2"], "--near-m"),
        (["--bin", "0"], "--bin"),
        (["--depths", "1"], "--depths"),
        (["--lens", "no_such_lens"], "no_such_lens"),
    ],
)
def test_what_cannot_be_traced_is_said_in_one_line(example, tmp_path, capsys, words, told):
    assert example.main(["-o", str(tmp_path / "stack"), *words]) == 2
    line = capsys.readouterr().err.strip()
    assert line.startswith("error: ")
    assert told in line
    assert "\n" not in line
    assert not (tmp_path / "stack").exists()


def test_the_benchmark_of_depth_networks_traces_its_fields_with_the_example(example, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLE.parents[1] / "benchmarks"))
    benchmark = importlib.import_module("dfd_table3")
    traced = []
    monkeypatch.setattr(example, "run", traced.append)
    paths = benchmark.trace_fields(tmp_path)
    assert [path.name for path in paths] == [f"F_{focus_m:g}.h5" for focus_m in traced[0].focus_m]
    assert traced[0].out == tmp_path
    for name in ("dfd_table3", "restoration_runs"):
        sys.modules.pop(name)
