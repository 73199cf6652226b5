"""Where a bundle lands: sub-rays of the pupil with their place on the sensor, their cell's image and their light.

Every direction out of the middle of the bundle is followed to the rim, which real rays find through every clear
aperture; Chebyshev nodes in between are traced and give the landing point as a smooth function along that line. No fit
crosses an edge, whatever cuts the bundle. This is the plain way, exact and differentiable; `grid.py` has the fast one.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .disc import Array
from .pupil import ChiefRays, Ellipses, bundle_rays, dioptre_per_mm
from .rays import Fate, Rays
from .tracing import trace

if TYPE_CHECKING:
    from .lens import Lens

_COARSE_POINTS, _FINE_POINTS, _SCAN_TO = 25, 49, 1.05
_BISECTIONS = 26
# Width of the outermost ring against an even division.
_RIM_WIDTH = 0.6
# Place of the innermost sub-rays in their cells, by the flattest middle of a defocused disc.
_INNERMOST = 0.6


@dataclass(frozen=True)
class Sampling:
    """How finely a bundle is sampled.

    Attributes:
        rings: Sub-rays along each half line.
        angles: Half lines over half the pupil; the other half is its mirror image.
        nodes: Traced rays along each half line.
    """

    rings: int = 96
    angles: int = 192
    nodes: int = 20


@dataclass(frozen=True, eq=False)
class Landing:
    """Sub-rays of half the pupil (v > 0), N = rings x angles for each of P patches; picture frame.

    A patch is a piece of a bundle that is one interval along every half line. Most bundles are one patch; a notch in
    the pupil with light behind it makes a second one.

    Attributes:
        bundle: Which bundle each patch belongs to, shape (P,).
        x_mm: Landing point along x, shape (P, N).
        y_mm: Along y (up), shape (P, N).
        along_x_mm: Two half-extents of the cell's image, along the line and across it: x parts, shape (2, P, N).
        along_y_mm: The y parts, shape (2, P, N).
        light: Light of each sub-ray: pupil area times weight, shape (P, N).
    """

    bundle: Tensor
    x_mm: Tensor
    y_mm: Tensor
    along_x_mm: Tensor
    along_y_mm: Tensor
    light: Tensor


def ring_edges(rings: int) -> Array:
    """Edges of the rings of cells in 0..1, shape (rings + 1,).

    Thin at the rim, where caustics lie, and not much thicker in the middle, where a wide first ring would leave a hole.
    """
    at = np.arange(rings + 1) / rings
    return at * (1 + (1 - _RIM_WIDTH) * (1 - at))


def ring_places(edges: Array) -> Array:
    """Where the sub-rays of rings with these edges (N + 1,) lie, shape (N,): at half of each cell's area.

    The innermost cells are wedges; boxes round their half areas would leave a hole, so theirs lie a little further in.
    """
    places = np.sqrt(0.5 * (edges[1:] ** 2 + edges[:-1] ** 2))
    places[0] = _INNERMOST * edges[1]
    return np.asarray(places)


def land(
    lens: Lens,
    chief: ChiefRays,
    ellipses: Ellipses,
    depth_mm: Tensor,
    wavelength_um: Tensor,
    sampling: Sampling,
) -> Landing:
    """Trace B bundles: field, depth and wavelength of each.

    Args:
        lens: The lens.
        chief: One chief ray per bundle, shapes (B,).
        ellipses: One ellipse per bundle, shapes (B,); a chart, so constant.
        depth_mm: Shape (B,), inf allowed.
        wavelength_um: Shape (B,).
        sampling: How finely.

    Returns:
        Sub-rays, with gradients in everything that moves them, the rim included.
    """
    phi = (torch.arange(sampling.angles).to(chief.slope) + 0.5) * (math.pi / sampling.angles)
    bundles = _Bundles(lens, chief, ellipses, depth_mm, wavelength_um, phi)
    owner, inner, outer, ended = _rims(lens, bundles)
    bundles = bundles.at(owner)
    radial = _radial(sampling.nodes, sampling.rings, ended=ended)
    s_nodes, to_rings, to_extents, s_edges = (torch.from_numpy(m).to(phi) for m in radial)
    width = outer - inner
    traced = trace(lens, bundles.rays(inner + s_nodes[:, None] * width), clip=False)
    points = traced.position_mm[..., :2]
    at, along = (torch.einsum("rn,bnac->brac", m, points) for m in (to_rings, to_extents))
    x, y = at.unbind(-1)
    along_x, along_y = along.unbind(-1)
    across_x, across_y = _across(x, 1.0), _across(y, -1.0)
    # A cell's area in the unit disc, and how dense the light is there.
    rho_edges = inner + s_edges[:, None] * width
    squares = rho_edges**2
    area = 0.5 * (squares[:, 1:] - squares[:, :-1]) * (math.pi / sampling.angles)
    rho = inner + torch.from_numpy(ring_places(s_edges.cpu().numpy())).to(phi)[:, None] * width
    light = area * bundles.density(rho)

    def flat(t: Tensor) -> Tensor:
        return t.expand(len(owner), sampling.rings, sampling.angles).flatten(1)

    return Landing(
        bundle=owner,
        x_mm=flat(x),
        y_mm=flat(y),
        along_x_mm=torch.stack([flat(along_x), flat(across_x)]),
        along_y_mm=torch.stack([flat(along_y), flat(across_y)]),
        light=flat(light),
    )


class _Bundles:
    """Rays of bundles by polar coordinates in their ellipses; every tensor broadcasts to (B, n, A)."""

    def __init__(
        self, lens: Lens, chief: ChiefRays, ellipses: Ellipses, depth_mm: Tensor, wavelength_um: Tensor, phi: Tensor
    ) -> None:
        self.crossing, self.slope = chief.crossing_mm[:, None, None], chief.slope[:, None, None]
        self.q = dioptre_per_mm(self.crossing, depth_mm[:, None, None])
        self.far = torch.isinf(depth_mm)[:, None, None]
        self.wavelength = wavelength_um[:, None, None]
        self.centre, self.a, self.b = (
            e.detach()[:, None, None] for e in (ellipses.centre_mm, ellipses.semi_u_mm, ellipses.semi_v_mm)
        )
        self.phi, self.cosine, self.sine = phi, torch.cos(phi), torch.sin(phi)

    def at(self, index: Tensor) -> _Bundles:
        chosen = copy.copy(self)
        for name in ("crossing", "slope", "q", "far", "wavelength", "centre", "a", "b"):
            setattr(chosen, name, getattr(self, name)[index])
        return chosen

    def rays(self, rho: Tensor) -> Rays:
        u, v = self.centre + self.a * rho * self.cosine, self.b * rho * self.sine
        return bundle_rays(self.crossing, self.slope, u, v, self.q, self.wavelength)

    def density(self, rho: Tensor) -> Tensor:
        """Light per area of the unit disc: uniform over the beam's cross-section at infinity, else over solid angle."""
        sx = self.slope + (self.centre + self.a * rho * self.cosine) * self.q
        sy = self.b * rho * self.sine * self.q
        near = self.q**2 * (1 + sx**2 + sy**2) ** -1.5
        return self.a * self.b * torch.where(self.far, (1 + self.slope**2).rsqrt(), near)


