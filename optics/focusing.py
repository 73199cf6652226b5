"""Where to put the sensor so that an object is sharp."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from psf.errors import InputError

from .bundles import read_spectrum
from .landing import Landing, Sampling, land
from .paraxial import conjugate
from .pupil import chief_rays, find_ellipses

if TYPE_CHECKING:
    from .lens import Lens

# On the axis a bundle is round: a few half lines tell all.
_SAMPLING = Sampling(rings=96, angles=4)


def image_distance_mm(lens: Lens, depth_m: float, method: Literal["paraxial", "spot"]) -> Tensor:
    """Distance from the last vertex to the sharp image of an axial point; see `Lens.refocused`.

    Where the sensor of `lens` stands plays no part.

    Returns:
        Shape (), with gradients in the lens's parameters.

    Raises:
        InputError: No real image behind the lens, or an unknown method.
    """
    if math.isnan(depth_m) or depth_m <= 0:
        raise InputError("depth_m", depth_m, "a positive distance or inf")
    if method not in ("paraxial", "spot"):
        raise InputError("method", repr(method), '"paraxial" or "spot"')
    distance = _real(lens, depth_m, conjugate(lens, depth_m).image_distance_from_last_vertex_mm)
    if method == "spot":
        # The plane of least squares does not depend on where one starts, but from here chief rays find the sensor.
        start = _with_sensor_at(lens, distance.detach())
        distance = _real(lens, depth_m, distance.detach() + _to_smallest_spot(start, depth_m))
    return distance.to(lens.surfaces[-1].thickness_mm)


def _real(lens: Lens, depth_m: float, distance_mm: Tensor) -> Tensor:
    if not 0 < float(distance_mm.detach()) < 1e6:
        found = f"{depth_m} m, whose image lies {float(distance_mm.detach()):.4g} mm behind the last vertex"
        raise InputError(f"lens {lens.name}: depth_m", found, "an object with a real image")
    return distance_mm


def _with_sensor_at(lens: Lens, distance_mm: Tensor) -> Lens:
    last = lens.surfaces[-1]
    return replace(lens, surfaces=(*lens.surfaces[:-1], replace(last, thickness_mm=distance_mm.to(last.thickness_mm))))


def _to_smallest_spot(lens: Lens, depth_m: float) -> Tensor:
    """Way from the sensor to the plane of least squares: light-weighted over the axial bundle and all wavelengths."""
    unit = lens.vertices_mm.detach()
    spectrum = read_spectrum(lens.channels, unit)
    waves = spectrum.wavelength_um
    chief = chief_rays(lens, unit.new_zeros(1))
    every = torch.zeros_like(waves, dtype=torch.long)
    ellipse = find_ellipses(lens, chief, unit.new_tensor([1e3 * depth_m]), waves)
    chiefs, ellipses = chief.take(every), ellipse.take(every)
    depths = unit.new_tensor(1e3 * depth_m).expand(len(waves))

    def at(plane: Lens) -> Landing:
        return land(plane, chiefs, ellipses, depths, waves, _SAMPLING)

    # Behind the lens light goes straight: two planes tell all.
    step = 0.01 * lens.surfaces[-1].thickness_mm.detach()
    here, there = at(lens), at(_with_sensor_at(lens, lens.surfaces[-1].thickness_mm + step))
    weight = spectrum.share[here.bundle, None] * here.light
    slope_x, slope_y = (there.x_mm - here.x_mm) / step, (there.y_mm - here.y_mm) / step
    # The field lies a hair off the axis: about its centroid, or a pinhole's focus is that of the hair.
    x, slope_x = (v - (weight * v).sum() / weight.sum() for v in (here.x_mm, slope_x))
    product = (weight * (x * slope_x + here.y_mm * slope_y)).sum()
    way: Tensor = -product / (weight * (slope_x**2 + slope_y**2)).sum()
    return way
