"""Noise levels as functions of the ISO: a polynomial, or a table of what was measured."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from psf import InputError

from .bayer import PLANES

# A level below this cannot be told from none; it keeps logarithms of measured zeros finite.
LEAST_LEVEL = 1e-14
Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Polynomial:
    """shot = max(shot_0 + shot_1 ISO, 0); read = max(read_0 + read_1 ISO + read_2 ISO^2 + read_after g^2, 0).

    g = max(ISO / analog_iso_max, 1) is the digital gain: the form of Android's CameraITS, and of most published fits.
    Analogue gain multiplies what lies before the amplifier: that is read_2; what lies behind it is read_0.
    Normalised units; each coefficient is one number for all planes or four for R, Gr, Gb, B.

    Attributes:
        shot_0: Variance per light at ISO 0.
        shot_1: What it gains per ISO.
        read_0: Variance at ISO 0.
        read_1: What it gains per ISO.
        read_2: What it gains per ISO squared.
        read_after: Variance that arises behind the amplifier and grows with digital gain only.
        analog_iso_max: The highest ISO without digital gain.
    """

    shot_0: Numbers = (0.0,)
    shot_1: Numbers = (0.0,)
    read_0: Numbers = (0.0,)
    read_1: Numbers = (0.0,)
    read_2: Numbers = (0.0,)
    read_after: Numbers = (0.0,)
    analog_iso_max: float = math.inf

    def __post_init__(self) -> None:
        for one in fields(self)[:6]:
            object.__setattr__(self, one.name, _read_numbers(f"Polynomial.{one.name}", getattr(self, one.name)))
        if not (isinstance(self.analog_iso_max, int | float) and self.analog_iso_max > 0):
            raise InputError("Polynomial.analog_iso_max", repr(self.analog_iso_max), "an ISO above 0, inf allowed")

    @property
    def planes(self) -> int:
        """1, or 4 if the planes differ."""
        return max(len(getattr(self, one.name)) for one in fields(self)[:6])

    def levels(self, iso: Tensor) -> tuple[Tensor, Tensor]:
        """(shot, read) at ISO values (..., 1), shape (..., P)."""
        shot_0, shot_1, read_0, read_1, read_2, read_after = (
            iso.new_tensor(getattr(self, one.name)) for one in fields(self)[:6]
        )
        gain = (iso / self.analog_iso_max).clamp_min(1)
        shot = (shot_0 + shot_1 * iso).clamp_min(0)
        read = (read_0 + (read_1 + read_2 * iso) * iso + read_after * gain.square()).clamp_min(0)
        planes = (*iso.shape[:-1], self.planes)
        return shot.expand(planes), read.expand(planes)


@dataclass(frozen=True)
class Table:
    """Measured levels, joined by straight lines between logarithms.

    Attributes:
        iso: Ascending, N of them.
        shot: N rows of one number, or of four for R, Gr, Gb, B; normalised units.
        read: Likewise.
    """

    iso: Numbers
    shot: tuple[Numbers, ...]
    read: tuple[Numbers, ...]

    def __post_init__(self) -> None:
        iso = tuple(float(one) for one in self.iso)
        if not iso or not all(0 < one < math.inf for one in iso) or list(iso) != sorted(set(iso)):
            raise InputError("Table.iso", list(self.iso), "ISO values above 0, ascending")
        object.__setattr__(self, "iso", iso)
        for name in ("shot", "read"):
            rows = tuple(_read_numbers(f"Table.{name}", row) for row in getattr(self, name))
            # `shot` comes first and is in its final form when `read` is held against it.
            planes = len((rows if name == "shot" else self.shot)[0]) if rows else 0
            if len(rows) != len(iso) or any(len(row) != planes for row in rows):
                raise InputError(f"Table.{name}", f"{len(rows)} rows", f"{len(iso)} rows of as many planes each")
            if min(min(row) for row in rows) < 0:
                raise InputError(f"Table.{name}", min(min(row) for row in rows), "variances, 0 or more")
            object.__setattr__(self, name, rows)

    @property
    def planes(self) -> int:
        """1, or 4 if the planes differ."""
        return len(self.shot[0])

    def levels(self, iso: Tensor) -> tuple[Tensor, Tensor]:
        """(shot, read) at ISO values (..., 1), shape (..., P); the last line goes on beyond the ends."""
        knots = iso.new_tensor(self.iso).log()
        rows = (iso.new_tensor(self.shot), iso.new_tensor(self.read))
        if len(knots) == 1:
            shot, read = (row[0].expand(*iso.shape[:-1], -1) for row in rows)
            return shot, read
        place = iso.log()[..., 0]
        lower = (torch.bucketize(place.contiguous(), knots, right=True) - 1).clamp(0, len(knots) - 2)
        share = ((place - knots[lower]) / (knots[lower + 1] - knots[lower]))[..., None]
        shot, read = (
            (1 - share) * row.clamp_min(LEAST_LEVEL).log()[lower] + share * row.clamp_min(LEAST_LEVEL).log()[lower + 1]
            for row in rows
        )
        return shot.exp(), read.exp()


def _read_numbers(where: str, value: object) -> Numbers:
    """One number or four, finite, as a tuple."""
    numbers = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
    right = [isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one) for one in numbers]
    if len(numbers) not in (1, len(PLANES)) or not all(right):
        raise InputError(where, repr(value), "a finite number, or four for R, Gr, Gb, B")
    return tuple(float(one) for one in numbers)
