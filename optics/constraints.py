"""What a lens must keep: focal length, track, thickness in the middle and at the rim, slopes, chief rays.

A `Limit` names a quantity and its range. `find_violations` says how far a lens is outside, in units of each limit's
`softness`, with gradients: squares of it are added to whatever is minimised, and are smooth where a limit is reached.

penalty = find_violations(lens, keep_limits(design)).square().sum()
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from psf.errors import InputError

from .glass import Air
from .paraxial import first_order
from .pupil import bundle_rays, chief_rays
from .tracing import trace

if TYPE_CHECKING:
    from .lens import Lens

# Image heights at which chief rays are asked, and heights between middle and rim at which thickness is.
_CHIEF_RADII, _ZONES = (0.5, 0.75, 1.0), (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Limit:
    """The range of one quantity.

    Attributes:
        quantity: One of `list_quantities()`. Some are several numbers, such as the thickness of every glass.
        low: Smallest value allowed.
        high: Largest value allowed; the same as `low` for a target.
        softness: The violation that counts as much as an RMS of one (um of spot, wave of wavefront), in what the
            quantity counts in; by default one that suits it.
    """

    quantity: str
    low: float = -math.inf
    high: float = math.inf
    softness: float | None = None

    def __post_init__(self) -> None:
        if self.quantity not in _QUANTITIES:
            raise InputError("limit", repr(self.quantity), f"one of: {', '.join(_QUANTITIES)}")
        if not self.low <= self.high or (math.isinf(self.low) and math.isinf(self.high)):
            raise InputError(
                f"limit of {self.quantity}", f"{self.low:g} to {self.high:g}", "low up to high, one finite"
            )
        if self.softness is not None and not (math.isfinite(self.softness) and self.softness > 0):
            raise InputError(f"softness of {self.quantity}", self.softness, "a positive number")

    @property
    def unit(self) -> float:
        """The softness, chosen or by default."""
        return _QUANTITIES[self.quantity].softness if self.softness is None else self.softness


@dataclass(frozen=True, eq=False)
class _Quantity:
    measure: Callable[[Lens], Tensor]
    softness: float
    meaning: str


def list_quantities() -> dict[str, str]:
    """Quantities that a limit can be set to, with their meaning."""
    return {name: quantity.meaning for name, quantity in _QUANTITIES.items()}


def measure_quantity(lens: Lens, quantity: str) -> Tensor:
    """The numbers behind a limit, with gradients.

    Returns:
        Shape (n,): n is 0 where a lens has no such place, such as a glass without a thickness.

    Raises:
        InputError: An unknown quantity, or one that the lens has not (chief rays that reach no corner).
    """
    if quantity not in _QUANTITIES:
        raise InputError("quantity", repr(quantity), f"one of: {', '.join(_QUANTITIES)}")
    return _QUANTITIES[quantity].measure(lens).reshape(-1)


def find_violations(lens: Lens, limits: Sequence[Limit]) -> Tensor:
    """How far a lens is outside limits.

    Returns:
        Shape (n,), in units of each limit's softness, 0 inside, with gradients in the lens's parameters.
    """
    known: dict[str, Tensor] = {}
    rows = [lens.vertices_mm.new_zeros(0)]
    for limit in limits:
        if limit.quantity not in known:
            known[limit.quantity] = measure_quantity(lens, limit.quantity)
        value = known[limit.quantity]
        if limit.low == limit.high:
            rows.append((value - limit.low) / limit.unit)
            continue
        low, high = limit.low, limit.high
        # An open end is infinitely far away: nothing is left of it, and no gradient.
        rows.append(((low - value).clamp_min(0) + (value - high).clamp_min(0)) / limit.unit)
    return torch.cat(rows)


def keep_limits(lens: Lens, *, slack: float = 0.0) -> tuple[Limit, ...]:
    """Limits that keep a changed lens as makeable and as long as this one.

    Focal length stays, the track grows no longer, glass and airspaces nowhere thinner than the thinnest of their kind,
    surfaces no steeper, chief rays no more oblique at the sensor.

    Args:
        lens: The design.
        slack: Share by which everything but the focal length may be worse.
    """
    if not 0 <= slack < 1:
        raise InputError("slack", slack, "a share in 0..1")
    with torch.no_grad():
        efl = float(measure_quantity(lens, "efl_mm"))
        limits = [Limit("efl_mm", efl, efl, softness=1e-3 * abs(efl))]
        for name in ("total_track_mm", "rim_slope", "rim_share", "chief_angle_rad"):
            most = float(measure_quantity(lens, name).max())
            limits.append(Limit(name, high=most + slack * abs(most)))
        for name in ("back_focus_mm", "glass_centre_mm", "glass_edge_mm", "air_centre_mm", "air_edge_mm"):
            values = measure_quantity(lens, name)
            if len(values):
                least = float(values.min())
                limits.append(Limit(name, low=least - slack * abs(least)))
    return tuple(limits)


def _efl(lens: Lens) -> Tensor:
    return first_order(lens).efl_mm


def _f_number(lens: Lens) -> Tensor:
    return first_order(lens).f_number_infinity


def _back_focus(lens: Lens) -> Tensor:
    return lens.surfaces[-1].thickness_mm


def _track(lens: Lens) -> Tensor:
    return lens.vertices_mm[-1]


def _gaps(lens: Lens, *, air: bool) -> list[int]:
    """Spaces between two surfaces, by the number of the first, counted from 0; the one to the sensor is none."""
    return [i for i, s in enumerate(lens.surfaces[:-1]) if isinstance(s.medium, Air) == air]


def _centre(lens: Lens, *, air: bool) -> Tensor:
    values = [lens.surfaces[i].thickness_mm for i in _gaps(lens, air=air)]
    return torch.stack(values) if values else lens.vertices_mm.new_zeros(0)


def _edge(lens: Lens, *, air: bool) -> Tensor:
    """Way between two surfaces along z at some zones; a lens ends where the larger surface does, the gap before."""
    values = [lens.vertices_mm.new_zeros(0)]
    for i in _gaps(lens, air=air):
        front, rear = lens.surfaces[i], lens.surfaces[i + 1]
        semis = [float(s.semi_aperture_mm.detach()) for s in (front, rear)]
        reach = min(semis) if air else max(semis)
        zones = front.thickness_mm.detach().new_tensor(_ZONES) * reach
        # Beyond its clear aperture a surface goes on as a flat ring.
        first, last = (s.shape.sag(zones.clamp_max(semi) ** 2)[0] for s, semi in zip((front, rear), semis, strict=True))
        values.append(front.thickness_mm + last - first)
    return torch.cat(values)


def _rim_slope(lens: Lens) -> Tensor:
    slopes = []
    for surface in lens.surfaces:
        semi = surface.semi_aperture_mm.detach()
        zones = semi * semi.new_tensor(_ZONES)
        slopes.append((2 * zones * surface.shape.sag(zones**2)[1]).abs())
    return torch.cat(slopes)


def _rim_share(lens: Lens) -> Tensor:
    shares = []
    for surface in lens.surfaces:
        own = surface.shape.parameters()
        if "conic_k" in own:
            semi = surface.semi_aperture_mm.detach()
            shares.append((1 + own["conic_k"]) * (own["curvature_per_mm"] * semi) ** 2)
    return torch.stack(shares) if shares else lens.vertices_mm.new_zeros(1)


def _chief_angle(lens: Lens) -> Tensor:
    chief = chief_rays(lens, lens.vertices_mm.detach().new_tensor(_CHIEF_RADII))
    zero = torch.zeros_like(chief.slope)
    wave = zero.detach() + lens.reference_wavelength_um
    direction = trace(lens, bundle_rays(chief.crossing_mm, chief.slope, zero, zero, zero, wave), clip=False).direction
    return torch.atan2(direction[:, 0].abs(), direction[:, 2])


def _distortion(lens: Lens) -> Tensor:
    chief = chief_rays(lens, lens.vertices_mm.detach().new_tensor(_CHIEF_RADII))
    return chief.radius_mm / (first_order(lens).efl_mm * chief.slope.abs()) - 1


_QUANTITIES = {
    "efl_mm": _Quantity(_efl, 0.01, "effective focal length"),
    "f_number": _Quantity(_f_number, 0.01, "focal length over entrance pupil diameter"),
    "back_focus_mm": _Quantity(_back_focus, 0.01, "from the last vertex to the sensor"),
    "total_track_mm": _Quantity(_track, 0.01, "from the first vertex to the sensor"),
    "glass_centre_mm": _Quantity(lambda lens: _centre(lens, air=False), 0.01, "thickness of every glass on the axis"),
    "glass_edge_mm": _Quantity(lambda lens: _edge(lens, air=False), 0.01, "thickness of every glass out to its rim"),
    "air_centre_mm": _Quantity(lambda lens: _centre(lens, air=True), 0.01, "every airspace on the axis"),
    "air_edge_mm": _Quantity(lambda lens: _edge(lens, air=True), 0.01, "every airspace out to the nearer rim"),
    "rim_slope": _Quantity(_rim_slope, 0.01, "steepest slope of every surface inside its aperture (a tangent)"),
    "rim_share": _Quantity(_rim_share, 0.01, "(1 + k) (c h)^2 at every rim: a conic ends where it is 1"),
    "chief_angle_rad": _Quantity(_chief_angle, 0.005, "chief ray against the axis at the sensor, outer image heights"),
    "distortion": _Quantity(_distortion, 0.001, "image height over f tan(angle), less 1, outer image heights"),
}
