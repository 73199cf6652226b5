import math

import pytest

from psf.errors import InputError
from psf.estimators.networks.options import NetworkOptions


def test_nothing_has_to_be_told():
    options = NetworkOptions()
    assert (options.smooth_weight, options.radial_weight, options.radial_centre) == (1.0, 10.0, "kernel")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 0}, "steps"),
        ({"batch": True}, "batch"),
        ({"patch_px": 2.5}, "patch_px"),
        ({"width": -1}, "width"),
        ({"levels": 0}, "levels"),
        ({"step_size": 0.0}, "step_size"),
        ({"last_step_size": math.inf}, "last_step_size"),
        ({"smooth_weight": -1.0}, "smooth_weight"),
        ({"radial_weight": math.nan}, "radial_weight"),
        ({"turning": "nearest"}, "turning"),
        ({"radial_centre": "corner"}, "radial_centre"),
        ({"known_loss": "l3"}, "known_loss"),
        ({"magnification": "none"}, "magnification"),
        ({"magnification": 3.0}, "magnification"),
    ],
)
def test_options_are_checked_at_the_door(changes, words):
    with pytest.raises(InputError, match=rf"NetworkOptions\.{words}"):
        NetworkOptions(**changes)
