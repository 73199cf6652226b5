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


def find_noise_covariance(side: int, wide_px: float, high_px: float) -> Tensor:
    """Covariance of what folded cells read from white noise of variance 1, over all azimuths and places, (T, T).

    Cells that are smaller than a pixel share its noise, larger ones average it. Both belong to the sharp picture's own
    noise and not to the scene.

    Args:
        side: Cells along a side.
        wide_px: Width of the cells along the radius.
        high_px: Width across it.
    """
    width = min((0.5 * (wide_px**2 + high_px**2)) ** 0.5, 1.0)
    step = 1 / 32
    # A pixel's square and a cell of light, laid over each other; and that with itself, by distance.
    x = torch.arange(-48, 49, dtype=torch.float64) * step
    overlap = ((0.5 * (1 + width) - x.abs()) / width).clamp(0, 1)
    lags = torch.nn.functional.conv1d(overlap[None, None], overlap[None, None], padding=96)[0, 0] * step
    lags = lags[len(lags) // 2 :]
    distance = torch.arange(65, dtype=torch.float64) / 16
    angle = (torch.arange(45, dtype=torch.float64) + 0.5) * (torch.pi / 90)
    across = _read(lags, distance[:, None] * angle.cos() / step) * _read(lags, distance[:, None] * angle.sin() / step)
    curve = across.mean(1)
    right, below = find_places(side)
    apart = (wide_px * (right[:, None] - right)) ** 2
    near = _read(curve, 16 * (apart + (high_px * (below[:, None] - below)) ** 2).sqrt())
    far = _read(curve, 16 * (apart + (high_px * (below[:, None] + below)) ** 2).sqrt())
    count = multiplicity(side)
    # On the axis a cell is its own image.
    return 0.5 * count[:, None] * count * (near + far)


def _read(values: Tensor, place: Tensor) -> Tensor:
    """Values at fractional indices, 0 beyond the end."""
    low = place.floor().long().clamp(max=len(values) - 2)
    part = place - low
    return torch.where(place < len(values) - 1, (1 - part) * values[low] + part * values[low + 1], 0.0)
