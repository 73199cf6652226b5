import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from learn.field_files import hash_field, list_fields
from learn.photos import open_photos
from learn.samples import collate
from learn.synthesis import draw_sample, draw_scene, expose, open_synthesis
from psf import InputError
from render import RawSensor, load_noise, process
from render.camera import Camera
from render.camera_steps import cut_margin, spread_kernels

BLURS = ("none", "blend", "pixelwise", "layered")


def same(one, other):
    return torch.equal(one.input, other.input) and torch.equal(one.target, other.target) and one.drawn == other.drawn


@pytest.mark.parametrize("blur", ["blend", "pixelwise", "none"])
def test_a_sample_drawn_again_is_the_same_to_the_bit(synthesis, blur):
    varied = synthesis.varied(blur=blur)
    first = draw_sample(varied, 7)
    draw_sample(varied, 8)
    assert same(draw_sample(varied, 7), first)


def test_the_number_of_threads_does_not_change_a_bit(synthesis):
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append([draw_sample(synthesis.varied(blur=blur), 4) for blur in ("blend", "pixelwise")])
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert all(same(one, other) for one, other in zip(*found, strict=True))


def test_samples_differ_by_index_and_by_seed(synthesis):
    first = draw_sample(synthesis, 0)
    assert not torch.equal(first.input, draw_sample(synthesis, 1).input)
    assert not torch.equal(first.input, draw_sample(synthesis.varied(seed=4), 0).input)


def test_the_chain_is_that_of_the_camera(synthesis):
    """With the whole field and the whole margin, step by step as the camera takes it."""
    for index in range(3):
        scene = draw_scene(synthesis, index)
        drawn, generator = scene.drawn, torch.Generator()
        generator.set_state(scene.state)
        photo = synthesis.camera.simulate(
            scene.srgb[None],
            scene.depth_m[None],
            generator=generator,
            iso=drawn.iso,
            window=drawn.window_px,
            margin_px=synthesis.margin_px,
            spread_px=drawn.spread_px,
        )
        sample = expose(synthesis, scene)
        # Single precision may put a value on the other side of a half: one DN.
        assert (sample.input[:4] - photo.packed[0]).abs().max() < 1.5 / 960
        assert ((sample.input[:4] - photo.packed[0]).abs() > 1e-6).float().mean() < 1e-3
        assert torch.equal(sample.target, photo.target[0])
        assert torch.equal(sample.input, torch.cat([sample.input[:4], photo.network_input()[0, 4:]]))


@pytest.mark.parametrize("change", [{"blur": "pixelwise"}, {"aux": "none"}, {"depth": "constant"}, {"blur": "none"}])
def test_variants_draw_the_same_scene(synthesis, change):
    for index in range(4):
        one, other = draw_scene(synthesis, index), draw_scene(synthesis.varied(**change), index)
        assert torch.equal(one.srgb, other.srgb)
        assert torch.equal(one.state, other.state)
        for name in ("photo", "left_px", "window_px", "iso", "spread_px", "exposure_ev"):
            assert getattr(one.drawn, name) == getattr(other.drawn, name)


def test_targets_do_not_depend_on_the_blur(synthesis):
    targets = [draw_sample(synthesis.varied(blur=blur), 3).target for blur in BLURS]
    assert all(torch.equal(targets[0], one) for one in targets)


def test_kinds_of_blur_agree_where_they_should(synthesis):
    """One depth and a small patch: nothing is hidden, and kernels hardly change."""
    level = {}
    for blur in BLURS:
        quiet = replace(
            synthesis.varied(blur=blur, depth="constant"),
            camera=replace(synthesis.camera, noise=None, sensor=RawSensor(bits=16, black_dn=0)),
        )
        level[blur] = [draw_sample(quiet, index).input[:4, 8:-8, 8:-8] for index in range(3)]
    for n in range(3):
        blurred = (level["none"][n] - level["pixelwise"][n]).square().mean()
        assert (level["blend"][n] - level["pixelwise"][n]).square().mean() < 0.05 * blurred
        assert (level["layered"][n] - level["pixelwise"][n]).square().mean() < 0.05 * blurred


