"""The one place that convolves: pictures by kernels, and sums of convolutions that change from pixel to pixel.

True convolution: light at (y, x) goes to (y + row - h, x + col - h), for a kernel of side 2 h + 1. Two paths lead to
the same numbers. The direct one adds shifted pictures and is for tiny kernels. The other cuts the picture into square
tiles that overlap by the kernel's side less one (overlap-save) and multiplies real Fourier transforms, all tiles of a
group at once; only the (tile, plane) pairs that have a weight are computed. `method="auto"` takes the direct path for
one or two kernels of up to 3 px and tiles for everything else; `tiles.find_tile` is the rule for the tile's side.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .errors import InputError
from .tiles import Plan, find_tile, sum_tiles

Padding = Literal["zeros", "reflect", "replicate", "circular"]
PADDINGS: tuple[str, ...] = get_args(Padding)
NUMPY_MODES: dict[str, Any] = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
Method = Literal["auto", "direct", "tiles"]
METHODS: tuple[str, ...] = get_args(Method)

# Up to this side and this many planes shifted sums are chosen where a device has no compiled tiles. On a CPU tiles are
# faster at 3 px already, most of all where other programs run (benchmarks/render.py --tables paths).
DIRECT_KERNEL_PX, DIRECT_PLANES = 3, 2


class Sites(NamedTuple):
    """The samples of a 2 x 2 mosaic: the channel that each of its four sites keeps, row by row."""

    channels: tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Blend:
    """Which two neighbouring kernels a pixel takes: `(1 - share)` of kernel `lower`, `share` of the next.

    Attributes:
        lower: Whole numbers from 0 in a floating dtype, shape (B, 1, H, W).
        share: 0 to 1, shape (B, 1, H, W).
    """

    lower: Tensor
    share: Tensor


def convolve_image(image: Tensor, kernels: Tensor, *, padding: str = "reflect", method: str = "auto") -> Tensor:
    """Convolve pictures, every channel by its own kernel.

    Args:
        image: Linear light, shape (..., C, H, W).
        kernels: Odd sides, shape (..., C, K, K); the leading shapes broadcast: (C, K, K) is one set for all,
            (B, C, K, K) one per sample.
        padding: What stands outside the frame: "zeros", "reflect" (about the edge sample, which is not repeated),
            "replicate" or "circular".
        method: "direct", "tiles" or "auto".

    Returns:
        Shape (..., C, H, W) with the broadcast leading shape, dtype and device of the image; differentiable in both.
    """
    check_pictures(image, kernels, padding, kernel_ndim=3)
    check_method(method)
    channels, height, width = image.shape[-3:]
    kernel_px = kernels.shape[-1]
    try:
        leading = torch.broadcast_shapes(image.shape[:-3], kernels.shape[:-3])
    except RuntimeError as error:
        found = f"leading shapes {tuple(image.shape[:-3])} and {tuple(kernels.shape[:-3])}"
        raise InputError("image, kernels", found, "leading shapes that broadcast") from error
    shared = kernels.numel() == channels * kernel_px**2
    image = image.expand(*leading, channels, height, width).reshape(-1, channels, height, width)
    if not shared:
        kernels = kernels.expand(*leading, channels, kernel_px, kernel_px)
    kernels = kernels.reshape(-1, 1, channels, kernel_px, kernel_px)
    blurred = sum_convolutions(image, kernels[0] if shared else kernels, None, padding=padding, method=method)
    return blurred.reshape(*leading, channels, height, width)


def sum_convolutions(
    image: Tensor,
    kernels: Tensor,
    blend: Blend | None,
    *,
    padding: str = "reflect",
    method: str = "auto",
    sites: Sites | None = None,
) -> Tensor:
    """Convolutions of one picture by P kernels, mixed pixel by pixel; what renderers stand on.

    Inputs are trusted but for what `check_pictures` looks at: callers check first.

    Args:
        image: Shape (B, C, H, W).
        kernels: Shape (P, C, K, K), or (B, P, C, K, K) for one set per sample.
        blend: Which kernels each output pixel takes; None with P = 1.
        padding: As in `convolve_image`.
        method: As in `convolve_image`.
        sites: Compute only what this mosaic keeps.

    Returns:
        Shape (B, C, H, W), with `sites` the mosaic (B, 1, H, W). Differentiable in image, kernels and `blend.share`.
    """
    batch, _, height, width = image.shape
    planes, kernel_px = kernels.shape[-4], kernels.shape[-1]
    if not kernels.requires_grad:  # the gradient of a tap is not zero where the tap is
        inner = _support_crop(kernels)
        kernels = kernels[..., inner, inner]
        kernel_px = kernels.shape[-1]
    half = kernel_px // 2
    if image.numel() == 0:
        return image.new_zeros((batch, 1, height, width)) if sites else torch.zeros_like(image)
    few = kernel_px <= (DIRECT_KERNEL_PX if image.device.type != "cpu" else 1) and planes <= DIRECT_PLANES
    if method == "direct" or (method == "auto" and few):
        blurred = _sum_direct(pad_image(image, half, padding), kernels, blend)
        return blurred if sites is None else _keep_sites(blurred, sites)
    sets = kernels.reshape(-1, *kernels.shape[-3:])
    step = planes if kernels.ndim == 5 else 0
    padded = pad_image(image, half, padding)
    if sites is None:
        lower, share = (blend.lower, blend.share) if blend else (None, None)
        plan = Plan(find_tile(kernel_px, height, width, planes), kernel_px, (height, width), planes, step, None)
        return sum_tiles(padded[:, :, None], sets[:, :, None], lower, share, plan)
    # A picture read at every second pixel is a sum of four half-size convolutions, one per phase of the input.
    split_half = (half + 1) // 2
    rows, cols = -(-height // 2), -(-width // 2)
    edge = 2 * split_half - half
    if edge or height % 2 or width % 2:
        padded = functional.pad(padded, (edge, edge + width % 2, edge, edge + height % 2))
    phases = _unshuffle(padded)
    split = _split_kernels(sets, sites, split_half)
    lower, share = (_unshuffle(one)[:, 0] for one in (blend.lower, blend.share)) if blend else (None, None)
    tile = find_tile(split.shape[-1], rows, cols, planes, phases=4)
    plan = Plan(tile, split.shape[-1], (rows, cols), planes, step, sites.channels)
    packed = sum_tiles(phases, split, lower, share, plan)
    return _shuffle(packed)[..., :height, :width]


def pad_image(image: Tensor, margin_px: int, padding: str) -> Tensor:
    """The picture with a margin all round.

    Args:
        image: Shape (B, C, H, W).
        margin_px: Width of the margin; with "reflect" below the picture's sides.
        padding: One of PADDINGS.

    Returns:
        Shape (B, C, H + 2 margin_px, W + 2 margin_px).
    """
    if image.device.type == "cpu":
        return cast(Tensor, _Pad.apply(image, margin_px, padding))
    margins = (margin_px,) * 4
    if padding == "zeros":
        return functional.pad(image, margins)
    if padding == "circular" and margin_px > min(image.shape[-2:]):  # more than once round
        for axis in (-2, -1):
            index = torch.arange(-margin_px, image.shape[axis] + margin_px, device=image.device)
            image = image.index_select(axis, index % image.shape[axis])
        return image
    return functional.pad(image, margins, mode=padding)


class _Pad(torch.autograd.Function):
    """`pad_image` in one thread: torch's pool goes on spinning while the threads of the tiles want its cores."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, margin_px: int, padding: str) -> Tensor:
        ctx.margin_px, ctx.padding, ctx.shape = margin_px, padding, image.shape
        sides = [(0, 0)] * (image.ndim - 2) + [(margin_px, margin_px)] * 2
        return torch.from_numpy(np.pad(image.detach().numpy(), sides, mode=NUMPY_MODES[padding]))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        values, margin = grad.numpy(), ctx.margin_px
        for axis in (-2, -1):
            size = ctx.shape[axis]
            lines = np.moveaxis(values, axis, 0)
            inner = lines[margin : margin + size].copy()
            if ctx.padding != "zeros":  # the outer lines go back to those they are copies of
                source = np.pad(np.arange(size), margin, mode=NUMPY_MODES[ctx.padding])
                for line in (*range(margin), *range(margin + size, size + 2 * margin)):
                    inner[source[line]] += lines[line]
            values = np.moveaxis(inner, 0, axis)
        return torch.from_numpy(np.ascontiguousarray(values)), None, None


