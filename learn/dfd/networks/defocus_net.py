"""DefocusNet: two U-shaped networks in a row, run on every picture of a stack and told what the others have seen.

Maximov, Galim and Leal-Taixe, Focus on defocus: bridging the synthetic to real domain gap for depth estimation, CVPR
2020, with the numbers of filters of their public code: 3,729,042 weights at a width of 16. The first network finds how
blurred every picture is, the second the depth from that and from the focus distances. As they exchange nothing but
maxima over the pictures, these may be any number in any order, each with its own focus distance: a stack whose pictures
and focus distances are put into another order together gives the same depth.
"""

import torch
from torch import Tensor, nn

from psf import InputError

from .blocks import (
    DETAIL_REACH_PX,
    LEAK,
    LeakyLayers,
    double,
    draw_weights,
    find_maximum,
    make_convolution,
    pad_to,
    show_detail,
)
from .config import DepthConfig
from .heads import DepthOutput

LEVELS = 4
MULTIPLE_PX = 1 << LEVELS


class _Encoder(nn.Module):
    """Four blocks with pooling after each, and after each pooling the maximum over the pictures joins their own."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        sizes = [width << level for level in range(LEVELS)]
        blocks = [LeakyLayers(inputs, width, width), *(LeakyLayers(c, c, c) for c in sizes[1:])]
        self.blocks = nn.ModuleList(blocks)
        self.bridge = LeakyLayers(width << LEVELS, width << LEVELS)

    def forward(self, features: Tensor, pictures: int) -> tuple[Tensor, list[Tensor]]:
        """Shape (B N, C, H, W) to the bridge's features and those of the blocks, the finest first."""
        skips = []
        for block in self.blocks:
            features = block(features)
            skips.append(features)
            pooled = nn.functional.max_pool2d(features, 2)
            features = torch.cat([pooled, find_maximum(pooled, pictures)], 1)
        return self.bridge(features), skips


class _Decoder(nn.Module):
    """Up again, joined with an encoder's features; with `exchange` also with the maximum over the pictures."""

    def __init__(self, width: int, *, exchange: bool) -> None:
        super().__init__()
        sizes = [width << level for level in reversed(range(LEVELS))]
        self.exchange = exchange
        self.ups = nn.ModuleList(LeakyLayers(2 * c, c) for c in sizes)
        self.joins = nn.ModuleList(LeakyLayers((3 if exchange else 2) * c, c) for c in sizes)
        self.last = LeakyLayers(width, width)
        self.out = make_convolution(width, 1)

    def forward(self, features: Tensor, skips: list[Tensor], pictures: int) -> Tensor:
        """Shape (B N, C, h, w) to (B N, 1, H, W); with `exchange` to (B, 1, H, W)."""
        for up, join, skip in zip(self.ups, self.joins, reversed(skips), strict=True):
            own = up(double(features))
            others = [find_maximum(own, pictures)] if self.exchange else []
            features = join(torch.cat([own, *others, skip], 1))
        if self.exchange:
            features = features.unflatten(0, (-1, pictures)).amax(1)
        found: Tensor = self.out(self.last(features))
        return found


class DefocusNet(nn.Module):
    """The network; made by `make_depth_network`, which draws its weights, or loaded.

    Choices of this house: its maps of blur are RMS radii of kernels, as real kernels have no circle of confusion, and
    image height is one more colour of every picture.

    Attributes:
        config: Its shape.
    """

    def __init__(self, config: DepthConfig) -> None:
        super().__init__()
        if config.kind != "defocus_net":
            raise InputError("config.kind", repr(config.kind), "'defocus_net'")
        self.config = config
        width = config.width
        self.blur_encoder = _Encoder(4 if config.with_radius else 3, width)
        self.blur_decoder = _Decoder(width, exchange=False)
        self.depth_encoder = _Encoder(2, width)
        self.depth_decoder = _Decoder(width, exchange=True)

    @property
    def reach_px(self) -> int:
        """How far a pixel's depth reaches into the pictures."""
        return 128 + (DETAIL_REACH_PX if self.config.shown == "detail" else 0)

    def forward(self, stack: Tensor, focus_m: Tensor, radius: Tensor | None = None) -> DepthOutput:
        """Depth and blur of focal stacks.

        Args:
            stack: 0 to 1, shape (B, N, 3, H, W).
            focus_m: Of the pictures, shape (B, N); what counts is their ratio to the largest.
            radius: Image height of every pixel, shape (B, 1, H, W); only if the network is told.

        Returns:
            Shapes (B, 1, H, W) and (B, N, H, W).
        """
        pictures, (height, width) = stack.shape[1], stack.shape[-2:]
        planes = show_detail(stack) if self.config.shown == "detail" else stack
        if radius is not None:
            planes = torch.cat([planes, radius[:, None].expand(-1, pictures, -1, -1, -1).to(stack)], 2)
        features, skips = self.blur_encoder(pad_to(planes.flatten(0, 1), MULTIPLE_PX), pictures)
        blur = self.blur_decoder(features, skips, pictures)
        focus = (focus_m / focus_m.amax(1, keepdim=True)).to(blur).reshape(-1, 1, 1, 1).expand_as(blur)
        features, _ = self.depth_encoder(torch.cat([blur, focus], 1), pictures)
        place = self.depth_decoder(features, skips, pictures)
        blur = blur.squeeze(1).unflatten(0, (-1, pictures))
        return DepthOutput(place[..., :height, :width], blur[..., :height, :width])

    def fill(self, generator: torch.Generator) -> None:
        """Draw first weights."""
        # Maps of blur begin with their full spread: from flat ones the second network could learn nothing.
        draw_weights(self, self.depth_decoder.out, slope=LEAK, generator=generator)
