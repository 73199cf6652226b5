"""Compiled loops; their results are compared with torch operations in the tests of `nodes` and `weights`."""

import math

import numpy as np
import pytest

from render import gathering, nodes


def test_padding_is_the_one_that_the_caller_puts_round_kernels():
    assert gathering.PAD == nodes.PAD


@pytest.mark.parametrize("azimuth_deg", [0, 30, 89.9, 90, 200, 300])
def test_a_place_is_found_by_radius_and_azimuth(azimuth_deg):
    radii = np.array([0.0, 0.25, 1.0])
    azimuth = math.radians(azimuth_deg)
    x, y = 50 + 30 * math.cos(azimuth), 40 - 30 * math.sin(azimuth)
    cosine, sine, low, high, share, k, g = gathering.place_of(x, y, np.array([50.0, 40.0, 60.0]), radii, 65)
    assert abs(cosine - math.cos(azimuth)) < 1e-12
    assert abs(sine - math.sin(azimuth)) < 1e-12
    assert (low, high) == (1, 2)
    assert abs(share - 1 / 3) < 1e-12
    inner = azimuth % (math.pi / 2)
    index = 64 * math.sin(inner) / (math.sin(inner) + math.cos(inner))
    assert min(abs(k + g - index), abs(abs(k + g - index) - 64)) < 1e-9


def test_the_centre_and_places_beyond_the_corner_are_places_too():
    centre, radii = np.array([50.0, 40.0, 60.0]), np.array([0.0, 0.5, 1.0])
    assert gathering.place_of(50.0, 40.0, centre, radii, 65)[:5] == (1, 0, 0, 0, 0)
    assert gathering.place_of(500.0, 40.0, centre, radii, 65)[2:4] == (2, 2)
