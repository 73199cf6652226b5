"""The inner loops of diffraction: a pupil's sub-rays onto a grid of direction cosines, compiled.

For each bundle the rim is solved for every angle, sub-rays are evaluated at Gauss points between middle and rim, and
each leaves its complex amplitude on the grid through a smooth window seven cells wide (a non-uniform Fourier transform
of type 1). What the window does to the field is known and divided out behind the transform.
"""

# mypy: disallow-untyped-decorators=False
from __future__ import annotations

import numpy as np
from numba import njit, prange

from .disc import Array
from .loops import OPTIONS, all_rims, evaluate, single_rims, to_lines

_MOST_PATCHES = 3
# The window exp(beta (sqrt(1 - (2 t / width)^2) - 1)) of Barnett, Magland & af Klinteberg 2019, for a grid twice as
# fine as the field is wide: relative errors below 1e-6.
WIDTH = 7
BETA = 2.30 * WIDTH
# Places within a cell at which the window is tabulated; straight lines in between are right to 1e-7 of its peak.
_PLACES = 2048


def find_rims(clearances: Array, cosines: Array, notched: bool) -> tuple[Array, Array]:
    """Where light begins and ends along half lines.

    Args:
        clearances: Expansions of those that can cut, (B, S, 2, n, m/2).
        cosines: Harmonics at the angles, (2, m/2, A).
        notched: Whether light may come back beyond a cut.

    Returns:
        Begin and end of up to three patches, shape (B, 3, A); empty ones have no width, 1 is the ellipse itself.
    """
    low = np.zeros((len(clearances), _MOST_PATCHES, cosines.shape[-1]))
    high = np.zeros_like(low)
    _all_bundles(np.ascontiguousarray(clearances), cosines, notched, low, high)
    return low, high


@njit(**OPTIONS)
def _rims_of(lines, notched, low, high, patches, scratch):  # type: ignore[no-untyped-def]
    """Rims of one bundle from clearances along lines (S, 2 n, A); returns the number of patches."""
    low[:], high[:] = 0.0, 0.0
    if notched:
        all_rims(lines, low, high, patches, scratch)
        return max(1, patches.max())
    single_rims(lines, high[0], scratch)
    return 1


@njit(**OPTIONS)
def _all_bundles(clearances, cosines, notched, low, high):  # type: ignore[no-untyped-def]
    count, angles = clearances.shape[1], cosines.shape[2]
    n = clearances.shape[3]
    lines = np.empty((count, 2 * n, angles))
    spare = np.empty((count + 2, 2, n, clearances.shape[4]))
    wide = np.empty((count + 2, 2 * n, angles))
    patches, scratch = np.ones(angles, dtype=np.int64), np.empty((3, angles))
    for b in range(len(clearances)):
        # `to_lines` takes its second function as odd.
        spare[:2] = 0.0
        spare[2:] = clearances[b]
        to_lines(spare, cosines, cosines, wide)
        lines[:] = wide[2:]
        _rims_of(lines, notched, low[b], high[b], patches, scratch)


def tabulate_window() -> Array:
    """Values of the window on the cells round a place, for places even over a cell, shape (_PLACES + 1, WIDTH + 1)."""
    offset = np.arange(_PLACES + 1) / _PLACES
    z = (np.arange(WIDTH) - 0.5 * WIDTH + offset[:, None]) * (2.0 / WIDTH)
    table = np.zeros((_PLACES + 1, WIDTH + 1))
    table[:, :WIDTH] = np.exp(BETA * (np.sqrt(np.maximum(1.0 - z * z, 0.0)) - 1.0))
    return table


@njit(**OPTIONS)
def window_values(at, table, values):  # type: ignore[no-untyped-def]
    """Values (WIDTH,) of the window on the grid round a place in cells; returns the first cell."""
    first = int(np.ceil(at - 0.5 * WIDTH))
    # 0 at the first cell that the window reaches, 1 where it is about to leave it.
    place = (first - at + 0.5 * WIDTH) * _PLACES
    row = min(max(int(place), 0), _PLACES - 1)
    part = place - row
    below, above = table[row], table[row + 1]
    for i in range(WIDTH):
        values[i] = below[i] + part * (above[i] - below[i])
    return first


