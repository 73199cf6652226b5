"""Fields with more stored kernels, for renderers that mix linearly between them."""

from dataclasses import replace

import torch
from torch import Tensor

from psf import InputError, PolarPSFField


def refine(field: PolarPSFField, depths: int = 2, radii: int = 2) -> PolarPSFField:
    """The same camera with stored kernels in between, made as `PolarPSFField.at` makes them ("sized", "cubic").

    Mixing linearly on the finer grid then comes closer to "sized" on the coarse one, at more stored depths per tile.

    Args:
        field: D depths and R radii.
        depths: Intervals, even in dioptres, that every interval between stored depths is cut into.
        radii: Intervals that every interval between stored radii is cut into.
    """
    for name, count in (("depths", depths), ("radii", radii)):
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise InputError(f"refine({name})", repr(count), "a positive integer")
    if field.oversample != 1 and depths * radii > 1:
        raise InputError("refine(field)", f"oversample {field.oversample}", "a field with one value per pixel")
    near = 1 / _between(1 / field.depths_m, depths)
    # Stored depths stay what they are, to the last digit.
    near[::depths] = field.depths_m
    height = _between(field.radii, radii)
    place = (height[None, :], near[:, None])
    kernels = field.at(*place)
    return replace(
        field,
        kernels=kernels,
        transmission=field.transmission_at(*place),
        lost=field.lost_at(*place).clamp(0, 1 - 1e-6),
        depths_m=near,
        radii=height,
        provenance=field.provenance.with_arguments(refined=[depths, radii]),
    )


def _between(values: Tensor, count: int) -> Tensor:
    part = torch.arange(count, dtype=values.dtype, device=values.device) / count
    inner = values[:-1, None] + values.diff()[:, None] * part
    return torch.cat((inner.reshape(-1), values[-1:]))