def _rims(lens: Lens, bundles: _Bundles) -> tuple[Tensor, Tensor, Tensor, bool]:
    """Where light begins and ends along each half line, in units of the ellipse.

    Returns:
        The bundle of each patch, shape (P,), its inner and outer end along every half line, shapes (P, 1, A), and
        whether some end is that of a surface and not of an aperture.
    """
    phi = bundles.phi
    with torch.no_grad():
        rows = len(bundles.slope)
        coarse = torch.linspace(0, _SCAN_TO, _COARSE_POINTS, dtype=phi.dtype, device=phi.device)
        reached = trace(lens, bundles.rays(coarse[:, None].expand(rows, _COARSE_POINTS, len(phi)))).alive
        unbroken = (reached.to(torch.int8).cumprod(1).sum(1, keepdim=True) - 1).clamp_min(0)
        # From the last ray before the first gap on outwards, finely: a notch near the rim may leave a thin crescent.
        low = coarse[unbroken]
        fine = torch.linspace(0, 1, _FINE_POINTS, dtype=phi.dtype, device=phi.device)[:, None]
        steps = torch.cat([torch.zeros_like(low), low + (_SCAN_TO - low) * fine], dim=1)
        alive = trace(lens, bundles.rays(steps)).alive
        alive[:, -1] = False
        before = torch.cat([torch.zeros_like(alive[:, :1]), alive[:, :-1]], dim=1)
        starts, ends = (alive & ~before), (before & ~alive)
        order_start, order_end = starts.cumsum(1), ends.cumsum(1)
        owners, begin, end = [], [], []
        for patch in range(int(starts.sum(1).max())):
            first = (starts & (order_start == patch + 1)).to(torch.int8)
            last = (ends & (order_end == patch + 1)).to(torch.int8)
            present = first.any(1)
            having = present.any(1).nonzero()[:, 0]
            owners.append(having)
            # Half lines without this patch get one of no width.
            begin.append(torch.where(present, first.argmax(1), 0)[having])
            end.append(torch.where(present, last.argmax(1), 0)[having])
        owner, begin_at, end_at = torch.cat(owners), torch.cat(begin)[:, None], torch.cat(end)[:, None]
        own = bundles.at(owner)
        empty = end_at == 0
        own_steps = steps[owner]

        def step(index: Tensor) -> Tensor:
            return own_steps.gather(1, index.clamp_min(0))

        # Bisection between a dead end and a living one, for both ends at once if any patch begins off the middle.
        dead, live = step(end_at), step(end_at - 1)
        notched = bool((begin_at > 0).any())
        if notched:
            dead, live = torch.cat([step(begin_at - 1), dead], dim=1), torch.cat([step(begin_at), live], dim=1)
        for _ in range(_BISECTIONS):
            middle = 0.5 * (dead + live)
            ok = trace(lens, own.rays(middle)).alive
            dead, live = torch.where(ok, dead, middle), torch.where(ok, middle, live)
        inner = torch.where(begin_at == 0, 0.0, live[:, :1])
        rim = torch.cat([inner, torch.where(empty, inner, live[:, -1:])], dim=1)
        if not notched:
            # The middle is an end that nothing cuts.
            dead = torch.cat([torch.zeros_like(dead), dead], dim=1)
        final = trace(lens, own.rays(dead))
        ended = bool(((final.lost_why == Fate.MISSED) | (final.lost_why == Fate.NOT_CONVERGED)).any())
        cut = (final.lost_at - 1).clamp_min(0)
    if torch.is_grad_enabled() and any(p.requires_grad for p in lens.parameters().values()):
        # One attached Newton step on the clearance of the surface that cuts: this is how a rim moves with the lens.
        with torch.no_grad():
            h = 1e-5
            rate = (_clearance(lens, own.rays(rim + h), cut) - _clearance(lens, own.rays(rim - h), cut)) / (2 * h)
        # Chosen anew: what is taken out without recording carries no gradient of the chief ray.
        clearance = _clearance(lens, bundles.at(owner).rays(rim), cut)
        by_aperture = (clearance.detach().abs() < 1e-5) & (rate.abs() > 1e-3)
        moved = rim - (clearance - clearance.detach()) / torch.where(by_aperture, rate, 1.0)
        rim = torch.where(by_aperture, moved, rim)
    return owner, rim[:, :1], rim[:, 1:], ended


