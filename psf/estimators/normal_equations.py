"""Pairs of pictures summed up, pixel by pixel, into what least squares need of them.

For a pixel p with image height h, seen from a plane at depth z, `blurred(p) = sum_k K(h, z; k) s_k(p)`, where `s_k(p)`
is the sharp picture read at p less the k-th tap's place, turned to the azimuth of p. Between two nodes of image height
the kernel is the mean of theirs, weighted by distance. So the squared error of all pixels of one depth is a quadratic
form in the kernels at that depth and those nodes: it is summed here, once, over all pixels, and everything after works
on the sums.

Light is taken from its mean: a kernel of sum 1 leaves a mean as it is, and without it the sums lose no digits.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..capture_levels import find_scaled, scale_sharp
from ..captures import Captures
from ..errors import InputError
from ..turning import polar_place
from . import taps
from .mixing import find_cell
from .parallel import map_parts
from .sizing import Moments, find_cells

# Rows of one matrix product: some 4 MB.
ROWS_AT_ONCE = 2048
# Image heights are rounded to this share of the distance between two nodes: pixels that share their weights share one
# matrix product, where three would be needed. Kernels differ by far less over half of it than noise tells.
HEIGHT_STEPS = 8


@dataclass(frozen=True, eq=False, kw_only=True)
class Layout:
    """Which kernels the pixels of which pair speak of.

    A slot is a kernel at one depth and one node of image height; T taps, folded.

    Attributes:
        side: Cells along a side.
        radii: Nodes of image height, shape (R,).
        dioptres: Every depth once (or groups of depths that differ by little), ascending, shape (M,).
        pair_depth: Which of these each pair belongs to, shape (N,).
        slot_depth: Of every slot, shape (S,).
        slot_node: Of every slot, shape (S,).
        block_left: Slot of every block of the quadratic form, shape (B,).
        block_right: The same slot, or the next node's at the same depth, shape (B,).
        part_pair: Pair of every (pair, node) that meets, shape (Q,).
        part_slot: Its slot, shape (Q,).
    """

    side: int
    radii: Tensor
    dioptres: Tensor
    pair_depth: Tensor
    slot_depth: Tensor
    slot_node: Tensor
    block_left: Tensor
    block_right: Tensor
    part_pair: Tensor
    part_slot: Tensor

    @property
    def taps(self) -> int:
        """Folded cells T of a kernel."""
        return taps.count_taps(self.side)


@dataclass(frozen=True, eq=False, kw_only=True)
class Sums:
    """The sums of one channel; w is a pixel's weight on a node, s its row less the mean m of its pair, b its light.

    Attributes:
        layout: What belongs to what.
        gram: Sum of w w' s s^T per block, shape (B, T, T), float32.
        block_weight: Sum of w w' per block, shape (B,), float64 as all below.
        light: Sum of w s b per part, shape (Q, T).
        rows: Sum of w s per part, shape (Q, T).
        mean_light: Sum of w b per part, shape (Q,).
        energy: Sum of w b^2 per part, shape (Q,).
        weight: Sum of w per part, shape (Q,).
        squares: Sum of w h^2 and of w h^4 per part, h a pixel's image height, shape (Q, 2).
        pair_mean: m of every pair, shape (N,).
    """

    layout: Layout
    gram: Tensor
    block_weight: Tensor
    light: Tensor
    rows: Tensor
    mean_light: Tensor
    energy: Tensor
    weight: Tensor
    squares: Tensor
    pair_mean: Tensor


@dataclass(frozen=True, eq=False)
class View:
    """How kernels are kept while they are looked for.

    Attributes:
        kernel_px: Side of the kernels' window.
        side: Cells along a side.
        inner: Half of those in the core.
        moments: What the cells' sizes follow; None: cells are alike.
        magnification: Scale of the blurred pictures against the sharp ones about the sensor's centre.
    """

    kernel_px: int
    side: int
    inner: int
    moments: Moments | None = None
    magnification: float = 1.0

    def cells_at(self, radius: Tensor, dioptre: Tensor) -> Tensor:
        """As `sizing.find_cells`, shape (N, 4)."""
        return find_cells(self.moments, radius, dioptre, self.kernel_px)


def usable_pixels(captures: Captures, index: int, view: View) -> tuple[Tensor, ...]:
    """Pixels of a pair whose turned kernel lies within the sharp picture.

    Returns:
        Column and row within `blurred`, image height, cosine and sine of the azimuth, each of shape (P,), float64,
        ascending in image height.
    """
    height, width = captures.shape_px
    (_, columns), (_, rows) = _find_scaled(captures, index, view)
    row, col = torch.meshgrid(
        torch.arange(height, dtype=torch.float64), torch.arange(width, dtype=torch.float64), indexing="ij"
    )
    row, col = row.reshape(-1), col.reshape(-1)
    radius, cosine, sine = polar_place(
        captures.x0_px[index].double() + col, captures.y0_px[index].double() + row, captures.image_shape_px
    )
    whole = make_places(captures, index, view, (col, row, radius, cosine, sine)).double()
    # Cells' squares are not turned: what of them leaves the picture at a corner meets its edge's light.
    reach = whole[:, 7] + whole[:, 4].abs() - 0.5
    margin = (cosine.abs() + sine.abs()) * reach
    x, y = whole[:, 0], whole[:, 1]
    inside = (x >= margin) & (x <= columns - 1 - margin) & (y >= margin) & (y <= rows - 1 - margin)
    order = radius[inside].sort(stable=True).indices
    return tuple(one[inside][order] for one in (col, row, radius, cosine, sine))


def find_height_step(radius: Tensor, steps: int) -> Tensor:
    """Which of so many even steps from 0 to 1 image heights of shape (P,) lie in."""
    return (radius * steps).long().clamp(0, steps - 1)


def count_pixels(captures: Captures, steps: int) -> Tensor:
    """Pixels of all pairs by image height, in even steps from 0 to 1, shape (steps,), float64."""
    counts = torch.zeros(steps, dtype=torch.float64)
    for index in range(len(captures)):
        found = find_height_step(captures.radius(index).double().reshape(-1), steps)
        counts += torch.bincount(found, minlength=steps)
    return counts


def group_depths(dioptres: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """At most so many depths for all pairs: each its own where they suffice, else the means of near ones.

    Args:
        dioptres: Of every pair, shape (N,).
        most: Groups at most.

    Returns:
        Dioptres, ascending, shape (M,), and the group of every pair, shape (N,).
    """
    order = dioptres.sort(stable=True).indices
    ordered = dioptres[order]
    step = 1e-5 * float(ordered[-1].abs()) + 1e-12
    span = float(ordered[-1] - ordered[0])
    for _ in range(60):
        first = torch.zeros(len(ordered), dtype=torch.long)
        start, group = float(ordered[0]), 0
        for n, value in enumerate(ordered.tolist()):
            if value - start > step:
                start, group = value, group + 1
            first[n] = group
        if group < most:
            break
        step = max(1.3 * step, span / (4 * most))
    groups = torch.empty_like(first)
    groups[order] = first
    count = torch.zeros(group + 1, dtype=torch.float64).index_add(0, groups, torch.ones_like(dioptres))
    mean = torch.zeros(group + 1, dtype=torch.float64).index_add(0, groups, dioptres) / count
    return mean, groups


def lay_out(captures: Captures, radii: Tensor, most_depths: int, view: View) -> Layout:
    """Find out which kernels the pixels speak of, with nodes of image height of shape (R,)."""
    dioptres, groups = group_depths(1 / captures.depth_m.double(), most_depths)
    touched = torch.zeros((len(dioptres), len(radii)), dtype=torch.bool)
    joined = torch.zeros((len(dioptres), len(radii)), dtype=torch.bool)
    spans = []
    for index in range(len(captures)):
        radius = usable_pixels(captures, index, view)[2]
        if not len(radius):
            spans.append((0, -1))
            continue
        low, _ = find_cell(radii, radius)
        first, last = int(low.min()), int(low.max())
        spans.append((first, last + 1))
        touched[groups[index], first : last + 2] = True
        joined[groups[index], first : last + 1] = True
    if all(last < first for first, last in spans):
        found = f"pairs of {captures.shape_px[1]} x {captures.shape_px[0]} px"
        raise InputError("captures", found, f"pairs that hold turned kernels of {captures.kernel_px} px")
    slot = torch.full(touched.shape, -1)
    slot[touched] = torch.arange(int(touched.sum()))
    depth, node = touched.nonzero().unbind(1)
    next_depth, next_node = joined.nonzero().unbind(1)
    left = torch.cat((torch.arange(len(depth)), slot[next_depth, next_node]))
    right = torch.cat((torch.arange(len(depth)), slot[next_depth, next_node + 1]))
    parts = [(n, int(slot[groups[n], r])) for n, (a, b) in enumerate(spans) for r in range(a, b + 1)]
    return Layout(
        side=view.side,
        radii=radii,
        dioptres=dioptres,
        pair_depth=groups,
        slot_depth=depth,
        slot_node=node,
        block_left=left,
        block_right=right,
        part_pair=torch.tensor([p for p, _ in parts]),
        part_slot=torch.tensor([s for _, s in parts]),
    )


def empty_sums(layout: Layout, pairs: int) -> Sums:
    """Sums of nothing."""
    blocks, parts, t = len(layout.block_left), len(layout.part_pair), layout.taps

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.float64)

    return Sums(
        layout=layout,
        gram=torch.zeros((blocks, t, t)),
        block_weight=zeros(blocks),
        light=zeros(parts, t),
        rows=zeros(parts, t),
        mean_light=zeros(parts),
        energy=zeros(parts),
        weight=zeros(parts),
        squares=zeros(parts, 2),
        pair_mean=zeros(pairs),
    )


def make_places(captures: Captures, index: int, view: View, pixels: tuple[Tensor, ...]) -> Tensor:
    """What `row_loops.read_rows` takes of the scaled sharp picture, shape (P, 8), float32."""
    col, row, radius, cosine, sine = pixels
    half = captures.kernel_px // 2
    (left, _), (top, _) = _find_scaled(captures, index, view)
    x, y = col + half - left, row + half - top
    cells = view.cells_at(radius, (1 / captures.depth_m[index].double()).expand(len(radius)))
    return torch.cat((torch.stack((x, y, cosine, sine), 1), cells), 1).float()


def _find_scaled(captures: Captures, index: int, view: View) -> tuple[tuple[int, int], tuple[int, int]]:
    """First column and number of columns of the scaled sharp picture of a pair, and the same of rows."""
    rows, columns = (size + captures.kernel_px - 1 for size in captures.shape_px)
    height, width = captures.image_shape_px
    x0_px, y0_px = float(captures.x0_px[index]), float(captures.y0_px[index])
    across = find_scaled(x0_px, captures.kernel_px, columns, width, view.magnification)
    down = find_scaled(y0_px, captures.kernel_px, rows, height, view.magnification)
    return across[:2], down[:2]


def add_pair(
    sums: Sums,
    captures: Captures,
    index: int,
    channel: int,
    view: View,
    *,
    most_pixels: int | None = None,
    pixel_counts: Tensor | None = None,
    generator: torch.Generator | None = None,
    threads: int = 1,
) -> None:
    """Add the pixels of one pair to sums that nobody else holds.

    Args:
        sums: Changed in place.
        captures: The pairs.
        index: Which.
        channel: Which.
        view: How kernels are kept.
        most_pixels: Take so many, drawn at random; None: all.
        pixel_counts: How many pixels of all pairs lie in each of so many even steps of image height from 0 to 1,
            shape (steps,): draw the rare ones more often; None: draw all alike.
        generator: For that.
        threads: How many; torch itself should use one.
    """
    from . import row_loops

    layout = sums.layout
    parts = (layout.part_pair == index).nonzero()[:, 0]
    if not len(parts):
        return
    pair = captures[index]
    pixels = usable_pixels(captures, index, view)
    if most_pixels is not None and len(pixels[0]) > most_pixels:
        # Who comes first: with rates in place of equal ones, a draw without putting back by weights.
        arrival = -torch.rand(len(pixels[0]), generator=generator, dtype=torch.float64).clamp_min(1e-300).log()
        if pixel_counts is not None:
            arrival = arrival * pixel_counts[find_height_step(pixels[2], len(pixel_counts))]
        keep = arrival.topk(most_pixels, largest=False).indices.sort().values
        pixels = tuple(one[keep] for one in pixels)
    col, row, radius = pixels[:3]
    blurred = pair.blurred[channel].detach().double().cpu()[row.long(), col.long()]
    # Cells read the picture's pixels as squares: they have to be the squares of the blurred picture's pixels.
    sharp = scale_sharp(pair, view.magnification)[0][channel]
    mean = float(sharp.mean())
    picture = np.pad((sharp - mean).numpy(), row_loops.PAD, mode="edge").astype(np.float32)
    places = make_places(captures, index, view, pixels).numpy()
    low, share = find_cell(layout.radii, radius)
    steps = (share * HEIGHT_STEPS).floor().clamp(max=HEIGHT_STEPS - 1)
    slots = layout.part_slot[parts]
    blocks = {
        (int(left), int(right)): n
        for n, (left, right) in enumerate(zip(layout.block_left.tolist(), layout.block_right.tolist(), strict=True))
        if int(layout.slot_depth[left]) == int(layout.pair_depth[index])
    }
    first_cell = int(layout.slot_node[slots[0]])
    # Pixels ascend in image height: those of the same weights lie together.
    _, counts = torch.unique_consecutive(low * HEIGHT_STEPS + steps.long(), return_counts=True)
    alike = [one for group in torch.arange(len(radius)).split(counts.tolist()) for one in group.split(ROWS_AT_ONCE)]

    def multiply(part: Tensor) -> tuple[Tensor, Tensor]:
        rows = torch.from_numpy(row_loops.read_rows(picture, places[part.numpy()], view.side // 2, view.inner))
        rows[:, -1] = blurred[part].float()
        return rows.mT @ rows, rows.sum(0, dtype=torch.float64)

    for part, (product, total) in zip(alike, map_parts(multiply, alike, threads), strict=True):
        n = int(low[part[0]]) - first_cell
        a, b = int(slots[n]), int(slots[n + 1])
        light, height = blurred[part], radius[part]
        after = (float(steps[part[0]]) + 0.5) / HEIGHT_STEPS
        before = 1 - after
        for key, weight in (((a, a), before * before), ((a, b), before * after), ((b, b), after * after)):
            sums.gram[blocks[key]].add_(product[:-1, :-1], alpha=weight)
            sums.block_weight[blocks[key]] += weight * len(part)
        powers = torch.stack((height**2, height**4), 1).sum(0)
        for where, weight in ((int(parts[n]), before), (int(parts[n + 1]), after)):
            sums.light[where] += weight * product[-1, :-1].double()
            sums.rows[where] += weight * total[:-1]
            sums.mean_light[where] += weight * light.sum()
            sums.energy[where] += weight * (light * light).sum()
            sums.weight[where] += weight * len(part)
            sums.squares[where] += weight * powers
    # Cells below the axis read the picture twice, and so twice less its mean: rows are those of the picture less m.
    sums.pair_mean[index] = mean
