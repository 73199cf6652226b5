import math

import pytest

from learn.dfd.networks import DepthConfig
from psf import InputError


def test_a_configuration_survives_json():
    config = DepthConfig(
        kind="dual_dfd", width=8, pictures=3, with_radius=False, head="metres", depth_m=(0.3, 2.0), shown="detail"
    )
    assert DepthConfig.from_json(config.to_json()) == config
    assert DepthConfig.from_json({}) == DepthConfig()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "unet"}, "config.kind: found 'unet'"),
        ({"head": "disparity"}, "config.head"),
        ({"width": 0}, "config.width: found 0"),
        ({"pictures": 1}, "config.pictures: found 1"),
        ({"with_radius": 1}, "config.with_radius"),
        ({"kind": "cost_volume"}, "config.with_radius: found True"),
        ({"kind": "cost_volume", "with_radius": False, "shown": "detail"}, "config.shown: found 'detail'"),
        ({"shown": "edges"}, "config.shown: found 'edges'"),
        ({"candidates": 2}, "config.candidates: found 2"),
        ({"depth_m": [2.0, 1.0]}, "config.depth_m"),
        ({"depth_m": [1.0, math.inf], "head": "metres"}, "a finite farthest depth"),
        ({"filters": 16}, "config.filters: found a name that is not known"),
    ],
)
def test_what_is_no_network_is_refused(changes, words):
    with pytest.raises(InputError) as caught:
        DepthConfig.from_json(changes)
    assert words in str(caught.value)