def test_constant_depth_is_one_depth_and_the_matched_one_comes_from_the_varying_map(synthesis):
    for index in range(6):
        varying = draw_scene(synthesis, index)
        constant = draw_scene(synthesis.varied(depth="constant"), index)
        matched = draw_scene(synthesis.varied(depth="constant_matched"), index)
        assert len(constant.depth_m.unique()) == 1
        assert len(matched.depth_m.unique()) == 1
        assert constant.drawn.near_m >= 0.1
        inner = cut_margin(varying.depth_m, synthesis.margin_px)
        assert bool((inner == matched.depth_m.reshape(-1)[0]).any())


def test_depth_files_are_used_and_named_and_metres_are_kept_on_demand(synthesis):
    kept = synthesis.varied(keep_metres=True, shrink=(1.0, 1.0))
    found = [scene for scene in (draw_scene(kept, index) for index in range(24)) if scene.drawn.photo == "d.png"]
    assert found
    for scene in found:
        assert scene.drawn.depth_source == "file"
        assert scene.drawn.rule == "measured"
        assert 0.29 <= scene.drawn.near_m <= scene.drawn.far_m <= 4.01
    others = [draw_scene(synthesis, index).drawn for index in range(24)]
    assert {one.depth_source for one in others if one.photo != "d.png"} == {"segments"}
    assert {one.rule for one in others} <= {"linear", "quadratic", "exponential"}


def test_places_isos_and_spreads_are_spread_as_the_settings_say(synthesis):
    drawn = [draw_scene(synthesis, index).drawn for index in range(160)]
    columns, rows = (torch.tensor([one.window_px for one in drawn]).double().T[n] for n in (0, 1))
    assert bool((columns % 2 == 0).all() & (rows % 2 == 0).all())
    # Means of even draws over 0..216 and 0..156, to four standard errors.
    assert abs(float(columns.mean()) - 108) < 4 * 216 / math.sqrt(12 * 160)
    assert abs(float(rows.mean()) - 78) < 4 * 156 / math.sqrt(12 * 160)
    isos = torch.tensor([one.iso for one in drawn]).log()
    middle, span = (math.log(100) + math.log(3200)) / 2, math.log(32)
    assert abs(float(isos.mean()) - middle) < 4 * span / math.sqrt(12 * 160)
    spreads = torch.tensor([one.spread_px for one in drawn])
    assert float(spreads.max()) <= 0.7
    assert 0.5 - 4 * 0.5 / math.sqrt(160) < float((spreads > 0).float().mean()) < 0.5 + 4 * 0.5 / math.sqrt(160)
    for one in drawn:
        assert one.blur_px[0] <= one.blur_px[1] <= one.blur_px[2]
        assert one.depths_m[0] <= one.depths_m[1] <= one.depths_m[2]


def test_noise_has_the_variance_of_the_model(synthesis):
    found, expected = 0.0, 0.0
    quiet = replace(synthesis, camera=replace(synthesis.camera, noise=None))
    for index in range(12):
        sample, still = draw_sample(synthesis, index), draw_sample(quiet, index)
        found += float((sample.input[:4] - still.input[:4]).square().mean())
        expected += float((sample.read + sample.shot * still.input[:4].clamp_min(0)).mean()) + 2 / 12 / 959**2
    assert found == pytest.approx(expected, rel=0.05)  # 49,000 values; saturation is rare


def test_sharp_samples_develop_to_the_photograph(synthesis):
    quiet = replace(synthesis.varied(blur="none"), camera=replace(synthesis.camera, noise=None))
    scene = draw_scene(quiet, 2)
    sample = expose(quiet, scene)
    shown = process(sample.input[None, :4], sample.metadata, full=True)[0]
    patch = cut_margin(scene.srgb, quiet.margin_px)
    # Demosaicing white noise costs what it costs; means do not.
    assert (shown.mean((1, 2)) - patch.mean((1, 2))).abs().max() < 0.02


