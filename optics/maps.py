"""Landing maps: where rays of a field land and how near they pass to every rim, as smooth functions of the pupil.

They are traced at few nodes (`disc.py` in the pupil, Chebyshev points in dioptres, a few wavelengths) and expanded; the
fast grid evaluates them at thousands of sub-rays per kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .disc import Array, DiscNodes, chebyshev_nodes, lagrange
from .pupil import ChiefRays, Ellipses, bundle_rays, dioptre_per_mm
from .rays import Fate
from .tracing import trace

if TYPE_CHECKING:
    from .lens import Lens

# A clearance that stays below this at every node of a field cuts none of its bundles.
_NEVER_CUTS = -0.02
# Where a clearance falls outwards again and comes this near to cutting, light may come back beyond the cut.
_NOTCH = -0.2
MOST_WAVELENGTH_NODES = 4
# Outermost node radii that may be replaced by extrapolation, and how far (against the way between neighbours) is
# astray.
_MENDED_NODES = 3
_ASTRAY = 3.0


@dataclass(frozen=True)
class LandingMaps:
    """Landing maps of R fields at depth and wavelength nodes.

    Attributes:
        coefficients: (R, nq, nw, 2 + S, 2, n, m/2): x and y in mm against the kernel's centre, then the clearances
            (r / semi-aperture)^2 - 1 of up to S surfaces; see `DiscNodes.fit`.
        kept: (R,) how many of the clearances can cut.
        notched: (R,) whether some clearance falls again outwards, so that light may come back beyond a cut.
        whole: (R,) whether all nodes found every surface; the maps of other fields mean nothing.
    """

    coefficients: Array
    kept: NDArray[np.int64]
    notched: NDArray[np.bool_]
    whole: NDArray[np.bool_]


def wavelength_nodes(wavelengths_um: Array, most: int = MOST_WAVELENGTH_NODES) -> tuple[Array, Array]:
    """Wavelengths to trace, and the weights (W, nodes) that make each of `wavelengths_um` (W,) of them.

    Up to `most` distinct wavelengths are traced themselves, more are interpolated by 1 / wavelength^2.
    """
    distinct = np.unique(wavelengths_um)
    if len(distinct) <= most:
        return distinct, (wavelengths_um[:, None] == distinct).astype(np.float64)
    inverse = 1.0 / wavelengths_um**2
    nodes = chebyshev_nodes(inverse.min(), inverse.max(), most)
    return 1.0 / np.sqrt(nodes), lagrange(nodes, inverse)


def depth_nodes(chief: ChiefRays, depths_mm: Tensor, count: int) -> Array:
    """Nodes in 1 / (crossing + depth) for every field, shape (R, nq), for depths of shape (D,)."""
    q = dioptre_per_mm(chief.crossing_mm[:, None], depths_mm).numpy()
    count = min(count, len(depths_mm))
    return np.stack([chebyshev_nodes(row.min(), row.max(), count) for row in q])


def trace_maps(
    lens: Lens,
    chief: ChiefRays,
    ellipses: Ellipses,
    q_nodes: Array,
    wave_nodes: Array,
    nodes: DiscNodes,
    scale: float,
) -> LandingMaps:
    """Trace the nodes and expand.

    Args:
        lens: The lens.
        chief: R chief rays.
        ellipses: R ellipses, the discs of the expansion.
        q_nodes: Depth nodes of each field, shape (R, nq).
        wave_nodes: Wavelengths, shape (nw,).
        nodes: Nodes in the disc.
        scale: Kernel centres are at this times the radius of the chief ray.
    """
    q = torch.from_numpy(q_nodes)
    rho, phi = torch.from_numpy(nodes.rho), torch.from_numpy(nodes.phi)

    def spread(t: Tensor) -> Tensor:
        return t[:, None, None, None, None]

    u = spread(ellipses.centre_mm) + spread(ellipses.semi_u_mm) * rho[:, None] * torch.cos(phi)
    v = spread(ellipses.semi_v_mm) * rho[:, None] * torch.sin(phi)
    waves = torch.from_numpy(wave_nodes)[:, None, None]
    rays = bundle_rays(spread(chief.crossing_mm), spread(chief.slope), u, v, q[:, :, None, None, None], waves)
    traced = trace(lens, rays, path=True, clip=False)
    assert traced.path_mm is not None
    semi = torch.stack([s.semi_aperture_mm for s in lens.surfaces])
    clearance = (traced.path_mm[..., :2].pow(2).sum(-1) / semi**2 - 1).movedim(-1, 3)  # (R, nq, nw, S, n, m)
    chosen, kept = choose_clearances(clearance)
    x = traced.position_mm[..., 0] - scale * spread(chief.radius_mm)
    values, whole = mend(
        torch.cat([torch.stack([x, traced.position_mm[..., 1]], dim=3), chosen], dim=3), traced.lost_why, rho
    )
    even = nodes.fit(torch.cat([values[:, :, :, :1], values[:, :, :, 2:]], dim=3), odd=False)
    odd = nodes.fit(values[:, :, :, 1:2], odd=True)
    return LandingMaps(
        coefficients=torch.cat([even[:, :, :, :1], odd, even[:, :, :, 1:]], dim=3).contiguous().numpy(),
        kept=kept.numpy(),
        notched=find_notches(values[:, :, :, 2:], kept).numpy(),
        whole=whole.numpy(),
    )


def choose_clearances(clearance: Tensor) -> tuple[Tensor, Tensor]:
    """Clearances that can cut, before others: fields with fewer of them carry some that are not looked at.

    Args:
        clearance: Of every surface at the nodes, shape (R, nq, nw, S', n, m).

    Returns:
        Shape (R, nq, nw, S, n, m), and how many of each field's can cut, shape (R,).
    """
    cuts = clearance.detach().amax((1, 2, 4, 5)) > _NEVER_CUTS
    kept = cuts.sum(1)
    order = torch.argsort(cuts.to(torch.int8), dim=1, descending=True, stable=True)[:, : max(int(kept.max()), 1)]
    index = order[:, None, None, :, None, None].expand(-1, *clearance.shape[1:3], -1, *clearance.shape[-2:])
    return clearance.gather(3, index), kept


def find_notches(clearance: Tensor, kept: Tensor) -> Tensor:
    """Whether light may come back beyond a cut: where a clearance falls outwards again, near to cutting.

    Args:
        clearance: From `choose_clearances`, mended, shape (R, nq, nw, S, n, m).
        kept: How many of each field's can cut, shape (R,).

    Returns:
        Shape (R,).
    """
    # rho descends along the nodes: a rise along them is a fall outwards.
    inner, outer = clearance[..., 1:, :], clearance[..., :-1, :]
    live = torch.arange(clearance.shape[3], device=clearance.device) < kept[:, None]
    falls = ((inner > outer + 1e-6) & (inner > _NOTCH)).flatten(4).any(-1) & live[:, None, None]
    return falls.flatten(1).any(1)


def mend(values: Tensor, why: Tensor, rho: Tensor) -> tuple[Tensor, Tensor]:
    """Replace outermost nodes that are no part of the smooth map by extrapolation along their half line.

    Nodes lie up to the ellipse's edge, a little outside the bundle. There a ray may find no surface, reflect totally,
    or meet another branch of a strong asphere.

    Args:
        values: Shape (R, nq, nw, c, n, m); x comes first.
        why: `Fate` of each ray, shape (R, nq, nw, n, m).
        rho: Radii of the nodes, descending, shape (n,).

    Returns:
        Mended values, and whether that sufficed, shape (R,).
    """
    values = values.clone()
    alive = why == Fate.ALIVE
    ended = ~alive & (why != Fate.TOTAL_REFLECTION)
    for i in range(_MENDED_NODES - 1, -1, -1):
        weights = torch.from_numpy(lagrange(rho[i + 1 : i + 5].numpy(), rho[i : i + 1].numpy())[0])
        guess = torch.einsum("k,...km->...m", weights, values[..., i + 1 : i + 5, :])
        x = values[:, :, :, 0]
        way = (x[..., i + 1, :] - x[..., i + 3, :]).abs().amax(-1, keepdim=True)
        astray = (x[..., i, :] - guess[:, :, :, 0]).abs() > _ASTRAY * way
        bad = ~alive[:, :, :, i] | astray
        values[..., i, :] = torch.where(bad[:, :, :, None], guess, values[..., i, :])
    return values, (alive[:, :, :, _MENDED_NODES:].flatten(1).all(1) & ~ended.flatten(1).any(1))
