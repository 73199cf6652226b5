import math

import pytest
import torch

import psf
from learn.restorers.arguments import check_frame, spread_number
from psf import InputError

FIELD = psf.thin_lens_field(
    focal_mm=3.28,
    f_number=2.2,
    focus_m=math.inf,
    pitch_um=8,
    image_shape_px=(20, 30),
    depths_m=torch.tensor([0.5, 1.0]),
)
IMAGE, DEPTH_M = torch.rand(1, 3, 8, 10), torch.ones(1, 1, 8, 10)


def test_the_window_is_handed_on_or_filled_in():
    assert check_frame(IMAGE, DEPTH_M, FIELD, (20, 12)) == (20, 12)
    assert check_frame(torch.rand(2, 3, 20, 30), torch.ones(2, 1, 20, 30), FIELD, None) == (0, 0)


def test_one_number_serves_all_pictures():
    three = torch.zeros(3, 1)
    assert spread_number("read", 2.0, three).tolist() == [2, 2, 2]
    assert spread_number("read", torch.tensor([1.0, 2.0, 3.0]), three).tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"field": None}, "field: found NoneType"),
        ({"image": IMAGE.double()}, "image: found torch.float64"),
        ({"image": IMAGE[:, :2]}, "image: found shape (1, 2, 8, 10)"),
        ({"image": IMAGE * torch.nan}, "image: found values that are NaN"),
        ({"image": None}, "image: found NoneType"),
        ({"depth_m": DEPTH_M[..., :5]}, "one depth per pixel"),
        ({"depth_m": 0 * DEPTH_M}, "depths above 0 m"),
        ({"depth_m": math.nan * DEPTH_M}, "depths above 0 m"),
        ({"window": None}, "the whole sensor (20, 30)"),
        ({"window": (21, 0)}, "a place on the sensor, 20 x 30 px"),
        ({"window": (-1, 0)}, "two integers, 0 or more"),
        ({"window": (0.5, 0)}, "two integers"),
    ],
)
def test_what_does_not_belong_together_is_named_in_one_line(change, words):
    arguments = {"image": IMAGE, "depth_m": DEPTH_M, "field": FIELD, "window": (0, 0), **change}
    with pytest.raises(InputError) as caught:
        check_frame(**arguments)
    assert words in str(caught.value)


@pytest.mark.parametrize("value", [-1.0, math.inf, math.nan, torch.zeros(2)])
def test_bad_numbers_are_refused(value):
    with pytest.raises(InputError, match="read"):
        spread_number("read", value, torch.zeros(3, 1))
