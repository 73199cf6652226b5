import math

import pytest
import torch

from optics.rays import Fate, Rays
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
