"""What a lens does wrong, ray by ray: ray fans, path differences, field curvature and astigmatism, axial colour.

Everything stands in the picture frame (see `pupil.py`). Distances along the axis count from the sensor, positive away
from the lens; an image that lies behind the sensor has a positive shift.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from psf import Channel
from psf.errors import InputError

from .bundles import find_lit, read_radii, read_spectrum
from .geometric import check_depths
from .paraxial import conjugate, first_order
from .pupil import ChiefRays, bundle_rays, chief_rays, dioptre_per_mm, find_ellipses
from .rays import Traced
from .tracing import trace
from .wave_maps import start_path_mm

if TYPE_CHECKING:
    from .lens import Lens

# `find_ellipses` leaves this margin round a bundle.
_MARGIN = 1.015
# Neighbours of a ray for its caustics, in entrance pupil radii: the error is of second order, some 1e-7.
_CLOSE = 3e-4
_SECANTS = 3


@dataclass(frozen=True, eq=False)
class RayFans:
    """Where the rays of the two principal sections land, against the chief ray of the reference wavelength.

    Pupil coordinates are measured from the chief ray, across the axis where that ray meets it, in radii of the paraxial
    entrance pupil: light beyond 1 is pupil aberration, missing light below 1 is vignetting.

    Attributes:
        radii: Image heights, shape (R,).
        depth_m: Where the object points lie.
        channels: C of them; a fan is traced at the mean wavelength of each.
        wavelength_um: Shape (C,).
        pupil_t: Pupil coordinates of the tangential (meridional) fans, outwards, shape (R, N).
        pupil_s: Those of the sagittal fans, shape (R, N).
        tangential_um: x of the tangential fan's landing points, outwards, shape (R, C, N).
        sagittal_um: y of the sagittal fan's landing points, shape (R, C, N).
        tangential_waves: Optical path of the tangential fan less that of the chief ray of the same wavelength, to the
            sphere about the point where that one lands, through the middle of the paraxial exit pupil; positive is
            longer, shape (R, C, N).
        sagittal_waves: The same of the sagittal fan, shape (R, C, N).
        alive_t: Which tangential rays reach the sensor, shape (R, C, N); the others carry numbers without a meaning.
        alive_s: Which sagittal ones do, shape (R, C, N).
    """

    radii: Tensor
    depth_m: float
    channels: tuple[Channel, ...]
    wavelength_um: Tensor
    pupil_t: Tensor
    pupil_s: Tensor
    tangential_um: Tensor
    sagittal_um: Tensor
    tangential_waves: Tensor
    sagittal_waves: Tensor
    alive_t: Tensor
    alive_s: Tensor


@dataclass(frozen=True, eq=False)
class FocusCurves:
    """Field curvature and astigmatism: where close rays round each chief ray meet.

    Attributes:
        radii: Image heights, shape (R,).
        depth_m: Where the objects lie.
        channels: C of them; at the mean wavelength of each.
        height_mm: Image heights, shape (R,).
        tangential_mm: Along the axis from the sensor to the focus of rays in the meridional plane, shape (R, C).
        sagittal_mm: The same of rays across it, shape (R, C).
        petzval_mm: The Petzval parabola through the Gaussian image, reference wavelength, shape (R,).
    """

    radii: Tensor
    depth_m: float
    channels: tuple[Channel, ...]
    height_mm: Tensor
    tangential_mm: Tensor
    sagittal_mm: Tensor
    petzval_mm: Tensor


@dataclass(frozen=True, eq=False)
class AxialColour:
    """Where light on the axis meets, by wavelength and by zone of the pupil.

    Attributes:
        depth_m: Where the object lies.
        wavelength_um: Wavelengths of the Gaussian shift, shape (W,).
        shift_mm: Gaussian image against that of the reference wavelength, positive farther from the lens, shape (W,).
        channels: C of them.
        zones: Heights in the pupil, 0 to 1 (the rim of the axial bundle), shape (Z,).
        zone_mm: From the sensor to where the rays of a zone meet the axis, mean wavelength of each channel, shape
            (C, Z).
    """

    depth_m: float
    wavelength_um: Tensor
    shift_mm: Tensor
    channels: tuple[Channel, ...]
    zones: Tensor
    zone_mm: Tensor


def trace_ray_fans(
    lens: Lens,
    radii: Sequence[float],
    depth_m: float | None = None,
    channels: Sequence[Channel] | None = None,
    rays: int = 65,
) -> RayFans:
    """Transverse ray aberrations in the two principal sections.

    Args:
        lens: The lens.
        radii: Image heights in 0..1, R of them.
        depth_m: Depth of the object points, inf allowed; by default the lens's focus.
        channels: By default the lens's.
        rays: N: rays per fan, at least 2.

    Raises:
        InputError: Radii or a depth out of range, fewer than two rays, an image height without light.
    """
    depth_m = lens.focus_m if depth_m is None else depth_m
    check_depths([depth_m])
    if isinstance(rays, bool) or rays < 2:
        raise InputError("rays", rays, "at least 2")
    with torch.no_grad():
        unit = lens.vertices_mm.detach()
        heights = read_radii(radii).to(unit)
        spectrum = read_spectrum(lens.channels if channels is None else channels, unit)
        wave = spectrum.middle_um()
        depth_mm = unit.new_tensor(1e3 * depth_m)
        chief = chief_rays(lens, heights)
        ellipses = find_ellipses(lens, chief, depth_mm[None], wave)
        z, slope = chief.crossing_mm[:, None, None], chief.slope[:, None, None]
        q, zero = dioptre_per_mm(z, depth_mm), unit.new_zeros(1, 1, 1)

        def any_alive(u: Tensor, v: Tensor) -> Tensor:
            return trace(lens, bundle_rays(z, slope, u, v, q, wave[:, None])).alive.any(1)

        centre, semi_u = ellipses.centre_mm[:, None], ellipses.semi_u_mm[:, None]
        low, high = find_lit(lambda t: any_alive((centre + semi_u * t)[:, None], zero), len(heights), unit)
        share = torch.linspace(0, 1, rays, dtype=torch.float64).to(unit)
        u = centre + semi_u * (low + (high - low) * share)
        # Through the chief ray, which need not be in the middle of the bundle.
        semi_v = ellipses.semi_v_mm[:, None]
        low, high = find_lit(lambda t: any_alive(zero, (semi_v * t)[:, None]), len(heights), unit)
        v = semi_v * (low + (high - low) * share)
        chosen = ((u[:, None], zero), (zero, v[:, None]))
        (t, t_waves), (s, s_waves) = (trace_paths(lens, chief, depth_mm, wave, *one) for one in chosen)
        semi = first_order(lens).entrance_pupil_semi_diameter_mm.to(unit)
    return RayFans(
        radii=heights,
        depth_m=float(depth_m),
        channels=spectrum.channels,
        wavelength_um=wave,
        pupil_t=u / semi,
        pupil_s=v / semi,
        tangential_um=1e3 * (t.position_mm[..., 0] - chief.landing_mm[:, None, None]),
        sagittal_um=1e3 * s.position_mm[..., 1],
        tangential_waves=t_waves,
        sagittal_waves=s_waves,
        alive_t=t.alive,
        alive_s=s.alive,
    )


def trace_paths(
    lens: Lens, chief: ChiefRays, depth_mm: Tensor, wave_um: Tensor, u_mm: Tensor, v_mm: Tensor
) -> tuple[Traced, Tensor]:
    """Real rays and their path differences.

    Args:
        lens: The lens.
        chief: Chief rays, R of them.
        depth_mm: Depth of the object points, shape ().
        wave_um: Wavelengths, shape (C,).
        u_mm: Places in the plane where a chief ray meets the axis, shape that broadcasts to (R, C, N).
        v_mm: Places in that plane, shape that broadcasts to (R, C, N).

    Returns:
        The rays, and their paths to the reference sphere in waves less that of the chief ray, shape (R, C, N).
    """
    z, slope = chief.crossing_mm[:, None, None], chief.slope[:, None, None]
    q, wave = dioptre_per_mm(z, depth_mm), wave_um[:, None]
    # The ray of another colour through the middle of the stop is not the reference wavelength's: it is its chief ray.
    middle = _through_stop(lens, z, slope, q, wave)
    own = trace(lens, bundle_rays(z, slope, middle, torch.zeros_like(middle), q, wave), clip=False)
    traced = trace(lens, bundle_rays(z, slope, u_mm, v_mm, q, wave))
    path = start_path_mm(slope, u_mm, v_mm, q) + traced.opl_mm
    own_path = start_path_mm(slope, middle, torch.zeros_like(middle), q) + own.opl_mm
    facts = first_order(lens)
    pupil_z = (facts.exit_pupil_from_last_vertex_mm - lens.surfaces[-1].thickness_mm).to(z)
    centre = own.position_mm
    sphere = torch.sqrt(pupil_z**2 + centre[..., 0] ** 2)
    away = traced.position_mm - centre
    along = (traced.direction * away).sum(-1)
    off = along**2 - (away**2).sum(-1)
    # From the landing point back to the sphere, less its radius: written so that nothing large cancels.
    bent = torch.sign(pupil_z) * off / (sphere + (sphere**2 + off).clamp_min(0).sqrt())
    return traced, (path - along + bent - own_path) / (1e-3 * wave)


def find_focus_curves(
    lens: Lens, radii: Sequence[float], depth_m: float | None = None, channels: Sequence[Channel] | None = None
) -> FocusCurves:
    """Tangential and sagittal field curvature by real rays close to the chief ray.

    Args:
        lens: The lens.
        radii: Image heights in 0..1, R of them.
        depth_m: Depth of the objects, inf allowed; by default the lens's focus.
        channels: By default the lens's.

    Raises:
        InputError: Radii or a depth out of range, an image height without a chief ray in every colour, rays that meet
            nowhere.
    """
    depth_m = lens.focus_m if depth_m is None else depth_m
    check_depths([depth_m])
    with torch.no_grad():
        unit = lens.vertices_mm.detach()
        heights = read_radii(radii).to(unit)
        spectrum = read_spectrum(lens.channels if channels is None else channels, unit)
        wave = spectrum.middle_um()
        chief = chief_rays(lens, heights)
        facts = first_order(lens)
        step = _CLOSE * facts.entrance_pupil_semi_diameter_mm.to(unit)
        z, slope = chief.crossing_mm[:, None, None], chief.slope[:, None, None]
        q = dioptre_per_mm(z, unit.new_tensor(1e3 * depth_m))
        u = step * torch.tensor([1.0, -1.0, 0.0]).to(unit)
        v = step * torch.tensor([0.0, 0.0, 1.0]).to(unit)
        traced = trace(lens, bundle_rays(z, slope, u, v, q, wave[:, None]), clip=False)
        _check_alive(lens, traced, heights)
        x, y, _ = traced.position_mm.unbind(-1)
        dx, dy, dz = traced.direction.unbind(-1)
        turn_x, turn_y = dx / dz, dy / dz
        tangential = -_quotient(lens, x[..., 0] - x[..., 1], turn_x[..., 0] - turn_x[..., 1])
        sagittal = -_quotient(lens, y[..., 2], turn_y[..., 2])
        image = conjugate(lens, depth_m).image_distance_from_last_vertex_mm - lens.surfaces[-1].thickness_mm.detach()
        height_mm = heights * lens.sensor.half_diagonal_mm
        petzval = image.to(unit) + height_mm**2 / (2 * facts.petzval_radius_mm.to(unit))
    return FocusCurves(heights, float(depth_m), spectrum.channels, height_mm, tangential, sagittal, petzval)


def find_axial_colour(
    lens: Lens,
    wavelengths_um: Sequence[float],
    depth_m: float | None = None,
    channels: Sequence[Channel] | None = None,
    zones: int = 33,
) -> AxialColour:
    """Axial colour, spherical aberration and how they mix.

    Args:
        lens: The lens.
        wavelengths_um: For the Gaussian shift, W of them.
        depth_m: Depth of the object, inf allowed; by default the lens's focus.
        channels: For the zones; by default the lens's.
        zones: Z: zones of the pupil from the axis to the rim, at least 2.

    Raises:
        InputError: A wavelength without an index, a depth out of range, fewer than two zones.
    """
    depth_m = lens.focus_m if depth_m is None else depth_m
    check_depths([depth_m])
    if isinstance(zones, bool) or zones < 2:
        raise InputError("zones", zones, "at least 2")
    with torch.no_grad():
        unit = lens.vertices_mm.detach()
        spectrum = read_spectrum(lens.channels if channels is None else channels, unit)
        own = conjugate(lens, depth_m).image_distance_from_last_vertex_mm
        images = [conjugate(lens, depth_m, w).image_distance_from_last_vertex_mm for w in wavelengths_um]
        shift = torch.stack([image - own for image in images]).to(unit) if images else unit.new_zeros(0)
        depth_mm = unit.new_tensor(1e3 * depth_m)
        wave = spectrum.middle_um()
        chief = chief_rays(lens, unit.new_zeros(1))
        ellipse = find_ellipses(lens, chief, depth_mm[None], wave)
        rho = torch.linspace(0, 1, zones, dtype=torch.float64).to(unit)
        # The innermost zone stands for the limit. Rays leave across the plane of symmetry: there the axis is the axis.
        v = ellipse.semi_v_mm / _MARGIN * rho.clamp_min(_CLOSE)
        z = chief.crossing_mm
        rays = bundle_rays(z, torch.zeros_like(z), torch.zeros_like(v), v, dioptre_per_mm(z, depth_mm), wave[:, None])
        traced = trace(lens, rays, clip=False)
        _check_alive(lens, traced, unit.new_zeros(1))
        along = traced.direction[..., 1] / traced.direction[..., 2]
        zone = -_quotient(lens, traced.position_mm[..., 1], along)
    wavelengths = torch.tensor(list(wavelengths_um), dtype=torch.float64).to(unit)
    return AxialColour(float(depth_m), wavelengths, shift, spectrum.channels, rho, zone)


def _through_stop(lens: Lens, z: Tensor, slope: Tensor, q: Tensor, wave: Tensor) -> Tensor:
    """Where rays through the middle of the stop cross the plane of u, shape (R, C, 1), by secants."""

    def missed(u: Tensor) -> Tensor:
        rays = bundle_rays(z, slope, u, torch.zeros_like(u), q, wave)
        path = trace(lens, rays, path=True, clip=False).path_mm
        assert path is not None
        return path[..., lens.stop_surface - 1, 0]

    u = (z + slope + wave) * 0
    step = torch.full_like(u, 1e-3 * float(first_order(lens).entrance_pupil_semi_diameter_mm))
    for _ in range(_SECANTS):
        here = missed(u)
        rate = (missed(u + step) - here) / step
        u = u - torch.where(rate == 0, 0.0, here / torch.where(rate == 0, 1.0, rate))
    return u


def _check_alive(lens: Lens, traced: Traced, heights: Tensor) -> None:
    """Raise unless all rays (R, ...) reach the sensor."""
    lost = ~traced.alive.flatten(1).all(1) if traced.alive.ndim > 1 else ~traced.alive
    if bool(lost.any()):
        radius = float(heights[lost][0]) if len(lost) == len(heights) else float(heights[0])
        surface = int(traced.lost_at.max())
        found = f"rays at image height {radius:.3g} that end at surface {surface}"
        raise InputError(f"lens {lens.name}", found, "rays that reach the sensor")


def _quotient(lens: Lens, over: Tensor, under: Tensor) -> Tensor:
    if bool((under == 0).any()):
        raise InputError(f"lens {lens.name}", "parallel rays behind the lens", "rays that meet somewhere")
    result = over / under
    if not math.isfinite(float(result.abs().max())):
        raise InputError(f"lens {lens.name}", "rays that meet at infinity", "rays that meet somewhere")
    return result
