"""What a model of kernels leaves of pairs of photographs: the sharp picture blurred by it, and how that differs.

Whoever has photographs and no other truth learns from pairs that the model has not seen whether to trust it: what is
left should be noise, at every depth and every image height.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .capture_levels import scale_sharp
from .captures import Captures, Patches
from .convolve import convolve_image
from .errors import InputError
from .estimators.noise import find_noise_variance
from .jobs import Progress
from .models import PSFModel

# Kernels are asked for at every so many pixels and blended between.
NODE_PX = 16
# Of larger pairs the middle part is judged.
MOST_PX = 192


@dataclass(frozen=True, eq=False, kw_only=True)
class PairResidual:
    """One pair and what a model makes of it.

    Attributes:
        name: Of the pair.
        depth_m: Of its plane.
        seen: The blurred photograph, shape (C, h, w).
        told: The sharp one, blurred by the model, with the exposure and the slope of light that fit best.
        radius: Image height of every pixel, shape (h, w).
        noise: Standard deviation that noise alone would leave, shape (C,).
    """

    name: str
    depth_m: float
    seen: Tensor
    told: Tensor
    radius: Tensor
    noise: Tensor

    @property
    def left(self) -> Tensor:
        """Photograph less model, shape (C, h, w)."""
        return self.seen - self.told

    @property
    def rms(self) -> float:
        """Root mean square of what is left, white is 1."""
        return float(self.left.square().mean().sqrt())

    @property
    def ratio(self) -> float:
        """What is left against what noise leaves: 1 is all that can be had."""
        return float((self.left / self.noise[:, None, None]).square().mean().sqrt())


def find_residuals(
    model: PSFModel,
    captures: Captures,
    *,
    magnification: float = 1.0,
    on_progress: Progress | None = None,
) -> tuple[PairResidual, ...]:
    """Blur the sharp picture of every pair and compare.

    Args:
        model: The kernels.
        captures: Pairs, best of all such as the model has not seen.
        magnification: Scale of the blurred pictures against the sharp ones that the kernels do not hold.
        on_progress: Called with (pairs done, pairs in all).
    """
    found = []
    for index in range(len(captures)):
        pair = _cut_middle(captures[index])
        told, inside = reblur(model, pair, magnification=magnification)
        seen = pair.blurred.detach().double().cpu()[:, inside[0], inside[1]]
        radius = pair.radius()[inside[0], inside[1]]
        told = _fit_light(told[:, inside[0], inside[1]], seen)
        found.append(
            PairResidual(
                name=captures.names[index],
                depth_m=float(captures.depth_m[index]),
                seen=seen.float(),
                told=told.float(),
                radius=radius.float(),
                noise=_find_floor(model, pair, seen, told),
            )
        )
        if on_progress is not None:
            on_progress(index + 1, len(captures))
    return tuple(found)


def reblur(
    model: PSFModel, pair: Patches, *, magnification: float = 1.0, node_px: int = NODE_PX
) -> tuple[Tensor, tuple[slice, slice]]:
    """The sharp picture of a pair with the kernels of a model.

    Args:
        model: The kernels; asked at points of a grid, and blended bilinearly between them.
        pair: One pair, sharp (C, h + K - 1, w + K - 1).
        magnification: Scale of the blurred picture against the sharp one about the sensor's centre.
        node_px: Distance of the grid's points.

    Returns:
        Shape (C, h, w), float64, and rows and columns of it that need nothing from outside the sharp picture.
    """
    channels, height, width = pair.blurred.shape
    ys, xs = _nodes(height, node_px), _nodes(width, node_px)
    y, x = (one.reshape(-1) for one in torch.meshgrid(ys, xs, indexing="ij"))
    depth = torch.full_like(x, float(pair.depth_m))
    with torch.no_grad():
        kernels = model.kernels_at_pixel(x + float(pair.x0_px), y + float(pair.y0_px), depth).double().cpu()
    size = pair.kernel_px
    if kernels.shape[-1] != size or kernels.shape[1] not in (1, channels):
        found = f"kernels of shape {tuple(kernels.shape)}"
        raise InputError("model", found, f"shape ({len(x)}, {channels}, {size}, {size})")
    picture, inside = _scale(pair, magnification)
    across, down = _hats(xs, width), _hats(ys, height)
    told = torch.zeros((channels, height, width), dtype=torch.float64)
    for i in range(len(ys)):
        for j in range(len(xs)):
            rows, columns = down[i].nonzero()[:, 0], across[j].nonzero()[:, 0]
            top, bottom, left, right = (int(one) for one in (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1))
            patch = picture[:, top : bottom + size - 1, left : right + size - 1]
            part = convolve_image(patch, kernels[i * len(xs) + j].expand(channels, -1, -1), padding="zeros")
            part = part[:, size // 2 : bottom - top + size // 2, size // 2 : right - left + size // 2]
            told[:, top:bottom, left:right] += part * down[i, top:bottom, None] * across[j, None, left:right]
    return told, inside


def _cut_middle(pair: Patches) -> Patches:
    height, width = pair.blurred.shape[-2:]
    rows, columns = min(height, MOST_PX), min(width, MOST_PX)
    return pair.cut((height - rows) // 2, (width - columns) // 2, rows, columns)


def _scale(pair: Patches, magnification: float) -> tuple[Tensor, tuple[slice, slice]]:
    """The sharp picture scaled about the sensor's centre, and which pixels of the blurred one it suffices for."""
    scaled, firsts = scale_sharp(pair, magnification)
    picture, inside = scaled.new_zeros(pair.sharp.shape), []
    ranges = []
    for axis, first in zip((1, 2), firsts, strict=True):
        begin, end = max(first, 0), min(first + scaled.shape[axis], picture.shape[axis])
        # A pixel needs the sharp picture half a kernel around it.
        inside.append(slice(begin, max(end - pair.kernel_px + 1, begin)))
        ranges.append((slice(begin, end), slice(begin - first, end - first)))
    if any(one.start == one.stop for one in inside):
        raise InputError("magnification", magnification, "a scale at which pairs still overlap")
    (rows, own_rows), (columns, own_columns) = ranges
    picture[:, rows, columns] = scaled[:, own_rows, own_columns]
    return picture, (inside[0], inside[1])


