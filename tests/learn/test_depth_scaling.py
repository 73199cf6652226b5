import math

import pytest
import torch

from learn.depth_scaling import (
    PUBLISHED_RULES,
    RULES,
    DepthScaling,
    draw_depth,
    draw_range,
    find_span,
    normalise_depth,
    scale_depth,
)
from psf import InputError

F64 = torch.float64
T = torch.linspace(0, 1, 11, dtype=F64)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("i", [0, 1, 2])
def test_golden_vectors(shared, rule, i):
    import numpy as np

    with np.load(shared / "golden" / "deblur_a.npz") as golden:
        near_m, far_m = golden[f"depth__range{i}"].tolist()
        t, want = (torch.from_numpy(golden[f"depth__{name}"]) for name in ("t", f"{rule}{i}"))
    assert (scale_depth(t, rule, near_m, far_m) - want).abs().max() < 1e-12
    assert (scale_depth(t.float(), rule, near_m, far_m) - want).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("rule", "middle_m"),
    [("linear", 1.3), ("quadratic", 0.75), ("exponential", math.sqrt(0.48)), ("dioptre", 0.3692307692)],
)
def test_middle_and_ends(rule, middle_m):
    depth_m = scale_depth(T, rule, 0.2, 2.4)
    assert abs(depth_m[0] - 0.2) < 1e-12
    assert abs(depth_m[-1] - 2.4) < 1e-12
    assert abs(depth_m[5] - middle_m) < 1e-9
    assert (depth_m.diff() > 0).all()


def test_infinity_is_0_dioptres():
    depth_m = scale_depth(T, "dioptre", 0.5, math.inf)
    assert (1 / depth_m - 2 * (1 - T)).abs().max() < 1e-12
    assert depth_m[-1] == math.inf


def test_draws_are_as_told():
    g = generator()
    drawn = [draw_range(DepthScaling(), g) for _ in range(2000)]
    assert {one.rule for one in drawn} == set(PUBLISHED_RULES)
    near = torch.tensor([one.near_m for one in drawn]).log10()
    decades = torch.tensor([one.far_m / one.near_m for one in drawn]).log10()
    assert -1 <= near.min() < near.max() <= 0
    # Four standard errors: an even draw over 1 has 0.29, a chance of 0.3 has 0.46, of 1/3 0.47, over the root of 2000.
    assert abs(near.mean() + 0.5) < 0.026
    assert abs(decades.mean() - 0.825) < 0.04
    assert abs(sum(one.is_infinite for one in drawn) / 2000 - 0.3) < 0.041
    assert abs(sum(one.rule == "linear" for one in drawn) / 2000 - 1 / 3) < 0.042


def test_only_the_far_end_goes_to_infinity():
    t = torch.linspace(0, 1, 1001, dtype=F64)
    always, never = DepthScaling(infinite=1.0), DepthScaling(infinite=0.0)
    depth_m, drawn = draw_depth(t, always, generator(3))
    finite, again = draw_depth(t, never, generator(3))
    assert (drawn.is_infinite, again.is_infinite) == (True, False)
    assert depth_m.isinf().sum() == 20
    assert depth_m[:981].equal(finite[:981])
    assert finite.isfinite().all()


def test_the_same_seed_gives_the_same_depth():
    one, other = (draw_depth(T, DepthScaling(rules=RULES), generator(4)) for _ in range(2))
    assert one[0].equal(other[0])
    assert one[1] == other[1]


def test_span_is_the_quantiles_of_the_whole_map():
    values = torch.rand((1, 700, 900), generator=generator(), dtype=F64)
    low, high = find_span(values)
    assert abs(low - 0.01) < 0.002  # 5 standard errors of the quantile of 65536
    assert abs(high - 0.99) < 0.002
    small = values[:, :40, :50]
    assert find_span(small) == pytest.approx(torch.quantile(small, torch.tensor([0.01, 0.99], dtype=F64)).tolist())


def test_nearest_is_0_and_farthest_1():
    t = normalise_depth(torch.tensor([0.0, 1.0, 2.0, 5.0, 9.0]), (1.0, 5.0))
    assert t.tolist() == [1.0, 1.0, 0.75, 0.0, 0.0]


def test_a_flat_map_lies_in_the_middle():
    flat = torch.full((1, 4, 5), 3.0)
    assert (normalise_depth(flat, find_span(flat)) == 0.5).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rules": ()}, "rules"),
        ({"rules": ("cubic",)}, "rules"),
        ({"near_m": (0.0, 1.0)}, "near_m"),
        ({"near_m": (2.0, 1.0)}, "near_m"),
        ({"decades": (0.0, 1.0)}, "decades"),
        ({"infinite": 1.5}, "infinite"),
        ({"infinite_t": -0.1}, "infinite_t"),
    ],
)
def test_settings_that_make_no_sense_are_named(change, words):
    with pytest.raises(InputError, match=f"DepthScaling.{words}"):
        DepthScaling(**change)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("cubic", 1.0, 2.0), "rule"),
        (("linear", 0.0, 2.0), "near_m"),
        (("linear", 2.0, 1.0), "far_m"),
        (("linear", 2.0, math.inf), "far_m"),
        (("dioptre", 2.0, math.nan), "far_m"),
    ],
)
def test_ranges_that_make_no_sense_are_named(arguments, words):
    with pytest.raises(InputError, match=words):
        scale_depth(T, *arguments)
    with pytest.raises(InputError, match="find_span"):
        find_span(torch.zeros(3, 4))
