"""Depth of field: between which depths the blur stays below a circle of confusion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from psf import Channel
from psf.errors import InputError

from .aberrations import find_axial_colour, find_focus_curves
from .bundles import find_moments, read_radii, read_spectrum
from .disc import Array
from .geometric import check_depths
from .landing import Sampling
from .paraxial import first_order
from .pupil import chief_rays, find_ellipses

if TYPE_CHECKING:
    from .lens import Lens

_SAMPLING = Sampling(rings=24, angles=16, nodes=16)
# Nodes of the blur's square over dioptres; it is close to a parabola.
_NODES = 9
# Depths at which the curve between them is read before limits are refined.
_SCAN = 2001
_LARGEST_DPT = 200.0


@dataclass(frozen=True, eq=False)
class DepthOfField:
    """Nearest and farthest depths that are sharp enough.

    Blur is the diameter of the uniform disc with the spot's RMS radius: 2 sqrt(2) times that radius, all channels
    together, lateral colour included. Where no depth is sharp enough, `sharp` is False and near, far and best are the
    depth of the smallest blur.

    Attributes:
        radii: Image heights, shape (R,).
        circles_um: Largest blur diameters allowed, shape (E,).
        near_m: Nearest depth, shape (R, E).
        far_m: Farthest depth, inf where infinity is sharp, shape (R, E).
        sharp: Whether any depth is, shape (R, E), bool.
        best_m: Depth of the smallest blur, shape (R,).
        smallest_um: Blur diameter there, shape (R,).
    """

    radii: Tensor
    circles_um: Tensor
    near_m: Tensor
    far_m: Tensor
    sharp: Tensor
    best_m: Tensor
    smallest_um: Tensor


@dataclass(frozen=True, eq=False)
class GaussianDepthOfField:
    """The textbook's depth of field: no aberrations, blur is a disc on the axis.

    Attributes:
        circles_um: Largest blur diameters allowed, shape (E,).
        focus_m: Depth that the sensor is focused to, from the first vertex; inf in the focal plane and beyond.
        near_m: Nearest depth, shape (E,).
        far_m: Farthest depth, inf where infinity is sharp enough, shape (E,).
        hyperfocal_m: Focus that brings infinity just to the limit, from the first vertex, shape (E,).
        sharp: False where the sensor lies so near the lens that not even infinity is sharp enough, shape (E,), bool.
    """

    circles_um: Tensor
    focus_m: float
    near_m: Tensor
    far_m: Tensor
    hyperfocal_m: Tensor
    sharp: Tensor


@dataclass(frozen=True, eq=False)
class Blur:
    """Blur against depth.

    Attributes:
        depths_m: Shape (D,).
        radii: Image heights, shape (R,).
        diameter_um: 2 sqrt(2) times the RMS radius of all channels together, shape (D, R).
    """

    depths_m: Tensor
    radii: Tensor
    diameter_um: Tensor


def find_blur(
    lens: Lens, radii: Sequence[float], depths_m: Sequence[float], channels: Sequence[Channel] | None = None
) -> Blur:
    """Diameter of the blur over depths and image heights.

    Args:
        lens: The lens.
        radii: Image heights in 0..1, R of them.
        depths_m: Depths, D of them; inf is allowed.
        channels: Those that are added up with equal weight; by default the lens's.

    Raises:
        InputError: Radii or depths out of range, an image height without light.
    """
    check_depths(depths_m)
    with torch.no_grad():
        unit = lens.vertices_mm.detach()
        heights = read_radii(radii).to(unit)
        spectrum = read_spectrum(lens.channels if channels is None else channels, unit)
        chief = chief_rays(lens, heights)
        rows = []
        for depth_m in depths_m:
            depth_mm = unit.new_tensor(1e3 * depth_m)
            ellipses = find_ellipses(lens, chief, depth_mm[None], spectrum.wavelength_um)
            sums = find_moments(lens, chief, ellipses, depth_mm, spectrum.wavelength_um, _SAMPLING)
            mixed = spectrum.mixed(sums)
            # Channels weigh the same, whatever light each has.
            mean, square = (mixed[..., 1:] / mixed[..., :1]).mean(-2).unbind(-1)
            rows.append(2e3 * (2 * (square - mean**2).clamp_min(0)).sqrt())
        diameter = torch.stack(rows) if rows else unit.new_zeros(0, len(heights))
    return Blur(torch.tensor(list(depths_m), dtype=torch.float64).to(unit), heights, diameter)


def find_depth_of_field(
    lens: Lens, radii: Sequence[float], circles_um: Sequence[float], channels: Sequence[Channel] | None = None
) -> DepthOfField:
    """Depth of field of a lens with its sensor where it stands, from traced rays.

    Args:
        lens: The lens.
        radii: Image heights in 0..1, R of them.
        circles_um: Largest blur diameters allowed, E of them.
        channels: Those that are added up with equal weight; by default the lens's.

    Raises:
        InputError: Radii or circles out of range, an image height without light.
    """
    circles = _read_circles(circles_um)
    heights = read_radii(radii)
    gaussian = _gaussian(lens)
    # The range grows until all blur is too large at its near end, and growing.
    reach_dpt = 3 * float(circles.max()) / gaussian.um_per_dpt + _curved_dpt(lens, radii, gaussian)
    far_dpt, near_dpt = 0.0, max(gaussian.focus_dpt, 0.0) + reach_dpt
    while True:
        near_dpt = min(near_dpt, _LARGEST_DPT)
        turn = np.cos(np.pi * (np.arange(_NODES) + 0.5) / _NODES)
        nodes = far_dpt + 0.5 * (near_dpt - far_dpt) * (1 + turn)
        blur = find_blur(lens, radii, [1 / q for q in nodes], channels).diameter_um.cpu().double().numpy()
        # Squares are smooth where the blur itself has a corner.
        fit = np.polynomial.chebyshev.chebfit(turn, blur**2, _NODES - 1)
        t = np.linspace(-1, 1, _SCAN)
        squares = np.maximum(np.polynomial.chebyshev.chebval(t, fit), 0)
        too_large = (squares[:, -1] > float(circles.max()) ** 2) & (squares[:, -1] > squares[:, -2])
        if near_dpt >= _LARGEST_DPT or bool(too_large.all()):
            break
        near_dpt *= 2
    dioptres = far_dpt + 0.5 * (near_dpt - far_dpt) * (1 + t)
    shape = (len(heights), len(circles))
    near, far, sharp = np.zeros(shape), np.zeros(shape), np.zeros(shape, dtype=bool)
    best, smallest = np.zeros(shape[0]), np.zeros(shape[0])
    for r, row in enumerate(squares):
        middle = int(row.argmin())
        best[r], smallest[r] = dioptres[middle], math.sqrt(float(row[middle]))
        for e, circle in enumerate(circles.tolist()):
            near[r, e], far[r, e], sharp[r, e] = _limits(dioptres, row - circle**2, middle)
    unit = lens.vertices_mm.detach()

    def metres(values: Array) -> Tensor:
        with np.errstate(divide="ignore"):
            return torch.from_numpy(1 / values).to(unit)

    return DepthOfField(
        radii=heights.to(unit),
        circles_um=circles.to(unit),
        near_m=metres(near),
        far_m=metres(far),
        sharp=torch.from_numpy(sharp).to(unit.device),
        best_m=metres(best),
        smallest_um=torch.from_numpy(smallest).to(unit),
    )


def find_gaussian_depth_of_field(lens: Lens, circles_um: Sequence[float]) -> GaussianDepthOfField:
    """Depth of field by the standard formula, in its exact form for a thick lens with its pupils.

    Args:
        lens: The lens, with its sensor where it stands.
        circles_um: Largest blur diameters allowed, E of them.

    Raises:
        InputError: Circles that are not positive, a lens without power.
    """
    circles = _read_circles(circles_um)
    gaussian = _gaussian(lens)
    half = circles / gaussian.um_per_dpt
    near, far = gaussian.focus_dpt + half, gaussian.focus_dpt - half
    # Focused at the hyperfocal distance, infinity is blurred to the circle; the scale changes with focus, so by steps
    # of the exact relation: blur at infinity = aperture times (image distance - focal length) over image distance.
    hyperfocal = torch.tensor([gaussian.hyperfocal_mm(1e-3 * one) for one in circles.tolist()], dtype=torch.float64)

    def from_vertex(dioptre: Tensor) -> Tensor:
        positive = dioptre > 0
        return torch.where(positive, 1 / dioptre.clamp_min(1e-300) - 1e-3 * gaussian.pupil_mm, math.inf)

    focus = from_vertex(torch.tensor([gaussian.focus_dpt], dtype=torch.float64))
    return GaussianDepthOfField(
        circles_um=circles,
        focus_m=float(focus),
        near_m=from_vertex(near),
        far_m=from_vertex(far),
        hyperfocal_m=1e-3 * (hyperfocal - gaussian.pupil_mm),
        sharp=near >= 0,
    )


@dataclass(frozen=True)
class _Gaussian:
    """A lens and its sensor in Gaussian optics; dioptres count from the entrance pupil.

    Attributes:
        focus_dpt: Where the sensor is focused to; negative where its focus lies beyond infinity.
        um_per_dpt: Blur diameter per dioptre away from there.
        pupil_mm: Entrance pupil from the first vertex.
        diameter_mm: Its diameter.
        efl_mm: Focal length.
        front_mm: Front focal point from the entrance pupil, negative in front of it.
    """

    focus_dpt: float
    um_per_dpt: float
    pupil_mm: float
    diameter_mm: float
    efl_mm: float
    front_mm: float

    def hyperfocal_mm(self, circle_mm: float) -> float:
        """Focus distance from the entrance pupil that images infinity as a disc of `circle_mm`.

        An object at s from the front focal point is magnified f / s; infinity then spreads over |m| times the entrance
        pupil's diameter.
        """
        return self.efl_mm * self.diameter_mm / circle_mm - self.front_mm


def _gaussian(lens: Lens) -> _Gaussian:
    with torch.no_grad():
        facts = first_order(lens)
    efl, bfl, ffl = (float(v) for v in (facts.efl_mm, facts.bfl_from_last_vertex_mm, facts.ffl_from_first_vertex_mm))
    sensor, pupil = float(facts.image_plane_from_last_vertex_mm), float(facts.entrance_pupil_from_first_vertex_mm)
    # Newton: the sensor lies x' = f m behind the focal point, its object f / m in front of the other one.
    inverse = (sensor - bfl) / efl  # magnification, unsigned: 0 with the sensor in the focal plane
    # Object from the pupil: p = f / m - (ffl - pupil), so m p stays finite at infinity.
    scaled_mm = efl - inverse * (ffl - pupil)
    diameter = 2 * float(facts.entrance_pupil_semi_diameter_mm)
    return _Gaussian(1e3 * inverse / scaled_mm, diameter * abs(scaled_mm), pupil, diameter, efl, ffl - pupil)


def _curved_dpt(lens: Lens, radii: Sequence[float], gaussian: _Gaussian) -> float:
    """How far field curvature and spherical aberration move the sharpest depth, roughly."""
    depth_m = lens.focus_m
    curves = find_focus_curves(lens, radii, depth_m)
    zones = find_axial_colour(lens, (), depth_m).zone_mm
    largest = max(float(v.abs().max()) for v in (curves.tangential_mm, curves.sagittal_mm, zones))
    return 1e3 * min(largest / gaussian.efl_mm**2, 1e-3 * _LARGEST_DPT)


def _limits(dioptres: Array, excess: Array, middle: int) -> tuple[float, float, bool]:
    """Near and far end in dioptres of the stretch round `middle` where `excess` is not positive."""
    if excess[middle] > 0:
        return float(dioptres[middle]), float(dioptres[middle]), False

    def crossing(inside: int, outside: int) -> float:
        share = excess[inside] / (excess[inside] - excess[outside])
        return float(dioptres[inside] + share * (dioptres[outside] - dioptres[inside]))

    near, far = middle, middle
    while near + 1 < len(excess) and excess[near + 1] <= 0:
        near += 1
    while far > 0 and excess[far - 1] <= 0:
        far -= 1
    near_dpt = crossing(near, near + 1) if near + 1 < len(excess) else float(dioptres[-1])
    return near_dpt, crossing(far, far - 1) if far > 0 else float(dioptres[0]), True


def _read_circles(circles_um: Sequence[float]) -> Tensor:
    values = torch.tensor([float(one) for one in circles_um], dtype=torch.float64)
    if len(values) == 0 or not bool((values.isfinite() & (values > 0)).all()):
        raise InputError("circles_um", list(circles_um), "positive diameters")
    return values