def check_pictures(image: Tensor, kernels: Tensor, padding: str, kernel_ndim: int) -> None:
    """Raise InputError where pictures and kernels do not fit together or hold NaN.

    Args:
        image: Shape (..., C, H, W).
        kernels: Shape (..., C, K, K).
        padding: One of PADDINGS.
        kernel_ndim: Fewest dimensions of `kernels`.
    """
    if padding not in PADDINGS:
        raise InputError("padding", repr(padding), " or ".join(map(repr, PADDINGS)))
    if image.ndim < 3 or 0 in image.shape[-3:]:
        raise InputError("image", f"shape {tuple(image.shape)}", "shape (B, C, H, W), at least one pixel")
    if image.dtype not in (torch.float32, torch.float64):
        raise InputError("image", image.dtype, "torch.float32 or torch.float64")
    if kernels.ndim < kernel_ndim or 0 in kernels.shape:
        leading = "P, " * (kernel_ndim == 4)
        raise InputError("kernels", f"shape {tuple(kernels.shape)}", f"shape (..., {leading}C, K, K), none empty")
    rows, cols = kernels.shape[-2:]
    if rows != cols or rows % 2 == 0:
        raise InputError("kernels", f"{rows} x {cols} px", "square kernels of an odd side, which have a centre pixel")
    if kernels.shape[-3] != image.shape[-3]:
        raise InputError("kernels", f"{kernels.shape[-3]} channels", f"{image.shape[-3]}, as the image has")
    check_alike("kernels", kernels, image)
    check_finite("image", image)
    check_finite("kernels", kernels)
    if padding == "reflect" and rows // 2 >= min(image.shape[-2:]):
        shape = " x ".join(map(str, image.shape[-2:]))
        expected = f"at most {2 * min(image.shape[-2:]) - 1} px for reflections in a {shape} image, or another padding"
        raise InputError("kernels", f"{rows} px", expected)


