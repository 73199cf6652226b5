"""Which numbers of a lens are free: chosen by name, with bounds, and others that follow them.

free = choose_variables(lens, ["surface*.curvature_per_mm", Variable("surface*.thickness_mm", low=0.1), FOCUS])
free.apply(vector)        # a lens, with gradients
free.read(lens)           # the vector of a lens

Names are those of `lens.parameters()`, where * stands for anything; `focus_mm` is the way from the last surface to the
sensor, which "surface*.thickness_mm" leaves out. In a vector every number counts in steps of its own size, so that one
step of each changes the picture by roughly as much.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from psf.errors import InputError

from .lens import Lens

FOCUS = "focus_mm"
_THICKNESS, _APERTURE = "thickness_mm", "semi_aperture_mm"
# Steps of a vector, against the semi-aperture of the surface: height at the rim (curvature, conic, asphere terms) and
# thickness; and of an index or another number of a medium, against itself.
_HEIGHT_STEP, _THICKNESS_STEP, _MEDIUM_STEP = 1e-3, 1e-2, 1e-3


@dataclass(frozen=True)
class Pickup:
    """A parameter that follows a free one: its value is `factor` times that one's, plus `offset`.

    Attributes:
        name: A name of `lens.parameters()` or "focus_mm".
        factor: -1 for the other side of a symmetric lens.
        offset: In what the parameter counts in.
    """

    name: str
    factor: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.factor) and math.isfinite(self.offset)):
            raise InputError(f"Pickup {self.name}", (self.factor, self.offset), "a finite factor and offset")


@dataclass(frozen=True)
class Variable:
    """A free parameter, or several if the name has a *.

    Attributes:
        name: A name of `lens.parameters()`, "focus_mm", or a pattern such as "surface*.curvature_per_mm".
        low: Smallest value allowed, in what the parameter counts in.
        high: Largest value allowed.
        step: What counts as one in a vector; by default chosen by what it does to the surface.
        pickups: Parameters that follow it (not with a pattern).
    """

    name: str
    low: float = -math.inf
    high: float = math.inf
    step: float | None = None
    pickups: tuple[Pickup, ...] = ()

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise InputError(f"bounds of {self.name}", f"{self.low:g} to {self.high:g}", "a low below the high")
        if self.step is not None and not (math.isfinite(self.step) and self.step > 0):
            raise InputError(f"step of {self.name}", self.step, "a positive number")


@dataclass(frozen=True, eq=False)
class Variables:
    """The free parameters of a lens; made by `choose_variables`.

    Attributes:
        lens: The lens whose other numbers stay.
        items: One per free parameter, P of them, names without patterns, every step known.
    """

    lens: Lens
    items: tuple[Variable, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the free parameters, P."""
        return tuple(item.name for item in self.items)

    @property
    def steps(self) -> Tensor:
        """What counts as one, shape (P,)."""
        return self._column([item.step or 1.0 for item in self.items])

    @property
    def low(self) -> Tensor:
        """Lower bounds in steps, shape (P,)."""
        return self._column([item.low for item in self.items]) / self.steps

    @property
    def high(self) -> Tensor:
        """Upper bounds in steps, shape (P,)."""
        return self._column([item.high for item in self.items]) / self.steps

    def read(self, lens: Lens | None = None) -> Tensor:
        """The vector (P,) of a lens with these parameters, by default of the own one; without gradients."""
        lens = self.lens if lens is None else lens
        parameters = lens.parameters()
        values = []
        for item in self.items:
            key = _key(self.lens, item.name)
            if key not in parameters:
                raise InputError(f"lens {lens.name}", f"no {key}", "the parameters that are free")
            values.append(parameters[key].detach())
        return torch.stack(values) / self.steps

    def to_values(self, vector: Tensor) -> dict[str, Tensor]:
        """Parameters by their name in the lens, the ones that follow among them.

        Args:
            vector: In steps, shape (P,); keeps its gradient.
        """
        if vector.shape != (len(self.items),):
            raise InputError("vector", f"shape {tuple(vector.shape)}", f"shape ({len(self.items)},)")
        values: dict[str, Tensor] = {}
        for item, value in zip(self.items, (vector * self.steps).unbind(), strict=True):
            values[_key(self.lens, item.name)] = value
            for pickup in item.pickups:
                values[_key(self.lens, pickup.name)] = pickup.factor * value + pickup.offset
        return values

    def apply(self, vector: Tensor) -> Lens:
        """The lens with these numbers.

        Args:
            vector: In steps, shape (P,); the lens carries its gradient.

        Raises:
            InputError: Another shape, or numbers that no lens can have.
        """
        return self.lens.with_parameters(self.to_values(vector))

    def tabulate(self, *lenses: Lens) -> dict[str, tuple[float, ...]]:
        """The value of every free parameter in some lenses, by name."""
        columns = [(self.read(lens) * self.steps).tolist() for lens in lenses]
        return dict(zip(self.names, zip(*columns, strict=True), strict=True))

    def _column(self, values: Sequence[float]) -> Tensor:
        return torch.tensor(list(values), dtype=torch.float64).to(self.lens.surfaces[-1].thickness_mm.detach())


