import math

import pytest
import torch

from learn.joint.exposures import Exposure
from learn.joint.filter_bank import FilterSettings
from learn.joint.sights import JudgePlan, Sight, View
from learn.joint.tiny_judging import TinyBudget, judge_tiny, train_networks, train_tiny
from learn.networks import load_network
from psf import InputError
from render import RawSensor

PLAN = JudgePlan(
    fit_depths_m=(math.inf, 0.5),
    fit_radii=((0.0,), (0.5,)),
    depths_m=(math.inf, 0.5),
    radii=(0.0, 0.5),
    kernel_px=25,
    filters=FilterSettings(side_cells=3),
)
QUIET = Exposure(RawSensor(bits=12), 1e-6, 1e-8)
BUDGET = TinyBudget(steps=40, warm_up_steps=5)
SHORT = TinyBudget(shared_steps=2, steps=1)


@pytest.fixture(scope="module")
def view():
    """Boxes of 5 px, and light at half strength at one of two heights."""
    kernels = torch.zeros(2, 2, 3, 25, 25)
    kernels[..., 10:15, 10:15] = 1 / 25
    light = torch.ones(2, 2, 3)
    light[:, 1] = 0.5
    return View(kernels, light)


def test_a_network_learns_what_a_lens_does_and_restores_fresh_pictures(view, patches):
    calls = []
    network = train_tiny([view], patches(4), QUIET, PLAN, BUDGET, on_progress=lambda *told: calls.append(told))
    assert calls[-1] == (40, 40)
    verdict = judge_tiny(network, view, patches(2, seed=3), QUIET, PLAN, BUDGET.iso, torch.Generator().manual_seed(0))
    assert verdict.psnr_db.shape == (2,)
    assert verdict.worst_psnr_db > float(verdict.blurred_psnr_db.min()) + 1


def test_networks_share_a_start_and_are_not_trained_again(view, patches, lens, tmp_path):
    lenses = {"one": lens, "other": lens.refocused(0.3)}
    sights = {"one": Sight(view, view), "other": Sight(View(view.kernels.flip(0), view.light), view)}

    def train(lenses, budget=SHORT):
        calls = []
        networks = train_networks(
            lenses, sights, patches(2), QUIET, PLAN, budget,
            folder=tmp_path / "tiny", on_progress=lambda *told: calls.append(told),
        )  # fmt: skip
        return [network.state_dict() for network in networks.values()], calls

    first, calls = train(lenses)
    assert calls == [("shared", 1, 2), ("shared", 2, 2), ("one", 1, 1), ("other", 1, 1)]
    # One step of Adam is as long as the step size in every weight.
    start = load_network(tmp_path / "tiny" / "shared" / "network.pt").network.state_dict()
    reach = [max(float((one[name] - start[name]).abs().max()) for name in start) for one in first]
    assert 0 < max(reach) <= 2 * TinyBudget().learning_rate
    again, calls = train(lenses)
    assert not calls
    assert all(torch.equal(one[name], other[name]) for one, other in zip(first, again, strict=True) for name in one)
    with pytest.raises(InputError, match="lenses"):
        train({"one": lens, "other": lens.refocused(0.4)})
    with pytest.raises(InputError, match="budget"):
        train(lenses, TinyBudget(steps=2))


def test_the_step_size_rises_and_falls_to_nothing_with_a_lens_of_ones_own():
    rates = [BUDGET.rate_of(step) for step in range(41)]
    assert rates[0] < rates[4] < BUDGET.learning_rate
    assert rates[40] == 0
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert BUDGET.rate_of(40, shared=True) == BUDGET.learning_rate


def test_budgets_of_nothing_are_refused():
    with pytest.raises(InputError, match="steps"):
        TinyBudget(steps=0)
    with pytest.raises(InputError, match="learning_rate"):
        TinyBudget(learning_rate=0.0)
