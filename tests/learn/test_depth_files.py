import math

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from learn.depth_files import check_proportions, find_depth_file, is_depth_name, read_depth_file
from psf import InputError
from render.png import write_png16

SHAPE = (60, 80)
DEPTH_M = np.linspace(0.5, 8.0, 60 * 80).reshape(SHAPE)


def write_steps(path, samples):
    with path.open("wb") as file:
        write_png16(file, samples.astype(np.uint16)[..., None])
    return path


@pytest.mark.parametrize(
    ("name", "is_depth"),
    [
        ("a.jpg", False),
        ("a.depth_mm.png", True),
        ("a.jpg.disparity.npy", True),
        ("a.depth.exr", True),
        ("in-depth.png", False),
        ("a.depth.jpg", False),
        ("a.jpg.network_depth.npy", True),
        ("depth.png", False),
    ],
)
def test_names_of_depth_maps(name, is_depth):
    assert is_depth_name(name) is is_depth


@pytest.mark.parametrize(("kind", "per_m"), [("depth_m", 1), ("depth_cm", 100), ("depth_mm", 1000), ("depth", 1)])
@pytest.mark.parametrize("suffix", [".npy", ".tif", ".png"])
def test_the_name_tells_the_unit(tmp_path, kind, per_m, suffix):
    path = tmp_path / f"a.{kind}{suffix}"
    stored = DEPTH_M * per_m
    if suffix == ".png":
        if kind in ("depth", "depth_m"):
            pytest.skip("whole metres")
        write_steps(path, stored.round())
    elif suffix == ".npy":
        np.save(path, stored)
    else:
        tifffile.imwrite(path, stored.astype(np.float32))
    depth = read_depth_file(path, SHAPE)
    assert depth.is_metric
    assert (depth.source, depth.detail) == ("file", path.name)
    assert depth.inverse_depth.shape == (1, *SHAPE)
    tolerance_m = 0.006 if (suffix, kind) == (".png", "depth_cm") else 0.001
    assert np.abs(1 / depth.inverse_depth[0].numpy() - DEPTH_M).max() < tolerance_m


def test_single_precision_is_read_the_same_way(tmp_path):
    for kind, per_m in (("depth_m", 1), ("depth_mm", 1000)):
        found = []
        for dtype in (np.float32, np.float64):
            np.save(tmp_path / f"a.{kind}.npy", (per_m * DEPTH_M).astype(dtype))
            found.append(read_depth_file(tmp_path / f"a.{kind}.npy", SHAPE).inverse_depth)
        assert (found[0] - found[1]).abs().max() < 1e-6


def test_dioptres_may_be_0(tmp_path):
    stored = np.linspace(2, 0, 60 * 80).reshape(SHAPE)
    np.save(tmp_path / "a.depth_dpt.npy", stored)
    depth = read_depth_file(tmp_path / "a.depth_dpt.npy", SHAPE)
    assert np.abs(depth.inverse_depth[0].numpy() - stored).max() < 1e-6


def test_infinity_is_0_dioptres(tmp_path):
    stored = DEPTH_M.copy()
    stored[:10] = math.inf
    np.save(tmp_path / "a.depth_m.npy", stored)
    assert (read_depth_file(tmp_path / "a.depth_m.npy", SHAPE).inverse_depth[0, :10] == 0).all()


def test_holes_are_filled_from_their_neighbours(tmp_path):
    stored = (1000 * DEPTH_M).round()
    stored[20:22, 30:33] = 0
    depth = read_depth_file(write_steps(tmp_path / "a.depth_mm.png", stored), SHAPE)
    assert abs(1 / depth.inverse_depth[0, 20, 30] - DEPTH_M[20, 30]) < 0.2


