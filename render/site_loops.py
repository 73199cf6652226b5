"""Compiled sums over the neighbours of Bayer sites, and their transpose: the loops behind `demosaicing` on a CPU."""

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from psf.threads import run_threads

Array = npt.NDArray[Any]

# Rows of one piece of work: some ten of them fit the second level of cache for pictures of 4000 columns.
BAND_ROWS = 64
# Fewer pixels than this are done before a second thread has begun.
THREADED_PX = 512 * 512


class Taps(NamedTuple):
    """Which neighbours make which colour at which site.

    Taps `starts[k]` to `starts[k + 1]`, k = 3 site + colour with sites row by row, are `weights` of the samples
    `rows` down and `cols` right. All are read-only; rows and cols lie in -2..2.
    """

    starts: Array
    rows: Array
    cols: Array
    weights: Array


def _add_taps(
    padded: Array, starts: Array, rows: Array, cols: Array, weights: Array, first: int, last: int, out: Array
) -> None:
    """out[c, y, x] = sum over taps of weight * padded[y + 2 + row, x + 2 + col] for y from first to last."""
    width = out.shape[2]
    for y in range(first, last):
        for c in range(3):
            target = out[c, y]
            for q in range(min(2, width)):
                site = 3 * (2 * (y & 1) + q) + c
                cells = (width - q + 1) // 2
                for k in range(starts[site], starts[site + 1]):
                    source, lead, weight = padded[y + 2 + rows[k]], q + 2 + cols[k], weights[k]
                    if k == starts[site]:
                        for x in range(cells):
                            target[2 * x + q] = weight * source[2 * x + lead]
                    else:
                        for x in range(cells):
                            target[2 * x + q] += weight * source[2 * x + lead]


def _spread_taps(given: Array, starts: Array, rows: Array, cols: Array, weights: Array, padded: Array) -> None:
    """padded[y + 2 + row, x + 2 + col] += weight * given[c, y, x], the transpose of `_add_taps`."""
    width = given.shape[2]
    for y in range(given.shape[1]):
        for c in range(3):
            source = given[c, y]
            for q in range(min(2, width)):
                site = 3 * (2 * (y & 1) + q) + c
                cells = (width - q + 1) // 2
                for k in range(starts[site], starts[site + 1]):
                    target, lead, weight = padded[y + 2 + rows[k]], q + 2 + cols[k], weights[k]
                    for x in range(cells):
                        target[2 * x + lead] += weight * source[2 * x + q]


_compile = numba.njit(cache=True, nogil=True, fastmath={"contract"})
_add_compiled, _spread_compiled = _compile(_add_taps), _compile(_spread_taps)


def sum_taps(padded: Array, taps: Taps, threads: int) -> Array:
    """Colours of every pixel.

    Args:
        padded: Mosaics with two more lines on every side, shape (N, H + 4, W + 4).
        taps: Of their pattern; the first cell begins behind the two lines.
        threads: How many.

    Returns:
        Shape (N, 3, H, W).
    """
    count, height, width = padded.shape[0], padded.shape[1] - 4, padded.shape[2] - 4
    out = np.empty((count, 3, height, width), padded.dtype)
    weights = taps.weights.astype(padded.dtype)

    def work(job: tuple[int, int]) -> None:
        n, first = job
        last = min(first + BAND_ROWS, height)
        _add_compiled(padded[n], taps.starts, taps.rows, taps.cols, weights, first, last, out[n])

    run_threads(
        work, [(n, first) for n in range(count) for first in range(0, height, BAND_ROWS)], _useful(threads, out)
    )
    return out


def spread_taps(given: Array, taps: Taps, threads: int) -> Array:
    """The transpose of `sum_taps`: given (N, 3, H, W), returns (N, H + 4, W + 4)."""
    padded = np.zeros((given.shape[0], given.shape[2] + 4, given.shape[3] + 4), given.dtype)
    weights = taps.weights.astype(given.dtype)

    def work(n: int) -> None:
        _spread_compiled(given[n], taps.starts, taps.rows, taps.cols, weights, padded[n])

    run_threads(work, range(given.shape[0]), _useful(threads, given))
    return padded


def _useful(threads: int, colours: Array) -> int:
    return threads if colours.size >= 3 * THREADED_PX else 1
