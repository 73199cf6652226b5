"""Sequential ray tracing through surfaces of revolution.

`trace` takes the compiled path (`packed.py`) on the CPU where every shape is a conic plus a polynomial, else the plain
one below, which asks a shape for nothing but `sag` and runs on any device. Both follow the same rules:

* The crossing is found by Newton's method from the vertex plane, verified by its residual, and searched along the ray
  inside the clear aperture where that fails. The derivative is that of the implicit function.
* A ray is lost at the first surface whose clear part it does not cross. It stays where it was lost, with finite numbers
  and no gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from psf.errors import InputError

from .packed import BAD_RAYS, Follower, index_table, pack, trace_packed
from .rays import Fate, Rays, Traced
from .surface import Packed, Shape

if TYPE_CHECKING:
    from .lens import Lens

# How far beyond its clear aperture a surface goes on by its own formula when apertures do not cut, in semi-apertures.
# From there a paraboloid continues it: what a polynomial does far outside is nobody's intention.
CONTINUED_TO = 1.5

_NEWTON_STEPS = 30
_SCAN_POINTS = 48
_BISECTIONS = 70

_Residual = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


def trace(lens: Lens, rays: Rays, *, path: bool = False, clip: bool = True) -> Traced:
    """Follow rays to the image plane.

    Args:
        lens: The lens.
        rays: Rays in the air in front of it, any shape (...); device and dtype of the lens.
        path: Also return the crossings with every surface.
        clip: Lose rays outside the clear apertures. Without it surfaces go on past their rims, smoothly, up to where
            they end by nature (a sphere at its radius): rays beyond that are lost as missed.

    Returns:
        Where the rays end, shapes (...). Gradients pass to every lens parameter but the semi-apertures, which only
        mask, and to position, direction and wavelength.

    Raises:
        InputError: Lens and rays differ in dtype or device, or a ray is not finite or has no unit direction.
    """
    packed = pack(lens)
    _check_alike(lens, packed, rays)
    shape = rays.position_mm.shape[:-1]
    position, direction = rays.position_mm.reshape(-1, 3), rays.direction.reshape(-1, 3)
    wavelength = rays.wavelength_um if rays.wavelength_um.ndim == 0 else rays.wavelength_um.reshape(-1)
    compiled = packed is not None and position.device.type == "cpu" and position.dtype in (torch.float64, torch.float32)
    if packed is not None and compiled:
        results = trace_packed(
            lens, packed, position, direction, wavelength, path=path, clip=clip, continued_to=CONTINUED_TO
        )
    else:
        results = trace_plainly(lens, position, direction, wavelength, path=path, clip=clip)
    return _shaped(results, shape, len(lens.surfaces), path=path)


def make_follower(lens: Lens, *, path: bool = False, clip: bool = True) -> Callable[[Rays], Traced]:
    """`trace` for many small batches of rays through one lens: what can be done once is done here.

    Args:
        lens: The lens.
        path: As in `trace`.
        clip: As in `trace`.

    Returns:
        Rays to where they end. Where gradients are recorded, and for rays of another dtype or device than the lens's,
        it is `trace` itself.
    """
    packed, unit = pack(lens), lens.vertices_mm
    if packed is None or unit.device.type != "cpu" or unit.dtype not in (torch.float64, torch.float32):
        return lambda rays: trace(lens, rays, path=path, clip=clip)
    follower = Follower(lens, packed, path=path, clip=clip, continued_to=CONTINUED_TO, dtype=unit.dtype)

    def follow(rays: Rays) -> Traced:
        given = (rays.position_mm, rays.direction, rays.wavelength_um)
        alike = given[0].dtype == unit.dtype and given[0].device == unit.device
        if torch.is_grad_enabled() or not alike:
            return trace(lens, rays, path=path, clip=clip)
        wavelength = given[2] if given[2].ndim == 0 else given[2].reshape(-1)
        results = follower(given[0].reshape(-1, 3), given[1].reshape(-1, 3), wavelength)
        return _shaped(results, given[0].shape[:-1], len(lens.surfaces), path=path)

    return follow


def _shaped(results: tuple[Tensor, ...], shape: torch.Size, surfaces: int, *, path: bool) -> Traced:
    landed, heading, opl, lost_at, lost_why, crossings = results
    return Traced(
        position_mm=landed.reshape(*shape, 3),
        direction=heading.reshape(*shape, 3),
        opl_mm=opl.reshape(shape),
        alive=(lost_at == 0).reshape(shape),
        lost_at=lost_at.reshape(shape),
        lost_why=lost_why.reshape(shape),
        path_mm=crossings.reshape(*shape, surfaces, 3) if path else None,
    )


def _check_alike(lens: Lens, packed: list[Packed] | None, rays: Rays) -> None:
    dtype, device = rays.position_mm.dtype, rays.position_mm.device
    for i, surface in enumerate(lens.surfaces):
        values = [surface.thickness_mm, surface.semi_aperture_mm]
        if packed is None:
            values += surface.shape.parameters().values()
        elif not packed[i].flat:
            values += [packed[i].curvature_per_mm, packed[i].conic_k, packed[i].coefficients]
        for value in values:
            if value.dtype != dtype or value.device != device:
                other = f"surface {i + 1} of lens {lens.name} is {value.dtype} on {value.device}"
                raise InputError("rays", f"{dtype} on {device}, while {other}", "both alike: see Lens.to and Rays.to")


def trace_plainly(
    lens: Lens, position: Tensor, direction: Tensor, wavelength: Tensor, *, path: bool, clip: bool
) -> tuple[Tensor, ...]:
    """Trace with torch operations alone, for any `Shape` on any device.

    Args:
        lens: The lens.
        position: Shape (N, 3).
        direction: Shape (N, 3).
        wavelength: Shape () or (N,).
        path: Whether to return crossings.
        clip: Whether apertures cut.

    Returns:
        Landing points (N, 3), directions (N, 3), optical paths (N,), surface of loss (N,), why (N,), crossings
        (N, S, 3), which are (0, S, 3) unless asked for.
    """
    p, d = position, direction
    sound = ((d * d).sum(-1) - 1).abs() < 1e-3
    sound &= p.abs().sum(-1) < 1e12
    if not bool(sound.all()):
        raise InputError("rays", f"{int((~sound).sum())} {BAD_RAYS}", "finite rays with unit directions")
    count = p.shape[0]
    lost_at = torch.zeros(count, dtype=torch.long, device=p.device)
    lost_why = torch.zeros_like(lost_at)
    opl = p.new_zeros(count)
    n_before = torch.ones_like(opl)
    vertices = lens.vertices_mm
    table = index_table(lens, wavelength.reshape(-1)).to(p.dtype)
    grace = 1e-12 if p.dtype == torch.float64 else 1e-6
    crossings: list[Tensor] = []
    for i, surface in enumerate(lens.surfaces):
        semi = float(surface.semi_aperture_mm.detach())
        alive = lost_at == 0
        # Lost rays take the axis, where nothing can go wrong; what they compute is thrown away.
        here, there = p.new_tensor([0.0, 0.0, 0.0]), d.new_tensor([0.0, 0.0, 1.0])
        zero = torch.zeros_like(vertices[i])
        local = torch.where(alive[:, None], p - torch.stack([zero, zero, vertices[i]]), here)
        heading = torch.where(alive[:, None], d, there)
        t, found, sure = _distance(surface.shape, local, heading, semi, clip)
        q = local + t[:, None] * heading
        r2 = q[:, 0] ** 2 + q[:, 1] ** 2
        why = torch.where(found, Fate.ALIVE, torch.where(sure, Fate.MISSED, Fate.NOT_CONVERGED))
        if clip:
            # A little grace, so that a ray through the very rim passes as it should.
            why = torch.where(found & (r2 > (semi * (1 + grace)) ** 2), Fate.CLIPPED, why)
        n_after = table[:, i + 1].expand(count)
        _, slope = _continued_sag(surface.shape, r2, _limit_mm2(surface.shape, semi, clip, r2.dtype))
        bent, total = _refract(heading, q, slope, n_before / n_after)
        why = torch.where((why == Fate.ALIVE) & total, Fate.TOTAL_REFLECTION, why)
        lost_at = torch.where(alive & (why != Fate.ALIVE), i + 1, lost_at)
        lost_why = torch.where(alive, why, lost_why)
        moves = alive & found
        opl = torch.where(moves, opl + n_before * t, opl)
        p = torch.where(moves[:, None], p + t[:, None] * heading, p)
        d = torch.where((lost_at == 0)[:, None], bent, d)
        n_before = n_after
        if path:
            crossings.append(p)
    alive = lost_at == 0
    to_plane = torch.where(alive, (vertices[-1] - p[:, 2]) / torch.where(alive, _away_from_zero(d[:, 2]), 1.0), 0.0)
    p = p + to_plane[:, None] * d
    opl = opl + n_before * to_plane
    trail = torch.stack(crossings, dim=1) if path else p.new_zeros(0, len(lens.surfaces), 3)
    if path:
        trail = torch.where(alive[:, None, None], trail, trail.detach())
    p, d = (torch.where(alive[:, None], value, value.detach()) for value in (p, d))
    return p, d, torch.where(alive, opl, opl.detach()), lost_at, lost_why, trail


def _limit_mm2(shape: Shape, semi_mm: float, clip: bool, dtype: torch.dtype) -> float:
    """Squared radius up to which the sag is the shape's own."""
    from .forms import NEAR_RIM

    end_mm = shape.end_mm * (1 - (1e-9 if dtype == torch.float64 else 1e-5))
    return float(end_mm if _is_conic(shape) else min(end_mm, (NEAR_RIM if clip else CONTINUED_TO) * semi_mm)) ** 2


