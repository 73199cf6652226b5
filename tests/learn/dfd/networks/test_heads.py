import math

import pytest
import torch

from learn.dfd.networks import DepthConfig, to_depth_m, to_place

DEPTHS_M = torch.tensor([0.5, 0.72, 1.415], dtype=torch.float64)


@pytest.mark.parametrize("head", ["dioptres", "metres"])
def test_the_nearest_depth_is_1_and_the_farthest_0(head):
    config = DepthConfig(head=head)
    place = to_place(DEPTHS_M, config)
    assert place[[0, 2]].tolist() == pytest.approx([1.0, 0.0], abs=1e-12)
    assert torch.allclose(to_depth_m(place, config), DEPTHS_M)


def test_half_way_is_half_way_in_the_heads_own_unit():
    half = torch.tensor(0.5, dtype=torch.float64)
    assert 1 / float(to_depth_m(half, DepthConfig())) == pytest.approx((1 / 0.5 + 1 / 1.415) / 2)
    assert float(to_depth_m(half, DepthConfig(head="metres"))) == pytest.approx((0.5 + 1.415) / 2)


def test_answers_stay_in_the_range_and_finite():
    found = to_depth_m(torch.tensor([-3.0, 4.0]), DepthConfig(depth_m=(0.5, math.inf)))
    assert bool(found.isfinite().all())
    assert float(found[1]) == 0.5
    assert float(to_place(torch.tensor(math.inf), DepthConfig(depth_m=(0.5, math.inf)))) == 0.0
