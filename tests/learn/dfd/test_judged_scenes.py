import pytest
import torch

from learn.dfd.judged_scenes import GAIN, photograph_scene, plan_scenes
from psf import InputError

RANGE_M = (0.5, 1.415)


@pytest.fixture(scope="module")
def quick(synthesis):
    return synthesis.varied(blur="blend")


def test_the_paper_has_sixty_flat_scenes():
    specs = plan_scenes(["one_plane"], RANGE_M)
    assert len(specs) == 60
    assert specs[0].depth_m == 0.5
    assert specs[-1].depth_m == pytest.approx(1.415)
    assert [one.texture for one in specs[:4]] == [0, 1, 2, 0]
    assert len({one.key for one in specs}) == 60


def test_a_scene_is_the_same_whenever_it_is_photographed(quick):
    spec = plan_scenes(["one_plane"], RANGE_M, depths=2, textures=2)[2]
    one, two = (photograph_scene(quick.varied(seed=seed), spec) for seed in (1, 2))
    assert torch.equal(one.stack.pictures, two.stack.pictures)
    assert bool((one.depth_m == 1.415).all())
    assert one.near_edge is None


def test_a_texture_is_the_same_at_every_depth_and_as_dark_as_it_may_be(quick):
    specs = plan_scenes(["one_plane"], RANGE_M, depths=2, textures=2)
    scenes = [photograph_scene(quick, one) for one in specs]
    assert scenes[0].texture == scenes[2].texture != scenes[1].texture
    assert float(scenes[0].stack.pictures.max()) <= GAIN[1] * 1.1


def test_two_planes_have_an_edge_and_slanted_ones_a_slope(quick):
    two, slanted = (
        photograph_scene(quick, plan_scenes([kind], RANGE_M, others=1)[0]) for kind in ("two_plane", "slanted")
    )
    assert len(two.depth_m.unique()) == 2
    assert bool(two.near_edge.any())
    assert len(slanted.depth_m.unique()) > 100
    assert slanted.near_edge is None


def test_pixels_beside_the_windows_sides_do_not_count(quick):
    scene = photograph_scene(quick, plan_scenes(["one_plane"], RANGE_M, depths=1, textures=1)[0])
    assert not bool(scene.judged[:, :8].any())
    assert bool(scene.judged[:, 12:20, 12:20].all())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kinds": []}, "scenes"),
        ({"kinds": ["cubes"]}, "cubes"),
        ({"kinds": ["one_plane"], "depths": 0}, "depths: found 0"),
        ({"kinds": ["traced"]}, "files of them for the scenes 'traced'"),
        ({"kinds": ["one_plane"], "traced": ["a.npz"]}, "'traced' among the scenes"),
    ],
)
def test_plans_that_cannot_be_are_refused(arguments, words):
    kinds = arguments.pop("kinds")
    with pytest.raises(InputError) as caught:
        plan_scenes(kinds, RANGE_M, **arguments)
    assert words in str(caught.value)
