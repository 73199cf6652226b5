"""Means over a box around every cell, in place of one mean over the frame.

Chu et al., Improving Image Restoration by Revisiting Global Information Aggregation, ECCV 2022: a network that was
trained on patches weighs its channels by means over a patch. The mean of a whole photograph is another number; the
mean over a box of 1.5 times the patch is nearly the same. The box is clipped to the frame by taking, near the border,
the mean of the nearest box that lies inside.
"""

import torch
from torch import Tensor

from psf import InputError

BOX_OVER_PATCH = 1.5  # Chu et al.


def find_box(patch_cells: int) -> int:
    """Side of the box for a network trained on square patches of this side."""
    if isinstance(patch_cells, bool) or not isinstance(patch_cells, int) or patch_cells < 1:
        raise InputError("patch_cells", repr(patch_cells), "a positive integer")
    return int(BOX_OVER_PATCH * patch_cells)


def average_boxes(features: Tensor, box_cells: int) -> Tensor:
    """The mean over a box about every cell.

    Args:
        features: Shape (B, C, H, W).
        box_cells: Side of the box; where it is larger than the frame, the frame's side.

    Returns:
        Shape (B, C, H, W); (B, C, 1, 1) where the box holds the whole frame. Differentiable.
    """
    if features.ndim != 4 or 0 in features.shape[2:]:
        raise InputError("features", f"shape {tuple(features.shape)}", "shape (B, C, H, W)")
    check_box(box_cells)
    height, width = features.shape[-2:]
    if box_cells >= max(height, width):
        return features.mean((-2, -1), keepdim=True)
    means = _slide(_slide(features.double(), box_cells, -1), box_cells, -2)
    return means.to(features.dtype)


def check_box(box_cells: int | None) -> None:
    """Refuse what is not a box side."""
    if box_cells is not None and (isinstance(box_cells, bool) or not isinstance(box_cells, int) or box_cells < 1):
        raise InputError("box_cells", repr(box_cells), "a positive integer, or None for the mean over the frame")


def spread_index(side: int, box_cells: int) -> tuple[int, int, int]:
    """How box means lie along an axis: the box's side there, how many boxes, and cells that copy the first of them."""
    box = min(side, box_cells)
    return box, side - box + 1, (box - 1) // 2


def _slide(values: Tensor, box_cells: int, axis: int) -> Tensor:
    """Box means along an axis, the first and last repeated; sums in the dtype given, which is float64."""
    side = values.shape[axis]
    box, count, before = spread_index(side, box_cells)
    total = torch.cumsum(values, axis)
    last = total.narrow(axis, box - 1, count)
    first = torch.cat([torch.zeros_like(total.narrow(axis, 0, 1)), total.narrow(axis, 0, count - 1)], axis)
    place = (torch.arange(side, device=values.device) - before).clamp(0, count - 1)
    return ((last - first) / box).index_select(axis, place)


class RowMeans:
    """`average_boxes` of a large frame, some rows at a time, from the top.

    Column sums are carried from call to call in float64: nothing of the size of the frame is made.
    """

    def __init__(self, features: Tensor, box_cells: int) -> None:
        """Args: the frame, shape (C, H, W), and the box's side."""
        self._features, self._box_cells = features, box_cells
        self._box, self._count, self._before = spread_index(features.shape[1], box_cells)
        self._sums = features.new_zeros((features.shape[0], features.shape[2]), dtype=torch.float64)
        for top in range(0, self._box, 64):
            self._sums += features[:, top : min(top + 64, self._box)].sum(1, dtype=torch.float64)
        self._boxes = 0  # which box the sums belong to

    def rows(self, start: int, stop: int) -> Tensor:
        """Means of rows `start` to `stop`, which follow those of the last call; shape (C, stop - start, W)."""
        features, box = self._features, self._box
        first, last = (min(max(row - self._before, 0), self._count - 1) for row in (start, stop - 1))
        if first < self._boxes:
            raise InputError("start", start, "rows behind those of the last call")
        # Difference of neighbouring boxes: the row that enters less the row that leaves.
        steps = features[:, self._boxes + box : last + box].double() - features[:, self._boxes : last]
        sums = torch.cat([self._sums[:, None], self._sums[:, None] + steps.cumsum_(1)], 1)
        place = (torch.arange(start, stop, device=features.device) - self._before).clamp(0, self._count - 1)
        wanted = sums.index_select(1, place - self._boxes)
        self._sums, self._boxes = sums[:, -1], last
        return _slide(wanted.div_(box), self._box_cells, -1).to(features.dtype)
