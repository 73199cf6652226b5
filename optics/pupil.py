"""Which rays a camera takes in: chief rays by image height, and the bundle of rays round each of them.

All of this lives in the *picture frame*: the lens frame turned by 180 degrees about the axis, so that an image point to
the right of the centre has x > 0 and y points up. A lens of revolution does not notice.

A field is the chief ray that lands at an image height: the ray of the reference wavelength through the centre of the
stop. The sensor stands still, so it is the same ray for every depth; the object point slides along it. It is found from
the stop outwards, a one-dimensional root that cannot fail. Rays of the bundle are named by (u, v), their crossing with
the plane in which the chief ray meets the axis; there the bundle hardly moves with depth, and no ray has to be aimed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from psf.errors import InputError

from .glass import AIR
from .rays import Fate, Rays, Traced
from .surface import Plane, Surface
from .tracing import make_follower

if TYPE_CHECKING:
    from .lens import Lens

_FAN = 257
_STEEPEST_SINE = 0.98
# A ray that makes this cosine with the axis has no slope to speak of: 89.9 degrees.
_FLATTEST_COSINE = 1.7e-3
_NEWTON_STEPS = 8
_END_BISECTIONS = 30
# Bundles at the corner end in tips: fewer half lines than this pass them by.
_RIM_ANGLES = 37
# Rays on the line that is searched for light where the chief ray has none.
_SEARCH = 121
# Step of the chief-ray angle (as a sine) for the Jacobian of the mapping; its error is of second order.
_JACOBIAN_STEP = 1e-4
# The corner, computed by however many roundings of single precision, is an image height of 1.
_SLACK = 1e-6
# The field on the axis is taken this far off it (in half diagonals), where the crossing with the axis is defined.
AXIS_RADIUS = 1e-5

Follow = Callable[[Rays], Traced]


@dataclass(frozen=True, eq=False)
class ChiefRays:
    """Chief rays of image heights along +x, picture frame; tensors of shape (R,).

    Attributes:
        radius_mm: Image height that was asked for.
        landing_mm: Where the ray meets the sensor: `radius_mm`, unless the sensor has moved since.
        slope: dx/dz in object space.
        height_mm: x where the ray, continued straight, meets the plane of the first vertex.
        crossing_mm: z where it meets the axis.
        angle_rate: d(arctan slope) per unit of the ray's parameter, `height_rate_mm` and `landing_rate_mm` likewise:
            the Jacobian of the mapping.
        height_rate_mm: See `angle_rate`.
        landing_rate_mm: See `angle_rate`.
    """

    radius_mm: Tensor
    landing_mm: Tensor
    slope: Tensor
    height_mm: Tensor
    crossing_mm: Tensor
    angle_rate: Tensor
    height_rate_mm: Tensor
    landing_rate_mm: Tensor

    def take(self, index: Tensor) -> ChiefRays:
        """Some of the rays, in the order of `index`, shape (B,)."""
        return replace(self, **{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def object_x_mm(self, depth_mm: float) -> Tensor:
        """Position of the object points in the plane at `depth_mm` in front of the first vertex; shape (R,)."""
        return self.height_mm - self.slope * depth_mm

    def mapping(self, depth_mm: float) -> Tensor:
        """Light that a beam of unit cross-section (inf) or unit solid angle stands for per sensor area; shape (R,).

        Solid angle of the sky per image area at infinity; projected object area per image area at a finite depth.
        """
        image = self.landing_mm * self.landing_rate_mm
        if math.isinf(depth_mm):
            # d(omega) = sin(alpha) d(alpha) d(azimuth).
            return (torch.sin(torch.atan(self.slope)) * self.angle_rate / image).abs()
        h = self.object_x_mm(depth_mm)
        # d/ds of height - slope * depth; d(slope) = (1 + slope^2) d(alpha).
        rate = self.height_rate_mm - depth_mm * (1 + self.slope**2) * self.angle_rate
        return (torch.cos(torch.atan(self.slope)) * h * rate / image).abs()


@dataclass(frozen=True, eq=False)
class Ellipses:
    """An ellipse per field in the (u, v) plane that holds the whole bundle at every depth and wavelength asked for.

    Attributes:
        centre_mm: u of the centre; v is 0. Shape (R,).
        semi_u_mm: Semi-axis along u, shape (R,).
        semi_v_mm: Semi-axis along v, shape (R,).
    """

    centre_mm: Tensor
    semi_u_mm: Tensor
    semi_v_mm: Tensor

    def take(self, index: Tensor) -> Ellipses:
        """Some of the ellipses, in the order of `index`, shape (B,)."""
        return replace(self, **{f.name: getattr(self, f.name)[index] for f in fields(self)})


def chief_rays(lens: Lens, radii: Tensor, moved: Lens | None = None) -> ChiefRays:
    """Chief rays that land at given image heights.

    Args:
        lens: The lens, focused at the reference distance.
        radii: Image heights in 0..1, shape (R,).
        moved: The same lens with its sensor elsewhere; the rays then belong to `lens` and land on the sensor of
            `moved`.

    Returns:
        The rays, with gradients in the lens's parameters where it has any.

    Raises:
        InputError: Image heights out of range, or one that no chief ray reaches.
    """
    if radii.ndim != 1 or not len(radii) or not bool(((radii >= 0) & (radii <= 1 + _SLACK)).all()):
        raise InputError("radii", radii.tolist(), "image heights in 0..1, shape (R,)")
    target = radii.clamp_min(AXIS_RADIUS) * lens.sensor.half_diagonal_mm
    rear, front = (make_follower(part, clip=False) for part in (_behind_stop(lens), _before_stop(lens)))
    wavelength = torch.tensor(lens.reference_wavelength_um, dtype=target.dtype, device=target.device)
    with torch.no_grad():
        sine = _solve_sine(rear, front, target, wavelength, lens)
        high, low = _landings(rear, wavelength, sine + 1e-6, sine - 1e-6)
    # The last Newton step stays attached: it carries the derivative of the root.
    sine = sine - (_landings(rear, wavelength, sine)[0] - target) * (2e-6 / (high - low))
    step = torch.minimum(torch.full_like(sine, _JACOBIAN_STEP), 0.5 * sine.detach())
    (slope, s1, s0), (height, h1, h0) = _object_rays(front, wavelength, sine, sine + step, sine - step)
    sensor = rear if moved is None else make_follower(_behind_stop(moved), clip=False)
    landing, beyond, before = _landings(sensor, wavelength, sine, sine + step, sine - step)
    return ChiefRays(
        radius_mm=target,
        landing_mm=landing,
        slope=slope,
        height_mm=height,
        crossing_mm=-height / slope,
        angle_rate=(torch.atan(s1) - torch.atan(s0)) / (2 * step),
        height_rate_mm=(h1 - h0) / (2 * step),
        landing_rate_mm=(beyond - before) / (2 * step),
    )


def bundle_rays(
    crossing_mm: Tensor, slope: Tensor, u_mm: Tensor, v_mm: Tensor, dioptre_per_mm: Tensor, wavelength_um: Tensor
) -> Rays:
    """Rays by name: through (u, v) in the plane where the chief ray meets the axis, from its object point.

    Args:
        crossing_mm: z of that plane, shape (...).
        slope: Slope of the chief ray in object space, shape (...).
        u_mm: Position in the plane, shape (...).
        v_mm: Position in the plane, shape (...).
        dioptre_per_mm: 1 / (crossing + depth), 0 at infinity, shape (...).
        wavelength_um: Shape (...).
    """
    u_mm, v_mm, z, slope, q, w = torch.broadcast_tensors(u_mm, v_mm, crossing_mm, slope, dioptre_per_mm, wavelength_um)
    direction = torch.stack([slope + u_mm * q, v_mm * q, torch.ones_like(q)], dim=-1)
    direction = direction / direction.pow(2).sum(-1, keepdim=True).sqrt()
    return Rays(torch.stack([u_mm, v_mm, z], dim=-1), direction, w)


def dioptre_per_mm(crossing_mm: Tensor, depth_mm: Tensor) -> Tensor:
    """1 / (crossing + depth), 0 at infinity; shapes (...) broadcast."""
    return 1.0 / (crossing_mm + depth_mm)


def find_ellipses(lens: Lens, chief: ChiefRays, depths_mm: Tensor, wavelengths_um: Tensor) -> Ellipses:
    """The smallest ellipses, symmetric about v = 0, round every bundle of a field.

    The rim is searched with real rays at the nearest and the farthest depth and the shortest and the longest
    wavelength.

    Args:
        lens: The lens.
        chief: Its chief rays, R of them.
        depths_mm: Depths that matter, shape (D,).
        wavelengths_um: Wavelengths that matter, shape (W,).

    Raises:
        InputError: A field from which no ray reaches the sensor.
    """
    with torch.no_grad():
        scale = _pupil_semi_mm(lens)
        depths = torch.stack([depths_mm.min(), depths_mm.max()])
        waves = torch.stack([wavelengths_um.min(), wavelengths_um.max()])
        z, t = chief.crossing_mm.detach(), chief.slope.detach()
        q = dioptre_per_mm(z[:, None], depths[None, :])
        count, through = len(z), make_follower(lens)

        def follow(u: Tensor, v: Tensor) -> Traced:  # (R, 2, 2, A)
            rays = bundle_rays(
                z[:, None, None, None], t[:, None, None, None], u, v, q[:, :, None, None], waves[None, None, :, None]
            )
            return through(rays)

        def alive(u: Tensor, v: Tensor) -> Tensor:
            return follow(u, v).alive

        def rims(start: Tensor, angle: Tensor, halvings: int) -> tuple[Tensor, Tensor]:
            # How far light comes from `start`, at least and at most; (R, 2, 2, A).
            cosine, sine = torch.cos(angle), torch.sin(angle)
            reach = torch.full((count, 2, 2, angle.shape[-1]), 0.5 * scale, dtype=z.dtype, device=z.device)
            inner = torch.zeros_like(reach)
            for _ in range(5):
                ok = alive(start + reach * cosine, reach * sine)
                inner = torch.where(ok, reach, inner)
                reach = torch.where(ok, 2 * reach, reach)
                if not bool(ok.any()):
                    break
            for _ in range(halvings):
                middle = 0.5 * (inner + reach)
                ok = alive(start + middle * cosine, middle * sine)
                inner, reach = torch.where(ok, middle, inner), torch.where(ok, reach, middle)
            return inner, reach

        from .ellipses import enclose

        # A chief ray may pass close to the rim, and a bundle at the corner is narrow: first its middle and its aspect,
        # then half lines that are even over an ellipse of that shape.
        angles = torch.linspace(0, math.pi, _RIM_ANGLES, dtype=z.dtype, device=z.device)
        start = _starts(follow, lens, chief, scale, angles)
        inner, outer = rims(start, angles[[0, _RIM_ANGLES // 2, -1]], 5)
        start = start + 0.5 * (inner[..., :1] - inner[..., 2:])
        aspect = 2 * outer[..., 1:2] / (outer[..., :1] + outer[..., 2:])
        even = torch.atan2(aspect * torch.sin(angles), torch.cos(angles))
        _, outer = rims(start, even, 9)
        u, v = (t.reshape(count, -1) for t in (start + outer * torch.cos(even), outer * torch.sin(even)))
        centre, a, b = enclose(u.cpu().double().numpy(), v.cpu().double().numpy())
        margin = 1.015
        return Ellipses(
            torch.from_numpy(centre).to(z), torch.from_numpy(a * margin).to(z), torch.from_numpy(b * margin).to(z)
        )


def _pupil_semi_mm(lens: Lens) -> float:
    """Half the diameter of the entrance pupil, by a ray near the axis: it keeps height times slope between pupils."""
    semi = lens.surfaces[lens.stop_surface - 1].semi_aperture_mm.detach()
    sine = semi.new_full((1,), _JACOBIAN_STEP)
    front = make_follower(_before_stop(lens), clip=False)
    (slope,), _ = _object_rays(front, semi.new_tensor(lens.reference_wavelength_um), sine)
    return float(semi * sine / slope.abs())


def _starts(
    follow: Callable[[Tensor, Tensor], Traced],
    lens: Lens,
    chief: ChiefRays,
    scale: float,
    angles: Tensor,
) -> Tensor:
    """Position u of a ray inside each bundle, shape (R, 2, 2, 1): the chief ray, or the middle of a coarse search."""
    zero = torch.zeros(len(chief.slope), 2, 2, 1, dtype=angles.dtype, device=angles.device)
    good = follow(zero, zero).alive
    if bool(good.all()):
        return zero
    steps = torch.linspace(-3 * scale, 3 * scale, _SEARCH, dtype=angles.dtype, device=angles.device)
    u = steps.expand(len(chief.slope), 2, 2, _SEARCH)
    traced = follow(u, torch.zeros_like(u))
    found = traced.alive
    count = found.sum(-1, keepdim=True)
    lost = (count == 0).flatten(1).any(1)
    if bool(lost.any()):
        row = int(lost.nonzero()[0])
        radius = float(chief.radius_mm.detach()[row]) / lens.sensor.half_diagonal_mm
        lost_all = (~found[row].any(-1)).nonzero()[0]
        own = replace(
            traced, lost_at=traced.lost_at[row][tuple(lost_all)], lost_why=traced.lost_why[row][tuple(lost_all)]
        )
        text = f"no ray at radius {radius:.3g} (of {_SEARCH} tried, {' and '.join(map(str, own.losses()[:2]))})"
        raise InputError(f"lens {lens.name}", text, "light at every radius of the sensor")
    # The middle ray of those that pass, not their mean, which need not pass.
    order = found.cumsum(-1)
    middle = (order >= (count + 1) // 2).to(torch.int8).argmax(-1, keepdim=True)
    return torch.where(good, zero, u.gather(-1, middle))


def _solve_sine(rear: Follow, front: Follow, target: Tensor, wavelength: Tensor, lens: Lens) -> Tensor:
    fan = torch.linspace(0, _STEEPEST_SINE, _FAN, dtype=target.dtype, device=target.device)
    traced = _from_stop(rear, fan, wavelength)
    x = traced.position_mm[:, 0]
    rising = torch.cat([x.new_ones(1, dtype=torch.bool), x[1:] > x[:-1]])
    good = (traced.alive & _seen(_from_stop(front, -fan, wavelength)) & rising).to(torch.int8).cumprod(0).bool()
    last = int(good.sum()) - 1
    fan, x = fan[: max(last, 0) + 1], x[: max(last, 0) + 1]
    if last >= 1 and float(target.max()) > float(x[last]):
        # Chief rays end somewhere behind the last one of the fan.
        fan, x = _with_end(rear, front, fan, x, wavelength)
        last = len(fan) - 1
    if last < 1 or float(target.max()) > float(x[last]):
        bad = target[target > x[-1]]
        radius = float((bad if len(bad) else target)[0]) / lens.sensor.half_diagonal_mm
        found = f"no chief ray at radius {radius:.3g} (image height {radius * lens.sensor.half_diagonal_mm:.4g} mm)"
        reached = max(float(x[-1]), 0.0)
        why = _why_it_ends(lens, rear, front, fan[-1:] + 1e-4, wavelength)
        raise InputError(f"lens {lens.name}", found, f"image heights up to {reached:.4g} mm: beyond, {why}")
    right = torch.searchsorted(x.contiguous(), target).clamp(1, last)
    x0, x1, low, high = x[right - 1], x[right], fan[right - 1], fan[right]
    sine = low + (high - low) * (target - x0) / (x1 - x0)
    for _ in range(_NEWTON_STEPS):
        step = 1e-6
        here, ahead, back = _landings(rear, wavelength, sine, sine + step, sine - step)
        new = (sine - (here - target) * (2 * step) / (ahead - back)).clamp(low, high)
        done = bool((new - sine).abs().max() < 1e-13)
        sine = new
        if done:
            break
    return sine


def _seen(front: Traced) -> Tensor:
    """Whether rays out of the stop leave the lens's front, and at less than 90 degrees from the axis; shape (N,)."""
    return front.alive & (front.direction[:, 2] > _FLATTEST_COSINE)