def check_method(method: str) -> None:
    """Raise InputError unless `method` is one of METHODS."""
    if method not in METHODS:
        raise InputError("method", repr(method), " or ".join(map(repr, METHODS)))


def check_alike(where: str, tensor: Tensor, image: Tensor) -> None:
    """Raise InputError unless a tensor of any shape (...) has the dtype and the device of the image (...)."""
    if tensor.dtype != image.dtype:
        raise InputError(where, tensor.dtype, f"{image.dtype}, as the image has")
    if tensor.device != image.device:
        raise InputError(where, f"device {tensor.device}", f"device {image.device}, where the image is")


def check_finite(where: str, values: Tensor) -> None:
    """Raise InputError if there is NaN or infinity among values of any shape (...)."""
    values = values.detach()
    with np.errstate(over="ignore", invalid="ignore"):
        total = values.numpy().sum() if values.device.type == "cpu" else values.sum()
    if bool(abs(total) < torch.inf):  # one pass in nearly every case; a sum that overflowed is looked at again
        return
    bad = ~values.isfinite()
    if bool(bad.any()):
        raise InputError(where, f"{int(bad.sum())} values that are NaN or infinite", "finite values")


def _support_crop(kernels: Tensor) -> slice:
    """The smallest centred square that holds all light of all kernels."""
    half = kernels.shape[-1] // 2
    if kernels.device.type == "cpu":
        found = np.argwhere((kernels.numpy() != 0).reshape(-1, *kernels.shape[-2:]).any(0))
        reach = int(np.abs(found - half).max(initial=0))
        return slice(half - reach, half + reach + 1)
    lit = (kernels.detach() != 0).flatten(0, -3).any(0)
    away = (torch.arange(2 * half + 1, device=kernels.device) - half).abs()
    reach = int((torch.maximum(away[:, None], away) * lit).max())
    return slice(half - reach, half + reach + 1)


