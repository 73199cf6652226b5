"""Free parameters of a lens: chosen by name, in steps of their own, bounded and followed."""

import math

import pytest
import torch

import optics
from optics.variables import FOCUS, Pickup, Variable, Variables, choose_variables
from psf import InputError


@pytest.fixture(scope="module")
def triplet():
    return optics.load("cooke_triplet")


@pytest.fixture(scope="module")
def phone():
    return optics.load("f2.2_fixedfocus")


def test_vector_of_a_lens_makes_the_same_lens_again(phone):
    free = choose_variables(phone, ["surface*.curvature_per_mm", "surface*.conic_k", "surface*.asphere_*", FOCUS])
    again = free.apply(free.read()).parameters()
    for name, value in phone.parameters().items():
        # A product of a quotient differs from the number by rounding.
        assert torch.allclose(again[name], value, rtol=1e-15, atol=0), name


def test_pattern_frees_every_parameter_of_its_kind_but_the_way_to_the_sensor(triplet):
    free = choose_variables(triplet, ["surface*.thickness_mm"])
    assert free.names == tuple(f"surface{i}.thickness_mm" for i in range(1, len(triplet.surfaces)))
    assert choose_variables(triplet, [FOCUS]).names == (FOCUS,)
    last = f"surface{len(triplet.surfaces)}.thickness_mm"
    assert choose_variables(triplet, [last]).names == (FOCUS,)


def test_of_two_that_match_the_last_one_counts(triplet):
    tight = Variable("surface2.thickness_mm", low=1.0, high=9.0, step=0.5)
    free = choose_variables(triplet, ["surface*.thickness_mm", tight])
    assert len(free.names) == len(set(free.names)) == len(triplet.surfaces) - 1
    at = free.names.index("surface2.thickness_mm")
    assert free.low[at] == 2.0
    assert free.high[at] == 18.0
    assert free.steps[at] == 0.5
    assert free.low.isinf().sum() == len(free.names) - 1


def test_a_step_of_any_shape_number_moves_the_rim_by_a_thousandth_of_it(phone):
    free = choose_variables(phone, ["surface4.curvature_per_mm", "surface4.asphere_4", "surface4.asphere_10"])
    surface = phone.surfaces[3]
    r2 = surface.semi_aperture_mm**2
    for i in range(3):
        vector = free.read()
        vector[i] += 1
        moved = free.apply(vector).surfaces[3].shape.sag(r2)[0] - surface.shape.sag(r2)[0]
        # A hyperboloid is flatter than the parabola that the step is measured by.
        assert float(moved / surface.semi_aperture_mm) == pytest.approx(1e-3, rel=0.25)


def test_parameters_follow_with_factor_and_offset_and_pass_their_gradient(triplet):
    follower = Pickup("surface6.curvature_per_mm", factor=-1.0, offset=0.01)
    free = choose_variables(triplet, [Variable("surface1.curvature_per_mm", pickups=(follower,))])
    vector = free.read().requires_grad_()
    lens = free.apply(vector)
    first, last = (lens.parameters()[f"surface{i}.curvature_per_mm"] for i in (1, 6))
    assert float(last.detach()) == float(0.01 - first.detach())
    (slope,) = torch.autograd.grad(last, vector)
    assert float(slope) == -float(free.steps)


def test_index_of_a_glass_may_be_free(phone):
    name = "surface2.medium.nd"
    free = choose_variables(phone, [name])
    assert free.apply(free.read() + 1).parameters()[name] > phone.parameters()[name]


def test_table_names_every_value(triplet):
    free = choose_variables(triplet, [FOCUS, "surface1.curvature_per_mm"])
    table = free.tabulate(triplet, triplet.scaled(2.0))
    assert table[FOCUS][1] == pytest.approx(2 * table[FOCUS][0])
    assert table["surface1.curvature_per_mm"][1] == pytest.approx(table["surface1.curvature_per_mm"][0] / 2)


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ([], "no free parameter"),
        (["surface1.curvature"], "'surface1.curvature'"),
        (["surface9*.thickness_mm"], "'surface9*.thickness_mm'"),
        (["surface*.semi_aperture_mm"], "'surface*.semi_aperture_mm'"),
        ([Variable("surface1.thickness_mm", low=50.0)], "start within its bounds"),
        ([Variable("surface*.thickness_mm", pickups=(Pickup("focus_mm"),))], "parameters to follow"),
        ([Variable("focus_mm", pickups=(Pickup("surface1.radius"),))], "'surface1.radius'"),
        ([Variable("focus_mm", pickups=(Pickup("surface1.semi_aperture_mm"),))], "not an aperture"),
        (["surface1.thickness_mm", Variable("focus_mm", pickups=(Pickup("surface1.thickness_mm"),))], "chosen twice"),
    ],
)
def test_what_cannot_be_free_is_said_in_one_line(triplet, chosen, told):
    with pytest.raises(InputError) as caught:
        choose_variables(triplet, chosen)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Variable("x", low=2.0, high=1.0), "2 to 1"),
        (lambda: Variable("x", low=math.nan), "low below the high"),
        (lambda: Variable("x", step=0.0), "step of x"),
        (lambda: Pickup("x", factor=math.inf), "Pickup x"),
    ],
)
def test_bounds_and_steps_that_cannot_be_are_refused(make, told):
    with pytest.raises(InputError, match=told):
        make()


def test_vector_of_another_length_is_refused(triplet):
    free = choose_variables(triplet, [FOCUS])
    assert isinstance(free, Variables)
    with pytest.raises(InputError, match="shape"):
        free.apply(torch.zeros(2, dtype=torch.float64))
    with pytest.raises(InputError, match="the parameters that are free"):
        choose_variables(triplet, ["surface6.curvature_per_mm"]).read(optics.load("asphere_planohyperbolic"))
