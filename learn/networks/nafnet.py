"""NAFNet: a U-Net without activation functions that restores packed mosaics, and is the identity before training.

Chen et al., Simple Baselines for Image Restoration, ECCV 2022, with two choices of this house: as many first planes of
the input as there are planes of the result are added to it, and the last convolution starts at zero, so that training
begins at the quality of the input. And one more: it may be given candidates for the result to choose from.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from psf import InputError

from .config import NAFNetConfig
from .local_means import average_boxes, check_box

NORM_EPS = 1e-6
HALVES = (torch.bfloat16, torch.float16)


def multiply_halves(features: Tensor) -> Tensor:
    """The gate: the first half of the channels times the second, (B, 2 C, H, W) to (B, C, H, W)."""
    one, two = features.chunk(2, 1)
    return one * two


class ChannelNorm(nn.Module):
    """Normalises the channels of every cell to mean 0 and variance 1, then scales and shifts each."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        """Shape (B, C, H, W) to the same; computed in float32 where it is less, returned in the weights' type."""
        if features.dtype in HALVES:  # 8 bits of a mean leave nothing of a small variance
            features = features.float()
        centred = features - features.mean(1, keepdim=True)
        scale = torch.rsqrt((centred * centred).mean(1, keepdim=True) + NORM_EPS)
        weight, bias = self.weight[:, None, None], self.bias[:, None, None]
        return torch.addcmul(bias.to(centred.dtype), centred * scale, weight.to(centred.dtype)).to(weight.dtype)


