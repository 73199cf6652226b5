"""How an axis of a frame is cut into overlapping tiles, and how these are faded into each other."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from psf.reading import mirror_index


class Segment(NamedTuple):
    """One tile's share of an axis.

    Attributes:
        source: Cells of the frame that the tile reads, mirrored at the frame's edges, shape (T,).
        inner: Which of the tile's cells have a weight.
        place: Where these lie in the frame.
        weight: How much of the result they are; all tiles' weights of a cell add up to 1. Shape (N,), float64.
    """

    source: Tensor
    inner: slice
    place: slice
    weight: Tensor


def cut_axis(side: int, tile: int, halo: int, multiple: int = 1) -> list[Segment]:
    """Cut an axis into tiles of equal size, faded into each other by a raised cosine.

    The half of the halo that lies outermost, where the zeros around a tile are felt most, has no weight; over the
    stretch as wide as the halo around a border between parts neighbours are mixed.

    Args:
        side: Of the frame, in whatever the tiles are counted in.
        tile: Most of a tile's side, at least three halos and above 0.
        halo: Around each part; a multiple of `multiple`.
        multiple: What starts and sides of tiles are multiples of.
    """
    most = tile - 2 * halo
    count = -(-side // most)
    part = -(-side // (count * multiple)) * multiple
    if count > 1:
        part = max(halo, part)  # no three tiles meet in one place
    starts = range(0, side, part)
    fade, half = halo, halo // 2
    # sin^2 rises from 0 to 1; its mirror image is one less it.
    ramp = torch.sin((torch.arange(fade, dtype=torch.float64) + 0.5) / max(1, fade) * (math.pi / 2)) ** 2
    found = []
    for start in starts:
        stop = min(side, start + part)
        first, last = start - halo, start + part + halo
        is_first, is_last = start == 0, stop == side
        low = 0 if is_first else start - half
        high = side if is_last else min(side, stop - half + fade)
        weight = torch.ones(high - low, dtype=torch.float64)
        if not is_first:
            weight[:fade] *= ramp[: len(weight)]
        if not is_last:
            weight[stop - half - low :] *= (1 - ramp)[: high - (stop - half)]
        source = mirror_index(torch.arange(first, last), side)
        found.append(Segment(source, slice(low - first, high - first), slice(low, high), weight))
    return found