@pytest.mark.parametrize(("kind", "sign"), [("disparity", 1), ("depth_rel", -1)])
def test_relative_depth_is_nearness(tmp_path, kind, sign):
    np.save(tmp_path / f"a.{kind}.npy", DEPTH_M)
    depth = read_depth_file(tmp_path / f"a.{kind}.npy", SHAPE)
    assert not depth.is_metric
    assert np.abs(depth.inverse_depth[0].numpy() - sign * DEPTH_M).max() < 1e-6
    Image.fromarray((DEPTH_M * 30).astype(np.uint8)).save(tmp_path / f"b.{kind}.png")
    found = read_depth_file(tmp_path / f"b.{kind}.png", SHAPE)
    assert np.sign(float(found.inverse_depth[0, -1, -1] - found.inverse_depth[0, 0, 0])) == sign


def test_a_map_is_found_beside_its_photograph_or_in_a_folder(tmp_path):
    photo = tmp_path / "a.jpg"
    assert find_depth_file(photo) is None
    np.save(tmp_path / "a.jpg.depth_m.npy", DEPTH_M)
    assert find_depth_file(photo) == tmp_path / "a.jpg.depth_m.npy"
    (tmp_path / "maps").mkdir()
    np.save(tmp_path / "maps" / "a.disparity.npy", DEPTH_M)
    assert find_depth_file(photo, tmp_path / "maps") == tmp_path / "maps" / "a.disparity.npy"
    np.save(tmp_path / "a.depth_mm.npy", DEPTH_M)
    with pytest.raises(InputError, match=r"several depth maps: a\.depth_mm\.npy, a\.jpg\.depth_m\.npy"):
        find_depth_file(photo)


@pytest.mark.parametrize("px", [(60, 80), (120, 160), (15, 20), (61, 80), (31, 40)])
def test_other_resolutions_are_welcome(px):
    check_proportions("a", px, SHAPE)


@pytest.mark.parametrize("px", [(80, 60), (60, 60), (64, 80)])
def test_another_frame_is_refused(tmp_path, px):
    np.save(tmp_path / "a.depth_m.npy", np.ones(px))
    with pytest.raises(InputError, match="the proportions of its photograph, 80 x 60 px"):
        read_depth_file(tmp_path / "a.depth_m.npy", SHAPE)


@pytest.mark.parametrize(
    ("name", "stored", "words"),
    [
        ("a.depth.npy", (1000 * DEPTH_M).astype(np.int32), "integers without a unit"),
        ("a.depth_m.npy", 1000 * DEPTH_M, "is m the right unit"),
        ("a.depth_mm.npy", DEPTH_M, "is mm the right unit"),
        ("a.depth_m.npy", -DEPTH_M, "depths above 0 m"),
        ("a.depth_m.npy", np.zeros(SHAPE), "no pixel with a depth"),
        ("a.disparity.npy", DEPTH_M * math.nan, "not finite"),
        ("a.disparity.npy", np.random.default_rng(0).random((*SHAPE, 3)), "one channel"),
        ("a.depths.npy", DEPTH_M, "a name that tells no unit"),
    ],
)
def test_wrong_units_and_numbers_are_one_line(tmp_path, name, stored, words):
    np.save(tmp_path / name, stored)
    with pytest.raises(InputError) as caught:
        read_depth_file(tmp_path / name, SHAPE)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.disparity.png", "a.disparity.npy", "a.disparity.tif", "a.depth_mm.png"])
def test_broken_maps_are_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"broken")
    with pytest.raises(InputError, match="no readable content"):
        read_depth_file(tmp_path / name, SHAPE)


def test_path_traced_scenes_keep_their_metres(shared, tmp_path):
    path = shared / "data" / "blender" / "desk.npz"
    if not path.is_file():
        pytest.skip("the folder 'shared' holds no path-traced scenes")
    with np.load(path) as scene:
        depth_m = scene["depth_m"]
    np.save(tmp_path / "desk.depth_m.npy", depth_m)
    found = read_depth_file(tmp_path / "desk.depth_m.npy", depth_m.shape)
    assert (1 / found.inverse_depth[0] - torch.from_numpy(depth_m)).abs().max() < 1e-6
