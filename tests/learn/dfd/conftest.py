"""What tests of focal stacks share: a small camera at three focus distances, and what it photographs."""

import pytest
import torch

import psf
from learn.dfd.stack_settings import StackSettings
from learn.dfd.stack_synthesis import open_stacks

FOCUS_M = (0.5, 0.72, 1.415)
SENSOR_PX = (120, 160)


def make_fields(breathing_as="magnification", focus_m=FOCUS_M, kernel_px=13, **changes):
    """An ideal 12 mm f/2.8 with pixels of 13.44 um, whose picture shrinks by up to 1.6 % as it focuses farther."""
    options = {"focal_mm": 12.0, "f_number": 2.8, "pitch_um": 13.44, "image_shape_px": SENSOR_PX} | changes
    depths_m = 1 / torch.linspace(2.1, 0.68, 12)
    return [
        psf.thin_lens_field(
            **options,
            focus_m=one_m,
            reference_focus_m=focus_m[0],
            breathing_as=breathing_as,
            depths_m=depths_m,
            radii=torch.linspace(0, 1, 5),
            kernel_px=kernel_px,
            oversample=3,
        )
        for one_m in focus_m
    ]


@pytest.fixture(scope="session")
def make():
    """Makes the fields of a small camera."""
    return make_fields


@pytest.fixture(scope="session")
def fields():
    """A small camera at three focus distances."""
    return make_fields()


@pytest.fixture(scope="session")
def settings():
    """Windows of 32 px from numbers alone."""
    return StackSettings(seed=5, shape_px=(32, 32), textures=("leaves", "noise", "lines"))


@pytest.fixture(scope="session")
def synthesis(fields, settings):
    """Focal stacks of three pictures of 32 x 32 px."""
    return open_stacks(fields, settings)
