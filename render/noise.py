"""A sensor's noise as a value: variances with and without light as functions of the ISO.

`shot` is the variance per light, `read` the variance without light, of light normalised to 0 (black) .. 1 (white):
variance = read + shot x. In DN, with a range of V = white - black: k = shot V (DN per electron), sigma^2 = read V^2.
The rounding to whole DN (1/12 DN^2) is in neither: whoever rounds adds it.
"""

import json
import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from psf import InputError
from psf.runs import read_json, whole_file

from .bayer import PLANES
from .noise_curves import Polynomial, Table

FORMAT = "psfield.NoiseModel"
FORMAT_VERSION = 1
Outside = Literal["refuse", "warn", "extend"]


@dataclass(frozen=True)
class NoiseModel:
    """Noise of one sensor.

    Attributes:
        curve: Levels as a function of the ISO.
        iso_range: The lowest and the highest ISO at which the curve is known.
        name: What it is called.
        source: Where its numbers come from.
        digital_iso: Above this ISO (it lies in the range) the picture of this ISO is only multiplied: shot grows with
            the gain, read with its square. `inf`: the curve holds to the end.
    """

    curve: Polynomial | Table
    iso_range: tuple[float, float]
    name: str = ""
    source: str = ""
    digital_iso: float = math.inf

    def __post_init__(self) -> None:
        if not isinstance(self.curve, Polynomial | Table):
            raise InputError("NoiseModel.curve", type(self.curve).__name__, "a Polynomial or a Table")
        ends = tuple(self.iso_range)
        numbers = len(ends) == 2 and all(isinstance(one, int | float) for one in ends)
        if not (numbers and 0 < ends[0] <= ends[1] < math.inf):
            raise InputError("NoiseModel.iso_range", self.iso_range, "the lowest and the highest ISO, above 0")
        if not (isinstance(self.digital_iso, int | float) and self.digital_iso >= ends[0]):
            raise InputError("NoiseModel.digital_iso", self.digital_iso, f"{ends[0]:g} or more")
        object.__setattr__(self, "iso_range", (float(ends[0]), float(ends[1])))
        object.__setattr__(self, "digital_iso", float(self.digital_iso))

    @property
    def planes(self) -> int:
        """1, or 4 if R, Gr, Gb and B differ."""
        return self.curve.planes

    def levels(self, iso: Tensor | float, *, outside: Outside = "refuse") -> tuple[Tensor, Tensor]:
        """Variances at an ISO, as `render.sensor.add_noise` takes them.

        Args:
            iso: One number or shape (B,).
            outside: What to do with an ISO outside `iso_range`: "refuse" is an error, "warn" and "extend" go on with
                the formula or with the table's last line.

        Returns:
            shot and read, normalised units, in the dtype of `iso` (float32 for a number). Shape () or (B,); per plane
            (1, 4) or (B, 4).
        """
        if outside not in get_args(Outside):
            raise InputError("levels(outside)", repr(outside), " or ".join(map(repr, get_args(Outside))))
        values = _read_iso(iso)
        self._check_range(values, outside)
        plain = values.clamp_max(self.digital_iso)
        gain = (values / plain)[..., None]
        shot, read = self.curve.levels(plain[..., None])
        shot, read = shot * gain, read * gain.square()
        if self.planes == 1:
            return shot[..., 0], read[..., 0]
        return shot.reshape(-1, self.planes), read.reshape(-1, self.planes)

    def extended(self, iso_max: float) -> "NoiseModel":
        """The same sensor with digital gain above its highest known ISO.

        Args:
            iso_max: The new highest ISO.
        """
        top = self.iso_range[1]
        if not iso_max >= top:
            raise InputError("extended(iso_max)", iso_max, f"{top:g} or more")
        return replace(self, iso_range=(self.iso_range[0], iso_max), digital_iso=min(self.digital_iso, top))

    def save(self, path: str | os.PathLike[str], details: Mapping[str, Any] | None = None) -> None:
        """Write JSON; a file of that name is replaced once the new one is whole.

        Args:
            path: Where to; its folder must exist.
            details: Whatever JSON holds, kept beside the model: how it was measured.
        """
        whole = {**self.to_json(), "details": dict(details or {})}
        write_whole(path, (json.dumps(whole, indent=1, allow_nan=False) + "\n").encode())

    def to_json(self) -> dict[str, Any]:
        """What `save` writes, as JSON's own types."""
        # JSON has no infinity: what is unlimited is left out.
        curve = {one.name: getattr(self.curve, one.name) for one in fields(self.curve)}
        kind = "polynomial" if isinstance(self.curve, Polynomial) else "table"
        limits = {} if self.digital_iso == math.inf else {"digital_iso": self.digital_iso}
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "name": self.name,
            "source": self.source,
            "unit": "variances of light normalised to 0 (black) .. 1 (white), without rounding",
            "planes": list(PLANES) if self.planes == 4 else ["all"],
            "iso_range": list(self.iso_range),
            **limits,
            "curve": {"kind": kind, **{name: value for name, value in curve.items() if value != math.inf}},
        }

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "NoiseModel":
        """Read what `save` wrote; InputError names the file and the key that is wrong."""
        file = Path(path)
        found = read_json(file, f"a {FORMAT} file")
        return cls.from_json(found, str(file))

    @classmethod
    def from_json(cls, found: object, source: str = "a noise model") -> "NoiseModel":
        """A model from what `to_json` made; InputError names the source and the key that is wrong."""
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise InputError(
                f"{source} (format)", repr(found.get("format") if isinstance(found, dict) else found), FORMAT
            )
        if found.get("format_version") != FORMAT_VERSION:
            raise InputError(f"{source} (format_version)", repr(found.get("format_version")), str(FORMAT_VERSION))
        try:
            curve = dict(found["curve"])
            make = {"polynomial": Polynomial, "table": Table}[curve.pop("kind")]
            rows = ("iso",) if make is Table else ()
            held = {
                name: tuple(map(tuple, value)) if make is Table and name not in rows else value
                for name, value in curve.items()
            }
            return cls(
                make(**held),
                tuple(found["iso_range"]),
                found.get("name", ""),
                found.get("source", ""),
                found.get("digital_iso", math.inf),
            )
        except InputError as error:
            raise InputError(f"{source} ({error.where})", error.found, error.expected) from error
        except KeyError as error:
            raise InputError(
                f"{source} ({error.args[0]})", "nothing that is known", "a value that `save` writes"
            ) from error
        except (TypeError, ValueError) as error:
            raise InputError(source, f"something else ({error})", "what NoiseModel.save writes") from error

    def _check_range(self, iso: Tensor, outside: Outside) -> None:
        low, high = self.iso_range
        # A relative margin: float32 of the range's ends lies on either side of them.
        wrong = iso[(iso < low * (1 - 1e-6)) | (iso > high * (1 + 1e-6))]
        if not wrong.numel() or outside == "extend":
            return
        name = self.name or "this noise model"
        found, expected = f"ISO {float(wrong[0]):g}", f"ISO {low:g} to {high:g}, where {name} is known"
        if outside == "refuse":
            raise InputError("iso", found, expected + "; or outside='warn', or extended()")
        warnings.warn(f"{found} lies outside {expected}; its formula is extended", stacklevel=3)


