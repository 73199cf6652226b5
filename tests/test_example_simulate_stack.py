"""The example writes a folder that the depth command reads; here an ideal lens stands in for the traced one."""

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

import psf
from learn.dfd.stack_folder import read_stack_folder
from psf.threads import limit_threads
from render import read_depth

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "simulate_stack.py"
FOCUS_M = (0.5, 0.72, 1.415)
WINDOW = ["--window-px", "64", "80"]


@pytest.fixture(scope="module")
def example():
    """As `python examples/simulate_stack.py` finds it and its siblings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLE.parent))
        yield importlib.import_module("simulate_stack")
    for name in ("simulate_stack", "depth_from_focal_stack", "focal_stack_fields", "simulate_captures"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def fields(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fields")
    paths = []
    for focus_m in FOCUS_M:
        field = psf.thin_lens_field(
            focal_mm=12.0,
            f_number=2.8,
            focus_m=focus_m,
            reference_focus_m=FOCUS_M[0],
            breathing_as="magnification",
            pitch_um=13.44,
            image_shape_px=(120, 160),
            depths_m=1 / torch.linspace(2.1, 0.68, 8),
            radii=torch.linspace(0, 1, 3),
            kernel_px=13,
        )
        paths.append(folder / f"F_{focus_m:g}.h5")
        field.save(paths[-1])
    return paths


@pytest.fixture(scope="module")
def stack(example, fields, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stack") / "new" / "stack"
    with limit_threads(1):
        assert example.main(["-o", str(folder), "--fields", *map(str, fields), *WINDOW]) == 0
    return folder


def test_folder_is_read_with_its_focus_distances_and_its_place_on_the_sensor(stack, fields):
    read = read_stack_folder(stack, [psf.load(path) for path in fields])
    assert read.stack.focus_m.tolist() == pytest.approx(FOCUS_M)
    assert read.stack.shape_px == (64, 80)
    assert read.stack.window_px == (60, 14)
    assert read.stack.window_px == tuple(json.loads((stack / "stack.json").read_text())["window_px"])
    assert [one.name for one in read.files] == ["focus_0.5m.png", "focus_0.72m.png", "focus_1.415m.png"]


def test_the_truth_is_judged_to_be_without_error(example, stack, capsys):
    assert example.main(["-o", str(stack), "--judge", str(stack / "true_depth.tif")]) == 0
    assert capsys.readouterr().out.endswith("mean error 0.0 mm\n")
    true_m = read_depth(stack / "true_depth.tif", unit="m")
    assert float(true_m.min()) == pytest.approx(0.56)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--noise", "2"], "settings.noise_sd"),
        (["--window-px", "8", "8"], "settings.shape_px"),
        (["--focus-m", "0.9", "0.5"], "ascending"),
        (["--fields", "no_such.h5", "other.h5"], "no_such.h5"),
        (["--judge", "no_such.tif"], "true_depth.tif"),
    ],
)
def test_what_cannot_be_photographed_is_said_in_one_line(example, tmp_path, capsys, words, told):
    assert example.main(["-o", str(tmp_path / "stack"), *words]) == 2
    line = capsys.readouterr().err.strip()
    assert line.startswith("error: ")
    assert told in line
    assert "\n" not in line
    assert not (tmp_path / "stack").exists()


def test_pixels_near_an_edge_are_those_within_its_reach(example):
    depth_m = torch.ones(1, 60, 100)
    depth_m[..., 50:] = 2.0
    assert example.find_edges(depth_m)[0, 30].nonzero().flatten().tolist() == list(range(30, 71))


def test_a_map_of_another_size_is_refused(example, stack, tmp_path, capsys):
    other = tmp_path / "other.npy"
    example.write_depth(other, torch.ones(1, 32, 32))
    assert example.main(["-o", str(stack), "--judge", str(other)]) == 2
    assert "found 32 x 32 px, expected 80 x 64 px" in capsys.readouterr().err
