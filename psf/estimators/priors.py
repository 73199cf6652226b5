"""What is known of kernels before a picture is seen: smooth for their size, and like their neighbours.

Every statement is relative to the amplitude of the kernel at that tap, as the last solution has it: light may vary
within a blur by a share of itself, and far from the blur there is next to none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from . import taps
from .mixing import EvenMixing, Mixing

# A kernel's amplitude anywhere is at least this share of 1 / its area.
LEAST_AMPLITUDE = 0.05


@dataclass(frozen=True, eq=False)
class Strengths:
    """How far things vary, as shares of the amplitude (standard deviations).

    Attributes:
        tap: From one tap to the next.
        depth: From what the two nodes of depth around say.
        radius: From what the two nodes of image height around say; at the ends, from what the next one says.
    """

    tap: float = 3.0
    depth: float = 0.5
    radius: float = 0.7

    def times(self, factor: float, radius_factor: float = 1.0) -> "Strengths":
        """All of them wider or narrower, and the one across image height besides."""
        return Strengths(self.tap * factor, self.depth * factor, self.radius * factor * radius_factor)


def find_amplitude(kernels: Tensor, area: Tensor, side: int) -> Tensor:
    """Smoothed light per cell, and at least a share of that of a cell of the core in an even blur of the same size.

    Args:
        kernels: Folded, shape (n, T).
        area: Of every cell, 1 in the core, shape (n, T).
        side: Cells along a side.

    Returns:
        Shape (n, T).
    """
    density = taps.unfold(kernels.clamp_min(0) / area, side)
    weights = density.new_tensor([1.0, 2.0, 3.0, 2.0, 1.0]) / 9
    smooth = functional.conv2d(density[:, None], weights[None, None, :, None], padding=(2, 0))
    smooth = taps.fold(functional.conv2d(smooth, weights[None, None, None, :], padding=(0, 2))[:, 0])
    count = taps.multiplicity(side).to(area) * area
    level = (smooth**2 * count).sum(1) / (smooth * count).sum(1).clamp_min(1e-12)
    return (smooth * area).maximum(LEAST_AMPLITUDE * level[:, None])


@dataclass(frozen=True, eq=False)
class Prior:
    """A quadratic form in node kernels.

    Attributes:
        area: Of every cell, 1 in the core, shape (n, T): smooth is light per area.
        across: Weights of squared differences between columns, shape (n, h + 1, K - 1).
        along: Between rows below the axis, shape (n, h, K).
        tap: Weights of squares of the taps themselves, shape (n, T).
        maps: Predictions of nodes from their neighbours ...
        nodes: ... of which nodes, each of shape (targets,) ...
        weights: ... and weights of the squared deviations, each of shape (targets, T).
    """

    area: Tensor
    across: Tensor
    along: Tensor
    tap: Tensor
    maps: tuple[Mixing, ...]
    nodes: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]

    def apply(self, kernels: Tensor) -> Tensor:
        """Half the gradient of the form, shape (n, T)."""
        shape = (self.along.shape[1] + 1, self.along.shape[2])
        grid = (kernels / self.area).unflatten(-1, shape)
        across = self.across * (grid[..., 1:] - grid[..., :-1])
        along = self.along * (grid[:, 1:] - grid[:, :-1])
        total = functional.pad(across, (1, 0)) - functional.pad(across, (0, 1))
        total = total + functional.pad(along, (0, 0, 1, 0)) - functional.pad(along, (0, 0, 0, 1))
        out = total.flatten(1) / self.area + self.tap * kernels
        for one, nodes, weight in zip(self.maps, self.nodes, self.weights, strict=True):
            off = weight * (kernels[nodes] - one.apply(kernels))
            out = out.index_add(0, nodes, off) - one.transpose(off, len(kernels))
        return out

    def blocks(self) -> Tensor:
        """The form's blocks on the diagonal, shape (n, T, T), float32."""
        n, lower, size = self.across.shape[0], self.along.shape[1] + 1, self.along.shape[2]
        t = lower * size
        out = torch.zeros((n, t, t))
        index = torch.arange(t).reshape(lower, size)
        diagonal = self.tap.clone()
        for weight, a, b in (
            (self.across.flatten(1), index[:, :-1].reshape(-1), index[:, 1:].reshape(-1)),
            (self.along.flatten(1), index[:-1].reshape(-1), index[1:].reshape(-1)),
        ):
            both = (weight / (self.area[:, a] * self.area[:, b])).float()
            out[:, a, b] -= both
            out[:, b, a] -= both
            diagonal = diagonal.index_add(1, a, weight / self.area[:, a] ** 2)
            diagonal = diagonal.index_add(1, b, weight / self.area[:, b] ** 2)
        for one, nodes, weight in zip(self.maps, self.nodes, self.weights, strict=True):
            diagonal = diagonal.index_add(0, nodes, weight)
            squares = weight[one.target] * one.weight[:, None] ** 2
            if isinstance(one, EvenMixing):
                squares = 0.25 * (squares + one.mirror(squares))
                out[one.source[:, None], index.reshape(-1), index.flip(1).reshape(-1)] += squares.float()
            diagonal = diagonal.index_add(0, one.source, squares)
        out.diagonal(dim1=1, dim2=2).add_(diagonal.float())
        return out


