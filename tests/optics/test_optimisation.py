"""Better lenses: problems with a known answer, bounds, repeatability, and words for what cannot be."""

import math
from dataclasses import replace

import pytest
import torch

import optics
from optics.constraints import Limit
from optics.merit import Merit
from optics.optimisation import optimise
from optics.variables import FOCUS, Variable, choose_variables
from psf import Channel, InputError

AXIS = {"radii": (0.0,), "rings": 3, "angles": 3}


@pytest.fixture(scope="module")
def triplet():
    lens = optics.load("cooke_triplet")
    return replace(lens, channels=(Channel("d", (lens.reference_wavelength_um,)),))


def moved(lens, way_mm):
    last = lens.surfaces[-1]
    return replace(lens, surfaces=(*lens.surfaces[:-1], replace(last, thickness_mm=last.thickness_mm + way_mm)))


@pytest.mark.parametrize("method", ["damped", "lbfgs", "adam"])
def test_sensor_goes_to_the_smallest_spot(triplet, method):
    best = triplet.refocused(2.0, "spot")
    found = optimise(moved(best, 0.3), [FOCUS], Merit(depths_m=(2.0,), **AXIS), method=method, iterations=60)
    # Few rays against the whole pupil; Adam's last steps are of that size.
    assert float(found.lens.surfaces[-1].thickness_mm - best.surfaces[-1].thickness_mm) == pytest.approx(0, abs=4e-3)
    assert found.after.value < 0.2 * found.before.value


def test_two_depths_meet_in_the_middle_of_their_images(triplet):
    merit = Merit(depths_m=(1.0, 4.0), **AXIS)
    found = optimise(triplet, [FOCUS], merit)
    images = [float(triplet.refocused(d, "spot").surfaces[-1].thickness_mm) for d in merit.depths_m]
    # Squares of blur: each image pulls with the square of its cone's aperture.
    pulls = [float(optics.conjugate(triplet, d).working_f_number) ** -2 for d in merit.depths_m]
    middle = sum(p * z for p, z in zip(pulls, images, strict=True)) / sum(pulls)
    assert float(found.lens.surfaces[-1].thickness_mm) == pytest.approx(middle, abs=5e-3)


def test_conic_of_a_plano_hyperbolic_lens_comes_back():
    lens = optics.load("asphere_planohyperbolic")
    line = (Channel("line", (lens.reference_wavelength_um,)),)
    name = next(n for n, v in lens.parameters().items() if n.endswith("conic_k") and float(v) != 0)
    bad = lens.with_parameters({name: 0.7 * float(lens.parameters()[name])})
    merit = Merit(depths_m=(math.inf,), channels=line, **AXIS)
    found = optimise(bad, [name, FOCUS], merit, tolerance=1e-8)
    assert found.converged
    # A point image: what is left is the field's hair off the axis.
    assert found.after.image < 1e-2 < found.before.image
    assert float(found.lens.parameters()[name]) == pytest.approx(float(lens.parameters()[name]), rel=1e-3)


def test_limit_holds_the_focal_length(triplet):
    wanted = 1.02 * float(optics.first_order(triplet).efl_mm)
    merit = Merit(limits=(Limit("efl_mm", wanted, wanted, softness=1e-3),), **AXIS)
    found = optimise(triplet, ["surface*.curvature_per_mm", FOCUS], merit, rounds=2, iterations=15)
    assert float(optics.first_order(found.lens).efl_mm) == pytest.approx(wanted, rel=1e-4)
    assert found.after.value < found.before.value


@pytest.mark.parametrize("method", ["damped", "lbfgs", "adam"])
def test_bounds_are_kept_by_every_lens_that_is_tried(triplet, method):
    start = float(triplet.surfaces[-1].thickness_mm)
    free = [Variable(FOCUS, low=start - 0.05, high=start + 0.05)]
    found = optimise(moved(triplet, 0.0), free, Merit(depths_m=(0.5,), **AXIS), method=method, iterations=8, rounds=2)
    own = choose_variables(triplet, free)
    for step in found.history:
        assert bool((own.low <= step.vector).all())
        assert bool((step.vector <= own.high).all())
    # A near object wants the sensor farther away than it may go.
    assert float(found.lens.surfaces[-1].thickness_mm) == pytest.approx(start + 0.05, abs=2e-3)


def test_equal_calls_give_equal_bits(triplet):
    merit = Merit(depths_m=(1.0,), radii=(0.0, 0.7), rings=2, angles=3)
    names = ["surface1.curvature_per_mm", FOCUS]
    one, two = (optimise(triplet, names, merit, rounds=1, iterations=5) for _ in range(2))
    assert torch.equal(one.vector, two.vector)
    assert [step.value for step in one.history] == [step.value for step in two.history]


def test_whoever_has_seen_enough_gets_the_best_so_far(triplet):
    seen = []

    def enough(step):
        seen.append(step)
        return len(seen) == 3

    found = optimise(moved(triplet, 0.5), [FOCUS], Merit(**AXIS), on_progress=enough)
    assert found.message == "stopped by on_progress"
    assert not found.converged
    assert len(found.history) == 3
    assert found.after.value <= found.before.value


def test_trial_that_cannot_be_is_stepped_back_from(triplet):
    # The first step carries the sensor into the exit pupil, where no chief ray has the height of a corner.
    merit = Merit(radii=(0.0, 1.0), rings=2, angles=3)
    found = optimise(moved(triplet, 0.5), [FOCUS], merit, method="adam", learning_rate=300.0, rounds=1, iterations=20)
    assert any(math.isinf(step.value) for step in found.history)
    assert found.after.value <= found.before.value


def test_nothing_better_leaves_the_very_lens(triplet):
    best = optimise(triplet, [FOCUS], Merit(**AXIS), tolerance=1e-6).lens
    again = optimise(best, [FOCUS], Merit(**AXIS), rounds=1, iterations=1)
    assert again.after.value <= again.before.value
    assert again.lens is best or again.after.value < again.before.value


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"variables": []}, "no free parameter"),
        ({"variables": ["surface77.thickness_mm"]}, "surface77.thickness_mm"),
        ({"variables": [Variable(FOCUS, low=1e3)]}, "start within its bounds"),
        ({"method": "magic"}, "'magic'"),
        ({"rounds": 0}, "rounds"),
        ({"iterations": 0}, "iterations"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"learning_rate": math.inf}, "learning_rate"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(triplet, change, told):
    words = {"variables": [FOCUS], **change}
    variables = words.pop("variables")
    with pytest.raises(InputError) as caught:
        optimise(triplet, variables, Merit(**AXIS), **words)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lens_without_light_is_refused_before_anything_is_tried(triplet):
    dark = triplet.with_parameters({"surface1.semi_aperture_mm": 1e-3, "surface6.semi_aperture_mm": 1e-3})
    with pytest.raises(InputError):
        optimise(dark, [FOCUS], Merit())
