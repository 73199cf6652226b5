import dataclasses

import numpy as np
import pytest
import torch

from learn.dfd.scenes import StackScene, Surface, compose_surfaces, draw_scene, put_before, slant, stand
from learn.dfd.stack_settings import StackSettings
from learn.photos import open_photos
from psf import InputError
from render.layers import blur_valid

RANDOM = torch.Generator().manual_seed(0)
LIGHT = torch.rand((3, 40, 40), generator=RANDOM)
OTHER = torch.rand((3, 40, 40), generator=RANDOM)
MASK = (torch.arange(40) < 18).float().expand(1, 40, 40)


@pytest.fixture(scope="module")
def golden(shared):
    file = shared / "golden" / "psfnet_b.npz"
    if not file.is_file():
        pytest.skip("no golden vectors of system B")
    return {name: torch.from_numpy(value) for name, value in np.load(file).items() if value.ndim}


def test_two_planes_lie_over_one_another_as_the_golden_picture_has_it(golden):
    """Tolerance 1e-9: transforms against plain sums in float64."""
    front, back, mask = (golden[f"planes_{name}"][None] for name in ("front", "back", "mask"))
    own, far = (golden[f"planes_kernel_{name}"][None] for name in ("front", "back"))
    cover = blur_valid(mask[None], own)
    light = torch.stack((blur_valid((mask * front)[None], own), blur_valid(back[None], far)))
    assert torch.allclose(cover[0, 0], golden["planes_alpha_blurred"], atol=1e-9, rtol=0)
    found = compose_surfaces(light, cover[None])
    assert torch.allclose(found[0, 0], golden["planes_image"], atol=1e-9, rtol=0)
    near_m, far_m = golden["planes_depth_front_back_m"].tolist()
    colours = [one.expand(3, -1, -1) for one in (front, back)]
    depth_m = put_before(colours[0], mask, colours[1], front_m=near_m, back_m=far_m).depth_m[:, 4:-4, 4:-4]
    assert torch.equal(depth_m[0], golden["planes_depth_map_m"])


def test_two_planes_with_a_kernel_for_every_pixel_are_the_golden_picture(golden):
    def gather(image, kernels):
        patches = image.unfold(0, 7, 1).unfold(1, 7, 1)
        return (patches * kernels.flip(-1, -2)).sum((-2, -1))

    front, back, mask = (golden[f"pp_{name}"] for name in ("front", "back", "mask"))
    own, far = golden["pp_kernels_front"], golden["pp_kernels_back"]
    light = torch.stack((gather(mask * front, own), gather(back, far)))
    found = compose_surfaces(light, gather(mask, own)[None])
    assert torch.allclose(found, golden["pp_image"], atol=1e-9, rtol=0)


def test_a_third_surface_lacks_what_both_before_it_cover():
    light = torch.tensor([0.2, 0.5, 1.0])[:, None, None].expand(3, 2, 2)
    cover = torch.tensor([0.2, 0.5])[:, None, None].expand(2, 2, 2)
    found = compose_surfaces(light, cover)
    assert torch.allclose(found, torch.tensor(0.2 + 0.8 * 0.5 + 0.8 * 0.5 * 1.0))


def test_no_pixel_has_a_depth_between_two_planes():
    soft = MASK.clone()
    soft[..., 18] = 0.4
    soft[..., 19] = 0.6
    scene = put_before(LIGHT, soft, OTHER, front_m=0.6, back_m=1.1)
    assert torch.equal(scene.depth_m.unique(), torch.tensor([0.6, 1.1]))
    assert torch.equal(scene.in_front, soft >= 0.5)
    assert torch.allclose(scene.light[:, :, 18], 0.4 * LIGHT[:, :, 18] + 0.6 * OTHER[:, :, 18])


def test_the_inverse_depth_of_a_tilted_plane_is_linear_over_the_picture():
    depth_m = slant((32, 48), 5, near_m=0.6, far_m=1.2, azimuth_rad=0.7)
    dioptres = 1 / depth_m[0, 5:-5, 5:-5].double()
    for axis in (0, 1):
        assert float(dioptres.diff(n=2, dim=axis).abs().max()) < 1e-5
    assert abs(float(depth_m.min()) - 0.6) < 1e-5
    assert abs(float(depth_m.max()) - 1.2) < 1e-5
    # Nearer to the right and upwards.
    assert float(dioptres[0, -1]) == float(dioptres.max())


