"""What counts about a lens, and the rays that tell."""

import math
from dataclasses import replace

import pytest
import torch

import optics
from optics.analysis import find_spots
from optics.merit import Merit, group_sums, plan_rays
from optics.residuals import judge
from psf import InputError


@pytest.fixture(scope="module")
def triplet():
    return replace(optics.load("cooke_triplet"), channels=optics.LINE_CHANNELS)


def test_rays_tell_the_rms_of_the_whole_pupil(triplet):
    merit = Merit(radii=(0.0, 0.7, 1.0), about="channel", rings=8, angles=16)
    spots = find_spots(triplet, merit.radii, (triplet.focus_m,))
    # Pupils cut by several rims have corners, which few rays pass by.
    assert torch.allclose(judge(triplet, merit).rms, spots.rms_um.square().mean(-1).sqrt(), rtol=0.01)


def test_common_centre_adds_lateral_colour_to_the_spot(triplet):
    own, common = (
        judge(triplet, Merit(radii=(0.0, 1.0), about=about, rings=3, angles=4)).rms[0]
        for about in ("channel", "centroid")
    )
    # The field on the axis lies a hair off it.
    assert float(common[0]) == pytest.approx(float(own[0]), rel=1e-6)
    assert float(common[1]) > float(own[1]) * 1.001


def test_weights_are_shares_of_depths_heights_and_colours(triplet):
    merit = Merit(
        radii=(0.0, 0.5),
        radius_weights=(3.0, 1.0),
        depths_m=(1.0, math.inf),
        depth_weights=(1.0, 4.0),
        rings=2,
        angles=3,
    )
    plan = plan_rays(triplet, merit)
    assert plan.rays == 2 * 2 * 3 * 6
    assert float(plan.weight.sum()) == pytest.approx(1)
    assert torch.allclose(group_sums(plan.share, plan.group), torch.ones(4, dtype=torch.float64))
    by_place = plan.weight.reshape(2, 2, -1).sum(-1)
    expected = torch.tensor([[0.15, 0.05], [0.6, 0.2]], dtype=torch.float64)
    assert torch.allclose(by_place, expected)
    assert float(plan.v_mm.min()) > 0


def test_without_depths_the_lens_s_focus_counts(triplet):
    lens = triplet.refocused(2.0)
    assert plan_rays(lens, Merit(radii=(0.0,), rings=1, angles=1)).depths_m == (2.0,)


def test_depths_are_those_that_were_asked_for_to_the_last_bit(triplet):
    plan = plan_rays(triplet, Merit(radii=(0.0,), depths_m=(2.3,), rings=1, angles=1))
    assert set(plan.depth_mm.tolist()) == {1e3 * 2.3}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"quantity": "mtf"}, "Merit.quantity"),
        ({"about": "middle"}, "Merit.about"),
        ({"radii": ()}, "radii"),
        ({"radii": (0.0, 1.5)}, "radii"),
        ({"depths_m": (0.0,)}, "depth"),
        ({"radius_weights": (1.0,)}, "Merit.radius_weights"),
        ({"depth_weights": (0.0,)}, "Merit.depth_weights"),
        ({"depth_weights": (1.0, 1.0)}, "Merit.depth_weights"),
        ({"quantity": "contrast"}, "Merit.frequency_per_mm"),
        ({"frequency_per_mm": 30.0}, "Merit.frequency_per_mm"),
        ({"quantity": "contrast", "frequency_per_mm": 30.0, "saturation": 2.0}, "Merit.frequency_per_mm"),
        ({"saturation": 0.0}, "Merit.saturation"),
        ({"lost_ray": math.inf}, "Merit.lost_ray"),
        ({"rings": 0}, "Merit.rings"),
    ],
)
def test_merits_that_cannot_be_are_refused(words, told):
    with pytest.raises(InputError) as caught:
        Merit(**words)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lens_that_no_light_passes_is_told_in_one_line(triplet):
    narrow = triplet.with_parameters({"surface1.semi_aperture_mm": 1e-3, "surface6.semi_aperture_mm": 1e-3})
    with pytest.raises(InputError) as caught:
        plan_rays(narrow, Merit())
    assert "\n" not in str(caught.value)
