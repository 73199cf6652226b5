"""What the benchmarks of the renderers render: pictures, depth maps, kernels and fields.

The picture with its slanted floor, person and near object is the usual scene for comparing with DeepLens. All of it is
float64; times are taken of float32 copies.
"""

import functools
import math
import warnings
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from psf import Channel, PolarPSFField

STORED = 20  # depths and image heights of a field
NEAREST_DPT, FARTHEST_DPT = 10.0, 0.1
LENS = "f2.2_fixedfocus"
TRACED_PX = 65
# Of 3024 x 4032: a place of medium azimuth, and the centre, round which kernels turn fastest.
WINDOWS = {"window": (2900, 300), "centre": (1760, 1256)}
FIELDS = ("smooth", "harsh", "traced", *WINDOWS)
DEPTHS = ("scene", "one", "floor", "random")


def photograph(size_px: int) -> Tensor:
    """A portrait in linear light, mirrored where it ends, shape (1, 3, H, W); without scikit-image `hard_picture`."""
    try:
        from skimage import data
    except ImportError:
        return hard_picture(size_px)
    srgb = data.astronaut().astype(np.float64) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    index = np.pad(np.arange(len(linear)), (0, max(0, size_px - len(linear))), mode="symmetric")[:size_px]
    return torch.from_numpy(linear[index][:, index].transpose(2, 0, 1).copy())[None]


