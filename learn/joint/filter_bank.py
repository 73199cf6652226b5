"""Ridge-regression filters, one per image height and none the wiser about depth, differentiated through their solution.

Every cell of the result is a weighted sum of the cells about it, all four planes, added to what was there: the filter
of `learn.restorers.ridge`. Here its normal equations are kept depth by depth, so that depths may weigh differently,
and `torch.linalg.solve` hands gradients through (the implicit derivative of the solution).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from psf import InputError

from .exposures import Exposed

PLANES = 4


@dataclass(frozen=True)
class FilterSettings:
    """What a filter is made of.

    Attributes:
        side_cells: Odd; a cell is two by two pixels.
        ridge: Share of the mean diagonal that pulls filters towards doing nothing.
        dark_floor: The error counts by 1 / (light + this), as a viewer sees it.
    """

    side_cells: int = 9
    ridge: float = 1e-4
    dark_floor: float = 0.02

    def __post_init__(self) -> None:
        if self.side_cells < 1 or self.side_cells % 2 == 0:
            raise InputError("FilterSettings.side_cells", self.side_cells, "an odd positive number")
        if not (self.ridge > 0 and self.dark_floor > 0):
            raise InputError("FilterSettings.ridge, .dark_floor", (self.ridge, self.dark_floor), "positive numbers")

    @property
    def features(self) -> int:
        """Inputs of a filter: cells about one, and a constant; F."""
        return PLANES * self.side_cells**2 + 1

    @property
    def border_cells(self) -> int:
        """Half a filter: left out of every error, the same for all restorers."""
        return self.side_cells // 2


@dataclass(frozen=True, eq=False)
class Normals:
    """Normal equations of every depth and image height.

    Attributes:
        gram: Per cell, shape (D, R, F, F).
        moment: Per cell, shape (D, R, F, 4).
    """

    gram: Tensor
    moment: Tensor


def sum_normals(exposed: Exposed, settings: FilterSettings) -> Normals:
    """Normal equations of pictures; the border of half a filter is left out."""
    rows = _Rows(settings)
    half, side = settings.border_cells, settings.side_cells
    depths, heights = exposed.noisy.shape[:2]
    sharp = functional.pad(exposed.sharp, (-half,) * 4)
    # By the true light about a cell, which no lens changes.
    about = functional.avg_pool2d(exposed.sharp, side, stride=1).mean(1)
    weight = 1 / (about.clamp_min(0) + settings.dark_floor)
    weight = (weight / weight.sum()).flatten()
    gram, moment = [], []
    for depth in range(depths):
        for height in range(heights):
            given = exposed.noisy[depth, height]
            features = rows.read(given)
            wanted = (sharp - functional.pad(given, (-half,) * 4)).movedim(1, -1).reshape(-1, PLANES)
            weighted = features * weight[:, None]
            gram.append(weighted.T @ features)
            moment.append(weighted.T @ wanted)
    size = settings.features
    return Normals(
        torch.stack(gram).reshape(depths, heights, size, size),
        torch.stack(moment).reshape(depths, heights, size, PLANES),
    )


def solve_filters(normals: Normals, depth_weights: Tensor, settings: FilterSettings) -> Tensor:
    """The best filters of every image height for all depths at once.

    Args:
        normals: Of all depths.
        depth_weights: What each depth counts, shape (D,), not negative, not all 0.
        settings: The penalty.

    Returns:
        Shape (R, F, 4), in the dtype of the normals, differentiable in them.
    """
    share = (depth_weights / depth_weights.sum()).double()
    gram = torch.einsum("d,drij->rij", share, normals.gram.double())
    moment = torch.einsum("d,drij->rij", share, normals.moment.double())
    pull = gram.diagonal(dim1=-2, dim2=-1).mean(-1) * settings.ridge
    diagonal = torch.ones(settings.features, dtype=gram.dtype, device=gram.device)
    diagonal[-1] = 1e-3  # the constant is not a light
    filters: Tensor = torch.linalg.solve(gram + torch.diag_embed(pull[:, None] * diagonal), moment)
    return filters.to(normals.gram.dtype)


def apply_filters(filters: Tensor, noisy: Tensor, settings: FilterSettings) -> Tensor:
    """Restore pictures; the border of half a filter is cut off.

    Args:
        filters: Shape (R, F, 4).
        noisy: Shape (D, R, N, 4, h, w).
        settings: Of the filters.

    Returns:
        Not clipped, shape (D, R, N, 4, h - S + 1, w - S + 1) for filters of S cells to a side.
    """
    side, half = settings.side_cells, settings.border_cells
    depths, heights, count = noisy.shape[:3]
    taps = filters[:, :-1].mT.reshape(heights, PLANES, PLANES, side, side)
    found = [
        functional.conv2d(noisy[:, r].flatten(0, 1), taps[r], filters[r, -1]).unflatten(0, (depths, count))
        for r in range(heights)
    ]
    return torch.stack(found, 1) + functional.pad(noisy, (-half,) * 4)


@dataclass(frozen=True)
class _Rows:
    settings: FilterSettings

    def read(self, given: Tensor) -> Tensor:
        """Cells about every inner cell and a constant: (N, 4, h, w) to (cells, F)."""
        columns = functional.unfold(given, self.settings.side_cells).movedim(1, -1).flatten(0, 1)
        return torch.cat([columns, columns.new_ones(len(columns), 1)], 1)
