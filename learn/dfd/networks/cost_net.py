"""CostVolumeNet: how well every candidate depth explains a stack, looked at over larger and smaller surroundings.

What it is given are the residuals that kernels of the lens leave (`learn.dfd.cost_volume`), divided by the least one at
each pixel: a number without unit, the same for dark and bright, for little and much noise. It is told neither pictures
nor places nor focus distances. Whatever the lens, residuals have a valley where the depth is right; so what it learns
of one lens, how far to trust a neighbour and which of two valleys is the true one, holds for another.

Every candidate is treated alike, with its neighbours in depth and in the picture, and a softmax over candidates is the
answer: their mean place, each moved by a part of the step between two as a parabola through the valley would be.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from psf import InputError

from .blocks import LEAK, double, pad_to
from .config import DepthConfig
from .heads import DepthOutput, to_place

# Residuals are averaged over squares of 2, 4, 8 and 16 px.
LEVELS = 4
MULTIPLE_PX = 1 << LEVELS
# The first answer, before anything is learnt, is that of squares of this level (8 px), with so sharp a softmax.
FIRST_LEVEL, FIRST_SHARPNESS = 2, 4.0
# Logarithms of residuals that count as 1.
UNIT = 2.0


class _Level(nn.Module):
    """Two 3 x 3 x 3 convolutions over candidates, rows and columns, with leaky rectifiers."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_make_volume_layer(c, width, 3) for c in (inputs, width))

    def forward(self, features: Tensor) -> Tensor:
        """Shape (B, C, Z, h, w) to (B, C', Z, h, w)."""
        for layer in self.layers:
            features = functional.leaky_relu(layer(features), LEAK)
        return features


class CostVolumeNet(nn.Module):
    """The network; made by `make_depth_network`, which draws its weights, or loaded.

    Attributes:
        config: Its shape.
    """

    reach_px = 80

    def __init__(self, config: DepthConfig) -> None:
        super().__init__()
        if config.kind != "cost_volume":
            raise InputError("config.kind", repr(config.kind), "'cost_volume'")
        self.config = config
        width = config.width
        self.levels = nn.ModuleList(_Level(2 if n == LEVELS - 1 else 2 + width, width) for n in range(LEVELS))
        self.out = _make_volume_layer(width, 2, 1)
        self.sharpness = nn.Parameter(torch.tensor(FIRST_SHARPNESS))

    def forward(self, costs: Tensor, focus_m: Tensor | None = None, radius: Tensor | None = None) -> DepthOutput:
        """Depth from residuals.

        Args:
            costs: Mean square residuals of the candidates, the farthest first, above 0, shape (B, Z, H, W).
            focus_m: Not used.
            radius: Not used.

        Returns:
            Shape (B, 1, H, W), and no blur.
        """
        height, width = costs.shape[-2:]
        pooled, ladder = pad_to(costs, MULTIPLE_PX), []
        for _ in range(LEVELS):
            pooled = functional.avg_pool2d(pooled, 2)
            ladder.append(_compare(pooled))
        features = self.levels[-1](ladder[-1])
        for level, seen in zip(reversed(self.levels[:-1]), reversed(ladder[:-1]), strict=True):
            features = level(torch.cat([seen, _widen(features, 2)], 1))
        score, offset = self.out(features).unbind(1)
        score = score - self.sharpness * _widen(ladder[FIRST_LEVEL][:, :1], 1 << FIRST_LEVEL)[:, 0]
        score, offset = (double(one)[..., :height, :width] for one in (score, offset))
        place = self._find_places().to(score)[:, None, None] + offset / (costs.shape[1] - 1)
        return DepthOutput((functional.softmax(score, 1) * place).sum(1, keepdim=True), None)

    def fill(self, generator: torch.Generator) -> None:
        """Draw first weights (He et al. 2015); small last ones, so that the first answer is the residuals' own."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv3d):
                bound = (6 / ((1 + LEAK**2) * layer.weight[0].numel())) ** 0.5
                nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
        with torch.no_grad():
            self.out.weight *= 0.1

    def _find_places(self) -> Tensor:
        """Where candidates lie between farthest, 0, and nearest, 1, shape (Z,)."""
        near_m, far_m = self.config.depth_m
        nearness = torch.linspace(1 / far_m, 1 / near_m, self.config.candidates, dtype=torch.float64)
        return to_place(1 / nearness, self.config)


def _make_volume_layer(inputs: int, outputs: int, side: int) -> nn.Conv3d:
    """A convolution of zeros: weights that torch draws would come from its global generator."""
    layer: nn.Conv3d = nn.utils.skip_init(nn.Conv3d, inputs, outputs, side, padding=side // 2)
    for values in layer.parameters():
        nn.init.zeros_(values)
    return layer


def _compare(residuals: Tensor) -> Tensor:
    """Residuals (B, Z, h, w) against the least and against their mean over candidates: shape (B, 2, Z, h, w)."""
    above = (residuals / residuals.amin(1, keepdim=True)).log()
    # The second is the valley's form alone, whatever its depth.
    return torch.stack([above / UNIT, above / (above.mean(1, keepdim=True) + 0.1)], 1)


def _widen(features: Tensor, times: int) -> Tensor:
    """Shape (B, C, Z, h, w) to rows and columns that are so many times finer, bilinear between pixels."""
    found = functional.interpolate(features.flatten(1, 2), scale_factor=times, mode="bilinear", align_corners=False)
    wide: Tensor = found.unflatten(1, features.shape[1:3])
    return wide
