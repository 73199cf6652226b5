"""Layers that both depth networks are built of, and how their first weights are drawn."""

import itertools
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

LEAK = 0.2
# Detail is what differs from the mean around it (standard deviation of the weights, px), and counts against the RMS of
# the stack's detail over so much. Below the floor, of light from 0 to 1, there is only noise.
DETAIL_PX, AROUND_PX, DETAIL_FLOOR = 2.0, 4.0, 3e-3
# How far a pixel's detail reaches into the pictures.
DETAIL_REACH_PX = math.ceil(3 * DETAIL_PX) + math.ceil(3 * AROUND_PX)
MOMENTUM, NORM_EPS = 0.1, 1e-5


def make_convolution(inputs: int, outputs: int, *, has_bias: bool = True) -> nn.Conv2d:
    """A 3 x 3 convolution of zeros: weights that torch draws would come from its global generator."""
    layer: nn.Conv2d = nn.utils.skip_init(nn.Conv2d, inputs, outputs, 3, padding=1, bias=has_bias)
    for values in layer.parameters():
        nn.init.zeros_(values)
    return layer


class LeakyLayers(nn.Module):
    """3 x 3 convolutions, each followed by a leaky rectifier of slope 0.2."""

    def __init__(self, *channels: int) -> None:
        super().__init__()
        pairs = itertools.pairwise(channels)
        self.layers = nn.ModuleList(make_convolution(one, two) for one, two in pairs)

    def forward(self, features: Tensor) -> Tensor:
        """Shape (B, C, H, W) to (B, C', H, W)."""
        for layer in self.layers:
            features = functional.leaky_relu(layer(features), LEAK)
        return features


class _SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over all processes, whose gradient is the sum of their gradients."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        found = values.clone()
        torch.distributed.all_reduce(found)
        return found

    @staticmethod
    def backward(context: Any, *slopes: Tensor) -> Tensor:
        found = slopes[0].clone()
        torch.distributed.all_reduce(found)
        return found


class SharedBatchNorm(nn.Module):
    """Batch normalisation over the batches of all processes together, so that two train what one would.

    Learnt scale and shift by channel; in evaluation mode a running mean and variance stand for the batch's, and what
    a pixel gets hangs on no other pixel: tiles are as the whole.
    """

    running_mean: Tensor
    running_variance: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_variance", torch.ones(channels))

    def forward(self, features: Tensor) -> Tensor:
        """Shape (B, C, H, W) to the same."""
        if not self.training:
            return functional.batch_norm(
                features, self.running_mean, self.running_variance, self.weight, self.bias, False, 0.0, NORM_EPS
            )
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return functional.batch_norm(
                features, self.running_mean, self.running_variance, self.weight, self.bias, True, MOMENTUM, NORM_EPS
            )
        own = features.float()
        count = own.new_tensor([own.numel() // own.shape[1]])
        sums = _SumOverProcesses.apply(torch.cat([own.sum((0, 2, 3)), count]))
        total = sums[-1].detach()
        mean = sums[:-1] / total
        centred = own - mean[:, None, None]
        # Two sums and not one of squares: what is left of a difference of large numbers would be noise.
        variance = _SumOverProcesses.apply(centred.square().sum((0, 2, 3))) / total
        with torch.no_grad():
            self.running_mean.lerp_(mean, MOMENTUM)
            self.running_variance.lerp_(variance * total / (total - 1).clamp_min(1), MOMENTUM)
        scale = self.weight * torch.rsqrt(variance + NORM_EPS)
        return torch.addcmul(self.bias[:, None, None], centred, scale[:, None, None]).to(features.dtype)


class NormedLayers(nn.Module):
    """3 x 3 convolutions, each followed by batch normalisation and a rectifier."""

    def __init__(self, *channels: int) -> None:
        super().__init__()
        pairs = itertools.pairwise(channels)
        # What a bias added, the norm would take off again.
        self.layers = nn.ModuleList(make_convolution(one, two, has_bias=False) for one, two in pairs)
        self.norms = nn.ModuleList(SharedBatchNorm(count) for count in channels[1:])

    def forward(self, features: Tensor) -> Tensor:
        """Shape (B, C, H, W) to (B, C', H, W)."""
        for layer, norm in zip(self.layers, self.norms, strict=True):
            features = functional.relu(norm(layer(features)))
        return features


def show_detail(stack: Tensor) -> Tensor:
    """What pictures hold of fine detail, against how much there is of it around in the whole stack.

    Where a picture is sharper than the others its values are large, whatever the light, the colour and the contrast of
    the scene: a network need not learn to look past these first. What is the same in all pictures of a stack, its
    texture, stays in the ratio of one pixel to the next.

    Args:
        stack: 0 to 1, shape (B, N, 3, H, W).

    Returns:
        The same shape; the mean square over the pictures and colours is about 1 where there is texture.
    """
    detail = stack - _average(stack, DETAIL_PX)
    power = _average(detail.square().mean((1, 2), keepdim=True), AROUND_PX)
    return detail * (power + DETAIL_FLOOR**2).rsqrt()


def _average(pictures: Tensor, sigma_px: float) -> Tensor:
    """Gaussian means (..., H, W); beyond the sides their last pixels go on."""
    half = math.ceil(3 * sigma_px)
    line = torch.exp(-0.5 * (torch.arange(-half, half + 1, dtype=torch.float64) / sigma_px) ** 2)
    line = (line / line.sum()).to(pictures)
    planes = functional.pad(pictures.reshape(-1, 1, *pictures.shape[-2:]), (half,) * 4, mode="replicate")
    found = functional.conv2d(functional.conv2d(planes, line[None, None, :, None]), line[None, None, None, :])
    return found.reshape(pictures.shape)


def find_maximum(features: Tensor, pictures: int) -> Tensor:
    """The element-wise maximum over the pictures of each stack, given back to each of them.

    Args:
        features: Shape (B pictures, C, H, W), those of one stack after one another.
        pictures: Of a stack.

    Returns:
        The same shape.
    """
    whole = features.unflatten(0, (-1, pictures))
    most: Tensor = whole.amax(1, keepdim=True).expand_as(whole).flatten(0, 1)
    return most


def double(features: Tensor) -> Tensor:
    """Twice as many rows and columns, bilinear between pixels: (B, C, H, W) to (B, C, 2 H, 2 W)."""
    return functional.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)


def pad_to(features: Tensor, multiple: int) -> Tensor:
    """Mirrored (or, where there is too little, repeated) to the right and below up to multiples of so many pixels.

    Args:
        features: Shape (B, C, H, W).
        multiple: Of rows and columns.

    Returns:
        Shape (B, C, H', W').
    """
    height, width = features.shape[-2:]
    below, right = -height % multiple, -width % multiple
    if not (below or right):
        return features
    mode = "reflect" if below < height and right < width else "replicate"
    return functional.pad(features, (0, right, 0, below), mode=mode)


def draw_weights(network: nn.Module, last: nn.Conv2d, *, slope: float, generator: torch.Generator) -> None:
    """Give a network of zeros its first weights, so that features keep their size through rectifiers (He et al. 2015).

    The last layer begins near the middle of its range: small weights, and a bias of one half.

    Args:
        network: To be filled in place.
        last: The layer whose result is the place.
        slope: Of the rectifiers below 0.
        generator: On the CPU; two of the same seed give the same network.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            bound = math.sqrt(6 / ((1 + slope**2) * layer.weight[0].numel()))
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
    with torch.no_grad():
        last.weight *= 0.1
        if last.bias is not None:
            last.bias.fill_(0.5)
