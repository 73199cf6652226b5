"""What everything that answers with kernels has in common: stored fields, networks, ideal discs."""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from .errors import InputError
from .sampling import check_turning, prepare, sample
from .turning import polar_place, turning_affine


@runtime_checkable
class PSFModel(Protocol):
    """A camera's point-spread function over depth and image height."""

    def kernels_at(self, radius: Tensor, depth_m: Tensor) -> Tensor:
        """Kernels at azimuth 0.

        Args:
            radius: Image height, 0 at the picture's centre, 1 at the sensor's corner, shape (N,).
            depth_m: Depths, `inf` allowed, shape (N,).

        Returns:
            Of unit sum, shape (N, C, K, K).
        """
        ...

    def kernels_at_pixel(self, x_px: Tensor, y_px: Tensor, depth_m: Tensor) -> Tensor:
        """Kernels at sensor pixels, turned to their azimuths.

        Args:
            x_px: Columns, shape (N,).
            y_px: Rows, shape (N,).
            depth_m: Depths, shape (N,).

        Returns:
            Of unit sum, shape (N, C, K, K).
        """
        ...


class PolarPSFModel:
    """Gives a model with `kernels_at` and `image_shape_px` its `kernels_at_pixel`: the same kernels, turned.

    A model without polar symmetry overrides `kernels_at_pixel`.
    """

    image_shape_px: tuple[int, int]

    def kernels_at(self, radius: Tensor, depth_m: Tensor) -> Tensor:
        """As `PSFModel.kernels_at`; a model brings its own."""
        raise NotImplementedError(f"{type(self).__name__} has no kernels_at")

    def kernels_at_pixel(self, x_px: Tensor, y_px: Tensor, depth_m: Tensor) -> Tensor:
        """As `PSFModel.kernels_at_pixel`."""
        radius, cosine, sine = polar_place(x_px, y_px, self.image_shape_px)
        return turn_to(self.kernels_at(radius, depth_m), cosine, sine)


def turn_to(kernels: Tensor, cosine: Tensor, sine: Tensor, turning: str = "cubic", oversample: int = 1) -> Tensor:
    """Turn whole batches and restore what turning costs: no negative lobes, unit sum.

    Args:
        kernels: Shape (N, C, O K, O K).
        cosine: Of each azimuth, shape (N,).
        sine: Of each azimuth, shape (N,).
        turning: As for `turning.turn`.
        oversample: O, values per pixel and axis.

    Returns:
        Shape (N, C, K, K).
    """
    check_turning("turning", turning)
    kernel_px, rest = divmod(kernels.shape[-1], oversample)
    if kernels.ndim != 4 or kernels.shape[-1] != kernels.shape[-2] or kernel_px % 2 == 0 or rest:
        expected = "shape (N, C, K, K) with odd K" + (f", times {oversample}" if oversample > 1 else "")
        raise InputError("kernels", f"shape {tuple(kernels.shape)}", expected)
    count, channels, size = kernels.shape[:3]
    affine = turning_affine(cosine, sine).repeat_interleave(channels, 0)[:, None]
    index = torch.arange(count * channels, device=kernels.device)[:, None]
    flat = prepare(kernels.reshape(-1, size, size), turning)
    turned = sample(flat, index, torch.ones_like(affine[..., 0]), affine.to(kernels), kernel_px, oversample, turning)
    return to_unit_sum(turned.reshape(count, channels, kernel_px, kernel_px), turning)


def bin_kernels(kernels: Tensor, oversample: int) -> Tensor:
    """Light per pixel, shape (..., K, K), of kernels with O values per pixel and axis, shape (..., O K, O K)."""
    if oversample == 1:
        return kernels
    binned: Tensor = kernels.unflatten(-1, (-1, oversample)).unflatten(-3, (-1, oversample)).sum((-3, -1))
    return binned


def to_unit_sum(kernels: Tensor, turning: str) -> Tensor:
    """Kernels (..., K, K) without negative lobes of "cubic" and "spline", divided by their sums; zeros stay zeros.

    Where no gradient is recorded this overwrites `kernels`: batches are large.
    """
    if torch.is_grad_enabled() and kernels.requires_grad:
        kernels = kernels if turning == "bilinear" else kernels.clamp_min(0)
        return kernels / kernels.sum((-2, -1), keepdim=True).clamp_min(torch.finfo(kernels.dtype).tiny)
    if turning != "bilinear":
        kernels.clamp_min_(0)
    return kernels.div_(kernels.sum((-2, -1), keepdim=True).clamp_min(torch.finfo(kernels.dtype).tiny))
