"""What a kernel leaves of the contrast of line patterns: its modulation transfer function."""

import torch
from torch import Tensor

from .errors import InputError
from .metrics import check_kernels


def find_mtf(kernels: Tensor, frequencies_per_px: Tensor, azimuth_rad: Tensor | float = 0.0) -> Tensor:
    """Contrast of sine patterns behind a kernel, pixels taken as points in their centres.

    A kernel's values are light on whole pixels, so the contrast that a pixel's own area costs is inside.

    Args:
        kernels: Positive sum, shape (..., K, K).
        frequencies_per_px: Periods per pixel, from 0 to the Nyquist frequency 0.5, shape (F,).
        azimuth_rad: Direction outwards at the kernels' place on the picture, counter-clockwise from the right; shape
            that broadcasts with (...).

    Returns:
        Tangential (the pattern changes outwards) and sagittal contrast, 1 at frequency 0: shape (..., F, 2).
    """
    check_kernels("kernels", kernels)
    if frequencies_per_px.ndim != 1:
        raise InputError("frequencies_per_px", f"shape {tuple(frequencies_per_px.shape)}", "shape (F,)")
    outside = ~((frequencies_per_px >= 0) & (frequencies_per_px <= 0.5))
    if bool(outside.any()):
        raise InputError("frequencies_per_px", float(frequencies_per_px[outside][0]), "0 to 0.5 periods per pixel")
    angle = torch.as_tensor(azimuth_rad, dtype=kernels.dtype, device=kernels.device)[..., None, None]
    if not bool(angle.isfinite().all()):
        raise InputError("azimuth_rad", "a value that is not finite", "angles in rad")
    size = kernels.shape[-1]
    offset = torch.arange(size, dtype=kernels.dtype, device=kernels.device) - size // 2
    share = kernels / kernels.sum((-2, -1), keepdim=True)
    phase = 2 * torch.pi * offset[:, None] * frequencies_per_px.to(kernels)
    found = []
    for right, up in ((angle.cos(), angle.sin()), (-angle.sin(), angle.cos())):
        # A plane wave is a wave along the columns times one along the rows, which count down.
        columns, rows = torch.exp(1j * right * phase), torch.exp(-1j * up * phase)
        found.append(((share.to(columns.dtype) @ columns) * rows).sum(-2).abs())
    return torch.stack(found, -1)
