"""What tests of joint designs share: textured patches, a short look at the f/2.2 lens, a small design."""

import math
from dataclasses import replace

import pytest
import torch

import optics
from learn.joint.design_grid import DesignGrid
from learn.joint.filter_bank import FilterSettings
from learn.joint.patches import convert_patches
from learn.joint.settings import JointSettings
from optics import FOCUS, Sampling

KERNEL_PX = 25
COARSE = Sampling(rings=10, angles=10, nodes=6)


def make_patches(count=4, side_px=20, kernel_px=KERNEL_PX, seed=0):
    """Blocks of all sizes and colours in the light of random cameras."""
    own = torch.Generator().manual_seed(seed)
    whole = side_px + kernel_px - 1
    srgb = torch.zeros(count, 3, whole, whole)
    for size in (2, 5, 11):
        cells = torch.rand((count, 3, -(-whole // size), -(-whole // size)), generator=own)
        srgb += cells.repeat_interleave(size, 2).repeat_interleave(size, 3)[..., :whole, :whole] / 3
    return convert_patches(srgb * 0.9 + 0.05, own)


def make_settings(**changes):
    """A design of seconds."""
    grid = DesignGrid(depths_m=(math.inf, 0.5), radii=(0.0,), kernel_px=KERNEL_PX, sampling=COARSE, checkpointed=False)
    usual = {"free": (FOCUS,), "steps": 2, "pool": 4, "fit_patches": 2, "loss_patches": 2, "side_px": 20}
    usual |= {"filters": FilterSettings(side_cells=3), "grid": grid, "network_steps": 1, "network_head_start": 1}
    return JointSettings(**(usual | changes))


@pytest.fixture(scope="session")
def lens():
    """The f/2.2 lens, stopped down so that its blur is small."""
    return replace(optics.load("f2.2_fixedfocus").stopped_down(4.0), channels=optics.LINE_CHANNELS)


@pytest.fixture(scope="session")
def wide_lens():
    """The f/2.2 lens as it is."""
    return replace(optics.load("f2.2_fixedfocus"), channels=optics.LINE_CHANNELS)


@pytest.fixture(scope="session")
def patches():
    """Makes textured patches."""
    return make_patches


@pytest.fixture(scope="session")
def settings():
    """Makes settings of a small design."""
    return make_settings
