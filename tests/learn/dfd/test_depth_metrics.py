import math

import numpy as np
import pytest
import torch

from learn.dfd.depth_metrics import (
    EDGE_PX,
    NO_ERRORS,
    find_edge_distance_px,
    measure_depth,
    measure_risk,
    measure_thirds,
)
from psf import InputError


def test_golden_numbers(shared):
    golden = np.load(shared / "golden" / "psfnet_b.npz")
    found = measure_depth(*(torch.from_numpy(golden[f"depth_{name}_m"]) for name in ("estimate", "true")))
    names = {"mae_m": "mae_m", "rmse_m": "rmse_m", "abs_rel": "abs_rel", "sq_rel_m": "sq_rel", "rmse_log": "rmse_log"}
    names |= {"mae_dpt": "mae_dioptre", "rmse_dpt": "rmse_dioptre"}
    for own, name in names.items():
        assert getattr(found, own) == pytest.approx(float(golden[f"depth_{name}"]), abs=1e-12)
    deltas = [found.delta1, found.delta2, found.delta3]
    assert deltas == pytest.approx(golden["depth_delta"].tolist(), abs=1e-12)


def test_closed_form():
    found = measure_depth(torch.tensor([1.0, 2.0]), torch.tensor([0.5, 2.0]))
    assert (found.pixels, found.mae_m, found.rmse_m) == (2, 0.25, pytest.approx(math.sqrt(0.125)))
    assert (found.abs_rel, found.sq_rel_m, found.mae_dpt) == (0.5, 0.25, 0.5)
    assert found.rmse_log == pytest.approx(math.log(2) / math.sqrt(2))
    # A factor of 2 is above 1.25^3.
    assert (found.delta1, found.delta3) == (0.5, 0.5)


def test_a_mask_counts_its_pixels_alone():
    true = torch.ones(1, 4, 4)
    mask = torch.zeros_like(true, dtype=torch.bool)
    assert measure_depth(true, true, mask) == NO_ERRORS
    mask[0, 0, 0] = True
    found = true.clone()
    found[0, 0, 0] = 1.5
    assert measure_depth(found, true, mask).mae_m == pytest.approx(0.5)
    assert measure_depth(found, true, ~mask).mae_m == 0


def test_thirds_share_out_the_pixels():
    radius = torch.linspace(0, 1, 9).reshape(1, 3, 3)
    true = torch.ones(1, 3, 3)
    parts = measure_thirds(true + radius, true, radius)
    assert [one.pixels for one in parts] == [3, 3, 3]
    assert parts[0].mae_m < parts[1].mae_m < parts[2].mae_m


def test_errors_near_an_edge_count_apart():
    front = (torch.arange(40) < 20).expand(1, 8, 40)
    distance = find_edge_distance_px(front)
    assert distance[0, 0, [19, 20, 0]].tolist() == [1, 1, 20]
    true = torch.ones(1, 8, 40)
    assert measure_depth(true, true, distance <= EDGE_PX).pixels == 8 * 24
    assert bool(find_edge_distance_px(torch.ones(1, 4, 4, dtype=torch.bool)).isinf().all())


def test_the_surest_pixels_come_first_and_equals_count_alike():
    true, error = torch.ones(4), torch.tensor([0.0, 0.1, 0.2, 0.3])
    assert measure_risk(true + error, true, -error) == pytest.approx((0.0, 0.05, 0.1, 0.15))
    assert measure_risk(true + error, true, torch.ones(4)) == pytest.approx((0.15,) * 4)


@pytest.mark.parametrize(
    ("found", "true", "words"),
    [
        (torch.ones(2), torch.ones(3), "found_m: found shape"),
        (torch.tensor([1.0, math.nan]), torch.ones(2), "found_m: found 1 values that are not finite"),
        (torch.ones(2), torch.tensor([0.0, math.inf]), "true_m: found 2 values"),
    ],
)
def test_what_is_no_depth_is_refused(found, true, words):
    with pytest.raises(InputError, match=words):
        measure_depth(found, true)
    with pytest.raises(InputError, match="coverages"):
        measure_risk(torch.ones(2), torch.ones(2), torch.ones(2), coverages=(0.0,))
