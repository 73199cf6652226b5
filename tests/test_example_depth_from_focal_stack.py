"""The example of depth from a focal stack, with an ideal lens in place of a traced one and without its training."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

import psf
from psf.threads import limit_threads

pytest.importorskip("matplotlib")
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
FOCUS_M = (0.5, 0.72, 1.415)


@pytest.fixture(scope="module")
def example():
    sys.path.insert(0, str(EXAMPLES))
    spec = importlib.util.spec_from_file_location("depth_from_focal_stack", EXAMPLES / "depth_from_focal_stack.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["depth_from_focal_stack"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["depth_from_focal_stack"]
    sys.path.remove(str(EXAMPLES))


@pytest.fixture
def folder(tmp_path):
    """Fields that the example finds, and so does not trace."""
    (tmp_path / "fields").mkdir()
    for focus_m in FOCUS_M:
        psf.thin_lens_field(
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
        ).save(tmp_path / "fields" / f"F_{focus_m:g}.h5")
    return tmp_path


def test_the_likelihood_finds_the_scene_and_the_page_is_drawn(example, folder, capsys):
    words = ["-o", str(folder), "--focus-m", *map(str, FOCUS_M), "--window-px", "80", "96", "--steps", "0"]
    with limit_threads(1):
        found = example.run(example.tyro.cli(example.Args, args=words))
    # Of a range of 0.9 m; what stands before something else is lost at its edges.
    assert [one.name for one in found] == ["one kernel", "likelihood"]
    assert found[1].error_m < 0.12
    assert (folder / "page.png").is_file()
    assert (folder / "likelihood.npy").is_file()
    assert "likelihood: mean error" in capsys.readouterr().out


def test_numbers_that_cannot_be_are_said_in_one_line(example, tmp_path, capsys):
    assert example.main(["-o", str(tmp_path / "x"), "--steps", "-1"]) == 2
    assert capsys.readouterr().err.startswith("error: --steps, --stacks: found (-1, 320)")
