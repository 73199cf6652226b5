"""Depth as colours, without a plotting library: near is bright, far is dark, even in dioptres."""

import torch
from torch import Tensor

from psf import InputError

# Seventeen even steps of matplotlib's "magma" (CC0), sRGB in 8 bits.
MAGMA = (
    (0, 0, 4),
    (10, 8, 34),
    (29, 17, 71),
    (54, 16, 107),
    (81, 18, 124),
    (106, 28, 129),
    (131, 38, 129),
    (156, 46, 127),
    (183, 55, 121),
    (208, 65, 111),
    (231, 82, 99),
    (245, 107, 92),
    (252, 137, 97),
    (254, 167, 114),
    (254, 196, 136),
    (253, 226, 163),
    (252, 253, 191),
)
UNKNOWN = 0.5


def colour_depth(depth_m: Tensor, ends_m: tuple[float, float]) -> Tensor:
    """A picture of a depth map.

    Args:
        depth_m: Above 0, `inf` allowed; NaN becomes grey. Shape (1, H, W).
        ends_m: Nearest depth, the brightest, and farthest, the darkest; may be `inf`.

    Returns:
        sRGB from 0 to 1, shape (3, H, W).
    """
    near_m, far_m = ends_m
    if not 0 < near_m < far_m:
        raise InputError("colour_depth(ends_m)", ends_m, "two depths above 0, ascending")
    return colour_values((1 / depth_m - 1 / far_m) / (1 / near_m - 1 / far_m))


def colour_values(values: Tensor) -> Tensor:
    """A picture of numbers.

    Args:
        values: 0, dark, to 1, bright; cut to that. NaN becomes grey. Shape (1, H, W).

    Returns:
        sRGB from 0 to 1, shape (3, H, W).
    """
    if values.ndim != 3 or len(values) != 1 or not values.is_floating_point():
        raise InputError("values", f"{values.dtype} of shape {tuple(values.shape)}", "floats of shape (1, H, W)")
    table = torch.tensor(MAGMA, dtype=values.dtype, device=values.device) / 255
    unknown = values[0].isnan()
    place = values[0].nan_to_num(0).clamp(0, 1) * (len(table) - 1)
    first = place.long().clamp_max(len(table) - 2)
    share = (place - first)[..., None]
    colours = torch.lerp(table[first], table[first + 1], share)
    return torch.where(unknown[..., None], torch.full_like(colours, UNKNOWN), colours).permute(2, 0, 1)
