"""The wavefront behind a lens: path differences over the pupil, their RMS, Strehl ratio and Zernike coefficients.

Path differences count against the sphere round the point where the chief ray of the wavelength lands, through the
middle of the paraxial exit pupil. The pupil is the real one, to its true rim, whatever cuts it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from psf.errors import InputError

from .disc import Array, DiscNodes
from .paraxial import first_order
from .pupil import ChiefRays, bundle_rays, chief_rays, dioptre_per_mm
from .rays import Traced
from .tracing import trace
from .wave_maps import (
    CLEARANCES,
    ODD,
    PHASE,
    ROOT,
    STOP_X,
    STOP_Y,
    L,
    M,
    WaveMaps,
    X,
    Y,
    beam_density,
    map_wavefronts,
    start_path_mm,
)
from .zernike import fit_zernikes

if TYPE_CHECKING:
    from .lens import Lens

_NODES = DiscNodes(16, 24)
_RINGS, _ANGLES = 32, 64
_NEWTON_STEPS = 4


@dataclass(frozen=True, eq=False)
class SubRays:
    """Sub-rays of half the pupil (m > 0) of B bundles, N of each, at points of a quadrature rule; picture frame.

    Attributes:
        values: Functions of the map at the sub-rays, by their number in `wave_maps`, shape (B, 8, N).
        amplitude: Root of the light per area of (l, m), times that area, shape (B, N).
        power: Light, shape (B, N).
    """

    values: Tensor
    amplitude: Tensor
    power: Tensor


@dataclass(frozen=True, eq=False)
class Wavefront:
    """The wavefront of one image point at one wavelength, sampled over the whole pupil; picture frame, azimuth 0.

    Attributes:
        direction: Direction cosines (l, m) behind the lens, shape (N, 2).
        pupil: Where each ray crosses the stop, in units of the stop's semi-aperture, shape (N, 2).
        opd_waves: Path to the reference sphere less that of the chief ray, positive = longer, shape (N,).
        focal_opd_waves: The same for a sphere of infinite radius (a plane wave for each ray), which is the phase of a
            diffraction PSF; shape (N,).
        power: Share of the light, sums to 1, shape (N,).
        amplitude: Share of the amplitude: root of the light per direction times the area in directions; sums to 1,
            shape (N,).
        wavelength_um: Vacuum wavelength.
        sphere_radius_mm: Radius of the reference sphere.
        chief_mm: Landing point of the chief ray of this wavelength against that of the reference wavelength, along
            +x; shape ().
    """

    direction: Tensor
    pupil: Tensor
    opd_waves: Tensor
    focal_opd_waves: Tensor
    power: Tensor
    amplitude: Tensor
    wavelength_um: float
    sphere_radius_mm: float
    chief_mm: Tensor

    @property
    def rms_waves(self) -> Tensor:
        """Root mean square of the path difference about its mean, weighted by the light; shape ()."""
        return _rms(self.opd_waves, self.power)

    @property
    def rms_waves_tilt_removed(self) -> Tensor:
        """The same without the part that is linear in the direction cosines (a shift of the image); shape ()."""
        ones = torch.ones_like(self.opd_waves)
        plane = torch.stack([ones, *self.direction.unbind(-1)], dim=1).detach()
        weighted = self.power.detach()[:, None] * plane
        fitted = torch.linalg.solve(plane.T @ weighted, weighted.T @ self.opd_waves)
        return _rms(self.opd_waves - plane @ fitted, self.power)

    @property
    def strehl(self) -> Tensor:
        """Intensity where the chief ray lands against that of a perfect wavefront of the same amplitude; shape ()."""
        phase = 2 * math.pi * self.focal_opd_waves
        return (self.amplitude * phase.cos()).sum() ** 2 + (self.amplitude * phase.sin()).sum() ** 2

    def zernikes(self, count: int = 37) -> Tensor:
        """Zernike coefficients in waves RMS, Noll's order and norm, over the unit disc of the stop; shape (count,).

        The angle runs from +x, the direction in which the image point lies. Least squares over the light, so a pupil
        that is cut keeps its disc: its polynomials are then no longer independent, and their squares no longer add up.
        """
        return fit_zernikes(self.opd_waves, self.pupil, self.power, count)


def find_wavefront(
    lens: Lens, radius: float, depth_m: float, wavelength_um: float | None = None, *, gradient: bool = False
) -> Wavefront:
    """The wavefront that makes the image point at an image height.

    Args:
        lens: The lens.
        radius: Image height of the chief ray, 0..1.
        depth_m: Distance of the object from the first vertex; inf is allowed.
        wavelength_um: By default the lens's reference wavelength.
        gradient: Whether path differences carry gradients in the lens's parameters; the rim then stays where it is.

    Returns:
        The wavefront at some 4,000 points in the lens's dtype.

    Raises:
        InputError: A place or a depth out of range, no light there, or a pupil that ends where a surface ends.
    """
    wave = lens.reference_wavelength_um if wavelength_um is None else float(wavelength_um)
    if not (math.isfinite(wave) and wave > 0):
        raise InputError("wavelength_um", wave, "a positive number")
    if not 0 <= radius <= 1 + 1e-9:
        raise InputError("radius", radius, "an image height in 0..1")
    if math.isnan(depth_m) or depth_m <= 0:
        raise InputError("depth_m", depth_m, "a positive distance or inf")
    with torch.set_grad_enabled(gradient and torch.is_grad_enabled()):
        unit = lens.vertices_mm.detach()
        chief = chief_rays(lens, unit.new_tensor([radius]))
        depth_mm = unit.new_tensor([1e3 * depth_m])
        maps = map_wavefronts(lens, chief, depth_mm, np.array([wave]), _NODES, depth_nodes=1)
        check_whole(lens, maps, 0)
        q = dioptre_per_mm(chief.crossing_mm, depth_mm)
        one = unit.new_ones(1)
        rays = sub_rays(maps, 0, maps.combined(0, one[:, None], one), q, _RINGS, _ANGLES)
        values, k = rays.values[0], 1e3 / wave
        path_mm, centre = _chief_ray(lens, chief, q, wave)
        # Every landing point lies in the image plane: d . (P - C) needs no z.
        focal = values[PHASE] + values[L] * centre + maps.phase_zero_mm[0, 0, 0] - path_mm
        x, y = values[X] - centre, values[Y]
        along, apart = values[L] * x + values[M] * y, x * x + y * y
        exit_pupil = first_order(lens, wave).exit_pupil_from_last_vertex_mm - lens.surfaces[-1].thickness_mm
        exit_mm = float(exit_pupil.detach())
        sphere_mm = math.hypot(exit_mm, float((chief.radius_mm + centre).detach()))
        # From the plane through the chief point on to the sphere, less the radius, written without cancellation.
        bend = (apart - along**2) / (sphere_mm + (sphere_mm**2 + along**2 - apart).sqrt())
        opd = focal + math.copysign(1.0, -exit_mm) * bend

    def both(t: Tensor, side: float = 1.0) -> Tensor:
        return torch.cat([t, side * t])

    power, amplitude = both(rays.power[0]), both(rays.amplitude[0])
    return Wavefront(
        direction=torch.stack([both(values[L]), both(values[M], -1.0)], dim=1),
        pupil=torch.stack([both(values[STOP_X]), both(values[STOP_Y], -1.0)], dim=1),
        opd_waves=both(k * opd),
        focal_opd_waves=both(k * focal),
        power=power / power.sum(),
        amplitude=amplitude / amplitude.sum(),
        wavelength_um=wave,
        sphere_radius_mm=sphere_mm,
        chief_mm=centre,
    )


def sub_rays(maps: WaveMaps, field: int, combined: Tensor, q_per_mm: Tensor, rings: int, angles: int) -> SubRays:
    """Evaluate expansions at Gauss points between middle and rim, and even angles.

    Args:
        maps: Maps of the field.
        field: Which one.
        combined: Its expansions for B bundles, shape (B, 8 + S, 2, n, m/2), with gradients.
        q_per_mm: 1 / (crossing + depth) of each bundle, shape (B,).
        rings: Gauss points along each half line.
        angles: Half lines over half the pupil.
    """
    from .diffraction_loops import find_rims

    nodes = maps.nodes
    phi = math.pi * (np.arange(angles) + 0.5) / angles
    cosines, sines = (nodes.table(phi, odd=odd) for odd in (False, True))
    cuts = combined[:, CLEARANCES:].detach().cpu().double().numpy()
    low, high = (
        torch.from_numpy(t).to(combined)[:, :, None] for t in find_rims(cuts, cosines, bool(maps.notched[field]))
    )
    # Patches that no half line has would only be zeros.
    used = max(1, int((high > low).flatten(2).any(-1).sum(1).max()))
    low, width = low[:, :used], (high - low)[:, :used]
    at, weight = (torch.from_numpy(t).to(combined)[:, None] for t in gauss_points(rings))
    rho = low + width * at  # (B, P, N, A)
    odd = torch.tensor([f in ODD for f in range(CLEARANCES)], device=combined.device)
    tables = torch.from_numpy(np.stack([cosines, sines])).to(combined)[odd.long()]
    lines = torch.einsum("bcpji,cpia->bcjpa", combined[:, :CLEARANCES], tables).flatten(2, 3)[:, :, :, None, None]
    values = lines[:, :, -1].expand(-1, -1, *rho.shape[1:])
    for power in range(2 * nodes.radial - 2, -1, -1):
        values = values * rho[:, None] + lines[:, :, power]
    area = rho * width * weight * (math.pi / angles)
    slope, centre, a, b = (float(t) for t in maps.charts[field])
    u, v = (t.to(combined) for t in (torch.from_numpy(np.cos(phi)), torch.from_numpy(np.sin(phi))))
    light = beam_density(torch.as_tensor(slope), centre + a * u * rho, b * v * rho, q_per_mm[:, None, None, None])
    return SubRays(
        values=values.flatten(2),
        amplitude=(values[:, ROOT] * area).flatten(1),
        power=(a * b * light * area).flatten(1),
    )


@lru_cache(maxsize=64)
def gauss_points(count: int) -> tuple[Array, Array]:
    """Gauss-Legendre points and weights on 0..1, shape (count,) each."""
    points, weights = np.polynomial.legendre.leggauss(count)
    return 0.5 * (points + 1), 0.5 * weights


def check_whole(lens: Lens, maps: WaveMaps, field: int) -> None:
    """Raise InputError where the maps of a field mean nothing."""
    if not maps.whole[field]:
        radius = float(maps.chief.radius_mm[field].detach()) / lens.sensor.half_diagonal_mm
        found = f"a bundle at radius {radius:.3g} that ends where a surface ends"
        raise InputError(f"lens {lens.name}", found, "bundles that apertures cut: their wavefront is smooth to the rim")


def _chief_ray(lens: Lens, chief: ChiefRays, q: Tensor, wavelength_um: float) -> tuple[Tensor, Tensor]:
    """Path and landing x (against the reference wavelength's) of the ray through the middle of the stop; shapes ()."""
    zero, wave = torch.zeros_like(q), torch.full_like(q.detach(), wavelength_um)

    def follow(u: Tensor) -> Traced:
        rays = bundle_rays(chief.crossing_mm, chief.slope, u, zero, q, wave)
        return trace(lens, rays, path=True, clip=False)

    def miss(u: Tensor) -> Tensor:
        path = follow(u).path_mm
        assert path is not None
        return path[:, lens.stop_surface - 1, 0]

    with torch.no_grad():
        step = 1e-4 * lens.surfaces[lens.stop_surface - 1].semi_aperture_mm
        u = zero
        for _ in range(_NEWTON_STEPS):
            u = u - miss(u) * 2 * step / (miss(u + step) - miss(u - step))
    traced = follow(u)
    path_mm = start_path_mm(chief.slope, u, zero, q) + traced.opl_mm
    return path_mm[0], (traced.position_mm[:, 0] - chief.radius_mm)[0]


def _rms(values: Tensor, share: Tensor) -> Tensor:
    mean = (share * values).sum()
    return (share * (values - mean) ** 2).sum().clamp_min(0).sqrt()
