import itertools
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from psf import PSFModel
from psf.errors import InputError
from psf.estimators import DirectOptions, estimate_direct
from psf.estimators.physical import PhysicalOptions, estimate_physical

DIRECT = DirectOptions(cells=9, radius_nodes=4)
QUICK = PhysicalOptions(order=6, cells=9, most_pixels=8000, steps=4, strengths=(0.0, 0.3), direct=DIRECT)


@pytest.fixture(scope="module")
def model(captures):
    return estimate_physical(captures, QUICK)


def distance(kernels, known, places):
    from psf.metrics import measure_l1

    truth = torch.stack([torch.from_numpy(known(r, 0.0, d)) for r, d in places])
    return float(measure_l1(kernels[:, 0].double(), truth).mean())


PLACES = [(r, d) for r in (0.15, 0.4, 0.7) for d in (0.6, 1.2, 2.7, 3.3)]


def test_known_discs_are_recovered(model, known):
    radius, dioptre = torch.tensor(PLACES).double().unbind(1)
    found = model.kernels_at(radius, 1 / dioptre)
    assert isinstance(model, PSFModel)
    assert torch.allclose(found.sum((-2, -1)), torch.ones(len(PLACES), 1), atol=1e-5)
    assert distance(found, known, PLACES) < 0.12


def test_it_becomes_a_field_that_says_so(model):
    field = model.to_field([0.4, 1.0], [0.1, 0.5], oversample=2)
    assert field.kernels.shape == (2, 2, 1, 18, 18)
    assert field.provenance.arguments["method"] == "physical"


@pytest.fixture(scope="module")
def many(make):
    """Pairs at so many depths that some can judge."""
    return make(depths=9)


@pytest.fixture(scope="module")
def pupil(many):
    return estimate_physical(many, QUICK)


def test_a_pupil_that_foretells_depths_stays(pupil, known):
    radius, dioptre = torch.tensor(PLACES).double().unbind(1)
    assert pupil.is_physical == (True,)
    assert distance(pupil.kernels_at(radius, 1 / dioptre), known, PLACES) < 0.09


def test_kernels_are_the_mean_of_a_pupils_and_the_direct_ones(many, pupil):
    radius, depth_m = torch.tensor([0.2, 0.6]).double(), torch.tensor([0.4, 1.0]).double()
    both = pupil.kernels_at(radius, depth_m)
    direct = estimate_direct(many, DIRECT).kernels_at(radius, depth_m)
    other = 2 * both - direct
    assert not torch.allclose(both, direct, atol=1e-3)
    assert float(other.min()) > -1e-6
    assert torch.allclose(other.sum((-2, -1)), torch.ones(2, 1), atol=1e-5)


def test_a_pupils_fine_kernels_hold_the_light_of_its_pixels(pupil):
    fine, plain = (pupil.to_field([0.4, 1.0], [0.1, 0.7], oversample=one).kernels for one in (3, 1))
    size = plain.shape[-1]
    binned = fine.unflatten(-1, (size, 3)).unflatten(-3, (size, 3)).sum((-1, -3))
    assert torch.allclose(binned, plain, atol=1e-6)


def test_few_depths_cannot_judge_and_the_direct_kernels_stay(model):
    assert model.is_physical == (False,)


def test_the_same_captures_give_the_same_model(many, pupil):
    again = estimate_physical(many, QUICK)
    assert again.is_physical == pupil.is_physical
    assert torch.equal(again.nodes[0].cells, pupil.nodes[0].cells)


def test_a_run_that_is_stopped_in_its_second_half_goes_on_to_the_same_model(many, pupil, tmp_path, monkeypatch):
    from psf.estimators import direct, physical

    checkpoint = tmp_path / "run.checkpoint"
    with monkeypatch.context() as patch:
        patch.setattr(physical, "fit_pupil", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            estimate_physical(many, QUICK, checkpoint=checkpoint)
    assert checkpoint.is_file()
    # The first half is not made again.
    monkeypatch.setattr(direct, "fit_kernels", lambda *_, **__: pytest.fail("fitted again"))
    again = estimate_physical(many, QUICK, checkpoint=checkpoint)
    assert torch.equal(again.nodes[0].cells, pupil.nodes[0].cells)
    assert torch.equal(again.kernels_at(0.4, 0.7), pupil.kernels_at(0.4, 0.7))
    assert not checkpoint.exists()


def test_options_of_another_method_are_one_line(captures):
    with pytest.raises(InputError, match="options: found DirectOptions, expected PhysicalOptions"):
        estimate_physical(captures, DIRECT)


def test_without_a_pupil_that_fits_the_direct_kernels_stay(many, monkeypatch):
    from psf.estimators import physical

    looked = physical._look_beyond

    def look_away(*given):
        """A pupil whose light falls into the window's corner."""
        found = looked(*given)
        return replace(
            found,
            at_slots=functional.one_hot(torch.tensor(found.at_slots.shape[1] - 1)).double().expand_as(found.at_slots),
        )

    monkeypatch.setattr(physical, "_look_beyond", look_away)
    kept = estimate_physical(many, replace(QUICK, steps=1))
    assert kept.is_physical == (False,)
    assert torch.equal(kept.nodes[0].cells, estimate_direct(many, DIRECT).nodes[0].cells)


def test_progress_reaches_its_end(captures):
    told = []
    estimate_physical(captures, replace(QUICK, steps=1), on_progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1]
    assert all(a <= b for (a, _), (b, _) in itertools.pairwise(told))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"order": 5}, "order"),
        ({"cells": 8}, "cells"),
        ({"most_pixels": 10}, "most_pixels"),
        ({"strengths": ()}, "str"),
    ],
)
def test_options_are_checked(options, words):
    with pytest.raises(InputError, match=words):
        PhysicalOptions(**options)
