"""Pupil or not: kernels of both estimators on the same sums, and what pictures say beyond a pupil."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from . import taps
from .direct_model import NodeKernels
from .fitting import Fit, find_areas, make_quadratic
from .mixing import mix_places
from .normal_equations import Sums, View
from .physical_fitting import PictureTarget
from .priors import Strengths, find_amplitude, make_prior
from .solving import Quadratic, solve

# What is added to a pupil's light may vary by these shares of it; 0 adds nothing.
STRENGTHS = (0.0, 0.1, 0.3, 1.0)


def regrid(kernels: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """The same light in other cells about the same centres.

    Args:
        kernels: Folded, shape (n, T).
        old: Edges of columns and of rows, shape (n, 2, side + 1).
        new: The same of the new cells.

    Returns:
        Folded, shape (n, T').
    """
    shares = []
    for axis in range(2):
        low, high = old[:, axis, None, :-1], old[:, axis, None, 1:]
        first, last = new[:, axis, :-1, None], new[:, axis, 1:, None]
        shares.append((last.minimum(high) - first.maximum(low)).clamp_min(0) / (high - low))
    whole = taps.unfold(kernels, old.shape[-1] - 1)
    return taps.fold(torch.bmm(torch.bmm(shares[1], whole), shares[0].mT))


def find_edges(view: View, radius: Tensor, dioptre: Tensor) -> Tensor:
    """Edges of the cells' columns and rows from their centre, in px, shape (N, 2, side + 1)."""
    from . import row_loops

    cells = view.cells_at(radius, dioptre).numpy()
    out = []
    for axis in (1, 2):
        width = torch.from_numpy(row_loops.find_widths(cells[:, axis], cells[:, 3], view.side // 2, view.inner))
        beyond = width.cumsum(1) - 0.5 * width[:, :1]
        out.append(torch.cat((-beyond.flip(1), beyond), 1))
    return torch.stack(out, 1)


def regrid_direct(nodes: NodeKernels, view: View, radius: Tensor, dioptre: Tensor) -> Tensor:
    """The direct estimator's kernels of places (N,) in the cells of another view, shape (N, T)."""
    within = dioptre.clamp(nodes.dioptres[0], nodes.dioptres[-1])
    kernels = mix_places(nodes.dioptres, nodes.radii, radius, within).apply(nodes.cells)
    return regrid(kernels, find_edges(nodes.view, radius, dioptre), find_edges(view, radius, dioptre))


def hold_back(depths: int, every: int, least: int) -> tuple[Tensor, Tensor]:
    """Depths to learn from and depths to judge by, 0 or 1 each, shape (M,); the same ones where there are few."""
    use = torch.ones(depths)
    if depths < least:
        return use, use
    use[every // 2 : depths - 1 : every] = 0
    return use, 1 - use


def find_least_regret(errors: Tensor) -> int:
    """Which candidate to take, the first of equals.

    Spots in focus have squared errors a hundred times those of discs, and would decide alone. What a candidate leaves
    beyond the best one at each depth is added up by its root, as errors of kernels are.

    Args:
        errors: Squared errors of candidates at depths, shape (C, H).
    """
    regret = (errors - errors.amin(0)).sqrt().sum(1)
    return int(regret.argmin())


@dataclass(frozen=True, eq=False, kw_only=True)
class Beyond:
    """What is looked for beside a pupil: cells at nodes of depth and image height.

    Attributes:
        fit: Nodes, gains and noise.
        view: How cells lie.
        at_slots: The pupil's kernels where the sums have them, shape (S, T).
        at_nodes: The pupil's kernels at the nodes, shape (D R, T).
    """

    fit: Fit
    view: View
    at_slots: Tensor
    at_nodes: Tensor

    def solve(self, quadratic: Quadratic, strength: float) -> Tensor:
        """Cells of sum 0 that make pupil and pictures agree, shape (D R, T), float64.

        Args:
            quadratic: What the pictures say of kernels.
            strength: How much of the light it may be.
        """
        kernels = self.at_nodes.float()
        if strength == 0:
            return torch.zeros_like(self.at_nodes)
        image = quadratic.at_slots(self.at_slots.float())
        use = quadratic.use[:, None]
        left = replace(quadratic, light=quadratic.light - torch.where(use > 0, image / use.clamp_min(1e-30), 0.0))
        fit, side = self.fit, self.view.side
        area = find_areas(self.view, fit.radii, fit.dioptres)
        amplitude = find_amplitude(kernels, area, side)
        prior = make_prior(amplitude, area, fit.dioptres, fit.radii, side, Strengths())
        prior = replace(prior, tap=taps.multiplicity(side).float() / (strength * amplitude) ** 2)
        return solve(left, prior, torch.zeros_like(kernels), side, rounds=0).double()

    def combine(self, quadratic: Quadratic, cells: Tensor) -> Tensor:
        """Kernels at slots with what was found beside them, shape (S, T)."""
        both = (self.at_slots + quadratic.slots.apply(cells)).clamp_min(0)
        return both / (both @ taps.multiplicity(self.view.side))[:, None].clamp_min(1e-12)


def make_target(sums: Sums, view: View, fit: Fit, use: Tensor, threads: int) -> PictureTarget:
    """What the pictures of some depths say of kernels at the sums' slots; use (M,) is 0 for depths to leave out."""
    layout = sums.layout
    radius, dioptre = layout.radii[layout.slot_node], layout.dioptres[layout.slot_depth]
    return PictureTarget(
        radius.numpy(),
        dioptre.numpy(),
        view.cells_at(radius, dioptre).numpy(),
        view.side,
        view.inner,
        make_quadratic(sums, fit, use, threads),
    )
