"""`examples/object_scan.py`: rendered views agree with their poses, cameras are compared as they should be."""

import csv
import importlib
import importlib.util
import math
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.nn import functional

import psf

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SIBLINGS = ("object_scan", "scan_views", "shots")
FOCAL_PX, SHAPE_PX = 700.0, (180, 240)
MIDDLE_PX = (119.5, 89.5)


@pytest.fixture(scope="module")
def modules():
    """The example and its siblings, as `python examples/object_scan.py` finds them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        yield {name: importlib.import_module(name) for name in SIBLINGS}
    for name in SIBLINGS:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def scene(modules):
    return modules["scan_views"].make_scene(torch.Generator().manual_seed(2), texture_px=512)


def look_at(picture, x_px, y_px):
    """Values (N, C) of a picture (1, C, H, W) between its pixels."""
    height, width = picture.shape[2:]
    grid = torch.stack([2 * (x_px + 0.5) / width - 1, 2 * (y_px + 0.5) / height - 1], -1)[None, None].float()
    return functional.grid_sample(picture, grid, align_corners=False)[0, :, 0].T


def test_cameras_look_at_the_middle_from_where_they_should(modules):
    views = modules["scan_views"]
    poses = views.place_cameras(24, 120.0)
    target = torch.tensor(views.TARGET_MM, dtype=torch.float64)
    centres = torch.stack([pose.centre_mm for pose in poses])
    assert len({tuple(one) for one in centres.tolist()}) == 24
    assert torch.allclose((centres - target).norm(dim=1), torch.tensor(120.0, dtype=torch.float64))
    for pose in poses:
        assert torch.allclose(pose.rotation @ pose.rotation.T, torch.eye(3, dtype=torch.float64), atol=1e-12)
        assert float(torch.linalg.det(pose.rotation)) == pytest.approx(1)
        x, y, z = views.project(target, pose, FOCAL_PX, SHAPE_PX)
        assert (float(x), float(y), float(z)) == pytest.approx((*MIDDLE_PX, 120.0))
        # Upright: what is higher in the scene is higher in the picture, towards smaller rows.
        above = views.project(target + torch.tensor([0.0, 0.0, 1.0]), pose, FOCAL_PX, SHAPE_PX)
        assert float(above[1]) < float(y)


@pytest.mark.parametrize(("first", "second"), [(0, 1), (3, 18)])
def test_a_point_seen_in_two_views_lies_where_the_poses_say(modules, scene, first, second):
    views = modules["scan_views"]
    poses = views.place_cameras(24, 120.0)
    pictures, depths = zip(
        *(views.draw_view(scene, poses[n], FOCAL_PX, SHAPE_PX) for n in (first, second)), strict=True
    )
    g = torch.Generator().manual_seed(0)
    x, y = (20 + (side - 40) * torch.rand(1500, generator=g) for side in SHAPE_PX[::-1])
    z = look_at(depths[0], x.round(), y.round())[:, 0].double() * 1000
    ray = torch.stack(
        [(x.round() - MIDDLE_PX[0]) / FOCAL_PX, (y.round() - MIDDLE_PX[1]) / FOCAL_PX, torch.ones_like(x)], 1
    ).double()
    points = (ray * z[:, None] - poses[first].shift_mm) @ poses[first].rotation
    other_x, other_y, other_z = views.project(points, poses[second], FOCAL_PX, SHAPE_PX)
    inside = (other_x > 5) & (other_x < 234) & (other_y > 5) & (other_y < 174)
    seen_z = look_at(depths[1], other_x, other_y)[:, 0].double() * 1000
    visible = inside & ((seen_z - other_z).abs() < 0.5)
    # What is not hidden is as far as it should be; a pixel on the slanted table spans some 0.3 mm.
    assert int(visible.sum()) > 0.6 * int(inside.sum()) > 300
    assert float((seen_z - other_z)[visible].abs().median()) < 0.15
    a = look_at(pictures[0], x.round(), y.round())[visible]
    b = look_at(pictures[1], other_x, other_y)[visible]
    same = torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]
    moved = torch.corrcoef(torch.stack([a.flatten(), b.roll(1, 0).flatten()]))[0, 1]
    assert float(same) > 0.7  # grain finer than a pixel is seen differently
    assert float(moved) < 0.5


def test_depth_of_the_table_is_that_of_a_plane(modules, scene):
    views = modules["scan_views"]
    pose = views.place_cameras(24, 120.0)[2]
    _, depth_m = views.draw_view(scene, pose, FOCAL_PX, SHAPE_PX)
    corner = torch.tensor([(0 - 119.5) / FOCAL_PX, (179 - 89.5) / FOCAL_PX, 1.0], dtype=torch.float64)
    down = pose.rotation.T @ corner
    wanted_m = float(-pose.centre_mm[2] / down[2]) / 1000
    assert float(depth_m[0, 0, 179, 0]) == pytest.approx(wanted_m, rel=4e-3)  # the nearest of a pixel's rays counts


def test_poses_that_differ_by_a_similarity_are_the_same(modules):
    poses = modules["scan_views"].place_cameras(7, 120.0)
    turn = torch.linalg.qr(torch.randn((3, 3), generator=torch.Generator().manual_seed(5), dtype=torch.float64))[0]
    turn = turn * torch.linalg.det(turn)
    shift, scale = torch.tensor([3.0, -8.0, 2.0], dtype=torch.float64), 0.07
    rotations, shifts = [], []
    for pose in poses:
        centre = scale * turn @ pose.centre_mm + shift
        rotation = pose.rotation @ turn.T
        rotations.append(rotation.numpy())
        shifts.append((-rotation @ centre).numpy())
    position_mm, turn_deg = modules["object_scan"].compare_poses(rotations, shifts, poses)
    assert position_mm == pytest.approx(0, abs=1e-9)
    assert turn_deg == pytest.approx(0, abs=1e-5)
    assert all(math.isnan(one) for one in modules["object_scan"].compare_poses(rotations[:2], shifts[:2], poses[:2]))


def test_a_camera_that_is_turned_counts_by_its_angle(modules):
    poses = modules["scan_views"].place_cameras(9, 120.0)
    rotations, shifts = [pose.rotation.numpy() for pose in poses], [pose.shift_mm.numpy() for pose in poses]
    angle = math.radians(3)
    c, s = math.cos(angle), math.sin(angle)
    turned = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=torch.float64)
    rotations[4] = (turned @ poses[4].rotation).numpy()
    shifts[4] = (turned @ poses[4].shift_mm).numpy()  # about its own centre
    position_mm, turn_deg = modules["object_scan"].compare_poses(rotations, shifts, poses)
    assert position_mm == pytest.approx(0, abs=1e-9)
    assert turn_deg == pytest.approx(3 / math.sqrt(9))


@pytest.fixture(scope="module")
def lens(tmp_path_factory):
    file = tmp_path_factory.mktemp("lens") / "lens.h5"
    depths_m = torch.tensor([0.1, 0.12, 0.2, math.inf])
    psf.thin_lens_field(3.2781, 2.2, math.inf, 4.64, (200, 300), depths_m, kernel_px=17).save(file)
    return file


@pytest.fixture
def main(modules, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    small = partial(modules["scan_views"].make_scene, texture_px=256)
    monkeypatch.setattr(modules["object_scan"], "make_scene", small)
    return modules["object_scan"].main


def test_command_line_writes_folders_that_reconstruction_tools_take(main, lens, tmp_path, capsys):
    arguments = ["--field", str(lens), "--views", "3", "--view-px", "96", "128", "--no-reconstruct"]
    for name in ("a", "b"):
        assert main([*arguments, "-o", name]) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "ns-train splatfacto" in said
    files = sorted(path.relative_to(tmp_path / "a").as_posix() for path in (tmp_path / "a").rglob("*.png"))
    views = [f"{name}/images/view_{n:03d}.png" for name in ("camera", "sharp", "wiener") for n in range(3)]
    assert files == sorted([*views, "scan.png"])
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("pycolmap") is None, reason="pycolmap is not installed")
def test_sharp_views_are_reconstructed_where_they_stood(modules, main, lens, tmp_path, monkeypatch):
    monkeypatch.setattr(modules["object_scan"], "make_scene", modules["scan_views"].make_scene)
    monkeypatch.setattr(modules["scan_views"], "TEXEL_MM", 0.16)
    arguments = ["--field", str(lens), "--views", "9", "--view-px", "200", "300", "-o", "out"]
    assert main(arguments) == 0
    with (tmp_path / "out" / "scan.csv").open(newline="", encoding="utf-8") as file:
        sharp = next(row for row in csv.DictReader(file) if row["name"] == "sharp")
    assert int(sharp["registered"]) >= 8
    assert float(sharp["position_mm"]) < 3
    assert (tmp_path / "out" / "sharp" / "sparse" / "0" / "points3D.bin").is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--views", "1"], ["--views", "1"]),
        (["--distance-m", "0.05"], ["--distance-m", "0.05"]),
        (["--view-px", "96", "301"], ["--view-px", "301", "even"]),
        (["--view-px", "96", "400"], ["--view-px", "400"]),
        (["--iso", "5"], ["--iso", "5"]),
        (["--features", "1"], ["--features", "1"]),
        (["--model", "gone.pt", "--view-px", "96", "128"], ["gone.pt", "no such file"]),
        (["photos"], ["--model", "one"]),
    ],
    ids=" ".join,
)
def test_what_cannot_be_is_one_line_and_exit_code_2(main, lens, capsys, arguments, words):
    assert main([*arguments, "--field", str(lens)]) == 2
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1, error
    assert all(word in error for word in ["error: ", *words]), error
