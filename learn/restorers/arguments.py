"""What restorers with a known field are given, checked."""

import math

import torch
from torch import Tensor

from psf import InputError, PolarPSFField

Number = float | Tensor


def check_frame(
    image: Tensor, depth_m: Tensor, field: PolarPSFField, window: tuple[int, int] | None
) -> tuple[int, int]:
    """Refuse a picture, a depth map and a field that do not belong together.

    Args:
        image: Shape (B, C, H, W).
        depth_m: Shape (B, 1, H, W).
        field: As many channels as the picture, of its type and device.
        window: Sensor column and row of the picture's first pixel; None: the picture is the whole sensor.

    Returns:
        The window, filled in.
    """
    if not isinstance(field, PolarPSFField):
        raise InputError("field", type(field).__name__, "a PolarPSFField")
    kernels = field.kernels
    for name, values, planes in (("image", image, kernels.shape[2]), ("depth_m", depth_m, 1)):
        if not isinstance(values, Tensor):
            raise InputError(name, type(values).__name__, "a tensor")
        if values.dtype != kernels.dtype or values.device != kernels.device:
            there = f"{kernels.dtype} on {kernels.device}, as the field"
            raise InputError(name, f"{values.dtype} on {values.device}", there)
        if values.ndim != 4 or values.shape[1] != planes or 0 in values.shape[2:]:
            raise InputError(name, f"shape {tuple(values.shape)}", f"shape (B, {planes}, H, W)")
    if depth_m.shape[::2] != image.shape[::2] or depth_m.shape[3] != image.shape[3]:
        raise InputError("depth_m", f"shape {tuple(depth_m.shape)}", f"one depth per pixel of {tuple(image.shape)}")
    if not bool((depth_m > 0).all()):
        raise InputError("depth_m", "values that are not positive", "depths above 0 m (inf is allowed)")
    if not bool(image.isfinite().all()):
        raise InputError("image", "values that are NaN or infinite", "finite light")
    height, width = image.shape[-2:]
    sensor = field.image_shape_px
    if window is None:
        if (height, width) != sensor:
            raise InputError("image", f"{height} x {width} px", f"the whole sensor {sensor}, or a window")
        return 0, 0
    if len(window) != 2 or not all(isinstance(one, int) and one >= 0 for one in window):
        raise InputError("window", window, "(x0_px, y0_px), two integers, 0 or more")
    if window[0] + width > sensor[1] or window[1] + height > sensor[0]:
        expected = f"a place on the sensor, {sensor[0]} x {sensor[1]} px"
        raise InputError("window", f"{window} and {height} x {width} px", expected)
    return window


def spread_number(name: str, value: Number, image: Tensor) -> Tensor:
    """One number, or one per picture, 0 or more, as shape (B,).

    Args:
        name: Of the argument.
        value: A number, shape () or (B,).
        image: Whose type is taken, shape (B, ...).
    """
    values = torch.as_tensor(value, dtype=image.dtype, device=image.device)
    if values.shape not in {(), (1,), (len(image),)}:
        raise InputError(name, f"shape {tuple(values.shape)}", f"one number or shape ({len(image)},)")
    if not bool(((values >= 0) & (values < math.inf)).all()):
        raise InputError(name, values.tolist(), "finite numbers, 0 or more")
    return values.reshape(-1).expand(len(image))
