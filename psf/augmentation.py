"""Cameras of one make differ: the kernels of a field, changed at random."""

import math

import torch
from torch import Tensor

from .errors import InputError
from .resampling import apply_matrices, gaussian_matrix, overlap_matrix, renormalise


def augment_kernels(
    kernels: Tensor,
    oversample: int,
    generator: torch.Generator,
    scale: float,
    anisotropy: float,
    spread_px: float,
    spread_share: float,
    shift_px: float,
) -> tuple[Tensor, Tensor, dict[str, float]]:
    """Scale, spread and shift kernels along their own axes; arguments as `PolarPSFField.augmented` explains them.

    Args:
        kernels: Shape (..., S, S).
        oversample: Stored pixels per sensor pixel and axis.
        generator: Five numbers are drawn from it, whatever the arguments.
        scale: 0 to below 1.
        anisotropy: 0 to below 1.
        spread_px: At least 0.
        spread_share: 0 to 1.
        shift_px: At least 0.

    Returns:
        Kernels of unit sum, shape (..., S, S); the share of light kept inside the window, shape (...); what was drawn.
    """
    given = {
        "scale": scale,
        "anisotropy": anisotropy,
        "spread_px": spread_px,
        "spread_share": spread_share,
        "shift_px": shift_px,
    }
    for name, value in given.items():
        if name.endswith("_px"):
            fits, expected = 0 <= value < math.inf, "a finite value of at least 0"
        elif name == "spread_share":
            fits, expected = 0 <= value <= 1, "a share from 0 to 1"
        else:
            fits, expected = 0 <= value < 1, "a share from 0 to below 1"
        if not fits:
            raise InputError(f"augmented({name})", value, expected)
    numbers = torch.rand(5, generator=generator, device=generator.device, dtype=torch.float64).tolist()
    grow = 1 + scale * (2 * numbers[0] - 1)
    stretch = 1 + anisotropy * (2 * numbers[1] - 1)
    sigma_px = spread_px * numbers[2] if numbers[3] < spread_share else 0.0
    shift = shift_px * (2 * numbers[4] - 1)
    size = kernels.shape[-1]
    spread = gaussian_matrix(size, sigma_px * oversample)
    along = spread @ overlap_matrix(size, size, grow * stretch, shift * oversample)
    across = spread @ overlap_matrix(size, size, grow / stretch)
    changed, kept = renormalise(apply_matrices(kernels, across, along), "augmented")
    drawn = {
        "scale_along_radius": grow * stretch,
        "scale_across": grow / stretch,
        "spread_px": sigma_px,
        "shift_px": shift,
    }
    return changed, kept, drawn
