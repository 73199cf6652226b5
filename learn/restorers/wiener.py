"""Wiener deconvolution with a camera's known field: what linear filtering can get back when the depth is known.

Per tile of the picture and plane of the field one filter, conj(H) / (|H|^2 + s), with the tile's kernels at its middle
and s the noise's power over the signal's at each frequency; planes are mixed pixel by pixel in dioptres, as depth-blend
blurs. Pictures have far less power at high frequencies than at low ones. Taking it as equal everywhere, as text books
do, lifts the noise of a disc's near zeros: worse than the blur itself on photographs.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
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
    settings = _check_settings(image, noise_variance, signal_variance, spectrum, caution)

    def restore(tile: _Tile) -> Tensor:
        places = (tile.row.place, tile.col.place)
        weights = _weigh_planes(depth_m[(slice(None), slice(None), *places)], field.depths_m)
        planes = torch.tensor(sorted(weights), device=field.depths_m.device)
        transfers = _find_transfers(field, field.depths_m[planes], tile, x_px, y_px)
        total = image.new_zeros(())
        for transfer, plane in zip(transfers, planes.tolist(), strict=True):
            total = total + tile.undo(transfer, settings.share) * weights[plane]
        return total

    return _restore_tiles(image, field.kernel_px, settings.spectrum, tile_px, restore, on_progress)


def restore_wiener_at(
    image: Tensor,
    field: PolarPSFField,
    depths_m: Tensor,
    *,
    noise_variance: Number,
    corner_px: tuple[float, float] = (0.0, 0.0),
    spectrum: Spectrum = "natural",
    caution: float = CAUTION,
    tile_px: int = TILE_PX,
) -> Tensor:
    """Deblur pictures as if all of them lay at one depth, for each of several.

    Args:
        image: Linear light as the camera took it, all channels at every pixel, shape (B, C, H, W).
        field: The camera's kernels and transmission.
        depths_m: Positive, `inf` allowed, of the field's type, shape (K,).
        noise_variance: As in `restore_wiener`.
        corner_px: Sensor column and row of the picture's first pixel; what lies beyond the sensor is taken as lying on
            its edge.
        spectrum: As in `restore_wiener`.
        caution: As in `restore_wiener`.
        tile_px: As in `restore_wiener`.

    Returns:
        Not clipped, shape (B, K, C, H, W).
    """
    if depths_m.ndim != 1 or not bool((depths_m > 0).all()):
        raise InputError("depths_m", depths_m.tolist(), "depths above 0 m (inf is allowed), shape (K,)")
    settings = _check_settings(image, noise_variance, None, spectrum, caution)
    count = len(depths_m)

    def restore(tile: _Tile) -> Tensor:
        transfers = _find_transfers(field, depths_m, tile, *corner_px)
        return torch.cat([tile.undo(transfer, settings.share) for transfer in transfers], 1)

    found = _restore_tiles(image, field.kernel_px, spectrum, tile_px, restore, None, copies=count)
    return found.reshape(len(image), count, *image.shape[1:])


@dataclass(frozen=True, eq=False)
class _Settings:
    """What the filters are told: noise over signal, shape (B, 1, 1, 1), and how the signal's power is spread."""

    share: Tensor
    spectrum: Spectrum


def _check_settings(
    image: Tensor, noise_variance: Number, signal_variance: float | None, spectrum: Spectrum, caution: float
) -> _Settings:
    noise = spread_number("noise_variance", noise_variance, image)
    if signal_variance is not None and not 0 < signal_variance < math.inf:
        raise InputError("signal_variance", signal_variance, "a positive finite number, or None")
    if not 0 < caution < math.inf:
        raise InputError("caution", caution, "a positive finite number")
    if spectrum not in get_args(Spectrum):
        raise InputError("spectrum", repr(spectrum), " or ".join(map(repr, get_args(Spectrum))))
    if signal_variance is None:
        measured = image.var((2, 3), correction=0).mean(1)
        signal = (measured - noise).clamp_min(LEAST_SIGNAL * measured).clamp_min(torch.finfo(image.dtype).tiny)
    else:
        signal = torch.full_like(noise, signal_variance)
    return _Settings((caution * noise / signal)[:, None, None, None], spectrum)


