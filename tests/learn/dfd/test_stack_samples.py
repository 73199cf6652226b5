from dataclasses import replace

import pytest
import torch

from learn.dfd.scenes import draw_scene
from learn.dfd.stack_samples import DrawnStack, collate, mirror_sample
from learn.dfd.stack_synthesis import draw_stack, photograph_stack
from psf import InputError


@pytest.fixture(scope="module")
def samples(synthesis):
    return [draw_stack(synthesis, index) for index in (0, 1)]


def test_a_batch_holds_its_stacks(samples):
    batch = collate(samples)
    assert len(batch) == 2
    assert batch.stack.shape == (2, 3, 3, 32, 32)
    assert batch.focus_m.shape == (2, 3)
    assert batch.radius.shape == batch.depth_m.shape == batch.in_front.shape == (2, 1, 32, 32)
    assert torch.equal(batch.depth_dpt, 1 / batch.depth_m)
    assert batch.index.tolist() == [0, 1]
    assert torch.equal(batch.blur_px[1], samples[1].blur_px)
    assert batch.to("cpu").drawn == batch.drawn


def test_drawn_numbers_survive_json(samples):
    assert DrawnStack.from_json(samples[1].drawn.to_json()) == samples[1].drawn


@pytest.mark.parametrize(("across", "down"), [(True, False), (False, True), (True, True)])
def test_a_mirrored_stack_is_what_the_camera_takes_of_the_mirrored_scene(synthesis, across, down):
    quiet = synthesis.varied(noise="none", exposure_jitter=0.0)
    optics = quiet.optics
    generator = torch.Generator().manual_seed(3)
    scene = draw_scene(quiet.settings, None, optics.margin_px, generator=generator)
    axes = (*((-1,) if across else ()), *((-2,) if down else ()))
    surfaces = tuple(
        replace(
            one,
            light=one.light.flip(axes),
            depth_m=one.depth_m.flip(axes),
            cover=None if one.cover is None else one.cover.flip(axes),
        )
        for one in scene.surfaces
    )
    taken = photograph_stack(quiet, scene, (100, 20), generator=generator)
    mirrored = mirror_sample(taken, across=across, down=down)
    place = mirrored.drawn.window_px
    assert place == (160 - 32 - 100 if across else 100, 120 - 32 - 20 if down else 20)
    again = photograph_stack(quiet, replace(scene, surfaces=surfaces), place, generator=generator)
    # A step of 12 bits, where rounding falls on the other side.
    assert (again.stack - mirrored.stack).abs().max() <= 1.01 / 4095
    assert torch.equal(again.in_front, mirrored.in_front)
    assert torch.allclose(again.blur_px, mirrored.blur_px, atol=2e-3)
    assert torch.allclose(mirrored.radius, taken.radius.flip(axes), atol=1e-6)
    assert mirrored.drawn.azimuth_rad == pytest.approx(again.drawn.azimuth_rad)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: [], "expected at least one stack"),
        (lambda s: [s[0], replace(s[1], encoding="srgb")], "collate(samples[1].encoding): found 'srgb'"),
        (
            lambda s: [s[0], replace(s[1], stack=s[1].stack[:2])],
            "collate(samples[1].stack): found shape (2, 3, 32, 32)",
        ),
    ],
)
def test_stacks_that_do_not_fit_make_no_batch(samples, change, words):
    with pytest.raises(InputError) as caught:
        collate(change(samples))
    assert words in str(caught.value)


def test_numbers_of_something_else_are_refused():
    with pytest.raises(InputError, match="drawn numbers of a stack"):
        DrawnStack.from_json({"index": 1})