def _is_conic(shape: Shape) -> bool:
    """Whether the shape may go on by its own formula as far as it exists: no polynomial runs wild there."""
    packed = shape.packed()
    return packed is not None and not packed.powers


def _continued_sag(shape: Shape, r2: Tensor, limit_mm2: float) -> tuple[Tensor, Tensor]:
    """Height and slope by r^2, beyond the limit those of the paraboloid that touches there."""
    near = r2.clamp(max=limit_mm2)
    height, slope, _ = shape.sag(near)
    return height + slope * (r2 - near), slope


def _distance(shape: Shape, p: Tensor, d: Tensor, semi_mm: float, clip: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Way along each ray to the surface, recorded as one Newton step from the solution; found or not; sure of that."""
    with torch.no_grad():
        t, found, sure = _solve(shape, p, d, semi_mm, clip)
    x, y, z = (p + t[:, None] * d).unbind(-1)
    height, slope = _continued_sag(shape, x * x + y * y, _limit_mm2(shape, semi_mm, clip, p.dtype))
    rate = (d[:, 2] - 2 * slope * (x * d[:, 0] + y * d[:, 1])).detach()
    step = torch.where(found, (z - height) / _away_from_zero(rate), 0.0)
    # Only the step's derivative counts: `t` is the solution already.
    return t - (step - step.detach()), found, sure


def _solve(shape: Shape, p: Tensor, d: Tensor, semi_mm: float, clip: bool) -> tuple[Tensor, Tensor, Tensor]:
    from .forms import NEAR_RIM

    double = p.dtype == torch.float64
    limit2 = _limit_mm2(shape, semi_mm, clip, p.dtype)
    end2, far2 = (shape.end_mm * (1 - (1e-9 if double else 1e-5))) ** 2, (CONTINUED_TO * semi_mm) ** 2
    rim2 = (semi_mm * (1 + (1e-12 if double else 1e-6))) ** 2
    found2 = min(end2, far2) if clip or end2 < far2 else end2 if _is_conic(shape) else math.inf
    close = semi_mm * (1e-10 if double else 1e-4)

    def residual(t: Tensor, p: Tensor, d: Tensor, limit2: float = limit2) -> tuple[Tensor, Tensor, Tensor]:
        x, y, z = (p + t[:, None] * d).unbind(-1)
        r2 = x * x + y * y
        height, slope = _continued_sag(shape, r2, limit2)
        return z - height, d[:, 2] - 2 * slope * (x * d[:, 0] + y * d[:, 1]), r2

    # From the vertex plane: a start on the base conic is lost where the conic ends before the asphere does. Rays that
    # apertures do not cut are first solved as if they did, since polynomials run wild outside.
    t = -p[:, 2] / _away_from_zero(d[:, 2])
    for limit in (_limit_mm2(shape, semi_mm, True, p.dtype), limit2):
        for _ in range(_NEWTON_STEPS):
            f, rate, _ = residual(t, p, d, limit)
            step = (f / _away_from_zero(rate)).clamp(-semi_mm, semi_mm)
            t = t - step
            # The step after a small one is its square, below rounding.
            if not step.numel() or bool(step.abs().max() < semi_mm * (3e-8 if double else 1e-4)):
                break
        if clip:
            break
    f, rate, r2 = residual(t, p, d)
    found = (f.abs() < close) & (r2 <= found2)
    # Of several crossings the first counts. It leads from front to back, and the ray is in front where it enters the
    # aperture's cylinder. Strong aspheres are crossed again far outside, and Newton may have gone there.
    edge2 = min(end2, rim2 if clip else NEAR_RIM**2 * rim2)
    edge = _continued_sag(shape, p.new_full((), edge2), limit2)[0]
    a, b = d[:, :2].square().sum(1).clamp_min(1e-20), (p * d)[:, :2].sum(1)
    under = b * b - a * (p[:, :2].square().sum(1) - edge2)
    reach = under.clamp_min(0).sqrt()
    enters, leaves = (p[:, 2] + d[:, 2] * (sign * reach - b) / a - edge for sign in (-1, 1))
    inside = r2 <= edge2
    good = inside & (rate * d[:, 2] > 0) & (enters * d[:, 2] < 0)
    if not clip:
        good |= ~inside & ((under <= 0) | (enters * leaves > 0))
    doubtful = ~(found & good)
    sure = torch.ones_like(found)
    for within2 in (edge2,) if clip else (edge2, min(end2, far2)):
        if not bool(doubtful.any()):
            break
        index = doubtful.nonzero().squeeze(1)
        better, hit = _scan(residual, p[index], d[index], within2)
        f, _, r2 = residual(better, p[index], d[index])
        verified = hit & (f.abs() < close) & (r2 <= found2)
        t[index] = torch.where(verified, better, t[index])
        found[index] |= verified
        # A sign change without a crossing is a jump of the surface.
        sure[index] = verified | ~hit | found[index]
        doubtful = ~found
    return torch.where(found, t, 0.0), found, sure


def _scan(residual: _Residual, p: Tensor, d: Tensor, limit_mm2: float) -> tuple[Tensor, Tensor]:
    """First sign change within the cylinder r^2 <= limit along each ray, by a scan and bisection."""
    a = d[:, 0] ** 2 + d[:, 1] ** 2
    b = p[:, 0] * d[:, 0] + p[:, 1] * d[:, 1]
    c = p[:, 0] ** 2 + p[:, 1] ** 2 - limit_mm2
    under = b * b - a * c
    reach = under.clamp_min(0).sqrt()
    slanted = a > 1e-14
    a = torch.where(slanted, a, 1.0)
    middle = -p[:, 2] / _away_from_zero(d[:, 2])
    # The surface is taken to lie within four radii of its vertex plane.
    far = 4 * limit_mm2**0.5 / _away_from_zero(d[:, 2]).abs()
    low = torch.where(slanted, torch.maximum((-b - reach) / a, middle - far), middle - far)
    high = torch.where(slanted, torch.minimum((-b + reach) / a, middle + far), middle + far)
    possible = torch.where(slanted, under > 0, c <= 0) & (high > low)
    grid = torch.linspace(0, 1, _SCAN_POINTS, dtype=p.dtype, device=p.device)
    ts = low[:, None] + (high - low)[:, None] * grid
    values = torch.stack([residual(t, p, d)[0] for t in ts.unbind(1)], dim=1)
    change = (values[:, 1:] * values[:, :-1] <= 0) & possible[:, None]
    first = change.to(torch.int8).argmax(1, keepdim=True)
    low, high = ts.gather(1, first)[:, 0], ts.gather(1, first + 1)[:, 0]
    f_low = values.gather(1, first)[:, 0]
    for _ in range(_BISECTIONS):
        mid = 0.5 * (low + high)
        same = residual(mid, p, d)[0] * f_low > 0
        low, high = torch.where(same, mid, low), torch.where(same, high, mid)
    return 0.5 * (low + high), change.any(1)


def _refract(d: Tensor, q: Tensor, slope: Tensor, ratio: Tensor) -> tuple[Tensor, Tensor]:
    """Snell's law in vector form, `slope` by r^2; directions, and a mask of total reflection."""
    normal = torch.stack([-2 * slope * q[:, 0], -2 * slope * q[:, 1], torch.ones_like(slope)], dim=-1)
    normal = normal / (normal * normal).sum(-1, keepdim=True).sqrt()
    cosine = (d * normal).sum(-1)
    under = 1 - ratio**2 * (1 - cosine**2)
    total = under <= 0
    root = torch.where(total, 1.0, under).sqrt()
    # The refracted ray leaves to the side from which it did not come, so the root takes the sign of the cosine.
    bent = ratio[:, None] * d + (torch.where(cosine > 0, root, -root) - ratio * cosine)[:, None] * normal
    return bent, total


def _away_from_zero(value: Tensor) -> Tensor:
    return torch.where(value.abs() < 1e-12, torch.full_like(value, 1e-12), value)
