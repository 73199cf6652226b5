import json

import numpy as np
import pytest
import torch

from psf.capture_files import read_npy, write_captures
from psf.captures import Captures
from psf.commands_capture import CheckOptions, PlanOptions, run_check, run_plan
from psf.errors import InputError

PLAN = {
    "focal_mm": 12.0,
    "f_number": 2.8,
    "image_shape_px": (3888, 5184),
    "pitch_um": 3.36,
    "bin": 4,
    "near_m": 0.5,
    "far_m": 1.4,
    "screen_px": (40, 60),
    "leaves": 1,
}


def plan(folder, **changes):
    said, wrote = [], []
    options = PlanOptions(out=folder, **{**PLAN, **changes})
    run_plan(
        options,
        read=lambda file: torch.rand(1, 20, 20, generator=torch.Generator().manual_seed(0)),
        write=lambda file, picture: wrote.append((file.name, tuple(picture.shape))),
        draw=lambda _: b"page",
        say=said.append,
    )
    return said, wrote


def test_plan_writes_patterns_page_text_and_manifest(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bark.png").write_text("", encoding="utf-8")
    said, wrote = plan(tmp_path / "plan", textures=tmp_path / "in", focuses=2)
    assert wrote == [("leaves_00.png", (1, 40, 60)), ("texture_00_bark.png", (1, 40, 60))]
    assert {one.name for one in (tmp_path / "plan").iterdir()} == {"patterns", "plan.md", "plan.pdf", "captures.json"}
    assert (tmp_path / "plan" / "plan.pdf").read_bytes() == b"page"
    assert len(json.loads((tmp_path / "plan" / "captures.json").read_text(encoding="utf-8"))["pairs"]) == 20 * 2 * 2
    assert said[-1] == "120 photographs at 20 distances, 2 patterns"


def test_focus_distances_of_ones_own_come_before_a_number_of_them(tmp_path):
    said, _ = plan(tmp_path / "plan", focus_m=(0.5, 0.7, 0.9), focuses=2)
    assert said[-1].startswith("80 photographs")


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"near_m": 2.0}, "near_m"), ({"sharp_f_number": 2.0}, "sharp_f_number"), ({"leaves": 0}, "leaves")],
)
def test_plan_that_cannot_be_writes_nothing(tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        plan(tmp_path / "plan", **changes)
    assert not list(tmp_path.iterdir())


def test_folder_that_is_not_empty_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="empty folder"):
        plan(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["mine.txt"]


@pytest.fixture
def shots(tmp_path):
    """Three pairs, the last one three times too bright and of another picture."""
    generator = torch.Generator().manual_seed(0)
    sharp = torch.rand(3, 1, 44, 44, generator=generator)
    blurred = torch.nn.functional.avg_pool2d(sharp, 3, 1)[..., 1:-1, 1:-1].clone()
    blurred[2] = 3 * blurred[0].flip(-1)
    captures = Captures.from_arrays(sharp, blurred, 0, 0, [0.5, 0.6, 0.7], (40, 40), 5, 0.5)
    write_captures(tmp_path / "shots", captures)
    return tmp_path / "shots"


def test_findings_are_said_with_their_files_and_written(shots, tmp_path):
    said = []
    good = run_check(CheckOptions(captures=shots, out=tmp_path / "r.json"), read=read_npy, say=said.append)
    assert not good
    assert any(one.startswith("serious: 0002_blurred.npy") for one in said)
    assert not any("0000_blurred" in one for one in said)
    report = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert len(report["pairs"]) == 3
    assert {one["kind"] for one in report["findings"]} >= {"fit", "exposure"}
    assert run_check(CheckOptions(captures=shots, fail_on="never"), read=read_npy, say=said.append)


def test_good_captures_are_good(shots):
    data = json.loads((shots / "captures.json").read_text(encoding="utf-8"))
    data["pairs"] = data["pairs"][:2]
    (shots / "captures.json").write_text(json.dumps(data), encoding="utf-8")
    said = []
    assert run_check(CheckOptions(captures=shots, fail_on="serious"), read=read_npy, say=said.append)
    assert "0 serious findings" in said[-1]


def test_pixels_that_are_no_numbers_stop_the_check_at_their_file(shots):
    light = np.load(shots / "0001_sharp.npy")
    light[3, 3] = np.nan
    np.save(shots / "0001_sharp.npy", light)
    with pytest.raises(InputError, match=r"0001_sharp\.npy"):
        run_check(CheckOptions(captures=shots), read=read_npy, say=lambda _: None)
    with pytest.raises(InputError, match="--out"):
        run_check(CheckOptions(captures=shots, out=shots / "r.txt"), read=read_npy, say=lambda _: None)
