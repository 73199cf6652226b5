"""Networks that answer with kernels: a U-Net, Yang's perceptron, Tseng's up-sampling, a Gaussian per depth.

Each takes places (N, P), numbers of about -1 to 1 (`places.py`), and returns kernels (N, C, K, K) that are not negative
and of unit sum. None of them knows of cameras, of azimuths or of how it is trained.
"""

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

# Sides of the first map that Tseng's network makes, and its channels.
FIRST_SIDE, FIRST_CHANNELS = 4, 128
# Of what is below 0 units hand on so much: plain ReLU lets whole networks die at an even kernel, in their first steps.
SLOPE = 0.1
# A Gaussian's standard deviation begins here, and so wide it is at least.
FIRST_SIGMA_PX, LEAST_SIGMA_PX = 1.5, 0.05
# Groups of channels whose maps are brought to one scale in the U-Net. Without that its answers grow so fast that the
# softmax puts all light into one tap within its first steps, from where no gradient leads back.
GROUPS = 4
# What divides by a sum adds this, so that a kernel of nothing stays finite.
TINY = 1e-12


class UNetKernels(nn.Module):
    """A U-Net whose output, cut to K x K, is a kernel through a softmax.

    Places are spread as constant maps over a canvas that the pooling divides evenly, beside three maps of coordinates
    (column, row, distance from the kernel's middle, in halves of its side): without these only its zero padding would
    tell a convolutional network where it is. Products of places and coordinates come with them: how far light lies from
    the middle grows with depth and image height, and what is brought to one scale layer by layer multiplies badly.
    Kernels may have O values per pixel and axis: the last layer answers for all of a pixel's.
    """

    coordinates: Tensor

    def __init__(
        self,
        inputs: int,
        channels: int,
        kernel_px: int,
        *,
        width: int = 16,
        levels: int = 4,
        has_coordinates: bool = True,
        oversample: int = 1,
    ) -> None:
        super().__init__()
        self.kernel_px, self.has_coordinates, self.oversample = kernel_px, has_coordinates, oversample
        step = 2**levels
        canvas = math.ceil((kernel_px + 1) / step) * step
        self.first = (canvas - kernel_px + 1) // 2
        half = max(kernel_px // 2, 1)
        line = (torch.arange(canvas) - self.first - kernel_px // 2) / half
        down, right = torch.meshgrid(line, line, indexing="ij")
        self.register_buffer("coordinates", torch.stack((right, down, torch.hypot(right, down))), persistent=False)
        sizes = [width << level for level in range(levels + 1)]
        planes = inputs + (3 * (1 + inputs) if has_coordinates else 0)
        self.downs = nn.ModuleList(_double(a, b) for a, b in itertools.pairwise([planes, *sizes]))
        self.ups = nn.ModuleList(
            _skip_init(nn.ConvTranspose2d, 2 * size, size, 2, stride=2) for size in reversed(sizes[:-1])
        )
        self.joins = nn.ModuleList(_double(2 * size, size) for size in reversed(sizes[:-1]))
        self.last = _skip_init(nn.Conv2d, width, channels * oversample**2, 1)

    def forward(self, places: Tensor) -> Tensor:
        """Places (N, P) to kernels (N, C, O K, O K)."""
        side = self.coordinates.shape[-1]
        maps = places[:, :, None, None].expand(-1, -1, side, side)
        if self.has_coordinates:
            products = (maps[:, :, None] * self.coordinates).flatten(1, 2)
            maps = torch.cat((maps, self.coordinates.expand(len(places), -1, -1, -1), products), 1)
        maps = self.downs[0](maps)
        kept: list[Tensor] = []
        for double in self.downs[1:]:
            kept.append(maps)
            maps = double(functional.max_pool2d(maps, 2))
        for up, double in zip(self.ups, self.joins, strict=True):
            maps = double(torch.cat((up(maps), kept.pop()), 1))
        inner = slice(self.first, self.first + self.kernel_px)
        return share_out(functional.pixel_shuffle(self.last(maps)[..., inner, inner], self.oversample))


class PerceptronKernels(nn.Module):
    """Yang et al. (TPAMI 2023): a perceptron whose sigmoids are divided by their sum."""

    def __init__(self, inputs: int, channels: int, kernel_px: int, *, width: int = 256, layers: int = 8) -> None:
        super().__init__()
        self.shape = (channels, kernel_px, kernel_px)
        sizes = [inputs, *[width] * (layers + 1)]
        steps: list[nn.Module] = []
        for a, b in itertools.pairwise(sizes):
            steps += [_skip_init(nn.Linear, a, b), nn.LeakyReLU(SLOPE)]
        self.body = nn.Sequential(*steps)
        self.last = _skip_init(nn.Linear, width, math.prod(self.shape))

    def forward(self, places: Tensor) -> Tensor:
        """Places (N, P) to kernels (N, C, K, K)."""
        light: Tensor = self.last(self.body(places)).sigmoid().reshape(-1, *self.shape)
        return light / light.sum((-2, -1), keepdim=True).clamp_min(TINY)


class UpsamplingKernels(nn.Module):
    """Tseng et al. (ToG 2021), for one kernel: linear layers to a small map, then three up-sampling convolutions."""

    def __init__(self, inputs: int, channels: int, kernel_px: int, *, width: int = 256) -> None:
        super().__init__()
        self.kernel_px = kernel_px
        planes = FIRST_SIDE**2 * FIRST_CHANNELS
        self.linear = nn.Sequential(
            _skip_init(nn.Linear, inputs, width),
            nn.LeakyReLU(SLOPE),
            _skip_init(nn.Linear, width, planes),
            nn.LeakyReLU(SLOPE),
        )
        sizes = [FIRST_CHANNELS, FIRST_CHANNELS // 2, FIRST_CHANNELS // 4, FIRST_CHANNELS // 4]
        self.convolutions = nn.ModuleList(
            _skip_init(nn.Conv2d, a, b, 3, padding=1) for a, b in itertools.pairwise(sizes)
        )
        self.last = _skip_init(nn.Conv2d, sizes[-1], channels, 3, padding=1)
        # Three doublings end at 32 px; other kernels get there from another first map.
        self.first_side = max(FIRST_SIDE, math.ceil((kernel_px + 1) / 8))

    def forward(self, places: Tensor) -> Tensor:
        """Places (N, P) to kernels (N, C, K, K)."""
        maps = self.linear(places).reshape(-1, FIRST_CHANNELS, FIRST_SIDE, FIRST_SIDE)
        if self.first_side != FIRST_SIDE:
            maps = functional.interpolate(maps, size=self.first_side, mode="bilinear")
        for convolution in self.convolutions:
            maps = functional.leaky_relu(convolution(functional.interpolate(maps, scale_factor=2.0)), SLOPE)
        maps = self.last(maps)
        first = (maps.shape[-1] - self.kernel_px + 1) // 2
        inner = slice(first, first + self.kernel_px)
        return share_out(maps[..., inner, inner])


class GaussianKernels(nn.Module):
    """One round Gaussian per depth (Subbarao and Gurumoorthy 1988), the same over the picture.

    Its standard deviations stand at nodes of the last place but one, which is the depth, and are linear between them.
    """

    nodes: Tensor

    def __init__(self, channels: int, kernel_px: int, nodes: Tensor) -> None:
        super().__init__()
        self.kernel_px = kernel_px
        self.register_buffer("nodes", nodes.float())
        start = math.log(math.expm1(FIRST_SIGMA_PX))
        self.raw = nn.Parameter(torch.full((len(nodes), channels), start))

    def sigma_px(self, places: Tensor) -> Tensor:
        """Standard deviations in px, places (N, P) to (N, C)."""
        sigma = LEAST_SIGMA_PX + functional.softplus(self.raw)
        if len(self.nodes) == 1:
            return sigma.expand(len(places), -1)
        depth = places[:, -2].clamp(self.nodes[0], self.nodes[-1]).contiguous()
        high = torch.searchsorted(self.nodes, depth).clamp(1, len(self.nodes) - 1)
        share = ((depth - self.nodes[high - 1]) / (self.nodes[high] - self.nodes[high - 1]))[:, None]
        return (1 - share) * sigma[high - 1] + share * sigma[high]

    def with_sigma_px(self, sigma_px: Tensor) -> "GaussianKernels":
        """The same nodes with other standard deviations, shape (nodes, C)."""
        other = GaussianKernels(sigma_px.shape[1], self.kernel_px, self.nodes)
        with torch.no_grad():
            other.raw.copy_(torch.expm1((sigma_px - LEAST_SIGMA_PX).clamp_min(1e-6)).log())
        return other

    def forward(self, places: Tensor) -> Tensor:
        """Places (N, P) to kernels (N, C, K, K)."""
        return lay_gaussians(self.sigma_px(places), self.kernel_px)


def lay_gaussians(sigma_px: Tensor, kernel_px: int) -> Tensor:
    """Round Gaussians sampled at pixels, unit sum.

    Args:
        sigma_px: Shape (...).
        kernel_px: Side K.

    Returns:
        Shape (..., K, K).
    """
    offset = torch.arange(kernel_px, dtype=sigma_px.dtype, device=sigma_px.device) - kernel_px // 2
    line = torch.softmax(-0.5 * (offset / sigma_px[..., None]) ** 2, -1)
    return line[..., :, None] * line[..., None, :]


def share_out(values: Tensor) -> Tensor:
    """Softmax over kernels, (..., K, K) to the same: not negative, unit sum."""
    return values.flatten(-2).softmax(-1).reshape(values.shape)


def draw_weights(network: nn.Module, *, generator: torch.Generator) -> None:
    """Give every layer its first weights, as He et al. do; biases are zero. Gaussians have theirs."""
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, a=SLOPE, nonlinearity="leaky_relu", generator=generator)
                if layer.bias is not None:
                    layer.bias.zero_()
        last = getattr(network, "last", None)
        if isinstance(last, nn.Conv2d | nn.Linear):
            # Begins near an even kernel: large first answers of a softmax are unlearned slowly.
            last.weight.mul_(0.1)
        if isinstance(network, PerceptronKernels) and isinstance(last, nn.Linear):
            # Sigmoids that sum to 1 from the start are far from their upper end. Begun at one half each they reach it
            # while all places still share one kernel: no gradient is left, and they stay there.
            nn.init.constant_(last.bias, -math.log(math.prod(network.shape[1:])))


def _double(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        _skip_init(nn.Conv2d, inputs, outputs, 3, padding=1),
        nn.GroupNorm(math.gcd(GROUPS, outputs), outputs),
        nn.LeakyReLU(SLOPE),
        _skip_init(nn.Conv2d, outputs, outputs, 3, padding=1),
        nn.GroupNorm(math.gcd(GROUPS, outputs), outputs),
        nn.LeakyReLU(SLOPE),
    )


def _skip_init(kind: type[nn.Module], *arguments: int, **options: int) -> nn.Module:
    # Weights that torch draws itself would come from its global generator.
    layer: nn.Module = nn.utils.skip_init(kind, *arguments, **options)
    return layer