class _Tile:
    """A part of all pictures, in frequencies.

    Attributes:
        row: Its share of the rows.
        col: Its share of the columns.
        shape: Height and width, halo and all.
    """

    def __init__(self, source: Tensor, row: Segment, col: Segment, power: Tensor) -> None:
        self.row, self.col = row, col
        self.shape = (int(source.shape[-2]), int(source.shape[-1]))
        self._spectrum = torch.fft.rfft2(source)
        self._power = power

    def undo(self, transfer: Tensor, share: Tensor) -> Tensor:
        """The inner part without a blur of this transfer function (C, h, w / 2 + 1), shape (B, C, h', w')."""
        filtered = self._spectrum * transfer.conj() / (transfer.real**2 + transfer.imag**2 + share / self._power)
        restored: Tensor = torch.fft.irfft2(filtered, s=self.shape)
        return restored[..., self.row.inner, self.col.inner]


def _restore_tiles(
    image: Tensor,
    kernel_px: int,
    spectrum: Spectrum,
    tile_px: int,
    restore: Callable[[_Tile], Tensor],
    on_progress: Callable[[int, int], None] | None,
    copies: int = 1,
) -> Tensor:
    """Tile by tile, faded into each other."""
    if isinstance(tile_px, bool) or not isinstance(tile_px, int) or tile_px < 1:
        raise InputError("tile_px", repr(tile_px), "a positive integer")
    # A filter reaches farther than its kernel; half of the halo has no weight.
    halo = max(32, 3 * kernel_px // 2)
    tile = max(tile_px, 4 * halo)
    out = image.new_zeros((len(image), copies * image.shape[1], *image.shape[2:]))
    rows = cut_axis(image.shape[2], tile, halo)
    for done, row in enumerate(rows):
        for col in cut_axis(image.shape[3], tile, halo):
            source = image[:, :, row.source.to(image.device)][..., col.source.to(image.device)]
            power = _find_power(len(row.source), len(col.source), spectrum).to(image)
            restored = restore(_Tile(_taper(source, halo // 2), row, col, power))
            out[:, :, row.place, col.place] += restored * (row.weight[:, None] * col.weight).to(image)
        if on_progress is not None:
            on_progress(done + 1, len(rows))
    return out


def _find_transfers(field: PolarPSFField, depths_m: Tensor, tile: _Tile, x_px: float, y_px: float) -> Tensor:
    """Transfer functions at a tile's middle, transmission and all, shape (D, C, h, w / 2 + 1)."""
    height, width = field.image_shape_px
    x = min(max(x_px + (tile.col.place.start + tile.col.place.stop - 1) / 2, 0.0), width - 1.0)
    y = min(max(y_px + (tile.row.place.start + tile.row.place.stop - 1) / 2, 0.0), height - 1.0)
    kernels = field.at_pixel(x, y, depths_m) * field.transmission_at_pixel(x, y, depths_m)[..., None, None]
    side = kernels.shape[-1]
    placed = kernels.new_zeros((*kernels.shape[:2], *tile.shape))
    rows, cols = ((torch.arange(side, device=kernels.device) - side // 2) % whole for whole in tile.shape)
    placed[..., rows[:, None], cols] = kernels
    spectrum: Tensor = torch.fft.rfft2(placed)
    return spectrum


def _weigh_planes(depth_m: Tensor, depths_m: Tensor) -> dict[int, Tensor]:
    """How much of each plane is in every pixel, shape (B, 1, h, w), of those that are in any."""
    if len(depths_m) == 1:
        return {0: torch.ones_like(depth_m)}
    blend = find_blend(depth_m.contiguous(), depths_m)
    weights = {}
    for plane in range(len(depths_m)):
        lower, upper = blend.lower == plane, blend.lower == plane - 1
        weight = torch.where(lower, 1 - blend.share, 0) + torch.where(upper, blend.share, 0)
        if bool((weight > 0).any()):
            weights[plane] = weight
    return weights


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
