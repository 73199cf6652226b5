"""Where a pixel lies in a polar field, and kernels turned to its azimuth."""

import torch
from torch import Tensor

from .errors import InputError
from .sampling import check_turning, prepare, sample


def polar_place(x_px: Tensor, y_px: Tensor, image_shape_px: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Image height and direction of sensor pixels.

    Args:
        x_px: Columns, shape (...).
        y_px: Rows, counted downwards, shape (...).
        image_shape_px: The sensor's (H, W).

    Returns:
        Radius (0 at the picture's centre, 1 at the sensor's corner), cosine and sine of the azimuth
        (counter-clockwise on the upright picture, 0 to the right; 0 at the very centre), each of shape (...).
    """
    height, width = image_shape_px
    right, up = x_px - (width - 1) / 2, (height - 1) / 2 - y_px
    at_centre = (right == 0) & (up == 0)
    # The root has no gradient at zero: put another number there before taking it.
    distance = torch.hypot(torch.where(at_centre, 1.0, right), up)
    radius = torch.where(at_centre, 0.0, distance) / (0.5 * (height**2 + width**2) ** 0.5)
    return radius, torch.where(at_centre, 1.0, right / distance), up / distance


def turning_affine(cosine: Tensor, sine: Tensor) -> Tensor:
    """The map from a turned kernel's points to the stored kernel's, as `sampling.sample` takes it.

    Args:
        cosine: Of the angle to turn by, counter-clockwise, shape (...).
        sine: Of the same angle, shape (...).

    Returns:
        Shape (..., 6).
    """
    zero = torch.zeros_like(cosine)
    return torch.stack((cosine, sine, zero, -sine, cosine, zero), -1)


def turn(kernels: Tensor, azimuth_rad: Tensor | float, turning: str = "cubic") -> Tensor:
    """Turn kernels counter-clockwise, as seen on the upright picture, about their centre pixels.

    Reads the kernel at turned points, zero outside its square; sums are not restored and the small negative lobes
    that "cubic" and "spline" leave beside sharp edges are not cut off (fields do both). Multiples of 90 degrees are
    exact to rounding.

    Args:
        kernels: Shape (..., K, K).
        azimuth_rad: Angle of each kernel, any shape that broadcasts with (...).
        turning: "bilinear", "cubic" (Keys, a = -1/2) or "spline" (cubic B-spline through the samples).

    Returns:
        Turned kernels, shape (..., K, K), the leading shapes broadcast.
    """
    check_turning("turning", turning)
    if kernels.ndim < 2 or kernels.shape[-1] != kernels.shape[-2] or kernels.shape[-1] < 1:
        raise InputError("kernels", f"shape {tuple(kernels.shape)}", "shape (..., K, K)")
    angle = torch.as_tensor(azimuth_rad, dtype=kernels.dtype, device=kernels.device)
    if not bool(angle.detach().isfinite().all()):
        raise InputError("azimuth_rad", "a value that is not finite", "angles in rad")
    try:
        shape = torch.broadcast_shapes(kernels.shape[:-2], angle.shape)
    except RuntimeError as error:
        raise InputError(
            "azimuth_rad", f"shape {tuple(angle.shape)}", f"one that fits kernels {tuple(kernels.shape)}"
        ) from error
    size = kernels.shape[-1]
    flat = kernels.expand(*shape, size, size).reshape(-1, size, size)
    affine = turning_affine(angle.cos(), angle.sin()).expand(*shape, 6).reshape(-1, 1, 6)
    index = torch.arange(len(flat), device=kernels.device)[:, None]
    turned = sample(prepare(flat, turning), index, torch.ones_like(affine[..., 0]), affine, size, 1, turning)
    return turned.reshape(*shape, size, size)
