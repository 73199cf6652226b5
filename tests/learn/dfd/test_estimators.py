from dataclasses import replace

import pytest
import torch

from learn.dfd.depth_notes import make_depth_notes
from learn.dfd.estimators import MiddleEstimator, ShuffledEstimator, load_estimator
from learn.dfd.focal_stacks import view_stack
from learn.dfd.networks import DepthConfig, make_depth_network, save_depth_network
from learn.dfd.stack_synthesis import draw_stack
from psf import InputError
from psf.threads import limit_threads


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny networks are slower with more."""
    with limit_threads(1):
        yield


@pytest.fixture(scope="module")
def stack(synthesis):
    return view_stack(draw_stack(synthesis.varied(blur="blend"), 1))


@pytest.fixture(scope="module")
def model(synthesis, tmp_path_factory):
    def make(kind="defocus_net", *, aligned=True, **changes):
        config = DepthConfig(kind=kind, width=2, pictures=3, **changes)
        network = make_depth_network(config, generator=torch.Generator().manual_seed(2))
        path = tmp_path_factory.mktemp("model") / "network.pt"
        notes = make_depth_notes(synthesis.optics, synthesis.describe(), aligned=aligned, steps=7)
        save_depth_network(network, path, notes=notes)
        return path

    return make


@pytest.mark.parametrize("kind", ["defocus_net", "dual_dfd"])
def test_a_network_answers_every_pixel_within_its_range(model, stack, kind):
    found = load_estimator(model(kind)).estimate(stack)
    assert found.depth_m.shape == found.confidence.shape == (1, 32, 32)
    assert 0.5 <= float(found.depth_m.min()) <= float(found.depth_m.max()) <= 1.415 + 1e-6
    assert 0 < float(found.confidence.min()) <= float(found.confidence.max()) <= 1


def test_without_mirrored_views_the_depth_is_the_same_and_all_pixels_equally_sure(model, stack):
    path = model()
    one, two = (load_estimator(path, mirrored=way).estimate(stack) for way in (True, False))
    assert torch.equal(one.depth_m, two.depth_m)
    assert bool((two.confidence == 1).all())


def test_pictures_are_aligned_by_the_believed_fields(model, stack):
    path = model()
    own, none = (load_estimator(path, magnifications=one, mirrored=False) for one in (None, (1.0, 1.0, 1.0)))
    assert not torch.equal(own.estimate(stack).depth_m, none.estimate(stack).depth_m)
    plain = load_estimator(model(aligned=False), mirrored=False)
    assert torch.equal(plain.estimate(stack).depth_m, none.estimate(stack).depth_m)
    assert own.fingerprint != none.fingerprint


def test_values_of_either_encoding_are_taken(model, stack):
    estimator = load_estimator(model(), mirrored=False)
    found = estimator.estimate(stack.encoded("srgb")).depth_m
    assert torch.allclose(found, estimator.estimate(stack).depth_m, atol=1e-4)


def test_stacks_of_another_camera_are_refused_unless_asked_for(model, stack, make):
    estimator = load_estimator(model("dual_dfd"), name="ours")
    other = replace(stack, focus_m=stack.focus_m * 1.2)
    with pytest.raises(InputError, match="ours: found focus distances"):
        estimator.estimate(other)
    with pytest.raises(InputError, match="a sensor of 200 x 120 px, expected 160 x 120 px"):
        estimator.estimate(replace(stack, image_shape_px=(120, 200)))
    two = replace(stack, pictures=stack.pictures[:2], focus_m=stack.focus_m[:2])
    with pytest.raises(InputError, match="2 pictures, expected 3 pictures, as ours was trained with"):
        estimator.estimate(two)
    told = estimator.for_camera(make(focus_m=(0.6, 0.86, 1.7)))
    assert told.estimate(other).depth_m.shape == (1, 32, 32)


def test_a_network_on_residuals_needs_the_fields_and_follows_them(model, stack, fields, make):
    path = model("cost_volume", with_radius=False)
    with pytest.raises(InputError, match="fields: found None"):
        load_estimator(path)
    estimator = load_estimator(path, fields=fields)
    found = estimator.estimate(stack)
    assert found.depth_m.shape == found.confidence.shape == (1, 32, 32)
    assert estimator.reach_px > estimator.network.reach_px
    other = estimator.for_camera(make(f_number=4.0))
    assert other.fingerprint != estimator.fingerprint
    assert not torch.equal(other.estimate(stack).depth_m, found.depth_m)


def test_a_shuffled_stack_is_what_the_other_one_gets(model, stack):
    inner = load_estimator(model(), mirrored=False)
    shuffled = ShuffledEstimator(inner=inner)
    assert torch.equal(shuffled.estimate(stack).depth_m, inner.estimate(stack.shuffled()).depth_m)
    assert (shuffled.name, shuffled.reach_px) == ("defocus_net, shuffled", inner.reach_px)
    assert shuffled.fingerprint != inner.fingerprint


def test_the_middle_is_the_middle(stack, fields):
    middle = MiddleEstimator(depth_m=(0.5, 1.5))
    assert bool((middle.estimate(stack).depth_m == 1.0).all())
    assert middle.for_camera(fields).depth_m == pytest.approx((0.5, 1.415))
