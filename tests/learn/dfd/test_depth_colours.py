import math

import pytest
import torch

from learn.dfd.depth_colours import colour_depth, colour_values
from psf import InputError


def test_near_is_bright_far_is_dark_and_unknown_grey():
    found = colour_depth(torch.tensor([[[0.5, math.inf, math.nan]]]), (0.5, math.inf))
    light = found.mean(0)[0]
    assert light[0] > 0.8
    assert light[1] < 0.05
    assert found[:, 0, 2].tolist() == [0.5, 0.5, 0.5]


def test_light_rises_with_the_value():
    light = colour_values(torch.linspace(-0.2, 1.2, 50).reshape(1, 5, 10)).sum(0).flatten()
    assert bool((light.diff() >= -1e-6).all())


def test_what_is_no_map_is_refused():
    with pytest.raises(InputError, match="ends_m"):
        colour_depth(torch.ones(1, 2, 2), (1.0, 1.0))
    with pytest.raises(InputError, match="values"):
        colour_values(torch.ones(2, 2))
