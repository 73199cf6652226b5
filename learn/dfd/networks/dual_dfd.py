"""DualDfDNet: features of every picture by shared layers, side by side into one U-shaped network.

A reconstruction. Song and Lee, Depth estimation network for dual defocused images with different depth-of-field, ICIP
2018, has neither public code nor an open text. Known of it, from those who used it with five pictures: an extractor of
three convolutions whose weights the pictures share, and the map of image heights joined to its features. All else (the
U-shaped network, its levels, batch normalisation, the loss) is this project's choice.
"""

import torch
from torch import Tensor, nn

from psf import InputError

from .blocks import DETAIL_REACH_PX, NormedLayers, double, draw_weights, make_convolution, pad_to, show_detail
from .config import DepthConfig
from .heads import DepthOutput

LEVELS = 4
MULTIPLE_PX = 1 << (LEVELS - 1)


class DualDfDNet(nn.Module):
    """The network; made by `make_depth_network`, which draws its weights, or loaded.

    It is told no focus distances: that picture n was focused where it was in the training is part of what it learns.
    So it takes just as many pictures as it was made for, in the order of the training, and no other focus distances.

    Attributes:
        config: Its shape; of 32 channels wide are those that its users report.
    """

    def __init__(self, config: DepthConfig) -> None:
        super().__init__()
        if config.kind != "dual_dfd":
            raise InputError("config.kind", repr(config.kind), "'dual_dfd'")
        self.config = config
        width = config.width
        sizes = [2 * width << level for level in range(LEVELS)]
        self.extractor = nn.ModuleList(make_convolution(c, width) for c in (3, width, width))
        joined = config.pictures * width + int(config.with_radius)
        self.encoders = nn.ModuleList(
            NormedLayers(before, c, c) for before, c in zip([joined, *sizes[:-1]], sizes, strict=True)
        )
        self.decoders = nn.ModuleList(NormedLayers(3 * c, c, c) for c in reversed(sizes[:-1]))
        self.out = make_convolution(sizes[0], 1)

    @property
    def reach_px(self) -> int:
        """How far a pixel's depth reaches into the pictures."""
        return 64 + (DETAIL_REACH_PX if self.config.shown == "detail" else 0)

    def forward(self, stack: Tensor, focus_m: Tensor, radius: Tensor | None = None) -> DepthOutput:
        """Depth of focal stacks.

        Args:
            stack: 0 to 1, in the order of the training, shape (B, N, 3, H, W).
            focus_m: Not used, shape (B, N).
            radius: Image height of every pixel, shape (B, 1, H, W); only if the network is told.

        Returns:
            Shape (B, 1, H, W), and no blur.
        """
        pictures, (height, width) = stack.shape[1], stack.shape[-2:]
        features = (show_detail(stack) if self.config.shown == "detail" else stack).flatten(0, 1)
        for layer in self.extractor:
            features = nn.functional.relu(layer(features))
        features = features.unflatten(0, (-1, pictures)).flatten(1, 2)
        if radius is not None:
            features = torch.cat([features, radius.to(features)], 1)
        features = pad_to(features, MULTIPLE_PX)
        skips: list[Tensor] = []
        for encoder in self.encoders:
            if skips:
                features = nn.functional.max_pool2d(features, 2)
            features = encoder(features)
            skips.append(features)
        for decoder, skip in zip(self.decoders, reversed(skips[:-1]), strict=True):
            features = decoder(torch.cat([double(features), skip], 1))
        return DepthOutput(self.out(features)[..., :height, :width], None)

    def fill(self, generator: torch.Generator) -> None:
        """Draw first weights."""
        draw_weights(self, self.out, slope=0.0, generator=generator)
