"""Wiener deconvolution with a camera's known field: what linear filtering can get back when the depth is known.

Per tile of the picture and plane of the field one filter, conj(H) / (|H|^2 + s), with the tile's kernels at its middle
and s the noise's power over the signal's at each frequency; planes are mixed pixel by pixel in dioptres, as depth-blend
blurs. Pictures have far less power at high frequencies than at low ones. Taking it as equal everywhere, as text books
do, lifts the noise of a disc's near zeros: worse than the blur itself on photographs.
"""

import math
from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from psf import InputError, PolarPSFField
from render.blending import find_blend

from ..cutting import Segment, cut_axis
from .arguments import Number, check_frame, spread_number

TILE_PX = 256
# Power of photographs falls with the square of the frequency (Field 1987), up to the size of what they show.
LARGEST_PERIOD_PX = 1000.0
# What noise is multiplied by: depth edges, and one kernel for a tile, act like noise as well.
CAUTION = 10.0
LEAST_SIGNAL = 0.01  # of a picture's variance, were all of it noise
Spectrum = Literal["natural", "flat"]


def restore_wiener(
    image: Tensor,
    depth_m: Tensor,
    field: PolarPSFField,
    *,
    noise_variance: Number,
    window: tuple[int, int] | None = None,
    signal_variance: float | None = None,
    spectrum: Spectrum = "natural",
    caution: float = CAUTION,
    tile_px: int = TILE_PX,
    on_progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Deblur pictures whose depth is known or guessed.

    Args:
        image: Linear light as the camera took it, all channels at every pixel, shape (B, C, H, W).
        depth_m: Positive, `inf` allowed, shape (B, 1, H, W).
        field: The camera's kernels and transmission.
        noise_variance: Of a pixel at mid-grey, in squared units of the light; one number or shape (B,).
        window: Sensor column and row of the picture's first pixel. None: the picture is the whole sensor.
        signal_variance: Of the sharp picture; None: of the given one, less the noise.
        spectrum: How that is spread over frequencies: "natural", as in photographs, or "flat".
        caution: What the noise is multiplied by, for what the filter does not know.
        tile_px: Side of the tiles, their overlap of about a kernel on each side included.
        on_progress: Called with rows of tiles done and in all.

    Returns:
        Not clipped, shape (B, C, H, W).
    """
    x_px, y_px = check_frame(image, depth_m, field, window)
    noise = spread_number("noise_variance", noise_variance, image)
    if signal_variance is not None and not 0 < signal_variance < math.inf:
        raise InputError("signal_variance", signal_variance, "a positive finite number, or None")
    if not 0 < caution < math.inf:
        raise InputError("caution", caution, "a positive finite number")
    if spectrum not in get_args(Spectrum):
        raise InputError("spectrum", repr(spectrum), " or ".join(map(repr, get_args(Spectrum))))
    if isinstance(tile_px, bool) or not isinstance(tile_px, int) or tile_px < 1:
        raise InputError("tile_px", repr(tile_px), "a positive integer")
    # A filter reaches farther than its kernel; half of the halo has no weight.
    halo = max(32, 3 * field.kernel_px // 2)
    tile = max(tile_px, 4 * halo)
    if signal_variance is None:
        measured = image.var((2, 3), correction=0).mean(1)
        signal = (measured - noise).clamp_min(LEAST_SIGNAL * measured).clamp_min(torch.finfo(image.dtype).tiny)
    else:
        signal = torch.full_like(noise, signal_variance)
    share = caution * noise / signal
    out = torch.zeros_like(image)
    rows = cut_axis(image.shape[2], tile, halo)
    for done, row in enumerate(rows):
        for col in cut_axis(image.shape[3], tile, halo):
            transfer = _find_transfers(field, row, col, x_px, y_px)
            weight = (row.weight[:, None] * col.weight).to(image)
            power = _find_power(len(row.source), len(col.source), spectrum).to(image)
            for number in range(len(image)):
                place = (slice(number, number + 1), slice(None), row.place, col.place)
                source = image[number][:, row.source.to(image.device)][..., col.source.to(image.device)]
                depth = depth_m[number : number + 1, :, row.place, col.place]
                inner = (row.inner, col.inner)
                restored = _restore_tile(
                    _taper(source, halo // 2), depth, transfer, field.depths_m, share[number] / power, inner
                )
                out[place] += restored * weight
        if on_progress is not None:
            on_progress(done + 1, len(rows))
    return out


def _find_transfers(field: PolarPSFField, row: Segment, col: Segment, x_px: int, y_px: int) -> Tensor:
    """Transfer functions of all planes at a tile's middle, transmission and all, shape (D, C, h, w / 2 + 1)."""
    x = x_px + (col.place.start + col.place.stop - 1) / 2
    y = y_px + (row.place.start + row.place.stop - 1) / 2
    kernels = field.at_pixel(x, y, field.depths_m) * field.transmission_at_pixel(x, y, field.depths_m)[..., None, None]
    side = kernels.shape[-1]
    placed = kernels.new_zeros((*kernels.shape[:2], len(row.source), len(col.source)))
    placed[..., :side, :side] = kernels
    spectrum: Tensor = torch.fft.rfft2(placed.roll((-(side // 2), -(side // 2)), (-2, -1)))
    return spectrum


def _restore_tile(
    source: Tensor, depth_m: Tensor, transfer: Tensor, depths_m: Tensor, share: Tensor, inner: tuple[slice, slice]
) -> Tensor:
    """Mix of the planes that the depths of the inner part use, shape (1, C, h, w)."""
    spectrum = torch.fft.rfft2(source)
    if len(depths_m) == 1:
        weights = {0: torch.ones_like(depth_m)}
    else:
        blend = find_blend(depth_m.contiguous(), depths_m)
        weights = {}
        for plane in range(len(depths_m)):
            lower, upper = blend.lower == plane, blend.lower == plane - 1
            weight = torch.where(lower, 1 - blend.share, 0) + torch.where(upper, blend.share, 0)
            if bool((weight > 0).any()):
                weights[plane] = weight
    total = source.new_zeros(())
    for plane, weight in weights.items():
        h = transfer[plane]
        restored = torch.fft.irfft2(spectrum * h.conj() / (h.real**2 + h.imag**2 + share), s=source.shape[-2:])
        total = total + restored[..., inner[0], inner[1]] * weight
    return total


def _find_power(height: int, width: int, spectrum: str) -> Tensor:
    """Of the signal at each frequency, 1 in the mean over all frequencies, shape (h, w / 2 + 1)."""
    if spectrum == "flat":
        return torch.ones((height, width // 2 + 1), dtype=torch.float64)
    rows: Tensor = torch.fft.fftfreq(height, dtype=torch.float64)
    cols: Tensor = torch.fft.fftfreq(width, dtype=torch.float64)
    power: Tensor = 1 / (rows[:, None] ** 2 + cols**2 + 1 / LARGEST_PERIOD_PX**2)
    # The mean over the disc of frequencies up to 1/2, by its integral: a tile's own would hang on its size.
    mean = 4 * math.log1p((LARGEST_PERIOD_PX / 2) ** 2)
    return (power / mean)[:, : width // 2 + 1]


def _taper(source: Tensor, margin_px: int) -> Tensor:
    """Fade a tile to its mean at its border, since the Fourier transform joins opposite borders."""
    means = source.mean((-2, -1), keepdim=True)
    ramp = torch.sin((torch.arange(margin_px, dtype=source.dtype) + 0.5) / margin_px * (math.pi / 2)) ** 2
    weights = []
    for side in source.shape[-2:]:
        weight = source.new_ones(side)
        weight[:margin_px] = ramp.to(source)
        weight[side - margin_px :] *= ramp.flip(0).to(source)
        weights.append(weight)
    return means + (source - means) * weights[0][:, None] * weights[1]
