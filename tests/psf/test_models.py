import math

import pytest
import torch

from psf import InputError, PolarPSFModel, PSFModel, turn
from psf.models import bin_kernels, to_unit_sum, turn_to

F64 = torch.float64


class Streak(PolarPSFModel):
    """A streak that points outwards, longer with image height."""

    image_shape_px = (101, 101)

    def kernels_at(self, radius, depth_m):
        kernels = torch.zeros(len(radius), 1, 7, 7, dtype=radius.dtype)
        kernels[:, 0, 3, 3] = 1 - 0.5 * radius
        kernels[:, 0, 3, 5] = 0.5 * radius
        return kernels


def test_a_model_that_knows_azimuth_0_knows_every_pixel():
    model = Streak()
    assert isinstance(model, PSFModel)
    x_px, y_px = torch.tensor([90.0, 50.0, 50.0], dtype=F64), torch.tensor([50.0, 10.0, 90.0], dtype=F64)
    kernels = model.kernels_at_pixel(x_px, y_px, torch.ones(3, dtype=F64))
    plain = model.kernels_at(torch.tensor([40 / (0.5 * math.hypot(101, 101))], dtype=F64), torch.ones(1, dtype=F64))[0]
    for kernel, quarters in zip(kernels, (0, 1, 3), strict=True):
        assert (kernel - torch.rot90(plain, quarters, (-2, -1))).abs().max() < 1e-12


def test_batches_are_turned_one_by_one_and_keep_their_light():
    kernels = torch.rand(4, 3, 9, 9, dtype=F64, generator=torch.Generator().manual_seed(0))
    kernels[..., 4, 4] += 20.0
    angle = torch.tensor([0.1, 1.0, 2.5, -2.0], dtype=F64)
    found = turn_to(kernels, angle.cos(), angle.sin())
    want = turn(kernels, angle[:, None]).clamp_min(0)
    assert (found - want / want.sum((-2, -1), keepdim=True)).abs().max() < 1e-12


def test_fine_kernels_lose_nothing_by_turning_that_pixels_lose():
    # A Gaussian as wide as a pixel's fifth, off centre: its turned pixels are known.
    fine = (torch.arange(45, dtype=F64) - 22) / 5

    def spot(right, down):
        return torch.exp(-0.5 * (((fine - right) / 0.3)[None, :] ** 2 + ((fine - down) / 0.3)[:, None] ** 2))

    angle = torch.tensor([0.7], dtype=F64)
    stored, turned = spot(1.7, 0.0)[None, None], spot(1.7 * math.cos(0.7), -1.7 * math.sin(0.7))
    wanted = bin_kernels(turned, 5) / turned.sum()
    found = turn_to(stored, angle.cos(), angle.sin(), oversample=5)[0, 0]
    coarse = turn_to(bin_kernels(stored, 5), angle.cos(), angle.sin())[0, 0]
    assert (found - wanted).abs().sum() < 0.03
    assert (coarse - wanted).abs().sum() > 0.2


def test_a_kernel_without_light_gives_zeros_not_nan():
    assert torch.equal(to_unit_sum(torch.zeros(2, 3, 3), "cubic"), torch.zeros(2, 3, 3))


def test_a_model_without_kernels_says_so():
    with pytest.raises(NotImplementedError, match="PolarPSFModel has no kernels_at"):
        PolarPSFModel().kernels_at(torch.zeros(1), torch.ones(1))


def test_wrong_shapes_are_named():
    with pytest.raises(InputError, match=r"kernels: found shape \(3, 3\)"):
        turn_to(torch.zeros(3, 3), torch.ones(1), torch.zeros(1))
