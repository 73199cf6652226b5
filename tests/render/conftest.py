"""What the renderer's tests share."""

import math

import pytest
import torch

from psf import Channel, PolarPSFField

F64 = torch.float64


def make_field(seed=0, oversample=1, kernel_px=5):
    g = torch.Generator().manual_seed(seed)
    kernels = torch.rand((3, 4, 2, kernel_px * oversample, kernel_px * oversample), generator=g, dtype=F64)
    return PolarPSFField(
        kernels=kernels / kernels.sum((-2, -1), keepdim=True),
        transmission=torch.rand((3, 4, 2), generator=g, dtype=F64) + 0.5,
        lost=torch.zeros((3, 4, 2), dtype=F64),
        depths_m=torch.tensor([0.2, 0.5, math.inf], dtype=F64),
        radii=torch.tensor([0.0, 0.3, 0.7, 1.0], dtype=F64),
        image_shape_px=(40, 50),
        pitch_um=2.0,
        channels=(Channel("R", (0.6,)), Channel("B", (0.45,))),
        focus_m=0.5,
        oversample=oversample,
    )


@pytest.fixture(scope="session")
def small_field():
    """Makes fields of three depths, four radii and two channels, of random kernels."""
    return make_field
