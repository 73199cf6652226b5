"""Kernels at azimuth 0 as their own mirror image: one unknown for two cells.

A folded kernel has the cells on and below the row axis, row by row: side (side + 1) / 2 of them. Every value of it
below the axis stands for two cells, itself and its mirror image.
"""

import torch
from torch import Tensor


def count_taps(side: int) -> int:
    """Cells of a folded kernel."""
    return side * (side // 2 + 1)


def multiplicity(side: int) -> Tensor:
    """How many cells each folded one stands for, shape (T,): 1 on the row axis, 2 below it."""
    twice = torch.full((side // 2 + 1, side), 2.0, dtype=torch.float64)
    twice[0] = 1
    return twice.reshape(-1)


def fold(kernels: Tensor) -> Tensor:
    """Mean of each kernel (..., side, side) and its mirror image, folded: shape (..., T)."""
    half = kernels.shape[-1] // 2
    mean = 0.5 * (kernels + kernels.flip(-2))
    return mean[..., half:, :].flatten(-2)


def unfold(folded: Tensor, side: int) -> Tensor:
    """Whole kernels, shape (..., side, side), of folded ones, shape (..., T)."""
    lower = folded.unflatten(-1, (side // 2 + 1, side))
    return torch.cat((lower[..., 1:, :].flip(-2), lower), -2)


def find_places(side: int) -> tuple[Tensor, Tensor]:
    """Columns right of and rows below the middle of every folded cell, in cells, each of shape (T,)."""
    half = side // 2
    below, right = torch.meshgrid(
        torch.arange(half + 1, dtype=torch.float64), torch.arange(-half, half + 1, dtype=torch.float64), indexing="ij"
    )
    return right.reshape(-1), below.reshape(-1)
