"""Small captures of a camera whose kernels are known."""

import pytest
import torch

from psf import Captures
from psf.estimators.networks.bodies import lay_gaussians
from psf.estimators.networks.losses import blur_patches
from psf.threads import limit_threads
from psf.turning import polar_place, turn

SHAPE_PX, KERNEL_PX = (120, 160), 9


def known_kernels(radius, depth_m):
    """A spot that grows with the distance from focus at 2 dioptres and moves outwards with image height, (N, 1, 9, 9).

    Its mirror image about the row axis is itself.
    """
    sigma = 0.8 + 0.5 * (1 / depth_m - 2).abs()
    offset = torch.arange(KERNEL_PX, dtype=torch.float64) - KERNEL_PX // 2
    along = torch.softmax(-0.5 * ((offset - 1.5 * radius[:, None]) / sigma[:, None]) ** 2, -1)
    across = torch.softmax(-0.5 * (offset / (sigma * (1 - 0.3 * radius))[:, None]) ** 2, -1)
    return (across[:, :, None] * along[:, None, :])[:, None]


def make_captures(pairs=12, patch_px=40, noise=0.002, seed=0, is_turned=True, channels=1, **changes):
    """Random light; the whole of a pair has the kernel of its middle."""
    g = torch.Generator().manual_seed(seed)
    side = patch_px + KERNEL_PX - 1
    sharp = torch.rand(pairs, channels, side, side, generator=g, dtype=torch.float64)
    sharp = 0.7 * sharp + 0.3 * torch.rand(pairs, channels, 1, 1, generator=g, dtype=torch.float64)
    x0 = torch.randint(0, SHAPE_PX[1] - patch_px, (pairs,), generator=g)
    y0 = torch.randint(0, SHAPE_PX[0] - patch_px, (pairs,), generator=g)
    depth_m = 1 / (1.0 + 0.5 * (torch.arange(pairs) % 5).double())
    middle = (patch_px - 1) / 2
    radius, cosine, sine = polar_place(x0 + middle, y0 + middle, SHAPE_PX)
    kernels = known_kernels(radius.double(), depth_m)
    if is_turned:
        kernels = turn(kernels, torch.atan2(sine, cosine).double()[:, None], "spline")
    blurred = blur_patches(sharp, kernels.expand(-1, channels, -1, -1).contiguous())
    for light in (sharp, blurred):
        light += noise * torch.randn(light.shape, generator=g, dtype=torch.float64)
    given = {
        "sharp": sharp.float(),
        "blurred": blurred.float(),
        "x0_px": x0,
        "y0_px": y0,
        "depth_m": depth_m,
        "image_shape_px": SHAPE_PX,
        "kernel_px": KERNEL_PX,
        "focus_m": 0.5,
    }
    return Captures.from_arrays(**{**given, **changes})


@pytest.fixture(autouse=True)
def one_thread():
    """Small sums are slower on many threads, on busy machines by far."""
    with limit_threads(1):
        yield


@pytest.fixture(scope="session")
def captures():
    return make_captures()


@pytest.fixture(scope="session")
def make():
    return make_captures


@pytest.fixture(scope="session")
def known():
    return known_kernels


@pytest.fixture(scope="session")
def gaussians():
    return lay_gaussians
