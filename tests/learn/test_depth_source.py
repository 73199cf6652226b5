import numpy as np
import pytest
import torch
from PIL import Image

import render
from learn.depth_source import DepthSources, draw_pair, find_depth, find_map
from learn.network_files import write_network_file
from learn.photos import Cropping, open_photos
from psf import InputError

SHAPE = (90, 120)
PLAIN = Cropping((40, 50), shrink=(1.0, 1.0), flip=False, turn=False)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def photos(tmp_path):
    """Three photographs of noise."""
    rng = np.random.default_rng(0)
    for n in range(3):
        path = tmp_path / "pictures" / f"sub/{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*SHAPE, 3)).astype(np.uint8)).save(path)
    return open_photos(tmp_path / "pictures")


def ramp(height=90, width=120):
    """Metres, farther to the right."""
    return np.broadcast_to(1 / np.linspace(2, 0.5, width), (height, width))


def store_result(photo, values, is_trained=True, folder=None):
    facts = {
        **{"network": "n", "weights_sha256": "0" * 64, "is_trained": is_trained, "is_metric": False},
        **{"photo_bytes": 1, "photo_modified_ns": 1},
    }
    write_network_file(photo, torch.from_numpy(np.ascontiguousarray(values)).float(), facts, folder)


def test_a_file_is_preferred_to_a_network_and_that_to_invention(photos):
    np.save(photos.path(0).with_name("0.depth_m.npy"), ramp())
    store_result(photos.path(0), ramp(45, 60))
    store_result(photos.path(1), ramp(45, 60))
    found = {}
    for i in range(3):
        crop = photos.crop(i, PLAIN, generator())
        found[i] = find_depth(photos, crop, DepthSources(), generator())
        assert found[i].t.shape == (1, 40, 50)
        assert 0 <= found[i].t.min() <= found[i].t.max() <= 1
    assert [found[i].source for i in range(3)] == ["file", "network", "segments"]
    assert [found[i].depth_m is None for i in range(3)] == [False, True, True]
    assert found[0].detail == "0.depth_m.npy"
    crop = photos.crop(0, PLAIN, generator())
    assert find_depth(photos, crop, DepthSources(order=("network",)), generator()).source == "network"
    assert find_depth(photos, crop, DepthSources(order=("segments", "file")), generator()).source == "segments"


def test_depth_lies_where_the_picture_lies(photos):
    np.save(photos.path(0).with_name("0.depth_m.npy"), ramp())
    whole = torch.from_numpy(ramp().copy()).float()[None]
    for seed in range(6):
        crop = photos.crop(0, Cropping((40, 40)), generator(seed))
        depth = find_depth(photos, crop, DepthSources(), generator())
        assert (depth.depth_m - crop.place.cut_map(whole)).abs().max() < 1e-5
        # Quantiles of the whole photograph: dioptres 0.515 and 1.985.
        want = 1 - ((1 / crop.place.cut_map(whole) - 0.515) / 1.47).clamp(0, 1)
        assert (depth.t - want).abs().max() < 0.01


def test_disparity_and_depth_that_mean_the_same_give_the_same(photos):
    np.save(photos.path(0).with_name("0.disparity.npy"), 7 / ramp() + 3)
    np.save(photos.path(1).with_name("1.depth_m.npy"), ramp())
    crops = [photos.crop(i, PLAIN, generator(3)) for i in range(2)]
    one, other = (find_depth(photos, crop, DepthSources(), generator()) for crop in crops)
    assert (one.t - other.t).abs().max() < 1e-4
    assert one.depth_m is None


def test_maps_may_lie_in_a_folder_of_their_own(photos, tmp_path):
    maps = tmp_path / "maps"
    (maps / "sub").mkdir(parents=True)
    np.save(maps / "sub" / "0.depth_m.npy", ramp())
    store_result(photos.path(1), ramp(), folder=maps / "sub")
    sources = DepthSources(folder=maps)
    assert find_map(photos.path(0), SHAPE, sources, "sub/0.png").source == "file"
    assert find_map(photos.path(1), SHAPE, sources, "sub/1.png").source == "network"
    assert find_map(photos.path(0), SHAPE, DepthSources(), "sub/0.png") is None


def test_results_of_untrained_networks_are_no_depth(photos):
    store_result(photos.path(0), ramp(), is_trained=False)
    crop = photos.crop(0, PLAIN, generator())
    with pytest.raises(InputError, match="the result of an untrained network"):
        find_depth(photos, crop, DepthSources(), generator())
    allowed = DepthSources(allow_untrained=True)
    assert find_depth(photos, crop, allowed, generator()).source == "untrained network"


def test_a_pair_is_the_same_for_the_same_seed(photos):
    one, other = (draw_pair(photos, Cropping((40, 40)), DepthSources(), generator(2)) for _ in range(2))
    assert one.crop.srgb.equal(other.crop.srgb)
    assert one.depth.t.equal(other.depth.t)
    assert (one.depth.source, one.lost) == ("segments", ())


def test_a_pair_with_a_broken_map_is_passed_over_and_named(photos):
    np.save(photos.path(0).with_name("0.depth_m.npy"), ramp(120, 90))
    np.save(photos.path(1).with_name("1.depth_m.npy"), ramp())
    g, lost, drawn = generator(), [], set()
    for _ in range(20):
        pair = draw_pair(photos, PLAIN, DepthSources(), g)
        lost += pair.lost
        drawn.add(pair.crop.name)
    assert drawn == {"sub/1.png", "sub/2.png"}
    assert "0.depth_m.npy: found 90 x 120 px" in lost[0]


def test_without_any_depth_the_line_says_what_to_do(photos):
    crop = photos.crop(0, PLAIN, generator())
    with pytest.raises(InputError, match=r"python -m learn\.depth"):
        find_depth(photos, crop, DepthSources(order=("file", "network")), generator())
    with pytest.raises(InputError, match="20 pictures in a row without usable depth"):
        draw_pair(photos, PLAIN, DepthSources(order=("file",)), generator())


def test_a_path_traced_scene_has_its_own_metres(shared, tmp_path):
    path = shared / "data" / "blender" / "occluders.npz"
    if not path.is_file():
        pytest.skip("the folder 'shared' holds no path-traced scenes")
    with np.load(path) as scene:
        light, depth_m = torch.from_numpy(scene["aif"]).float().permute(2, 0, 1), scene["depth_m"]
    render.write_picture(tmp_path / "occluders.png", light.clamp(0, 1), bits=16)
    np.save(tmp_path / "occluders.depth_m.npy", depth_m)
    scenes = open_photos(tmp_path)
    crop = scenes.crop(0, Cropping((100, 120), shrink=(1.0, 1.0), turn=False, exposure_ev=0.0), generator(1))
    depth = find_depth(scenes, crop, DepthSources(), generator())
    want = crop.place.cut_map(torch.from_numpy(depth_m)[None])
    assert (depth.depth_m / want - 1).abs().max() < 1e-6
    assert (render.decode_srgb(crop.srgb) - crop.place.cut_map(light)).abs().max() < 1e-4
    assert depth.source == "file"


def test_settings_that_make_no_sense_are_named(tmp_path):
    for order in ((), ("guess",)):
        with pytest.raises(InputError, match=r"DepthSources\.order"):
            DepthSources(order=order)
    with pytest.raises(FileNotFoundError, match="no such folder of depth maps"):
        DepthSources(folder=tmp_path / "nowhere")
