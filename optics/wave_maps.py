"""Wavefronts as smooth functions of the pupil: direction, phase and amplitude of the light that makes one image point.

Every ray of a bundle is a plane wave near the sensor. What a diffraction PSF needs of it is its direction cosines
(l, m), its phase against the kernel's centre and its amplitude per area of the (l, m) plane; all three are smooth over
the bundle's ellipse and smooth in dioptres and wavelength, so few rays tell them (`disc.py`). Picture frame throughout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .disc import Array, DiscNodes, chebyshev_nodes, lagrange
from .maps import choose_clearances, find_notches, mend
from .pupil import ChiefRays, Ellipses, bundle_rays, dioptre_per_mm, find_ellipses
from .tracing import trace

if TYPE_CHECKING:
    from .lens import Lens

# More than where rays land needs: a phase has to hold to a thousandth of a wave.
MOST_WAVELENGTH_NODES = 8
_ENLARGEMENTS = 4
# Half lines on which the ellipses are tested: every bundle must end inside its ellipse.
_TEST_ANGLES = 24

# Functions of a map, in this order; m, y and the stop's y are odd under the mirror symmetry of the field. Clearances
# (r / semi-aperture)^2 - 1 of surfaces that can cut follow after them.
L, M, PHASE, ROOT, X, Y, STOP_X, STOP_Y, CLEARANCES = range(9)
ODD = (M, Y, STOP_Y)


@dataclass(frozen=True, eq=False)
class WaveMaps:
    """Expansions of R fields at depth and wavelength nodes.

    Attributes:
        nodes: Where they were traced.
        chief: Chief rays of the fields.
        ellipses: The discs of the expansions.
        q_nodes: Depth nodes of each field in 1/mm, shape (R, nq).
        wavelengths_um: Wavelength nodes, shape (nw,).
        coefficients: (R, nq, nw, 8 + S, 2, n, m/2): l, m, phase in mm, root of the light per area of (l, m) times area
            of (l, m) per area of the unit disc, landing x and y against the kernel's centre in mm, place in the stop in
            units of its semi-aperture, clearances; see `DiscNodes.fit`.
        values: The first six at the nodes, shape (R, nq, nw, 6, n, m).
        phase_zero_mm: What was taken off the phase at each node, shape (R, nq, nw).
        kept: How many of the clearances can cut, shape (R,).
        notched: Whether light may come back beyond a cut, shape (R,).
        whole: Whether all nodes found every surface, shape (R,); the maps of other fields mean nothing.
    """

    nodes: DiscNodes
    chief: ChiefRays
    ellipses: Ellipses
    q_nodes: Array
    wavelengths_um: Array
    coefficients: Tensor
    values: Tensor
    phase_zero_mm: Tensor
    kept: NDArray[np.int64]
    notched: NDArray[np.bool_]
    whole: NDArray[np.bool_]

    @property
    def charts(self) -> Array:
        """Slope of the chief ray, centre and semi-axes of the ellipse, shape (R, 4)."""
        e = self.ellipses
        parts = [self.chief.slope.detach(), e.centre_mm, e.semi_u_mm, e.semi_v_mm]
        return torch.stack([part.to("cpu", torch.float64) for part in parts], dim=1).numpy()

    def depth_weights(self, field: int, q_per_mm: Array) -> Array:
        """What to take of each depth node, shape (D, nq), for objects at q of shape (D,)."""
        return lagrange(self.q_nodes[field], q_per_mm)

    def combined(self, field: int, depth_weights: Tensor, wave_weights: Tensor) -> Tensor:
        """Expansions (B, 8 + S, 2, n, m/2) of one field for weights (B, nq) and (nw,); S are those that can cut."""
        chosen = self.coefficients[field, :, :, : CLEARANCES + int(self.kept[field])]
        return torch.einsum("bq,w,qw...->b...", depth_weights, wave_weights, chosen)


def map_wavefronts(
    lens: Lens,
    chief: ChiefRays,
    depths_mm: Tensor,
    wavelengths_um: Array,
    nodes: DiscNodes,
    *,
    depth_nodes: int,
    scale: float = 1.0,
) -> WaveMaps:
    """Trace and expand the wavefronts of R fields over a range of depths.

    Args:
        lens: The lens.
        chief: Its chief rays, R of them.
        depths_mm: Depths that matter, shape (D,).
        wavelengths_um: Wavelengths to trace, shape (nw,).
        nodes: Nodes in the disc.
        depth_nodes: Nodes over the range of depths, in dioptres.
        scale: Kernel centres are at this times the radius of the chief ray.

    Returns:
        Maps with gradients in the lens's parameters; the ellipses are charts, so constant.
    """
    with torch.no_grad():
        ellipses = find_ellipses(lens, chief, depths_mm, torch.from_numpy(wavelengths_um).to(depths_mm))
        q = dioptre_per_mm(chief.crossing_mm.detach()[:, None], depths_mm).cpu().double().numpy()
    count = min(depth_nodes, len(depths_mm))
    q_nodes = np.stack([chebyshev_nodes(row.min(), row.max(), count) for row in q])
    for _ in range(_ENLARGEMENTS):
        maps = _trace_nodes(lens, chief, ellipses, q_nodes, wavelengths_um, nodes, scale)
        grow = np.where(_ends_in_light(maps), 1.04, 1.0)
        if not (grow > 1).any():
            break
        factor = torch.from_numpy(grow).to(ellipses.centre_mm)
        ellipses = replace(ellipses, semi_u_mm=ellipses.semi_u_mm * factor, semi_v_mm=ellipses.semi_v_mm * factor)
    return maps


def _ends_in_light(maps: WaveMaps) -> NDArray[np.bool_]:
    """Fields with half lines on which nothing cuts inside the ellipse: it is too small there."""
    from .diffraction_loops import find_rims

    phi = math.pi * (np.arange(_TEST_ANGLES) + 0.5) / _TEST_ANGLES
    cosines = maps.nodes.table(phi, odd=False)
    opened = np.zeros(len(maps.whole), dtype=np.bool_)
    for f in np.flatnonzero(maps.whole):
        clearances = maps.coefficients[f, :, :, CLEARANCES : CLEARANCES + int(maps.kept[f])].detach().flatten(0, 1)
        low, high = find_rims(clearances.cpu().double().numpy(), cosines, bool(maps.notched[f]))
        opened[f] = bool((high >= 1.0).any()) and low.size > 0
    return opened


def _trace_nodes(
    lens: Lens,
    chief: ChiefRays,
    ellipses: Ellipses,
    q_nodes: Array,
    wavelengths_um: Array,
    nodes: DiscNodes,
    scale: float,
) -> WaveMaps:
    unit = lens.vertices_mm.detach()
    q = torch.from_numpy(q_nodes).to(unit)[:, :, None, None, None]
    rho, phi = (torch.from_numpy(t).to(unit) for t in (nodes.rho, nodes.phi))

    def spread(t: Tensor) -> Tensor:
        return t[:, None, None, None, None]

    u = spread(ellipses.centre_mm) + spread(ellipses.semi_u_mm) * rho[:, None] * torch.cos(phi)
    v = spread(ellipses.semi_v_mm) * rho[:, None] * torch.sin(phi)
    waves = torch.from_numpy(wavelengths_um).to(unit)[:, None, None]
    slope = spread(chief.slope)
    traced = trace(lens, bundle_rays(spread(chief.crossing_mm), slope, u, v, q, waves), path=True, clip=False)
    assert traced.path_mm is not None
    l, m = traced.direction[..., 0], traced.direction[..., 1]
    x, y = traced.position_mm[..., 0] - scale * spread(chief.radius_mm), traced.position_mm[..., 1]
    phase = start_path_mm(slope, u, v, q) + traced.opl_mm - l * x - m * y
    semi = torch.stack([s.semi_aperture_mm for s in lens.surfaces])
    stop = traced.path_mm[..., lens.stop_surface - 1, :] / semi[lens.stop_surface - 1]
    clearance = (traced.path_mm[..., :2].pow(2).sum(-1) / semi**2 - 1).movedim(-1, 3)  # (R, nq, nw, S, n, m)
    chosen, kept = choose_clearances(clearance)
    # x comes first, by which outermost nodes off the smooth map are told; constants of the phase are nobody's business.
    zero = phase[..., -1, 0].detach()
    phase = phase - zero[..., None, None]
    smooth = torch.stack([x, l, m, phase, y, stop[..., 0], stop[..., 1]], dim=3)
    mended, whole = mend(torch.cat([smooth, chosen], dim=3), traced.lost_why, rho)
    x, l, m, phase, y, stop_x, stop_y = mended[:, :, :, :7].unbind(3)
    even = nodes.fit(torch.stack([l, phase, x, stop_x], dim=3), odd=False)
    odd = nodes.fit(torch.stack([m, y, stop_y], dim=3), odd=True)
    density = beam_density(slope, u, v, q)
    area = spread(ellipses.semi_u_mm) * spread(ellipses.semi_v_mm) * density
    root = (area * _stretch(nodes, even[:, :, :, 0], odd[:, :, :, 0]).abs()).clamp_min(1e-300).sqrt()
    cuts = mended[:, :, :, 7:]
    parts = [even[:, :, :, 0], odd[:, :, :, 0], even[:, :, :, 1], nodes.fit(root, odd=False)]
    parts += [even[:, :, :, 2], odd[:, :, :, 1], even[:, :, :, 3], odd[:, :, :, 2]]
    return WaveMaps(
        nodes=nodes,
        chief=chief,
        ellipses=ellipses,
        q_nodes=q_nodes,
        wavelengths_um=wavelengths_um,
        coefficients=torch.cat([torch.stack(parts, dim=3), nodes.fit(cuts, odd=False)], dim=3),
        values=torch.stack([l, m, phase, root, x, y], dim=3),
        phase_zero_mm=zero,
        kept=kept.cpu().numpy(),
        notched=find_notches(cuts.detach(), kept).cpu().numpy(),
        whole=whole.cpu().numpy(),
    )


def start_path_mm(slope: Tensor, u_mm: Tensor, v_mm: Tensor, q_per_mm: Tensor) -> Tensor:
    """Path from the object to (u, v) minus that of the chief ray, also for objects at infinity; shapes (...)."""
    way = torch.sqrt((slope + u_mm * q_per_mm) ** 2 + (v_mm * q_per_mm) ** 2 + 1) + torch.sqrt(slope**2 + 1)
    return (2 * u_mm * slope + (u_mm**2 + v_mm**2) * q_per_mm) / way


def beam_density(slope: Tensor, u_mm: Tensor, v_mm: Tensor, q_per_mm: Tensor) -> Tensor:
    """Light per area of the (u, v) plane but for a constant of the bundle; shapes (...)."""
    return (1 + (slope + u_mm * q_per_mm) ** 2 + (v_mm * q_per_mm) ** 2) ** -1.5


def _stretch(nodes: DiscNodes, l: Tensor, m: Tensor) -> Tensor:
    """Area of (l, m) per area of the disc at the nodes, (..., n, m), from expansions (..., 2, n, m/2)."""
    (l_rho, l_phi), (m_rho, m_phi) = _slopes(nodes, l, odd=False), _slopes(nodes, m, odd=True)
    return l_rho * m_phi - l_phi * m_rho


def _slopes(nodes: DiscNodes, coefficients: Tensor, *, odd: bool) -> tuple[Tensor, Tensor]:
    """Slopes along rho, and along phi over rho, at the nodes."""
    along, across = _slope_matrices(nodes, odd)
    flat = coefficients.flatten(-3)
    shape = (*coefficients.shape[:-3], *nodes.shape)
    return tuple((flat @ torch.from_numpy(m).to(flat)).reshape(shape) for m in (along, across))  # type: ignore[return-value]


@lru_cache(maxsize=16)
def _slope_matrices(nodes: DiscNodes, odd: bool) -> tuple[Array, Array]:
    """From coefficients to slopes at the nodes, shape (2 n m/2, n m) each."""
    rho, phi, sign = nodes.rho[:, None], nodes.phi, 1.0 if odd else -1.0
    table = nodes.table(phi, odd=odd)
    along, across = [], []
    for parity, k in enumerate(nodes.harmonics(odd=odd)):
        # d/dphi cos(k phi) = -k sin(k phi), d/dphi sin(k phi) = k cos(k phi).
        rates = sign * k[:, None] * (np.cos if odd else np.sin)(k[:, None] * phi)
        for j in range(nodes.radial):
            power = 2 * j + parity
            for i in range(len(k)):
                along.append((power * rho ** max(power - 1, 0) * table[parity, i]).ravel())
                # The constant has no slope across, and harmonics of even order begin with rho^0 on paper only.
                across.append((rho ** (power - 1.0) * rates[i]).ravel())
    return np.stack(along), np.stack(across)
