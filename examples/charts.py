"""A resolution chart, and a near card before a far wall: drawn by code, so that it is known where everything lies.

chart = draw_chart((704, 960))
chart.image, chart.groups[0].period_px, chart.edges_px, chart.star
scene = draw_near_and_far((704, 960), near_m=0.12, far_m=3.0, generator=generator)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional

from psf import InputError

PAPER, INK = 0.92, 0.1  # sRGB
FINE = 4  # so many times finer than a pixel is drawn
PERIODS_PX = (64.0, 48.0, 36.0, 28.0, 20.0, 14.0, 10.0, 6.0)
LEAST_CYCLES, LEAST_ROOM_PX = 2, 64.0  # of a group
SLANT_DEG = 5.0
SPOKES = 24
TYPE_PX = (60, 44, 32, 22)
WORDS = "Reading"
LEAST_PX = (320, 448)
CARD_TURN_RAD = 0.2


@dataclass(frozen=True)
class Group:
    """Parallel lines, black and white of equal width.

    Attributes:
        period_px: From line to line.
        is_upright: Whether they run from top to bottom.
        box_px: Left, top, right, bottom: a whole number of periods across the lines.
    """

    period_px: float
    is_upright: bool
    box_px: tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Chart:
    """A chart and where things lie on it.

    Attributes:
        image: sRGB, shape (1, 3, H, W).
        groups: Of lines.
        edges_px: Boxes (left, top, right, bottom) about the slanted squares.
        star: Column, row, radius in px of the Siemens star.
        texts_px: Type sizes in px and boxes of the words.
    """

    image: Tensor
    groups: tuple[Group, ...]
    edges_px: tuple[tuple[int, int, int, int], ...]
    star: tuple[float, float, float]
    texts_px: tuple[tuple[int, tuple[int, int, int, int]], ...]


@dataclass(frozen=True, eq=False)
class NearAndFar:
    """A card before a wall.

    Attributes:
        image: sRGB, shape (1, 3, H, W).
        depth_m: Shape (1, 1, H, W).
        card: Where the card is, shape (1, 1, H, W), bool.
    """

    image: Tensor
    depth_m: Tensor
    card: Tensor


def draw_chart(shape_px: tuple[int, int]) -> Chart:
    """Line groups above; star, slanted squares and words below.

    Args:
        shape_px: (H, W), 320 x 448 px and more.
    """
    height, width = shape_px
    if height < LEAST_PX[0] or width < LEAST_PX[1]:
        raise InputError("draw_chart(shape_px)", shape_px, f"{LEAST_PX[0]} x {LEAST_PX[1]} px and more")
    sheet = np.full((height * FINE, width * FINE), PAPER, np.float32)
    groups = [*_draw_groups(sheet, width, height, True), *_draw_groups(sheet, width, height, False)]
    top = round(0.5 * height)
    radius = 0.21 * height
    star = (0.04 * width + radius, top + 0.03 * height + radius, radius)
    y, x = np.mgrid[0 : height * FINE, 0 : width * FINE].astype(np.float32)
    x, y = ((value + 0.5) / FINE - 0.5 for value in (x, y))
    away, angle = np.hypot(x - star[0], y - star[1]), np.arctan2(y - star[1], x - star[0])
    sheet[(away < radius) & (np.sin(SPOKES * angle) > 0)] = INK
    edges = []
    side = 0.17 * height
    left = star[0] + radius + 0.04 * width
    for number, turn_deg in enumerate((SLANT_DEG, -SLANT_DEG)):
        middle = (left + 0.6 * side, top + 0.03 * height + 0.55 * side + number * 1.25 * side)
        c, s = math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg))
        u, v = c * (x - middle[0]) + s * (y - middle[1]), -s * (x - middle[0]) + c * (y - middle[1])
        sheet[(np.abs(u) < side / 2) & (np.abs(v) < side / 2)] = INK
        edges.append(_box(middle[0], middle[1], 0.6 * side))
    picture = Image.fromarray((sheet * 255 + 0.5).astype(np.uint8))
    texts = _draw_words(picture, left + 1.4 * side, top + 0.02 * height, shape_px)
    grey = np.asarray(picture, np.float32).reshape(height, FINE, width, FINE).mean((1, 3)) / 255
    image = torch.from_numpy(grey)[None, None].expand(1, 3, -1, -1).contiguous()
    return Chart(image, tuple(groups), tuple(edges), star, texts)


def _draw_groups(sheet: np.ndarray, width: int, height: int, is_upright: bool) -> list[Group]:
    """Groups of one direction in a band, as wide as their periods need, each as high as the band."""
    band = (round(0.04 * height), round(0.24 * height)) if is_upright else (round(0.27 * height), round(0.47 * height))
    tall = band[1] - band[0]
    gap = 0.012 * width
    periods = list(PERIODS_PX)
    while sum(_room(period) + gap for period in periods) > 0.92 * width + gap:
        periods.pop(0)  # the coarsest lines need most
    found = []
    place = 0.04 * width
    for period in periods:
        room = _room(period)
        count = int((room if is_upright else tall) / period)
        across = count * period
        left, upper = (place + (room - across) / 2, band[0]) if is_upright else (place, band[0] + (tall - across) / 2)
        place += room + gap
        if count < LEAST_CYCLES:
            continue
        left, upper = round(left), round(upper)
        right, lower = (left + round(across), band[1]) if is_upright else (left + round(room), upper + round(across))
        box = (left, upper, right, lower)
        inner = sheet[upper * FINE : lower * FINE, left * FINE : right * FINE]
        count_fine = inner.shape[1 if is_upright else 0]
        phase = ((np.arange(count_fine) + 0.5) / FINE / period) % 1
        lines = np.where(phase < 0.5, INK, PAPER).astype(np.float32)
        inner[:] = lines[None, :] if is_upright else lines[:, None]
        found.append(Group(period, is_upright, box))
    return found


def _room(period_px: float) -> float:
    """Width of a group: three periods of coarse lines, more of fine ones."""
    return max(3 * period_px, LEAST_ROOM_PX)


def _draw_words(
    picture: Image.Image, left: float, top: float, shape_px: tuple[int, int]
) -> tuple[tuple[int, tuple[int, int, int, int]], ...]:
    import matplotlib

    file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    pen = ImageDraw.Draw(picture)
    found = []
    for size in TYPE_PX:
        face = ImageFont.truetype(str(file), size * FINE, layout_engine=ImageFont.Layout.BASIC)
        words = WORDS
        while words and left * FINE + pen.textlength(words, face) > (shape_px[1] - 8) * FINE:
            words = words[:-1]
        if top + 1.3 * size > shape_px[0] or not words:
            continue
        pen.text((left * FINE, top * FINE), words, round(INK * 255), face)
        box = pen.textbbox((left * FINE, top * FINE), words, face)
        inside = (int(box[0] / FINE), int(box[1] / FINE), math.ceil(box[2] / FINE), math.ceil(box[3] / FINE))
        found.append((size, inside))
        top += 1.4 * size
    return tuple(found)


def _box(x: float, y: float, half: float) -> tuple[int, int, int, int]:
    return round(x - half), round(y - half), round(x + half), round(y + half)


def find_contrast(srgb: Tensor, group: Group) -> float:
    """Amplitude of a group's fundamental over its mean; 1.27 times the contrast for sharp lines.

    Args:
        srgb: A picture of the chart, shape (1, 3, H, W).
        group: Of the chart.
    """
    left, top, right, bottom = group.box_px
    part = srgb[0, :, top:bottom, left:right].double().mean(0)
    # The middle of the lines: their ends are blurred into the paper.
    along = part.T if group.is_upright else part
    third = along.shape[1] // 3
    line = along[:, third : along.shape[1] - third].mean(1)
    phase = 2 * math.pi * (torch.arange(len(line), dtype=torch.float64) + 0.5) / group.period_px
    wave = 2 / len(line) * torch.complex((line * phase.cos()).sum(), (line * phase.sin()).sum())
    return float(wave.abs() / line.mean().clamp_min(1e-6))


def draw_near_and_far(
    shape_px: tuple[int, int], *, near_m: float, far_m: float, generator: torch.Generator
) -> NearAndFar:
    """A card with print on it, turned a little, before a wall of stones.

    Args:
        shape_px: (H, W), 320 x 448 px and more.
        near_m: Depth of the card.
        far_m: Depth of the wall.
        generator: Draws the wall.
    """
    height, width = shape_px
    chart = draw_chart((max(height, LEAST_PX[0]), max(width, LEAST_PX[1]))).image
    wall = _draw_wall(shape_px, generator)
    y, x = torch.meshgrid(torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2, indexing="ij")
    c, s = math.cos(CARD_TURN_RAD), math.sin(CARD_TURN_RAD)
    u, v = c * x + s * y, -s * x + c * y
    half_u, half_v = 0.31 * width, 0.33 * height
    card = ((u.abs() < half_u) & (v.abs() < half_v))[None, None]
    # Right half of the chart, star to words, on the card.
    grid = torch.stack([u / half_u * 0.92, v / half_v * 0.92], -1)[None].float()
    tint = torch.tensor([1.0, 0.95, 0.82])[:, None, None]
    face = functional.grid_sample(chart, grid, mode="bicubic", padding_mode="border", align_corners=False).clamp(0, 1)
    image = torch.where(card, face * tint, wall)
    depth_m = torch.where(card, near_m, far_m)
    return NearAndFar(image.contiguous(), depth_m, card)


def _draw_wall(shape_px: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Stones in rows with joints between, and grain; sRGB, shape (1, 3, H, W)."""
    height, width = shape_px
    row_px, stone_px, joint_px = height / 9, width / 7, 5.0
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    row = (y / row_px).floor()
    shifted = x + stone_px * ((row % 2) / 2)
    column = (shifted / stone_px).floor()
    shade = 0.75 + 0.5 * torch.rand((16, 16), generator=generator)
    stone = shade[(row % 16).long(), (column % 16).long()]
    is_joint = ((y % row_px) < joint_px) | ((shifted % stone_px) < joint_px)
    grain = torch.zeros((1, 1, height, width))
    for cell, amount in ((1, 0.03), (3, 0.06), (9, 0.08)):
        coarse = torch.randn((1, 1, height // cell + 2, width // cell + 2), generator=generator)
        grain += amount * functional.interpolate(coarse, scale_factor=cell, mode="bicubic")[..., :height, :width]
    grey = torch.where(is_joint, 0.62, 0.42 * stone)[None, None] + grain
    colour = torch.tensor([1.08, 0.94, 0.84])[None, :, None, None]
    return (grey * colour).clamp(0.03, 0.97)


def shrink(mask: Tensor, margin_px: float) -> Tensor:
    """What of a mask (1, 1, H, W) is farther than `margin_px` from its edge and the picture's."""
    reach = math.ceil(margin_px)
    outside = functional.pad((~mask).float(), (reach,) * 4, value=1.0)
    rows = functional.max_pool2d(outside, (2 * reach + 1, 1), 1)
    return functional.max_pool2d(rows, (1, 2 * reach + 1), 1) < 0.5


def find_region_psnr_db(found: Tensor, target: Tensor, region: Tensor) -> float:
    """PSNR over a region of a picture, all channels; pictures (1, 3, H, W) from 0 to 1, region (1, 1, H, W)."""
    error = (found.clamp(0, 1) - target.clamp(0, 1)).double().square().mean(1, keepdim=True)[region]
    if not len(error):
        raise InputError("region", "no pixel", "a picture larger than its blur")
    return float(-10 * torch.log10(error.mean())) if float(error.mean()) else math.inf


def list_periods(groups: Sequence[Group]) -> list[float]:
    """Periods of groups, each once, the coarsest first."""
    return sorted({group.period_px for group in groups}, reverse=True)
