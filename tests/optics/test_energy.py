"""Encircled energy against Airy's and a disc's."""

import math
from dataclasses import replace

import pytest
import torch

import optics
from optics.energy import airy_energy, find_ray_energy
from psf import Channel, InputError

LINE = (Channel("d", (optics.glass.LINE_D_UM,)),)


def test_first_dark_ring_of_a_perfect_lens_holds_84_per_cent():
    found = airy_energy(torch.tensor([0.0, 1.21967 * 0.5 * 4], dtype=torch.float64), 0.5, 4.0)
    assert found.tolist() == pytest.approx([0.0, 0.8378], abs=1e-4)


def test_energy_of_a_defocused_perfect_lens_grows_as_the_circles_area():
    lens = optics.load("asphere_planohyperbolic").refocused(math.inf).stopped_down(10)
    last = lens.surfaces[-1]
    lens = replace(lens, surfaces=(*lens.surfaces[:-1], replace(last, thickness_mm=last.thickness_mm + 0.4)))
    circles = (0.0, 5.0, 10.0, 15.0, 25.0)  # in a disc of 20 um radius
    found = find_ray_energy(lens, (0.0,), (math.inf,), circles, LINE).share[0, 0, 0]
    expected = torch.tensor([min(1.0, (c / 20) ** 2) for c in circles], dtype=torch.float64)
    assert torch.allclose(found, expected, atol=6e-3)


def test_energy_grows_and_ends_at_one_for_near_and_far_objects():
    found = find_ray_energy(optics.load("f2.2_fixedfocus"), (0.0, 0.9), (0.2, math.inf), (1.0, 5.0, 40.0, 500.0))
    assert found.share.shape == (2, 2, 3, 4)
    assert bool((found.share.diff(dim=-1) >= 0).all())
    assert torch.allclose(found.share[..., -1], torch.ones(2, 2, 3, dtype=torch.float64))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda lens: find_ray_energy(lens, (0.0,), (1.0,), ()), "circle_radius_um"),
        (lambda lens: find_ray_energy(lens, (0.0,), (1.0,), (-1.0,)), "circle_radius_um"),
        (lambda lens: find_ray_energy(lens, (0.0,), (), (1.0,)), "depths_m"),
        (lambda lens: find_ray_energy(lens, (-1.0,), (1.0,), (1.0,)), "radii"),
        (lambda _: airy_energy(torch.ones(1), 0.0, 2.0), "wavelength_um"),
        (lambda _: airy_energy(torch.ones(1), 0.5, math.inf), "f_number"),
    ],
)
def test_wrong_input_is_named(call, words):
    with pytest.raises(InputError, match=words):
        call(optics.load("singlet_biconvex_nbk7"))
