"""Clear apertures that float: as large as the beams that the stop lets through, as designers' programs have them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from psf.errors import InputError

from .aiming import aim
from .bundles import read_radii
from .pupil import chief_rays
from .tracing import trace

if TYPE_CHECKING:
    from .lens import Lens

_RIM_ANGLES = 13
_ROUNDS = 4
# A surface that has an end is not opened nearer to it than this.
_NEAREST_TO_END = 0.999


def float_apertures(
    lens: Lens,
    surfaces: Sequence[int] | None = None,
    *,
    radii: Sequence[float] = (0.0, 0.35, 0.7, 0.85, 1.0),
    depths_m: Sequence[float] = (math.inf,),
    margin: float = 1.02,
) -> Lens:
    """The lens with clear apertures that hold every beam through the whole stop, at all image heights and depths.

    Rays are aimed at the stop's rim through apertures that do not cut. A ray that cannot pass even so (it would miss a
    surface or be reflected) leaves no mark. The stop stays as it is.

    Args:
        lens: The lens, float64.
        surfaces: Numbers of the surfaces that float, from 1; by default all but the stop.
        radii: Image heights, 0..1.
        depths_m: Object distances from the first vertex; inf is allowed.
        margin: Apertures are so much larger than the beams.

    Returns:
        A new lens. Where a surface ends before its beam does, its aperture is just inside its end.

    Raises:
        InputError: Arguments out of range.
    """
    numbers = list(range(1, len(lens.surfaces) + 1)) if surfaces is None else list(surfaces)
    if any(not 1 <= n <= len(lens.surfaces) for n in numbers):
        raise InputError("surfaces", numbers, f"numbers from 1 to {len(lens.surfaces)}")
    if not (math.isfinite(margin) and margin >= 1):
        raise InputError("margin", margin, "a number from 1")
    if not depths_m or any(math.isnan(d) or d <= 0 for d in depths_m):
        raise InputError("depths_m", list(depths_m), "positive distances or inf")
    heights = read_radii(radii)
    wanted = set(numbers) - {lens.stop_surface}
    # Which of two crossings counts, and how a polynomial goes on outside, depends on apertures: again with new ones.
    for _ in range(_ROUNDS):
        reach = _beams(lens, heights.to(lens.vertices_mm.device), depths_m)
        changed = list(lens.surfaces)
        for number in wanted:
            surface = lens.surfaces[number - 1]
            semi = min(margin * float(reach[number - 1]), _NEAREST_TO_END * surface.shape.end_mm)
            if semi > 0:
                changed[number - 1] = replace(surface, semi_aperture_mm=torch.full_like(surface.semi_aperture_mm, semi))
        before = [float(s.semi_aperture_mm.detach()) for s in lens.surfaces]
        lens = replace(lens, surfaces=tuple(changed))
        after = [float(s.semi_aperture_mm.detach()) for s in lens.surfaces]
        if max(abs(a - b) / b for a, b in zip(after, before, strict=True)) < 1e-6:
            break
    return lens


def _beams(lens: Lens, radii: Tensor, depths_m: Sequence[float]) -> Tensor:
    """Largest height at every surface, shape (S,), of rays through the stop's rim."""
    with torch.no_grad():
        chief = chief_rays(lens, radii)
        angle = torch.linspace(0, math.pi, _RIM_ANGLES, dtype=radii.dtype, device=radii.device)
        rim = torch.stack([torch.cos(angle), torch.sin(angle)], dim=1)
        waves = [w for c in lens.channels for w in c.wavelengths_um]
        reach = torch.zeros(len(lens.surfaces), dtype=radii.dtype, device=radii.device)
        for row in range(len(radii)):
            own = chief.take(torch.tensor([row], device=radii.device))
            for depth_m in depths_m:
                for wave in {min(waves), max(waves)}:
                    aimed = aim(lens, own, radii.new_tensor([1e3 * depth_m]), rim, wave)
                    traced = trace(lens, aimed.rays, path=True, clip=False)
                    assert traced.path_mm is not None
                    number = torch.arange(1, len(lens.surfaces) + 1, device=radii.device)
                    # Up to the surface that takes it a lost ray has crossings like any other.
                    met = aimed.reached[:, None] & (traced.alive[:, None] | (number < traced.lost_at[:, None]))
                    height = traced.path_mm[..., :2].norm(dim=-1)
                    reach = torch.maximum(reach, torch.where(met, height, 0.0).amax(0))
        return reach
