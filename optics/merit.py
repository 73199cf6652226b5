"""What counts about a lens, and the rays that tell: image heights, depths, wavelengths, points of each pupil.

`Merit` says what counts. `plan_rays` lays rays into the pupils of a lens, as they really are, for it; the plan goes on
to hold for lenses that differ a little, and `residuals.py` says how good they are.

Each ray is named by where it crosses the plane in which the chief ray meets the axis, in units of the paraxial entrance
pupil: pupils grow and move with the lens, and no ray is aimed. A bundle's weight is its light; image heights and depths
weigh alike unless told otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from psf import Channel
from psf.errors import InputError

from .bundles import find_lit, read_radii, read_spectrum
from .constraints import Limit
from .geometric import check_depths
from .paraxial import first_order
from .pupil import bundle_rays, chief_rays, dioptre_per_mm, find_ellipses
from .tracing import trace
from .wave_maps import beam_density
from .wavefront import gauss_points

if TYPE_CHECKING:
    from .lens import Lens

Quantity = Literal["spot", "wavefront", "contrast"]

# The price of a lost ray where nobody says: against the image's half diagonal, in waves, in percent.
_LOST_SHARE, _LOST_WAVES, _LOST_PERCENT = 0.02, 10.0, 100.0


@dataclass(frozen=True)
class Merit:
    """What counts about a lens.

    Attributes:
        quantity: "spot" for the RMS distance of rays in um, "wavefront" for the RMS path difference in waves,
            "contrast" for what is missing of the contrast of fine lines, by rays, in percent, RMS over radial and
            tangential lines. The real part counts: contrast that has turned over is worse than none.
        radii: Image heights in 0..1.
        radius_weights: One per image height; none for all alike.
        depths_m: Depths; none for the lens's focus.
        depth_weights: One per depth; none for all alike.
        channels: Colours; none for the lens's own. Every channel weighs alike.
        about: What distances count from: the centroid of all colours ("centroid"), of each channel's ("channel"), or
            the chief ray of the reference wavelength ("chief"). For a wavefront the first two leave each bundle's tilt
            out; its piston never counts.
        frequency_per_mm: Of the lines, for "contrast" and nothing else.
        saturation: Distance (um, or waves) from which a ray hardly costs more: r^2 / (1 + (r / saturation)^2) takes the
            place of r^2, which asks for a bright core and forgives a halo. None for plain squares.
        limits: What the lens must keep.
        lost_ray: What a lost ray costs, as a distance in um, in waves or percent; none for 2 % of the half diagonal, 10
            waves, 100 percent.
        rings: Rays along each half line of the pupil.
        angles: Half lines over half the pupil.
    """

    quantity: Quantity = "spot"
    radii: tuple[float, ...] = (0.0, 0.35, 0.7, 0.85, 1.0)
    radius_weights: tuple[float, ...] = ()
    depths_m: tuple[float, ...] = ()
    depth_weights: tuple[float, ...] = ()
    channels: tuple[Channel, ...] = ()
    about: Literal["centroid", "channel", "chief"] = "centroid"
    frequency_per_mm: float | None = None
    saturation: float | None = None
    limits: tuple[Limit, ...] = ()
    lost_ray: float | None = None
    rings: int = 6
    angles: int = 10

    def __post_init__(self) -> None:
        if self.quantity not in ("spot", "wavefront", "contrast"):
            raise InputError("Merit.quantity", repr(self.quantity), '"spot", "wavefront" or "contrast"')
        if self.about not in ("centroid", "channel", "chief"):
            raise InputError("Merit.about", repr(self.about), '"centroid", "channel" or "chief"')
        read_radii(self.radii)
        check_depths(self.depths_m)
        for name, weights, count in (
            ("radius_weights", self.radius_weights, len(self.radii)),
            ("depth_weights", self.depth_weights, max(len(self.depths_m), 1)),
        ):
            positive = all(0 <= w < math.inf for w in weights) and sum(weights) > 0
            if weights and not (len(weights) == count and positive):
                raise InputError(f"Merit.{name}", weights, f"{count} numbers from 0, not all 0")
        lines = self.quantity == "contrast"
        if lines != (self.frequency_per_mm is not None) or (lines and self.saturation is not None):
            found = f"{self.frequency_per_mm} and saturation {self.saturation} for {self.quantity}"
            raise InputError("Merit.frequency_per_mm", found, "a frequency for contrast alone, and no saturation there")
        for name in ("frequency_per_mm", "saturation", "lost_ray"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(f"Merit.{name}", value, "a positive number")
        if self.rings < 1 or self.angles < 1:
            raise InputError("Merit.rings, Merit.angles", (self.rings, self.angles), "at least 1 each")


@dataclass(frozen=True, eq=False)
class RayPlan:
    """Rays for a merit: N of them over D depths, R image heights, W wavelengths; half of each pupil.

    Attributes:
        merit: What counts.
        radii: Image heights, shape (R,).
        radius_mm: Where their chief rays land, shape (R,).
        depths_m: D of them.
        wavelengths_um: Shape (W,).
        pupil_mm: Semi-diameter of the paraxial entrance pupil when the plan was made, shape ().
        u_mm: Crossing with the pupil's plane against the chief ray, shape (N,).
        v_mm: The same, upwards, shape (N,).
        depth_mm: Shape (N,).
        field: Which image height, shape (N,).
        wave: Which wavelength, shape (N,).
        group: Which rays have one centre, shape (N,): they share depth and height, and perhaps colour.
        share: Weight of each ray, 1 in sum over a group; shape (N,).
        weight: Weight of each ray in the merit, 1 in sum over all; shape (N,).
        tilt: Tilt of a wavefront, of norm 1 and mean 0 in each group; shape (N,).
        price: What a lost ray costs.
    """

    merit: Merit
    radii: Tensor
    radius_mm: Tensor
    depths_m: tuple[float, ...]
    wavelengths_um: Tensor
    pupil_mm: Tensor
    u_mm: Tensor
    v_mm: Tensor
    depth_mm: Tensor
    field: Tensor
    wave: Tensor
    group: Tensor
    share: Tensor
    weight: Tensor
    tilt: Tensor
    price: float

    @property
    def rays(self) -> int:
        """N."""
        return len(self.u_mm)


def plan_rays(lens: Lens, merit: Merit) -> RayPlan:
    """Lay rays into the pupils of a lens: Gauss points in the squared radius, even angles, out to the true rim.

    Raises:
        InputError: An image height that no light reaches.
    """
    with torch.no_grad():
        unit = lens.vertices_mm.detach()
        radii = read_radii(merit.radii).to(unit)
        depths_m = merit.depths_m or (lens.focus_m,)
        spectrum = read_spectrum(merit.channels or lens.channels, unit)
        fields, waves, angles = len(radii), len(spectrum.wavelength_um), merit.angles
        chief = chief_rays(lens, radii)
        z, slope = chief.crossing_mm[:, None, None], chief.slope[:, None, None]
        phi = (torch.arange(angles).to(unit) + 0.5) * (math.pi / angles)
        cosine, sine = phi.cos()[:, None], phi.sin()[:, None]
        at, gauss = (torch.from_numpy(t).to(unit) for t in gauss_points(merit.rings))
        reference = unit.new_tensor(lens.reference_wavelength_um)
        us, vs, lights = list[Tensor](), list[Tensor](), list[Tensor]()
        for depth_m in depths_m:
            depth_mm = unit.new_tensor(1e3 * depth_m)
            ellipses = find_ellipses(lens, chief, depth_mm[None], spectrum.wavelength_um)
            centre, a, b = (t[:, None, None] for t in (ellipses.centre_mm, ellipses.semi_u_mm, ellipses.semi_v_mm))
            q = dioptre_per_mm(z, depth_mm)

            def alive(rho: Tensor, middle: Tensor = centre, a: Tensor = a, b: Tensor = b, q: Tensor = q) -> Tensor:
                rho = rho.reshape(fields, angles, -1)
                rays = bundle_rays(z, slope, middle + a * rho * cosine, b * rho * sine, q, reference)
                return trace(lens, rays).alive.flatten(0, 1)

            # Each line through the middle has two ends; with v > 0 lies the upper one.
            ends = (t.reshape(fields, angles, 1).clamp_min(0) for t in find_lit(alive, fields * angles, unit))
            low, high = (t**2 for t in ends)
            rho = (low + (high - low) * at).sqrt()
            u, v = centre + a * rho * cosine, b * rho * sine
            light = (high - low) * gauss * beam_density(slope, u, v, q)
            light = light / light.sum((1, 2), keepdim=True)
            for rows, value in zip((us, vs, lights), (u, v, light), strict=True):
                rows.append(value.reshape(fields, 1, -1).expand(fields, waves, -1))
        u, v, light = (torch.stack(rows) for rows in (us, vs, lights))  # (D, R, W, n)
        channel_share = spectrum.share / len(spectrum.channels)
        light = light * channel_share[:, None]
        shape = light.shape
        depth, field, wave = (
            torch.arange(n, device=unit.device).reshape([-1 if i == axis else 1 for i in range(4)]).expand(shape)
            for axis, n in enumerate(shape[:3])
        )
        place = depth * fields + field
        if merit.quantity == "wavefront":
            group = place * waves + wave
        elif merit.about == "channel":
            group = place * len(spectrum.channels) + spectrum.channel_of[wave]
        else:
            group = place
        weights = _even(merit.depth_weights, len(depths_m), unit)[:, None] * _even(merit.radius_weights, fields, unit)
        weight = (light * weights[:, :, None, None]).flatten()
        group, light = group.flatten(), light.flatten()
        totals = light.new_zeros(int(group.max()) + 1).index_add(0, group, light)
        share = light / totals[group]
        tilt = u.flatten() - group_sums(share * u.flatten(), group)[group]
        tilt = tilt / group_sums(share * tilt**2, group)[group].sqrt().clamp_min(1e-300)
        spot = _LOST_SHARE * 1e3 * lens.sensor.half_diagonal_mm
        default = {"spot": spot, "wavefront": _LOST_WAVES, "contrast": _LOST_PERCENT}[merit.quantity]
        return RayPlan(
            merit=merit,
            radii=radii,
            radius_mm=chief.radius_mm,
            depths_m=tuple(depths_m),
            wavelengths_um=spectrum.wavelength_um,
            pupil_mm=first_order(lens).entrance_pupil_semi_diameter_mm.to(unit),
            u_mm=u.flatten(),
            v_mm=v.flatten(),
            depth_mm=1e3 * torch.tensor(depths_m, dtype=torch.float64).to(unit)[depth.flatten()],
            field=field.flatten(),
            wave=wave.flatten(),
            group=group,
            share=share,
            weight=weight,
            tilt=tilt,
            price=default if merit.lost_ray is None else merit.lost_ray,
        )


def _even(weights: Sequence[float], count: int, unit: Tensor) -> Tensor:
    values = torch.tensor(list(weights) or [1.0] * count, dtype=torch.float64).to(unit)
    return values / values.sum()


def group_sums(values: Tensor, group: Tensor) -> Tensor:
    """Sums (G,) of values (N,) over the rays of each group (N,)."""
    sums: Tensor = values.new_zeros(int(group.max()) + 1).index_add(0, group, values)
    return sums
