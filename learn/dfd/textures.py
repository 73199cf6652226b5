"""Textures of the planes that focal stacks show, in linear light: drawn from numbers, or cut out of photographs.

"leaves" are discs that hide one another, their radii distributed as r^-3: the statistics of natural pictures, edges of
every size. "noise" has a spectrum that falls with a power of the frequency. "lines" are strokes and gratings.
"""

import math

import numpy as np
import torch
from torch import Tensor

from psf import InputError
from render import decode_srgb

from ..photos import Cropping, PhotoFolder
from .stack_settings import StackSettings

LEAST_LEAF_PX, GREATEST_LEAF_PX = 1.5, 60.0
# Leaves are strewn until their areas are so many times the picture's; what is then still free is dark ground.
LEAF_LAYERS = 4.0
# Powers by which the amplitude of noise falls with frequency; 1 is that of photographs.
NOISE_POWERS = (0.4, 1.4)
NOISE_MEAN, NOISE_SD = 0.35, 0.2
STROKES_PER_MEGAPIXEL = (3000.0, 20000.0)
STROKE_RADII_PX, STROKE_LENGTHS_PX = (0.6, 3.0), (4.0, 60.0)
GRATING_PERIODS_PX = (4.0, 24.0)
GREY = (1.0, 1.0, 1.0)


def draw_texture(
    kind: str, shape_px: tuple[int, int], settings: StackSettings, *, generator: torch.Generator
) -> Tensor:
    """A procedural texture.

    Args:
        kind: "leaves", "noise" or "lines".
        shape_px: Height and width.
        settings: `texture_scale` counts.
        generator: Random numbers.

    Returns:
        Linear light, 0 to 1, float32, shape (3, H, W).
    """
    makers = {"leaves": _draw_leaves, "noise": _draw_noise, "lines": _draw_lines}
    if kind not in makers:
        raise InputError("draw_texture(kind)", repr(kind), "one of " + ", ".join(makers))
    low, high = settings.texture_scale
    scale = low * (high / low) ** float(torch.rand((), generator=generator, dtype=torch.float64))
    return makers[kind](shape_px, scale, generator)


def cut_texture(
    photos: PhotoFolder, shape_px: tuple[int, int], settings: StackSettings, *, generator: torch.Generator
) -> tuple[Tensor, str, tuple[str, ...]]:
    """A texture out of a photograph: a random crop, made smaller, turned and mirrored at random.

    Args:
        photos: The photographs.
        shape_px: Height and width.
        settings: `texture_scale` counts, as far as it is below 1.
        generator: Random numbers.

    Returns:
        Linear light, 0 to 1, float32, shape (3, H, W); the photograph's name; what could not be read on the way.
    """
    least, most = (min(one, 1.0) for one in settings.texture_scale)
    side = max(shape_px)
    crop, lost = photos.draw(Cropping((side, side), shrink=(least, most), exposure_ev=0.0), generator)
    return decode_texture(crop.srgb, shape_px), crop.name, lost


def decode_texture(srgb: Tensor, shape_px: tuple[int, int]) -> Tensor:
    """Linear light of the first rows and columns of a picture (3, H, W): shape (3, *shape_px)."""
    return decode_srgb(srgb[:, : shape_px[0], : shape_px[1]]).clamp(0, 1).contiguous()


def vary_colours(texture: Tensor, gain: float, hue_rad: float, contrast: float = 1.0) -> Tensor:
    """Another light, another hue, another contrast.

    Args:
        texture: Linear light, shape (3, H, W).
        gain: Light is multiplied by this.
        hue_rad: Colours are turned about grey by this angle.
        contrast: Differences from the mean are multiplied by this, from 0 to 1.

    Returns:
        Linear light, 0 to 1, shape (3, H, W).
    """
    mean = texture.mean((1, 2), keepdim=True)
    varied = mean + contrast * (texture - mean)
    turned = torch.einsum("cd,dhw->chw", _turn_hue(hue_rad).to(texture), varied)
    return (gain * turned).clamp(0, 1)


def _turn_hue(angle_rad: float) -> Tensor:
    """A turn about the axis of grey (Rodrigues): grey stays grey and keeps its light, shape (3, 3)."""
    axis = torch.tensor(GREY, dtype=torch.float64) / math.sqrt(3)
    cross = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]], dtype=torch.float64) / math.sqrt(3)
    cosine, sine = math.cos(angle_rad), math.sin(angle_rad)
    return cosine * torch.eye(3, dtype=torch.float64) + sine * cross + (1 - cosine) * torch.outer(axis, axis)