@njit(**OPTIONS)
def _sow_one(re, im, l, m, table, grid_re, grid_im, across, down):  # type: ignore[no-untyped-def]
    """Leave one complex amplitude on a grid (Gl, Gm) at (l, m) in cells."""
    i0, j0 = window_values(l, table, across), window_values(m, table, down)
    if i0 < 0 or j0 < 0 or i0 + WIDTH > grid_re.shape[0] or j0 + WIDTH > grid_re.shape[1]:
        return 1
    for i in range(WIDTH):
        a, b = re * across[i], im * across[i]
        row_re, row_im = grid_re[i0 + i], grid_im[i0 + i]
        for j in range(WIDTH):
            row_re[j0 + j] += a * down[j]
            row_im[j0 + j] += b * down[j]
    return 0


@njit(parallel=True, nogil=True, cache=True, error_model="numpy")
def sow(  # type: ignore[no-untyped-def]
    combined,
    notched,
    cosines,
    sines,
    phi,
    gauss,
    weights,
    chart,
    dioptres,
    wave_number,
    turn,
    origin,
    per_cell,
    table,
    grid,
    power,
    outside,
):
    """Pupils of B bundles onto grids of direction cosines.

    Args:
        combined: (B, 8 + S, 2, n, m/2) expansions: l, m, phase in mm, root of the light, ..., clearances.
        notched: Whether light may come back beyond a cut.
        cosines: (2, m/2, A) and
        sines: (2, m/2, A) harmonics at the angles.
        phi: (A,) angles of half the pupil.
        gauss: (N,) and
        weights: (N,) Gauss points in 0..1.
        chart: (4,) slope of the chief ray, centre and semi-axes of the ellipse.
        dioptres: (B,) 1 / distance of the object from the pupil plane, 0 at infinity.
        wave_number: 2 pi / wavelength in 1/mm.
        turn: (2,) cosine and sine of the azimuth; for azimuth 0 only the half m > 0 is sown.
        origin: (2,) direction cosines of cell (0, 0).
        per_cell: Step of the grid in direction cosines.
        table: The window, by `tabulate_window`.
        grid: (2, B, Gl, Gm) out: real and imaginary part.
        power: (B,) out: all light, both halves.
        outside: (B,) out: sub-rays that do not fit onto the grid.
    """
    bundles, n, mh = combined.shape[0], combined.shape[3], combined.shape[4]
    angles, rings = len(phi), len(gauss)
    dphi = np.pi / angles
    halves = 1 if turn[1] == 0.0 and turn[0] > 0.0 else 2
    powers = np.ones((2 * n, rings))
    for p in range(1, 2 * n):
        powers[p] = powers[p - 1] * gauss
    for b in prange(bundles):
        count = combined.shape[1] - 8
        wide, lines = np.empty((4 + count, 2, n, mh)), np.empty((4 + count, 2 * n, angles))
        wide[:4] = combined[b, :4]
        wide[4:] = combined[b, 8:]
        to_lines(wide, cosines, sines, lines)
        low, high = np.zeros((_MOST_PATCHES, angles)), np.zeros((_MOST_PATCHES, angles))
        patches, scratch = np.ones(angles, dtype=np.int64), np.empty((3, angles))
        most = _rims_of(lines[4:], notched, low, high, patches, scratch)
        line = np.empty(2 * n)
        values = np.empty((4, rings))
        across, down = np.empty(WIDTH), np.empty(WIDTH)
        slope, centre, u1, v1 = chart[0], chart[1], chart[2], chart[3]
        total, astray = 0.0, 0
        for patch in range(most):
            for j in range(angles):
                inner, width = low[patch, j], high[patch, j] - low[patch, j]
                if width <= 0.0:
                    continue
                for c in range(4):
                    for p in range(2 * n):
                        line[p] = lines[c, p, j]
                    evaluate(line, powers, inner, width, values[c])
                cosine, sine = u1 * np.cos(phi[j]), v1 * np.sin(phi[j])
                for i in range(rings):
                    rho = inner + width * gauss[i]
                    area = rho * width * weights[i] * dphi
                    sx, sy = slope + (centre + cosine * rho) * dioptres[b], sine * rho * dioptres[b]
                    norm = 1.0 + sx * sx + sy * sy
                    total += area * u1 * v1 / (norm * np.sqrt(norm))
                    angle = wave_number * values[2, i]
                    amplitude = values[3, i] * area
                    re, im = amplitude * np.cos(angle), amplitude * np.sin(angle)
                    l, m = values[0, i], values[1, i]
                    for half in range(halves):
                        side = m if half == 0 else -m
                        turned_l, turned_m = turn[0] * l - turn[1] * side, turn[1] * l + turn[0] * side
                        at_l, at_m = (turned_l - origin[0]) / per_cell, (turned_m - origin[1]) / per_cell
                        astray += _sow_one(re, im, at_l, at_m, table, grid[0, b], grid[1, b], across, down)
        power[b] = 2.0 * total
        outside[b] = astray
