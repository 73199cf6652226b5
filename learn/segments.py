"""Invented depth: regions of a picture, each a randomly tilted plane, lower in the frame mostly nearer.

The values mean nothing and say so; what is true is that depth jumps where the picture has edges and glides elsewhere,
which is what depth-varying blur is learnt from where no better depth is at hand.
"""

import numpy as np
import torch
from torch import Tensor

from psf import InputError

# Regions of natural crops of 600 px: some 20 to 60 of them.
ALLOWANCE, LEAST_SHARE = 6000.0, 0.002
# Of relative depth: how far regions lie from the rule "lower is nearer", and how far a plane tilts across the frame.
SPREAD, TILT = 0.25, 0.35
# How much of "lower is nearer" holds inside a region: all of it on the ground, none on a wall.
LARGEST_GROUND = 1.0


def find_segments(
    srgb: Tensor, *, allowance: float = ALLOWANCE, least_share: float = LEAST_SHARE
) -> tuple[Tensor, int]:
    """Take a picture apart into regions of like colour (Felzenszwalb and Huttenlocher 2004, four neighbours).

    Args:
        srgb: 0 to 1, shape (3, H, W).
        allowance: Greater makes larger regions: the difference that two pixels may have, of 765, at size 1.
        least_share: Regions smaller than this share of the picture join a neighbour.

    Returns:
        Numbers of the regions from 0, int32, shape (H, W), in the order of their first pixels; and how many.
    """
    from .segment_loops import STEPS, join_edges, number_regions, sort_edges, weigh_edges

    if srgb.ndim != 3 or srgb.shape[0] != 3 or not srgb.numel() or not srgb.is_floating_point():
        raise InputError("find_segments(srgb)", f"{srgb.dtype} of shape {tuple(srgb.shape)}", "floats of (3, H, W)")
    if not allowance > 0 or not 0 <= least_share < 1:
        found = f"{allowance}, {least_share}"
        raise InputError("find_segments(allowance, least_share)", found, "above 0, and 0 to below 1")
    levels = (srgb.detach().cpu() * 255 + 0.5).clamp(0, 255).to(torch.uint8)
    samples = np.ascontiguousarray(levels.permute(1, 2, 0).numpy())
    height, width = samples.shape[:2]
    counts = np.zeros(STEPS, np.int64)
    across, down = np.zeros((height, width), np.uint16), np.zeros((height, width), np.uint16)
    weigh_edges(samples, counts, across, down)
    edges = np.empty(int(counts.sum()), np.int64)
    sort_edges(across, down, np.cumsum(counts) - counts, edges)
    parents, sizes = np.arange(height * width, dtype=np.int32), np.ones(height * width, np.int32)
    least = max(int(least_share * height * width), 1)
    join_edges(edges, width, across, down, float(allowance), least, parents, sizes)
    labels = np.empty(height * width, np.int32)
    count = number_regions(parents, labels)
    return torch.from_numpy(labels.reshape(height, width)), int(count)


def draw_planes(labels: Tensor, count: int, row_shares: Tensor, *, generator: torch.Generator) -> Tensor:
    """A random tilted plane for each region.

    Args:
        labels: Numbers of the regions, shape (H, W).
        count: How many there are.
        row_shares: How far down in its photograph each pixel lies, 0 to 1, shape (1, H, W).
        generator: Random numbers; four for each region.

    Returns:
        Relative depth, 0 nearest to 1 farthest, float32, shape (1, H, W).
    """
    from .segment_loops import fill_planes, sum_places

    height, width = labels.shape
    if tuple(row_shares.shape) != (1, height, width):
        raise InputError("draw_planes(row_shares)", f"shape {tuple(row_shares.shape)}", f"(1, {height}, {width})")
    if not 0 <= int(labels.min()) <= int(labels.max()) < count:
        raise InputError(
            "draw_planes(count)", count, f"more than the largest number, {int(labels.max())}, none below 0"
        )
    draws = torch.rand((count, 4), generator=generator, device=generator.device).cpu().double().numpy()
    numbers = np.ascontiguousarray(labels.cpu().numpy(), np.int32)
    shares = np.ascontiguousarray(row_shares[0].cpu().numpy(), np.float32)
    sums = np.zeros((count, 4))
    sum_places(numbers, shares, sums)
    row, column, share = (sums[:, 1:] / sums[:, :1].clip(1)).T
    base = 1 - share + 2 * SPREAD * (2 * draws[:, 0] - 1)
    down, right, ground = TILT * (2 * draws[:, 1] - 1), TILT * (2 * draws[:, 2] - 1), LARGEST_GROUND * draws[:, 3]
    # The constant makes the plane pass through the base at the region's centre.
    planes = np.stack([base - down * row - right * column + ground * share, down, right, -ground], 1)
    t = np.empty((1, height, width), np.float32)
    fill_planes(numbers, shares, planes, t[0])
    return torch.from_numpy(t)


def invent_depth(srgb: Tensor, row_shares: Tensor, *, generator: torch.Generator) -> Tensor:
    """Random planes over the regions of a picture.

    Args:
        srgb: 0 to 1, shape (3, H, W).
        row_shares: How far down in its photograph each pixel lies, 0 to 1, shape (1, H, W).
        generator: Random numbers.

    Returns:
        Relative depth, 0 nearest to 1 farthest, float32, shape (1, H, W).
    """
    labels, count = find_segments(srgb)
    return draw_planes(labels, count, row_shares, generator=generator)
