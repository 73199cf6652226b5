"""Media: refractive index against wavelength. A medium is a value; names are looked up in `catalogue.py`.

Indices are relative to air and wavelengths are those in air, as in every maker's catalogue: air itself is exactly 1.
All the makers' formulas are one class, `FormulaIndex`, and a table of names in `formulas.py`. Where only (nd, Vd) is
known there is `ModelGlass`, where only samples are known `TabulatedIndex`. Lens files describe a medium by an entry of
`media` (`lenses/README.md`): `medium_from_entry` reads one, `to_entry` makes one.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from psf.errors import InputError

from .dispersion import (
    FormulaIndex,
    TabulatedIndex,
    TensorMedium,
    check_range_pair,
    check_tensor,
    check_wavelength,
    range_entry,
)
from .formulas import FORMULAS

__all__ = [
    "AIR",
    "LINE_C_UM",
    "LINE_D_UM",
    "LINE_F_UM",
    "Air",
    "ConstantIndex",
    "FormulaIndex",
    "Medium",
    "ModelGlass",
    "TabulatedIndex",
    "check_range",
    "measure_nd_vd",
    "medium_from_entry",
]

# Fraunhofer lines, as the reference prescriptions and the makers' Vd use them.
LINE_F_UM, LINE_D_UM, LINE_C_UM = 0.4861327, 0.5875618, 0.6562725


@runtime_checkable
class Medium(Protocol):
    """What light travels in: anything with a name, a valid range and an index."""

    @property
    def name(self) -> str:
        """For messages, e.g. "schott/N-BK7"."""
        ...

    @property
    def range_um(self) -> tuple[float, float] | None:
        """Shortest and longest wavelength that the data were made for, or None where nobody says."""
        ...

    def index(self, wavelength_um: Tensor) -> Tensor:
        """Refractive index at `wavelength_um`, both of shape (...)."""
        ...

    def parameters(self) -> dict[str, Tensor]:
        """The continuous numbers that make this medium, by name; empty for air."""
        ...

    def with_parameters(self, changes: Mapping[str, Tensor]) -> "Medium":
        """The same medium with some of `parameters()` replaced."""
        ...

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Medium":
        """The same medium on another device or in another precision."""
        ...

    def to_entry(self) -> dict[str, Any]:
        """This medium as an entry of `media` in a lens file; `medium_from_entry` reads it back to the same numbers."""
        ...


@dataclass(frozen=True, eq=False)
class Air(TensorMedium):
    """Air, by the convention of all prescriptions here: exactly 1 at every wavelength."""

    name: str = "air"
    range_um: tuple[float, float] | None = None

    def index(self, wavelength_um: Tensor) -> Tensor:
        """1 everywhere; shape (...) as `wavelength_um`."""
        check_wavelength(wavelength_um)
        return torch.ones_like(wavelength_um)

    def to_entry(self) -> dict[str, Any]:
        """This medium as an entry of `media` in a lens file."""
        return {"model": "air"}


AIR = Air()


@dataclass(frozen=True, eq=False)
class ConstantIndex(TensorMedium):
    """A medium without dispersion.

    Attributes:
        name: For messages.
        refractive_index: Shape ().
        range_um: Valid wavelengths or None.
    """

    name: str
    refractive_index: Tensor
    range_um: tuple[float, float] | None = None

    _parameter_names: ClassVar[tuple[str, ...]] = ("refractive_index",)

    def __post_init__(self) -> None:
        check_tensor("ConstantIndex.refractive_index", self.refractive_index, ())
        check_range_pair(self.name, self.range_um)

    def index(self, wavelength_um: Tensor) -> Tensor:
        """The constant, in the shape (...) of `wavelength_um`."""
        check_wavelength(wavelength_um)
        return self.refractive_index + torch.zeros_like(wavelength_um)

    def to_entry(self) -> dict[str, Any]:
        """This medium as an entry of `media` in a lens file."""
        return {"model": "constant", "index": float(self.refractive_index.detach())} | range_entry(self.range_um)


@dataclass(frozen=True, eq=False)
class ModelGlass(TensorMedium):
    """A glass of which only nd and Vd are known: n = A + B / L^2 through nd, with nF - nC = (nd - 1) / Vd.

    Two numbers cannot tell how the curve bends. Put in the place of 1,405 catalogue glasses, each with its own nd and
    Vd, the model is off by 5e-5 in the middle case and by 6e-4 or more in one of twenty at F and C; at 436 and 707 nm
    by 3e-4 and 3e-3 (`tools/make_glass_catalogue.py --report` prints this).

    Attributes:
        nd: Index at 587.5618 nm, shape ().
        vd: Abbe number (nd - 1) / (nF - nC), shape ().
        name: For messages.
        range_um: Valid wavelengths or None: a model has none of its own.
    """

    nd: Tensor
    vd: Tensor
    name: str = "model glass"
    range_um: tuple[float, float] | None = None

    _parameter_names: ClassVar[tuple[str, ...]] = ("nd", "vd")

    def __post_init__(self) -> None:
        check_tensor("ModelGlass.nd", self.nd, ())
        check_tensor("ModelGlass.vd", self.vd, ())
        check_range_pair(self.name, self.range_um)

    @classmethod
    def from_numbers(
        cls,
        nd: float,
        vd: float,
        *,
        name: str = "",
        range_um: tuple[float, float] | None = None,
        where: str = "ModelGlass",
    ) -> Self:
        """A model glass from plain numbers, which are checked: 1 < nd < 4 and Vd > 0.

        Args:
            nd: Index at the d line.
            vd: Abbe number.
            name: For messages; by default "nd/Vd" in the digits of the prescriptions.
            range_um: Valid wavelengths or None.
            where: What an error message begins with.
        """
        if not 1 < nd < 4:
            raise InputError(f"{where}.nd", nd, "an index between 1 and 4")
        if not 0 < vd < float("inf"):
            raise InputError(f"{where}.vd", vd, "a positive Abbe number")
        return cls(_float64(nd), _float64(vd), name or f"{nd:.5f}/{vd:.2f}", range_um)

    def cauchy(self) -> tuple[Tensor, Tensor]:
        """A and B in um^2 of n = A + B / L^2, each of shape ()."""
        b_um2 = (self.nd - 1) / self.vd / (LINE_F_UM**-2 - LINE_C_UM**-2)
        return self.nd - b_um2 / LINE_D_UM**2, b_um2

    def index(self, wavelength_um: Tensor) -> Tensor:
        """Refractive index at `wavelength_um`, both of shape (...)."""
        check_wavelength(wavelength_um)
        a, b_um2 = self.cauchy()
        return a + b_um2 / wavelength_um**2

    def to_entry(self) -> dict[str, Any]:
        """This medium as an entry of `media` in a lens file."""
        numbers = {"nd": float(self.nd.detach()), "vd": float(self.vd.detach())}
        return {"model": "nd_vd_cauchy"} | numbers | range_entry(self.range_um)


def check_range(medium: Medium, wavelength_um: Tensor, *, stacklevel: int = 2) -> bool:
    """Warn (`UserWarning`) where a wavelength lies outside the range of a medium's data.

    Args:
        medium: Any medium.
        wavelength_um: Shape (...).
        stacklevel: As in `warnings.warn`, for callers that pass the warning on.

    Returns:
        Whether all wavelengths are inside, or the range is unknown.
    """
    if medium.range_um is None or not wavelength_um.numel():
        return True
    low_um, high_um = medium.range_um
    outside = wavelength_um[(wavelength_um < low_um) | (wavelength_um > high_um)]
    if not outside.numel():
        return True
    listed = ", ".join(f"{value:.7g}" for value in sorted(set(outside.tolist()))[:4])
    warnings.warn(
        f"{medium.name}: wavelength {listed} um lies outside the range of its data, {low_um:.7g} to {high_um:.7g} um",
        UserWarning,
        stacklevel=stacklevel + 1,
    )
    return False


def measure_nd_vd(medium: Medium) -> tuple[Tensor, Tensor]:
    """Index at the d line and Abbe number Vd = (nd - 1) / (nF - nC), each of shape (); air gives 1 and NaN."""
    reference = next(iter(medium.parameters().values()), torch.zeros((), dtype=torch.float64))
    n_f, n_d, n_c = medium.index(reference.new_tensor([LINE_F_UM, LINE_D_UM, LINE_C_UM])).unbind()
    return n_d, (n_d - 1) / (n_f - n_c)


def medium_from_entry(name: str, entry: object, where: str) -> Medium:
    """Make a medium of an entry of `media` in a lens file (its keys: `lenses/README.md`).

    Args:
        name: What the file calls it.
        entry: The parsed JSON; a mapping with `model` and what that model needs.
        where: What an error message begins with: file and field.

    Raises:
        InputError: The entry is no mapping, its model is unknown, a number is missing or not finite, or the index that
            comes out is not the one that `index_at_nm` promises (to 1e-9).
    """
    if not isinstance(entry, Mapping):
        raise InputError(where, repr(entry)[:60], "a JSON object that describes a medium")
    model = entry.get("model", _FORMULA_TEXTS.get(str(entry.get("formula")), entry.get("formula")))
    range_um: tuple[float, float] | None = None
    if entry.get("range_um") is not None:
        ends = _numbers(entry, "range_um", where)
        if len(ends) != 2 or not 0 < ends[0] < ends[1]:
            raise InputError(f"{where}.range_um", ends, "two ascending positive wavelengths in um")
        range_um = ends[0], ends[1]
    medium: Medium
    if model == "air":
        medium = AIR
    elif model == "nd_vd_cauchy":
        nd, vd = _number(entry, "nd", where), _number(entry, "vd", where)
        glass = ModelGlass.from_numbers(nd, vd, name=name, range_um=range_um, where=where)
        for key, value in zip(("cauchy_A", "cauchy_B_um2"), glass.cauchy(), strict=True):
            if key in entry and abs((found := _number(entry, key, where)) - float(value)) > ENTRY_TOLERANCE:
                raise InputError(f"{where}.{key}", found, f"{float(value)!r}, which nd and vd give")
        medium = glass
    elif model == "constant":
        medium = ConstantIndex(name, _float64(_number(entry, "index", where)), range_um)
    elif model == "tabulated":
        wavelengths_um, indices = _numbers(entry, "wavelengths_um", where), _numbers(entry, "indices", where)
        if len(wavelengths_um) != len(indices):
            raise InputError(
                f"{where}.indices", f"{len(indices)} numbers", f"{len(wavelengths_um)}, one per wavelength"
            )
        if len(indices) < 2 or wavelengths_um[0] <= 0 or any(b <= a for a, b in pairwise(wavelengths_um)):
            raise InputError(f"{where}.wavelengths_um", wavelengths_um, "two or more ascending positive wavelengths")
        medium = TabulatedIndex(name, _float64(wavelengths_um), _float64(indices), range_um)
    elif model == "sum":
        medium = _sum_from_entry(name, entry, range_um, where)
    elif isinstance(model, str) and (model == "sellmeier" or model in FORMULAS):
        formula = "rii2" if model == "sellmeier" else model
        numbers = _numbers(entry, "coefficients", where)
        medium = FormulaIndex.from_coefficients(formula, numbers, name=name, range_um=range_um, where=where)
    else:
        known = ", ".join(("air", "nd_vd_cauchy", "constant", "tabulated", "sum", "sellmeier", *FORMULAS))
        raise InputError(f"{where}.model", repr(model)[:60], f"one of {known}")
    _check_indices(medium, entry, where)
    return medium


# What `index_at_nm` and the Cauchy numbers of an entry may be off: 2e-6 waves in a millimetre of glass.
ENTRY_TOLERANCE = 1e-9

# Entries may leave out `model` if they say one of these, as the first lens files do beside it.
_FORMULA_TEXTS = {
    "n = A + B/lambda_um^2 through nd with nF-nC = (nd-1)/Vd": "nd_vd_cauchy",
    "n^2 = a0 + a1 L^2 + a2 L^-2 + a3 L^-4 + a4 L^-6 + a5 L^-8, L in um": "schott",
    "sellmeier: n^2 = 1 + c0 + sum c_(2j-1) L^2/(L^2 - c_(2j)), L in um": "sellmeier",
}


def _sum_from_entry(
    name: str, entry: Mapping[str, Any], range_um: tuple[float, float] | None, where: str
) -> FormulaIndex:
    powers, pairs = _numbers(entry, "powers", where), entry.get("pole_powers")
    if not isinstance(pairs, list) or not all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(power, int) for power in pair) for pair in pairs
    ):
        raise InputError(f"{where}.pole_powers", repr(pairs)[:60], "a list of pairs of whole numbers")
    if not isinstance(squared := entry.get("squared"), bool):
        raise InputError(f"{where}.squared", repr(squared), "true or false")
    tensors = []
    for key, count in (
        ("power_coefficients", len(powers)),
        ("pole_coefficients", len(pairs)),
        ("poles_um2", len(pairs)),
    ):
        if len(numbers := _numbers(entry, key, where)) != count:
            raise InputError(f"{where}.{key}", f"{len(numbers)} numbers", f"{count} of them, one per power")
        tensors.append(_float64(numbers))
    pole_powers = tuple((pair[0], pair[1]) for pair in pairs)
    return FormulaIndex(name, tensors[0], tuple(powers), tensors[1], tensors[2], pole_powers, squared, range_um)


def _check_indices(medium: Medium, entry: Mapping[str, Any], where: str) -> None:
    """The index exists where the medium is used, and is what the entry promises."""
    promised = entry.get("index_at_nm", {})
    if not isinstance(promised, Mapping):
        raise InputError(f"{where}.index_at_nm", repr(promised)[:60], 'an object such as {"587.5618": 1.5168}')
    lines_um = (LINE_F_UM, LINE_D_UM, LINE_C_UM) if medium.range_um is None else medium.range_um
    for line_um, index in zip(lines_um, medium.index(_float64(list(lines_um))).tolist(), strict=True):
        if not 1 <= index <= 5:
            raise InputError(where, f"index {index:.6g} at {line_um:.7g} um", "coefficients that give 1 to 5")
    for key in promised:
        try:
            wavelength_um = 1e-3 * float(key)
        except ValueError:
            raise InputError(f"{where}.index_at_nm", repr(key), "wavelengths in nm as keys") from None
        index, found = float(medium.index(_float64(wavelength_um))), _number(promised, key, f"{where}.index_at_nm")
        if not abs(index - found) <= ENTRY_TOLERANCE:
            raise InputError(f"{where}.index_at_nm[{key!r}]", found, f"{index!r}, which the coefficients give")


def _float64(value: float | list[float]) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def _number(entry: Mapping[str, Any], key: str, where: str) -> float:
    value = entry.get(key)
    # The bound also keeps out whole numbers that no float can hold, which JSON allows.
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e300 < value < 1e300:
        raise InputError(f"{where}.{key}", "nothing" if key not in entry else repr(value)[:60], "a finite number")
    return float(value)


def _numbers(entry: Mapping[str, Any], key: str, where: str) -> list[float]:
    values = entry.get(key)
    if not isinstance(values, list):
        raise InputError(f"{where}.{key}", "nothing" if key not in entry else repr(values)[:60], "a list of numbers")
    return [_number({f"{key}[{i}]": value}, f"{key}[{i}]", where) for i, value in enumerate(values)]
