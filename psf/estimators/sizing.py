"""How large kernels are and where they lie, as smooth functions of image height and depth; nodes where they change.

A ray's landing point is linear in dioptres, so the second moments of a kernel are a parabola in dioptres, but for what
vignetting and the window cut off. Kernels are kept as cells whose widths follow these moments: fine in focus, a pixel
or so far from it, and wider the farther they lie outside the core, where faint tails are smooth. In cells a disc out of
focus stays what it is, and the mean of two is a disc again.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..interpolation import PIXEL_VARIANCE, find_moments
from . import taps

# Powers of image height and of dioptres of the moments' polynomials: rays make parabolas in dioptres, while fields of
# phone lenses wave. Of widths of traced kernels these leave 1 (singlet) to 5 % (phone), 3 and 4 powers left 1 to 9 %.
RADIUS_POWERS, DIOPTRE_POWERS = 5, 2
# The core of a kernel reaches so many standard deviations of the light (an even disc ends at 2), and a little further.
REACH, MORE_PX = 2.1, 0.4
# Nodes of depth lie so far apart that the kernel's RMS half width by defocus changes by this much, in pixels ...
NODE_STEP_PX = 0.2
# ... or by this share of its size, whichever is more.
NODE_STEP_SHARE = 0.1
LEAST_NODES = 6
# With fewer depths than this, focus may lie between two of them: kernels there have this share of the least variance.
MANY_DEPTHS, FEW_NARROWEST = 8, 0.5


@dataclass(frozen=True, eq=False)
class Moments:
    """Polynomials of image height and of dioptres scaled to -1..1.

    Attributes:
        centroid: Coefficients of the centroid along the radius, shape (A, B).
        variance: Of the variance along and across the radius, shape (2, A, B).
        least: Smallest variance that was found, shape (2,).
        greatest: Largest, shape (2,).
        dioptres: First and last, shape (2,).
        reach: Image height beyond which too little was seen for polynomials: sizes stay as they are there.
    """

    centroid: Tensor
    variance: Tensor
    least: Tensor
    greatest: Tensor
    dioptres: Tensor
    reach: float = 1.0

    def at(self, radius: Tensor, dioptre: Tensor) -> tuple[Tensor, Tensor]:
        """Centroid in px, shape (N,), and variances along columns and rows in px^2, shape (N, 2), of places (N,)."""
        even, steps = _powers(radius.clamp(max=self.reach), dioptre, self.dioptres)
        centroid = torch.einsum("na,nb,ab->n", even * radius[:, None], steps, self.centroid)
        variance = torch.einsum("na,nb,cab->nc", even, steps, self.variance)
        return centroid, variance.maximum(self.least).minimum(self.greatest)


def find_cells(moments: Moments | None, radius: Tensor, dioptre: Tensor, kernel_px: int) -> Tensor:
    """Where the cells of kernels lie, in px: centre along the radius, half the core along and across it, half of all.

    Args:
        moments: Sizes of kernels; None: cells are alike over the whole window.
        radius: Shape (N,).
        dioptre: Shape (N,).
        kernel_px: Side of the window, which cells do not leave.

    Returns:
        Shape (N, 4).
    """
    whole = torch.full_like(radius, 0.5 * kernel_px)
    if moments is None:
        return torch.stack((0 * whole, whole, whole, whole), 1)
    centre, variance = moments.at(radius, dioptre)
    centre = centre.clamp(-0.25 * kernel_px, 0.25 * kernel_px)
    extent = whole - centre.abs()
    core = (REACH * variance.sqrt() + MORE_PX).minimum(extent[:, None])
    return torch.cat((centre[:, None], core, extent[:, None]), 1)


def shift_moments(moments: Moments, corner_px: float) -> Moments:
    """The same kernels farther outwards, in proportion to image height, by so many pixels at the corner."""
    centroid = moments.centroid.clone()
    centroid[0, 0] += corner_px
    return replace(moments, centroid=centroid)


def _powers(radius: Tensor, dioptre: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
    span = (ends[1] - ends[0]).clamp_min(1e-12)
    scaled = (2 * dioptre - ends[0] - ends[1]) / span
    even = radius[:, None] ** (2 * torch.arange(RADIUS_POWERS, dtype=torch.float64))
    return even, scaled[:, None] ** torch.arange(DIOPTRE_POWERS + 1, dtype=torch.float64)


def fit_moments(
    kernels: Tensor,
    radius: Tensor,
    dioptre: Tensor,
    weight: Tensor,
    side: int,
    cell_px: float = 1.0,
    reach: float = 1.0,
) -> Moments:
    """Smooth moments of kernels that are rough.

    Args:
        kernels: Folded cells, all alike, not negative, of unit sum, shape (N, T).
        radius: Image heights, shape (N,).
        dioptre: Shape (N,).
        weight: How much is known of each, shape (N,).
        side: Cells along a side.
        cell_px: Their side.
        reach: Image height beyond which sizes stay as they are there.
    """
    whole = taps.unfold(kernels, side)
    # Far from a kernel's middle a little noise is a lot of variance: cut what is below a share of the peak.
    floor = 0.03 * whole.amax((-2, -1), keepdim=True)
    cut = (whole - floor).clamp_min(0)
    cut = cut / cut.sum((-2, -1), keepdim=True)
    found = find_moments(cut) * cut.new_tensor([cell_px, cell_px, cell_px**2, cell_px**2])
    ends = torch.stack((dioptre.min(), dioptre.max()))
    even, steps = _powers(radius, dioptre, ends)
    used = weight > 0
    places = len(dioptre[used].unique())
    narrowest = 1.0 if places >= MANY_DEPTHS else FEW_NARROWEST
    steps = steps * (torch.arange(DIOPTRE_POWERS + 1) < places)
    columns = (even[:, :, None] * steps[:, None, :]).flatten(1)
    variance = found[:, 2:]
    coefficients = []
    for axis in range(2):
        # Relative errors count: those of the small kernels in focus as much as those of the large.
        root = (weight / variance[:, axis] ** 2).sqrt()[used, None]
        coefficients.append(_fit(columns[used] * root, variance[used, axis : axis + 1] * root))
    root = (weight / variance.mean(1)).sqrt()[used, None]
    centroid = _fit(columns[used] * radius[used, None] * root, found[used, :1] * root)
    shape = (RADIUS_POWERS, DIOPTRE_POWERS + 1)
    return Moments(
        centroid.reshape(shape),
        torch.stack([one.reshape(shape) for one in coefficients]),
        (narrowest * variance[used].amin(0)).maximum(torch.tensor(2 * PIXEL_VARIANCE)),
        variance[used].amax(0),
        ends,
        reach,
    )


def _fit(columns: Tensor, values: Tensor) -> Tensor:
    scale = columns.norm(dim=0).clamp_min(1e-30)
    normal = (columns / scale).mT @ (columns / scale)
    # So little that it only decides what the data leave open: too few depths, for instance.
    normal = normal + 1e-5 * torch.eye(len(normal), dtype=normal.dtype)
    found: Tensor = torch.linalg.solve(normal, (columns / scale).mT @ values)[:, 0] / scale
    return found


def place_nodes(moments: Moments, dioptres: Tensor, most: int) -> Tensor:
    """Nodes of depth, ascending in dioptres, shape (D,): dense where kernels change quickly for their size.

    Args:
        moments: Of the kernels.
        dioptres: All depths of the pairs, ascending, shape (M,).
        most: Nodes at most.
    """
    first, last = float(dioptres[0]), float(dioptres[-1])
    if last - first < 1e-9 * max(last, 1e-9):
        return dioptres.mean()[None]
    fine = torch.linspace(first, last, 2001, dtype=torch.float64)
    size, speed = [], []
    for radius in (0.0, 0.35, 0.7):
        variance = moments.at(torch.full_like(fine, radius), fine)[1].mean(1)
        size.append(variance.sqrt())
        # Far from focus the half width grows by this much per dioptre.
        gradient = torch.gradient(variance.sqrt(), spacing=(fine,))[0].abs()
        speed.append(gradient.quantile(0.9).expand_as(gradient))
    width, rate = torch.stack(size).mean(0), torch.stack(speed).mean(0)
    # However little kernels seem to change, depths get a few nodes.
    least = (min(len(dioptres), LEAST_NODES) - 1) / (last - first)
    density = (rate / (NODE_STEP_SHARE * width).clamp_min(NODE_STEP_PX)).clamp_min(least)
    travelled = torch.cat((torch.zeros(1, dtype=torch.float64), torch.cumulative_trapezoid(density, fine)))
    count = max(2, min(most, math.ceil(float(travelled[-1])) + 1))
    wanted = torch.linspace(0, float(travelled[-1]), count, dtype=torch.float64)
    index = torch.searchsorted(travelled, wanted).clamp(1, len(fine) - 1)
    low, high = travelled[index - 1], travelled[index]
    share = ((wanted - low) / (high - low).clamp_min(1e-30)).clamp(0, 1)
    nodes: Tensor = fine[index - 1] + share * (fine[index] - fine[index - 1])
    return nodes
