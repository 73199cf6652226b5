import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from psf.captures import Captures, HeldPairs, join_patches
from psf.errors import InputError
from psf.turning import polar_place

K = 5


def make_arrays(count=6, channels=(), height=20, width=24, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    sharp = torch.rand((count, *channels, height + K - 1, width + K - 1), generator=generator).to(dtype)
    half = K // 2
    return {
        "sharp": sharp,
        "blurred": sharp[..., half:-half, half:-half].clone(),
        "x0_px": torch.arange(count) * 3,
        "y0_px": torch.arange(count) * 2,
        "depth_m": 0.5 + 0.25 * (torch.arange(count) // 2),
        "image_shape_px": (60, 80),
        "kernel_px": K,
        "focus_m": 0.7,
    }


def test_pairs_keep_their_pixels_and_their_places():
    arrays = make_arrays()
    captures = Captures.from_arrays(**arrays)
    assert len(captures) == 6
    pair = captures[2]
    assert pair.sharp.equal(arrays["sharp"][2][None])
    assert pair.blurred.equal(arrays["blurred"][2][None])
    assert (float(pair.x0_px), float(pair.y0_px), float(pair.depth_m), float(pair.focus_m)) == (6, 4, 0.75, 0.7)
    assert pair.kernel_px == K
    assert [int(one.index) for one in captures] == list(range(6))
    assert captures[-1].blurred.equal(captures[5].blurred)
    assert "6 pairs" in repr(captures)


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
@pytest.mark.parametrize("as_numpy", [False, True])
def test_grey_and_rgb_as_tensors_and_as_numpy_arrays(channels, as_numpy):
    arrays = make_arrays(channels=channels)
    if as_numpy:
        arrays = {name: np.asarray(value) for name, value in arrays.items()} | {"kernel_px": K}
    captures = Captures.from_arrays(**arrays)
    count = channels[0] if channels else 1
    assert captures.channel_count == count
    assert captures.sharp.shape == (6, count, 24, 28)
    assert captures.blurred.shape == (6, count, 20, 24)
    assert captures.sharp.dtype == torch.float32


def test_numbers_without_a_pixel_shift_hold_for_all_pairs():
    arrays = make_arrays() | {"x0_px": 3, "y0_px": [4], "depth_m": 0.9, "focus_m": math.inf}
    captures = Captures.from_arrays(**arrays)
    assert captures.x0_px.tolist() == [3] * 6
    assert captures.depths_m.tolist() == pytest.approx([0.9])
    assert captures.focuses_m.tolist() == [math.inf]
    assert len(captures.at_focus(math.inf)) == 6


def test_halves_become_single_and_two_precisions_the_wider_one():
    arrays = make_arrays()
    captures = Captures.from_arrays(
        **(arrays | {"sharp": arrays["sharp"].half(), "blurred": arrays["blurred"].double()})
    )
    assert captures.sharp.dtype == captures.blurred.dtype == torch.float64


def test_pictures_do_not_change_when_the_callers_places_do():
    arrays = make_arrays()
    captures = Captures.from_arrays(**arrays)
    arrays["x0_px"] += 5
    assert captures.x0_px[0] == 0


def test_radius_and_azimuth_belong_to_the_pixels_of_the_blurred_picture():
    captures = Captures.from_arrays(**make_arrays())
    pair = captures[3]
    radius, azimuth = captures.radius(3), captures.azimuth_rad(3)
    assert radius.shape == azimuth.shape == (20, 24)
    # Row 7, column 11 of the crop: right of 9 and below 6 on a sensor of 80 x 60.
    right, up = 9 + 11 - 39.5, 29.5 - (6 + 7)
    assert float(radius[7, 11]) == pytest.approx(math.hypot(right, up) / 50)
    assert float(azimuth[7, 11]) == pytest.approx(math.atan2(up, right))
    assert pair.radius().allclose(radius)
    assert pair.azimuth_rad().allclose(azimuth)
    assert [float(one) for one in pair.middle()] == [9 + 11.5, 6 + 9.5]


def test_polar_places_are_those_of_the_independent_vectors(shared):
    with np.load(shared / "golden" / "psfnet_b.npz") as file:
        golden = {name: file[name] for name in file.files if name.startswith("polar_")}
    shape = tuple(int(one) for one in golden["polar_image_shape_px"])
    light = torch.rand((1, shape[0] + K - 1, shape[1] + K - 1), generator=torch.Generator().manual_seed(1))
    captures = Captures.from_arrays(light, light[:, 2:-2, 2:-2], 0, 0, 1.0, shape, K, 1.0)
    for x, y, radius, azimuth in zip(
        *(golden[f"polar_{name}"] for name in ("x_px", "y_px", "radius", "azimuth_rad")), strict=True
    ):
        place = polar_place(torch.tensor(x), torch.tensor(y), shape)
        assert float(place[0]) == pytest.approx(radius, abs=1e-8)
        if x == int(x) and y == int(y):
            assert float(captures.radius(0)[int(y), int(x)]) == pytest.approx(radius, abs=1e-8)
            assert float(captures.azimuth_rad(0)[int(y), int(x)]) == pytest.approx(azimuth, abs=1e-8)


def test_depths_and_focus_distances_choose_pairs():
    arrays = make_arrays() | {"focus_m": [0.5, 0.8] * 3}
    captures = Captures.from_arrays(**arrays)
    assert captures.depths_m.tolist() == [0.5, 0.75, 1.0]
    assert captures.focuses_m.tolist() == [0.5, 0.8]
    chosen = captures.at_depth(0.75).at_focus(0.8)
    assert len(chosen) == 1
    assert chosen[0].blurred.equal(captures[3].blurred)
    assert chosen.names == ("pair 3",)
    assert captures.chosen([4, 1]).names == ("pair 4", "pair 1")
    assert captures.chosen(captures.x0_px > 10).names == ("pair 4", "pair 5")
    with pytest.raises(InputError, match=r"depth_m: found 0.6, expected one of 0.5, 0.75, 1"):
        captures.at_depth(0.6)


def test_depths_that_are_one_but_for_rounding_count_once():
    arrays = make_arrays() | {"depth_m": torch.tensor([0.5, 0.5000001, 0.5, 0.7, math.inf, math.inf])}
    assert Captures.from_arrays(**arrays).depths_m.tolist() == pytest.approx([0.5, 0.7, math.inf], rel=1e-5)


def test_patch_is_a_part_of_its_pair_with_the_margin_that_a_kernel_wants():
    pair = Captures.from_arrays(**make_arrays())[1]
    patch = pair.cut(3, 4, 8, 9)
    assert patch.blurred.shape == (1, 8, 9)
    assert patch.sharp.shape == (1, 12, 13)
    assert patch.blurred.equal(pair.blurred[:, 3:11, 4:13])
    assert patch.sharp[:, 2:-2, 2:-2].equal(patch.blurred)
    assert patch.radius().allclose(pair.radius()[3:11, 4:13])
    with pytest.raises(InputError, match="cut: found 9 x 8 px at column 16, row 3"):
        pair.cut(3, 16, 8, 9)


def test_same_seed_draws_the_same_patches_and_another_one_others():
    captures = Captures.from_arrays(**make_arrays())
    batches = [captures.draw(5, 8, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert batches[0].sharp.shape == (5, 1, 12, 12)
    assert batches[0].radius().shape == (5, 8, 8)
    assert batches[0].depth_m.shape == batches[0].index.shape == (5,)
    assert batches[0].sharp.equal(batches[1].sharp)
    assert not batches[0].sharp.equal(batches[2].sharp)
    for n in range(5):
        pair = captures[int(batches[0].index[n])]
        row, column = int(batches[0].y0_px[n] - pair.y0_px), int(batches[0].x0_px[n] - pair.x0_px)
        assert batches[0].blurred[n].equal(pair.blurred[:, row : row + 8, column : column + 8])


def test_flat_patches_are_not_drawn():
    arrays = make_arrays()
    arrays["sharp"][:4] = 0.5
    with pytest.warns(UserWarning, match=r"no pair at depth 0.5, 0.75 m has texture"):
        captures = Captures.from_arrays(**arrays)
    batch = captures.draw(20, 8, generator=torch.Generator().manual_seed(0))
    assert set(batch.index.tolist()) == {4, 5}
    with pytest.raises(InputError, match="patches without contrast"):
        captures.at_depth(0.5).draw(1, 8, generator=torch.Generator().manual_seed(0))


def test_pairs_that_are_held_back_are_the_others():
    captures = Captures.from_arrays(**make_arrays())
    kept, held = captures.split(0.3, generator=torch.Generator().manual_seed(0))
    assert (len(kept), len(held)) == (4, 2)
    assert sorted(kept.names + held.names) == sorted(captures.names)
    with pytest.raises(InputError, match="held_share"):
        captures.split(1.0, generator=torch.Generator().manual_seed(0))


def test_pairs_that_are_read_each_time_can_be_loaded_once():
    reads = []

    class Counting(HeldPairs):
        def read_pair(self, row):
            reads.append(row)
            return super().read_pair(row)

    held = Captures.from_arrays(**make_arrays())
    source = Counting(held.source.sharp, held.source.blurred)
    from dataclasses import replace

    chosen = replace(held, source=source).chosen([5, 0])
    assert not reads
    loaded = chosen.to(dtype=torch.float64)
    assert reads == [5, 0]
    assert loaded[0].sharp.equal(held[5].sharp.double())
    assert len(list(loaded)) == 2
    assert reads == [5, 0]


def test_single_pairs_make_a_batch():
    captures = Captures.from_arrays(**make_arrays())
    batch = join_patches([captures[1], captures[4]])
    assert batch.radius()[1].allclose(captures.radius(4))
    with pytest.raises(InputError, match="patches: found none"):
        join_patches([])


def spoil(arrays, name, index, value):
    spoiled = arrays[name].clone()
    spoiled[index] = value
    return arrays | {name: spoiled}


BASE = make_arrays()
REFUSED = [
    (BASE | {"sharp": BASE["sharp"][..., 1:]}, ["sharp", "27 x 24", "4 px more"]),
    (BASE | {"sharp": BASE["sharp"][1:]}, ["blurred", "(6, 20, 24)", "(5,)"]),
    (BASE | {"sharp": (BASE["sharp"] * 255).to(torch.uint8)}, ["sharp", "uint8", "linear light"]),
    (BASE | {"sharp": BASE["sharp"][0]}, ["sharp", "shape (24, 28)"]),
    (BASE | {"sharp": "nothing"}, ["sharp"]),
    (spoil(BASE, "sharp", (3, 1, 2), math.nan), ["pair 3", "sharp", "1 pixels", "(0, 1, 2)", "finite"]),
    (spoil(BASE, "blurred", (0, 1, 2), math.inf), ["pair 0", "blurred", "finite"]),
    (BASE | {"sharp": BASE["sharp"] * 0 + 0.5}, ["sharp", "standard deviation of at most 0", "texture"]),
    (BASE | {"kernel_px": 4}, ["kernel_px", "4", "odd"]),
    (BASE | {"kernel_px": 7}, ["sharp", "6 px more"]),
    (BASE | {"depth_m": 0.0}, ["pair 0", "depth_m", "0.0", "above 0 m"]),
    (BASE | {"depth_m": [1, 1, 1, 1, 1, math.nan]}, ["pair 5", "depth_m", "nan"]),
    (BASE | {"depth_m": [1.0, 2.0]}, ["depth_m", "2 numbers", "6"]),
    (BASE | {"focus_m": -1.0}, ["focus_m", "-1"]),
    (BASE | {"x0_px": 57}, ["pair 0", "x0_px", "57", "0 to 56"]),
    (BASE | {"y0_px": -1}, ["pair 0", "y0_px", "-1", "0 to 40"]),
    (BASE | {"image_shape_px": (10, 10)}, ["pair 0", "24 x 20", "10 x 10"]),
    (BASE | {"image_shape_px": (10,)}, ["image_shape_px", "(10,)"]),
    (BASE | {"pitch_um": -1.0}, ["pitch_um", "-1"]),
    (BASE | {"names": ["a"]}, ["names", "1 of them", "6"]),
    (BASE | {"x0_px": "left"}, ["x0_px", "left"]),
]


@pytest.mark.parametrize(("arrays", "words"), REFUSED, ids=[" ".join(words[:2]) for _, words in REFUSED])
def test_arrays_that_cannot_be_captures_are_refused_in_one_line(arrays, words):
    with pytest.raises(InputError) as caught:
        Captures.from_arrays(**arrays)
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text


@pytest.mark.parametrize("name", ["names", "x0_px", "depth_m", "focus_m"])
def test_a_number_for_every_pair_or_an_error_that_says_which(name):
    captures = Captures.from_arrays(**make_arrays())
    with pytest.raises(InputError, match=rf"Captures\.{name}: found 5 of them, expected 6, one per pair"):
        replace(captures, **{name: getattr(captures, name)[:5]})