def _draw_leaves(shape_px: tuple[int, int], scale: float, generator: torch.Generator) -> Tensor:
    from .texture_loops import paint

    low, high = LEAST_LEAF_PX * scale, GREATEST_LEAF_PX * scale
    height, width = shape_px
    # Leaves whose middle lies outside count as far as they reach in.
    area = (height + 2 * high) * (width + 2 * high)
    mean_area = 2 * math.pi * math.log(high / low) / (low**-2 - high**-2)
    count = math.ceil(LEAF_LAYERS * area / mean_area)
    numbers = torch.rand((count, 6), generator=generator, dtype=torch.float64).numpy()
    radius = 1 / np.sqrt(low**-2 - numbers[:, 0] * (low**-2 - high**-2))
    x = numbers[:, 1] * (width + 2 * high) - high
    y = numbers[:, 2] * (height + 2 * high) - high
    ground = np.full((height, width, 3), 0.02)
    return _to_light(paint(np.stack((x, y, x, y, radius), 1), numbers[:, 3:], ground))


def _draw_noise(shape_px: tuple[int, int], scale: float, generator: torch.Generator) -> Tensor:
    numbers = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    power = NOISE_POWERS[0] + (NOISE_POWERS[1] - NOISE_POWERS[0]) * numbers[0]
    shared = numbers[1]  # of the colours: 0 each its own noise, 1 grey
    noise = torch.randn((4, *shape_px), generator=generator, dtype=torch.float64)
    mixed = math.sqrt(shared) * noise[:1] + math.sqrt(1 - shared) * noise[1:]
    down = torch.fft.fftfreq(shape_px[0], dtype=torch.float64)[:, None]
    across = torch.fft.rfftfreq(shape_px[1], dtype=torch.float64)[None]
    frequency = torch.hypot(down, across)
    # Above a half of what the scale leaves there is nothing: the noise is as much larger.
    keep = frequency.clamp_min(1 / max(shape_px)).pow(-power) * torch.exp(-0.5 * (frequency * scale / 0.35) ** 4)
    keep[0, 0] = 0
    rough: Tensor = torch.fft.irfft2(torch.fft.rfft2(mixed) * keep, s=shape_px)
    rough = NOISE_MEAN + NOISE_SD * rough / rough.std((1, 2), keepdim=True, correction=0).clamp_min(1e-12)
    return rough.clamp(0, 1).float()


def _draw_lines(shape_px: tuple[int, int], scale: float, generator: torch.Generator) -> Tensor:
    from .texture_loops import paint

    height, width = shape_px
    several = torch.rand(12, generator=generator, dtype=torch.float64).tolist()
    low, high = STROKES_PER_MEGAPIXEL
    count = math.ceil(low * (high / low) ** several[0] * height * width / 1e6 / scale**2)
    numbers = torch.rand((count, 8), generator=generator, dtype=torch.float64).numpy()
    radius = scale * (STROKE_RADII_PX[0] + (STROKE_RADII_PX[1] - STROKE_RADII_PX[0]) * numbers[:, 0])
    length = scale * STROKE_LENGTHS_PX[0] * (STROKE_LENGTHS_PX[1] / STROKE_LENGTHS_PX[0]) ** numbers[:, 1]
    # Strokes lean towards one direction, more or less so.
    azimuth = math.pi * (several[1] + several[2] * (numbers[:, 2] - 0.5))
    x, y = numbers[:, 3] * width, numbers[:, 4] * height
    across, down = 0.5 * length * np.cos(azimuth), 0.5 * length * np.sin(azimuth)
    strokes = np.stack((x - across, y - down, x + across, y + down, radius), 1)
    period = scale * GRATING_PERIODS_PX[0] * (GRATING_PERIODS_PX[1] / GRATING_PERIODS_PX[0]) ** several[3]
    turn = math.pi * several[4]
    rows, columns = np.indices(shape_px)
    phase = (columns * math.cos(turn) + rows * math.sin(turn)) / period + several[5]
    # Bars with edges a pixel wide.
    bars = np.clip((np.abs(phase % 1 - 0.5) - 0.25) * period + 0.5, 0, 1)[..., None]
    ground = bars * np.array(several[6:9]) + (1 - bars) * np.array(several[9:12])
    return _to_light(paint(strokes, numbers[:, 5:], ground))


def _to_light(picture: np.ndarray) -> Tensor:
    """A painted picture (H, W, 3) as float32 (3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1), np.float32))
