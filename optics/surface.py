"""Surfaces: a shape, a clear semi-aperture, the medium behind and the way to the next vertex.

A shape knows its height over the vertex plane and nothing of rays or glass: intersection and refraction are shared
code. All shapes are surfaces of revolution and functions of r^2, which is smooth on the axis where r is not. A new
shape is one class with the members of `Shape`; if it is a conic plus a polynomial in r, `packed` hands it to the
compiled tracer too.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import torch
from torch import Tensor

from psf.errors import InputError

from .glass import Medium


@dataclass(frozen=True, eq=False)
class Packed:
    """A conic plus a polynomial in r, as the compiled tracer takes it.

    Attributes:
        curvature_per_mm: Shape ().
        conic_k: Shape ().
        coefficients: In mm^(1-power), shape (P,).
        powers: Ascending whole numbers from 1, one per coefficient.
        flat: Whether it is a plane by nature, not by its numbers.
    """

    curvature_per_mm: Tensor
    conic_k: Tensor
    coefficients: Tensor
    powers: tuple[int, ...] = ()
    flat: bool = False


class Shape(Protocol):
    """What tracing asks of a shape."""

    def sag(self, r2_mm2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Height over the vertex plane and its slope.

        Args:
            r2_mm2: Squared distance from the axis, shape (...).

        Returns:
            Height in mm, its derivative by r^2 in 1/mm, and a mask that is False where the surface has ended, each
            (...). Numbers behind the end are finite and mean nothing.
        """
        ...

    @property
    def vertex_curvature_per_mm(self) -> Tensor:
        """Curvature at the vertex, r^2 terms included, in 1/mm; shape ()."""
        ...

    @property
    def end_mm(self) -> float:
        """Distance from the axis at which the surface ends (inf if it does not)."""
        ...

    def packed(self) -> Packed | None:
        """The numbers of a conic plus a polynomial in r, or None if the shape is of another kind."""
        ...

    def parameters(self) -> dict[str, Tensor]:
        """The continuous parameters, each of shape ()."""
        ...

    def with_parameters(self, values: Mapping[str, Tensor]) -> "Shape":
        """A shape with some of `parameters` replaced."""
        ...

    def scaled(self, factor: float) -> "Shape":
        """The same shape, `factor` times as large."""
        ...

    def mirrored(self) -> "Shape":
        """The shape as light from the other side meets it (z reversed)."""
        ...

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> "Shape":
        """The shape on another device or in another dtype."""
        ...


def _scalar(value: Tensor | float) -> Tensor:
    return value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)


def _check_factor(factor: float) -> None:
    if not (math.isfinite(factor) and factor > 0):
        raise InputError("factor", factor, "a positive number")


def _conic(c: Tensor, k: Tensor, r2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    under_root = 1 - (1 + k) * c * c * r2
    exists = under_root > 0
    # Replace before the root, not after it: a NaN masked away in the value still poisons the gradient.
    root = torch.where(exists, under_root, 1.0).sqrt()
    return c * r2 / (1 + root), c / (2 * root), exists


class _Shape:
    """What the dataclasses below share: walking over their own fields."""

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, float | int):
                object.__setattr__(self, field.name, value := _scalar(float(value)))
            if not isinstance(value, Tensor):
                continue
            where = f"{type(self).__name__}.{field.name}"
            if not value.is_floating_point():
                raise InputError(where, value.dtype, "a floating dtype")
            expected = 1 if field.name == "coefficients" else 0
            if value.ndim != expected:
                raise InputError(where, f"shape {tuple(value.shape)}", "shape (P,)" if expected else "shape ()")
            if not bool(value.detach().isfinite().all()):
                raise InputError(where, value.detach().tolist(), "finite numbers")

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Self:
        """The shape on another device or in another dtype."""
        moved = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        moved = {n: v.to(device=device, dtype=dtype) if isinstance(v, Tensor) else v for n, v in moved.items()}
        return type(self)(**moved)


