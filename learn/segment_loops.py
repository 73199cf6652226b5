"""Compiled loops that take a picture apart into regions: the graph method of Felzenszwalb and Huttenlocher (2004).

Neighbouring pixels are joined in the order of how little they differ, as long as two regions differ by less than what
each of them holds inside, plus an allowance that falls with its size.
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Differences of colour, sums over three channels of 0..255, are told apart in so many steps.
STEPS = 766


def _weigh_edges(samples: Array, counts: Array, across: Array, down: Array) -> None:
    """Differences to the right and the lower neighbour, uint16 (h, w), and how often each comes up.

    A pixel is taken as the mean over 2 x 2, which takes noise down and leaves edges where they are to half a pixel.
    """
    height, width = samples.shape[0], samples.shape[1]
    for y in range(height):
        for x in range(width):
            right = below = np.int64(0)
            y1, x1 = min(y + 1, height - 1), min(x + 1, width - 1)
            y2, x2 = min(y + 2, height - 1), min(x + 2, width - 1)
            for c in range(3):
                # Signed before they are subtracted: differences of unsigned numbers wrap.
                upper = (np.int64(samples[y, x, c]), np.int64(samples[y, x1, c]), np.int64(samples[y, x2, c]))
                lower = (np.int64(samples[y1, x, c]), np.int64(samples[y1, x1, c]), np.int64(samples[y1, x2, c]))
                lowest = np.int64(samples[y2, x, c]) + np.int64(samples[y2, x1, c])
                right += abs(upper[2] + lower[2] - upper[0] - lower[0])
                below += abs(lowest - upper[0] - upper[1])
            if x + 1 < width:
                across[y, x] = right // 4
                counts[right // 4] += 1
            if y + 1 < height:
                down[y, x] = below // 4
                counts[below // 4] += 1


def _sort_edges(across: Array, down: Array, starts: Array, edges: Array) -> None:
    """Edges in the order of their differences: 2 * pixel to the right neighbour, 2 * pixel + 1 to the lower one."""
    height, width = across.shape
    for y in range(height):
        for x in range(width):
            pixel = y * width + x
            if x + 1 < width:
                step = across[y, x]
                edges[starts[step]] = 2 * pixel
                starts[step] += 1
            if y + 1 < height:
                step = down[y, x]
                edges[starts[step]] = 2 * pixel + 1
                starts[step] += 1


def _find(parents: Array, pixel: int) -> int:
    while parents[pixel] != pixel:
        parents[pixel] = parents[parents[pixel]]
        pixel = parents[pixel]
    return pixel


def _join_edges(
    edges: Array, width: int, across: Array, down: Array, allowance: float, least: int, parents: Array, sizes: Array
) -> None:
    """Join pixels to regions; `parents` (N,) leads from each to its region's first one."""
    reach = np.full(parents.shape[0], np.float32(allowance))
    for turn in range(2):
        for n in range(edges.shape[0]):
            pixel, is_down = edges[n] >> 1, edges[n] & 1
            y, x = pixel // width, pixel % width
            one, other = find(parents, pixel), find(parents, pixel + (width if is_down else 1))
            if one == other:
                continue
            step = down[y, x] if is_down else across[y, x]
            # In the second turn what is too small to be a region joins the neighbour that differs least.
            if turn == 0:
                if step > min(reach[one], reach[other]):
                    continue
            elif min(sizes[one], sizes[other]) >= least:
                continue
            if sizes[one] < sizes[other]:
                one, other = other, one
            parents[other] = one
            sizes[one] += sizes[other]
            reach[one] = step + np.float32(allowance) / np.float32(sizes[one])


def _number_regions(parents: Array, labels: Array) -> int:
    """Regions numbered in the order of their first pixels; how many there are."""
    count = 0
    numbers = np.full(parents.shape[0], -1, np.int32)
    for pixel in range(parents.shape[0]):
        root = find(parents, pixel)
        if numbers[root] < 0:
            numbers[root] = count
            count += 1
        labels[pixel] = numbers[root]
    return count


def _sum_places(labels: Array, row_shares: Array, sums: Array) -> None:
    """Add to each region's sums, (count, 4): pixels, rows and columns from -1/2 to 1/2, shares of the photograph."""
    height, width = labels.shape
    for y in range(height):
        row = (y + 0.5) / height - 0.5
        for x in range(width):
            own = sums[labels[y, x]]
            own[0] += 1
            own[1] += row
            own[2] += (x + 0.5) / width - 0.5
            own[3] += row_shares[y, x]


def _fill_planes(labels: Array, row_shares: Array, planes: Array, out: Array) -> None:
    """Heights of each region's plane, (count, 4): constant, slopes by row, column and share; folded into 0..1."""
    height, width = labels.shape
    for y in range(height):
        row = (y + 0.5) / height - 0.5
        for x in range(width):
            own = planes[labels[y, x]]
            t = own[0] + own[1] * row + own[2] * ((x + 0.5) / width - 0.5) + own[3] * row_shares[y, x]
            # Beyond an end a plane turns back; clamped, large parts would lie at exactly one depth.
            out[y, x] = 1 - abs((t - 2 * np.floor(t / 2)) - 1)


_compile = numba.njit(cache=True, nogil=True)
find = _compile(_find)
weigh_edges, sort_edges = _compile(_weigh_edges), _compile(_sort_edges)
join_edges, number_regions = _compile(_join_edges), _compile(_number_regions)
sum_places, fill_planes = _compile(_sum_places), _compile(_fill_planes)
