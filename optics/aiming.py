"""Rays aimed at points of the stop: damped, with fall-backs, and with a reason for every ray that cannot be had.

Bundles of PSFs need no aiming (see `pupil.py`); fans over the real stop and clear apertures that are to hold every
beam do. A ray is sought in the plane where the chief ray of its field meets the axis. There the stop's image is nearly
the stop times a number, but for wide lenses, whose pupils wander and tilt, Newton's step from that start may lead off
a surface. So: steps are halved until the ray comes nearer to its point; what still fails starts at the chief ray, which
is known to pass; what fails again is led there from the chief ray in small strides.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from psf.errors import InputError

from .pupil import ChiefRays, bundle_rays, chief_rays, dioptre_per_mm
from .rays import Fate, Rays, Traced
from .tracing import make_follower

if TYPE_CHECKING:
    from .lens import Lens

# Distances at the stop in its semi-apertures: a ray this near to its point is there.
TOLERANCE = 1e-10
_STEPS = 30
_SMALLEST_DAMPING = 2.0**-12
_STRIDES = 8
# Step of the differences in the Jacobian, in pupil semi-diameters.
_DIFFERENCE = 1e-5


@dataclass(frozen=True, eq=False)
class Aimed:
    """Rays through given points of the stop, N of them; picture frame, azimuth 0.

    Attributes:
        rays: The rays in object space, shape (N,); those that could not be aimed are the nearest that were found.
        reached: Whether a ray meets the stop where it should, shape (N,). Apertures do not cut here: trace the rays to
            see which ones they stop.
        miss: How far from its point a ray meets the stop, in semi-apertures; 1 and more where it never meets it.
            Shape (N,).
        lost_at: Number of the surface, up to the stop, that takes the ray beyond which none was found; 0 where
            `reached`. Shape (N,).
        lost_why: A `Fate`, shape (N,): why no ray could be aimed there, 0 where `reached`.
    """

    rays: Rays
    reached: Tensor
    miss: Tensor
    lost_at: Tensor
    lost_why: Tensor

    def reasons(self) -> list[str]:
        """One phrase per ray: "" or, say, "totally reflected at surface 2"."""
        pairs = zip(self.lost_at.tolist(), self.lost_why.tolist(), strict=True)
        return [f"{Fate(why).words} {at}" if at else "" for at, why in pairs]


def aim_rays(lens: Lens, radius: float, depth_m: float, pupil: Tensor, wavelength_um: float | None = None) -> Aimed:
    """Rays from one object point through given points of the real stop.

    Args:
        lens: The lens, float64.
        radius: Image height of the field, 0..1.
        depth_m: Distance of the object from the first vertex; inf is allowed.
        pupil: Points of the stop in units of its semi-aperture, shape (N, 2): x towards the image point's side, y up.
        wavelength_um: By default the lens's reference wavelength, whose chief ray is (0, 0).

    Returns:
        The rays, without gradients.

    Raises:
        InputError: Arguments out of range, or a field without a chief ray.
    """
    wave = lens.reference_wavelength_um if wavelength_um is None else float(wavelength_um)
    if not (math.isfinite(wave) and wave > 0):
        raise InputError("wavelength_um", wave, "a positive number")
    if not 0 <= radius <= 1 or math.isnan(depth_m) or depth_m <= 0:
        raise InputError("radius, depth_m", (radius, depth_m), "an image height in 0..1 and a positive distance or inf")
    if pupil.ndim != 2 or pupil.shape[-1] != 2 or not bool(pupil.isfinite().all()):
        raise InputError("pupil", f"shape {tuple(pupil.shape)}", "finite numbers of shape (N, 2)")
    unit = lens.vertices_mm.detach()
    if unit.dtype != torch.float64:
        raise InputError(f"lens {lens.name}", unit.dtype, "torch.float64: rays are aimed to 1e-10 of the stop")
    with torch.no_grad():
        chief = chief_rays(lens, unit.new_tensor([radius]))
        return aim(lens, chief, unit.new_tensor([1e3 * depth_m]), pupil.to(unit), wave)


def aim(lens: Lens, chief: ChiefRays, depth_mm: Tensor, pupil: Tensor, wavelength_um: float) -> Aimed:
    """The same for one chief ray, shapes (1,), that is known already; arguments are trusted.

    Args:
        lens: The lens.
        chief: The chief ray of the field.
        depth_mm: Shape (1,), inf allowed.
        pupil: Shape (N, 2).
        wavelength_um: The wavelength.
    """
    with torch.no_grad():
        search = _Search(lens, chief, depth_mm, wavelength_um)
        scale = search.scale_mm()
        places = search.solve(pupil * scale, pupil, scale)
        for again in (lambda wanted: search.solve(torch.zeros_like(wanted), wanted, scale), search.walk(scale)):
            missed = (~(places.miss < TOLERANCE)).nonzero()[:, 0]
            if len(missed):
                places = places.improved(missed, again(pupil[missed]))
        reached = places.miss < TOLERANCE
        # The ray a little farther on than the last one that could be had tells why there is no more.
        beyond = search.follow(places.uv + 1e-3 * (pupil * scale - places.uv))
        early = (beyond.lost_at > 0) & (beyond.lost_at <= lens.stop_surface) & ~reached
        zero = torch.zeros_like(beyond.lost_at)
        return Aimed(
            rays=search.rays(places.uv),
            reached=reached,
            miss=places.miss,
            lost_at=torch.where(reached, zero, torch.where(early, beyond.lost_at, lens.stop_surface)),
            lost_why=torch.where(reached, zero, torch.where(early, beyond.lost_why, int(Fate.NOT_CONVERGED))),
        )


@dataclass(frozen=True, eq=False)
class _Places:
    """Where rays cross the plane of the pupil, `uv` (N, 2) in mm, and how far they `miss` (N,) their points."""

    uv: Tensor
    miss: Tensor

    def improved(self, index: Tensor, other: _Places) -> _Places:
        """With those of `other` (M,) at `index` (M,) that miss by less."""
        better = other.miss < self.miss[index]
        return _Places(
            self.uv.index_copy(0, index, torch.where(better[:, None], other.uv, self.uv[index])),
            self.miss.index_copy(0, index, torch.where(better, other.miss, self.miss[index])),
        )


class _Search:
    """Rays of one object point up to the stop."""

    def __init__(self, lens: Lens, chief: ChiefRays, depth_mm: Tensor, wavelength_um: float) -> None:
        # What comes behind the stop has no say.
        front = replace(lens, surfaces=lens.surfaces[: lens.stop_surface])
        self.follow_rays, self.stop = make_follower(front, path=True, clip=False), lens.stop_surface
        self.crossing, self.slope = chief.crossing_mm.detach(), chief.slope.detach()
        self.q = dioptre_per_mm(self.crossing, depth_mm)
        self.wave = torch.full_like(self.q, wavelength_um)
        self.semi = lens.surfaces[lens.stop_surface - 1].semi_aperture_mm.detach()

    def rays(self, uv: Tensor) -> Rays:
        return bundle_rays(self.crossing, self.slope, uv[:, 0], uv[:, 1], self.q, self.wave)

    def follow(self, uv: Tensor) -> Traced:
        return self.follow_rays(self.rays(uv))

    def at_stop(self, uv: Tensor) -> tuple[Tensor, Tensor]:
        """Crossing with the stop in semi-apertures, shape (N, 2), and whether there is one, shape (N,)."""
        traced = self.follow(uv)
        assert traced.path_mm is not None
        # A stop that is a surface may reflect what met it.
        there = traced.alive | (traced.lost_at == self.stop) & (traced.lost_why == int(Fate.TOTAL_REFLECTION))
        return traced.path_mm[:, -1, :2] / self.semi, there

    def scale_mm(self) -> Tensor:
        """Millimetres in the plane per semi-aperture of the stop, along u and v, near the chief ray; shape (2,)."""
        h = 1e-4 * self.semi
        steps = torch.diag(torch.stack([h, h]))
        right, left = self.at_stop(steps)[0], self.at_stop(-steps)[0]
        rate = ((right - left) / (2 * h)).diagonal()
        return torch.where(rate.abs() > 1e-9, 1 / torch.where(rate == 0, 1.0, rate), self.semi)

    def solve(self, start: Tensor, wanted: Tensor, scale: Tensor) -> _Places:
        """Damped Newton steps from `start` (N, 2) to the points `wanted` (N, 2)."""
        uv = start
        at, there = self.at_stop(uv)
        miss = torch.where(there, (at - wanted).norm(dim=-1), math.inf)
        damping = torch.ones_like(miss)
        h = _DIFFERENCE * scale.abs()
        for _ in range(_STEPS):
            busy = ((miss >= TOLERANCE) & miss.isfinite() & (damping >= _SMALLEST_DAMPING)).nonzero()[:, 0]
            if not len(busy):
                break
            own = uv[busy]
            here = at[busy]
            moved = torch.cat([own + h * torch.tensor(side).to(own) for side in ((1.0, 0.0), (0.0, 1.0))])
            ahead, ok = self.at_stop(moved)
            along_u, along_v = ((ahead.unflatten(0, (2, -1)) - here) / h[:, None, None]).unbind(0)
            step = _divide(along_u, along_v, wanted[busy] - here) * damping[busy, None]
            trial = own + step
            landed, alive = self.at_stop(trial)
            left = torch.where(alive & ok.unflatten(0, (2, -1)).all(0), (landed - wanted[busy]).norm(dim=-1), math.inf)
            better = left < miss[busy]
            uv = uv.index_copy(0, busy, torch.where(better[:, None], trial, own))
            at = at.index_copy(0, busy, torch.where(better[:, None], landed, here))
            miss = miss.index_copy(0, busy, torch.where(better, left, miss[busy]))
            changed = torch.where(better, (2 * damping[busy]).clamp_max(1.0), 0.5 * damping[busy])
            damping = damping.index_copy(0, busy, changed)
        return _Places(uv, torch.where(miss.isfinite(), miss, 1.0 + wanted.norm(dim=-1)))

    def walk(self, scale: Tensor) -> Callable[[Tensor], _Places]:
        """The search that goes from the chief ray to its points in strides."""

        def search(wanted: Tensor) -> _Places:
            uv = torch.zeros_like(wanted)
            for stride in range(1, _STRIDES + 1):
                part = self.solve(uv, wanted * (stride / _STRIDES), scale)
                uv = torch.where((part.miss < TOLERANCE)[:, None], part.uv, uv)
            at, there = self.at_stop(uv)
            return _Places(uv, torch.where(there, (at - wanted).norm(dim=-1), 1.0 + wanted.norm(dim=-1)))

        return search


def _divide(along_u: Tensor, along_v: Tensor, right: Tensor) -> Tensor:
    """Solutions of 2 x 2 systems whose columns are `along_u` and `along_v`, shapes (N, 2); finite always."""
    (a, c), (b, d) = along_u.unbind(-1), along_v.unbind(-1)
    det = a * d - b * c
    det = torch.where(det.abs() > 1e-12 * (a.abs() + b.abs()) * (c.abs() + d.abs()) + 1e-300, det, 1.0)
    x, y = right.unbind(-1)
    return torch.stack([d * x - b * y, a * y - c * x], dim=-1) / det[:, None]
