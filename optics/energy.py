"""Encircled energy: how much of a point's light lands within a circle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from psf import Channel
from psf.errors import InputError

from .bundles import land_all, read_radii, read_spectrum
from .geometric import check_depths
from .landing import Landing, Sampling
from .paraxial import conjugate
from .pupil import chief_rays, find_ellipses

if TYPE_CHECKING:
    from .lens import Lens

_SAMPLING = Sampling(rings=48, angles=48, nodes=20)


@dataclass(frozen=True, eq=False)
class EncircledEnergy:
    """Shares of the light within circles about each channel's centroid, by rays.

    Attributes:
        depths_m: Depths, shape (D,).
        radii: Image heights, shape (R,).
        circle_radius_um: Radii of the circles, shape (E,).
        channels: C of them.
        share: 0 to 1, shape (D, R, C, E).
        limit: What a perfect lens of the same f-number would give on the axis, shape (D, C, E).
    """

    depths_m: Tensor
    radii: Tensor
    circle_radius_um: Tensor
    channels: tuple[Channel, ...]
    share: Tensor
    limit: Tensor


def find_ray_energy(
    lens: Lens,
    radii: Sequence[float],
    depths_m: Sequence[float],
    circle_radius_um: Sequence[float],
    channels: Sequence[Channel] | None = None,
) -> EncircledEnergy:
    """Encircled energy of real rays, diffraction left out; `limit` is what diffraction alone would leave.

    Args:
        lens: The lens.
        radii: Image heights in 0..1, R of them.
        depths_m: Depths, D of them; inf is allowed.
        circle_radius_um: Radii of the circles, E of them, from 0.
        channels: By default the lens's.

    Raises:
        InputError: Radii, depths or circles out of range, an image height without light.
    """
    check_depths(depths_m)
    circles = torch.tensor([float(one) for one in circle_radius_um], dtype=torch.float64)
    if len(circles) == 0 or not bool((circles.isfinite() & (circles >= 0)).all()):
        raise InputError("circle_radius_um", list(circle_radius_um), "finite numbers from 0")
    if len(depths_m) == 0:
        raise InputError("depths_m", "none", "at least one depth")
    with torch.no_grad():
        unit = lens.vertices_mm.detach()
        heights, circles = read_radii(radii).to(unit), circles.to(unit)
        spectrum = read_spectrum(lens.channels if channels is None else channels, unit)
        chief = chief_rays(lens, heights)
        waves, count = spectrum.wavelength_um, len(spectrum.wavelength_um)
        rows, limits = [], []
        for depth_m in depths_m:
            depth_mm = unit.new_tensor(1e3 * depth_m)
            ellipses = find_ellipses(lens, chief, depth_mm[None], waves)
            spot = land_all(lens, chief, ellipses, depth_mm, waves, _SAMPLING)
            row, wave = spot.bundle // count, spot.bundle % count
            centre_um = 1e3 * chief.landing_mm[row, None]
            weight = spot.light * spectrum.share[wave, None]
            owner = spectrum.channel_of[wave]
            cells = [
                [
                    _within(spot, mine, centre_um, weight, circles)
                    for c in range(len(spectrum.channels))
                    for mine in [(row == r) & (owner == c)]
                ]
                for r in range(len(heights))
            ]
            rows.append(torch.stack([torch.stack(one) for one in cells]))
            each = [
                airy_energy(circles, one, float(conjugate(lens, depth_m, one).working_f_number))
                for one in waves.tolist()
            ]
            limits.append(spectrum.mixed(torch.stack(each)))
    return EncircledEnergy(
        depths_m=torch.tensor(list(depths_m), dtype=torch.float64).to(unit),
        radii=heights,
        circle_radius_um=circles,
        channels=spectrum.channels,
        share=torch.stack(rows),
        limit=torch.stack(limits),
    )


def airy_energy(circle_radius_um: Tensor, wavelength_um: float, f_number: float) -> Tensor:
    """Share of a perfect lens's light within circles: 1 - J0^2 - J1^2 (Rayleigh 1881).

    Args:
        circle_radius_um: Shape (...).
        wavelength_um: Wavelength.
        f_number: Working f-number.

    Returns:
        Shape (...).
    """
    for name, value in (("wavelength_um", wavelength_um), ("f_number", f_number)):
        if not (math.isfinite(value) and value > 0):
            raise InputError(name, value, "a positive number")
    v = math.pi / (wavelength_um * f_number) * circle_radius_um
    found: Tensor = 1 - torch.special.bessel_j0(v) ** 2 - torch.special.bessel_j1(v) ** 2
    return found


def _within(spot: Landing, mine: Tensor, centre_um: Tensor, weight: Tensor, circles_um: Tensor) -> Tensor:
    """Share (E,) of the light of some patches of half a pupil within circles about the centroid.

    A sub-ray's light is spread over the width of its cell's image, seen from the centroid: points alone would land ring
    by ring.
    """
    x, y = (1e3 * spot.x_mm[mine] - centre_um[mine]).flatten(), 1e3 * spot.y_mm[mine].flatten()
    light = weight[mine].flatten()
    x = x - (light * x).sum() / light.sum()
    distance = torch.hypot(x, y)
    right, up = x / distance.clamp_min(1e-12), y / distance.clamp_min(1e-12)
    along = 1e3 * (spot.along_x_mm[:, mine].flatten(1) * right + spot.along_y_mm[:, mine].flatten(1) * up)
    width = along.abs().sum(0).clamp_min(1e-9)
    found = [(light * ((circle - distance) / width + 0.5).clamp(0, 1)).sum() for circle in circles_um]
    return torch.stack(found) / light.sum()
