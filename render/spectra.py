"""Per-pixel rendering in the frequency domain, tile row by tile row, with bilinear windows between node kernels.

Gather: windows on the input. Four forward transforms per tile serve all planes, one inverse per tile and plane.
Scatter is its transpose: one forward transform per tile and plane, four inverses per tile, windows on the output. A
window is linear over its tile and goes on linearly into the halo, where it may be negative or above 1: it stands for
the kernel's own place, which moves with every tap. The depth is never approximated: every pixel's two planes are
weighted in the picture, not in the transforms.

Rows of tiles, not whole pictures: tensors stay small enough for the allocator to hand the same memory out again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fft import fft, ifft, irfft, rfft, rfft2

from .nodes import Prepared, node_kernels, tap_step, wanted_nodes
from .tiling import Axis, Block
from .weights import PixelPlanes

# Spectra of node kernels (M, C, Ny, Nx / 2 + 1), their moments (M, C, 2, 2), and which of them is whose (nodes, P).
NodeRow = tuple[Tensor, Tensor, "np.ndarray[Any, Any]"]
# Which node row, first and one past the last node column, wanted planes (nodes, P).
NodeSource = Callable[[int, int, int, "np.ndarray[Any, Any]"], NodeRow]


@dataclass(frozen=True, eq=False)
class BlockSpectra:
    """Node spectra of a whole block, kept for other pictures.

    Attributes:
        rows: Spectra of every node row, each of shape (M, C, Ny, Nx / 2 + 1).
        moments: Of the same kernels, each of shape (M, C, 2, 2).
        slots: Which of them is whose, -1 for none, each of shape (node columns, P).
    """

    rows: tuple[Tensor, ...]
    moments: tuple[Tensor, ...]
    slots: tuple["np.ndarray[Any, Any]", ...]

    def source(self, row: int, first: int, end: int, wanted: "np.ndarray[Any, Any]") -> NodeRow:
        """A `NodeSource` that computes nothing; planes that are not there have slot -1."""
        return self.rows[row], self.moments[row], self.slots[row][first:end]


def spectra_source(prepared: Prepared, block: Block, sign: int) -> NodeSource:
    """A `NodeSource` that makes spectra from the field, for a gather (sign 1) or a scatter (sign -1)."""
    step = tap_step(block, sign)

    def source(row: int, first: int, end: int, wanted: "np.ndarray[Any, Any]") -> NodeRow:
        y = block.rows.place_of(block.rows.border[row])
        places = [(block.cols.place_of(x), y) for x in block.cols.border[first:end]]
        kernels, slot = node_kernels(prepared, np.array(places), step, wanted)
        offset = torch.arange(prepared.kernel_px, dtype=kernels.dtype, device=kernels.device) - prepared.kernel_px // 2
        powers = torch.stack((torch.ones_like(offset), offset))
        moments = powers @ (kernels @ powers.mT)
        if not len(kernels):  # MKL refuses empty batches
            shape = (0, prepared.channels, block.fft_shape[0], block.fft_shape[1] // 2 + 1)
            return torch.zeros(shape, dtype=kernels.dtype.to_complex(), device=kernels.device), moments, slot
        return rfft2(kernels, s=block.fft_shape), moments, slot

    return source


def keep_spectra(source: NodeSource, wanted: "np.ndarray[Any, Any]") -> BlockSpectra:
    """All spectra that `wanted` (node rows, node columns, P) asks for."""
    found = [source(row, 0, wanted.shape[1], wanted[row]) for row in range(len(wanted))]
    return BlockSpectra(*(tuple(one[i] for one in found) for i in range(3)))  # type: ignore[arg-type]


def _windows(axis: Axis, first: int, end: int, halo: int, like: Tensor) -> Tensor:
    """Weights of the two nodes of tiles first..end-1 over each tile and its halo, shape (n, 2, largest + 2 halo)."""
    pixel = torch.arange(axis.largest + 2 * halo, dtype=torch.float64) - halo
    start = torch.tensor(axis.start[first:end], dtype=torch.float64)[:, None]
    low = torch.tensor(axis.border[first:end], dtype=torch.float64)[:, None]
    gap = torch.tensor(axis.border[first + 1 : end + 1], dtype=torch.float64)[:, None] - low
    after = (start + pixel - low) / gap
    return torch.stack((1 - after, after), 1).to(like)


def _lines(axis: Axis, first: int, end: int, like: Tensor) -> Tensor:
    """Weights of the two nodes over each tile without halo, and ones: shape (n, 3, largest)."""
    windows = _windows(axis, first, end, 0, like)
    return torch.cat((windows, torch.ones_like(windows[:, :1])), 1)


def _cut(picture: Tensor, rows: Axis, row: int, cols: Axis, first: int, end: int, margin: int) -> Tensor:
    """Tiles of one row with a margin, from a picture (B, C, H, W) that has it: shape (B, n, C, h, w).

    Tiles smaller than the largest one reach into their neighbours or, at the ends, into zeros.
    """
    height, width = rows.largest + margin, cols.largest + margin
    strip = picture[..., rows.start[row] : rows.start[row] + height, :]
    missing = (max(0, cols.start[end - 1] + width - strip.shape[-1]), height - strip.shape[-2])
    if any(missing):
        strip = torch.nn.functional.pad(strip, (0, missing[0], 0, missing[1]))
    return torch.stack([strip[..., x : x + width] for x in cols.start[first:end]], 1)


def _shares(before: Tensor, weights: Tensor, tile: Tensor, plane: Tensor) -> Tensor:
    """Weight of a plane at each pixel of its tile.

    Args:
        before: Shape (T, 1, h, w).
        weights: Shape (T, 2 C, h, w).
        tile: Shape (M,).
        plane: Shape (M,).

    Returns:
        Shape (M, C, h, w).
    """
    index, (low, high) = before[tile], weights[tile].chunk(2, 1)
    plane = plane[:, None, None, None]
    return torch.where(index == plane, low, 0.0) + torch.where(index == plane - 1, high, 0.0)


def _plane_tiles(
    planes: PixelPlanes, prepared: Prepared, block: Block, row: int, first: int, end: int
) -> tuple[Tensor, Tensor]:
    """Planes before, shape (T, 1, h, w), and weights, shape (T, 2 C, h, w), of one row's tiles."""
    start = block.rows.start[row]
    rows = slice(start, start + block.rows.largest)
    left = block.cols.start[first]
    cols = slice(left, block.cols.start[end - 1] + block.cols.largest)
    part = replace(planes, before=planes.before[..., cols], share=planes.share[..., cols], x_px=planes.x_px[cols])
    tiles = []
    for one in (part.before[:, None, rows], part.weights(prepared, rows).flatten(1, 2)):
        missing = (cols.stop - left - one.shape[-1], block.rows.largest - one.shape[-2])
        one = torch.nn.functional.pad(one, (0, missing[0], 0, missing[1])) if any(missing) else one
        tiles.append(
            torch.stack([one[..., x - left : x - left + block.cols.largest] for x in block.cols.start[first:end]], 1)
        )
    return tiles[0].flatten(0, 1), tiles[1].flatten(0, 1)


