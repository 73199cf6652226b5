"""Between the stored depths and radii: which nodes, with what weight, and read through which map.

"linear" mixes the four neighbours as they are (the mix of a disc of 4 px and one of 8 px is a disc with a step, not
a disc of 6 px). "sized" first moves and stretches each neighbour, along the radius and across it, until its centroid
and its second moments are those of the place between, and then mixes. In geometrical optics a ray's landing point is
linear in dioptres, so the second moments are a parabola in dioptres: through focus they pass through a small minimum
which neither neighbour knows of, and only a third and fourth node tell. So moments are interpolated over four nodes
per axis, the kernels themselves over two.
"""

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from .errors import InputError

Interpolation = Literal["linear", "sized"]
INTERPOLATIONS: tuple[str, ...] = get_args(Interpolation)

# How far a neighbour may be stretched or shrunk. Wider limits measure the same, narrower ones worse.
LEAST_STRETCH, GREATEST_STRETCH = 0.5, 2.0
# A stored value is light spread over one stored pixel: its own variance keeps the stretch of a kernel that fits in
# one pixel at 1.
PIXEL_VARIANCE = 1 / 12
# A parabola may leave the range of the four neighbours' second moments, but not by more than this.
LEAST_VARIANCE_RATIO, GREATEST_VARIANCE_RATIO = 0.25, 1.5


def check_interpolation(where: str, interpolation: str) -> None:
    """Raise InputError unless `interpolation` is one of INTERPOLATIONS."""
    if interpolation not in INTERPOLATIONS:
        raise InputError(where, repr(interpolation), " or ".join(map(repr, INTERPOLATIONS)))


class Nodes(NamedTuple):
    """Neighbouring nodes of N places on one axis.

    Attributes:
        near_index: The node before and the node after, shape (N, 2).
        weight: Of each, shape (N, 2); a place beyond the ends takes the end.
        wide_index: The four nodes around, shape (N, 4).
        wide_weight: Of each for a smooth quantity, shape (N, 4): the mean of the two parabolas through three nodes,
            blended across the interval.
    """

    near_index: Tensor
    weight: Tensor
    wide_index: Tensor
    wide_weight: Tensor


def find_nodes(nodes: Tensor, places: Tensor) -> Nodes:
    """Neighbours and weights.

    Args:
        nodes: Ascending, shape (R,).
        places: Shape (N,).

    Returns:
        See `Nodes`.
    """
    count = len(nodes)
    if count == 1:
        index = torch.zeros((len(places), 4), dtype=torch.long, device=places.device)
        weight = places.new_tensor([0.0, 1.0, 0.0, 0.0]).expand(len(places), 4)
        return Nodes(index[:, :2], weight[:, 1:3], index, weight)
    before = (torch.searchsorted(nodes.detach(), places.detach().contiguous(), right=True) - 1).clamp(0, count - 2)
    places = places.clamp(nodes[0].detach(), nodes[-1].detach())
    offsets = torch.arange(-1, 3, device=places.device)
    wide = (before[:, None] + offsets).clamp(0, count - 1)
    has_left, has_right = before > 0, before + 2 < count
    left, x1, x2, right = nodes[wide].unbind(1)
    step = x2 - x1
    # Invented nodes keep the quotients finite where there is none; their parabola gets weight 0.
    x0, x3 = torch.where(has_left, left, x1 - step), torch.where(has_right, right, x2 + step)
    t = (places - x1) / step
    near = torch.stack((1 - t, t), 1)
    lower = _parabola(x0, x1, x2, places)
    upper = _parabola(x1, x2, x3, places)
    zero = torch.zeros_like(t)
    line = torch.stack((zero, 1 - t, t, zero), 1)
    lower, upper = torch.cat((lower, zero[:, None]), 1), torch.cat((zero[:, None], upper), 1)
    both = (1 - t)[:, None] * lower + t[:, None] * upper
    one = torch.where(has_left[:, None], lower, torch.where(has_right[:, None], upper, line))
    smooth = torch.where((has_left & has_right)[:, None], both, one)
    return Nodes(torch.stack((before, before + 1), 1), near, wide, smooth)