def _with_end(rear: Follow, front: Follow, fan: Tensor, x: Tensor, wavelength: Tensor) -> tuple[Tensor, Tensor]:
    """A fan of chief rays (N,) and its image heights (N,) with the very last ray of all appended."""
    low, high = fan[-1:], (fan[-1:] + (fan[-1] - fan[-2])).clamp_max(1 - 1e-9)
    reached = x[-1:]
    for _ in range(_END_BISECTIONS):
        middle = 0.5 * (low + high)
        traced = _from_stop(rear, middle, wavelength)
        height = traced.position_mm[:, 0]
        ok = traced.alive & _seen(_from_stop(front, -middle, wavelength)) & (height > reached)
        low, high, reached = (
            torch.where(ok, middle, low),
            torch.where(ok, high, middle),
            torch.where(ok, height, reached),
        )
    if not bool(reached > x[-1]):
        return fan, x
    return torch.cat([fan, low]), torch.cat([x, reached])


def _why_it_ends(lens: Lens, rear: Follow, front: Follow, sine: Tensor, wavelength: Tensor) -> str:
    """What becomes of the chief ray with this sine (1,) in the stop."""
    behind, before = _from_stop(rear, sine, wavelength), _from_stop(front, -sine, wavelength)
    # The entry plane is number 1 of both parts.
    if not bool(behind.alive):
        return f"it is {Fate(int(behind.lost_why)).words} {lens.stop_surface + int(behind.lost_at) - 2}"
    if not bool(before.alive):
        return f"it is {Fate(int(before.lost_why)).words} {lens.stop_surface - int(before.lost_at) + 1}"
    if not bool(_seen(before)):
        return "it comes from 90 degrees to the axis or more"
    return "image heights fall again"


