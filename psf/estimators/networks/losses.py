"""The losses of PSF-Net (Wu, Monno and Okutomi, ICIP 2024, equations 1 to 5), one number per sample.

The formulas are a reading of theirs: absolute differences, means over the valid pixels, a cost only where light rises
with the distance from the kernel's middle.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from ...convolve import convolve_image
from ...errors import InputError
from ...metrics import find_centroid_px

RadialCentre = Literal["kernel", "centroid"]
RADIAL_CENTRES: tuple[str, ...] = get_args(RadialCentre)


def blur_patches(sharp: Tensor, kernels: Tensor) -> Tensor:
    """Every sharp patch convolved with its own kernel, where the patch determines it.

    Args:
        sharp: Shape (B, C, h + K - 1, w + K - 1).
        kernels: Shape (B, C, K, K).

    Returns:
        Shape (B, C, h, w).
    """
    half = kernels.shape[-1] // 2
    height, width = sharp.shape[-2:]
    blurred = convolve_image(sharp, kernels, padding="zeros")
    return blurred[..., half : height - half, half : width - half]


def find_reconstruction_loss(sharp: Tensor, blurred: Tensor, kernels: Tensor) -> Tensor:
    """Equation 2: mean absolute difference of photographed and re-blurred patches.

    Args:
        sharp: Shape (B, C, h + K - 1, w + K - 1).
        blurred: Shape (B, C, h, w).
        kernels: Turned to the patches' azimuths, shape (B, C, K, K).

    Returns:
        Shape (B,).
    """
    return (blurred - blur_patches(sharp, kernels)).abs().mean((-3, -2, -1))


def find_roughness(kernels: Tensor) -> Tensor:
    """Equation 3: absolute differences of neighbouring taps, summed and divided by the number of taps.

    Args:
        kernels: At azimuth 0, shape (B, C, K, K).

    Returns:
        Means over channels, shape (B,).
    """
    along, down = (kernels.diff(dim=axis).abs().sum((-2, -1)) for axis in (-1, -2))
    return ((along + down) / kernels.shape[-1] ** 2).mean(-1)


def find_square_means(kernels: Tensor, centre: str = "kernel") -> tuple[Tensor, Tensor]:
    """Means of kernels over squares of 1, 3, 5 ... px a side about a centre.

    Args:
        kernels: Shape (..., K, K).
        centre: "kernel" for its middle pixel, "centroid" for the pixel next to the centroid, which has no gradient.

    Returns:
        Means, shape (..., K // 2 + 1), and how many of them, from the first, lie inside the kernel, shape (...).
    """
    if centre not in RADIAL_CENTRES:
        raise InputError("radial_centre", repr(centre), " or ".join(map(repr, RADIAL_CENTRES)))
    size = kernels.shape[-1]
    half = size // 2
    row = torch.full(kernels.shape[:-2], half, device=kernels.device)
    col = row
    if centre == "centroid":
        place = find_centroid_px(kernels.detach()).round().long().clamp(-half, half)
        col, row = half + place[..., 0], half + place[..., 1]
    reach = torch.stack((row, col, size - 1 - row, size - 1 - col)).amin(0)
    total = torch.nn.functional.pad(kernels, (1, 0, 1, 0)).cumsum(-1).cumsum(-2).flatten(-2)
    r = torch.arange(half + 1, device=kernels.device)
    top, left = ((one[..., None] - r).clamp_min(0) for one in (row, col))
    bottom, right = ((one[..., None] + r + 1).clamp_max(size) for one in (row, col))

    def corner(y: Tensor, x: Tensor) -> Tensor:
        return total.gather(-1, y * (size + 1) + x)

    light = corner(bottom, right) - corner(top, right) - corner(bottom, left) + corner(top, left)
    return light / (2 * r + 1) ** 2, reach + 1


def find_radial_rise(kernels: Tensor, centre: str = "kernel") -> Tensor:
    """Equations 4 and 5: how much the means over growing squares rise, added up; falls cost nothing.

    It punishes kernels off centre (breathing, coma) and rings, too; "centroid" forgives the former.

    Args:
        kernels: At azimuth 0, shape (B, C, K, K).
        centre: As in `find_square_means`.

    Returns:
        Means over channels, shape (B,).
    """
    means, count = find_square_means(kernels, centre)
    rise = means.diff(dim=-1).clamp_min(0)
    is_inside = torch.arange(1, means.shape[-1], device=kernels.device) < count[..., None]
    return torch.where(is_inside, rise, 0.0).sum(-1).mean(-1)


def find_pair_loss(
    sharp: Tensor,
    blurred: Tensor,
    kernels: Tensor,
    turned: Tensor,
    *,
    smooth_weight: float = 1.0,
    radial_weight: float = 10.0,
    radial_centre: str = "kernel",
) -> Tensor:
    """Equation 1.

    Args:
        sharp: Shape (B, C, h + K - 1, w + K - 1).
        blurred: Shape (B, C, h, w).
        kernels: At azimuth 0, shape (B, C, K, K).
        turned: The same, turned to the patches' azimuths, shape (B, C, K, K).
        smooth_weight: Of equation 3.
        radial_weight: Of equation 4.
        radial_centre: As in `find_square_means`.

    Returns:
        Shape (B,); a batch's loss is the mean.
    """
    loss = find_reconstruction_loss(sharp, blurred, turned)
    if smooth_weight:
        loss = loss + smooth_weight * find_roughness(kernels)
    if radial_weight:
        loss = loss + radial_weight * find_radial_rise(kernels, radial_centre)
    return loss
