from dataclasses import replace

import pytest
import torch

from psf.errors import InputError
from psf.estimators import DirectOptions, direct, estimate_direct

QUICK = DirectOptions(cells=7, radius_nodes=3)


@pytest.fixture(scope="module")
def model(captures):
    return estimate_direct(captures, DirectOptions(cells=15, radius_nodes=4))


@pytest.mark.parametrize("radius", [0.2, 0.7])
@pytest.mark.parametrize("dioptre", [0.5, 2.9])
def test_known_kernels_are_recovered(model, known, radius, dioptre):
    found = model.kernels_at(radius, 1 / dioptre)[0, 0].double().numpy()
    truth = known(radius, 0.0, dioptre)
    # Half the summed difference: 4 to 6 % of the light. Even kernels instead would be 70 % off.
    assert 0.5 * abs(found - truth).sum() < 0.09


def test_kernels_at_a_pixel_are_turned(model, known):
    import math

    x, y = 30.0, 120.0
    radius = math.hypot(x - 99.5, 74.5 - y) / 125
    found = model.kernels_at_pixel(x, y, 1 / 2.9)[0, 0].double().numpy()
    truth = known(radius, math.atan2(74.5 - y, x - 99.5), 2.9)
    assert 0.5 * abs(found - truth).sum() < 0.09


def test_noise_is_found(model):
    # Both pictures have 0.002.
    assert model.nodes[0].noise == pytest.approx(0.002, rel=0.25)


def test_a_run_that_was_stopped_goes_on_to_the_same_result(captures, tmp_path, monkeypatch):
    monkeypatch.setattr(direct, "CHECKPOINT_S", 0.0)
    file = tmp_path / "sums.pt"
    options = replace(QUICK, most_pixels=5000)
    whole = estimate_direct(captures, options)

    def stop(done: int, total: int) -> None:
        if done == 25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        estimate_direct(captures, options, on_progress=stop, checkpoint=file)
    assert file.is_file()
    with pytest.raises(InputError, match="another estimate"):
        estimate_direct(captures, replace(options, most_pixels=6000), checkpoint=file)
    again = estimate_direct(captures, options, checkpoint=file)
    assert torch.equal(whole.nodes[0].cells, again.nodes[0].cells)
    assert not file.exists()


def test_several_focus_distances_are_refused(captures):
    both = replace(captures, focus_m=torch.linspace(0.5, 0.6, len(captures), dtype=torch.float64))
    with pytest.raises(InputError, match="one focus distance"):
        estimate_direct(both)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cells": 4}, "cells"),
        ({"radius_nodes": 1}, "radius_nodes"),
        ({"noise": -1.0}, "noise"),
        ({"magnification": "x"}, "magnification"),
    ],
)
def test_options_are_checked(options, words):
    with pytest.raises(InputError, match=words):
        DirectOptions(**options)