def choose_variables(lens: Lens, chosen: Iterable[Variable | str]) -> Variables:
    """Free parameters of a lens.

    Args:
        lens: The lens, which lies within all bounds.
        chosen: Names, patterns or `Variable`s. Where several match a parameter, the last one counts.

    Raises:
        InputError: None are chosen, a name that the lens does not have, apertures (which only mask), a lens outside the
            bounds, a parameter that is free and follows another one at once.
    """
    several = [chosen] if isinstance(chosen, str) else chosen
    wanted = [Variable(one) if isinstance(one, str) else one for one in several]
    if not wanted:
        raise InputError("variables", "no free parameter", "at least one name of lens.parameters()")
    parameters = lens.parameters()
    items: dict[str, Variable] = {}
    for variable in wanted:
        for name in _matching(lens, parameters, variable):
            value = float(parameters[_key(lens, name)].detach())
            if not variable.low <= value <= variable.high:
                expected = f"a start within its bounds, {variable.low:g} to {variable.high:g}"
                raise InputError(f"parameter {name} of lens {lens.name}", f"{value:g}", expected)
            items.pop(name, None)
            items[name] = replace(variable, name=name, step=variable.step or _step(lens, parameters, name))
    followers = [pickup.name for item in items.values() for pickup in item.pickups]
    for name in followers:
        if not (name == FOCUS or name in parameters) or name.endswith(_APERTURE):
            raise InputError(f"pickup in lens {lens.name}", repr(name), "a name of lens.parameters(), not an aperture")
    taken = [_key(lens, name) for name in (*items, *followers)]
    for key in taken:
        if taken.count(key) > 1:
            raise InputError(f"parameter {key} of lens {lens.name}", "chosen twice", "free, or following one free one")
    return Variables(lens, tuple(items.values()))


def _key(lens: Lens, name: str) -> str:
    return f"surface{len(lens.surfaces)}.{_THICKNESS}" if name == FOCUS else name


def _matching(lens: Lens, parameters: Mapping[str, Tensor], variable: Variable) -> list[str]:
    name, last = variable.name, _key(lens, FOCUS)
    if name in (FOCUS, last):
        return [FOCUS]
    plain = "*" not in name
    found = [n for n in parameters if n == name or (not plain and fnmatchcase(n, name) and n != last)]
    usable = [n for n in found if not n.endswith(_APERTURE) and parameters[n].ndim == 0]
    if not usable:
        kinds = sorted({n.partition(".")[2] for n in parameters if not n.endswith(_APERTURE)})
        expected = f'"{FOCUS}" or surfaceN. with one of: {", ".join(kinds)}'
        if found:
            expected = "a single number; apertures only mask, and have no gradient"
        raise InputError(f"free parameter of lens {lens.name}", repr(name), expected)
    if variable.pickups and len(usable) > 1:
        raise InputError(f"pickups of {name}", f"{len(usable)} parameters to follow", "a name without *")
    return usable


def _step(lens: Lens, parameters: Mapping[str, Tensor], name: str) -> float:
    key = _key(lens, name)
    surface, _, own = key.partition(".")
    semi = float(parameters[f"{surface}.{_APERTURE}"].detach())
    value = abs(float(parameters[key].detach()))
    height = _HEIGHT_STEP * semi
    if own == _THICKNESS:
        return _THICKNESS_STEP * semi
    if own == "curvature_per_mm":
        return 2 * height / semi**2
    if own.startswith("asphere_"):
        return height / semi ** int(own.removeprefix("asphere_"))
    if own == "conic_k":
        # k c^3 r^4 / 8 is its height. Where a surface is almost flat no k does anything.
        curvature = abs(float(parameters[f"{surface}.curvature_per_mm"].detach()))
        return min(8 * height / (curvature * semi) ** 3 / semi, 1.0 + value) if curvature else 1.0 + value
    return _MEDIUM_STEP * max(value, 1.0)