def make_prior(
    amplitude: Tensor, area: Tensor, dioptres: Tensor, radii: Tensor, side: int, strengths: Strengths
) -> Prior:
    """The prior of kernels at nodes (D, R).

    Args:
        amplitude: Shape (D R, T).
        area: Of every cell, 1 in the core, shape (D R, T).
        dioptres: Nodes of depth, shape (D,).
        radii: Nodes of image height, shape (R,).
        side: Cells along a side.
        strengths: How much things vary.
    """
    half = side // 2
    count = taps.multiplicity(side).to(amplitude)
    grid = (amplitude / area).unflatten(-1, (half + 1, side))
    doubled = count.reshape(half + 1, side)
    across = doubled[:, :-1] / (strengths.tap**2 * grid[..., 1:] * grid[..., :-1])
    along = 2.0 / (strengths.tap**2 * grid[:, 1:] * grid[:, :-1])
    # Beyond the window there is no light: its rim counts as a neighbour of nothing, a little.
    tap = 0.01 * count / amplitude**2
    maps, nodes, weights = [], [], []
    index = torch.arange(len(dioptres) * len(radii)).reshape(len(dioptres), len(radii))
    for lines, places, strength in ((index, dioptres, strengths.depth), (index.mT, radii, strengths.radius)):
        if len(places) < 3:
            continue
        middle = lines[1:-1].reshape(-1)
        share = ((places[1:-1] - places[:-2]) / (places[2:] - places[:-2])).repeat_interleave(lines.shape[1])
        target = torch.arange(len(middle))
        source = torch.cat((lines[:-2].reshape(-1), lines[2:].reshape(-1)))
        weight = torch.cat((1 - share, share)).to(amplitude)
        maps.append(Mixing(source, torch.cat((target, target)), weight, len(middle)))
        nodes.append(middle)
        # Where the neighbours have light there may be some, however little was found there so far.
        expected = amplitude[middle].maximum(maps[-1].apply(amplitude))
        weights.append(count / (strength * expected) ** 2)
    # Few pixels tell of kernels at the ends: each is like the next one, where a line through two of them would sway.
    ends: list[tuple[Callable[..., Mixing], Tensor, Tensor]] = []
    if len(radii) > 2:
        ends.append((Mixing, index[:, -1], index[:, -2]))
    if len(radii) > 1:
        # Beyond the axis lies the other side: on it, like the next one and that one's mirror image.
        ends.append((partial(EvenMixing, side=side) if float(radii[0]) == 0 else Mixing, index[:, 0], index[:, 1]))
    target = torch.arange(len(dioptres))
    for kind, end, before in ends:
        maps.append(kind(before, target, torch.ones(len(dioptres)).to(amplitude), len(dioptres)))
        nodes.append(end)
        expected = amplitude[end].maximum(maps[-1].apply(amplitude))
        weights.append(count / (strengths.radius * expected) ** 2)
    return Prior(area, across, along, tap, tuple(maps), tuple(nodes), tuple(weights))
