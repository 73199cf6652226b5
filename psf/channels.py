"""What stands behind a colour channel: wavelengths and how much of each."""

import math
from dataclasses import dataclass

from .errors import InputError


@dataclass(frozen=True)
class Channel:
    """One colour channel of a field.

    Attributes:
        name: As in a legend, e.g. "R".
        wavelengths_um: Wavelengths the channel's kernels are made of; empty where there are none (ideal discs,
            photographs).
        weights: Share of each wavelength, not negative; any scale. Empty means even shares.
    """

    name: str
    wavelengths_um: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        where = f"Channel({self.name!r})"
        if not isinstance(self.name, str) or not self.name:
            raise InputError("Channel.name", repr(self.name), "a name")
        wavelengths = tuple(float(one) for one in self.wavelengths_um)
        weights = tuple(float(one) for one in self.weights) or (1.0,) * len(wavelengths)
        if not all(math.isfinite(one) and one > 0 for one in wavelengths):
            raise InputError(f"{where}.wavelengths_um", wavelengths, "positive wavelengths in um")
        if len(weights) != len(wavelengths):
            raise InputError(
                f"{where}.weights", f"{len(weights)} of them", f"one for each of {len(wavelengths)} wavelengths"
            )
        if not all(math.isfinite(one) and one >= 0 for one in weights) or (weights and sum(weights) <= 0):
            raise InputError(f"{where}.weights", weights, "weights of at least 0 with a positive sum")
        object.__setattr__(self, "wavelengths_um", wavelengths)
        object.__setattr__(self, "weights", weights)
