import json
from dataclasses import replace

import pytest
import torch

from learn.dfd.scenes import stand
from learn.dfd.stack_settings import StackSettings
from learn.dfd.stack_synthesis import draw_stack, open_stacks, photograph_stack
from learn.samples import find_heights
from psf import InputError


def test_a_stack_is_pictures_with_all_that_a_network_wants(synthesis):
    sample = draw_stack(synthesis, 3)
    assert sample.stack.shape == (3, 3, 32, 32)
    assert sample.stack.dtype == torch.float32
    assert 0 <= float(sample.stack.min()) <= float(sample.stack.max()) <= 1
    assert sample.focus_m.tolist() == pytest.approx([0.5, 0.72, 1.415])
    assert sample.depth_m.shape == sample.in_front.shape == sample.radius.shape == (1, 32, 32)
    assert sample.blur_px.shape == (3, 32, 32)
    assert torch.allclose(sample.depth_dpt * sample.depth_m, torch.ones(1, 32, 32))
    assert sample.drawn.index == 3
    assert json.loads(json.dumps(sample.drawn.to_json()))["index"] == 3


def test_a_stack_drawn_again_is_the_same_to_the_bit_and_others_are_not(synthesis):
    one, again, other = (draw_stack(synthesis, index) for index in (4, 4, 5))
    for name in ("stack", "depth_m", "in_front", "blur_px"):
        assert torch.equal(getattr(one, name), getattr(again, name))
    assert one.drawn == again.drawn
    assert not torch.equal(one.stack, other.stack)
    assert draw_stack(synthesis.varied(seed=6), 4).drawn != one.drawn


def test_noise_blur_and_values_leave_the_scene_as_it_is(synthesis):
    one = draw_stack(synthesis, 1)
    for changes in ({"noise": "none"}, {"blur": "blend"}, {"bits": 8, "encoding": "srgb"}, {"turning": "bilinear"}):
        varied = draw_stack(synthesis.varied(**changes), 1)
        assert varied.drawn.scene == one.drawn.scene
        assert varied.drawn.exposures == one.drawn.exposures
        assert torch.equal(varied.depth_m, one.depth_m)
        assert not torch.equal(varied.stack, one.stack)


def test_the_radius_is_1_at_the_distance_of_the_corner(synthesis):
    sample = draw_stack(synthesis, 2)
    x, y = find_heights((32, 32), sample.drawn.window_px, sample.image_shape_px, 1)
    assert float(sample.radius[0, 7, 9]) == pytest.approx(float(torch.hypot(x[9], y[7])), rel=1e-6)
    middle = sample.radius[0, 15:17, 15:17].mean()
    assert float(middle) == pytest.approx(sample.drawn.radius, abs=0.01)


def flat(synthesis, level, side=96):
    margin = synthesis.optics.margin_px
    scene = stand(torch.full((3, side + 2 * margin, side + 2 * margin), level), 0.8)
    generator = torch.Generator().manual_seed(9)
    return photograph_stack(synthesis, scene, (20, 10), generator=generator)


def test_even_noise_has_the_deviation_that_was_asked_for(synthesis):
    """Of 27,648 values: the deviation of a deviation is half a percent; 16 bits add nothing."""
    sample = flat(synthesis.varied(noise="even", exposure_jitter=0.0, bits=16), 0.4)
    for picture in sample.stack:
        assert float(picture.std()) == pytest.approx(0.005, rel=0.03)
        assert float(picture.mean()) == pytest.approx(0.4, abs=1e-3)
    first, second = (one - one.mean() for one in sample.stack[:2])
    assert abs(float((first * second).mean())) < 0.03 * 0.005**2


def test_sensor_noise_is_that_of_the_model_over_the_photosites_of_a_pixel(synthesis):
    sample = flat(synthesis.varied(noise="sensor", exposure_jitter=0.0, bits=16, iso_range=(1600.0, 1600.0)), 0.4)
    shot, read = synthesis.noise.levels(torch.tensor(1600.0))
    for channel, sites in enumerate((4, 8, 4)):
        expected = float((shot * 0.4 + read) / sites) ** 0.5
        assert float(sample.stack[:, channel].std(dim=(1, 2)).mean()) == pytest.approx(expected, rel=0.03)
    assert sample.drawn.iso == pytest.approx(1600.0)


def test_exposures_differ_by_no_more_than_the_jitter(synthesis):
    clear = synthesis.varied(noise="none", bits=16)
    sample = flat(clear, 0.5)
    levels = sample.stack.mean((1, 2, 3)) / 0.5
    assert levels.tolist() == pytest.approx(sample.drawn.exposures, abs=1e-3)
    assert all(0.97 <= one <= 1.03 for one in sample.drawn.exposures)
    assert len(set(sample.drawn.exposures)) == 3


def test_values_are_whole_counts_of_their_bits(synthesis):
    eight = draw_stack(synthesis.varied(bits=8, encoding="srgb"), 0)
    counts = eight.stack * 255
    assert torch.allclose(counts, counts.round(), atol=1e-4)
    linear = draw_stack(synthesis.varied(bits=16, noise="none"), 0)
    srgb = draw_stack(synthesis.varied(bits=16, noise="none", encoding="srgb"), 0)
    assert bool((srgb.stack >= linear.stack - 1e-4).all())


def test_windows_lie_all_over_the_sensor(synthesis):
    fast = synthesis.varied(blur="blend", scenes="one_plane", textures=("noise",))
    places = torch.tensor([draw_stack(fast, index).drawn.window_px for index in range(24)])
    assert bool((places >= 0).all())
    assert bool((places <= torch.tensor([128, 88])).all())
    assert int(places[:, 0].max() - places[:, 0].min()) > 80


def test_a_run_says_what_its_stacks_depend_on(synthesis, fields, settings):
    told = json.loads(json.dumps(synthesis.describe()))
    assert told == json.loads(json.dumps(open_stacks(fields, settings).describe()))
    assert told["focus_m"] == [0.5, 0.72, 1.415]
    other = [replace(fields[0], kernels=fields[0].kernels.flip(1)), *fields[1:]]
    assert len(set(told["fields_sha256"])) == 3
    assert open_stacks(other, settings).describe()["settings"] == told["settings"]


def test_photographs_are_textures_and_scenes(fields, photo_root, tmp_path):
    settings = StackSettings(shape_px=(32, 32), textures=("photos",))
    synthesis = open_stacks(fields, settings, photos=photo_root, index=tmp_path / "index.jsonl")
    assert draw_stack(synthesis, 0).drawn.scene.textures[0].startswith("photos: ")
    sample = draw_stack(synthesis.varied(scenes="photos"), 1)
    assert sample.drawn.scene.kind == "photos"
    assert bool(sample.in_front.all())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shape_px": (128, 128)}, "fields: found a sensor of 160 x 120 px, expected at least the window's 128 x 128"),
        ({"depth_m": (0.3, 1.0)}, "fields[0].depths_m: found 0.476"),
        ({"scenes": "photos"}, "settings.scenes: found 'photos' without photographs"),
        ({"textures": ("photos",)}, "settings.textures: found 'photos' without photographs"),
    ],
)
def test_what_does_not_fit_is_refused(fields, settings, changes, words):
    with pytest.raises(InputError) as caught:
        open_stacks(fields, settings.changed(**changes))
    assert words in str(caught.value)


def test_numbers_of_stacks_are_whole(synthesis):
    with pytest.raises(InputError, match=r"draw_stack\(index\): found -1"):
        draw_stack(synthesis, -1)
