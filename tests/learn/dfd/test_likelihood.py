import dataclasses

import pytest
import torch

from learn.dfd.estimators import MiddleEstimator, ShuffledEstimator
from learn.dfd.focal_stacks import FocalStack
from learn.dfd.judged_scenes import SceneSpec, photograph_scene
from learn.dfd.likelihood import open_likelihood
from learn.dfd.stack_settings import StackSettings
from learn.dfd.stack_synthesis import open_stacks
from psf import InputError

DEPTHS_M = (0.55, 0.7, 0.9, 1.2)


@pytest.fixture(scope="module")
def estimator(fields):
    return open_likelihood(fields, depth_m=(0.5, 1.415))


@pytest.fixture(scope="module")
def scenes(fields):
    """Planes of noise before the small camera, pictures of 64 px, exposures off by up to 3 %."""
    settings = StackSettings(seed=5, shape_px=(64, 64), textures=("noise",), noise="even", noise_sd=0.005)
    synthesis = open_stacks(fields, settings)
    specs = [SceneSpec(kind="one_plane", number=n, depth_m=one_m) for n, one_m in enumerate(DEPTHS_M)]
    return [photograph_scene(synthesis, one) for one in specs]


def find_error_m(estimator, scene):
    found = estimator.estimate(scene.stack)
    assert found.depth_m.shape == found.confidence.shape == scene.depth_m.shape
    return float((found.depth_m - scene.depth_m)[scene.judged].abs().mean())


def test_planes_of_noise_are_found(estimator, scenes):
    errors_m = [find_error_m(estimator, one) for one in scenes]
    middle_m = [find_error_m(MiddleEstimator(depth_m=(0.5, 1.415)), one) for one in scenes]
    assert sum(errors_m) < 0.15 * sum(middle_m)
    assert max(errors_m) < 0.06


def test_a_shuffled_stack_fails(estimator, scenes):
    shuffled = ShuffledEstimator(inner=estimator)
    right, wrong = (sum(find_error_m(one, scene) for scene in scenes) for one in (estimator, shuffled))
    assert wrong > 5 * right


def test_the_exposure_of_a_picture_does_not_matter(estimator, scenes):
    stack = scenes[1].stack
    gains = torch.tensor([0.6, 1.0, 0.8])[:, None, None, None]
    darker = dataclasses.replace(stack, pictures=stack.pictures * gains)
    one, two = (estimator.estimate(each).depth_m for each in (stack, darker))
    # Rounding of single precision, as the residual's flat bottom magnifies it.
    assert (one - two).abs().max() < 1e-3


def test_encoded_pictures_say_the_same(estimator, scenes):
    stack = scenes[1].stack
    one, two = (estimator.estimate(each).depth_m for each in (stack, stack.encoded("srgb")))
    assert (one - two).abs().max() < 1e-3


def test_confidence_is_low_where_nothing_is_to_be_seen(estimator, scenes):
    generator = torch.Generator().manual_seed(4)
    blank = torch.full((3, 3, 64, 64), 0.5) + 0.005 * torch.randn((3, 3, 64, 64), generator=generator)
    empty = estimator.estimate(dataclasses.replace(scenes[0].stack, pictures=blank))
    full = [float(estimator.estimate(one.stack).confidence.mean()) for one in scenes]
    assert empty.depth_m.isfinite().all()
    assert float(empty.confidence.min()) >= 0
    assert float(empty.confidence.mean()) < 0.35 < 0.5 < min(full)


def test_black_pictures_have_a_depth_all_the_same(estimator, scenes):
    found = estimator.estimate(dataclasses.replace(scenes[0].stack, pictures=torch.zeros(3, 3, 64, 64)))
    assert ((found.depth_m > 0.49) & (found.depth_m < 1.43)).all()
    assert found.confidence.isfinite().all()


@pytest.mark.parametrize("shape_px", [(1, 1), (5, 40), (33, 70)])
def test_pictures_may_have_any_size(estimator, scenes, shape_px):
    part = scenes[0].stack.cropped(0, 0, min(shape_px[1], 64), shape_px[0])
    found = estimator.estimate(part)
    assert found.depth_m.shape == (1, *part.shape_px)
    assert found.depth_m.isfinite().all()


def test_the_fingerprint_tells_fields_and_settings_apart(fields, make, estimator):
    again = open_likelihood(fields, depth_m=(0.5, 1.415))
    assert again.fingerprint == estimator.fingerprint
    assert open_likelihood(fields, depth_m=(0.5, 1.415), window_px=24).fingerprint != estimator.fingerprint
    other = estimator.for_camera(make(f_number=4.0, kernel_px=9))
    assert other.fingerprint != estimator.fingerprint
    assert other.volume.window_px == estimator.volume.window_px


def test_infinity_is_no_answer(fields):
    whole = [
        dataclasses.replace(one, depths_m=torch.cat([one.depths_m[:-1], torch.tensor([torch.inf])])) for one in fields
    ]
    assert open_likelihood(whole).volume.depths_m.isfinite().all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window_px": 4}, "open_likelihood(window_px): found 4"),
        ({"window_px": True}, "open_likelihood(window_px): found True"),
        ({"interpolation": "cubic"}, "open_likelihood(interpolation): found 'cubic'"),
        ({"depth_m": (1.0, 0.5)}, "open_likelihood(depth_m): found (1.0, 0.5), expected two depths above 0"),
        ({"depth_m": (0.1, 0.2)}, "open_likelihood(depth_m): found (0.1, 0.2), expected depths that the fields know"),
    ],
)
def test_options_that_cannot_be_are_said(fields, options, words):
    with pytest.raises(InputError) as error:
        open_likelihood(fields, **options)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_fields_that_cannot_be_are_said(fields):
    with pytest.raises(InputError, match="at least 2"):
        open_likelihood(fields[:1])
    with pytest.raises(InputError, match="ascending order"):
        open_likelihood(fields[::-1])


def test_a_stack_of_another_camera_is_refused(estimator, scenes):
    stack = scenes[0].stack
    with pytest.raises(InputError, match="fields: found 3 of them"):
        estimator.estimate(
            FocalStack(pictures=stack.pictures[:2], focus_m=stack.focus_m[:2], image_shape_px=(120, 160))
        )
    with pytest.raises(InputError, match="those of the pictures"):
        estimator.estimate(dataclasses.replace(stack, focus_m=stack.focus_m * 2))
    with pytest.raises(InputError, match="a sensor of 160 x 120 px"):
        estimator.estimate(dataclasses.replace(stack, image_shape_px=(240, 320)))
