"""The rays through a lens's pupil as offsets on the picture over depth, from ideal discs or from a field's kernels.

A straight ray in front of a lens is straight in (column, row, dioptre) too: the point at dioptre D that the pixel p
sees through the pupil point q lies at p - offset(q, D), with an offset that is a straight line in D. A kernel at D is
the light over q at offset(q, D). What kernels alone do not tell is which light of one depth goes through the same q
as which light of another. Here light is matched by its place in the kernel: the share of the light at smaller
azimuths about the centroid, and within that direction the share at smaller distances. For discs, vignetted discs and
everything that keeps the order of azimuths and, along each, of distances, this is exact; for aberrated kernels it is
a smooth pairing that gives each depth its own kernel exactly (in the limit of many rays). Beyond the focus the bundle
has crossed and azimuths are half a turn off; the crossing is put where the kernels' signed size is closest to a
straight line in dioptres.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from psf import InputError, PolarPSFField

Array = npt.NDArray[Any]

# Stored depths and image heights that rays are read from, at most: rays are straight over depth, and the pupil's
# outline changes slowly over the picture.
PLANES, HEIGHTS = 8, 10
# Dioptres at which a pupil's reach is looked up.
REACH_STEPS = 65


@dataclass(frozen=True, kw_only=True)
class Discs:
    """Ideal discs, everywhere the same: c(z) = `diameter_px_per_dpt` |1/z - 1/focus_m| pixels across.

    For a camera whose image distance stays at the focal length f: f^2 / N / pitch (lengths in m); a thin lens that
    is really focused has s / (s - f) times that.

    Attributes:
        diameter_px_per_dpt: Growth of the diameter with defocus.
        focus_m: Sharp depth, may be `inf`.
    """

    diameter_px_per_dpt: float
    focus_m: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.diameter_px_per_dpt) and self.diameter_px_per_dpt > 0):
            raise InputError("Discs(diameter_px_per_dpt)", self.diameter_px_per_dpt, "a positive number")
        if not self.focus_m > 0:
            raise InputError("Discs(focus_m)", self.focus_m, "a positive depth, inf allowed")


@dataclass(frozen=True, eq=False)
class PupilRays:
    """Rays of a pupil as tables of straight lines.

    Attributes:
        radii: Image heights, ascending, shape (R,).
        lines: Right and up in px at 0 dpt and their growth in px per dpt, azimuth 0, shape (G, R, A, 4) for G groups
            of channels.
        groups: Channels of each group; channels with the same kernels share rays.
        knots_dpt: Of the transmission, descending, shape (P,).
        transmission: Shape (R, P, C).
        drift_px_per_dpt: Sideways motion of the outermost rays.
    """

    radii: Array
    lines: Array
    groups: tuple[tuple[int, ...], ...]
    knots_dpt: Array
    transmission: Array
    drift_px_per_dpt: float

    def reach_px(self, dioptres_dpt: Array) -> Array:
        """Distance to the farthest ray at some dioptres (any shape), over all image heights and channels."""
        lines = self.lines.reshape(-1, 4).astype(np.float64)
        # Distance is convex in dioptres: between the two it is at most on the straight line.
        low, high = float(dioptres_dpt.min()), float(dioptres_dpt.max())
        at = np.linspace(low, high, REACH_STEPS if high > low else 1)
        reach = [np.hypot(lines[:, 0] + one * lines[:, 2], lines[:, 1] + one * lines[:, 3]).max() for one in at]
        found: Array = np.interp(dioptres_dpt, at, reach)
        return found


def spread_points(count: int) -> Array:
    """Evenly spread points of the unit square, (count, 2): the R2 sequence, whose every stretch is spread evenly."""
    root = 1.32471795724474602596  # x^3 = x + 1
    step = np.arange(count)
    return np.stack(((0.5 + step / root) % 1, (0.5 + step / root**2) % 1), 1)


def disc_rays(discs: Discs, channels: int, count: int) -> PupilRays:
    """Rays of ideal discs."""
    places = spread_points(count)
    azimuth, distance = 2 * np.pi * places[:, 0], np.sqrt(places[:, 1])
    unit = np.stack((distance * np.cos(azimuth), distance * np.sin(azimuth)), 1)
    drift = discs.diameter_px_per_dpt / 2
    # A point nearer than the focus leaves the side of the pupil that the ray took on the picture.
    lines = np.concatenate((-drift / discs.focus_m * unit, drift * unit), 1)
    return PupilRays(
        radii=np.zeros(1, np.float32),
        lines=lines[None, None].astype(np.float32),
        groups=(tuple(range(channels)),),
        knots_dpt=np.zeros(1, np.float32),
        transmission=np.ones((1, 1, channels), np.float32),
        drift_px_per_dpt=drift,
    )


def field_rays(
    field: PolarPSFField,
    nearest_dpt: float,
    farthest_dpt: float,
    innermost: float,
    outermost: float,
    count: int,
    threads: int = 1,
) -> PupilRays:
    """The straight rays that fit a field's kernels best.

    Args:
        field: Any.
        nearest_dpt: Dioptre of the nearest thing in the picture: only stored depths around the scene are read.
        farthest_dpt: Of the farthest.
        innermost: Smallest image height in the picture.
        outermost: Largest.
        count: Rays.
        threads: To use at a time.
    """
    from .pupil_loops import scan_kernel

    with torch.no_grad():
        dioptres = (1 / field.depths_m.double()).cpu().numpy()
        radii = field.radii.double().cpu().numpy()
        transmission = field.transmission.double().cpu().numpy()
        heights = _thinned(_around(radii, innermost, outermost), HEIGHTS)
        kernels = field.kernels[:, torch.from_numpy(heights)].cpu().numpy()
    planes = _thinned(_around(-dioptres, -nearest_dpt, -farthest_dpt), PLANES)
    groups: list[list[int]] = []
    for channel in range(kernels.shape[2]):
        same = [g for g in groups if np.array_equal(kernels[:, :, g[0]], kernels[:, :, channel])]
        if same:
            same[0].append(channel)
        else:
            groups.append([channel])
    knots = dioptres.astype(np.float32)
    if np.ptp(transmission, axis=0).max() == 0:
        knots, transmission = knots[:1], transmission[:1]
    places = spread_points(count)
    lines = np.empty((len(groups), len(heights), count, 4), np.float32)
    slopes = np.empty((len(groups), len(heights)))
    step = 1 / field.oversample

    def work(one: tuple[int, int]) -> None:
        g, r = one
        own = kernels[:, r, groups[g][0]].astype(np.float64)
        sizes = np.array([_rms_px(kernel, field.oversample) for kernel in own])
        crossing, slopes[g, r] = find_crossing(dioptres, sizes, 1 / field.focus_m)
        offsets = np.empty((len(planes), count, 2))
        for k, plane in enumerate(planes):
            scan_kernel(own[plane], step, places, plane >= crossing, offsets[k])
        lines[g, r] = fit_lines(dioptres[planes], offsets, sizes[planes], step)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, [(g, r) for g in range(len(groups)) for r in range(len(heights))]))
    return PupilRays(
        radii=radii[heights].astype(np.float32),
        lines=lines,
        groups=tuple(tuple(one) for one in groups),
        knots_dpt=knots,
        transmission=np.ascontiguousarray(transmission[:, heights].transpose(1, 0, 2)).astype(np.float32),
        # An evenly lit disc of radius a has an RMS radius of a / sqrt(2).
        drift_px_per_dpt=max(math.sqrt(2) * float(slopes.max()), 1e-6),
    )


def find_crossing(dioptres_dpt: Array, rms_px: Array, focus_dpt: float) -> tuple[int, float]:
    """Where rays cross: kernels from this index on (descending dioptres) lie beyond the focus; the size's slope.

    Args:
        dioptres_dpt: Descending, shape (D,).
        rms_px: RMS radii of the kernels, shape (D,).
        focus_dpt: Where the camera says that it is focused: decides between two depths, whose sizes always lie on a
            straight line.
    """
    best = (math.inf, 0, 0.0)
    few = int((dioptres_dpt > focus_dpt).sum())
    for crossing in range(len(rms_px) + 1) if len(rms_px) > 2 else [few]:
        signed = np.where(np.arange(len(rms_px)) < crossing, rms_px, -rms_px)
        centred = dioptres_dpt - dioptres_dpt.mean()
        square = float((centred**2).sum())
        slope = float((centred * signed).sum()) / square if square > 0 else 0.0
        miss = float(((signed - signed.mean() - slope * centred) ** 2).sum())
        # Rays of nearer points lie on their own side: of two equal fits (all signs turned) the rising one.
        if slope >= 0 and miss < best[0]:
            best = (miss, crossing, slope)
    return best[1], best[2]


def fit_lines(knots_dpt: Array, offsets_px: Array, rms_px: Array, step_px: float) -> Array:
    """The straight lines in dioptres that fit offsets best: what rays in front of a lens are.

    Args:
        knots_dpt: Shape (P,).
        offsets_px: Shape (P, A, 2).
        rms_px: The kernels' RMS radii, shape (P,). Kernels not larger than a square tell nothing of the pupil and
            have hardly a say.
        step_px: Side of the kernels' squares.

    Returns:
        Right and up at 0 dpt and their growth per dpt, shape (A, 4).
    """
    weight = rms_px**2 / (rms_px**2 + step_px**2 / 6) + 1e-6
    weight = weight / weight.sum()
    mean_dpt = (weight * knots_dpt).sum()
    centred = knots_dpt - mean_dpt
    square = (weight * centred**2).sum()
    slope = np.tensordot(weight * centred / square if square > 0 else 0 * weight, offsets_px, 1)
    found: Array = np.concatenate((np.tensordot(weight, offsets_px, 1) - mean_dpt * slope, slope), 1)
    return found


def _thinned(nodes: slice, most: int) -> Array:
    """At most so many indices of a slice, evenly spaced, both ends among them."""
    count = nodes.stop - nodes.start
    return np.unique(np.linspace(nodes.start, nodes.stop - 1, min(count, most)).round().astype(int))


def _around(nodes: Array, low: float, high: float) -> slice:
    """Those of ascending nodes that places from low to high lie between."""
    first = max(int(np.searchsorted(nodes, low, side="right")) - 1, 0)
    last = min(int(np.searchsorted(nodes, high, side="left")), len(nodes) - 1)
    return slice(min(first, last), max(first, last) + 1)


def _rms_px(kernel: Array, oversample: int) -> float:
    """RMS radius about the centroid, without the width that pixels themselves have."""
    place = (np.arange(len(kernel)) - (len(kernel) - 1) / 2) / oversample
    rows, cols = kernel.sum(1), kernel.sum(0)
    total = kernel.sum()
    variance = sum(float((one * place**2).sum() / total - ((one * place).sum() / total) ** 2) for one in (rows, cols))
    return math.sqrt(max(variance - 1 / 6 / oversample**2, 0.0))