def _from_stop(part: Follow, sine: Tensor, wavelength: Tensor) -> Traced:
    zero = torch.zeros_like(sine)
    direction = torch.stack([sine, zero, (1 - sine * sine).sqrt()], dim=-1)
    return part(Rays(torch.zeros_like(direction), direction, wavelength))


def _landings(part: Follow, wavelength: Tensor, *sines: Tensor) -> tuple[Tensor, ...]:
    """Image heights, shapes (R,), of chief rays by their sines in the stop, shapes (R,)."""
    return _from_stop(part, torch.cat(sines), wavelength).position_mm[:, 0].chunk(len(sines))


def _object_rays(front: Follow, wavelength: Tensor, *sines: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Slopes dx/dz in object space and x at the first vertex; the front part is traced backwards, z reversed."""
    traced = _from_stop(front, -torch.cat(sines), wavelength)
    direction = traced.direction
    slopes, heights = -direction[:, 0] / direction[:, 2], traced.position_mm[:, 0]
    return slopes.chunk(len(sines)), heights.chunk(len(sines))


def _entry(lens: Lens, thickness_mm: Tensor) -> Surface:
    """A plane at the stop's vertex through which rays enter from air into the medium in front of the stop's surface.

    It makes the ray's parameter the sine in air on both sides, wherever the stop stands.
    """
    stop = lens.stop_surface - 1
    surface = lens.surfaces[stop]
    medium = lens.surfaces[stop - 1].medium if stop else AIR
    huge = torch.full_like(surface.semi_aperture_mm.detach(), 1e6)
    return Surface(Plane(), huge, thickness_mm, medium)


def _behind_stop(lens: Lens) -> Lens:
    zero = torch.zeros_like(lens.surfaces[-1].thickness_mm)
    return replace(lens, surfaces=(_entry(lens, zero), *lens.surfaces[lens.stop_surface - 1 :]), stop_surface=1)


def _before_stop(lens: Lens) -> Lens:
    stop = lens.stop_surface - 1
    front = lens.surfaces[:stop]
    if not front:
        return replace(lens, surfaces=(_entry(lens, torch.zeros_like(lens.surfaces[0].thickness_mm)),), stop_surface=1)
    parts = [_entry(lens, front[-1].thickness_mm)]
    for i in range(stop - 1, -1, -1):
        medium = front[i - 1].medium if i else AIR
        way = front[i - 1].thickness_mm if i else torch.zeros_like(front[i].thickness_mm)
        parts.append(replace(front[i], shape=front[i].shape.mirrored(), thickness_mm=way, medium=medium))
    return replace(lens, surfaces=tuple(parts), stop_surface=1)
