"""Numbers that describe kernels, and how far one kernel is from another. Batched: kernels (..., K, K) in, (...) out."""

import torch
from torch import Tensor

from .errors import InputError


def check_kernels(where: str, kernels: Tensor) -> None:
    """Raise InputError unless kernels are square with a middle: shape (..., K, K) with odd K."""
    if kernels.ndim < 2 or kernels.shape[-1] != kernels.shape[-2] or kernels.shape[-1] % 2 == 0:
        raise InputError(where, f"shape {tuple(kernels.shape)}", "shape (..., K, K) with odd K")


def _offsets(kernels: Tensor) -> Tensor:
    half = kernels.shape[-1] // 2
    return torch.arange(-half, half + 1, dtype=kernels.dtype, device=kernels.device)


def measure_l1(kernels: Tensor, truth: Tensor) -> Tensor:
    """Share of the light in the wrong place: half the summed absolute difference.

    Args:
        kernels: Unit sum, shape (..., K, K).
        truth: Unit sum, shape that broadcasts.

    Returns:
        0 (equal) to 1 (no pixel in common), shape (...).
    """
    check_kernels("kernels", kernels)
    check_kernels("truth", truth)
    if kernels.shape[-1] != truth.shape[-1]:
        raise InputError("truth", f"side {truth.shape[-1]}", f"the kernels' side {kernels.shape[-1]}")
    return 0.5 * (kernels - truth).abs().sum((-2, -1))


def find_centroid_px(kernels: Tensor) -> Tensor:
    """Mean place of the light.

    Args:
        kernels: Positive sum, shape (..., K, K).

    Returns:
        Columns right of and rows below the centre pixel, shape (..., 2).
    """
    check_kernels("kernels", kernels)
    offset = _offsets(kernels)
    columns, rows = kernels.sum(-2), kernels.sum(-1)
    return torch.stack((columns @ offset, rows @ offset), -1) / columns.sum(-1)[..., None]


def find_second_moments_px2(kernels: Tensor) -> Tensor:
    """Second central moments of the light, pixels taken as points in their centres.

    Args:
        kernels: Positive sum, shape (..., K, K).

    Returns:
        Along columns, along rows, and mixed (columns right times rows down), in px squared: shape (..., 3).
    """
    check_kernels("kernels", kernels)
    offset = _offsets(kernels)
    centre = find_centroid_px(kernels)
    share = kernels / kernels.sum((-2, -1), keepdim=True)
    right = offset - centre[..., :1]
    down = offset - centre[..., 1:]
    xx = (share.sum(-2) * right**2).sum(-1)
    yy = (share.sum(-1) * down**2).sum(-1)
    xy = ((share * right[..., None, :]).sum(-1) * down).sum(-1)
    return torch.stack((xx, yy, xy), -1)


def find_rms_radius_px(kernels: Tensor) -> Tensor:
    """Root of the mean squared distance from the centroid, in px, shape (...)."""
    moments = find_second_moments_px2(kernels)
    # The floor keeps the root's gradient finite for a kernel of one pixel.
    return (moments[..., 0] + moments[..., 1]).clamp_min(torch.finfo(kernels.dtype).tiny).sqrt()


def find_encircled_energy(kernels: Tensor, radii_px: Tensor, subpixels: int = 5) -> Tensor:
    """Share of the light within circles about the centroid.

    Args:
        kernels: Positive sum, shape (..., K, K).
        radii_px: Radii of the circles, shape (E,).
        subpixels: Each pixel's light is spread evenly over this many points per axis.

    Returns:
        Shares of the light in the window, shape (..., E).
    """
    check_kernels("kernels", kernels)
    if radii_px.ndim != 1:
        raise InputError("radii_px", f"shape {tuple(radii_px.shape)}", "shape (E,)")
    if not bool((radii_px >= 0).all()):
        raise InputError("radii_px", float(radii_px.min()), "radii of at least 0")
    if isinstance(subpixels, bool) or subpixels < 1:
        raise InputError("subpixels", repr(subpixels), "a positive integer")
    centre = find_centroid_px(kernels)
    share = kernels / kernels.sum((-2, -1), keepdim=True)
    fine = (torch.arange(subpixels, dtype=kernels.dtype, device=kernels.device) + 0.5) / subpixels - 0.5
    points = (_offsets(kernels)[:, None] + fine).reshape(-1)
    right2 = (points - centre[..., :1]) ** 2
    down2 = (points - centre[..., 1:]) ** 2
    size = kernels.shape[-1]
    found = []
    for radius_px in radii_px.to(kernels):
        inside = (down2[..., :, None] + right2[..., None, :] <= radius_px**2).to(kernels)
        part = inside.unflatten(-1, (size, subpixels)).unflatten(-3, (size, subpixels)).mean((-3, -1))
        found.append((share * part).sum((-2, -1)))
    return torch.stack(found, -1) if found else share.new_zeros((*share.shape[:-2], 0))