def _unshuffle(values: Tensor) -> Tensor:
    """(B, C, H, W) to its four phases (B, C, 4, H/2, W/2); an odd last row or column is repeated."""
    height, width = values.shape[-2:]
    if height % 2 or width % 2:
        values = functional.pad(values, (0, width % 2, 0, height % 2), mode="replicate")
    if values.device.type == "cpu" and not values.requires_grad:
        array = values.numpy()
        parts = [array[..., row::2, col::2] for row in (0, 1) for col in (0, 1)]
        return torch.from_numpy(np.stack(parts, 2))
    phases: Tensor = functional.pixel_unshuffle(values, 2).unflatten(1, (-1, 4))
    return phases


def _shuffle(packed: Tensor) -> Tensor:
    """The four sites (B, 4, H/2, W/2) to the mosaic (B, 1, H, W)."""
    if packed.device.type == "cpu" and not packed.requires_grad:
        batch, _, rows, cols = packed.shape
        array = packed.numpy().reshape(batch, 2, 2, rows, cols).transpose(0, 3, 1, 4, 2)
        return torch.from_numpy(array.reshape(batch, 1, 2 * rows, 2 * cols))
    return functional.pixel_shuffle(packed, 2)


def _split_kernels(kernels: Tensor, sites: Sites, split_half: int) -> Tensor:
    """Kernels (M, C, K, K) as (M, 4 sites, 4 input phases, k, k): tap n of site o, phase q is K[2 n + o - q]."""
    half, side = kernels.shape[-1] // 2, 2 * split_half + 1
    edge = 2 * split_half + 1 - half
    wide = functional.pad(kernels, (edge,) * 4)  # the middle is now at 2 split_half + 1
    parts = []
    for site, channel in enumerate(sites.channels):
        for phase in range(4):
            row, col = site // 2 - phase // 2 + 1, site % 2 - phase % 2 + 1
            parts.append(wide[:, channel, row : row + 2 * side - 1 : 2, col : col + 2 * side - 1 : 2])
    if kernels.device.type == "cpu" and not kernels.requires_grad:
        split = torch.from_numpy(np.stack([one.numpy() for one in parts], 1))
    else:
        split = torch.stack(parts, 1)
    shape = kernels.shape[0], 4, 4, side, side
    return split.reshape(shape)


def _keep_sites(blurred: Tensor, sites: Sites) -> Tensor:
    mosaic = torch.empty_like(blurred[:, :1])
    for site, channel in enumerate(sites.channels):
        mosaic[:, 0, site // 2 :: 2, site % 2 :: 2] = blurred[:, channel, site // 2 :: 2, site % 2 :: 2]
    return mosaic


def _sum_direct(padded: Tensor, kernels: Tensor, blend: Blend | None) -> Tensor:
    """All planes by shifted sums; kernels (P, C, K, K) or (B, P, C, K, K)."""
    batch, channels, rows, cols = padded.shape
    flipped = kernels.flip(-2, -1)
    per_sample = kernels.ndim == 5
    groups = batch * channels if per_sample else channels
    source = padded.reshape(1, groups, rows, cols) if per_sample else padded
    total: Tensor | None = None
    for plane in range(kernels.shape[-4]):
        weight = None
        if blend is not None:
            weight = (1 - (blend.lower - plane + blend.share).abs()).clamp(min=0)
        taps = flipped[:, plane] if per_sample else flipped[plane]
        taps = taps.reshape(groups, 1, *taps.shape[-2:])
        blurred = functional.conv2d(source, taps, groups=groups)
        blurred = blurred.reshape(batch, channels, *blurred.shape[-2:])
        part = blurred if weight is None else weight * blurred
        total = part if total is None else total + part
    assert total is not None
    return total