@pytest.mark.parametrize("blur", BLURS)
def test_rgb_samples_are_values_in_8_bits(synthesis, blur):
    rgb = synthesis.varied(space="rgb", blur=blur)
    sample = draw_sample(rgb, 1)
    assert sample.input.shape == (5, 64, 64)
    assert sample.target.shape == (3, 64, 64)
    assert sample.metadata is None
    levels = sample.input[:3] * 255
    assert (levels - levels.round()).abs().max() < 1e-4
    assert torch.equal(sample.target, cut_margin(draw_scene(rgb, 1).srgb, rgb.margin_px))
    assert same(draw_sample(rgb, 1), sample)
    assert collate([sample, sample]).metadata is None


def test_rgb_blur_is_that_of_the_kernels(synthesis):
    rgb = synthesis.varied(space="rgb", rgb_noise_sd=0.0)
    scene = draw_scene(rgb, 1)
    field, drawn = synthesis.camera.field, scene.drawn
    kernels, depths_m = field.at_radius(drawn.radius, drawn.azimuth_rad)
    from render import depth_blend

    whole = depth_blend(scene.srgb[None], scene.depth_m[None], spread_kernels(kernels, drawn.spread_px), depths_m)
    expected = cut_margin(whole, rgb.margin_px)[0]
    assert (expose(rgb, scene).input[:3] - expected).abs().max() < 0.6 / 255


def test_transmission_darkens_what_is_recorded(synthesis):
    dark = [draw_sample(synthesis.varied(transmission="both", blur=blur), 3) for blur in ("blend", "pixelwise")]
    bright = draw_sample(synthesis, 3)
    for one in dark:
        assert float(one.target.mean()) < 0.995 * float(bright.target.mean())


def test_a_field_of_the_folder_takes_the_place_of_the_gaussian(synthesis, lens, tmp_path):
    for n in range(3):
        lens(seed=n + 1).save(tmp_path / f"field_{n:05d}.h5")
    lens().save(tmp_path / "nominal.h5")
    perturbed = replace(synthesis, fields=list_fields(tmp_path))
    drawn = [draw_scene(perturbed, index).drawn for index in range(12)]
    assert {one.field for one in drawn} == {f"field_{n:05d}.h5" for n in range(3)}
    assert {one.spread_px for one in drawn} == {0.0}
    assert same(draw_sample(perturbed, 5), draw_sample(perturbed, 5))
    assert not torch.equal(draw_sample(perturbed, 5).input, draw_sample(synthesis, 5).input)
    sharper = open_synthesis(synthesis.photos, synthesis.camera, synthesis.settings, fields=tmp_path)
    assert sharper.fields == perturbed.fields


def test_centres_take_every_photograph_in_turn(synthesis):
    centred = synthesis.varied(framing="centre")
    drawn = [draw_scene(centred, index).drawn for index in range(5)]
    assert [one.photo for one in drawn] == ["a.png", "b.png", "c.jpg", "d.png", "a.png"]
    assert not any(one.mirrored or one.quarter_turns or one.exposure_ev for one in drawn)
    assert drawn[0].window_px != drawn[4].window_px


def test_the_depth_of_a_patch_is_kept_if_wanted(synthesis):
    sample = draw_sample(synthesis, 1, with_depth=True)
    assert torch.equal(sample.depth_m, cut_margin(draw_scene(synthesis, 1).depth_m, synthesis.margin_px))
    assert draw_sample(synthesis, 1).depth_m is None


def test_a_camera_without_a_lens_takes_sharp_pictures(photo_root, patch_settings):
    bare = Camera(None, RawSensor(), load_noise("imx586"), (220, 280))
    found = open_synthesis(photo_root, bare, patch_settings.changed(blur="none"))
    sample = draw_sample(found, 0)
    assert sample.drawn.blur_px == (0, 0, 0)
    with pytest.raises(InputError, match="'none' for a camera without a field"):
        open_synthesis(photo_root, bare, patch_settings)