@dataclass(frozen=True, eq=False)
class Plane(_Shape):
    """A plane: cover glass, filter, aperture stop."""

    def sag(self, r2_mm2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Shape.sag`: zero everywhere."""
        zero = torch.zeros_like(r2_mm2)
        return zero, zero, torch.ones_like(r2_mm2, dtype=torch.bool)

    @property
    def vertex_curvature_per_mm(self) -> Tensor:
        """Zero."""
        return torch.zeros((), dtype=torch.float64)

    @property
    def end_mm(self) -> float:
        """A plane has no end."""
        return math.inf

    def packed(self) -> Packed:
        """See `Shape.packed`."""
        zero = torch.zeros((), dtype=torch.float64)
        return Packed(zero, zero, zero, flat=True)

    def parameters(self) -> dict[str, Tensor]:
        """None: where a plane stands is the surface's business."""
        return {}

    def with_parameters(self, values: Mapping[str, Tensor]) -> "Plane":
        """See `Shape.with_parameters`."""
        return _replaced(self, values)

    def scaled(self, factor: float) -> "Plane":
        """Itself."""
        _check_factor(factor)
        return self

    def mirrored(self) -> "Plane":
        """Itself."""
        return self


@dataclass(frozen=True, eq=False)
class Conic(_Shape):
    """A conic of revolution, z = c r^2 / (1 + sqrt(1 - (1 + k) c^2 r^2)); a sphere where k = 0.

    Attributes:
        curvature_per_mm: c, 1 / radius, 0 for a plane; shape ().
        conic_k: k, 0 sphere, -1 paraboloid, below -1 hyperboloid; shape ().
    """

    curvature_per_mm: Tensor
    conic_k: Tensor

    def sag(self, r2_mm2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Shape.sag`."""
        return _conic(self.curvature_per_mm, self.conic_k, r2_mm2)

    @property
    def vertex_curvature_per_mm(self) -> Tensor:
        """See `Shape.vertex_curvature_per_mm`."""
        return self.curvature_per_mm

    @property
    def end_mm(self) -> float:
        """See `Shape.end_mm`."""
        return _conic_end_mm(self.curvature_per_mm, self.conic_k)

    def packed(self) -> Packed:
        """See `Shape.packed`."""
        return Packed(self.curvature_per_mm, self.conic_k, self.curvature_per_mm)

    def parameters(self) -> dict[str, Tensor]:
        """Curvature in 1/mm and conic constant."""
        return {"curvature_per_mm": self.curvature_per_mm, "conic_k": self.conic_k}

    def with_parameters(self, values: Mapping[str, Tensor]) -> "Conic":
        """See `Shape.with_parameters`."""
        return _replaced(self, values)

    def scaled(self, factor: float) -> "Conic":
        """See `Shape.scaled`."""
        _check_factor(factor)
        return Conic(self.curvature_per_mm / factor, self.conic_k)

    def mirrored(self) -> "Conic":
        """See `Shape.mirrored`."""
        return Conic(-self.curvature_per_mm, self.conic_k)


class _Asphere(_Shape):
    """A conic plus a polynomial in r; the subclasses say which powers."""

    curvature_per_mm: Tensor
    conic_k: Tensor
    coefficients: Tensor

    if TYPE_CHECKING:  # a property here would leave the subclass that has a field of this name without a place for it

        @property
        def powers(self) -> tuple[int, ...]: ...

    @property
    def vertex_curvature_per_mm(self) -> Tensor:
        """See `Shape.vertex_curvature_per_mm`: c + 2 a_2."""
        second = [2 * self.coefficients[i] for i, power in enumerate(self.powers) if power == 2]
        return self.curvature_per_mm + sum(second)

    @property
    def end_mm(self) -> float:
        """See `Shape.end_mm`: an asphere ends where its conic does."""
        return _conic_end_mm(self.curvature_per_mm, self.conic_k)

    def packed(self) -> Packed:
        """See `Shape.packed`."""
        return Packed(self.curvature_per_mm, self.conic_k, self.coefficients, self.powers)

    def parameters(self) -> dict[str, Tensor]:
        """Curvature in 1/mm, conic constant, and `asphere_P` in mm^(1-P) for every power P."""
        terms = {f"asphere_{power}": self.coefficients[i] for i, power in enumerate(self.powers)}
        return {"curvature_per_mm": self.curvature_per_mm, "conic_k": self.conic_k, **terms}

    def with_parameters(self, values: Mapping[str, Tensor]) -> Self:
        """See `Shape.with_parameters`."""
        new = {**self.parameters(), **_known(self, values)}
        terms = [new[f"asphere_{power}"] for power in self.powers]
        coefficients = torch.stack(terms) if terms else self.coefficients
        c, k = new["curvature_per_mm"], new["conic_k"]
        return replace(self, curvature_per_mm=c, conic_k=k, coefficients=coefficients)  # type: ignore[type-var]

    def scaled(self, factor: float) -> Self:
        """See `Shape.scaled`: a_p goes with factor^(1 - p)."""
        _check_factor(factor)
        scale = self.coefficients.new_tensor([factor ** (1 - p) for p in self.powers])
        new = {"curvature_per_mm": self.curvature_per_mm / factor, "coefficients": self.coefficients * scale}
        return replace(self, **new)  # type: ignore[type-var]

    def mirrored(self) -> Self:
        """See `Shape.mirrored`."""
        new = {"curvature_per_mm": -self.curvature_per_mm, "coefficients": -self.coefficients}
        return replace(self, **new)  # type: ignore[type-var]


@dataclass(frozen=True, eq=False)
class EvenAsphere(_Asphere):
    """A conic plus even powers, a_2 r^2 + a_4 r^4 + ..., any number of them.

    Attributes:
        curvature_per_mm: Curvature of the conic; shape (). With an r^2 term the vertex curvature is c + 2 a_2.
        conic_k: Conic constant; shape ().
        coefficients: a_2, a_4, a_6 ... in mm^(1-power); shape (P,).
    """

    curvature_per_mm: Tensor
    conic_k: Tensor
    coefficients: Tensor

    @property
    def powers(self) -> tuple[int, ...]:
        """2, 4, 6 ..."""
        return tuple(range(2, 2 * len(self.coefficients) + 1, 2))

    def sag(self, r2_mm2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Shape.sag`."""
        z, slope, exists = _conic(self.curvature_per_mm, self.conic_k, r2_mm2)
        # Horner for value and derivative at once.
        value, derivative = torch.zeros_like(r2_mm2), torch.zeros_like(r2_mm2)
        for a in self.coefficients.flip(0):
            derivative = derivative * r2_mm2 + value
            value = value * r2_mm2 + a
        return z + value * r2_mm2, slope + derivative * r2_mm2 + value, exists


@dataclass(frozen=True, eq=False)
class PolynomialAsphere(_Asphere):
    """A conic plus any whole powers of r, odd ones among them.

    Attributes:
        curvature_per_mm: Curvature of the conic; shape ().
        conic_k: Conic constant; shape ().
        coefficients: One per power, in mm^(1-power); shape (P,).
        powers: Ascending whole numbers from 1; r^1 makes a cone, whose slope on the axis is taken as 0.
    """

    curvature_per_mm: Tensor
    conic_k: Tensor
    coefficients: Tensor
    powers: tuple[int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.powers) != len(self.coefficients) or list(self.powers) != sorted(set(self.powers)):
            found = f"{self.powers} for {len(self.coefficients)} coefficients"
            raise InputError("PolynomialAsphere.powers", found, "one ascending power per coefficient")
        if any(power < 1 or power != int(power) for power in self.powers):
            raise InputError("PolynomialAsphere.powers", self.powers, "whole numbers from 1")

    def sag(self, r2_mm2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Shape.sag`."""
        z, slope, exists = _conic(self.curvature_per_mm, self.conic_k, r2_mm2)
        # Keeps derivatives by r finite on the axis; far below every rounding, yet r^-3 of it does not overflow.
        r = (r2_mm2 + (1e-30 if r2_mm2.dtype == torch.float64 else 1e-24)).sqrt()
        for i, power in enumerate(self.powers):
            z = z + self.coefficients[i] * r**power
            slope = slope + self.coefficients[i] * (0.5 * power) * r ** (power - 2)
        return z, slope, exists


def _conic_end_mm(c: Tensor, k: Tensor) -> float:
    q = float(((1 + k) * c * c).detach())
    return 1 / math.sqrt(q) if q > 0 else math.inf


def _known(shape: Shape | _Shape, values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    for name in values:
        if name not in shape.parameters():  # type: ignore[union-attr]
            known = ", ".join(shape.parameters()) or "none"  # type: ignore[union-attr]
            raise InputError(f"{type(shape).__name__} parameter", repr(name), f"one of: {known}")
    return values


_S = TypeVar("_S", "Plane", "Conic")


def _replaced(shape: _S, values: Mapping[str, Tensor]) -> _S:
    return replace(shape, **dict(_known(shape, values)))


@dataclass(frozen=True, eq=False)
class Surface:
    """One surface of a lens.

    Attributes:
        shape: Its form.
        semi_aperture_mm: Half the clear diameter; light outside it is lost. Shape ().
        thickness_mm: From this vertex to the next one, for the last surface to the image plane. Shape ().
        medium: What lies behind it.
    """

    shape: Shape
    semi_aperture_mm: Tensor
    thickness_mm: Tensor
    medium: Medium

    def __post_init__(self) -> None:
        for name in ("semi_aperture_mm", "thickness_mm"):
            value = _scalar(getattr(self, name))
            object.__setattr__(self, name, value)
            if value.shape != () or not bool(value.detach().isfinite()):
                raise InputError(f"Surface.{name}", value.detach().tolist(), "one finite number")
        if float(self.semi_aperture_mm.detach()) <= 0:
            raise InputError("Surface.semi_aperture_mm", float(self.semi_aperture_mm.detach()), "a positive number")

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> "Surface":
        """The surface on another device or in another dtype."""
        semi, thickness = (t.to(device=device, dtype=dtype) for t in (self.semi_aperture_mm, self.thickness_mm))
        return Surface(self.shape.to(device, dtype), semi, thickness, self.medium.to(device, dtype))

    def parameters(self) -> dict[str, Tensor]:
        """Every continuous parameter: those of the shape, `thickness_mm`, `semi_aperture_mm`, `medium.NAME`."""
        own = {"thickness_mm": self.thickness_mm, "semi_aperture_mm": self.semi_aperture_mm}
        return {**self.shape.parameters(), **own, **{f"medium.{n}": v for n, v in self.medium.parameters().items()}}

    def with_parameters(self, values: Mapping[str, Tensor]) -> "Surface":
        """A surface with some of `parameters` replaced."""
        own = {n: v for n, v in values.items() if n in ("thickness_mm", "semi_aperture_mm")}
        medium = {n.removeprefix("medium."): v for n, v in values.items() if n.startswith("medium.")}
        shape = {n: v for n, v in values.items() if n not in own and not n.startswith("medium.")}
        return replace(
            self,
            shape=self.shape.with_parameters(shape) if shape else self.shape,
            medium=self.medium.with_parameters(medium) if medium else self.medium,
            **own,
        )
