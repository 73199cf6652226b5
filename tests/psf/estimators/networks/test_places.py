import math

import pytest
import torch

from psf.errors import InputError
from psf.estimators.networks.places import PlaceScale


def scale_of(inputs, dioptres=(0.5, 2.5)):
    return PlaceScale(inputs, (30, 40), dioptres, 1.0)


def test_depths_become_minus_one_to_one_in_dioptres():
    depth_m = torch.tensor([2.0, 1 / 1.5, 0.4], dtype=torch.float64)
    assert torch.allclose(scale_of("none").scale_depth(depth_m), torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64))


def test_infinity_is_a_depth():
    assert scale_of("none", (0.0, 2.0)).scale_depth(torch.tensor([math.inf])).tolist() == [-1.0]


def test_a_single_depth_is_in_the_middle():
    assert scale_of("none", (2.0, 2.0)).scale_depth(torch.tensor([0.5])).tolist() == [0.0]


@pytest.mark.parametrize("inputs", ["none", "xy", "ih"])
def test_depth_and_focus_come_last(inputs):
    places = scale_of(inputs).at_radius(torch.tensor([0.3]), torch.tensor([0.4]))
    assert places.shape == (1, scale_of(inputs).count)
    assert places[0, -2] == pytest.approx(1.0)
    assert places[0, -1] == pytest.approx(-0.5)  # 1 dioptre between 0.5 and 2.5


def test_pixels_are_told_right_and_up_and_image_heights_without_their_azimuth():
    x_px, y_px, depth_m = torch.tensor([19.5, 34.5]), torch.tensor([4.5, 14.5]), torch.tensor([1.0, 1.0])
    places, cosine, sine = scale_of("xy").at_pixel(x_px, y_px, depth_m)
    # Half the diagonal of 30 x 40 px is 25 px: 10 px up, 15 px right.
    assert torch.allclose(places[:, :2], torch.tensor([[0.0, 0.4], [0.6, 0.0]]), atol=1e-6)
    assert torch.allclose(cosine, torch.tensor([0.0, 1.0]), atol=1e-6)
    assert torch.allclose(sine, torch.tensor([1.0, 0.0]), atol=1e-6)
    heights, *_ = scale_of("ih").at_pixel(x_px, y_px, depth_m)
    assert torch.allclose(heights[:, 0], 2 * torch.tensor([0.4, 0.6]) - 1)


def test_azimuth_0_is_to_the_right():
    places = scale_of("xy").at_radius(torch.tensor([0.6]), torch.tensor([1.0]))
    assert places[0, :2].tolist() == pytest.approx([0.6, 0.0])


def test_other_inputs_are_refused():
    with pytest.raises(InputError, match=r"PlaceScale\.inputs"):
        scale_of("polar")
