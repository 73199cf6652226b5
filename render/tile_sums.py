"""Gather and scatter of one block on a CPU, and their gradients, tile by tile in threads."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.fft
import torch
from torch import Tensor

from . import tile_loops
from .node_sources import KernelNodes
from .nodes import Prepared
from .tile_jobs import BlockTiles, Group, NodeSource
from .weighing import weigh_tiles

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class BlockPlanes:
    """Which planes the pixels of a block have, and their weights: made tile by tile, or there.

    Attributes:
        before: First plane of each pixel, int32, shape (B, H, W).
        share: Share of the next one, shape (B, H, W).
        corner: Row and column of these at which the block begins.
        x_px: Sensor column of every block column, shape (w,).
        y_px: Sensor row of every block row, shape (h,).
        prepared: The field's tables.
        has_transmission: Whether weights hold the transmission.
        weights: Those of the block, shape (B, 2, C, h, w); None: made when needed.
    """

    before: Array
    share: Array
    corner: tuple[int, int]
    x_px: Array
    y_px: Array
    prepared: Prepared
    has_transmission: bool
    weights: Array | None = None

    def of(self, group: Group, target: tuple[int, int]) -> tuple[Array, Array, Array]:
        """Where the tiles lie (`spot` of `tile_loops`), their first planes and weights.

        Args:
            group: Which.
            target: Row and column at which the block begins in what is read or written.
        """
        where, spot = group.where, np.empty((len(group.where), 5, 2), np.int64)
        spot[:, 0] = where[:, :1]
        spot[:, 1], spot[:, 2] = where[:, 1:3] + target, where[:, 1:3] + self.corner
        spot[:, 3], spot[:, 4] = where[:, 1:3], where[:, 3:]
        if self.weights is not None:
            return spot, self.before, self.weights
        spot[:, 0, 1], spot[:, 3] = np.arange(len(where)), 0
        tables = self.prepared
        weights = np.empty((len(where), 2, tables.channels, *where[:, 3:].max(0)), self.share.dtype)
        weigh_tiles(
            tables.sums.detach().numpy(), tables.transmission.detach().numpy(), tables.radii_64, tables.centre,
            self.before, self.share, self.x_px, self.y_px, self.has_transmission, where, spot, weights,
        )  # fmt: skip
        return spot, self.before, weights


@dataclass(frozen=True, eq=False)
class BlockSum:
    """A gather or scatter of one block.

    Attributes:
        tiles: Its tiles; their sign says which of the two it is.
        planes: Of its pixels.
        threads: How many.
    """

    tiles: BlockTiles
    planes: BlockPlanes
    threads: int

    @property
    def is_gather(self) -> bool:
        """Whether kernels belong to the pixels that receive."""
        return self.tiles.sign > 0

    def _arguments(self, group: Group, target: tuple[int, int]) -> tuple[Any, ...]:
        """Pairs, places, planes, weights and kernel sums, as the loops take them."""
        return group.start, group.numbers, *self.planes.of(group, target), self.tiles.sums(group)

    def _weighted(self, light: Array, lead: int, arguments: tuple[Any, ...]) -> Array:
        """Spectra of the tiles' light times the weights of their planes, shape (n, C, Ny, Nx / 2 + 1)."""
        out = np.empty((len(arguments[1]), light.shape[1], *self.tiles.block.fft_shape), light.dtype)
        tile_loops.weigh_pairs(light, lead, *arguments, out)
        return scipy.fft.rfft2(out, overwrite_x=True)  # type: ignore[no-any-return]

    def gather(
        self,
        source: NodeSource,
        padded: Array,
        corner: tuple[int, int],
        out: Array,
        on_row: Callable[[int], None] | None = None,
    ) -> None:
        """Add every pixel's sum over its surroundings.

        Args:
            source: Of node spectra.
            padded: Picture with half a kernel all round, shape (B, C, H + K - 1, W + K - 1).
            corner: Row and column of the picture at which the block begins.
            out: Shape (B, C, H, W).
            on_row: Called when a row of tiles is done, with its number.
        """
        tiles, lead = self.tiles, self.tiles.kernel_px - 1

        def work(group: Group) -> None:
            values = tiles.pair_values(group, tiles.windowed(group, padded, corner), lead)
            tile_loops.add_pairs(values, lead, *self._arguments(group, corner), out)

        tiles.run(source, self.threads, work, on_row)

    def scatter(
        self, source: NodeSource, light: Array, canvas: Array, on_row: Callable[[int], None] | None = None
    ) -> None:
        """Add what the block's pixels leave on themselves and half a kernel all round.

        Args:
            source: Of node spectra.
            light: Of the block, shape (B, C, h, w).
            canvas: Of the block with half a kernel all round, shape (B, C, h + K - 1, w + K - 1).
            on_row: Called when a row of tiles is done, with its number.
        """
        pieces: dict[tuple[int, int, int], Array] = {}

        def work(group: Group) -> None:
            spectra = self._weighted(light, 0, self._arguments(group, (0, 0)))
            self._keep(pieces, group, self.tiles.spread(group, spectra))

        def after(row: int) -> None:
            self._fold(pieces, row, canvas)
            if on_row is not None:
                on_row(row)

        self.tiles.run(source, self.threads, work, after)

    def _keep(self, pieces: dict[tuple[int, int, int], Array], group: Group, spread: Array) -> None:
        """Tiles with half a kernel all round, by sample, row and column."""
        margin = self.tiles.kernel_px - 1
        for (col, sample), (*_, height, width), piece in zip(group.cols, group.where, spread, strict=True):
            pieces[sample, group.row, col] = piece[:, : height + margin, : width + margin]

    def _fold(self, pieces: dict[tuple[int, int, int], Array], row: int, canvas: Array) -> None:
        """Add a row of tiles with half a kernel all round to the block's canvas, in a fixed order."""
        block = self.tiles.block
        for key in sorted(key for key in tuple(pieces) if key[1] == row):
            piece = pieces.pop(key)
            y, x = block.rows.start[key[1]], block.cols.start[key[2]]
            canvas[key[0], :, y : y + piece.shape[1], x : x + piece.shape[2]] += piece

    def slopes(self, nodes: NodeSource, picture: Array, given: Array, wants_kernels: bool) -> tuple[Array | None, ...]:
        """Gradients of sum(given * result) by picture, weights and kernels.

        Args:
            nodes: `KernelNodes` if their gradient is wanted.
            picture: As in `gather` (of the block, with its margin) or `scatter`.
            given: Of the block, as its result: with a margin for a scatter.
            wants_kernels: Whether the last one is needed; None if not.
        """
        tiles, planes = self.tiles, self.planes
        if planes.weights is None:
            raise ValueError("weights are needed for their gradient")
        to_weights = np.zeros_like(planes.weights)
        to_picture = np.zeros_like(picture)
        to_kernels = _KernelSlopes(tiles, nodes) if wants_kernels and isinstance(nodes, KernelNodes) else None
        pieces: dict[tuple[int, int, int], Array] = {}
        # What has windows, and how far pairs lie from the corner of their transforms there.
        outer, inner, lead = (picture, given, tiles.kernel_px - 1) if self.is_gather else (given, picture, 0)

        def work(group: Group) -> None:
            arguments = self._arguments(group, (0, 0))
            windowed = tiles.windowed(group, outer, (0, 0))
            values = tiles.pair_values(group, windowed, lead, not self.is_gather)
            to_sums = np.empty((len(group.numbers), outer.shape[1], 4))
            tile_loops.slope_pairs(values, lead, *arguments, inner, to_weights, to_sums)
            if self.is_gather or to_kernels is not None:
                spectra = self._weighted(inner, lead, arguments)
            if self.is_gather:
                self._keep(pieces, group, tiles.spread(group, spectra, True))
            else:
                tile_loops.add_pairs(values, lead, *arguments, to_picture)
            if to_kernels is not None:
                to_kernels.take(group, windowed, spectra, to_sums)

        def after(row: int) -> None:
            self._fold(pieces, row, to_picture)
            if to_kernels is not None:
                to_kernels.add(row)

        tiles.run(nodes, self.threads, work, after)
        return to_picture, to_weights, None if to_kernels is None else to_kernels.found