@dataclass(frozen=True)
class RandomNoise:
    """Noise of no sensor in particular: levels are drawn, with a straight line between their logarithms.

    log shot ~ U(log low, log high); log read ~ N(slope log shot + intercept, sd); natural logarithms.

    Attributes:
        shot_range: The lowest and the highest shot, normalised units.
        slope: Of log read against log shot.
        intercept: Of that line.
        sd: Of log read about it.
        rounding: Variance that the measured read contains and that is taken off, not below 0.
        name: What it is called.
        source: Where its numbers come from.
    """

    shot_range: tuple[float, float]
    slope: float
    intercept: float
    sd: float
    rounding: float = 0.0
    name: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        low, high = self.shot_range
        if not 0 < low <= high < math.inf:
            raise InputError("RandomNoise.shot_range", self.shot_range, "two finite numbers above 0, ascending")
        for name, least in (("slope", -math.inf), ("intercept", -math.inf), ("sd", 0.0), ("rounding", 0.0)):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= least):
                raise InputError(
                    f"RandomNoise.{name}", value, "a finite number" + (", 0 or more" if least == 0 else "")
                )

    def read_at(self, shot: Tensor, deviations: Tensor | float = 0.0) -> Tensor:
        """The read level at a shot level, shape (...), so many standard deviations above the line's."""
        read = torch.exp(self.slope * shot.log() + self.intercept + self.sd * deviations)
        return (read - self.rounding).clamp_min(0)

    def draw(self, count: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        """Random levels, shot first, then read.

        Args:
            count: How many.
            generator: On the device where the levels are wanted.
            dtype: Of the result.

        Returns:
            shot and read, normalised units, shape (count,).
        """
        low, high = (math.log(one) for one in self.shot_range)
        device = generator.device
        share = torch.rand(count, generator=generator, dtype=torch.float64, device=device)
        shot = torch.exp(low + (high - low) * share)
        deviations = torch.randn(count, generator=generator, dtype=torch.float64, device=device)
        return shot.to(dtype), self.read_at(shot, deviations).to(dtype)


def draw_iso(
    count: int,
    generator: torch.Generator,
    iso_range: tuple[float, float] = (100, 3200),
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Random ISO values, evenly spread over their logarithms, shape (count,).

    Args:
        count: How many.
        generator: On the device where they are wanted.
        iso_range: The lowest and the highest.
        dtype: Of the result.
    """
    low, high = iso_range
    if not 0 < low <= high < math.inf:
        raise InputError("draw_iso(iso_range)", iso_range, "two finite ISO values above 0, ascending")
    share = torch.rand(count, generator=generator, dtype=torch.float64, device=generator.device)
    return (low * (high / low) ** share).to(dtype)


def write_whole(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file; one of that name is replaced once the new one is whole."""
    with whole_file(path) as part:
        part.write_bytes(content)


def _read_iso(iso: Tensor | float) -> Tensor:
    dtype = iso.dtype if isinstance(iso, Tensor) and iso.dtype.is_floating_point else torch.float32
    values = torch.as_tensor(iso, dtype=dtype)
    if values.ndim > 1 or not bool((values > 0).all() & values.isfinite().all()):
        raise InputError("iso", values.tolist(), "finite numbers above 0, one or shape (B,)")
    return values