class NAFBlock(nn.Module):
    """A block: convolution by channel with a gate and weighed channels, then a gate cell by cell, both residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(channels), ChannelNorm(channels)
        self.conv1 = _convolution(channels, 2 * channels, 1)
        self.conv2 = _convolution(2 * channels, 2 * channels, 3, groups=2 * channels)
        self.conv3 = _convolution(channels, channels, 1)
        self.sca = _convolution(channels, channels, 1)
        self.conv4 = _convolution(channels, 2 * channels, 1)
        self.conv5 = _convolution(channels, channels, 1)
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def widen(self, features: Tensor) -> Tensor:
        """What the convolution by channel reads, (B, C, H, W) to (B, 2 C, H, W)."""
        widened: Tensor = self.conv1(self.norm1(features))
        return widened

    def finish(self, features: Tensor, gated: Tensor, means: Tensor) -> Tensor:
        """The block's result from its input, the gated features and their means; cell by cell.

        Args:
            features: The block's input, shape (B, C, H, W).
            gated: After the convolution by channel and the gate, shape (B, C, H, W).
            means: Of the gated features, shape (B, C, 1, 1), or (B, C, H, W) for means over boxes.

        Returns:
            Shape (B, C, H, W).
        """
        middle = torch.addcmul(features, self.conv3(gated * self.sca(means)), self.beta)
        return torch.addcmul(middle, self.conv5(multiply_halves(self.conv4(self.norm2(middle)))), self.gamma)

    def forward(self, features: Tensor, box_cells: int | None = None) -> Tensor:
        """Shape (B, C, H, W) to the same; means over boxes of this side, or over the frame."""
        gated = multiply_halves(self.conv2(self.widen(features)))
        whole = box_cells is None
        means = gated.mean((2, 3), keepdim=True) if whole else average_boxes(gated, box_cells)  # type: ignore[arg-type]
        return self.finish(features, gated, means)


class NAFNet(nn.Module):
    """The network; made by `make_network`, which draws its weights, or loaded.

    Built directly it has zeros in place of weights and returns its input's first planes.

    Attributes:
        config: Its shape.
    """

    def __init__(self, config: NAFNetConfig) -> None:
        super().__init__()
        if not isinstance(config, NAFNetConfig):
            raise InputError("config", type(config).__name__, "a NAFNetConfig; find_config has the named ones")
        self.config = config
        width, levels = config.width, config.levels
        self.intro = _convolution(config.in_planes, width, 3)
        self.ending = _convolution(width, config.out_planes + config.candidates, 3)
        sizes = [width << level for level in range(levels + 1)]
        self.encoders = nn.ModuleList(_blocks(c, n) for c, n in zip(sizes, config.encoder_blocks, strict=False))
        self.downs = nn.ModuleList(_convolution(c, 2 * c, 2, stride=2) for c in sizes[:-1])
        self.middle = _blocks(sizes[-1], config.middle_blocks)
        self.ups = nn.ModuleList(_convolution(c, 2 * c, 1, has_bias=False) for c in sizes[:0:-1])
        self.decoders = nn.ModuleList(_blocks(c, n) for c, n in zip(sizes[-2::-1], config.decoder_blocks, strict=True))

    def forward(self, planes: Tensor, box_cells: int | None = None) -> Tensor:
        """Restore packed mosaics.

        Args:
            planes: R, Gr, Gb, B and what the network is told besides, shape (B, in_planes, H, W), any H and W.
            box_cells: Weigh channels by means over boxes of so many cells (at full size) instead of over the frame:
                for frames larger than the patches of the training. `local_means.find_box` has the usual size.

        Returns:
            Shape (B, out_planes, H, W).
        """
        if not torch.compiler.is_compiling():
            self.check_planes(planes, box_cells)
        height, width = planes.shape[-2:]
        padded = self.pad(planes)
        features = self.intro(padded)
        skips = []
        for level, (blocks, down) in enumerate(zip(self.encoders, self.downs, strict=True)):
            features = _run(blocks, features, shrink_box(box_cells, level))
            skips.append(features)
            features = down(features)
        features = _run(self.middle, features, shrink_box(box_cells, self.config.levels))
        for step, (up, blocks) in enumerate(zip(self.ups, self.decoders, strict=True)):
            features = functional.pixel_shuffle(up(features), 2) + skips.pop()
            features = _run(blocks, features, shrink_box(box_cells, self.config.levels - 1 - step))
        return self.compose(self.ending(features), padded)[..., :height, :width]

    def compose(self, found: Tensor, planes: Tensor) -> Tensor:
        """The result: the picture, what the last convolution adds to it, and so much of each candidate.

        Args:
            found: Of the last convolution, shape (B, out_planes + candidates, H, W).
            planes: The input there, shape (B, in_planes, H, W).

        Returns:
            Shape (B, out_planes, H, W).
        """
        colours, count = self.config.out_planes, self.config.candidates
        restored = found[:, :colours] + planes[:, :colours]
        if count > 0:
            changes = planes[:, -count * colours :].unflatten(1, (count, colours))
            restored = restored + (found[:, colours:, None] * changes).sum(1)
        return restored

    def check_planes(self, planes: Tensor, box_cells: int | None = None) -> None:
        """Refuse what the network cannot take; planes are (B, in_planes, H, W)."""
        if not isinstance(planes, Tensor) or not planes.is_floating_point():
            found = planes.dtype if isinstance(planes, Tensor) else type(planes).__name__
            raise InputError("planes", found, "a tensor of floating numbers")
        if planes.ndim != 4 or planes.shape[1] != self.config.in_planes or 0 in planes.shape[2:]:
            expected = f"shape (B, {self.config.in_planes}, H, W), at least one cell"
            raise InputError("planes", f"shape {tuple(planes.shape)}", expected)
        weight = self.intro.weight
        if planes.device != weight.device:
            raise InputError("planes", f"a tensor on {planes.device}", f"one on {weight.device}, as the network")
        if planes.dtype != weight.dtype and not torch.is_autocast_enabled(planes.device.type):
            raise InputError("planes", planes.dtype, f"{weight.dtype}, as the network")
        check_box(box_cells)

    def pad(self, planes: Tensor) -> Tensor:
        """Zeros to the right and below up to sides that can be halved, shape (B, C, H, W)."""
        many = self.config.multiple_cells
        height, width = planes.shape[-2:]
        return functional.pad(planes, (0, -width % many, 0, -height % many))


def make_network(config: NAFNetConfig, *, generator: torch.Generator) -> NAFNet:
    """A network to be trained: the identity on the first planes, with random weights behind it.

    Weights and biases are uniform within 1 / sqrt(inputs), as torch starts a convolution. The last convolution, the
    scales of the residuals, and the first convolution's weights for planes behind the picture's start at zero. The
    latter do not count as inputs: whatever a network is told besides, it starts as the same function.

    Args:
        config: Shape of the network.
        generator: On the CPU; two of the same seed give the same network.
    """
    network = NAFNet(config)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer is not network.ending:
            weight = layer.weight[:, : config.out_planes] if layer is network.intro else layer.weight
            bound = 1 / math.sqrt(weight[0].numel())
            with torch.no_grad():
                weight.copy_(torch.empty(weight.shape).uniform_(-bound, bound, generator=generator))
            if layer.bias is not None:
                nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return network


def shrink_box(box_cells: int | None, level: int) -> int | None:
    """The box's side where the picture is halved `level` times."""
    return None if box_cells is None else max(1, box_cells >> level)


def _run(blocks: nn.Module, features: Tensor, box_cells: int | None) -> Tensor:
    for block in blocks.children():
        features = block(features, box_cells)
    return features


def _blocks(channels: int, count: int) -> nn.ModuleList:
    return nn.ModuleList(NAFBlock(channels) for _ in range(count))


def _convolution(
    inputs: int, outputs: int, side: int, *, stride: int = 1, groups: int = 1, has_bias: bool = True
) -> nn.Conv2d:
    """A convolution of zeros: weights that torch draws would come from its global generator."""
    padding = side // 2 if stride == 1 else 0
    options = {"stride": stride, "padding": padding, "groups": groups, "bias": has_bias}
    layer: nn.Conv2d = nn.utils.skip_init(nn.Conv2d, inputs, outputs, side, **options)
    for values in layer.parameters():
        nn.init.zeros_(values)
    return layer
