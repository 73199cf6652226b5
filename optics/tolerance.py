"""Lenses as they are made: drawn at random within manufacturing tolerances.

`perturbed(lens, tolerances, generator=g)` is one lens off the line, `list_limits` says what may be off and by how much,
`find_sensitivities` what each error does to a number you care about, to first order, by the tracer's gradients.

Every error keeps the lens a lens of revolution: curvature, form in rings, thickness, airspace, index, dispersion,
apertures, the sensor's distance. Decentre, tilt and astigmatic irregularity are left out. They break the symmetry that
a field over image height rests on, and they are often what costs a phone lens most: a set drawn here is a lower bound
on how much real lenses differ.

An error is a draw from -1 to 1 times its limit. "normal" is a normal distribution whose limits are two standard
deviations, cut off there, as lens design programs draw; "uniform" is as likely at its limits as in the middle.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Literal

import torch
from torch import Tensor

from psf.errors import InputError

from .dispersion import FormulaIndex, TabulatedIndex
from .focusing import image_distance_mm
from .glass import LINE_C_UM, LINE_D_UM, LINE_F_UM, Air, ConstantIndex, Medium, ModelGlass, measure_nd_vd
from .lens import Lens
from .surface import Conic, EvenAsphere, PolynomialAsphere, Shape, Surface

Focus = Literal["fixed", "paraxial", "spot"]

# Test plates are read in the light of a helium-neon laser; a fringe is half a wavelength of height.
FRINGE_WAVELENGTH_UM = 0.6328
# A normal distribution ends at its limits, this many standard deviations out.
LIMIT_SIGMAS = 2.0
# Heights of the two lowest ring errors, r in semi-apertures: their coefficients of r^2, r^4, r^6 for one unit from peak
# to valley. 6 r^4 - 6 r^2 + 1 spans 1.5, 20 r^6 - 30 r^4 + 12 r^2 - 1 spans 2; neither contains power or a tilt.
_RINGS = {"form_4_um": (-6 / 1.5, 6 / 1.5, 0.0), "form_6_um": (12 / 2, -30 / 2, 20 / 2)}


@dataclass(frozen=True)
class Tolerances:
    """How far a lens may be from its prescription: limits, each meant as plus or minus; 0 where nothing is off.

    Attributes:
        radius_percent: Radius of curvature at the vertex, in percent of itself.
        power_fringes: Curvature against the test plate, in fringes at 632.8 nm over the clear aperture. Where both are
            given, the limits add as root of the sum of squares.
        form_um: Form error in rings, from peak to valley over the clear aperture; half of it in each of the two lowest
            ones (primary and secondary spherical aberration of the surface).
        conic_k: Conic constant, a pure number.
        asphere_percent: Every coefficient of an asphere, in percent of itself. Neighbouring terms of strong aspheres
            cancel, and this does not know it: prefer `form_um`.
        thickness_um: Centre thickness of glass or plastic.
        airspace_um: Airspaces, those before and behind a stop too; not the one to the sensor.
        index: Refractive index at the d line, a pure number.
        abbe_percent: Abbe number, in percent of itself.
        semi_aperture_um: Every clear semi-aperture, the stop's among them.
        sensor_um: The sensor's distance, after focusing.
        distribution: "normal" (cut off at two standard deviations) or "uniform".
    """

    radius_percent: float = 0.0
    power_fringes: float = 0.0
    form_um: float = 0.0
    conic_k: float = 0.0
    asphere_percent: float = 0.0
    thickness_um: float = 0.0
    airspace_um: float = 0.0
    index: float = 0.0
    abbe_percent: float = 0.0
    semi_aperture_um: float = 0.0
    sensor_um: float = 0.0
    distribution: Literal["normal", "uniform"] = "normal"

    def __post_init__(self) -> None:
        for name in limit_names():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise InputError(f"Tolerances.{name}", repr(value), "a finite number from 0")
            if name.endswith("_percent") and value >= 100:
                raise InputError(f"Tolerances.{name}", value, "less than 100")
        if self.distribution not in ("normal", "uniform"):
            raise InputError("Tolerances.distribution", repr(self.distribution), '"normal" or "uniform"')

    def scaled(self, factor: float) -> "Tolerances":
        """All limits times `factor`."""
        if not 0 <= factor < math.inf:
            raise InputError("factor", factor, "a finite number from 0")
        return replace(self, **{name: factor * getattr(self, name) for name in limit_names()})


def limit_names() -> tuple[str, ...]:
    """Names of the limits of `Tolerances`."""
    return tuple(field.name for field in fields(Tolerances) if field.name != "distribution")


# An injection-moulded phone lens, focused when it is assembled. Makers of moulded optics in general publish 0.5 % of
# the radius, 15 um of thickness and 3 fringes of irregularity over 25 mm as their precision grade (Apollo Optical
# Systems, "Typical manufacturing tolerances"). Phone lenses are a tenth of that size and of moulds cut to measure: the
# numbers here are our own choice, between a tenth and a half of those.
MOULDED = Tolerances(
    radius_percent=0.1,
    form_um=0.3,
    thickness_um=5.0,
    airspace_um=5.0,
    index=0.0005,
    abbe_percent=0.5,
    semi_aperture_um=5.0,
    sensor_um=3.0,
)
# Ground and polished glass of precision grade: index 0.0005 and Abbe number 0.5 % (Optimax, "Manufacturing tolerance
# chart"), radius 0.1 % in precision work, thickness 50 um (HR Optics, "Understanding optical specifications").
# Half a fringe of irregularity, spacers, apertures and the sensor's distance: our own choice.
GLASS = Tolerances(
    radius_percent=0.1,
    form_um=0.16,
    thickness_um=50.0,
    airspace_um=25.0,
    index=0.0005,
    abbe_percent=0.5,
    semi_aperture_um=25.0,
    sensor_um=10.0,
)
# A lens shorter than this is taken for a moulded one where nobody says.
LONGEST_MOULDED_MM = 20.0


def choose_tolerances(lens: Lens) -> Tolerances:
    """`MOULDED` for a lens of up to 20 mm from the first vertex to the sensor, `GLASS` for a longer one."""
    return MOULDED if lens.track_mm <= LONGEST_MOULDED_MM else GLASS


def list_limits(lens: Lens, tolerances: Tolerances) -> dict[str, float]:
    """What may be off in a lens, and by how much at most, in the order in which it is drawn.

    Returns:
        Limits by name: `surface2.curvature_per_mm`, `.form_4_um` and `.form_6_um` (peak to valley of the ring errors),
        `.conic_k`, `.asphere_4`, `.thickness_mm`, `.nd`, `.vd`, `.semi_aperture_mm`, and `sensor_mm`.

    Raises:
        InputError: A tolerance as large as what it belongs to, or of a shape or medium that nobody knows to change.
    """
    limits: dict[str, float] = {}
    for number, surface in enumerate(lens.surfaces, start=1):
        own = _shape_limits(surface, tolerances, f"surface {number} of lens {lens.name}")
        if number < len(lens.surfaces):
            air = isinstance(surface.medium, Air)
            own["thickness_mm"] = 1e-3 * (tolerances.airspace_um if air else tolerances.thickness_um)
            thickness_mm = float(surface.thickness_mm.detach())
            if not air and own["thickness_mm"] >= thickness_mm:
                where = f"Tolerances.thickness_um for surface {number} of lens {lens.name}"
                raise InputError(where, tolerances.thickness_um, f"less than its {1e3 * thickness_mm:.6g} um")
        own |= _medium_limits(surface.medium, tolerances)
        own["semi_aperture_mm"] = 1e-3 * tolerances.semi_aperture_um
        if own["semi_aperture_mm"] >= (semi_mm := float(surface.semi_aperture_mm.detach())):
            where = f"Tolerances.semi_aperture_um for surface {number} of lens {lens.name}"
            raise InputError(where, tolerances.semi_aperture_um, f"less than its {1e3 * semi_mm:.6g} um")
        limits |= {f"surface{number}.{name}": limit for name, limit in own.items()}
    return limits | {"sensor_mm": 1e-3 * tolerances.sensor_um}


def draw_departures(lens: Lens, tolerances: Tolerances, *, generator: torch.Generator) -> dict[str, float]:
    """Errors of one lens, by the names of `list_limits`.

    As many numbers are drawn whatever the limits are: a limit of 0 does not change the other errors, and limits twice
    as large double every error.
    """
    limits = list_limits(lens, tolerances)
    uniform = torch.rand(len(limits), generator=generator, dtype=torch.float64, device=generator.device).cpu()
    if tolerances.distribution == "uniform":
        drawn = 2 * uniform - 1
    else:
        below = 0.5 * math.erfc(LIMIT_SIGMAS / math.sqrt(2))
        drawn = torch.special.ndtri(below + uniform * (1 - 2 * below)) / LIMIT_SIGMAS
    return {name: limit * share for (name, limit), share in zip(limits.items(), drawn.tolist(), strict=True)}


def apply_departures(lens: Lens, departures: Mapping[str, Tensor | float], *, focus: Focus = "spot") -> Lens:
    """The lens with errors, focused again.

    Args:
        lens: The prescription.
        departures: Errors by the names of `list_limits`; tensors, of shape (), keep their gradients.
        focus: What the maker does about it. "fixed" leaves the sensor where it was. "paraxial" and "spot" move it by
            as much as the focus of `lens.focus_m` has moved (as `Lens.refocused` finds it): a defocus that the
            designer chose stays.

    Raises:
        InputError: A name that the lens does not have, or a lens without an image.
    """
    if focus not in ("fixed", "paraxial", "spot"):
        raise InputError("focus", repr(focus), '"fixed", "paraxial" or "spot"')
    grouped: dict[int, dict[str, Tensor | float]] = {}
    for name, value in departures.items():
        surface, _, own = name.partition(".")
        number = surface.removeprefix("surface")
        if name == "sensor_mm":
            continue
        if not (number.isdecimal() and 1 <= int(number) <= len(lens.surfaces)):
            raise InputError(f"departure {name}", "no such surface", f"surface1 to surface{len(lens.surfaces)}")
        if isinstance(value, Tensor) or value != 0.0:  # an exact zero leaves the very surface
            grouped.setdefault(int(number), {})[own] = value
    numbered = enumerate(lens.surfaces, start=1)
    surfaces = [_changed(s, grouped[i], f"surface{i}") if i in grouped else s for i, s in numbered]
    changed = replace(lens, surfaces=tuple(surfaces))
    shift = departures.get("sensor_mm", 0.0)
    if focus != "fixed" and grouped:
        moved = image_distance_mm(changed, lens.focus_m, focus) - image_distance_mm(lens, lens.focus_m, focus).detach()
        shift = shift + moved
    last = surfaces[-1]
    if isinstance(shift, Tensor) or shift != 0.0:
        surfaces[-1] = replace(last, thickness_mm=last.thickness_mm + shift)
    return replace(changed, surfaces=tuple(surfaces))


def perturbed(
    lens: Lens,
    tolerances: Tolerances | None = None,
    *,
    generator: torch.Generator,
    focus: Focus = "spot",
) -> Lens:
    """One lens as it is made: a prescription with errors drawn from tolerances, and focused.

    Args:
        lens: The prescription.
        tolerances: By default those of `choose_tolerances`.
        generator: What is drawn; the same state gives the same lens.
        focus: As in `apply_departures`.

    Returns:
        The lens; `source["departures"]` holds its errors by name.

    Raises:
        InputError: Tolerances that do not fit the lens, or a drawn lens without an image.
    """
    departures = draw_departures(lens, tolerances or choose_tolerances(lens), generator=generator)
    made = apply_departures(lens, departures, focus=focus)
    return replace(made, source={**lens.source, "departures": departures})


def find_sensitivities(
    lens: Lens, tolerances: Tolerances, measure: Callable[[Lens], Tensor], *, focus: Focus = "spot"
) -> dict[str, float]:
    """What every error does to a number, to first order: gradient times standard deviation.

    The root of the sum of their squares is the standard deviation of that number over many lenses, as far as it is
    linear in the errors.

    Args:
        lens: The prescription.
        tolerances: How much each number may be off.
        measure: A differentiable number, of shape (), of a lens.
        focus: As in `apply_departures`.

    Returns:
        One standard deviation of each error, in what `measure` counts in; by the names of `list_limits`, largest first.
    """
    limits = {name: limit for name, limit in list_limits(lens, tolerances).items() if limit}
    zeros = {name: torch.zeros((), dtype=torch.float64, requires_grad=True) for name in limits}
    with torch.enable_grad():
        value = measure(apply_departures(lens, zeros, focus=focus))
        if not isinstance(value, Tensor) or value.shape != ():
            raise InputError("measure", f"a result of {type(value).__name__}", "a function that gives one number")
        slopes = torch.autograd.grad(value, list(zeros.values()), allow_unused=True)
    sigma = deviation_of(tolerances.distribution)
    pairs = zip(limits.items(), slopes, strict=True)
    found = {name: sigma * limit * (0.0 if slope is None else float(slope)) for (name, limit), slope in pairs}
    return dict(sorted(found.items(), key=lambda item: -abs(item[1])))


def deviation_of(distribution: Literal["normal", "uniform"]) -> float:
    """Standard deviation of an error whose limits are plus and minus 1."""
    if distribution == "uniform":
        return 1 / math.sqrt(3)
    z = LIMIT_SIGMAS
    density, inside = math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi), math.erf(z / math.sqrt(2))
    return math.sqrt(1 - 2 * z * density / inside) / z


def _shape_limits(surface: Surface, tolerances: Tolerances, where: str) -> dict[str, float]:
    shape, own = surface.shape, surface.shape.parameters()
    limits: dict[str, float] = {}
    if "curvature_per_mm" in own:
        semi_mm = float(surface.semi_aperture_mm.detach())
        share = 0.01 * tolerances.radius_percent * abs(float(shape.vertex_curvature_per_mm.detach()))
        # n fringes are n / 2 wavelengths of height at the rim, and height there is curvature * semi^2 / 2.
        fringes = 1e-3 * FRINGE_WAVELENGTH_UM * tolerances.power_fringes / semi_mm**2
        limits["curvature_per_mm"] = math.hypot(share, fringes)
        if not isinstance(shape, Conic | EvenAsphere | PolynomialAsphere):
            if tolerances.form_um:
                expected = "a conic or an asphere, or Tolerances without form_um"
                raise InputError(where, type(shape).__name__, expected)
        else:
            limits |= dict.fromkeys(_RINGS, 0.5 * tolerances.form_um)
    if "conic_k" in own:
        limits["conic_k"] = tolerances.conic_k
    terms = {name: value for name, value in own.items() if name.startswith("asphere_")}
    return limits | {n: 0.01 * tolerances.asphere_percent * abs(float(v.detach())) for n, v in terms.items()}


def _medium_limits(medium: Medium, tolerances: Tolerances) -> dict[str, float]:
    if isinstance(medium, Air):
        return {}
    if isinstance(medium, ConstantIndex):
        return {"nd": tolerances.index}
    _, vd = measure_nd_vd(medium)
    return {"nd": tolerances.index, "vd": 0.01 * tolerances.abbe_percent * abs(float(vd.detach()))}


def _changed(surface: Surface, departures: Mapping[str, Tensor | float], where: str) -> Surface:
    own, rings, glass = surface.parameters(), dict[str, Tensor | float](), dict[str, Tensor | float]()
    values = dict[str, Tensor]()
    for name, value in departures.items():
        if name in _RINGS:
            rings[name] = value
        elif name in ("nd", "vd"):
            glass[name] = value
        elif name in own and not name.startswith("medium."):
            values[name] = own[name] + value
        else:
            raise InputError(f"departure {where}.{name}", "no such number", "a name of list_limits")
    changed = surface.with_parameters(values)
    if rings:
        # Over the clear aperture of the drawing: how far the part is good does not follow from how it came out.
        shape = _with_rings(changed.shape, rings, surface.semi_aperture_mm, where)
        changed = replace(changed, shape=shape)
    if glass:
        changed = replace(changed, medium=_melted(surface.medium, glass.get("nd", 0.0), glass.get("vd", 0.0), where))
    return changed


def _with_rings(shape: Shape, rings: Mapping[str, Tensor | float], semi_mm: Tensor, where: str) -> Shape:
    added = dict.fromkeys((2, 4, 6), torch.zeros_like(semi_mm))
    for name, height_um in rings.items():
        for power, share in zip(added, _RINGS[name], strict=True):
            added[power] = added[power] + 1e-3 * share * height_um / semi_mm**power
    if isinstance(shape, Conic):
        return EvenAsphere(shape.curvature_per_mm, shape.conic_k, torch.stack(list(added.values())))
    if not isinstance(shape, EvenAsphere | PolynomialAsphere):
        raise InputError(f"departure {where}.form", type(shape).__name__, "a conic or an asphere")
    present = dict(zip(shape.powers, shape.coefficients.unbind(), strict=True))
    terms = {power: present.get(power, 0.0) + added.get(power, 0.0) for power in sorted({*present, *added})}
    coefficients = torch.stack([torch.as_tensor(term, dtype=semi_mm.dtype) for term in terms.values()])
    if isinstance(shape, EvenAsphere):
        return EvenAsphere(shape.curvature_per_mm, shape.conic_k, coefficients)
    return PolynomialAsphere(shape.curvature_per_mm, shape.conic_k, coefficients, tuple(terms))


def _melted(medium: Medium, nd: Tensor | float, vd: Tensor | float, where: str) -> Medium:
    """A medium with another index and Abbe number: its curve, moved and stretched about the d line."""
    if isinstance(medium, ModelGlass):
        return replace(medium, nd=medium.nd + nd, vd=medium.vd + vd)
    if isinstance(medium, ConstantIndex):
        return replace(medium, refractive_index=medium.refractive_index + nd)
    if not isinstance(medium, FormulaIndex | TabulatedIndex):
        raise InputError(f"departure {where}.nd", type(medium).__name__, "a medium that knows how to change")
    lines_um = torch.tensor([LINE_F_UM, LINE_D_UM, LINE_C_UM], dtype=torch.float64)
    n_f, n_d, n_c = medium.index(lines_um).unbind()
    new_nd = n_d + nd
    wanted = (new_nd - 1) / ((n_d - 1) / (n_f - n_c) + vd)  # nF - nC
    stretch = wanted / (n_f - n_c)
    if isinstance(medium, TabulatedIndex):
        return replace(medium, indices=new_nd + stretch * (medium.indices - n_d))
    if medium.squared:
        # The formula gives n^2, which is stretched instead: three steps of Newton end far below rounding.
        middle, at_f, at_c = new_nd**2, n_f**2 - n_d**2, n_c**2 - n_d**2
        for _ in range(3):
            root_f, root_c = (middle + stretch * at_f).sqrt(), (middle + stretch * at_c).sqrt()
            slope = 0.5 * (at_f / root_f - at_c / root_c)
            stretch = stretch - (root_f - root_c - wanted) / slope
        constant = middle - stretch * n_d**2
    else:
        constant = new_nd - stretch * n_d
    powers = medium.powers if 0 in medium.powers else (*medium.powers, 0)
    grown = torch.cat([stretch * medium.power_coefficients, constant.new_zeros(len(powers) - len(medium.powers))])
    at = torch.arange(len(powers)) == powers.index(0)
    return replace(
        medium,
        power_coefficients=torch.where(at, grown + constant, grown),
        powers=powers,
        pole_coefficients=stretch * medium.pole_coefficients,
    )
