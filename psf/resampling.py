"""Kernels on another lattice along their own axes: cut, spread over other pixels. No light is lost unnoticed."""

import math

import torch
from torch import Tensor

from .errors import InputError


def check_odd(where: str, found: int) -> None:
    """Raise InputError unless `found` is an odd positive integer."""
    if isinstance(found, bool) or not isinstance(found, int) or found < 1 or found % 2 == 0:
        raise InputError(where, repr(found), "an odd positive integer")


def crop(kernels: Tensor, size: int) -> Tensor:
    """The middle `size` x `size` samples of kernels (..., S, S); S - size is even."""
    edge = (kernels.shape[-1] - size) // 2
    return kernels[..., edge : edge + size, edge : edge + size]


def overlap_matrix(
    size: int, size_to: int, scale: float, shift: float = 0.0, dtype: torch.dtype = torch.float64
) -> Tensor:
    """How the light of each old pixel, uniform over it, falls on new pixels.

    Args:
        size: Old pixels; their row is centred on 0.
        size_to: New pixels; their row is centred on 0.
        scale: An old pixel is this many new ones wide.
        shift: The old row's centre lies here, in new pixels.
        dtype: Of the result.

    Returns:
        Shape (size_to, size). A column sums to 1 unless part of that pixel falls outside the new row.
    """
    old = (torch.arange(size + 1, dtype=torch.float64) - size / 2) * scale + shift
    new = torch.arange(size_to + 1, dtype=torch.float64) - size_to / 2
    low = torch.maximum(old[None, :-1], new[:-1, None])
    high = torch.minimum(old[None, 1:], new[1:, None])
    return ((high - low).clamp_min(0) / scale).to(dtype)


def gaussian_matrix(size: int, sigma: float, dtype: torch.dtype = torch.float64) -> Tensor:
    """How the light of each pixel, uniform over it, falls on its row after a Gaussian spread of `sigma` pixels.

    Integrated over both pixels, so that small spreads act as they should (sampled Gaussians below half a pixel do not).

    Returns:
        Shape (size, size).
    """
    if sigma == 0:
        return torch.eye(size, dtype=dtype)
    edge = torch.arange(-size, size + 1, dtype=torch.float64)
    z = edge / sigma
    ramp = edge * torch.special.ndtr(z) + sigma * torch.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    share = ramp[2:] - 2 * ramp[1:-1] + ramp[:-2]
    place = torch.arange(size)
    spread: Tensor = share[place[:, None] - place[None, :] + size - 1]
    return spread.clamp_min(0).to(dtype)


def apply_matrices(kernels: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Apply rows (T, S) and columns (T, S) to kernels (..., S, S): shape (..., T, T)."""
    return rows.to(kernels) @ kernels @ columns.to(kernels).mT


def renormalise(kernels: Tensor, where: str) -> tuple[Tensor, Tensor]:
    """Kernels (..., S, S) divided by their sums, and the sums (...); InputError where a kernel holds no light."""
    kept = kernels.sum((-2, -1))
    if not bool((kept.detach() > 0).all()):
        raise InputError(
            where, "a kernel without light inside the new window", "a window that holds light of every kernel"
        )
    return kernels / kept[..., None, None], kept
