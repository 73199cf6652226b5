"""Small captures of a camera whose kernels are known."""

import math

import numpy as np
import pytest
import torch

from psf import Captures
from psf.threads import limit_threads
from psf.turning import polar_place

SHAPE_PX, KERNEL_PX = (150, 200), 9


def known_kernel(radius: float, azimuth_rad: float, dioptre: float) -> np.ndarray:
    """A disc that grows from focus at 2 dioptres and shrinks towards the corner, off centre along the radius: sums over
    fine points, so that its pixels hold the light on their squares."""
    fine = (np.arange(16 * KERNEL_PX) + 0.5) / 16 - 0.5 * KERNEL_PX
    right, down = np.meshgrid(fine, fine)
    along = math.cos(azimuth_rad) * right - math.sin(azimuth_rad) * down
    across = math.sin(azimuth_rad) * right + math.cos(azimuth_rad) * down
    size = 0.8 + 1.2 * abs(dioptre - 2.0)
    inside = ((along - 0.6 * radius) / size) ** 2 + (across / (size * (1 - 0.3 * radius))) ** 2 < 1
    light = inside.reshape(KERNEL_PX, 16, KERNEL_PX, 16).sum((1, 3)).astype(float)
    return light / light.sum()


def make_captures(
    pairs: int = 18, patch_px: int = 32, noise: float = 0.002, seed: int = 0, depths: int = 6, **changes
) -> Captures:
    """Random squares of light; every pixel has its own kernel, rounded to 1/50 of the image height and to 3 degrees."""
    numbers = np.random.default_rng(seed)
    half = KERNEL_PX // 2
    side = patch_px + 2 * half
    sharp, blurred, places, dioptres = [], [], [], []
    kept: dict[tuple[int, int, int], np.ndarray] = {}
    for pair in range(pairs):
        picture = np.full((side, side), 0.5)
        for _ in range(400):
            top, left, size = numbers.integers(-4, side), numbers.integers(-4, side), numbers.integers(2, 9)
            picture[max(top, 0) : max(top + size, 0), max(left, 0) : max(left + size, 0)] = numbers.uniform(0.1, 0.9)
        x0, y0 = int(numbers.integers(0, SHAPE_PX[1] - patch_px)), int(numbers.integers(0, SHAPE_PX[0] - patch_px))
        depth = pair % depths
        dioptre = 0.5 + 3.0 * depth / (depths - 1)
        y, x = torch.meshgrid(torch.arange(patch_px) + y0, torch.arange(patch_px) + x0, indexing="ij")
        radius, cosine, sine = polar_place(x.double(), y.double(), SHAPE_PX)
        azimuth = torch.atan2(sine, cosine)
        windows = np.lib.stride_tricks.sliding_window_view(picture, (KERNEL_PX, KERNEL_PX))[:, :, ::-1, ::-1]
        out = np.zeros((patch_px, patch_px))
        for row in range(patch_px):
            for col in range(patch_px):
                key = (depth, round(50 * float(radius[row, col])), round(60 * float(azimuth[row, col]) / math.pi))
                if key not in kept:
                    kept[key] = known_kernel(key[1] / 50, key[2] * math.pi / 60, dioptre)
                out[row, col] = (windows[row, col] * kept[key]).sum()
        sharp.append(picture + noise * numbers.standard_normal(picture.shape))
        blurred.append(out + noise * numbers.standard_normal(out.shape))
        places.append((x0, y0))
        dioptres.append(dioptre)
    given = {
        "sharp": np.array(sharp),
        "blurred": np.array(blurred),
        "x0_px": [x for x, _ in places],
        "y0_px": [y for _, y in places],
        "depth_m": [1 / one for one in dioptres],
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
def captures() -> Captures:
    return make_captures()


@pytest.fixture(scope="session")
def make():
    return make_captures


@pytest.fixture(scope="session")
def known():
    return known_kernel


def photograph_waves(scale: float) -> Captures:
    """Waves of 3 px and more, known between pixels too, blurred by a Gaussian of 0.8 px and scaled.

    12 pairs of 48 x 48 px at two depths on a sensor of 400 x 300 px, kernels of 11 px, no noise.
    """
    numbers, sensor, kernel_px, patch_px, sigma_px = torch.Generator().manual_seed(5), (300, 400), 11, 48, 0.8
    sharps, blurreds, corners = [], [], []
    for _ in range(12):
        direction = torch.randn((2, 80), generator=numbers, dtype=torch.float64)
        frequency = torch.rand(80, generator=numbers, dtype=torch.float64) / 3
        across, down = direction * frequency / direction.norm(dim=0)
        phase = 2 * math.pi * torch.rand(80, generator=numbers, dtype=torch.float64)
        x0, y0 = (int(torch.randint(0, side - patch_px, (1,), generator=numbers)) for side in sensor[::-1])
        passed = torch.exp(-2 * (math.pi * sigma_px / scale * frequency) ** 2)
        half = kernel_px // 2
        for pictures, first, side, own, contrast in (
            (sharps, -half, patch_px + 2 * half, 1.0, torch.ones_like(passed)),
            (blurreds, 0, patch_px, scale, passed),
        ):
            x, y = (torch.arange(side) + first + x0 - 199.5) / own, (torch.arange(side) + first + y0 - 149.5) / own
            angle = 2 * math.pi * (across * x[:, None] + (down * y[:, None])[:, None]) + phase
            pictures.append(0.5 + 0.03 * (contrast * torch.cos(angle)).sum(-1))
        corners.append((x0, y0))
    x0_px, y0_px = zip(*corners, strict=True)
    pictures = (torch.stack(sharps), torch.stack(blurreds))
    return Captures.from_arrays(*pictures, x0_px, y0_px, [0.5, 1.0] * 6, sensor, kernel_px, 0.5)


@pytest.fixture(scope="session")
def waves():
    return photograph_waves
