import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from learn.photos import Cropping, Place, centre_place, find_detail
from learn.photos.crops import draw_place, draw_turn, scale_light
from psf import InputError
from render import decode_srgb


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_detail_is_what_a_gaussian_of_1_px_takes_away(picture):
    samples = picture(200, 220)
    grey = samples.mean(-1) / 255
    want = (grey - gaussian_filter(grey, 1.0, truncate=3.0)).std()
    assert find_detail(samples) == pytest.approx(want, rel=0.02)  # borders count there and not here
    assert find_detail((samples.astype(np.uint16)) * 257) == pytest.approx(find_detail(samples), rel=1e-5)


def test_a_plain_wall_and_a_stamp_have_no_detail():
    assert find_detail(np.full((50, 50, 3), 77, np.uint8)) < 1e-5
    assert find_detail(np.zeros((6, 50, 3), np.uint8)) == 0


def test_blur_takes_detail(picture):
    sharp, soft = find_detail(picture(120, 120, smooth=0.7)), find_detail(picture(120, 120, smooth=6))
    assert sharp > 2 * soft


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("exposure_ev", [0.0, -0.4, 0.5])
def test_exposure_multiplies_light_and_clips(dtype, exposure_ev):
    samples = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (20, 30, 3), endpoint=True).astype(dtype)
    srgb = scale_light(samples, exposure_ev)
    light = decode_srgb(torch.from_numpy(samples / np.iinfo(dtype).max)).permute(2, 0, 1)
    assert srgb.dtype == torch.float32
    assert (decode_srgb(srgb.double()) - (light * 2**exposure_ev).clamp(0, 1)).abs().max() < 1e-6


def test_a_map_is_cut_and_turned_as_the_picture_is():
    whole = np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype(np.uint8)
    for turns in range(4):
        for mirrored in (False, True):
            shape = (20, 30) if turns % 2 == 0 else (30, 20)
            place = Place((60, 80), 13, 7, 1.0, shape, mirrored, turns)
            left, top, width, height = map(int, place.box)
            cut = place.turn_samples(whole[top : top + height, left : left + width])
            assert cut.shape == (*shape, 3)
            found = place.cut_map(torch.from_numpy(whole.astype(np.float32)).permute(2, 0, 1))
            assert (found.permute(1, 2, 0).numpy() == cut).all()


def test_a_quarter_turn_is_counter_clockwise():
    place = Place((9, 9), 0, 0, 1.0, (9, 9), False, 1)
    whole = torch.zeros(1, 9, 9)
    whole[0, 4, 8] = 1  # right of the centre goes to the top
    assert place.cut_map(whole)[0, 0, 4] == 1


@pytest.mark.parametrize("scale", [1.0, 0.7])
@pytest.mark.parametrize("map_px", [(30, 40), (60, 80), (120, 160)])
def test_maps_of_any_resolution_show_the_same_place(scale, map_px):
    rows = (torch.arange(map_px[0]) + 0.5) / map_px[0]
    columns = (torch.arange(map_px[1]) + 0.5) / map_px[1]
    ramp = torch.stack([rows[:, None].expand(map_px), columns.expand(map_px)])
    place = Place((60, 80), 22, 15, scale, (24, 28))
    found = place.cut_map(ramp)
    want_rows = (15 + (torch.arange(24) + 0.5) / scale) / 60
    want_columns = (22 + (torch.arange(28) + 0.5) / scale) / 80
    half_px = 0.51 / map_px[0] if map_px[0] >= 60 * scale else 1e-5
    assert (found[0] - want_rows[:, None]).abs().max() < half_px
    assert (found[1] - want_columns).abs().max() < half_px
    assert (place.row_shares()[0] - want_rows[:, None]).abs().max() < 1e-6


def test_fine_depth_edges_stay_edges_and_coarse_ones_are_interpolated():
    step = torch.zeros(1, 60, 80)
    step[..., 40:] = 1
    place = Place((60, 80), 0, 0, 0.8, (48, 64))
    assert set(place.cut_map(step).unique().tolist()) == {0.0, 1.0}
    assert place.cut_map(step[:, ::4, ::4]).unique().numel() > 2


def test_draws_are_even_and_inside():
    cropping = Cropping((40, 40))
    g = generator()
    drawn = []
    for _ in range(1000):
        turn = draw_turn((90, 130), cropping, g)
        left, top, width, height = draw_place((90, 130), cropping, turn, g).box
        assert left >= 0
        assert left + width <= 130 + 1e-5
        assert top >= 0
        assert top + height <= 90 + 1e-5
        shares = [left / (130 - width + 1), top / (90 - height + 1)]
        drawn.append(
            [turn.scale, turn.keeps_plain, turn.mirrored, turn.quarter_turns / 3, turn.exposure_ev + 0.5, *shares]
        )
    scales, plain, *others = torch.tensor(drawn, dtype=torch.float64).T
    # The standard error of 1000 even draws is 0.9 % of their range, 1.6 % where there are only two values.
    assert abs(scales.mean() - 0.75) < 0.02
    assert 0.5 <= scales.min() < scales.max() <= 1
    assert abs(plain.mean() - 0.15) < 0.05
    assert max(abs(float(one.mean()) - 0.5) for one in others) < 0.05


def test_small_photographs_are_shrunk_less():
    scales = [draw_turn((50, 60), Cropping((40, 40)), generator(seed)).scale for seed in range(50)]
    assert 0.8 <= min(scales) < 0.85
    assert draw_turn((300, 300), Cropping((40, 40), shrink=(0.2, 0.3)), generator()).scale < 0.3


def test_crops_may_stand_on_end():
    cropping = Cropping((20, 50))
    for seed in range(20):
        turn = draw_turn((60, 60), cropping, generator(seed))
        place = draw_place((60, 60), cropping, turn, generator(seed))
        assert place.cut_map(torch.rand(1, 60, 60, generator=generator())).shape == (1, 20, 50)


def test_the_middle_fills_the_crop():
    place = centre_place((60, 80), (30, 30))
    assert place == Place((60, 80), 10, 0, 0.5, (30, 30))
    assert centre_place((60, 80), (30, 30), 1.0) == Place((60, 80), 25, 15, 1.0, (30, 30))
    for scale in (0.4, 1.1):
        with pytest.raises(InputError, match="which fills the crop"):
            centre_place((60, 80), (30, 30), scale)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shape_px": (4, 40)}, "Cropping.shape_px"),
        ({"shrink": (0.0, 1.0)}, "Cropping.shrink"),
        ({"shrink": (0.5, 1.5)}, "Cropping.shrink"),
        ({"exposure_ev": -1.0}, "Cropping.exposure_ev"),
        ({"exposure_ev": math.inf}, "Cropping.exposure_ev"),
        ({"redraw": 1.0}, "Cropping.redraw"),
        ({"least_detail": -1.0}, "Cropping.least_detail"),
        ({"places": 0}, "Cropping.places"),
    ],
)
def test_settings_that_make_no_sense_are_named(change, words):
    with pytest.raises(InputError, match=words):
        Cropping(**{"shape_px": (40, 40), **change})


def test_a_photograph_smaller_than_the_crop_is_refused():
    with pytest.raises(InputError, match="39 x 80 px"):
        draw_turn((80, 39), Cropping((40, 40)), generator())
    with pytest.raises(InputError, match="cut_map"):
        Place((9, 9), 0, 0, 1.0, (9, 9)).cut_map(torch.zeros(9, 9))
