"""Where `tile_jobs` takes node spectra from: the field, kernels that are there, or spectra that were kept."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft

from . import gathering, tile_loops
from .nodes import Prepared, numpy_tables, plane_runs
from .tile_jobs import Job, NodeRow
from .tiling import Block

Array = np.ndarray[Any, Any]
# Nodes per job: enough for a thread to be busy for longer than it takes to hand a job out.
NODES_PER_JOB = 4


def transform(kernels: Array, fft_shape: tuple[int, int], row: NodeRow, first: int) -> None:
    """Spectra and moments of kernels (m, C, K, K), written to entries first to first + m - 1 of a row."""
    entries = slice(first, first + len(kernels))
    tile_loops.moments_of(kernels, row.moments[entries])
    lines = scipy.fft.rfft(kernels, n=fft_shape[1], axis=-1)
    row.values[entries] = scipy.fft.fft(lines, n=fft_shape[0], axis=-2)


def empty_row(slot: Array, channels: int, fft_shape: tuple[int, int], dtype: Any) -> NodeRow:
    """A row of nodes to be filled; `slot` as in `NodeRow`."""
    count = int(slot.max(initial=-1)) + 1
    values = np.empty((count, channels, fft_shape[0], fft_shape[1] // 2 + 1), np.result_type(dtype, np.complex64))
    return NodeRow(values, np.empty((count, channels, 2, 2)), slot)


def slots_of(wanted: Array) -> Array:
    """Entries by node and plane in the order of a row, -1 where nothing is wanted; wanted is bool (..., P)."""
    return np.where(wanted, np.cumsum(wanted).reshape(wanted.shape) - 1, -1)


@dataclass(frozen=True, eq=False)
class FieldNodes:
    """Nodes read from a field when they are needed.

    Attributes:
        prepared: The field.
        block: Whose nodes.
        wanted: Planes of the nodes, bool, shape (rows + 1, columns + 1, P).
        step: Sensor columns and rows per tap.
    """

    prepared: Prepared
    block: Block
    wanted: Array
    step: tuple[float, float]

    def begin(self, row: int, first: int, end: int) -> tuple[NodeRow, list[Job]]:
        """As in `tile_jobs.NodeSource`."""
        prepared, wanted = self.prepared, self.wanted[row, first:end]
        stored, sums, *tables = numpy_tables(prepared, self.step)
        made = empty_row(slots_of(wanted), prepared.channels, self.block.fft_shape, stored.dtype)
        y = self.block.rows.place_of(self.block.rows.border[row])
        node, runs = plane_runs(wanted)
        jobs: list[Job] = []
        for start in range(0, len(node), NODES_PER_JOB):
            some, ends = node[start : start + NODES_PER_JOB], runs[start : start + NODES_PER_JOB]
            xy = np.array([(self.block.cols.place_of(self.block.cols.border[first + n]), y) for n in some])
            slot = made.slot[some]
            begin, end = int(slot[0, ends[0, 0]]), int(slot[-1, ends[-1, 1]]) + 1

            def read(
                xy: Array = xy, ends: Array = ends, slot: Array = slot, begin: int = begin, end: int = end
            ) -> None:
                shape = (end - begin, prepared.channels, prepared.kernel_px, prepared.kernel_px)
                kernels = np.empty(shape, stored.dtype)
                options = (prepared.kernel_px, prepared.oversample, prepared.turning == "cubic", kernels)
                gathering.read_compiled(
                    stored, sums, *tables, xy, ends, np.where(slot >= 0, slot - begin, -1), *options
                )
                transform(kernels, self.block.fft_shape, made, begin)

            jobs.append(read)
        return made, jobs


@dataclass(frozen=True, eq=False)
class KernelNodes:
    """Nodes whose kernels are there.

    Attributes:
        kernels: Shape (M, C, K, K), row of nodes by row of nodes.
        block: Whose nodes.
        wanted: Planes of the nodes, bool, from `nodes.wanted_nodes`.
    """

    kernels: Array
    block: Block
    wanted: Array

    def start_of(self, row: int) -> int:
        """Entry of `kernels` with which a row of nodes begins."""
        return int(self.wanted[:row].sum())

    def begin(self, row: int, first: int, end: int) -> tuple[NodeRow, list[Job]]:
        """As in `tile_jobs.NodeSource`."""
        made = empty_row(
            slots_of(self.wanted[row, first:end]), self.kernels.shape[1], self.block.fft_shape, self.kernels.dtype
        )
        begin, count = self.start_of(row) + int(self.wanted[row, :first].sum()), len(made.values)
        cuts = range(0, count, 3 * NODES_PER_JOB)

        def job(start: int) -> Job:
            some = self.kernels[begin + start : begin + min(count, start + 3 * NODES_PER_JOB)]
            return lambda: transform(some, self.block.fft_shape, made, start)

        return made, [job(start) for start in cuts]


@dataclass(frozen=True, eq=False)
class KeptNodes:
    """Spectra that were made before.

    Attributes:
        rows: Of a whole block.
    """

    rows: tuple[NodeRow, ...]

    def begin(self, row: int, first: int, end: int) -> tuple[NodeRow, list[Job]]:
        """As in `tile_jobs.NodeSource`."""
        kept = self.rows[row]
        return NodeRow(kept.values, kept.moments, kept.slot[first:end]), []
