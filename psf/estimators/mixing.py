"""Kernels at some places as weighted means of kernels at others: a sparse linear map and its transpose."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Mixing:
    """E times: take a kernel, weigh it, add it to another.

    Attributes:
        source: Which kernel is taken, shape (E,).
        target: Which it is added to, shape (E,).
        weight: Shape (E,).
        targets: How many kernels come out.
    """

    source: Tensor
    target: Tensor
    weight: Tensor
    targets: int

    def apply(self, kernels: Tensor) -> Tensor:
        """Kernels of shape (n, T) to shape (targets, T)."""
        out = kernels.new_zeros((self.targets, kernels.shape[-1]))
        return out.index_add(0, self.target, self.weight.to(kernels)[:, None] * kernels[self.source])

    def transpose(self, kernels: Tensor, sources: int) -> Tensor:
        """Kernels of shape (targets, T) to shape (sources, T)."""
        out = kernels.new_zeros((sources, kernels.shape[-1]))
        return out.index_add(0, self.source, self.weight.to(kernels)[:, None] * kernels[self.target])


@dataclass(frozen=True, eq=False)
class EvenMixing(Mixing):
    """The same, and what comes out is made its own mirror image across the radius as well.

    Attributes:
        side: Cells along a side of the folded kernels.
    """

    side: int

    def apply(self, kernels: Tensor) -> Tensor:
        """Kernels of shape (n, T) to shape (targets, T)."""
        return self._even(super().apply(kernels))

    def transpose(self, kernels: Tensor, sources: int) -> Tensor:
        """Kernels of shape (targets, T) to shape (sources, T)."""
        return super().transpose(self._even(kernels), sources)

    def mirror(self, kernels: Tensor) -> Tensor:
        """Kernels of shape (n, T), left for right."""
        grid: Tensor = kernels.unflatten(-1, (-1, self.side))
        return grid.flip(-1).flatten(-2)

    def _even(self, kernels: Tensor) -> Tensor:
        return 0.5 * (kernels + self.mirror(kernels))


def find_cell(nodes: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Node before each place, shape (N,), and weight of the node after; a place beyond the ends takes the end."""
    if len(nodes) == 1:
        return torch.zeros(len(places), dtype=torch.long), torch.zeros(len(places), dtype=nodes.dtype)
    low = (torch.searchsorted(nodes, places.contiguous(), right=True) - 1).clamp(0, len(nodes) - 2)
    share = ((places - nodes[low]) / (nodes[low + 1] - nodes[low])).clamp(0, 1)
    return low, share


def mix_depths(dioptres: Tensor, columns: int, column: Tensor, dioptre: Tensor) -> Mixing:
    """From kernels at nodes (D, R) to kernels at nodes of image height but between the nodes of depth.

    Args:
        dioptres: Nodes of depth, shape (D,).
        columns: Nodes of image height R.
        column: Which of them each of N places has, shape (N,).
        dioptre: Of each place, shape (N,).
    """
    low, share = find_cell(dioptres, dioptre)
    high = (low + 1).clamp(max=len(dioptres) - 1)
    place = torch.arange(len(column))
    source = torch.cat((low * columns + column, high * columns + column))
    return Mixing(source, torch.cat((place, place)), torch.cat((1 - share, share)), len(column))


def mix_places(dioptres: Tensor, radii: Tensor, radius: Tensor, dioptre: Tensor) -> Mixing:
    """From kernels at nodes (D, R) to kernels at N places (radius, dioptre)."""
    low, share = find_cell(radii, radius)
    high = (low + 1).clamp(max=len(radii) - 1)
    first = mix_depths(dioptres, len(radii), torch.cat((low, high)), torch.cat((dioptre, dioptre)))
    part = torch.cat((1 - share, share))
    return Mixing(first.source, first.target % len(radius), first.weight * part[first.target], len(radius))
