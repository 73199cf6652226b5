"""Compiled loops of a pixel's two plane weights (`weights.py`), and their transpose."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from .gathering import place_of

Array = npt.NDArray[Any]


def _weigh(
    sums: Array,
    transmission: Array,
    radii: Array,
    centre: Array,
    before: Array,
    share: Array,
    x_px: Array,
    y_px: Array,
    out: Array,
    has_transmission: bool,
) -> None:
    """Fill out (B, 2, C, h, W); arguments as in `weigh`."""
    channels, planes, kind = out.shape[2], sums.shape[2] // out.shape[2], sums.dtype.type
    one = kind(1)
    for y in range(len(y_px)):
        for x in range(len(x_px)):
            _, _, j, j1, far_share, k, angle_share = place_of(x_px[x], y_px[y], centre, radii, sums.shape[1])
            f, g = kind(far_share), kind(angle_share)
            w3 = g * f
            w1, w2 = g - w3, f - w3
            w0 = one - g - w2
            for b in range(len(before)):
                part = share[b, y, x]
                first = before[b, y, x] * channels
                second = min(before[b, y, x] + 1, planes - 1) * channels
                for c in range(channels):
                    p, q = first + c, second + c
                    n1 = w0 * sums[j, k, p] + w1 * sums[j, k + 1, p] + w2 * sums[j1, k, p] + w3 * sums[j1, k + 1, p]
                    n2 = w0 * sums[j, k, q] + w1 * sums[j, k + 1, q] + w2 * sums[j1, k, q] + w3 * sums[j1, k + 1, q]
                    n1, n2 = (one - part) * n1, part * n2
                    scale = one / (n1 + n2)
                    if has_transmission:
                        near = (one - f) * transmission[j, p] + f * transmission[j1, p]
                        far = (one - f) * transmission[j, q] + f * transmission[j1, q]
                        scale *= (one - part) * near + part * far
                    out[b, 0, c, y, x] = n1 * scale
                    out[b, 1, c, y, x] = n2 * scale


def _weigh_back(
    sums: Array,
    transmission: Array,
    radii: Array,
    centre: Array,
    before: Array,
    share: Array,
    x_px: Array,
    y_px: Array,
    given: Array,
    has_transmission: bool,
    to_sums: Array,
    to_transmission: Array,
    to_share: Array,
) -> None:
    """Gradients of sum(given * result of `_weigh`); the last three are added to."""
    channels, planes = given.shape[2], sums.shape[2] // given.shape[2]
    for y in range(len(y_px)):
        for x in range(len(x_px)):
            _, _, j, j1, f, k, g = place_of(x_px[x], y_px[y], centre, radii, sums.shape[1])
            w0, w1, w2, w3 = (1 - g) * (1 - f), g * (1 - f), (1 - g) * f, g * f
            for b in range(len(before)):
                part = share[b, y, x]
                first = before[b, y, x] * channels
                second = min(before[b, y, x] + 1, planes - 1) * channels
                for c in range(channels):
                    p, q = first + c, second + c
                    n1 = w0 * sums[j, k, p] + w1 * sums[j, k + 1, p] + w2 * sums[j1, k, p] + w3 * sums[j1, k + 1, p]
                    n2 = w0 * sums[j, k, q] + w1 * sums[j, k + 1, q] + w2 * sums[j1, k, q] + w3 * sums[j1, k + 1, q]
                    one, two = (1 - part) * n1, part * n2
                    total = one + two
                    near, far = 1.0, 1.0
                    if has_transmission:
                        near = (1 - f) * transmission[j, p] + f * transmission[j1, p]
                        far = (1 - f) * transmission[j, q] + f * transmission[j1, q]
                    light = (1 - part) * near + part * far
                    g1, g2 = given[b, 0, c, y, x], given[b, 1, c, y, x]
                    to_light = (g1 * one + g2 * two) / total
                    to_one, to_two = light * two * (g1 - g2) / total**2, light * one * (g2 - g1) / total**2
                    to_share[b, y, x] += to_two * n2 - to_one * n1 + to_light * (far - near)
                    for place, change in ((p, to_one * (1 - part)), (q, to_two * part)):
                        to_sums[j, k, place] += w0 * change
                        to_sums[j, k + 1, place] += w1 * change
                        to_sums[j1, k, place] += w2 * change
                        to_sums[j1, k + 1, place] += w3 * change
                    if has_transmission:
                        to_transmission[j, p] += (1 - f) * (1 - part) * to_light
                        to_transmission[j1, p] += f * (1 - part) * to_light
                        to_transmission[j, q] += (1 - f) * part * to_light
                        to_transmission[j1, q] += f * part * to_light


_weigh_compiled = numba.njit(cache=True, nogil=True, fastmath={"contract"})(_weigh)


def _weigh_tiles(
    sums: Array,
    transmission: Array,
    radii: Array,
    centre: Array,
    before: Array,
    share: Array,
    x_px: Array,
    y_px: Array,
    has_transmission: bool,
    where: Array,
    spot: Array,
    out: Array,
) -> None:
    """`_weigh` for the tiles of a group: out is (T, 2, C, h, w); where and spot as in `tile_loops`."""
    for t in range(len(where)):
        b, y, x, h, w = where[t, 0], where[t, 1], where[t, 2], where[t, 3], where[t, 4]
        top, left = spot[t, 2, 0], spot[t, 2, 1]
        _weigh_compiled(
            sums, transmission, radii, centre, before[b : b + 1, top : top + h, left : left + w],
            share[b : b + 1, top : top + h, left : left + w], x_px[x : x + w], y_px[y : y + h],
            out[t : t + 1, :, :, :h, :w], has_transmission,
        )  # fmt: skip


weigh_tiles = numba.njit(cache=True, nogil=True)(_weigh_tiles)
_back_compiled = numba.njit(cache=True, nogil=True, fastmath={"contract"})(_weigh_back)


def weigh(
    sums: Array,
    transmission: Array,
    radii: Array,
    centre: Array,
    before: Array,
    share: Array,
    x_px: Array,
    y_px: Array,
    out: Array,
    *,
    has_transmission: bool,
    threads: int,
) -> None:
    """Fill `out` (B, 2, C, h, W) with the weights of the two planes of every pixel.

    Args:
        sums: As in `read_nodes`, shape (R, A, P C).
        transmission: Shape (R, P C).
        radii: Shape (R,).
        centre: As in `read_nodes`, shape (3,).
        before: The plane before, shape (B, h, W).
        share: Share of the one after it, shape (B, h, W).
        x_px: Sensor columns, shape (W,).
        y_px: Sensor rows, shape (h,).
        out: Shape (B, 2, C, h, W).
        has_transmission: Whether weights hold the transmission.
        threads: How many.
    """
    edges = np.linspace(0, len(y_px), threads + 1).astype(int)

    def work(rows: slice) -> None:
        _weigh_compiled(
            sums, transmission, radii, centre, before[:, rows], share[:, rows], x_px, y_px[rows],
            out[..., rows, :], has_transmission,
        )  # fmt: skip

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, [slice(int(a), int(b)) for a, b in itertools.pairwise(edges)]))


def weigh_back(
    sums: Array,
    transmission: Array,
    radii: Array,
    centre: Array,
    before: Array,
    share: Array,
    x_px: Array,
    y_px: Array,
    given: Array,
    *,
    has_transmission: bool,
    threads: int,
) -> tuple[Array, Array, Array]:
    """Gradients with respect to `sums`, `transmission` and `share` of a sum weighted with `given` (B, 2, C, h, W)."""
    edges = np.linspace(0, len(y_px), threads + 1).astype(int)
    parts = [slice(int(a), int(b)) for a, b in itertools.pairwise(edges)]
    found = [(np.zeros_like(sums), np.zeros_like(transmission)) for _ in parts]
    to_share = np.zeros_like(share)

    def work(i: int) -> None:
        rows = parts[i]
        _back_compiled(
            sums, transmission, radii, centre, before[:, rows], share[:, rows], x_px, y_px[rows],
            given[..., rows, :], has_transmission, *found[i], to_share[:, rows],
        )  # fmt: skip

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(len(parts))))
    to_sums, to_transmission = (np.sum([one[i] for one in found], 0, dtype=sums.dtype) for i in (0, 1))
    return to_sums, to_transmission, to_share
