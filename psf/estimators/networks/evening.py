"""Exposure and fall-off of light between the two pictures of pairs, quickly: from sums over smooth windows.

Blur carries light a few pixels; under a window that changes slowly as much comes in as goes out, so that the sums of
both pictures under it have the ratio of their exposures. `capture_levels.fit_levels` fits kernels besides and knows its
error better, at a hundred times the cost.
"""

import math

import torch
from torch import Tensor

from ...capture_levels import LEAST_SPAN, POWERS, SURE, Levels
from ...captures import Captures

# Sides of the windows in kernels' sides; they overlap by half.
WINDOW = 3
# On the equations of the fall-off: few windows in a row of radii do not tell its two powers apart.
RIDGE = 1e-3


def fit_quick_levels(captures: Captures) -> Levels:
    """One gain per pair, and one fall-off for all, where it stands out of its error.

    Args:
        captures: N pairs of C channels.
    """
    rows, ratios, gains, errors = [], [], [], []
    for index, pair in enumerate(captures):
        half = pair.kernel_px // 2
        height, width = pair.blurred.shape[-2:]
        sharp = pair.sharp[..., half : half + height, half : half + width].double().cpu()
        side = min(WINDOW * pair.kernel_px, height, width)
        radius = captures.radius(index).double()[None]
        sums = [_sum_windows(one, side) for one in (pair.blurred.double().cpu(), sharp, torch.ones_like(radius))]
        places = torch.cat([_sum_windows(radius**p, side) for p in POWERS]) / sums[2]
        rows.append(places.T)
        # Channels share the gain: what differs between them is the lens.
        ratio = (sums[0].clamp_min(1e-9) / sums[1].clamp_min(1e-9)).log()
        ratios.append(ratio)
    fall_off = _fit_fall_off(rows, ratios, captures.channel_count)
    for row, ratio in zip(rows, ratios, strict=True):
        left = ratio - fall_off @ row.T
        gains.append(math.exp(float(left.mean())))
        errors.append(float(left.std(unbiased=False)) / math.sqrt(left.numel()))
    return Levels(torch.tensor(gains, dtype=torch.float64), torch.tensor(errors, dtype=torch.float64), fall_off)


def _fit_fall_off(rows: list[Tensor], ratios: list[Tensor], channels: int) -> Tensor:
    nothing = torch.zeros(channels, len(POWERS), dtype=torch.float64)
    radius_squared = torch.cat([one[:, 0] for one in rows])
    if len(radius_squared) < 8 or float(radius_squared.max().sqrt() - radius_squared.min().sqrt()) < LEAST_SPAN:
        return nothing
    design = torch.cat([one - one.mean(0) for one in rows])
    target = torch.cat([one - one.mean(1, keepdim=True) for one in ratios], 1)
    normal = design.T @ design
    scale = normal.diagonal().mean()
    if not float(scale) > 0:
        return nothing
    inverse = torch.linalg.inv(normal + RIDGE * scale * torch.eye(len(POWERS), dtype=design.dtype))
    found = target @ design @ inverse
    corner = design.new_ones(len(POWERS))
    error = ((target - found @ design.T).square().mean(1) * (corner @ inverse @ corner)).sqrt()
    return found if bool(((found @ corner).abs() > SURE * error).any()) else nothing


def _sum_windows(planes: Tensor, side: int) -> Tensor:
    """Sums of planes (C, h, w) under squared sines of `side` px that overlap by half, shape (C, windows)."""
    line = torch.sin(math.pi * (torch.arange(side, dtype=planes.dtype) + 0.5) / side) ** 2
    cut = planes.unfold(-2, side, max(side // 2, 1)).unfold(-2, side, max(side // 2, 1))
    return torch.einsum("cabij,i,j->cab", cut, line, line).flatten(1)
