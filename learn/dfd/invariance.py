"""Fields of a lens that is the same all over the picture: what is left when a kernel's place on the sensor is ignored.

The first row of each network in the paper's table is trained with such a field.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from psf import InputError, PolarPSFField
from psf.turning import turn

# Places per side of the sensor's quarter that weigh radii, and directions in a quarter that a kernel is turned to.
PLACES, DIRECTIONS = 64, 12


def make_invariant(field: PolarPSFField, kernels: Tensor | None = None) -> PolarPSFField:
    """The same camera with one kernel for each depth and colour, whatever the place on the sensor.

    That is the mean kernel over the sensor's area, turned to all directions: a round one, which no turning changes.
    Depths, transmission and image scale are those of the field.

    Args:
        field: Of the camera.
        kernels: An estimate to take instead of the mean, shape (D, C, K, K); it is made round as well.
    """
    depths, _, channels, side, _ = field.kernels.shape
    if kernels is None:
        weights = weigh_radii(field).to(field.kernels)
        mean = torch.einsum("r,drckl->dckl", weights, field.kernels)
    else:
        if kernels.shape != (depths, channels, side, side):
            found = f"shape {tuple(kernels.shape)}"
            raise InputError("make_invariant(kernels)", found, f"shape {(depths, channels, side, side)}")
        mean = kernels.to(field.kernels)
    # Quarters of a turn are exact, so that a quarter of the directions is to be read.
    quarter = torch.stack([turn(mean, 0.5 * math.pi * n / DIRECTIONS, "cubic") for n in range(DIRECTIONS)]).mean(0)
    rounded = torch.stack([quarter.rot90(n, (-2, -1)) for n in range(4)]).mean(0)
    # Beside sharp edges cubic reading leaves small negative lobes.
    rounded = rounded.clamp_min(0)
    total = rounded.sum((-2, -1), keepdim=True)
    if not bool((total > 0).all()):
        raise InputError("make_invariant(kernels)", "a kernel without light", "kernels whose sum is above 0")
    whole = (rounded / total)[:, None].expand_as(field.kernels).contiguous()
    lost = field.lost.mean(1, keepdim=True).expand_as(field.lost).contiguous()
    return replace(field, kernels=whole, lost=lost)


def weigh_radii(field: PolarPSFField) -> Tensor:
    """How much of the sensor's area belongs to each stored radius, by linear interpolation; the sum is 1.

    Args:
        field: Whose radii and sensor.

    Returns:
        Float64, shape (R,).
    """
    height, width = field.image_shape_px
    part = (torch.arange(PLACES, dtype=torch.float64) + 0.5) / PLACES
    radius = torch.hypot(part[:, None] * height, part[None, :] * width).flatten() / math.hypot(height, width)
    nodes = field.radii.double().cpu()
    weights = torch.zeros(len(nodes), dtype=torch.float64)
    if len(nodes) == 1:
        return weights + 1
    after = torch.searchsorted(nodes, radius).clamp(1, len(nodes) - 1)
    share = ((radius - nodes[after - 1]) / (nodes[after] - nodes[after - 1])).clamp(0, 1)
    weights.index_add_(0, after, share).index_add_(0, after - 1, 1 - share)
    return weights / weights.sum()
