"""Shapes of what stands in the foreground, with edges that cover pixels in part.

Each shape is a function over the window, and the foreground is where it is below the level that gives it the wanted
share of the window: so every shape is as large as it should be, whatever its form.
"""

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from psf import InputError

Shape = Literal["half_plane", "disc", "polygon", "blobs"]
SHAPES: tuple[Shape, ...] = get_args(Shape)
FEWEST_CORNERS, MOST_CORNERS = 3, 8
# Corners of a polygon lie so far from its middle, at least, against the farthest; sharper ones are needles.
LEAST_CORNER = 0.35
# How far the middle of a shape may lie from the window's, in sides of the window.
OFF_CENTRE = 0.35
# Sizes of blobs, in sides of the window.
BLOB_SIZES = (0.08, 0.3)
DRAWN = 24


def draw_mask(
    shape: Shape, share: float, shape_px: tuple[int, int], margin_px: int, *, generator: torch.Generator
) -> Tensor:
    """How much of each pixel the foreground covers.

    Args:
        shape: "half_plane", "disc", "polygon" (of 3 to 8 corners) or "blobs" (where smooth noise is low).
        share: Of the window that it covers, above 0 and below 1.
        shape_px: Height and width of the window.
        margin_px: Around it; shapes go on in there.
        generator: Random numbers, as many for every shape.

    Returns:
        0 to 1, float32, shape (1, H + 2 margin_px, W + 2 margin_px).
    """
    if shape not in SHAPES:
        raise InputError("draw_mask(shape)", repr(shape), "one of " + ", ".join(SHAPES))
    if not 0 < share < 1:
        raise InputError("draw_mask(share)", share, "a share above 0 and below 1")
    numbers = torch.rand(DRAWN, generator=generator, dtype=torch.float64)
    height, width = (side + 2 * margin_px for side in shape_px)
    side = min(shape_px)
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float64) - (height - 1) / 2,
        torch.arange(width, dtype=torch.float64) - (width - 1) / 2,
        indexing="ij",
    )
    azimuth_rad = 2 * math.pi * float(numbers[0])
    right, down = (x - (2 * numbers[1] - 1) * OFF_CENTRE * side, y - (2 * numbers[2] - 1) * OFF_CENTRE * side)
    if shape == "half_plane":
        level = math.cos(azimuth_rad) * x + math.sin(azimuth_rad) * y
    elif shape == "disc":
        level = torch.hypot(right, down)
    elif shape == "polygon":
        level = _measure_polygon(right, down, numbers)
    else:
        level = _draw_blobs((height, width), side, float(numbers[1]), generator)
    if shape in ("disc", "polygon") and float(numbers[3]) < 0.5:  # a hole in the foreground
        level = -level
    inner = level[margin_px : height - margin_px, margin_px : width - margin_px]
    # A pixel is covered as far as the level rises across it.
    slope = torch.stack(torch.gradient(level)).square().sum(0).sqrt().clamp_min(1e-9)
    threshold = torch.quantile(inner, share)
    return ((threshold - level) / slope + 0.5).clamp(0, 1).float()[None]


def _measure_polygon(right: Tensor, down: Tensor, numbers: Tensor) -> Tensor:
    """How much a polygon round the origin has to grow to reach each place; its edges are straight at every size."""
    corners = FEWEST_CORNERS + int(float(numbers[4]) * (MOST_CORNERS - FEWEST_CORNERS + 1))
    # Never half a turn from one corner to the next: the origin would lie outside.
    steps = 0.6 + 0.4 * numbers[5 : 5 + corners]
    turns = steps.cumsum(0) / steps.sum() + numbers[0]
    radii = LEAST_CORNER + (1 - LEAST_CORNER) * numbers[14 : 14 + corners]
    corner_x, corner_y = radii * torch.cos(2 * math.pi * turns), radii * torch.sin(2 * math.pi * turns)
    azimuth = (torch.atan2(down, right) / (2 * math.pi) - turns[-1]) % 1
    bounds = ((turns - turns[-1]) % 1).contiguous()
    bounds[-1] = 1.0
    which = torch.searchsorted(bounds, azimuth.contiguous()).clamp_max(corners - 1)
    # Between two corners the distance grows along the normal of the edge that joins them.
    before_x, before_y = corner_x.roll(1), corner_y.roll(1)
    normal_x, normal_y = corner_y - before_y, before_x - corner_x
    reach = normal_x * corner_x + normal_y * corner_y
    return (normal_x[which] * right + normal_y[which] * down) / reach[which]


def _draw_blobs(shape_px: tuple[int, int], side: int, size: float, generator: torch.Generator) -> Tensor:
    """Noise without detail smaller than some share of the window."""
    low, high = BLOB_SIZES
    width_px = side * low * (high / low) ** size
    noise = torch.randn(shape_px, generator=generator, dtype=torch.float64)
    down, across = torch.fft.fftfreq(shape_px[0])[:, None], torch.fft.rfftfreq(shape_px[1])[None]
    # A Gaussian of a quarter of the size.
    keep = torch.exp(-2 * (math.pi * width_px / 4) ** 2 * (down.square() + across.square()).double())
    blobs: Tensor = torch.fft.irfft2(torch.fft.rfft2(noise) * keep, s=shape_px)
    return blobs
