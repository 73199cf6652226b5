import importlib.util

import numpy as np
import pytest
import torch

from learn.dfd.judged_scenes import SceneSpec, photograph_scene
from learn.dfd.traced_scenes import find_band, open_traced
from psf import InputError
from psf.metrics import find_rms_radius_px


def write_scene(path, **changes):
    g = np.random.default_rng(0)
    depth = np.full((48, 64), 2.0, np.float32)
    depth[:, :32] = 1.0
    held = {
        "images": g.uniform(0, 1, (3, 48, 64, 3)).astype(np.float16),
        "focus_m": np.array([2.0, 1.0, 1.4]),
        "depth_m": depth,
        "focal_mm": 50.0,
        "f_number": 1.2,
        "sensor_width_mm": 36.0,
    }
    np.savez(path, **{**held, **changes})
    return path


def test_pictures_come_in_the_order_of_their_focus(tmp_path):
    scene = open_traced(write_scene(tmp_path / "s.npz"))
    assert scene.stack.focus_m.tolist() == pytest.approx([1.0, 1.4, 2.0])
    with np.load(tmp_path / "s.npz") as held:
        assert np.allclose(scene.stack.pictures[0].permute(1, 2, 0), held["images"][1])
    assert [one.focus_m for one in scene.fields] == pytest.approx([1.0, 1.4, 2.0])
    assert all(one.magnification == 1 for one in scene.fields)


def test_discs_are_those_of_the_renderers_lens(tmp_path):
    """c = G |1/s - 1/z| px with G = f^2 / N W / sensor width; a disc's mean square radius is c^2 / 8."""
    field = open_traced(write_scene(tmp_path / "s.npz")).fields[0]
    gain_px = 0.05 * 50 / 1.2 * 64 / 36
    wide = (1 - 1 / field.depths_m).abs() * gain_px
    far = int(wide.argmax())
    found_px = float(find_rms_radius_px(field.kernels[far, 0, 1])) / field.oversample
    assert (8 * found_px**2) ** 0.5 == pytest.approx(float(wide[far]), rel=0.1)


def test_the_band_is_that_of_the_scenes_own_definition(shared):
    folder = shared / "data" / "blender"
    loaded = importlib.util.spec_from_file_location("bands", folder / "bands.py")
    bands = importlib.util.module_from_spec(loaded)
    loaded.loader.exec_module(bands)
    with np.load(folder / "desk.npz") as held:
        depth, focus_m = held["depth_m"], float(held["focus_m"][2])
        gain_px = bands.px_per_dioptre(float(held["focal_mm"]), float(held["f_number"]), float(held["sensor_width_mm"]))
    expected = bands.occlusion_band(depth, focus_m, gain_px)
    assert np.array_equal(find_band(torch.from_numpy(depth)[None], focus_m, gain_px)[0].numpy(), expected)


def test_the_band_lies_about_the_edge(tmp_path):
    band = open_traced(write_scene(tmp_path / "s.npz")).band
    assert bool(band[0, :, 31:33].all())
    assert not bool(band[0, :, [0, 63]].any())


def test_a_traced_scene_is_judged_with_its_own_camera(synthesis, tmp_path):
    spec = SceneSpec(kind="traced", number=0, file=write_scene(tmp_path / "s.npz"))
    scene = photograph_scene(synthesis, spec)
    assert spec.key == "traced-s"
    assert scene.fields is not None
    assert int(scene.judged.sum()) == 16 * 32
    assert photograph_scene(synthesis.varied(encoding="srgb"), spec).stack.encoding == "srgb"
    with pytest.raises(FileNotFoundError):
        photograph_scene(synthesis, SceneSpec(kind="traced", number=0, file=tmp_path / "gone.npz"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"focus_m": np.array([1.0])}, "shapes"),
        ({"depth_m": np.zeros((48, 64))}, "depth_m"),
        ({"images": np.ones(3)}, "shapes"),
    ],
)
def test_what_is_no_scene_is_refused(changes, words, tmp_path):
    with pytest.raises(InputError, match=words):
        open_traced(write_scene(tmp_path / "s.npz", **changes))
    for content in (b"no", b"PK\x05\x06"):
        (tmp_path / "t.npz").write_bytes(content)
        with pytest.raises(InputError, match="no readable scene"):
            open_traced(tmp_path / "t.npz")
