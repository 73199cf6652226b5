"""The numbers behind the plots of a lens: ray fans, spot diagrams, and what changes with image height.

Everything stands in the picture frame: image points lie at x > 0 and y points up (see `pupil.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from psf import Channel
from psf.errors import InputError

from .bundles import find_lit, find_moments, read_radii, read_spectrum
from .geometric import check_depths
from .landing import Sampling
from .paraxial import conjugate, first_order
from .pupil import ChiefRays, bundle_rays, chief_rays, dioptre_per_mm, find_ellipses
from .rays import Rays
from .tracing import trace

if TYPE_CHECKING:
    from .lens import Lens

# Radius of the first dark ring of a circular pupil's diffraction pattern, in wavelengths times f-number.
AIRY = 1.2197
# `find_ellipses` leaves a margin of 1.5 % round a bundle; the cells of a spot diagram end where the light does.
_RIM = 1 / 1.015
_BINS_PER_PX = 20
# The rim is searched with real rays whatever stands here. Light alone is smooth over a bundle.
_FOR_MOMENTS, _FOR_LIGHT = Sampling(rings=32, angles=32, nodes=20), Sampling(rings=8, angles=32, nodes=4)


@dataclass(frozen=True, eq=False)
class Fans:
    """Rays in the meridional plane, from in front of the lens to the sensor.

    Attributes:
        radii: Image heights, shape (R,).
        depth_m: Where the object points lie.
        z_mm: Along the axis: a point in front of the lens, the crossing with every surface, the sensor; shape
            (R, N, S + 2).
        x_mm: Height of these points, shape (R, N, S + 2).
    """

    radii: Tensor
    depth_m: float
    z_mm: Tensor
    x_mm: Tensor


@dataclass(frozen=True, eq=False)
class Spots:
    """Where the rays of a point of light land, against the chief ray of the reference wavelength.

    Attributes:
        radii: Image heights, shape (R,).
        depths_m: Depths, shape (D,).
        channels: C of them.
        channel_of: Channel of each wavelength, shape (W,).
        x_um: Landing points, outwards, shape (D, R, W, N).
        y_um: The same, upwards, shape (D, R, W, N).
        light: Each ray's share of the light of its bundle, 0 for those that were lost; shape (D, R, W, N).
        rms_um: RMS radius about each channel's own centroid, of all the light up to the very rim; shape (D, R, C).
        centroid_um: Where that is along x, shape (D, R, C).
        airy_radius_um: First dark ring of the diffraction pattern, reference wavelength and axis; shape (D,).
    """

    radii: Tensor
    depths_m: Tensor
    channels: tuple[Channel, ...]
    channel_of: Tensor
    x_um: Tensor
    y_um: Tensor
    light: Tensor
    rms_um: Tensor
    centroid_um: Tensor
    airy_radius_um: Tensor


@dataclass(frozen=True, eq=False)
class FieldCurves:
    """What changes with image height, for objects at one depth.

    Attributes:
        radii: Image heights, shape (R,).
        depth_m: Where the objects are.
        height_mm: Image heights, shape (R,).
        angle_rad: Angle of the chief ray in front of the lens, shape (R,).
        ideal_mm: Where the Gaussian chief ray lands. With the sensor in the focal plane that is focal length times
            tangent of the angle; with the sensor elsewhere it is not, by a constant factor. Shape (R,).
        distortion: Height over ideal height, less 1; shape (R,).
        lateral_um: How much farther out than the reference wavelength's chief ray the channel's chief rays land, mean
            over its wavelengths; shape (R, C).
        illumination: Relative illumination, 1 on the axis, at the middle wavelength of each channel; shape (R, C).
        cos4: Fourth power of the angle's cosine, shape (R,).
        channels: C of them.
    """

    radii: Tensor
    depth_m: float
    height_mm: Tensor
    angle_rad: Tensor
    ideal_mm: Tensor
    distortion: Tensor
    lateral_um: Tensor
    illumination: Tensor
    cos4: Tensor
    channels: tuple[Channel, ...]


def trace_fans(lens: Lens, radii: Sequence[float], depth_m: float | None = None, rays: int = 5) -> Fans:
    """Real rays of the reference wavelength in the meridional plane, from rim to rim of what the lens lets through.

    Args:
        lens: The lens.
        radii: Image heights in 0..1, R of them.
        depth_m: Depth of the object points, inf allowed; by default the lens's focus.
        rays: N: rays per fan, evenly spread, the outer two at the rims; at least 2.

    Raises:
        InputError: Radii or a depth out of range, fewer than two rays, an image height without light.
    """
    depth_m = lens.focus_m if depth_m is None else depth_m
    check_depths([depth_m])
    if rays < 2:
        raise InputError("rays", rays, "at least 2")
    with torch.no_grad():
        unit = lens.vertices_mm.detach()
        heights = read_radii(radii).to(unit)
        wave = unit.new_tensor(lens.reference_wavelength_um)
        depth_mm = unit.new_tensor([1e3 * depth_m])
        chief = chief_rays(lens, heights)
        ellipses = find_ellipses(lens, chief, depth_mm, wave[None])
        z, slope = chief.crossing_mm[:, None], chief.slope[:, None]
        q = dioptre_per_mm(z, depth_mm)

        def fan(u: Tensor) -> Rays:
            return bundle_rays(z, slope, u, torch.zeros_like(u), q, wave)

        centre, semi = ellipses.centre_mm[:, None], ellipses.semi_u_mm[:, None]
        low, high = find_lit(lambda t: trace(lens, fan(centre + semi * t)).alive, len(heights), unit)
        share = torch.linspace(0, 1, rays, dtype=torch.float64).to(unit)
        chosen = fan(centre + semi * (low + share * (high - low)))
        traced = trace(lens, chosen, path=True)
        crossings = traced.path_mm
        assert crossings is not None
        # Far enough in front for the rays to be seen, whatever bulges out.
        start_z = float(crossings[..., 0, 2].min()) - 0.12 * lens.track_mm
        way = (start_z - chosen.position_mm[..., 2:]) / chosen.direction[..., 2:]
        start = chosen.position_mm + way * chosen.direction
        points = torch.cat([start[..., None, :], crossings, traced.position_mm[..., None, :]], dim=-2)
        # The vertex frame of the sensor is that of the lens: its z is the track.
        points[..., -1, 2] = lens.track_mm
    return Fans(heights, float(depth_m), points[..., 2], points[..., 0])


def find_spots(
    lens: Lens,
    radii: Sequence[float],
    depths_m: Sequence[float],
    channels: Sequence[Channel] | None = None,
    rings: int = 16,
) -> Spots:
    """Spot diagrams over image heights and depths.

    Args:
        lens: The lens.
        radii: Image heights in 0..1, R of them.
        depths_m: Depths, D of them; inf is allowed.
        channels: By default the lens's.
        rings: Rings of rays in the pupil, 6, 12, 18 ... on each: N = 1 + 3 rings (rings + 1) rays.

    Raises:
        InputError: Radii or depths out of range, no rings, an image height without light.
    """
    check_depths(depths_m)
    if len(depths_m) == 0:
        raise InputError("depths_m", "none", "at least one depth")
    if rings < 1:
        raise InputError("rings", rings, "at least 1")
    chosen = lens.channels if channels is None else tuple(channels)
    with torch.no_grad():
        unit = lens.vertices_mm.detach()
        heights = read_radii(radii).to(unit)
        spectrum = read_spectrum(chosen, unit)
        wave = spectrum.wavelength_um
        depths_mm = 1e3 * torch.tensor(list(depths_m), dtype=torch.float64).to(unit)
        chief = chief_rays(lens, heights)
        pupil_u, pupil_v, cell = _hexapolar(rings, unit)
        rows = []
        for depth_mm in depths_mm:
            ellipses = find_ellipses(lens, chief, depth_mm[None], wave)
            u = ellipses.centre_mm[:, None, None] + _RIM * ellipses.semi_u_mm[:, None, None] * pupil_u
            v = _RIM * ellipses.semi_v_mm[:, None, None] * pupil_v
            z = chief.crossing_mm[:, None, None]
            rays = bundle_rays(z, chief.slope[:, None, None], u, v, dioptre_per_mm(z, depth_mm), wave[:, None])
            traced = trace(lens, rays)
            # Even over the beam's cross-section at infinity, over solid angle at a finite depth.
            density = 1.0 if torch.isinf(depth_mm) else rays.direction[..., 2] ** 3
            light = torch.where(traced.alive, cell * density, 0.0)
            light = light / light.sum(-1, keepdim=True)
            x = traced.position_mm[..., 0] - chief.landing_mm[:, None, None]
            y = traced.position_mm[..., 1]
            sums = spectrum.mixed(find_moments(lens, chief, ellipses, depth_mm, wave, _FOR_MOMENTS))
            mean, square = (sums[..., 1:] / sums[..., :1]).unbind(-1)
            rms = (square - mean**2).clamp_min(0).sqrt()
            rows.append((1e3 * x, 1e3 * y, light, 1e3 * rms, 1e3 * mean))
        x_um, y_um, light, rms_um, centroid_um = (torch.stack(column) for column in zip(*rows, strict=True))
        f_numbers = [float(conjugate(lens, float(d)).working_f_number) for d in depths_m]
        airy = AIRY * lens.reference_wavelength_um * torch.tensor(f_numbers, dtype=torch.float64).to(unit)
    return Spots(
        radii=heights,
        depths_m=torch.tensor(list(depths_m), dtype=torch.float64).to(unit),
        channels=chosen,
        channel_of=spectrum.channel_of,
        x_um=x_um,
        y_um=y_um,
        light=light,
        rms_um=rms_um,
        centroid_um=centroid_um,
        airy_radius_um=airy,
    )


def find_field_curves(
    lens: Lens, radii: Sequence[float], depth_m: float | None = None, channels: Sequence[Channel] | None = None
) -> FieldCurves:
    """Distortion, lateral colour and relative illumination against image height.

    Args:
        lens: The lens.
        radii: Image heights in 0..1, R of them.
        depth_m: Depth of the objects, inf allowed; by default the lens's focus.
        channels: By default the lens's.

    Raises:
        InputError: Radii or a depth out of range, an image height without light.
    """
    depth_m = lens.focus_m if depth_m is None else depth_m
    check_depths([depth_m])
    chosen = lens.channels if channels is None else tuple(channels)
    with torch.no_grad():
        unit = lens.vertices_mm.detach()
        heights = read_radii(radii).to(unit)
        spectrum = read_spectrum(chosen, unit)
        wave = spectrum.wavelength_um
        depth_mm = unit.new_tensor(1e3 * depth_m)
        # The axis comes first: illumination is against it.
        every_height = torch.cat([heights.new_zeros(1), heights])
        chief = chief_rays(lens, every_height)
        middle = spectrum.middle_um()
        ellipses = find_ellipses(lens, chief, depth_mm[None], middle)
        beam = find_moments(lens, chief, ellipses, depth_mm, middle, _FOR_LIGHT)[..., 0]
        mapping = chief.mapping(1e3 * depth_m)
        illumination = beam / beam[:1] * (mapping / mapping[:1])[:, None]
        place, rate = _object_place(chief, depth_m)
        shifts = []
        for one in wave.tolist():
            other, _ = _object_place(chief_rays(replace(lens, reference_wavelength_um=one), every_height), depth_m)
            # The object point that this wavelength puts at the same height lies elsewhere; its own image then does too.
            shifts.append(-1e3 * (other - place) / rate * chief.landing_rate_mm)
        lateral = spectrum.mixed(torch.stack(shifts, dim=1)[..., None])[..., 0]
        entrance = float(first_order(lens).entrance_pupil_from_first_vertex_mm)
        if math.isinf(depth_m):
            tangent = chief.slope.abs()
        else:
            tangent = chief.object_x_mm(1e3 * depth_m).abs() / (1e3 * depth_m + entrance)
        ideal = _gaussian_scale_mm(lens) * tangent
        angle = torch.atan(chief.slope).abs()
    return FieldCurves(
        radii=heights,
        depth_m=float(depth_m),
        height_mm=chief.radius_mm[1:],
        angle_rad=angle[1:],
        ideal_mm=ideal[1:],
        distortion=(chief.landing_mm / ideal - 1)[1:],
        lateral_um=lateral[1:],
        illumination=illumination[1:],
        cos4=torch.cos(angle[1:]) ** 4,
        channels=chosen,
    )


def find_encircled_diameters_px(kernels: Tensor, shares: Sequence[float], subpixels: int = 3) -> Tensor:
    """Diameters of the circles about each kernel's centroid that hold given shares of its light.

    Args:
        kernels: Not negative, positive sum, shape (..., K, K) with odd K.
        shares: Between 0 and 1, E of them.
        subpixels: Each pixel's light is spread evenly over this many points per axis.

    Returns:
        Shape (..., E); to some 0.1 px, more where much light lies in one pixel.

    Raises:
        InputError: Kernels of another shape or without light, shares outside 0..1, no subpixels.
    """
    size = kernels.shape[-1] if kernels.ndim >= 2 else 0
    if kernels.ndim < 2 or kernels.shape[-2] != size or size % 2 == 0:
        raise InputError("kernels", f"shape {tuple(kernels.shape)}", "shape (..., K, K) with odd K")
    if not all(0 < share < 1 for share in shares):
        raise InputError("shares", list(shares), "numbers between 0 and 1")
    if isinstance(subpixels, bool) or subpixels < 1:
        raise InputError("subpixels", repr(subpixels), "a positive integer")
    if not bool((kernels.detach().sum((-2, -1)) > 0).all() and (kernels.detach() >= 0).all()):
        raise InputError("kernels", "negative values or no light", "kernels that are not negative, of positive sum")
    flat = kernels.detach().reshape(-1, size, size).double()
    flat = flat / flat.sum((-2, -1), keepdim=True)
    pixel = torch.arange(size, device=flat.device).double() - size // 2
    columns, rows = flat.sum(-2) @ pixel, flat.sum(-1) @ pixel
    fine = (torch.arange(subpixels, device=flat.device).double() + 0.5) / subpixels - 0.5
    wanted = torch.tensor(list(shares), dtype=torch.float64, device=flat.device)
    found = []
    for one, column, row in zip(flat, columns, rows, strict=True):
        # Most pixels of most kernels are dark.
        lit = one.nonzero()
        x, y = pixel[lit[:, 1]] - column, pixel[lit[:, 0]] - row
        distance = torch.hypot((x[:, None] + fine)[:, None, :], (y[:, None] + fine)[:, :, None]).reshape(-1)
        index = (distance * _BINS_PER_PX).long()
        light = one[lit[:, 0], lit[:, 1]].repeat_interleave(subpixels**2) / subpixels**2
        inside = torch.bincount(index, light).cumsum(0)
        at = torch.searchsorted(inside, wanted).clamp_max(len(inside) - 1)
        below = torch.where(at > 0, inside[(at - 1).clamp_min(0)], 0.0)
        part = (wanted - below) / (inside[at] - below)
        found.append(2 * (at + part.clamp(0, 1)) / _BINS_PER_PX)
    return torch.stack(found).reshape(*kernels.shape[:-2], len(shares)).to(kernels.dtype)


def _gaussian_scale_mm(lens: Lens) -> float:
    """Image height of the Gaussian chief ray on the sensor per tangent of its angle."""
    facts = first_order(lens)
    efl, bfl = float(facts.efl_mm), float(facts.bfl_from_last_vertex_mm)
    pupil, sensor = float(facts.exit_pupil_from_last_vertex_mm), float(facts.image_plane_from_last_vertex_mm)
    # The ray crosses the axis in the exit pupil and the focal plane at f tan(theta).
    scale = efl * (sensor - pupil) / (bfl - pupil)
    return scale if math.isfinite(scale) else efl


def _object_place(chief: ChiefRays, depth_m: float) -> tuple[Tensor, Tensor]:
    """What names an object point (angle at infinity, height at a finite depth), and its rate; shapes (R,)."""
    if math.isinf(depth_m):
        return torch.atan(chief.slope), chief.angle_rate
    depth_mm = 1e3 * depth_m
    return chief.object_x_mm(depth_mm), chief.height_rate_mm - depth_mm * (1 + chief.slope**2) * chief.angle_rate


def _hexapolar(rings: int, unit: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Points of the unit disc, the centre and 6 k on ring k, and the area of the cell round each."""
    rho, phi = [0.0], [0.0]
    for ring in range(1, rings + 1):
        rho += [ring / (rings + 0.5)] * (6 * ring)
        phi += [2 * math.pi * (i + 0.5) / (6 * ring) for i in range(6 * ring)]
    radius, angle = (torch.tensor(values, dtype=torch.float64).to(unit) for values in (rho, phi))
    cell = torch.full_like(radius, 4 / 3)
    cell[0] = 1.0
    return radius * torch.cos(angle), radius * torch.sin(angle), cell / cell.sum()
