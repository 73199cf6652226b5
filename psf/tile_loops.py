"""`tiles` on a CPU: every thread takes whole tiles, transforms them with pocketfft and does the rest in compiled loops.

A tile's work stays in one core's cache and no thread waits for another between its steps, so that a core which
somebody else uses costs its share and no more; fork-join operations on small tensors lose a hundredfold then.
"""

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
import scipy.fft

from .threads import run_threads

Array = np.ndarray[Any, Any]


def _multiply(forward: Array, spectra: Array, planes: Array, channels: Array, out: Array) -> None:
    """out[n, o] = sum over q of forward[channels[o], q] * spectra[planes[n], o, q]."""
    for n in range(planes.size):
        for o in range(out.shape[1]):
            for y in range(out.shape[2]):
                a, b, c = forward[channels[o], 0, y], spectra[planes[n], o, 0, y], out[n, o, y]
                for x in range(c.size):
                    c[x] = a[x] * b[x]
                for q in range(1, forward.shape[1]):
                    a, b = forward[channels[o], q, y], spectra[planes[n], o, q, y]
                    for x in range(c.size):
                        c[x] += a[x] * b[x]


def _multiply_back(spectrum: Array, spectra: Array, planes: Array, channels: Array, out: Array) -> None:
    """out[channels[o], q] = sum over n of spectrum[n, o] * conj(spectra[planes[n], o, q])."""
    out[:] = 0
    for n in range(planes.size):
        for o in range(spectrum.shape[1]):
            for q in range(out.shape[1]):
                for y in range(out.shape[2]):
                    a, b, c = spectrum[n, o, y], spectra[planes[n], o, q, y], out[channels[o], q, y]
                    for x in range(c.size):
                        c[x] += a[x] * np.conj(b[x])


def _add_products(spectrum: Array, forward: Array, planes: Array, channels: Array, out: Array) -> None:
    """out[planes[n], o, q] += spectrum[n, o] * conj(forward[channels[o], q])."""
    for n in range(planes.size):
        for o in range(spectrum.shape[1]):
            for q in range(forward.shape[1]):
                for y in range(out.shape[3]):
                    a, b, c = spectrum[n, o, y], forward[channels[o], q, y], out[planes[n], o, q, y]
                    for x in range(c.size):
                        c[x] += a[x] * np.conj(b[x])


def _add_weighted(values: Array, lower: Array, share: Array, numbers: Array, lead: int, out: Array) -> None:
    """out[o] += weight of plane numbers[n] * values[n, o, :, lead:]."""
    one, zero = share.dtype.type(1), share.dtype.type(0)
    for n in range(numbers.size):
        plane = share.dtype.type(numbers[n])
        for o in range(out.shape[0]):
            w = o if lower.shape[0] > 1 else 0
            for y in range(out.shape[1]):
                low, part, source, target = lower[w, y], share[w, y], values[n, o, y, lead:], out[o, y]
                for x in range(target.size):
                    target[x] += max(zero, one - abs(low[x] - plane + part[x])) * source[x]


def _weigh(given: Array, lower: Array, share: Array, numbers: Array, lead: int, out: Array) -> None:
    """out[n, o, lead:, lead:] = weight of plane numbers[n] * given[o], zeros elsewhere."""
    one, zero = share.dtype.type(1), share.dtype.type(0)
    out[:] = zero
    for n in range(numbers.size):
        plane = share.dtype.type(numbers[n])
        for o in range(given.shape[0]):
            w = o if lower.shape[0] > 1 else 0
            for y in range(given.shape[1]):
                low, part, source, target = lower[w, y], share[w, y], given[o, y], out[n, o, lead + y, lead:]
                for x in range(source.size):
                    target[x] = max(zero, one - abs(low[x] - plane + part[x])) * source[x]


def _add_slopes(values: Array, lower: Array, given: Array, numbers: Array, lead: int, out: Array) -> None:
    """Add given[o] * values[n, o] to out, with a minus sign where numbers[n] is the lower plane, for the two planes."""
    for n in range(numbers.size):
        for o in range(given.shape[0]):
            w = o if lower.shape[0] > 1 else 0
            for y in range(given.shape[1]):
                for x in range(given.shape[2]):
                    if lower[w, y, x] == numbers[n]:
                        out[w, y, x] -= given[o, y, x] * values[n, o, y, lead + x]
                    elif lower[w, y, x] == numbers[n] - 1:
                        out[w, y, x] += given[o, y, x] * values[n, o, y, lead + x]


