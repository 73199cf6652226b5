import json

import pytest

from learn.joint.settings import JointSettings, ScanAxis
from optics import FOCUS, Variable
from psf import InputError


def test_settings_are_json_with_infinite_numbers_as_text():
    told = JointSettings(free=("surface2.asphere_4", Variable(FOCUS, low=0.1))).to_json()
    again = json.loads(json.dumps(told, allow_nan=False))
    assert again["free"][1]["high"] == "inf"
    assert again["grid"]["depths_m"][0] == "inf"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"free": ()}, "free"),
        ({"restorer": "magic"}, "restorer"),
        ({"mode": "both"}, "mode"),
        ({"steps": 0}, "steps"),
        ({"network_steps": -1}, "network_steps"),
        ({"box_steps": 0.0}, "box_steps"),
        ({"weight_rate": -1.0}, "weight_rate"),
        ({"least_gain_db": -1.0}, "least_gain_db"),
        ({"settle_rounds": -1}, "settle_rounds"),
        ({"pool": 3}, "pool"),
        ({"side_px": 15}, "side_px"),
    ],
)
def test_unusable_settings_are_refused(change, words):
    with pytest.raises(InputError, match=words):
        JointSettings(**change)


@pytest.mark.parametrize("ends", [(1.0, 0.0, 3), (0.0, float("inf"), 3), (0.0, 1.0, 1)])
def test_scans_that_go_nowhere_are_refused(ends):
    with pytest.raises(InputError, match="scan of focus_mm"):
        ScanAxis(FOCUS, *ends)
