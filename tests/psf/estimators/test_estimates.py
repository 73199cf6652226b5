import math

import numpy as np
import pytest
import torch

from psf import Captures
from psf.errors import InputError
from psf.estimators.estimates import check_pairs, identify_run, make_field, read_places, spread_places

RANGE_M = (0.5, 2.0)


def make(focus_m: list[float]) -> Captures:
    sharp = np.random.default_rng(0).random((len(focus_m), 12, 12))
    depth_m = [0.5 + 0.1 * n for n in range(len(focus_m))]
    return Captures.from_arrays(sharp, sharp[:, 2:-2, 2:-2], [0] * 3, [1, 2, 3], depth_m, (20, 30), 5, focus_m)


def test_pairs_of_several_focus_distances_and_no_pairs_are_refused():
    check_pairs(make([0.7, 0.7, 0.7]))
    with pytest.raises(InputError, match=r"0\.7, 0\.9"):
        check_pairs(make([0.7, 0.9, 0.7]))
    with pytest.raises(InputError, match="no pairs"):
        check_pairs(make([0.7, 0.7, 0.7]).chosen([]))


def test_a_run_is_known_by_its_pairs_its_settings_and_what_else_it_learns_from():
    captures = make([0.7, 0.7, 0.7])
    same = identify_run(make([0.7, 0.7, 0.7]), [3, {"steps": 5}])
    assert identify_run(captures, [3, {"steps": 5}]) == same
    others = [
        identify_run(captures, [4, {"steps": 5}]),
        identify_run(captures.chosen([0, 1]), [3, {"steps": 5}]),
        identify_run(captures, [3, {"steps": 5}], [torch.ones(2)]),
    ]
    assert len({same, *others}) == 4


def test_depths_outside_are_kept_to_the_captured_ones_and_told():
    with pytest.warns(UserWarning, match=r"3 m is outside the captured 0\.5 to 2 m"):
        radius, depth_m = read_places(RANGE_M, radius=0.3, depth_m=torch.tensor([0.5, 1.0, 3.0]))
    assert depth_m.tolist() == [0.5, 1.0, 2.0]
    assert radius.shape == (3,)


@pytest.mark.parametrize(
    ("places", "named"),
    [
        ({"radius": 0.3, "depth_m": 0.0}, "depth_m"),
        ({"radius": -0.1, "depth_m": 1.0}, "radius"),
        ({"x_px": math.nan, "y_px": 1.0, "depth_m": 1.0}, "x_px"),
        ({"radius": torch.zeros(2), "depth_m": torch.ones(3)}, "2 of radius, 3 of depth_m"),
    ],
)
def test_places_that_are_none_are_refused_by_name(places, named):
    with pytest.raises(InputError, match=named):
        read_places(RANGE_M, **places)


def test_a_field_holds_kernels_by_depth_and_image_height():
    depths, heights, depth_m, radius = spread_places([0.5, 1.0], [0.0, 0.4, 1.0])
    kernels = torch.zeros(6, 1, 3, 3)
    kernels[:, 0, 1, 1] = 1 - 0.1 * radius.float() * depth_m.float()
    kernels[:, 0, 1, 2] = 0.1 * radius.float() * depth_m.float()
    places = {"image_shape_px": (20, 30), "focus_m": 0.7, "magnification": 1.01, "method": "direct"}
    field = make_field(kernels, depths, heights, torch.tensor([[1.0], [0.9], [0.5]]), pitch_um=None, **places)
    assert float(field.kernels[1, 1, 0, 1, 2]) == pytest.approx(0.04)
    assert field.transmission[:, 2, 0].tolist() == [0.5, 0.5]
    assert "unknown" in field.provenance.arguments["pitch"]