def _corner_sum(pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Sum of products, in place where nobody asks for a gradient."""
    first, *rest = pairs
    if any(one.requires_grad for pair in pairs for one in pair):
        return sum((a * b for a, b in rest), first[0] * first[1])
    total = first[0].mul_(first[1])
    for a, b in rest:
        total.addcmul_(a, b)
    return total


@dataclass(frozen=True, eq=False)
class _Row:
    """Which tile and plane belong together in one row of tiles of one strip: T tiles of all pictures, M pairs."""

    tile: Tensor
    plane: Tensor
    node_index: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]
    spectra: tuple[Tensor, Tensor]
    moments: tuple[Tensor, Tensor]

    def node_spectra(self, a: int, b: int) -> Tensor:
        return self.spectra[a].index_select(0, self.node_index[a][b])

    def kernel_sums(self, block: Block, row: int, first: int, end: int, sign: int, copies: int) -> Tensor:
        """What the interpolated kernel of each pixel sums to, (M, C, h, w).

        Windows are linear, so four moments of the node kernels tell it exactly: `w(o - sign d) = w(o) - sign w' d`.
        """
        like = self.moments[0]
        y, x = _lines(block.rows, row, row + 1, like)[0], _lines(block.cols, first, end, like).repeat(copies, 1, 1)
        total = like.new_zeros((len(self.tile), like.shape[1], 3, 3))
        up = (-1 / (block.rows.border[row + 1] - block.rows.border[row])) * sign
        right = -sign / torch.tensor(block.cols.border[first : end + 1], dtype=torch.float64).diff()
        right = right.to(like).repeat(copies)[self.tile][:, None]
        for a in (0, 1):
            for b in (0, 1):
                m = self.moments[a].index_select(0, self.node_index[a][b])
                slope_y, slope_x = (up if a else -up), (right if b else -right)
                part = torch.stack(
                    (m[..., 0, 0], slope_x * m[..., 0, 1], slope_y * m[..., 1, 0], slope_y * slope_x * m[..., 1, 1]), -1
                )
                place = torch.zeros((4, 9), dtype=like.dtype, device=like.device)
                for i, (v, u) in enumerate(((a, b), (a, 2), (2, b), (2, 2))):
                    place[i, 3 * v + u] = 1
                total = total + (part @ place).unflatten(-1, (3, 3))
        return y.mT @ (total @ x[self.tile][:, None])


def _rows(
    block: Block, presence: "np.ndarray[Any, Any]", source: NodeSource, strip_tiles: int, device: torch.device
) -> Iterator[tuple[int, int, int, _Row]]:
    """Row by row within strips of tile columns: row, first and end column, and its pairs."""
    wanted = wanted_nodes(np.asarray(presence.any(0)))
    columns = len(block.cols.size)
    for first in range(0, columns, strip_tiles):
        end = min(columns, first + strip_tiles)
        upper = source(0, first, end + 1, wanted[0, first : end + 1])
        for row in range(len(block.rows.size)):
            lower = source(row + 1, first, end + 1, wanted[row + 1, first : end + 1])
            picture, column, plane = np.nonzero(presence[:, row, first:end])
            index = []
            for _, _, slot in (upper, lower):
                left, right = (torch.from_numpy(slot[column + b, plane]).to(device) for b in (0, 1))
                index.append((left, right))
            tile = torch.from_numpy(picture * (end - first) + column).to(device)
            pairs = _Row(
                tile,
                torch.from_numpy(plane).to(device),
                (index[0], index[1]),
                (upper[0], lower[0]),
                (upper[1], lower[1]),
            )
            yield row, first, end, pairs
            upper = lower


def gather_block(
    padded: Tensor,
    planes: PixelPlanes,
    prepared: Prepared,
    presence: "np.ndarray[Any, Any]",
    block: Block,
    source: NodeSource,
    kernel_px: int,
    strip_tiles: int,
) -> Tensor:
    """Every pixel's sum over its surroundings with its own kernel, without transmission.

    Args:
        padded: Picture with half a kernel all round, shape (B, C, H + K - 1, W + K - 1).
        planes: Of the H x W pixels.
        prepared: The field.
        presence: From `weights.find_presence`, shape (B, rows, columns, P).
        block: How the pixels are cut.
        source: Of node spectra.
        kernel_px: K.
        strip_tiles: Columns of tiles done at once.

    Returns:
        Shape (B, C, H, W).
    """
    halo, (tall, wide) = kernel_px // 2, block.fft_shape
    batch, channels = padded.shape[:2]
    strips: dict[int, list[Tensor]] = {}
    for row, first, end, pairs in _rows(block, presence, source, strip_tiles, padded.device):
        if not len(pairs.tile):
            width = sum(block.cols.size[first:end])
            strips.setdefault(first, []).append(padded.new_zeros((batch, channels, block.rows.size[row], width)))
            continue
        windows_y = _windows(block.rows, row, row + 1, halo, padded)[0]
        windows_x = _windows(block.cols, first, end, halo, padded)
        tiles = _cut(padded, block.rows, row, block.cols, first, end, 2 * halo)
        across = rfft(tiles[:, :, None] * windows_x[None, :, :, None, None, :], n=wide)  # (B, n, b, C, h, Nx)
        across = across.flatten(0, 1)
        total = []
        for a in (0, 1):
            spectra = fft(across * windows_y[a][:, None], n=tall, dim=-2)  # (T, b, C, Ny, Nx)
            total += [(pairs.node_spectra(a, b), spectra[:, b].index_select(0, pairs.tile)) for b in (0, 1)]
        light = ifft(_corner_sum(total), dim=-2)[..., 2 * halo : 2 * halo + block.rows.largest, :]
        light = irfft(light, n=wide)[..., 2 * halo : 2 * halo + block.cols.largest]
        index, weights = _plane_tiles(planes, prepared, block, row, first, end)
        sums = pairs.kernel_sums(block, row, first, end, 1, batch)
        light = light * (_shares(index, weights, pairs.tile, pairs.plane) / sums)
        out = light.new_zeros((batch * (end - first), *light.shape[1:])).index_add(0, pairs.tile, light)
        out = out.unflatten(0, (batch, end - first))[..., : block.rows.size[row], :]
        line = [out[:, i, ..., : block.cols.size[first + i]] for i in range(end - first)]
        strips.setdefault(first, []).append(torch.cat(line, -1))
    return torch.cat([torch.cat(one, -2) for one in strips.values()], -1)


def scatter_block(
    light: Tensor,
    planes: PixelPlanes,
    prepared: Prepared,
    presence: "np.ndarray[Any, Any]",
    block: Block,
    source: NodeSource,
    kernel_px: int,
    strip_tiles: int,
) -> Tensor:
    """What a block of sources leaves on itself and half a kernel all round.

    Args:
        light: Of each source, shape (B, C, H, W).
        planes: Of the sources.
        prepared: The field.
        presence: As in `gather_block`, shape (B, rows, columns, P).
        block: How the pixels are cut.
        source: Of node spectra.
        kernel_px: K.
        strip_tiles: Columns of tiles done at once.

    Returns:
        Shape (B, C, H + K - 1, W + K - 1).
    """
    halo, wide = kernel_px // 2, block.fft_shape[1]
    batch, channels, height, width = light.shape
    size = (block.rows.largest + 2 * halo, block.cols.largest + 2 * halo)
    canvas = light.new_zeros((batch, channels, height + size[0], width + size[1]))
    for row, first, end, pairs in _rows(block, presence, source, strip_tiles, light.device):
        if not len(pairs.tile):
            continue
        tiles = _cut(light, block.rows, row, block.cols, first, end, 0).flatten(0, 1)
        index, weights = _plane_tiles(planes, prepared, block, row, first, end)
        # A tile smaller than the largest has cut into its neighbours: their light is not its own.
        own_y = torch.arange(block.rows.largest, device=light.device) < block.rows.size[row]
        widths = torch.tensor(block.cols.size[first:end], device=light.device).repeat(batch)
        own_x = torch.arange(block.cols.largest, device=light.device) < widths[:, None]
        tiles = tiles * (own_y[:, None] & own_x[:, None, :])[:, None]
        sums = pairs.kernel_sums(block, row, first, end, -1, batch)
        weighted = tiles.index_select(0, pairs.tile) * (_shares(index, weights, pairs.tile, pairs.plane) / sums)
        spectra = rfft2(weighted, s=block.fft_shape)
        windows_y = _windows(block.rows, row, row + 1, halo, light)[0]
        windows_x = _windows(block.cols, first, end, halo, light).repeat(batch, 1, 1)
        landed = torch.zeros((), dtype=light.dtype, device=light.device)
        for b in (0, 1):
            down = torch.zeros((), dtype=spectra.dtype, device=light.device)
            for a in (0, 1):
                product = spectra * pairs.node_spectra(a, b)
                total = product.new_zeros((len(tiles), *product.shape[1:])).index_add(0, pairs.tile, product)
                down = down + ifft(total, dim=-2)[..., : size[0], :] * windows_y[a][:, None]
            landed = landed + irfft(down, n=wide)[..., : size[1]] * windows_x[:, b, None, None, :]
        landed = landed.unflatten(0, (batch, end - first))
        left = block.cols.start[first]
        line = light.new_zeros((batch, channels, size[0], block.cols.start[end - 1] + size[1] - left))
        for i, x in enumerate(block.cols.start[first:end]):
            line[..., x - left : x - left + size[1]] += landed[:, i]
        top = block.rows.start[row]
        canvas[..., top : top + size[0], left : left + line.shape[-1]] += line
    return canvas[..., : height + 2 * halo, : width + 2 * halo]
