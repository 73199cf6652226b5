"""Rays: where light starts, where it goes, and what became of it."""

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor

from psf.errors import InputError


class Fate(IntEnum):
    """What became of a ray."""

    ALIVE = 0
    CLIPPED = 1  # met the surface outside its clear aperture
    MISSED = 2  # no crossing with the surface
    TOTAL_REFLECTION = 3
    NOT_CONVERGED = 4  # a crossing may exist, but none was found to tolerance

    @property
    def words(self) -> str:
        """What happened, as words that go on with the surface's number: "clipped by the aperture of surface"."""
        return _WORDS[self]


_WORDS = {
    Fate.ALIVE: "alive behind surface",
    Fate.CLIPPED: "clipped by the aperture of surface",
    Fate.MISSED: "past surface",
    Fate.TOTAL_REFLECTION: "totally reflected at surface",
    Fate.NOT_CONVERGED: "without a crossing to tolerance at surface",
}


@dataclass(frozen=True)
class Loss:
    """Rays that one surface took for one reason; as a text, "12 rays clipped by the aperture of surface 3".

    Attributes:
        surface: Its number, from 1.
        why: What became of them.
        count: How many.
    """

    surface: int
    why: Fate
    count: int

    def __str__(self) -> str:
        return f"{self.count} ray{'s' * (self.count != 1)} {self.why.words} {self.surface}"


@dataclass(frozen=True, eq=False)
class Rays:
    """Rays in the medium in front of a lens.

    Attributes:
        position_mm: A point on each ray, lens frame; shape (..., 3).
        direction: Unit vectors, shape (..., 3).
        wavelength_um: Vacuum wavelength, shape (...), or () for all.
    """

    position_mm: Tensor
    direction: Tensor
    wavelength_um: Tensor

    def __post_init__(self) -> None:
        if not isinstance(self.wavelength_um, Tensor):
            object.__setattr__(self, "wavelength_um", torch.as_tensor(self.wavelength_um, dtype=self.position_mm.dtype))
        for name in ("position_mm", "direction"):
            value = getattr(self, name)
            if value.ndim < 1 or value.shape[-1] != 3:
                raise InputError(f"Rays.{name}", f"shape {tuple(value.shape)}", "shape (..., 3)")
        if not self.position_mm.is_floating_point():
            raise InputError("Rays.position_mm", self.position_mm.dtype, "a floating dtype")
        if self.position_mm.shape != self.direction.shape:
            found = f"shape {tuple(self.direction.shape)}"
            raise InputError("Rays.direction", found, f"the shape of position_mm, {tuple(self.position_mm.shape)}")
        if self.position_mm.dtype != self.direction.dtype:
            raise InputError(
                "Rays.direction", self.direction.dtype, f"the dtype of position_mm, {self.position_mm.dtype}"
            )
        shape = self.position_mm.shape[:-1]
        if self.wavelength_um.shape not in (torch.Size(()), shape):
            raise InputError("Rays.wavelength_um", f"shape {tuple(self.wavelength_um.shape)}", f"() or {tuple(shape)}")
        # Where every ray has its own, the media check them: here it would be a pass over all rays.
        if self.wavelength_um.ndim == 0:
            value = float(self.wavelength_um.detach())
            if not (math.isfinite(value) and value > 0):
                raise InputError("Rays.wavelength_um", value, "a positive number")

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> "Rays":
        """The rays on another device or in another dtype."""
        move = {"device": device, "dtype": dtype}
        return Rays(self.position_mm.to(**move), self.direction.to(**move), self.wavelength_um.to(**move))


@dataclass(frozen=True, eq=False)
class Traced:
    """Rays at the image plane.

    Lost rays carry finite numbers that mean nothing; `alive` is the mask to use.

    Attributes:
        position_mm: Where they land, lens frame; shape (..., 3).
        direction: Unit vectors behind the last surface; shape (..., 3).
        opl_mm: Optical path from the given position to the image plane; shape (...).
        alive: Whether the ray passed every surface inside its clear aperture; shape (...), bool.
        lost_at: Number of the surface that took the ray, from 1; 0 alive. Shape (...), int64.
        lost_why: A `Fate`; shape (...), int64.
        path_mm: Crossing with every surface, shape (..., S, 3), if it was asked for.
    """

    position_mm: Tensor
    direction: Tensor
    opl_mm: Tensor
    alive: Tensor
    lost_at: Tensor
    lost_why: Tensor
    path_mm: Tensor | None = None

    def losses(self) -> tuple[Loss, ...]:
        """Where rays were lost and why, the most frequent first; empty where all are alive."""
        lost = self.lost_at > 0
        pairs = torch.stack([self.lost_at[lost], self.lost_why[lost]], dim=1)
        found, counts = pairs.unique(dim=0, return_counts=True)
        rows = [Loss(int(at), Fate(int(why)), int(n)) for (at, why), n in zip(found, counts, strict=True)]
        return tuple(sorted(rows, key=lambda loss: (-loss.count, loss.surface)))

    def reasons(self) -> list[str]:
        """One phrase per ray, in the order of the flattened rays: "" or "totally reflected at surface 5"."""
        pairs = zip(self.lost_at.flatten().tolist(), self.lost_why.flatten().tolist(), strict=True)
        return [f"{Fate(why).words} {at}" if at else "" for at, why in pairs]