def _fit_light(told: Tensor, seen: Tensor) -> Tensor:
    """Exposure and a linear slope of light, per channel: between two apertures both differ."""
    height, width = told.shape[-2:]
    down = torch.linspace(-1, 1, height, dtype=torch.float64)[:, None].expand(height, width)
    right = torch.linspace(-1, 1, width, dtype=torch.float64).expand(height, width)
    fitted = []
    for picture, wanted in zip(told, seen, strict=True):
        columns = torch.stack([(picture * one).reshape(-1) for one in (torch.ones_like(picture), down, right)], 1)
        normal = columns.mT @ columns
        normal = normal + 1e-9 * normal.diagonal().mean().clamp_min(1e-12) * torch.eye(3, dtype=torch.float64)
        share = torch.linalg.solve(normal, columns.mT @ wanted.reshape(-1))
        fitted.append((columns @ share).reshape(height, width))
    return torch.stack(fitted)


def _find_floor(model: PSFModel, pair: Patches, seen: Tensor, told: Tensor) -> Tensor:
    """Standard deviation of the photograph's noise and of the sharp one's after its blur, shape (C,)."""
    x, y = pair.middle()
    with torch.no_grad():
        kernel = model.kernels_at_pixel(x.reshape(1), y.reshape(1), pair.depth_m.reshape(1))[0].double().cpu()
    sharp = pair.sharp.detach().double().cpu()
    levels = []
    for channel in range(len(seen)):
        # Texture counts as noise where nothing is flat; in what is left of it there is less texture.
        own = min(find_noise_variance(one[None]) for one in (seen[channel], seen[channel] - told[channel]))
        passed = float(kernel[min(channel, len(kernel) - 1)].square().sum())
        levels.append(own + passed * min(find_noise_variance(sharp[channel][None]), own))
    return torch.tensor(levels, dtype=torch.float64).clamp_min(1e-12).sqrt().float()


def _nodes(size: int, node_px: int) -> Tensor:
    count = -(-(size - 1) // node_px) + 1 if size > 1 else 1
    return torch.linspace(0, size - 1, count, dtype=torch.float64)


def _hats(nodes: Tensor, size: int) -> Tensor:
    """Bilinear shares of the nodes (n,) at every pixel, shape (n, size)."""
    if len(nodes) == 1:
        return nodes.new_ones(1, size)
    step = nodes[1] - nodes[0]
    shares = (1 - (torch.arange(size, dtype=nodes.dtype) - nodes[:, None]).abs() / step).clamp_min(0)
    return torch.where(shares < 1e-12, 0.0, shares)
