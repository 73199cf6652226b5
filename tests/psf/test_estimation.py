import inspect

import pytest
import torch

import psf
from psf.errors import InputError
from psf.estimation import METHODS, estimate, estimate_each, find_estimator


def captures_of(focus_m):
    g = torch.Generator().manual_seed(0)
    sharp = torch.rand(4, 24, 24, generator=g)
    return psf.captures.Captures.from_arrays(
        sharp, sharp[:, 2:-2, 2:-2], [5, 40, 20, 60], [5, 30, 40, 10], [0.5, 1.0, 0.5, 1.0], (70, 90), 5, focus_m
    )


def test_pictures_that_are_not_blurred_give_points():
    model = estimate(captures_of(0.7))
    kernel = model.kernels_at(torch.tensor([0.4]), torch.tensor([0.5]))[0, 0]
    assert kernel[2, 2] > 0.9
    field = model.to_field([0.5, 1.0], [0.2, 0.8])
    assert field.kernels.shape == (2, 2, 1, 5, 5)


def test_every_focus_distance_has_its_model_and_progress_runs_through():
    steps = []
    models = estimate_each(captures_of([0.5, 0.5, 0.9, 0.9]), on_progress=lambda *now: steps.append(now))
    assert [one.focus_m for one in models] == [0.5, 0.9]
    assert steps[-1][0] == steps[-1][1]
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)


def test_unknown_methods_are_refused():
    with pytest.raises(InputError, match="direct"):
        find_estimator("magic")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_a_function_that_takes_the_same(method):
    found = inspect.signature(find_estimator(method)).parameters
    assert list(found) == ["captures", "options", "generator", "on_progress", "checkpoint"]


def test_what_is_no_captures_is_refused():
    with pytest.raises(InputError, match=r"captures: found dict, expected psf\.Captures"):
        estimate({})


def test_the_default_is_a_pupil_where_one_fits_and_says_so():
    model = estimate(captures_of(0.7))
    assert model.to_field([0.5, 1.0], [0.2, 0.8]).provenance.arguments["method"] == "physical"


def test_estimate_is_at_hand():
    assert psf.estimate is estimate
    assert psf.estimate_each is estimate_each
