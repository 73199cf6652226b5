import math

import pytest
import torch

from optics.rays import Fate, Loss, Rays, Traced
from psf.errors import InputError

POSITION, DIRECTION = torch.zeros(4, 5, 3), torch.tensor([0.0, 0.0, 1.0]).expand(4, 5, 3)


def test_rays_move_to_another_dtype_as_a_whole():
    rays = Rays(POSITION, DIRECTION, torch.tensor(0.5)).to(dtype=torch.float64)
    assert {rays.position_mm.dtype, rays.direction.dtype, rays.wavelength_um.dtype} == {torch.float64}


def test_one_number_serves_as_the_wavelength_of_all_rays():
    rays = Rays(POSITION, DIRECTION, 0.5876)
    assert rays.wavelength_um.shape == ()
    assert rays.wavelength_um.dtype == POSITION.dtype


def test_fates_keep_their_numbers():
    """Files and tables hold them."""
    assert [int(fate) for fate in Fate] == [0, 1, 2, 3, 4]
    assert Fate.ALIVE == 0


def traced(lost_at, lost_why):
    at, why = torch.tensor(lost_at), torch.tensor(lost_why)
    zeros = torch.zeros(*at.shape, 3)
    return Traced(zeros, zeros, zeros[..., 0], at == 0, at, why)


def test_losses_are_counted_by_surface_and_reason_the_most_frequent_first():
    rays = traced([[0, 3, 3], [3, 2, 0]], [[0, 1, 1], [2, 3, 0]])
    expected = (Loss(3, Fate.CLIPPED, 2), Loss(2, Fate.TOTAL_REFLECTION, 1), Loss(3, Fate.MISSED, 1))
    assert rays.losses() == expected
    assert str(rays.losses()[0]) == "2 rays clipped by the aperture of surface 3"
    assert str(rays.losses()[1]) == "1 ray totally reflected at surface 2"
    assert traced([0, 0], [0, 0]).losses() == ()


def test_every_ray_has_a_reason_and_living_ones_have_none():
    reasons = traced([[0, 3], [4, 7]], [[0, 1], [2, 4]]).reasons()
    assert reasons[:3] == ["", "clipped by the aperture of surface 3", "past surface 4"]
    assert reasons[3].endswith("at surface 7")


@pytest.mark.parametrize(
    ("position", "direction", "wavelength", "words"),
    [
        (torch.zeros(4, 2), torch.zeros(4, 2), 0.5, "Rays.position_mm"),
        (torch.zeros(()), torch.zeros(()), 0.5, "Rays.position_mm"),
        (POSITION, DIRECTION[0], 0.5, "Rays.direction"),
        (POSITION, DIRECTION.double(), 0.5, "Rays.direction"),
        (POSITION.long(), DIRECTION.long(), 0.5, "Rays.position_mm"),
        (POSITION, DIRECTION, torch.full((4,), 0.5), "Rays.wavelength_um"),
        (POSITION, DIRECTION, 0.0, "Rays.wavelength_um"),
        (POSITION, DIRECTION, -0.5, "Rays.wavelength_um"),
        (POSITION, DIRECTION, math.nan, "Rays.wavelength_um"),
    ],
)
def test_what_cannot_be_rays_is_refused_by_name(position, direction, wavelength, words):
    with pytest.raises(InputError) as caught:
        Rays(position, direction, wavelength)
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)