def _parabola(a: Tensor, b: Tensor, c: Tensor, x: Tensor) -> Tensor:
    return torch.stack(
        (
            (x - b) * (x - c) / ((a - b) * (a - c)),
            (x - a) * (x - c) / ((b - a) * (b - c)),
            (x - a) * (x - b) / ((c - a) * (c - b)),
        ),
        1,
    )


def mix_weight(depth: Nodes, radius: Nodes) -> Tensor:
    """Weight of each of the four neighbours, shape (N, 4), in the order of `sizing_affine`."""
    return (depth.weight[:, :, None] * radius.weight[:, None, :]).flatten(1)


def find_used(depth_index: Tensor, radius_index: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The nodes that a batch of places needs, each once.

    Args:
        depth_index: Shape (N, a).
        radius_index: Shape (N, b).
        shape: Stored depths and radii.

    Returns:
        Flat indices of the nodes needed, shape (U,), and where among them each place finds its own, shape (N, a b).
    """
    flat = (depth_index[:, :, None] * shape[1] + radius_index[:, None, :]).flatten(1)
    used = torch.zeros(shape[0] * shape[1], dtype=torch.bool, device=flat.device)
    used[flat.reshape(-1)] = True
    return used.nonzero()[:, 0], (used.cumsum(0) - 1)[flat]


def find_moments(kernels: Tensor) -> Tensor:
    """Centroid and second central moments along both axes.

    Args:
        kernels: Of unit sum, shape (..., S, S).

    Returns:
        Centroid column and row from the middle, in stored pixels, variance along columns and along rows in stored
        pixels squared, each with one stored pixel's own variance added: shape (..., 4).
    """
    size = kernels.shape[-1]
    offset = torch.arange(size, dtype=kernels.dtype, device=kernels.device) - (size - 1) / 2
    found = []
    for axis in (-2, -1):
        profile = kernels.sum(axis)
        centroid = profile @ offset
        variance = profile @ offset**2 - centroid**2
        found.append((centroid, variance.clamp_min(0) + PIXEL_VARIANCE))
    (x, xx), (y, yy) = found
    return torch.stack((x, y, xx, yy), -1)


def sizing_affine(moments: Tensor, depth: Nodes, radius: Nodes) -> tuple[Tensor, Tensor]:
    """Maps from the place between to each of its four neighbours.

    Args:
        moments: Of every node, shape (D, R, C, 4), from `find_moments`.
        depth: N places among the depths.
        radius: The same N places among the radii.

    Returns:
        Stretch and shift per neighbour: offset_in_neighbour = offset / stretch + shift, both of shape (N, 4, C, 2)
        with columns before rows. Neighbours are ordered (before, before), (before, after), (after, before), (after,
        after) as (depth, radius).
    """
    wide = moments[depth.wide_index[:, :, None], radius.wide_index[:, None, :]]
    target = torch.einsum("nd,nr,ndrcm->ncm", depth.wide_weight, radius.wide_weight, wide)[:, None]
    near = moments[depth.near_index[:, :, None], radius.near_index[:, None, :]].flatten(1, 2)
    centre, variance = near[..., :2], near[..., 2:]
    least, greatest = variance.amin(1, keepdim=True), variance.amax(1, keepdim=True)
    wanted = target[..., 2:].maximum(LEAST_VARIANCE_RATIO * least).minimum(GREATEST_VARIANCE_RATIO * greatest)
    stretch = (wanted / variance).sqrt().clamp(LEAST_STRETCH, GREATEST_STRETCH)
    return stretch, centre - target[..., :2] / stretch


def combine_affine(turn: Tensor, stretch: Tensor, shift: Tensor) -> Tensor:
    """First turn, then stretch and shift, as `sampling.sample` takes it.

    Args:
        turn: Shape (..., 6), from `turning.turning_affine`.
        stretch: Columns, rows: shape (..., 2).
        shift: Columns, rows: shape (..., 2).

    Returns:
        Shape (..., 6).
    """
    row = turn[..., :3] / stretch[..., 1:]
    col = turn[..., 3:] / stretch[..., :1]
    return torch.cat((row[..., :2], row[..., 2:] + shift[..., 1:], col[..., :2], col[..., 2:] + shift[..., :1]), -1)
