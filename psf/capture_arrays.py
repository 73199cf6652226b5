"""Arrays at the door of `Captures`: light, numbers per pair, windows on the sensor."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import InputError


def to_light(where: str, values: Any) -> Tensor:
    """Pictures as a float tensor without a gradient, shape (N, h, w) or (N, C, h, w); halves become float32.

    Args:
        where: What messages call it.
        values: A tensor, a numpy array, or what numpy makes one of.
    """
    try:
        light = values.detach() if isinstance(values, Tensor) else torch.from_numpy(np.ascontiguousarray(values))
    except (TypeError, ValueError) as error:
        raise InputError(where, f"{type(values).__name__} ({error})", "an array of light, (N, C, H, W)") from error
    if not light.is_floating_point():
        found = f"{light.dtype} of shape {tuple(light.shape)}"
        raise InputError(where, found, "floats: linear light, 0 black and about 1 white")
    if light.ndim not in (3, 4):
        raise InputError(where, f"shape {tuple(light.shape)}", "shape (N, H, W) or (N, C, H, W)")
    return light.float() if light.dtype.itemsize < 4 else light


def to_column(where: str, values: Any, count: int) -> Tensor:
    """One number per pair, float64, shape (N,).

    Args:
        where: What messages call it.
        values: One number, or N of them.
        count: N.
    """
    try:
        found = values.detach().cpu() if isinstance(values, Tensor) else torch.from_numpy(np.array(values, dtype=float))
    except (TypeError, ValueError) as error:
        raise InputError(where, repr(values)[:60], "a number, or one per pair") from error
    column = found.to(torch.float64)
    if column.numel() == 1:
        return column.reshape(1).repeat(count)
    if column.numel() != count:
        raise InputError(where, f"{column.numel()} numbers", f"one, or {count}: one per pair")
    return column.reshape(-1).clone()


def check_light(where: str, light: Tensor) -> None:
    """Refuse pixels that are not finite; light of any shape (...)."""
    if bad := int((~light.isfinite()).sum()):
        place = tuple((~light.isfinite()).nonzero()[0].tolist())
        raise InputError(where, f"{bad} pixels that are not finite, the first at {place}", "finite light")


def check_window(
    where: str, corner_px: tuple[float, float], shape_px: tuple[int, int], image_shape_px: tuple[int, int]
) -> None:
    """Refuse a window that does not lie on the sensor.

    Args:
        where: What messages call it.
        corner_px: Sensor column and row of its first pixel.
        shape_px: Its (h, w).
        image_shape_px: The sensor's (H, W).
    """
    free = (image_shape_px[1] - shape_px[1], image_shape_px[0] - shape_px[0])
    if min(free) < 0:
        found = f"{shape_px[1]} x {shape_px[0]} px"
        raise InputError(
            f"{where}: blurred", found, f"a part of the sensor's {image_shape_px[1]} x {image_shape_px[0]}"
        )
    if not (0 <= corner_px[0] <= free[0] and 0 <= corner_px[1] <= free[1]):
        expected = f"0 to {free[0]} and 0 to {free[1]}: {shape_px[1]} x {shape_px[0]} px on the sensor"
        raise InputError(f"{where}: x0_px, y0_px", f"{corner_px[0]:g}, {corner_px[1]:g}", expected)


def find_distinct(values: Tensor, tolerance: float) -> Tensor:
    """Every value once, ascending; values within a share of a smaller one are that one.

    Args:
        values: Shape (N,).
        tolerance: That share.
    """
    kept: list[float] = []
    for one in values.unique().tolist():
        if not kept or one - kept[-1] > tolerance * kept[-1]:
            kept.append(one)
    return values.new_tensor(kept)
