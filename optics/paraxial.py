"""First-order optics: focal lengths, principal planes, pupils, conjugates, by 2 x 2 matrices in (y, n u)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from psf.errors import InputError

from .surface import Surface

if TYPE_CHECKING:
    from .lens import Lens


@dataclass(frozen=True, eq=False)
class FirstOrder:
    """Gaussian properties at one wavelength; every entry a float64 tensor of shape () that keeps gradients.

    Positions count along +z from the vertex in the name; light travels to +z, so a front focal point in front of the
    lens is negative. A converging lens has a positive focal length.

    Attributes:
        efl_mm: Effective focal length.
        bfl_from_last_vertex_mm: Rear focal point.
        ffl_from_first_vertex_mm: Front focal point.
        rear_principal_plane_from_last_vertex_mm: Where the rear principal plane stands.
        front_principal_plane_from_first_vertex_mm: Where the front principal plane stands.
        entrance_pupil_from_first_vertex_mm: The stop seen from the object.
        entrance_pupil_semi_diameter_mm: Its half diameter.
        exit_pupil_from_last_vertex_mm: The stop seen from the image.
        exit_pupil_semi_diameter_mm: Its half diameter.
        f_number_infinity: Focal length over entrance pupil diameter.
        petzval_radius_mm: Radius of the Petzval surface, negative for an uncorrected converging lens.
        image_plane_from_last_vertex_mm: Where the sensor stands.
        total_track_first_vertex_to_image_mm: From the first vertex to the sensor.
        paraxial_defocus_of_image_plane_mm: Sensor behind (positive) the rear focal point.
    """

    efl_mm: Tensor
    bfl_from_last_vertex_mm: Tensor
    ffl_from_first_vertex_mm: Tensor
    rear_principal_plane_from_last_vertex_mm: Tensor
    front_principal_plane_from_first_vertex_mm: Tensor
    entrance_pupil_from_first_vertex_mm: Tensor
    entrance_pupil_semi_diameter_mm: Tensor
    exit_pupil_from_last_vertex_mm: Tensor
    exit_pupil_semi_diameter_mm: Tensor
    f_number_infinity: Tensor
    petzval_radius_mm: Tensor
    image_plane_from_last_vertex_mm: Tensor
    total_track_first_vertex_to_image_mm: Tensor
    paraxial_defocus_of_image_plane_mm: Tensor


@dataclass(frozen=True, eq=False)
class Conjugate:
    """The Gaussian image of one object plane; tensors of shape ().

    Attributes:
        image_distance_from_last_vertex_mm: Where the image lies, along +z.
        magnification: Image height over object height, negative for a real image.
        working_f_number: 1 / (2 n' u') of the marginal ray through the rim of the entrance pupil.
    """

    image_distance_from_last_vertex_mm: Tensor
    magnification: Tensor
    working_f_number: Tensor


def first_order(lens: Lens, wavelength_um: float | None = None) -> FirstOrder:
    """Gaussian properties of a lens.

    Args:
        lens: The lens; vertex curvatures count with their r^2 terms.
        wavelength_um: Vacuum wavelength, by default the lens's reference wavelength.

    Raises:
        InputError: The lens is afocal, or a medium has no index there.
    """
    surfaces, n = lens.surfaces, _indices(lens, wavelength_um)
    stop = lens.stop_surface - 1
    a, _, c, d = _matrix(surfaces, n, 0, len(surfaces))
    if abs(float(c.detach())) < 1e-14:
        raise InputError(f"lens {lens.name}", "no refracting power", "a lens with a finite focal length")
    efl = -1 / c
    bfl, ffl = -a / c, d / c
    # The pupils are images of the stop's vertex through what stands before and behind it.
    a1, b1, _, _ = _matrix(surfaces, n, 0, stop, to_vertex=True)
    a2, b2, c2, d2 = _matrix(surfaces, n, stop, len(surfaces))
    radius = surfaces[stop].semi_aperture_mm
    entrance, entrance_semi = b1 / a1, radius / a1.abs()
    exit_pupil, exit_semi = -b2 / d2, radius * (a2 - b2 * c2 / d2).abs()
    petzval = sum(
        (s.shape.vertex_curvature_per_mm * (n[i + 1] - n[i]) / (n[i] * n[i + 1]) for i, s in enumerate(surfaces)),
        torch.zeros_like(efl),
    )
    image = surfaces[-1].thickness_mm
    return FirstOrder(
        efl_mm=efl,
        bfl_from_last_vertex_mm=bfl,
        ffl_from_first_vertex_mm=ffl,
        rear_principal_plane_from_last_vertex_mm=bfl - efl,
        front_principal_plane_from_first_vertex_mm=ffl + efl,
        entrance_pupil_from_first_vertex_mm=entrance,
        entrance_pupil_semi_diameter_mm=entrance_semi,
        exit_pupil_from_last_vertex_mm=exit_pupil,
        exit_pupil_semi_diameter_mm=exit_semi,
        f_number_infinity=efl / (2 * entrance_semi),
        petzval_radius_mm=-1 / petzval,
        image_plane_from_last_vertex_mm=image,
        total_track_first_vertex_to_image_mm=lens.vertices_mm[-1],
        paraxial_defocus_of_image_plane_mm=image - bfl,
    )


def conjugate(lens: Lens, depth_m: float, wavelength_um: float | None = None) -> Conjugate:
    """Gaussian image of the plane at `depth_m` in front of the first vertex (inf: the focal plane, magnification 0).

    Raises:
        InputError: A depth that is not positive, or in the front focal plane.
    """
    if math.isnan(depth_m) or depth_m <= 0:
        raise InputError("depth_m", depth_m, "a positive distance or inf")
    a, b, c, d = _matrix(lens.surfaces, _indices(lens, wavelength_um), 0, len(lens.surfaces))
    facts = first_order(lens, wavelength_um)
    pupil, semi = facts.entrance_pupil_from_first_vertex_mm, facts.entrance_pupil_semi_diameter_mm
    if math.isinf(depth_m):
        return Conjugate(-a / c, torch.zeros_like(c), facts.f_number_infinity)
    object_mm = 1e3 * depth_m
    # From the object: y = u s, so the image lies where (a s + b) + t (c s + d) = 0.
    slope = c * object_mm + d
    if abs(float(slope.detach())) < 1e-12:
        raise InputError("depth_m", depth_m, "a plane with a finite image (this is the front focal plane)")
    u = semi / (object_mm + pupil)
    return Conjugate(-(a * object_mm + b) / slope, 1 / slope, 1 / (2 * (slope * u).abs()))


def _indices(lens: Lens, wavelength_um: float | None) -> list[Tensor]:
    value = lens.reference_wavelength_um if wavelength_um is None else float(wavelength_um)
    if not (math.isfinite(value) and value > 0):
        raise InputError("wavelength_um", value, "a positive number")
    wavelength = torch.tensor(value, dtype=torch.float64)
    return [torch.ones_like(wavelength), *(s.medium.index(wavelength) for s in lens.surfaces)]


def _matrix(
    surfaces: Sequence[Surface], n: Sequence[Tensor], first: int, last: int, *, to_vertex: bool = False
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(a, b; c, d) on (y, n u), from the vertex of `first` to behind surface `last - 1`, or on to the next vertex."""
    one, zero = torch.ones_like(n[0]), torch.zeros_like(n[0])
    a, b, c, d = one, zero, zero, one
    for i in range(first, last):
        power = (n[i + 1] - n[i]) * surfaces[i].shape.vertex_curvature_per_mm
        c, d = c - power * a, d - power * b
        if i + 1 < last or to_vertex:
            reduced = surfaces[i].thickness_mm / n[i + 1]
            a, b = a + reduced * c, b + reduced * d
    return a, b, c, d
