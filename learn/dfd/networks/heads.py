"""What the last layer's number means: a place between the farthest depth, 0, and the nearest, 1.

Even in dioptres the steps of blur are even, too; even in metres errors count as a ruler counts them.
"""

import math
from typing import NamedTuple

from torch import Tensor

from .config import DepthConfig

# RMS radius of a kernel that counts as 1 in maps of blur, unless a recipe says something else: of full-size pixels.
BLUR_UNIT_PX = 12.0
# Place of the farthest depth that is answered where the range ends at infinity: every answer is finite.
LEAST_PLACE = 1e-3


class DepthOutput(NamedTuple):
    """What a depth network gives.

    Attributes:
        place: Where between farthest, 0, and nearest, 1, each pixel is; not cut to that. Shape (B, 1, H, W).
        blur: RMS radius of the kernel of every pixel in every picture, in units of the recipe's `blur_unit_px`, shape
            (B, N, H, W); None where a network finds none.
    """

    place: Tensor
    blur: Tensor | None


def to_place(depth_m: Tensor, config: DepthConfig) -> Tensor:
    """Where depths lie between farthest, 0, and nearest, 1; beyond these it goes on.

    Args:
        depth_m: Above 0, `inf` allowed with the head "dioptres", any shape.
        config: Of the network.

    Returns:
        The same shape.
    """
    near_m, far_m = config.depth_m
    if config.head == "metres":
        return (far_m - depth_m) / (far_m - near_m)
    return (1 / depth_m - 1 / far_m) / (1 / near_m - 1 / far_m)


def to_depth_m(place: Tensor, config: DepthConfig) -> Tensor:
    """Depth of a place, cut to the depths that the network can answer; always finite.

    Args:
        place: As `to_place` gives it, any shape.
        config: Of the network.

    Returns:
        In metres, the same shape.
    """
    near_m, far_m = config.depth_m
    share = place.clamp(LEAST_PLACE if math.isinf(far_m) else 0.0, 1)
    if config.head == "metres":
        return far_m - share * (far_m - near_m)
    return 1 / (1 / far_m + share * (1 / near_m - 1 / far_m))