class _KernelSlopes:
    """Gradients by node kernels, node by node, so that sums have one order whatever the threads do."""

    def __init__(self, tiles: BlockTiles, nodes: KernelNodes) -> None:
        self.tiles, self.nodes = tiles, nodes
        self.found = np.zeros_like(nodes.kernels)
        self._waiting: dict[tuple[int, int, int], tuple[Array, Array, Array, Array, Array]] = {}
        half = nodes.kernels.shape[-1] // 2
        self._offset = np.arange(-half, half + 1, dtype=nodes.kernels.dtype)

    def take(self, group: Group, windowed: Array, spectra: Array, to_sums: Array) -> None:
        """Keep what the nodes of the tiles need."""
        ends = self.tiles.ends(group)
        for t, (col, sample) in enumerate(group.cols):
            own = slice(group.start[t], group.start[t + 1])
            kept = (group.numbers[own], windowed[t], spectra[own], to_sums[own], ends[t])
            self._waiting[group.row, col, sample] = kept

    def add(self, row: int) -> None:
        """Do the nodes above a row of tiles, and those below the last one; all tiles down to it are there."""
        is_last = row == len(self.nodes.wanted) - 2
        for node_row in (row, row + 1) if is_last else (row,):
            for col in range(self.nodes.wanted.shape[1]):
                self._node(node_row, col)
        for key in [key for key in tuple(self._waiting) if key[0] < row]:
            del self._waiting[key]

    def _node(self, row: int, col: int) -> None:
        planes = np.flatnonzero(self.nodes.wanted[row, col])
        if not len(planes):
            return
        tall, wide = self.tiles.block.fft_shape
        kernels, channels, size = self.nodes.kernels, self.nodes.kernels.shape[1], self.nodes.kernels.shape[-1]
        complex_type = np.result_type(kernels.dtype, np.complex64)
        total = np.zeros((len(planes), channels, tall, wide // 2 + 1), complex_type)
        moments = np.zeros((len(planes), channels, 2, 2))
        for a in (1, 0):
            for b in (1, 0):
                keys = [(row - a, col - b, sample) for sample in range(self.tiles.presence.shape[0])]
                waiting = (self._waiting[key] for key in keys if key in self._waiting)
                for numbers, windowed, spectra, to_sums, ends in waiting:
                    index = np.searchsorted(planes, numbers)
                    first, second = windowed[a, b][None], spectra
                    if self.tiles.sign < 0:
                        first, second = second, first
                    tile_loops.add_corner(first, second, index, total)
                    tile_loops.spread_moments(to_sums, index, a, b, ends, self.tiles.sign, moments)
        lines = scipy.fft.ifft(total, axis=-2, overwrite_x=True)[:, :, :size]
        found = scipy.fft.irfft(lines, n=wide, axis=-1)[..., :size]
        x = self._offset
        found += moments[..., :1, :1] + moments[..., :1, 1:] * x
        found += x[:, None] * (moments[..., 1:, :1] + moments[..., 1:, 1:] * x)
        start = self.nodes.start_of(row) + int(self.nodes.wanted[row, :col].sum())
        self.found[start : start + len(planes)] = found


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, picture: Tensor, weights: Tensor, kernels: Tensor | None, block_sum: Any, nodes: Any
    ) -> Tensor:
        planes = replace(block_sum.planes, weights=weights.detach().contiguous().numpy())
        ctx.sum, ctx.nodes, ctx.picture = replace(block_sum, planes=planes), nodes, picture.detach().contiguous()
        block = block_sum.tiles.block
        spare = 0 if block_sum.is_gather else block_sum.tiles.kernel_px - 1
        out = picture.new_zeros((*picture.shape[:2], block.rows.length + spare, block.cols.length + spare))
        if block_sum.is_gather:
            ctx.sum.gather(nodes, ctx.picture.numpy(), (0, 0), out.numpy())
        else:
            ctx.sum.scatter(nodes, ctx.picture.numpy(), out.numpy())
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        given = grads[0].contiguous().numpy()
        found = ctx.sum.slopes(ctx.nodes, ctx.picture.numpy(), given, ctx.needs_input_grad[2])
        return (*(None if one is None else torch.from_numpy(one) for one in found), None, None)


def differentiable_sum(
    picture: Tensor, weights: Tensor, kernels: Tensor | None, block_sum: BlockSum, nodes: NodeSource
) -> Tensor:
    """`BlockSum.gather` or `scatter` with gradients in its tensors.

    Args:
        picture: Of the block: with half a kernel all round for a gather.
        weights: Shape (B, 2, C, h, w).
        kernels: What `nodes` holds if it is `KernelNodes`, row by row, shape (M, C, K, K); None: no gradient for them.
        block_sum: What to do.
        nodes: Where spectra come from.

    Returns:
        Of the block: with half a kernel all round for a scatter.
    """
    return _Sum.apply(picture, weights, kernels, block_sum, nodes)  # type: ignore[no-any-return]