def hard_picture(size_px: int) -> Tensor:
    """Blocks with sharp edges, stripes down to some px and noise, shape (1, 3, H, W)."""
    generator = torch.Generator().manual_seed(1)
    y, x = torch.meshgrid(*[torch.arange(size_px, dtype=torch.float64) / size_px] * 2, indexing="ij")
    blocks = torch.rand((3, 16, 16), generator=generator, dtype=torch.float64)
    side = -(-size_px // 16)
    image = blocks.repeat_interleave(side, 1).repeat_interleave(side, 2)[:, :size_px, :size_px]
    image = image * (0.75 + 0.25 * torch.sin(40 * math.pi * (x + 0.6 * y) ** 2))
    noise = torch.rand((3, size_px, size_px), generator=generator, dtype=torch.float64)
    return (image * (0.9 + 0.1 * noise))[None]


def depth_map(height_px: int, width_px: int, kind: str = "scene") -> Tensor:
    """Depths in m, shape (1, 1, H, W): one of DEPTHS, or "slant"."""
    y, x = (torch.arange(n, dtype=torch.float64) / n for n in (height_px, width_px))
    y = y[:, None]
    flat = torch.zeros((height_px, width_px), dtype=torch.float64)
    if kind == "one":
        dioptre = flat + 2
    elif kind == "floor":  # over every stored depth
        dioptre = flat + FARTHEST_DPT + (NEAREST_DPT - FARTHEST_DPT) * y
    elif kind == "slant":
        dioptre = flat + 0.3 + 4 * y + 2 * x
    elif kind == "random":
        draw = torch.rand(flat.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        dioptre = FARTHEST_DPT + (NEAREST_DPT - FARTHEST_DPT) * draw
    else:
        person = (x - 0.42) ** 2 + (y - 0.4) ** 2 < 0.09
        near = ((x - 0.82).abs() < 0.12) & ((y - 0.75).abs() < 0.2)
        dioptre = torch.where(near, 8.0, torch.where(person, 3 + 0.8 * x, 0.4 + 4 * y + flat))
    return 1 / dioptre[None, None]


def stored_depths_m(planes: int) -> Tensor:
    """Evenly spaced in dioptres, ascending, shape (P,)."""
    return 1 / torch.linspace(NEAREST_DPT, FARTHEST_DPT, planes, dtype=torch.float64)


def lopsided_kernels(planes: int, kernel_px: int) -> Tensor:
    """Kernels without symmetry and without zeros, a third of the side wide (near) to sharp, shape (P, 3, K, K)."""
    offset = torch.arange(kernel_px, dtype=torch.float64) - kernel_px // 2
    y, x = offset[:, None], offset
    width = torch.linspace(kernel_px / 6, 0.6, planes, dtype=torch.float64)[:, None, None, None]
    squeeze = 1.3 + 0.1 * torch.arange(3, dtype=torch.float64)[:, None, None]
    kernels = torch.exp(-((x - 0.4 * width) ** 2 + squeeze * y**2) / (2 * width**2)) + 1e-6
    return kernels / kernels.sum((-2, -1), keepdim=True)


def make_field(name: str, kernel_px: int, size_px: int, planes: int = STORED) -> tuple[PolarPSFField, tuple[int, int]]:
    """A field, float64, and the sensor column and row where a picture of `size_px` begins.

    "smooth", "harsh" and "traced" have the whole sensor in the picture, so that the azimuth runs all round; the
    windows are pieces of the traced lens's own sensor.
    """
    if name in WINDOWS:
        return traced_field(kernel_px), WINDOWS[name]
    if name == "traced":
        return replace(traced_field(kernel_px), image_shape_px=(size_px, size_px)), (0, 0)
    kernels = (smooth_kernels if name == "smooth" else harsh_kernels)(kernel_px, planes)
    radii = torch.linspace(0, 1, STORED, dtype=torch.float64)
    return PolarPSFField(
        kernels=kernels / kernels.sum((-2, -1), keepdim=True),
        transmission=(1 - 0.4 * radii**2)[None, :, None].expand(planes, STORED, 3).clone(),
        lost=torch.zeros((planes, STORED, 3), dtype=torch.float64),
        depths_m=stored_depths_m(planes),
        radii=radii,
        image_shape_px=(size_px, size_px),
        pitch_um=2.0,
        channels=tuple(Channel(letter, (0.55,)) for letter in "RGB"),
        focus_m=1.0,
    ), (0, 0)


def smooth_kernels(kernel_px: int, planes: int) -> Tensor:
    """Coma-like Gaussians, wider in near planes, shape (P, R, 3, K, K)."""
    offset = torch.arange(kernel_px, dtype=torch.float64) - kernel_px // 2
    y, x = offset[:, None], offset
    q = torch.linspace(0, 1, STORED, dtype=torch.float64)[:, None, None, None]
    channel = torch.arange(3, dtype=torch.float64)[:, None, None]
    width = torch.linspace(kernel_px / 6, 0.6, planes, dtype=torch.float64)[:, None, None, None, None] * (1 + 0.2 * q)
    kernels = torch.exp(-((x - 0.4 * width * q) ** 2 + (1.3 + 0.1 * channel) ** (2 * q) * y**2) / (2 * width * width))
    return kernels * (1 + 0.3 * q * torch.tanh(x / width))


def harsh_kernels(kernel_px: int, planes: int, fine: int = 4) -> Tensor:
    """Discs with all that a lens does to them, shape (P, R, 3, K, K).

    Half a pixel in radius at 1 m to a third of K at 0.1 m, with sharp rims; towards the corner they become cat's eyes,
    brighter on one side and shifted (coma), 25 % wider one way than the other (astigmatism), and colours part.

    Args:
        kernel_px: K.
        planes: P.
        fine: Samples per pixel and axis.
    """
    offset = (torch.arange(kernel_px * fine, dtype=torch.float64) - (kernel_px * fine - 1) / 2) / fine
    y, x = offset[:, None], offset
    q = torch.linspace(0, 1, STORED, dtype=torch.float64)[:, None, None, None]
    channel = torch.arange(-1, 2, dtype=torch.float64)[:, None, None]
    found = []
    for dioptre in (1 / stored_depths_m(planes)).tolist():
        radius = 0.5 + (kernel_px / 3 - 0.5) * abs(dioptre - 1) / (NEAREST_DPT - 1)
        u = (x - 0.6 * channel * q - 0.25 * radius * q) / (1 - 0.125 * q) / radius
        v = y / (1 + 0.125 * q) / radius
        lit = (u * u + v * v < 1) & ((u - 0.5 * q) ** 2 + v * v < 1)
        light = torch.where(lit, 1 + 0.6 * q * u, 0.0)
        found.append(light.unflatten(-1, (kernel_px, fine)).sum(-1).unflatten(-2, (kernel_px, fine)).sum(-2))
    return torch.stack(found)


@functools.cache
def traced_field(kernel_px: int) -> PolarPSFField:
    """A phone's lens at f/2.2 as traced; what the window cannot hold is cut off."""
    import optics

    with warnings.catch_warnings(action="ignore"):  # that it cuts
        field = optics.psf_grid(optics.load(LENS), kernel_px=max(TRACED_PX, kernel_px))
        return field.cropped(kernel_px).to(dtype=torch.float64)
