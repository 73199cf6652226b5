"""Rays followed once more through crossings that are known: the way to derivatives ray by ray.

`trace` finds where rays cross the surfaces and sums the gradients of all rays. A least-squares fit wants each ray's own
derivatives. Here the numbers of a lens may be columns with one entry per ray: one backward pass through the sum over
all rays of a result then leaves each ray's derivatives in its own entries, whatever the number of rays and numbers. A
crossing is one Newton step from the known one, whose derivative is that of the implicit function.

Every ray has a `soundness`: 1 for a ray far from every failure, down to 0, smoothly, where it grazes a surface, is
reflected back, or meets the end of a surface.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from psf.errors import InputError

from .packed import index_table, pack
from .rays import Traced
from .tracing import CONTINUED_TO

if TYPE_CHECKING:
    from .lens import Lens

# Where a ray begins to fail: cosine of its angle of incidence, squared cosine of its refracted angle, share of the
# conic's end that is left, cosine against the axis behind the lens.
_INCIDENCE, _REFRACTION, _END, _EXIT = 0.1, 0.01, 0.02, 0.1
# Beyond an aperture the excess bends from a parabola into a line around this much, in squared semi-apertures.
_KNEE = 0.02


@dataclass(frozen=True, eq=False)
class Numbers:
    """The numbers of a lens that rays meet, in columns: one entry for all rays, or one per ray.

    Attributes:
        flat: Whether a surface is a plane by nature, S of them.
        powers: Powers of r in each surface's polynomial.
        limit_mm2: Squared radius up to which each surface is its own formula.
        semi_mm: Clear semi-apertures.
        row: Curvatures, conic constants, coefficients surface by surface, vertices and the sensor; shape (Q, 1 or N).
        index: Index in front of the lens and behind every surface at each wavelength, shape (W, S + 1).
    """

    flat: tuple[bool, ...]
    powers: tuple[tuple[int, ...], ...]
    limit_mm2: tuple[float, ...]
    semi_mm: tuple[float, ...]
    row: Tensor
    index: Tensor


@dataclass(frozen=True, eq=False)
class Followed:
    """N rays at the image plane; where they are lost, numbers of a ray on the axis that mean nothing.

    Attributes:
        x_mm: Landing point, shape (N,).
        y_mm: Landing point, shape (N,).
        direction: The three cosines behind the lens, shape (N,) each.
        opl_mm: Optical path from the given positions, shape (N,).
        stop_x_mm: x where they cross the stop, shape (N,).
        soundness: 1 to 0, shape (N,).
        excess: How far outside clear apertures a ray runs, in squared semi-apertures summed over the surfaces, smooth
            at 0; shape (N,).
    """

    x_mm: Tensor
    y_mm: Tensor
    direction: tuple[Tensor, Tensor, Tensor]
    opl_mm: Tensor
    stop_x_mm: Tensor
    soundness: Tensor
    excess: Tensor


def read_numbers(lens: Lens, wavelengths_um: Tensor) -> Numbers:
    """The numbers of a lens with their gradients.

    Args:
        lens: Of conics and polynomials.
        wavelengths_um: Shape (W,).

    Raises:
        InputError: A surface of another kind, or no index at a wavelength.
    """
    packed = pack(lens)
    if packed is None:
        other = next(s.shape for s in lens.surfaces if s.shape.packed() is None)
        raise InputError(f"lens {lens.name}", type(other).__name__, "conics with polynomials in r")
    semi = tuple(float(s.semi_aperture_mm.detach()) for s in lens.surfaces)
    limits = []
    for surface, shape, own in zip(lens.surfaces, packed, semi, strict=True):
        end = surface.shape.end_mm * (1 - 1e-9)
        limits.append(float(min(end, CONTINUED_TO * own) if shape.powers else end) ** 2)
    terms = [shape.coefficients.reshape(-1) for shape in packed if shape.powers]
    shapes = [torch.stack([s.curvature_per_mm for s in packed]), torch.stack([s.conic_k for s in packed])]
    vertices = lens.vertices_mm
    row = torch.cat([t.to(vertices) for t in (*shapes, *terms)] + [vertices])
    return Numbers(
        flat=tuple(shape.flat for shape in packed),
        powers=tuple(shape.powers for shape in packed),
        limit_mm2=tuple(limits),
        semi_mm=semi,
        row=row[:, None],
        index=index_table(lens, wavelengths_um).to(vertices),
    )


def follow(
    numbers: Numbers, stop: int, index: Tensor, start: tuple[Tensor, ...], cosines: tuple[Tensor, ...], traced: Traced
) -> Followed:
    """Follow rays whose crossings are known.

    Args:
        numbers: Of the lens, its row of shape (Q, 1) or (Q, N).
        stop: The stop's surface, counted from 0.
        index: Indices that each ray meets, shape (S + 1, N).
        start: x, y, z of a point on each ray, shape (N,) each.
        cosines: Its direction, shape (N,) each.
        traced: What `trace` found for these rays with `path=True, clip=False`, shape (N,); no gradient of it is used.
    """
    count = len(numbers.flat)
    path, lost_at = traced.path_mm, traced.lost_at
    assert path is not None
    x, y, z = start
    l, m, n = cosines
    whole = bool((lost_at == 0).all())
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    opl, sound, excess, stop_x = zero, one, zero, zero
    offset = 2 * count
    places = numbers.row[-count - 1 :]
    for s in range(count):
        if not whole:
            # Lost rays go on along the axis, where nothing can go wrong.
            live = (lost_at == 0) | (lost_at > s + 1)
            x, y, z = torch.where(live, x, 0.0), torch.where(live, y, 0.0), torch.where(live, z, places[s].detach())
            l, m, n = torch.where(live, l, 0.0), torch.where(live, m, 0.0), torch.where(live, n, 1.0)
            opl, sound = torch.where(live, opl, 0.0), torch.where(live, sound, 0.0)
        terms = numbers.row[offset : offset + len(numbers.powers[s])]
        offset += len(numbers.powers[s])
        vertex, before, behind = places[s], index[s], index[s + 1]
        if numbers.flat[s]:
            t = (vertex - z) / n
            x, y, z = x + t * l, y + t * m, vertex.expand_as(x)
            gx, gy = zero, zero
            r2 = x * x + y * y
        else:
            shape = (numbers.row[s], numbers.row[count + s], terms, numbers.powers[s], numbers.limit_mm2[s])
            with torch.no_grad():
                way = (path[:, s, 0] - x) * l + (path[:, s, 1] - y) * m + (path[:, s, 2] - z) * n
                if not whole:
                    way = torch.where(live, way, 0.0)
            qx, qy, qz = x + way * l, y + way * m, z - vertex + way * n
            height, slope, _ = _sag(*shape, qx * qx + qy * qy)
            rate = (n - 2 * slope * (qx * l + qy * m)).detach()
            t = way - (qz - height) / torch.where(rate.abs() < 1e-12, 1e-12, rate)
            x, y, z = x + t * l, y + t * m, z + t * n
            r2 = x * x + y * y
            _, slope, left = _sag(*shape, r2)
            gx, gy = -2 * slope * x, -2 * slope * y
            sound = _faded(sound, left, _END)
        opl = opl + before * t
        if s == stop:
            stop_x = x
        over = (r2 / numbers.semi_mm[s] ** 2 - 1).clamp_min(0)
        excess = excess + over * over / (over + _KNEE)
        by_length = (gx * gx + gy * gy + 1).rsqrt()
        cosine = (l * gx + m * gy + n) * by_length
        sound = _faded(sound, cosine.abs(), _INCIDENCE)
        ratio = before / behind
        under = 1 - ratio * ratio * (1 - cosine * cosine)
        sound = _faded(sound, under, _REFRACTION)
        root = torch.where(under > 0, under, 1.0).sqrt()
        bend = (torch.where(cosine > 0, root, -root) - ratio * cosine) * by_length
        l, m, n = ratio * l + bend * gx, ratio * m + bend * gy, ratio * n + bend
    sound = _faded(sound, n, _EXIT)
    t = (places[-1] - z) / torch.where(n.abs() < 1e-3, 1e-3, n)
    return Followed(
        x_mm=x + t * l,
        y_mm=y + t * m,
        direction=(l, m, n),
        opl_mm=opl + index[-1] * t,
        stop_x_mm=stop_x,
        soundness=sound,
        excess=excess,
    )


def _sag(
    c: Tensor, k: Tensor, terms: Tensor, powers: tuple[int, ...], limit_mm2: float, r2: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Height, slope by r^2, and what is left of the conic's root: 1 at the vertex, 0 where it ends."""
    near = r2.clamp(max=limit_mm2)
    left = 1 - (1 + k) * c * c * near
    root = torch.where(left > 0, left, 1.0).sqrt()
    height, slope = c * near / (1 + root), c / (2 * root)
    if powers:
        r = (near + 1e-30).sqrt() if any(power % 2 for power in powers) else near
        for term, power in zip(terms, powers, strict=True):
            if power % 2:
                height, slope = height + term * r**power, slope + term * (0.5 * power) * r ** (power - 2)
            else:
                half = power // 2
                height, slope = height + term * near**half, slope + term * half * near ** (half - 1)
    return height + slope * (r2 - near), slope, left


def _faded(sound: Tensor, margin: Tensor, enough: float) -> Tensor:
    """Soundness times a smooth step of a margin, which is 1 from `enough` on."""
    if bool((margin.detach() >= enough).all()):
        return sound
    h = (margin / enough).clamp(0, 1)
    return sound * (h * h * (3 - 2 * h))
