"""From relative depth to metres: a random rule and a random range for every sample.

The blur that a camera gives depends on dioptres, so what is drawn here is in truth a distribution of blur sizes. A
log-uniform nearest distance gives every octave of blur the same share.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from psf import InputError

Rule = Literal["linear", "quadratic", "exponential", "dioptre"]
RULES: tuple[Rule, ...] = ("linear", "quadratic", "exponential", "dioptre")
# Yang et al., Efficient depth- and spatially-varying image simulation for defocus deblur: these three.
PUBLISHED_RULES: tuple[Rule, ...] = RULES[:3]
LOW_QUANTILE, HIGH_QUANTILE = 0.01, 0.99
# More numbers than this of a whole map do not make its quantiles surer.
QUANTILE_SAMPLES = 1 << 16


@dataclass(frozen=True)
class DepthScaling:
    """How metres are drawn; the ranges are a choice of this project within the published 0.1 m to infinity.

    Attributes:
        rules: One of these is drawn, each as likely.
        near_m: The nearest distance is drawn log-uniformly between these.
        decades: The farthest is the nearest times 10 to the power of an even draw between these.
        infinite: With this probability the far end is at infinity.
        infinite_t: Relative depths beyond this are, then.
    """

    rules: tuple[Rule, ...] = PUBLISHED_RULES
    near_m: tuple[float, float] = (0.1, 1.0)
    decades: tuple[float, float] = (0.05, 1.6)
    infinite: float = 0.3
    infinite_t: float = 0.98

    def __post_init__(self) -> None:
        if not self.rules or set(self.rules) - set(RULES):
            raise InputError("DepthScaling.rules", self.rules, "some of " + ", ".join(RULES))
        if not 0 < self.near_m[0] <= self.near_m[1] < math.inf:
            raise InputError("DepthScaling.near_m", self.near_m, "two distances above 0, ascending")
        if not 0 < self.decades[0] <= self.decades[1] < math.inf:
            raise InputError("DepthScaling.decades", self.decades, "two powers of 10 above 0, ascending")
        for name in ("infinite", "infinite_t"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"DepthScaling.{name}", getattr(self, name), "0 to 1")


@dataclass(frozen=True)
class DepthRange:
    """What was drawn for one sample.

    Attributes:
        rule: Of `scale_depth`.
        near_m: Where relative depth 0 lies.
        far_m: Where relative depth 1 lies, but for what is at infinity.
        is_infinite: Whether the far end is at infinity.
    """

    rule: Rule
    near_m: float
    far_m: float
    is_infinite: bool


def scale_depth(t: Tensor, rule: Rule, near_m: float, far_m: float) -> Tensor:
    """Metres of relative depth.

    Args:
        t: 0 nearest, 1 farthest, any shape.
        rule: "linear" z = a + (b - a) t, "quadratic" z = a + (b - a) t^2, "exponential" z = a (b/a)^t, or "dioptre"
            1/z = 1/a + (1/b - 1/a) t, the true one for what stereo and depth networks measure.
        near_m: a.
        far_m: b; infinity only for "dioptre".

    Returns:
        The same shape.
    """
    if rule not in RULES:
        raise InputError("scale_depth(rule)", repr(rule), "one of " + ", ".join(RULES))
    if not 0 < near_m < math.inf:
        raise InputError("scale_depth(near_m)", near_m, "above 0 and finite")
    if not near_m <= far_m or (far_m == math.inf and rule != "dioptre"):
        raise InputError("scale_depth(far_m)", far_m, f"at least {near_m:g} m, finite unless the rule is dioptre")
    if rule == "linear":
        return near_m + (far_m - near_m) * t
    if rule == "quadratic":
        return near_m + (far_m - near_m) * t * t
    if rule == "exponential":
        return near_m * (far_m / near_m) ** t
    # Summed from both ends: in single precision the far end would else lose digits.
    return 1 / ((1 - t) / near_m + t / far_m)


def draw_range(scaling: DepthScaling, generator: torch.Generator) -> DepthRange:
    """A rule and a range.

    Args:
        scaling: How they are drawn.
        generator: Random numbers; always four of them.
    """
    which, near, decades, fate = torch.rand(
        4, generator=generator, dtype=torch.float64, device=generator.device
    ).tolist()
    low, high = scaling.near_m
    near_m = low * (high / low) ** near
    far_m = near_m * 10 ** (scaling.decades[0] + (scaling.decades[1] - scaling.decades[0]) * decades)
    return DepthRange(scaling.rules[int(which * len(scaling.rules))], near_m, far_m, fate < scaling.infinite)


def draw_depth(t: Tensor, scaling: DepthScaling, generator: torch.Generator) -> tuple[Tensor, DepthRange]:
    """Metres of relative depth, by a random rule and range.

    Args:
        t: 0 nearest, 1 farthest, any shape.
        scaling: How rule and range are drawn.
        generator: Random numbers; always four of them.

    Returns:
        Metres, some of them infinite perhaps, of the same shape; and what was drawn.
    """
    drawn = draw_range(scaling, generator)
    depth_m = scale_depth(t, drawn.rule, drawn.near_m, drawn.far_m)
    if drawn.is_infinite:
        depth_m = torch.where(t > scaling.infinite_t, math.inf, depth_m)
    return depth_m, drawn


def find_span(inverse_depth: Tensor) -> tuple[float, float]:
    """The 1 % and 99 % quantiles of a whole map, from at most 65536 of its pixels, evenly spread.

    Args:
        inverse_depth: Shape (1, h, w).
    """
    if inverse_depth.ndim != 3 or not inverse_depth.numel():
        raise InputError("find_span(inverse_depth)", f"shape {tuple(inverse_depth.shape)}", "(1, h, w), not empty")
    height, width = inverse_depth.shape[-2:]
    step = max(1, math.ceil(math.sqrt(height * width / QUANTILE_SAMPLES)))
    # From the middle of each step, or one border would weigh more than the other.
    some = inverse_depth[0, (min(step, height) - 1) // 2 :: step, (min(step, width) - 1) // 2 :: step]
    levels = torch.tensor([LOW_QUANTILE, HIGH_QUANTILE], dtype=torch.float64, device=some.device)
    low, high = torch.quantile(some.double().flatten(), levels).tolist()
    return low, high


def normalise_depth(inverse_depth: Tensor, span: tuple[float, float]) -> Tensor:
    """Relative depth of inverse depth: 0 nearest, 1 farthest.

    Args:
        inverse_depth: Greater is nearer, any shape.
        span: What becomes 1 and 0, as `find_span` gives it for the whole photograph.

    Returns:
        0 to 1, clamped, of the same shape; 0.5 everywhere if the map has only one depth.
    """
    low, high = span
    if not high > low:
        return torch.full_like(inverse_depth, 0.5)
    return 1 - ((inverse_depth - low) / (high - low)).clamp(0, 1)
