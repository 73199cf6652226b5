"""Per-pixel rendering on a CPU: every thread takes whole tiles and whole nodes.

What `spectra.py` does in torch operations for any device, with pocketfft and compiled loops: a tile's work stays in
one core's cache and no thread waits for another between its steps. Two operations, each the other's transpose, serve
both forms and all gradients: `pair_values` (windows on what comes in, one inverse transform per pair of tile and
plane) and `spread` (one forward transform per pair, windows on what goes out).
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import scipy.fft

from . import tile_loops
from .tiling import Axis, Block

Array = np.ndarray[Any, Any]
Job = Callable[[], None]
# Tiles and pairs of a group: enough for a thread to be busy for longer than it takes to hand work out.
GROUP_TILES, GROUP_PAIRS = 4, 16


@dataclass(frozen=True, eq=False)
class NodeRow:
    """Spectra along one row of nodes.

    Attributes:
        values: Shape (M, C, Ny, Nx / 2 + 1).
        moments: Of the same kernels, shape (M, C, 2, 2).
        slot: Which of them is whose, -1 for none, shape (nodes, P).
    """

    values: Array
    moments: Array
    slot: Array


class NodeSource(Protocol):
    """Where spectra of nodes come from."""

    def begin(self, row: int, first: int, end: int) -> tuple[NodeRow, list[Job]]:
        """A row of nodes, columns first to end - 1, and the jobs that fill it."""


@dataclass(frozen=True, eq=False)
class Group:
    """Some tiles of one row of tiles, done together: one call for all of them keeps threads out of each other's way.

    Pairs are of tile and plane, tile by tile.

    Attributes:
        row: Of tiles.
        cols: Column and sample of each tile.
        where: Sample, first row, first column, rows and columns of each tile in the block, shape (T, 5).
        start: Pairs of tile t are start[t] to start[t + 1] - 1, shape (T + 1,).
        owner: Tile of each pair, shape (n,).
        numbers: Plane of each pair, int32, shape (n,).
        index: Entries of each pair in the node rows above and below, [above or below, left or right, n].
        upper: The node row above.
        lower: The node row below.
    """

    row: int
    cols: tuple[tuple[int, int], ...]
    where: Array
    start: Array
    owner: Array
    numbers: Array
    index: Array
    upper: NodeRow
    lower: NodeRow


class Latch:
    """Opens once some jobs are done."""

    def __init__(self, count: int) -> None:
        """Count: how many jobs; none of them: open from the start."""
        self._left, self._lock, self._open = count, threading.Lock(), threading.Event()
        if not count:
            self._open.set()

    def after(self, job: Job) -> Job:
        """The job, which then counts."""

        def run() -> None:
            job()
            with self._lock:
                self._left -= 1
                if not self._left:
                    self._open.set()

        return run

    def wait(self, is_off: threading.Event) -> None:
        """Return when it is open, or when everything is off because another job failed."""
        while not self._open.wait(0.1) and not is_off.is_set():
            pass


def run_stream(jobs: Iterator[Job], threads: int, is_off: threading.Event) -> None:
    """Do jobs in threads, begun in their order; each is asked for when a thread is free.

    A job may wait for earlier ones. The first failure ends it all, is raised, and sets `is_off`.
    """
    lock = threading.Lock()

    def work() -> None:
        while not is_off.is_set():
            try:
                with lock:
                    job = next(jobs, None)
                if job is None:
                    return
                job()
            except BaseException:
                is_off.set()
                raise

    if threads == 1:
        work()
        return
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(work) for _ in range(threads)]
        try:
            for future in futures:
                future.result()
        except BaseException:
            is_off.set()
            raise


class BlockTiles:
    """The tiles of one block, and what a group's steps have in common."""

    def __init__(self, block: Block, presence: Array, kernel_px: int, sign: int, strip_tiles: int) -> None:
        """Args: block, presence (B, rows, columns, P), K, sign (1 gather, -1 scatter), columns of tiles at once."""
        self.block, self.presence, self.kernel_px, self.sign = block, presence, kernel_px, sign
        self.strip_tiles = strip_tiles
        self._down, self._ends_y = self._windows_of(block.rows)
        self._across, self._ends_x = self._windows_of(block.cols)

    def _windows_of(self, axis: Axis) -> tuple[Array, Array]:
        """Both windows over each tile and half a kernel all round, and offset and slope of the second one."""
        half = self.kernel_px // 2
        start, border = np.array(axis.start), np.array(axis.border)
        slope = 1 / np.diff(border)
        offset = (start - border[:-1]) * slope
        after = offset[:, None] + slope[:, None] * (np.arange(axis.largest + 2 * half) - half)
        return np.stack((1 - after, after), 1), np.stack((offset, slope), 1)

    def run(
        self,
        source: NodeSource,
        threads: int,
        work: Callable[[Group], None],
        after: Callable[[int], None] | None = None,
    ) -> None:
        """Call `work` for every group in threads, and `after`, row by row, whenever a row of tiles is done.

        Nodes are made one row ahead of the tiles that need them. `after` is called by one thread at a time.
        """
        is_off = threading.Event()
        rows = _RowOrder(after)
        run_stream(self._jobs(source, work, rows, is_off), threads, is_off)
        rows.finish()

    def _jobs(
        self, source: NodeSource, work: Callable[[Group], None], rows: "_RowOrder", is_off: threading.Event
    ) -> Iterator[Job]:
        tile_rows, columns = self.presence.shape[1:3]
        for first in range(0, columns, self.strip_tiles):
            end = min(columns, first + self.strip_tiles)
            made: dict[int, NodeRow] = {}
            latches: dict[int, Latch] = {}
            for row in range(tile_rows):
                for node_row in range(row, min(row + 3, tile_rows + 1)):
                    if node_row not in made:
                        made[node_row], jobs = source.begin(node_row, first, end + 1)
                        latches[node_row] = Latch(len(jobs))
                        for job in jobs:
                            yield latches[node_row].after(job)
                groups = self._groups(row, first, end, made)
                rows.expect((first, row), len(groups))
                ready = (latches[row], latches[row + 1])
                for group in groups:
                    yield partial(self._one, group, work, ready, is_off, rows, (first, row))
                del made[row], latches[row]

    def _one(
        self,
        group: Group,
        work: Callable[[Group], None],
        ready: tuple[Latch, Latch],
        is_off: threading.Event,
        rows: "_RowOrder",
        key: tuple[int, int],
    ) -> None:
        for latch in ready:
            latch.wait(is_off)
        if not is_off.is_set():
            work(group)
            rows.done(key)

    def _groups(self, row: int, first: int, end: int, made: dict[int, NodeRow]) -> list[Group]:
        """Tiles of a row with work to do, some at a time."""
        found = []
        counts = self.presence[:, row, first:end].sum(-1)
        some: list[tuple[int, int]] = []
        load = 0
        for sample, col in np.argwhere(counts).tolist():
            if some and (load + counts[sample, col] > GROUP_PAIRS or len(some) == GROUP_TILES):
                found.append(self._group(row, some, first, made))
                some, load = [], 0
            some.append((sample, first + col))
            load += int(counts[sample, col])
        if some:
            found.append(self._group(row, some, first, made))
        return found

    def _group(self, row: int, tiles: list[tuple[int, int]], first: int, made: dict[int, NodeRow]) -> Group:
        rows, cols = self.block.rows, self.block.cols
        planes = [np.flatnonzero(self.presence[sample, row, col]).astype(np.int32) for sample, col in tiles]
        counts = [len(one) for one in planes]
        owner, numbers = np.repeat(np.arange(len(tiles)), counts), np.concatenate(planes)
        left = np.array([col - first for _, col in tiles])[owner]
        upper, lower = made[row], made[row + 1]
        return Group(
            row=row,
            cols=tuple((col, sample) for sample, col in tiles),
            where=np.array([(b, rows.start[row], cols.start[c], rows.size[row], cols.size[c]) for b, c in tiles]),
            start=np.concatenate(([0], np.cumsum(counts))),
            owner=owner,
            numbers=numbers,
            index=np.stack([[one.slot[left + b, numbers] for b in (0, 1)] for one in (upper, lower)]),
            upper=upper,
            lower=lower,
        )

    def ends(self, group: Group) -> Array:
        """Offset and slope of the second window along y and along x of every tile, shape (T, 2, 2)."""
        return np.array([(self._ends_y[group.row], self._ends_x[col]) for col, _ in group.cols])

    def sums(self, group: Group) -> Array:
        """What the kernels of the pixels sum to, four numbers per pair and channel (`tile_loops`)."""
        out = np.empty((len(group.numbers), group.upper.moments.shape[1], 4))
        moments = (group.upper.moments, group.lower.moments)
        tile_loops.sum_moments(*moments, group.index, group.start, self.ends(group), self.sign, out)
        return out

    def _windows(self, group: Group, dtype: Any) -> tuple[Array, Array]:
        """Windows down, shape (2, h + K - 1), and across, shape (T, 2, w + K - 1)."""
        height = self.block.rows.size[group.row] + self.kernel_px - 1
        across = self._across[[col for col, _ in group.cols]]
        return self._down[group.row, :, :height].astype(dtype), across.astype(dtype)

    def windowed(self, group: Group, picture: Array, corner: tuple[int, int]) -> Array:
        """Spectra of the tiles and half a kernel all round under the four windows.

        Args:
            group: Which.
            picture: With half a kernel all round, shape (B, C, H, W).
            corner: Row and column of the picture where the block, with its margin, begins.

        Returns:
            Shape (T, 2, 2, C, Ny, Nx / 2 + 1).
        """
        tall, wide = self.block.fft_shape
        down, across = self._windows(group, picture.dtype)
        lines = np.empty((len(group.cols), 2, picture.shape[1], down.shape[1], wide), picture.dtype)
        tile_loops.window_across(picture, group.where, np.array(corner), self.kernel_px - 1, across, lines)
        lines = scipy.fft.rfft(lines, axis=-1)
        out = np.empty((len(lines), 2, *lines.shape[1:3], tall, lines.shape[4]), lines.dtype)
        tile_loops.window_down(lines, down, out)
        return scipy.fft.fft(out, axis=-2, overwrite_x=True)  # type: ignore[no-any-return]

    def pair_values(self, group: Group, windowed: Array, lead: int, is_conjugate: bool = False) -> Array:
        """Sum over the corners of windows times kernels, back in pixels: shape (n, C, h, Nx), rows from `lead` on."""
        out = np.empty((len(group.numbers), *windowed.shape[3:]), windowed.dtype)
        multiply = tile_loops.multiply_back if is_conjugate else tile_loops.multiply
        multiply(windowed, group.owner, group.upper.values, group.lower.values, group.index, out)
        out = scipy.fft.ifft(out, axis=-2, overwrite_x=True)
        rows = out[:, :, lead : lead + self.block.rows.size[group.row]]
        return scipy.fft.irfft(rows, n=self.block.fft_shape[1], axis=-1)  # type: ignore[no-any-return]

    def spread(self, group: Group, spectra: Array, is_conjugate: bool = False) -> Array:
        """Transpose of `windowed` and `pair_values`: what pairs leave on the tiles and half a kernel all round.

        Args:
            group: Which.
            spectra: Of light per pair, shape (n, C, Ny, Nx / 2 + 1).
            is_conjugate: Whether kernels are turned round.

        Returns:
            Shape (T, C, h + K - 1, w + K - 1) with room for the widest tile.
        """
        down, across = self._windows(group, spectra.real.dtype)
        corners = np.empty((len(group.cols), 2, 2, *spectra.shape[1:]), spectra.dtype)
        nodes = (group.upper.values, group.lower.values, group.index)
        tile_loops.collect(spectra, group.start, *nodes, is_conjugate, corners)
        corners = scipy.fft.ifft(corners, axis=-2, overwrite_x=True)
        lines = np.empty((len(corners), 2, spectra.shape[1], down.shape[1], spectra.shape[3]), spectra.dtype)
        tile_loops.sum_down(corners, down, lines)
        parts = scipy.fft.irfft(lines, n=self.block.fft_shape[1], axis=-1)
        out = np.empty((len(parts), *parts.shape[2:4], across.shape[2]), parts.dtype)
        tile_loops.sum_across(parts, across, out)
        return out


class _RowOrder:
    """Calls a function for each row of tiles, in order, once all groups of the row are done."""

    def __init__(self, after: Callable[[int], None] | None) -> None:
        self._after = after
        self._left: dict[tuple[int, int], int] = {}
        self._order: list[tuple[int, int]] = []
        self._lock = threading.Lock()

    def expect(self, key: tuple[int, int], count: int) -> None:
        """Of a row (strip, row) so many groups will come."""
        with self._lock:
            self._left[key] = count
            self._order.append(key)

    def done(self, key: tuple[int, int]) -> None:
        """One group more."""
        with self._lock:
            self._left[key] -= 1
            self._advance()

    def finish(self) -> None:
        """Rows without groups at the end."""
        with self._lock:
            self._advance()

    def _advance(self) -> None:
        while self._order and not self._left[self._order[0]]:
            row = self._order.pop(0)
            if self._after is not None:
                self._after(row[1])
