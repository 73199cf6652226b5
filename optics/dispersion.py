"""Dispersion as curves through data: catalogue formulas and tables, and what every medium of tensors shares."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from psf.errors import InputError

from .formulas import FORMULAS


class TensorMedium:
    """What the media below share: moving and replacing their tensors, found by field name, is written once."""

    _parameter_names: ClassVar[tuple[str, ...]] = ()
    _moved_names: ClassVar[tuple[str, ...]] = ()  # tensors that are no parameters

    def parameters(self) -> dict[str, Tensor]:
        """The continuous numbers that make this medium, by name; groups without an entry are left out."""
        found = {name: getattr(self, name) for name in self._parameter_names}
        return {name: value for name, value in found.items() if value.numel()}

    def with_parameters(self, changes: Mapping[str, Tensor]) -> Self:
        """The same medium with some of its parameters replaced.

        Args:
            changes: New values by name; each has the shape that `parameters()` shows.
        """
        own = self.parameters()
        for name, value in changes.items():
            where = f"{type(self).__name__}.{name}"
            if name not in own:
                raise InputError(where, "no such parameter", f"one of {list(own)}")
            if value.shape != own[name].shape:
                raise InputError(where, f"shape {tuple(value.shape)}", f"shape {tuple(own[name].shape)}")
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """The same medium on another device or in another precision; None leaves that as it is."""
        names = self._parameter_names + self._moved_names
        moved = {name: getattr(self, name).to(device=device, dtype=dtype) for name in names}
        return dataclasses.replace(self, **moved)  # type: ignore[type-var]


@dataclass(frozen=True, eq=False)
class FormulaIndex(TensorMedium):
    """A dispersion formula: n = sqrt(s) if `squared`, else n = s, with L the wavelength in um.

        s(L) = sum_i a_i L^p_i + sum_j b_j L^q_j / (L^2 - c_j)^m_j

    Made by `from_coefficients` from a formula's name and the numbers of a catalogue.

    Attributes:
        name: For messages.
        power_coefficients: a, shape (I,).
        powers: p, I numbers.
        pole_coefficients: b, shape (J,).
        poles_um2: c, shape (J,).
        pole_powers: The pairs (q, m), J of them.
        squared: Whether the sum is n^2.
        range_um: Valid wavelengths or None.
    """

    name: str
    power_coefficients: Tensor
    powers: tuple[float, ...]
    pole_coefficients: Tensor
    poles_um2: Tensor
    pole_powers: tuple[tuple[int, int], ...]
    squared: bool
    range_um: tuple[float, float] | None = None

    _parameter_names: ClassVar[tuple[str, ...]] = ("power_coefficients", "pole_coefficients", "poles_um2")

    def __post_init__(self) -> None:
        check_tensor("FormulaIndex.power_coefficients", self.power_coefficients, (len(self.powers),))
        check_tensor("FormulaIndex.pole_coefficients", self.pole_coefficients, (len(self.pole_powers),))
        check_tensor("FormulaIndex.poles_um2", self.poles_um2, (len(self.pole_powers),))
        check_range_pair(self.name, self.range_um)

    @classmethod
    def from_coefficients(
        cls,
        formula: str,
        coefficients: Sequence[float] | Tensor,
        *,
        name: str,
        range_um: tuple[float, float] | None = None,
        where: str = "FormulaIndex",
    ) -> Self:
        """A medium from a formula's name and its coefficients, in the order of the catalogues.

        Args:
            formula: A key of `formulas.FORMULAS`, which says what each means: "schott", "sellmeier1", "rii2", ...
            coefficients: Shape (T,); numbers become float64, a tensor keeps its type and gradient. Zeros beyond a
                formula's own number of coefficients (files pad with them) are dropped.
            name: For messages.
            range_um: Valid wavelengths or None.
            where: What an error message begins with.
        """
        if formula not in FORMULAS:
            raise InputError(f"{where}.formula", repr(formula), f"one of {', '.join(FORMULAS)}")
        terms, count = FORMULAS[formula]
        at = f"{where}.coefficients"
        if isinstance(coefficients, Tensor):
            c = coefficients
        else:
            c = torch.tensor([float(value) for value in coefficients], dtype=torch.float64)
        if c.dim() != 1 or not c.is_floating_point():
            raise InputError(at, f"shape {tuple(c.shape)} of {c.dtype}", "a list of floating-point numbers")
        if not bool(c.isfinite().all()):
            raise InputError(at, c.tolist(), "finite numbers")
        if count is not None and (len(c) < count or bool((c[count:] != 0).any())):
            raise InputError(at, f"{len(c)} numbers", f"{count} of them for the formula {formula}")
        if count is None and len(c) % 2 == 0:
            raise InputError(at, f"{len(c)} numbers", f"an odd number of them for the formula {formula}")
        return cls(name, *terms(c[:count]), range_um)

    def index(self, wavelength_um: Tensor) -> Tensor:
        """Refractive index at `wavelength_um`, both of shape (...).

        Far outside `range_um` the sum may be negative, n does not exist and is NaN: ask `check_range` first.
        """
        check_wavelength(wavelength_um)
        total = torch.zeros_like(wavelength_um)
        for a, p in zip(self.power_coefficients.unbind(), self.powers, strict=True):
            total = total + (a * wavelength_um**p if p else a)
        square_um2 = wavelength_um**2
        poles = zip(self.pole_coefficients.unbind(), self.poles_um2.unbind(), self.pole_powers, strict=True)
        for b, c, (q, m) in poles:
            numerator = b * square_um2 if q == 2 else b * wavelength_um**q
            total = total + numerator / (square_um2 - c) ** m
        return total.sqrt() if self.squared else total

    def to_entry(self) -> dict[str, Any]:
        """This medium as an entry of `media` in a lens file: the sum itself, whatever formula it came from."""
        entry: dict[str, Any] = {"model": "sum"}
        entry |= {name: getattr(self, name).detach().tolist() for name in self._parameter_names}
        entry |= {"powers": list(self.powers), "pole_powers": [list(pair) for pair in self.pole_powers]}
        entry |= {"squared": self.squared}
        return entry | range_entry(self.range_um)


@dataclass(frozen=True, eq=False)
class TabulatedIndex(TensorMedium):
    """An index known at some wavelengths: a cubic spline in 1 / L^2, in which the index is almost a straight line.

    The ends are "not-a-knot" (the outer two intervals share one cubic); two points give Cauchy's line, three the
    parabola. Outside the table the outer cubics go on.

    Attributes:
        name: For messages.
        wavelengths_um: Ascending, shape (T,), at least two.
        indices: Shape (T,).
        range_um: Valid wavelengths; by default those of the table.
    """

    name: str
    wavelengths_um: Tensor
    indices: Tensor
    range_um: tuple[float, float] | None = None

    _parameter_names: ClassVar[tuple[str, ...]] = ("indices",)
    _moved_names: ClassVar[tuple[str, ...]] = ("wavelengths_um",)

    def __post_init__(self) -> None:
        where = "TabulatedIndex.wavelengths_um"
        if self.wavelengths_um.dim() != 1 or len(self.wavelengths_um) < 2:
            raise InputError(where, f"shape {tuple(self.wavelengths_um.shape)}", "shape (T,) with T of at least 2")
        check_tensor("TabulatedIndex.indices", self.indices, tuple(self.wavelengths_um.shape))
        if not bool((self.wavelengths_um.diff() > 0).all()) or not bool(self.wavelengths_um[0] > 0):
            raise InputError(where, self.wavelengths_um.tolist(), "positive numbers in ascending order")
        if self.range_um is None:
            ends = float(self.wavelengths_um[0]), float(self.wavelengths_um[-1])
            object.__setattr__(self, "range_um", ends)
        check_range_pair(self.name, self.range_um)

    def index(self, wavelength_um: Tensor) -> Tensor:
        """Refractive index at `wavelength_um`, both of shape (...)."""
        check_wavelength(wavelength_um)
        knots, values = self.wavelengths_um.flip(0) ** -2, self.indices.flip(0)
        at = wavelength_um**-2
        if len(knots) < 4:
            return _newton_polynomial(knots, values, at)
        bends = _spline_bends(knots, values)
        left = (torch.searchsorted(knots, at.detach().contiguous()) - 1).clamp(0, len(knots) - 2)
        step = knots[left + 1] - knots[left]
        t = (at - knots[left]) / step
        s = 1 - t
        line = s * values[left] + t * values[left + 1]
        return line + step**2 / 6 * ((s**3 - s) * bends[left] + (t**3 - t) * bends[left + 1])

    def to_entry(self) -> dict[str, Any]:
        """This medium as an entry of `media` in a lens file."""
        wavelengths_um, indices = self.wavelengths_um.tolist(), self.indices.detach().tolist()
        return {"model": "tabulated", "wavelengths_um": wavelengths_um, "indices": indices} | range_entry(self.range_um)


def _newton_polynomial(knots: Tensor, values: Tensor, at: Tensor) -> Tensor:
    """The polynomial through two or three points by divided differences; shape (...) of `at`."""
    slopes = values.diff() / knots.diff()
    result = values[0] + slopes[0] * (at - knots[0])
    if len(knots) == 2:
        return result
    return result + (slopes[1] - slopes[0]) / (knots[2] - knots[0]) * (at - knots[0]) * (at - knots[1])


def _spline_bends(knots: Tensor, values: Tensor) -> Tensor:
    """Second derivatives (T,) of the not-a-knot cubic spline at its T >= 4 knots."""
    step = knots.diff()
    system = torch.zeros(len(knots), len(knots), dtype=knots.dtype, device=knots.device)
    inner = torch.arange(1, len(knots) - 1, device=knots.device)
    system[inner, inner - 1], system[inner, inner + 1] = step[:-1], step[1:]
    system[inner, inner] = 2 * (step[:-1] + step[1:])
    # Not-a-knot: the third derivative does not jump at the second knot from either end.
    system[0, 0], system[0, 1], system[0, 2] = step[1], -(step[0] + step[1]), step[0]
    system[-1, -1], system[-1, -2], system[-1, -3] = step[-2], -(step[-1] + step[-2]), step[-1]
    turn = (values.diff() / step).diff() * 6
    bends: Tensor = torch.linalg.solve(system, torch.cat([turn.new_zeros(1), turn, turn.new_zeros(1)]))
    return bends


def check_wavelength(wavelength_um: Tensor) -> None:
    """Refuse what is no floating-point tensor (any shape); values are the caller's (a look would stall a GPU)."""
    if not isinstance(wavelength_um, Tensor) or not wavelength_um.is_floating_point():
        raise InputError("wavelength_um", type(wavelength_um).__name__, "a floating-point tensor")


def check_tensor(where: str, value: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse what is no floating-point tensor of that shape."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        raise InputError(where, type(value).__name__, "a floating-point tensor")
    if tuple(value.shape) != shape:
        raise InputError(where, f"shape {tuple(value.shape)}", f"shape {shape}")


def check_range_pair(name: str, range_um: tuple[float, float] | None) -> None:
    """Refuse a range that is neither None nor two ascending positive wavelengths."""
    if range_um is not None and not (len(range_um) == 2 and 0 < range_um[0] < range_um[1]):
        raise InputError(f"{name}: range_um", range_um, "two ascending positive wavelengths in um")


def range_entry(range_um: tuple[float, float] | None) -> dict[str, Any]:
    """The key `range_um` of a medium's entry in a lens file, left out where no range is known."""
    return {} if range_um is None else {"range_um": list(range_um)}
