"""Bundles of light by image height, wavelength and depth, as the analyses ask for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from psf import Channel
from psf.errors import InputError

from .landing import Landing, Sampling, land
from .pupil import ChiefRays, Ellipses

if TYPE_CHECKING:
    from .lens import Lens

_SCAN, _BISECTIONS = 401, 40


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The wavelengths behind some channels, in one row.

    Attributes:
        channels: C of them.
        wavelength_um: Shape (W,).
        channel_of: Channel of each wavelength, shape (W,).
        share: Its share of the channel, shape (W,).
    """

    channels: tuple[Channel, ...]
    wavelength_um: Tensor
    channel_of: Tensor
    share: Tensor

    @property
    def mix(self) -> Tensor:
        """Share of every wavelength in every channel, shape (C, W)."""
        matrix = self.share.new_zeros(len(self.channels), len(self.share))
        matrix[self.channel_of, torch.arange(len(self.share), device=self.share.device)] = self.share
        return matrix

    def mixed(self, values: Tensor) -> Tensor:
        """Weighted sums over the wavelengths of each channel.

        Args:
            values: Real or complex, shape (..., W, E).

        Returns:
            Shape (..., C, E).
        """
        weighted = values * self.share[:, None]
        shape = (*values.shape[:-2], len(self.channels), values.shape[-1])
        sums: Tensor = weighted.new_zeros(shape)
        sums.index_add_(-2, self.channel_of, weighted)  # in place: torch types the other form as Any
        return sums

    def middle_um(self) -> Tensor:
        """Mean wavelength of each channel, shape (C,)."""
        return self.mixed(self.wavelength_um[:, None])[:, 0]


def read_spectrum(channels: Sequence[Channel], unit: Tensor) -> Spectrum:
    """The wavelengths of channels.

    Args:
        channels: Each with wavelengths.
        unit: A tensor whose dtype and device are wanted, of any shape (...).

    Raises:
        InputError: No channel, or one without wavelengths.
    """
    if not channels or not all(c.wavelengths_um for c in channels):
        raise InputError("channels", [c.name for c in channels], "at least one channel, each with wavelengths")
    wave = torch.tensor([w for c in channels for w in c.wavelengths_um], dtype=torch.float64).to(unit)
    owner = torch.tensor([i for i, c in enumerate(channels) for _ in c.wavelengths_um], device=unit.device)
    share = torch.tensor([a / sum(c.weights) for c in channels for a in c.weights], dtype=torch.float64).to(unit)
    return Spectrum(tuple(channels), wave, owner, share)


def read_radii(radii: Sequence[float]) -> Tensor:
    """Image heights in 0..1 as a float64 tensor (R,).

    Raises:
        InputError: None, or one out of range.
    """
    values = torch.tensor(list(radii), dtype=torch.float64)
    if values.ndim != 1 or len(values) == 0 or not bool(((values >= 0) & (values <= 1)).all()):
        raise InputError("radii", list(radii), "numbers in 0..1")
    return values


def land_all(
    lens: Lens, chief: ChiefRays, ellipses: Ellipses, depth_mm: Tensor, wave_um: Tensor, sampling: Sampling
) -> Landing:
    """Trace the bundles of R image heights in W wavelengths, height by height: bundle r W + w.

    Args:
        lens: The lens.
        chief: Chief rays, R of them.
        ellipses: R of them.
        depth_mm: Shape ().
        wave_um: Shape (W,).
        sampling: How finely.
    """
    heights, waves = len(chief.slope), len(wave_um)
    every = torch.arange(heights, device=wave_um.device).repeat_interleave(waves)
    depths = depth_mm.expand(len(every))
    return land(lens, chief.take(every), ellipses.take(every), depths, wave_um.repeat(heights), sampling)


def find_moments(
    lens: Lens, chief: ChiefRays, ellipses: Ellipses, depth_mm: Tensor, wave_um: Tensor, sampling: Sampling
) -> Tensor:
    """Sums of light, light times x, light times x^2 + y^2 about the chief ray, in mm: of every bundle.

    Args:
        lens: The lens.
        chief: Chief rays, R of them.
        ellipses: R of them.
        depth_mm: Shape ().
        wave_um: Shape (W,).
        sampling: How finely.

    Returns:
        Shape (R, W, 3).
    """
    heights, waves = len(chief.slope), len(wave_um)
    sub = land_all(lens, chief, ellipses, depth_mm, wave_um, sampling)
    x = sub.x_mm - chief.landing_mm[sub.bundle // waves, None]
    # Both halves of the pupil: their y cancel, all else is twice one half's.
    sums = torch.stack([sub.light, sub.light * x, sub.light * (x**2 + sub.y_mm**2)], dim=-1).sum(1)
    total: Tensor = sums.new_zeros(heights * waves, 3)
    return total.index_add(0, sub.bundle, sums).reshape(heights, waves, 3)


def find_lit(alive: Callable[[Tensor], Tensor], count: int, unit: Tensor) -> tuple[Tensor, Tensor]:
    """Where light begins and ends along lines through R bundles, scaled so that nothing lives beyond -1.05 and 1.05.

    Args:
        alive: Which places (R, N) light comes through, R and N as in its argument.
        count: R.
        unit: A tensor whose dtype and device are wanted, of any shape (...).

    Returns:
        The ends of the longest stretch of light on each line, shapes (R, 1).

    Raises:
        InputError: A line without light.
    """
    scan = torch.linspace(-1.05, 1.05, _SCAN, dtype=torch.float64).to(unit).expand(count, _SCAN)
    lit = alive(scan)
    if not bool(lit[:, 1:-1].any(1).all()):
        raise InputError("rays", "a bundle whose section lets no light through", "light in the section of every bundle")
    low, high = _longest_run(lit)
    ends = torch.stack([low, high], dim=1)
    live, dead = scan.gather(1, ends), scan.gather(1, ends + torch.tensor([-1, 1], device=ends.device))
    for _ in range(_BISECTIONS):
        middle = 0.5 * (live + dead)
        ok = alive(middle)
        live, dead = torch.where(ok, middle, live), torch.where(ok, dead, middle)
    return live[:, :1], live[:, 1:]


def _longest_run(alive: Tensor) -> tuple[Tensor, Tensor]:
    """First and last index of the longest run of True in every row of (R, N)."""
    count = torch.zeros_like(alive[:, 0], dtype=torch.long)
    best, end = count.clone(), count.clone()
    for i in range(1, alive.shape[1] - 1):  # the ends are dead by construction: nothing lies outside the ellipse
        count = torch.where(alive[:, i], count + 1, 0)
        longer = count > best
        best, end = torch.where(longer, count, best), torch.where(longer, i, end)
    return end - best + 1, end
