import math
from dataclasses import replace

import pytest
import torch

from learn.joint.design_grid import DesignGrid
from learn.joint.designing import measure_slope, open_chain
from learn.joint.exposures import Exposure
from learn.joint.imaging import run_chain
from optics import FOCUS, Sampling
from render import RawSensor

FREE = ("surface2.asphere_4", "surface3.asphere_4", FOCUS)
# Rounding to DN is a staircase whose steps differences would see; its gradient is straight through it.
FINE = RawSensor(bits=16, black_dn=0)


@pytest.mark.parametrize("radius", [0.0, 1.0], ids=["axis", "corner"])
def test_gradients_of_the_whole_chain_are_its_differences(lens, patches, settings, radius):
    # The same noise; two sides of a fiftieth of a step, so that the curve between is a line.
    grid = DesignGrid((math.inf, 0.5), (radius,), 25, True, Sampling(14, 14, 8), False)
    chain = open_chain(lens, settings(free=FREE, grid=grid, mode="joint"))
    chain = replace(chain, exposure=Exposure(FINE, 1e-4, 1e-6))
    given, weights = patches(4), torch.tensor([0.4, 0.6])
    vector = chain.variables.read()
    vector[2] += 0.3

    def value(at):
        with torch.no_grad():
            return float(run_chain(chain, at, given, weights, torch.Generator().manual_seed(5)).objective_db)

    _, slope = measure_slope(chain, vector, given, weights, torch.Generator().manual_seed(5))
    differences = []
    for number in range(len(FREE)):
        step = torch.zeros_like(vector)
        step[number] = 0.01
        differences.append((value(vector + step) - value(vector - step)) / 0.02)
    expected = torch.tensor(differences, dtype=slope.dtype)
    assert float((slope - expected).abs().max()) < 0.02 * float(expected.abs().max())


def test_depth_weights_are_free_beside_the_lens(lens, patches, settings):
    chain = open_chain(lens, settings())
    chain = replace(chain, exposure=Exposure(FINE, 1e-4, 1e-6))
    vector = torch.cat([chain.variables.read() + 0.3, torch.tensor([0.4, 0.6], dtype=torch.float64).log()])

    def value(at):
        with torch.no_grad():
            found = run_chain(chain, at, patches(4), torch.ones(2), torch.Generator().manual_seed(5))
        return float(found.objective_db)

    outcome, slope = measure_slope(chain, vector, patches(4), torch.ones(2), torch.Generator().manual_seed(5))
    assert outcome.depth_weights.tolist() == pytest.approx([0.4, 0.6])
    step = torch.tensor([0.0, 0.05, 0.0], dtype=torch.float64)
    expected = (value(vector + step) - value(vector - step)) / 0.1
    assert float(slope[1]) == pytest.approx(expected, rel=0.02)
    assert float(slope[1] + slope[2]) == pytest.approx(0.0, abs=1e-6)  # only shares count


def test_settled_weights_make_the_worst_depth_no_worse_than_even_ones(lens, patches, settings):
    chain, even = open_chain(lens.refocused(0.5), settings(settle_rounds=10)), torch.full((2,), 0.5)
    found = []
    for settle in (False, True):
        with torch.no_grad():
            vector = chain.variables.read()
            found.append(run_chain(chain, vector, patches(4), even, torch.Generator().manual_seed(1), settle=settle))
    assert float(found[1].depth_errors_db.max()) <= float(found[0].depth_errors_db.max())
    assert float(found[1].depth_weights.sum()) == pytest.approx(1.0)


def test_held_filters_have_the_value_but_not_the_gradient_of_joint_ones(lens, patches, settings):
    found = []
    for mode in ("joint", "alternating"):
        chain = open_chain(lens, settings(mode=mode))
        weights = torch.full((2,), 0.5)
        found.append(measure_slope(chain, chain.variables.read(), patches(4), weights, torch.Generator()))
    torch.testing.assert_close(found[0][0].objective_db, found[1][0].objective_db)
    assert float((found[0][1] - found[1][1]).abs()) > 1e-6


def test_nothing_is_nan_when_rays_begin_to_fail(wide_lens, patches, settings):
    # The front asphere so steep that rays at its rim are lost, ever more of them.
    chain = open_chain(wide_lens, settings(free=("surface2.asphere_4",), restorer="none"))
    light = []
    for steps in (20.0, 60.0, 100.0):
        vector = chain.variables.read() + steps
        outcome, slope = measure_slope(chain, vector, patches(4), torch.full((2,), 0.5), torch.Generator())
        assert math.isfinite(float(outcome.objective_db.detach()))
        assert bool(slope.isfinite().all())
        light.append(float(outcome.objective_db.detach()))
    assert light[0] < light[-1]
