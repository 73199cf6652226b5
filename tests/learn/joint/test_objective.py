import math

import pytest
import torch

from learn.joint.objective import (
    Goal,
    find_depth_errors_db,
    find_errors,
    find_soft_worst,
    settle_depth_weights,
    shift_depth_weights,
)
from psf import InputError
from render import process_for_loss


def test_soft_worst_of_equal_depths_is_their_own():
    assert float(find_soft_worst(torch.full((5,), -23.0), Goal())) == pytest.approx(-23.0, abs=1e-4)


def test_soft_worst_tends_to_the_worst():
    goal = Goal(softness_db=0.01, mean_share=0.0)
    assert float(find_soft_worst(torch.tensor([-30.0, -22.0, -25.0]), goal)) == pytest.approx(-22.0, abs=0.02)


def test_errors_are_those_of_developed_pictures(patches):
    own = patches(2, 12, 5)
    sharp = torch.rand((2, 4, 6, 6), generator=torch.Generator().manual_seed(0))
    restored = (sharp * 0.9)[None, None]
    plain = process_for_loss(0.9 * sharp, own.metadata) - process_for_loss(sharp, own.metadata)
    found = find_errors(restored, sharp, own.metadata)
    assert float(found[0, 0]) == pytest.approx(float(plain.square().mean()), rel=1e-5)
    assert float(find_depth_errors_db(found)) == pytest.approx(10 * math.log10(float(found)), rel=1e-5)


def test_weights_turn_to_the_worst_depth_and_stay_shares():
    weights = torch.full((3,), 1 / 3)
    for _ in range(50):
        weights = shift_depth_weights(weights, torch.tensor([-25.0, -22.0, -22.0]), 0.2)
    assert float(weights.sum()) == pytest.approx(1.0, abs=1e-6)
    assert float(weights[0]) < 1e-3
    assert float(weights[1]) == pytest.approx(float(weights[2]), rel=1e-5)


def test_settled_weights_make_depths_alike_where_they_can():
    # Errors that a share of weight takes away: the second depth is the harder one by 2 dB.
    way = settle_depth_weights(lambda weights: torch.tensor([-26.0, -24.0]) - 10 * weights, 2, 40, 0.3)
    assert len(way) == 41
    assert way[0].tolist() == [0.5, 0.5]
    assert float(way[-1][1]) == pytest.approx(0.6, abs=1e-3)


def test_pictures_of_another_shape_are_refused(patches):
    own = patches(2, 12, 5)
    with pytest.raises(InputError, match="sharp"):
        find_errors(torch.zeros(1, 1, 2, 4, 6, 6), torch.zeros(2, 4, 5, 5), own.metadata)


@pytest.mark.parametrize("change", [{"softness_db": 0.0}, {"mean_share": 2.0}, {"limit_weight_db": -1.0}])
def test_unusable_goals_are_refused(change):
    with pytest.raises(InputError, match="Goal"):
        Goal(**change)