def _mark_planes(lower: Array, share: Array, step: int, out: Array) -> None:
    """out[b, tile row, tile column, p]: whether plane p has a weight in the tile."""
    for b in range(lower.shape[0]):
        for o in range(lower.shape[1]):
            for y in range(lower.shape[2]):
                for x in range(lower.shape[3]):
                    p = int(lower[b, o, y, x])
                    if share[b, o, y, x] < 1:
                        out[b, y // step, x // step, p] = True
                    if share[b, o, y, x] > 0:
                        out[b, y // step, x // step, p + 1] = True


def _place(depth: Array, planes: Array, lower: Array, share: Array) -> None:
    """The plane before each depth and the share of the one after it; planes are -1/m and ascend."""
    last = planes.size - 2
    p = 0
    for i in range(depth.size):
        place = min(max(-1 / depth[i], planes[0]), planes[-1])
        while p > 0 and place < planes[p]:  # the neighbour's answer is most often right
            p -= 1
        while p < last and place >= planes[p + 1]:
            p += 1
        lower[i] = p
        share[i] = (place - planes[p]) / (planes[p + 1] - planes[p])


_compile = numba.njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
multiply, multiply_back, add_products = _compile(_multiply), _compile(_multiply_back), _compile(_add_products)
add_weighted, weigh, add_slopes = _compile(_add_weighted), _compile(_weigh), _compile(_add_slopes)
mark_planes, place = _compile(_mark_planes), _compile(_place)


def place_depths(
    depth_m: Array, planes: Array, threads: int, index_type: type[Any] | None = None
) -> tuple[Array, Array]:
    """Lower plane and share of the next, of every depth.

    Args:
        depth_m: Positive, `inf` allowed, any shape (...), contiguous.
        planes: -1/m of at least two planes, ascending, shape (P,).
        threads: How many share the work.
        index_type: Of the lower planes' numbers; None: that of the depths.
    """
    lower, share = np.empty_like(depth_m, dtype=index_type), np.empty_like(depth_m)
    flat = [np.array_split(one.reshape(-1), threads) for one in (depth_m, lower, share)]
    run_threads(lambda part: place(part[0], planes, part[1], part[2]), list(zip(*flat, strict=True)), threads)
    return lower, share


class Tiles:
    """The tile sums of one call, on arrays; see `tiles.sum_tiles` for the shapes.

    The padded input is (B, C, Q, rows, cols), large enough for whole tiles. Nothing is kept between calls.
    """

    def __init__(
        self,
        phases: Array,
        kernels: Array,
        places: Sequence[Array],
        sides: tuple[int, int, int, int],
        planes: tuple[int, int],
        channels: Sequence[int] | None,
        threads: int,
    ) -> None:
        """Args: sides (tile, kernel, height, width), planes (number, step between samples) and what they belong to."""
        self.phases, self.kernels, self.places, self.threads = phases, kernels, places, threads
        self.tile, self.kernel, self.height, self.width = sides
        self.step = self.tile - self.kernel + 1
        self.planes, self.planes_step = planes
        self.channels = np.arange(kernels.shape[1]) if channels is None else np.array(channels)
        self.batch = phases.shape[0]
        self.grid = -(-self.height // self.step), -(-self.width // self.step)
        seen = np.zeros((self.batch, *self.grid, self.planes), np.bool_)
        if places:
            one = [(places[0][b : b + 1], places[1][b : b + 1], self.step, seen[b : b + 1]) for b in range(self.batch)]
            run_threads(lambda job: mark_planes(*job), one, threads if self.batch > 1 else 1)
        else:
            seen[:] = True
        self.seen = seen
        self.spectra = self._transform_kernels()

    def _transform_kernels(self) -> Array:
        sets, outs, phases = self.kernels.shape[:3]
        complex_type = np.result_type(self.kernels.dtype, np.complex64)
        spectra: Array = np.zeros((sets, outs, phases, self.tile, self.tile // 2 + 1), complex_type)
        needed = self.seen.any((1, 2) if self.planes_step else (0, 1, 2))

        def transform(number: int) -> None:
            # Rows without light are not transformed.
            spectra[number, :, :, : self.kernel] = scipy.fft.rfft(self.kernels[number], n=self.tile, axis=-1)
            spectra[number] = scipy.fft.fft(spectra[number], axis=-2, overwrite_x=True)

        run_threads(transform, np.flatnonzero(needed), self.threads)
        return spectra

    def jobs(self) -> list[tuple[int, int, int]]:
        """Sample, tile row and tile column of every tile, the busy ones first."""
        counts = self.seen.sum(-1)
        order = np.argsort(-counts, axis=None, kind="stable")
        found = np.stack(np.unravel_index(order, counts.shape), 1)
        return [(b, row, col) for b, row, col in found.tolist()]

    def forward(self) -> Array:
        """The sums, (B, O, H, W)."""
        out: Array = np.zeros((self.batch, self.kernels.shape[1], self.height, self.width), self.phases.dtype)

        def work(job: tuple[int, int, int]) -> None:
            where = self._window(job)
            numbers = np.flatnonzero(self.seen[job])
            values = self._invert(self._spectrum(job), numbers + job[0] * self.planes_step)
            target = out[where]
            values = values[:, :, : target.shape[1]]
            if self.places:
                lower, share = (one[where] for one in self.places)
                add_weighted(values, lower, share, numbers, self.kernel - 1, target)
            else:
                target[:] = values[0, :, :, self.kernel - 1 : self.kernel - 1 + target.shape[2]]

        run_threads(work, self.jobs(), self.threads)
        return out

    def backward(self, grad: Array, wanted: tuple[bool, bool, bool]) -> tuple[Array | None, Array | None, Array | None]:
        """Gradients by the padded input, kernels and share, those that are wanted."""
        to_phases, to_kernels, to_share = wanted
        tile_shape = (self.batch, *self.grid, *self.phases.shape[1:3], self.tile, self.tile)
        tile_grads: Array | None = np.empty(tile_shape, self.phases.dtype) if to_phases else None
        share_grads: Array | None = np.zeros_like(self.places[1]) if to_share else None
        lead = self.kernel - 1

        def work(job: tuple[int, int, int], sums: Array | None) -> None:
            where = self._window(job)
            numbers = np.flatnonzero(self.seen[job])
            sets = numbers + job[0] * self.planes_step
            given = grad[where]
            forward = self._spectrum(job) if to_kernels or to_share else None
            if share_grads is not None and forward is not None:
                values = self._invert(forward, sets)
                add_slopes(values, self.places[0][where], given, numbers, lead, share_grads[where])
            weighted = np.zeros((len(numbers), len(given), self.tile, self.tile), self.phases.dtype)
            if self.places:
                lower, share = (one[where] for one in self.places)
                weigh(given, lower, share, numbers, lead, weighted)
            else:
                weighted[:, :, lead : lead + given.shape[1], lead : lead + given.shape[2]] = given
            spectrum = scipy.fft.rfft2(weighted, overwrite_x=True)
            if sums is not None and forward is not None:
                add_products(spectrum, forward, sets, self.channels, sums)
            if tile_grads is not None:
                back = np.empty((*self.phases.shape[1:3], *spectrum.shape[2:]), spectrum.dtype)
                multiply_back(spectrum, self.spectra, sets, self.channels, back)
                tile_grads[job] = scipy.fft.irfft2(back, s=(self.tile, self.tile), overwrite_x=True)

        # Each thread has its own sums and always the same tiles: the same bytes come out every time.
        all_sums: list[Array | None] = [
            np.zeros_like(self.spectra) if to_kernels else None for _ in range(self.threads)
        ]
        jobs = self.jobs()

        def work_share(first: int) -> None:
            for job in jobs[first :: self.threads]:
                work(job, all_sums[first])

        run_threads(work_share, range(self.threads), self.threads)
        kernel_grads: Array | None = None
        total = all_sums[0]
        if total is not None:
            for more in all_sums[1:]:
                total += more
            k = self.kernel
            rows = scipy.fft.ifft(total, axis=-2, workers=self.threads, overwrite_x=True)[..., :k, :]
            kernel_grads = scipy.fft.irfft(rows, n=self.tile, workers=self.threads)[..., :k]
        input_grads: Array | None = None
        if tile_grads is not None:
            input_grads = np.zeros(self.phases.shape, self.phases.dtype)
            for sample, row, col in np.ndindex(*tile_grads.shape[:3]):
                y, x = row * self.step, col * self.step
                part = tile_grads[sample, row, col]
                input_grads[sample, :, :, y : y + self.tile, x : x + self.tile] += part
        return input_grads, kernel_grads, share_grads

    def _window(self, job: tuple[int, int, int]) -> tuple[int, slice, slice, slice]:
        """Where a tile's results go in (B, O, H, W)."""
        sample, row, col = job
        y, x = row * self.step, col * self.step
        rows, cols = slice(y, min(y + self.step, self.height)), slice(x, min(x + self.step, self.width))
        return sample, slice(None), rows, cols

    def _spectrum(self, job: tuple[int, int, int]) -> Array:
        sample, row, col = job
        y, x = row * self.step, col * self.step
        part = self.phases[sample, :, :, y : y + self.tile, x : x + self.tile]
        found: Array = scipy.fft.rfft2(part)
        return found

    def _invert(self, forward: Array, sets: Array) -> Array:
        """Convolutions by some kernel sets (n, O, step, tile); rows that wrapped light reaches are left out."""
        products: Array = np.empty((len(sets), self.kernels.shape[1], *forward.shape[2:]), forward.dtype)
        multiply(forward, self.spectra, sets, self.channels, products)
        rows = scipy.fft.ifft(products, axis=-2, overwrite_x=True)[:, :, self.kernel - 1 :]
        found: Array = scipy.fft.irfft(rows, n=self.tile, axis=-1)
        return found