def draw(seed, photos=None, **changes):
    settings = StackSettings(shape_px=(32, 32), **changes)
    return draw_scene(settings, photos, 4, generator=torch.Generator().manual_seed(seed))


def test_drawn_planes_lie_in_the_range_evenly_in_dioptres_with_the_nearer_in_front():
    low, high = StackSettings().depth_dpt
    near, far, shares, kinds = [], [], [], []
    for seed in range(60):
        scene = draw(seed, textures=("noise",))
        near_m, far_m = scene.drawn.depths_m
        assert 0.4999 < near_m <= far_m < 1.4151
        near.append(1 / near_m)
        far.append(1 / far_m)
        kinds.append(scene.drawn.kind)
        if scene.drawn.kind == "two_plane":
            shares.append(float(scene.in_front[:, 4:-4, 4:-4].float().mean()))
            assert abs(shares[-1] - scene.drawn.front_share) < 0.05
    # The larger and the smaller of two even draws: two thirds and one third of the way.
    assert abs(np.mean(near) - (low + 2 / 3 * (high - low))) < 0.12
    assert min(shares) < 0.3
    assert max(shares) > 0.7
    assert 0 < kinds.count("one_plane") < 18  # a tenth of 60


def test_one_plane_has_one_depth_and_a_slanted_one_its_range():
    flat = draw(1, scenes="one_plane", textures=("noise",))
    assert len(flat.surfaces) == 1
    assert len(flat.depth_m.unique()) == 1
    tilted = draw(1, scenes="slanted", textures=("noise",))
    assert float(tilted.depth_m.min()) == pytest.approx(tilted.drawn.depths_m[0], rel=1e-5)
    assert float(tilted.depth_m.max()) == pytest.approx(tilted.drawn.depths_m[1], rel=1e-5)


def test_photographs_bring_their_depth_into_the_range(photo_root, tmp_path):
    photos = open_photos(photo_root, index=tmp_path / "index.jsonl")
    scenes = [draw(seed, photos, scenes="photos") for seed in range(8)]
    for scene in scenes:
        assert scene.depth_m.shape == (1, 40, 40)
        assert 0.499 < float(scene.depth_m.min()) <= float(scene.depth_m.max()) < 1.416
    assert {scene.drawn.depth_source for scene in scenes} <= {"file", "segments"}
    assert any(len(scene.depth_m.unique()) > 2 for scene in scenes)


def test_known_metres_stay_if_that_is_wished(photo_root, tmp_path):
    photos = open_photos(photo_root, index=tmp_path / "index.jsonl").subset(["d.png"])
    scenes = [draw(seed, photos, scenes="photos", keep_metres=True) for seed in range(4)]
    assert {scene.drawn.depth_source for scene in scenes} == {"file"}
    # The file's ramp goes from 0.3 to 4 m.
    assert max(float(scene.depth_m.max()) for scene in scenes) > 1.5


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: StackScene(()), "at least one surface"),
        (lambda: StackScene((Surface(LIGHT, torch.ones(1, 40, 40), MASK),)), "something must be behind everything"),
        (lambda: StackScene((Surface(LIGHT, torch.ones(1, 40, 40)),) * 2), "it would hide all that is behind it"),
        (lambda: stand(LIGHT, 0.0), "depths above 0 m"),
        (lambda: StackScene((Surface(LIGHT, torch.ones(1, 40, 39)),)), "depth_m: found shape (1, 40, 39)"),
        (lambda: put_before(LIGHT, MASK, OTHER, front_m=1.1, back_m=0.6), "two depths above 0, ascending"),
        (lambda: put_before(LIGHT, 2 * MASK, OTHER, front_m=0.6, back_m=1.1), "shares from 0 to 1"),
        (lambda: draw(0, scenes="photos"), "photographs to draw from"),
        (lambda: draw(0, textures=("photos",)), "photographs to cut them from"),
        (lambda: compose_surfaces(torch.ones(2, 3, 3), None), "that of 1 surfaces"),
    ],
)
def test_scenes_that_cannot_be_are_refused(build, words):
    with pytest.raises(InputError) as caught:
        build()
    assert words in str(caught.value)


def test_drawn_numbers_are_values():
    drawn = draw(2, textures=("noise",)).drawn
    assert dataclasses.replace(drawn) == drawn