def test_one_bad_picture_is_passed_over_and_named(photo_root, camera, patch_settings, tmp_path):
    root = shutil.copytree(photo_root, tmp_path / "photos")
    found = open_synthesis(open_photos(root), camera, patch_settings)
    (root / "b.png").write_bytes(b"not a picture any more")
    drawn = [draw_scene(found, index).drawn for index in range(16)]
    assert "b.png" not in {one.photo for one in drawn}
    assert any("b.png" in line for one in drawn for line in one.lost)


def test_a_depth_map_of_another_size_or_unit_is_named(photo_root, camera, patch_settings, tmp_path):
    root = shutil.copytree(photo_root, tmp_path / "photos")
    np.save(root / "a.depth_m.npy", np.full((80, 180), 2.0, np.float32))
    np.save(root / "b.depth_m.npy", np.linspace(900, 4000, 150 * 180, dtype=np.float32).reshape(150, 180))
    found = open_synthesis(open_photos(root), camera, patch_settings)
    lost = {line for index in range(24) for line in draw_scene(found, index).drawn.lost}
    assert any("a.depth_m.npy: found 180 x 80 px, expected the proportions" in line for line in lost)
    assert any("b.depth_m.npy as m" in line and "right unit" in line for line in lost)
    centred = found.varied(framing="centre")
    with pytest.raises(InputError, match=r"a\.depth_m\.npy: found 180 x 80 px"):
        draw_scene(centred, 0)


def test_input_that_cannot_be_used_is_told_in_one_line(photo_root, camera, lens, patch_settings, tmp_path):
    small = Camera(lens(image_shape_px=(60, 80)), RawSensor(), load_noise("imx586"))
    with pytest.raises(InputError, match=r"a sensor of 80 x 60 px, expected at least the patch's 64 x 64 px"):
        open_synthesis(photo_root, small, patch_settings)
    large = Camera(lens(image_shape_px=(600, 800)), RawSensor(), load_noise("imx586"))
    with pytest.raises(InputError, match="no photograph that can be used, expected one of at least 522 px a side"):
        open_synthesis(photo_root, large, patch_settings.changed(shape_px=(512, 512)))
    with pytest.raises(InputError, match="ISO 100 to 3200"):
        open_synthesis(photo_root, camera, patch_settings.changed(iso_range=(50, 6400)))
    with pytest.raises(FileNotFoundError, match="no such folder of perturbed fields"):
        open_synthesis(photo_root, camera, patch_settings, fields=tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no file field_\*\.h5"):
        open_synthesis(photo_root, camera, patch_settings, fields=tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(empty / "tiny.png")
    with pytest.raises(InputError, match="no photograph that can be used"):
        open_synthesis(empty, camera, patch_settings)


def test_wrong_indices_patches_and_fields_are_refused(synthesis, lens, tmp_path):
    with pytest.raises(InputError, match="found -1, expected a whole number from 0"):
        draw_sample(synthesis, -1)
    with pytest.raises(InputError, match="a patch of"):
        synthesis.varied(shape_px=(32, 32))
    lens(image_shape_px=(240, 280)).save(tmp_path / "field_00000.h5")
    with pytest.raises(InputError, match=r"field_00000\.h5: image_shape_px: found \(240, 280\)"):
        draw_sample(replace(synthesis, fields=list_fields(tmp_path)), 0)


def test_a_description_names_all_that_samples_depend_on(synthesis, lens):
    told = synthesis.describe()
    assert told["settings"]["seed"] == 3
    assert told["photographs"] == 4
    assert told["field_sha256"] == hash_field(synthesis.camera.field)
    assert hash_field(lens(seed=1)) != told["field_sha256"]
    assert synthesis.varied(blur="none").describe() != told


def test_depths_nearer_than_the_field_knows_are_warned_of(photo_root, lens, patch_settings):
    far = Camera(replace(lens(), depths_m=lens().depths_m * 4), RawSensor(), load_noise("imx586"))
    with pytest.warns(UserWarning, match=r"nearest depth is 0\.4 m; what is drawn down to 0\.1 m is blurred as that"):
        open_synthesis(photo_root, far, patch_settings)
    open_synthesis(photo_root, far, patch_settings.changed(near_m=(0.4, 2.0)))