def _clearance(lens: Lens, rays: Rays, surface: Tensor) -> Tensor:
    """(r / semi-aperture)^2 - 1 at a surface (counted from 0) of each ray: negative inside."""
    path = trace(lens, rays, path=True, clip=False).path_mm
    assert path is not None
    point = path.gather(-2, surface[..., None, None].expand(*surface.shape, 1, 3))[..., 0, :]
    semi = torch.stack([s.semi_aperture_mm for s in lens.surfaces])[surface]
    return (point[..., 0] ** 2 + point[..., 1] ** 2) / semi**2 - 1


def _across(value: Tensor, sign: float) -> Tensor:
    """Change over one angular step by central differences; the mirror image continues beyond both ends. (B, R, A)."""
    padded = torch.cat([sign * value[..., :1], value, sign * value[..., -1:]], dim=-1)
    return 0.5 * (padded[..., 2:] - padded[..., :-2])


def _radial(nodes: int, rings: int, *, ended: bool) -> tuple[Array, Array, Array, Array]:
    """How to get from nodes on a half line (0..1) to rings; twice the nodes where a grazing surface end bends the map.

    Returns:
        Nodes s; matrices (rings, nodes) to values at the rings and to differences across them; edges of the rings in s.
    """
    count = 2 * nodes if ended else nodes
    theta = np.pi * (np.arange(count) + 0.5) / count
    degrees = np.arange(count)
    to_coefficients = np.cos(degrees[:, None] * theta) * (2 - (degrees == 0))[:, None] / count
    edges = ring_edges(rings)

    def values(s: Array) -> Array:
        return np.asarray(np.polynomial.chebyshev.chebvander(2 * s - 1, count - 1) @ to_coefficients)

    s = ring_places(edges)
    return 0.5 * (np.cos(theta) + 1), values(s), values(edges[1:]) - values(edges[:-1]), edges
