"""What a network is given of its lens: the photograph deconvolved as if all of it lay at one depth, for a few depths.

Image height and ISO say little of how a lens blurs; its kernels say all but the depth. A Wiener filter with the
kernels of the right depth is sharp where others leave blur or rings, and which of them is right can be seen, pixel by
pixel: the network has to choose and to clean, no longer to invent a lens. (Cost volumes of stereo and of depth from
defocus give networks the same: what follows from each hypothesis, in place of the camera.)
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from psf import InputError, PolarPSFField
from render import demosaic, mosaic, pack, unpack
from render.bayer import Pattern

from .restorers import restore_wiener_at

# What a filter changes by the wrong kernels is as strong as the picture itself, and there are many such planes: as they
# are they would shake a network that learns at a high rate.
SCALE = 0.25
# What noise is multiplied by: a network cleans up, so that filters may be bolder than those whose result is shown.
CAUTION = 10.0
TILE_PX = 512  # kernels change little over so much of a sensor, and half of a smaller tile would be halo


def make_lens_planes(
    colours: Tensor,
    field: PolarPSFField,
    dioptres: Sequence[float],
    *,
    noise_variance: float,
    corner_px: tuple[float, float] = (0.0, 0.0),
    pattern: Pattern = "RGGB",
) -> Tensor:
    """A packed mosaic deconvolved as if all of it lay at each of some depths.

    Args:
        colours: Packed light, 0 black to 1 white, shape (4, h, w).
        field: The lens's kernels of red, green and blue, in single precision, and transmission.
        dioptres: 1 / depth in m, 0 for infinity, K of them.
        noise_variance: Of a pixel at the picture's own brightness, in squared units of the light.
        corner_px: Sensor column and row of the first pixel; what lies beyond the sensor is taken as lying on its edge.
        pattern: Of the mosaic.

    Returns:
        A quarter of what each filter changes: its result, held between -1 and 2, less `colours`. Four planes for each
        depth in turn, shape (4 K, h, w).
    """
    check_kernels(field)
    light = demosaic(unpack(colours[None], pattern), pattern, "malvar").to(field.kernels.dtype)
    depths_m = torch.tensor([1 / one if one > 0 else math.inf for one in dioptres]).to(field.depths_m)
    sharp = restore_wiener_at(
        light, field, depths_m, noise_variance=noise_variance, corner_px=corner_px, caution=CAUTION, tile_px=TILE_PX
    )[0]
    changes = [pack(mosaic(one[None].clamp(-1, 2), pattern), pattern)[0] - colours for one in sharp]
    return SCALE * torch.cat(changes).to(colours)


def find_variance(colours: Tensor, shot: Tensor, read: Tensor) -> float:
    """Noise variance of a pixel at a picture's own brightness.

    Args:
        colours: Packed light, shape (4, h, w).
        shot: Per light, normalised units, shape (1,) or (4,).
        read: Without light, normalised units, likewise.
    """
    variance = float(read.mean() + shot.mean() * colours.mean().clamp_min(0))
    return max(variance, torch.finfo(torch.float32).eps)


def check_kernels(field: PolarPSFField | None) -> PolarPSFField:
    """The field; one that cannot deconvolve a mosaic, or none, is refused."""
    if field is None:
        raise InputError("deconvolved_dpt", "no field of the lens", "one: its kernels make these planes")
    if field.kernels.dtype != torch.float32 or field.kernels.shape[2] != 3:
        found = f"{field.kernels.shape[2]} channels of {field.kernels.dtype}"
        raise InputError("field", found, "three channels in single precision, torch.float32")
    return field
