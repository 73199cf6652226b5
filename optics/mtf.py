"""Modulation transfer: how much contrast of a pattern of lines is left, from where the light lands.

The geometric transfer function is the Fourier transform of the spot: every sub-ray carries a little parallelogram of
light, whose transform is known in closed form. It is true where the blur is some Airy radii wide or more, and far too
good below; `limit` stands beside it, and `wave_mtf.py` has the waves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from psf import Channel
from psf.errors import InputError

from .bundles import Spectrum, land_all, read_radii, read_spectrum
from .geometric import check_depths
from .landing import Landing, Sampling
from .paraxial import conjugate
from .pupil import chief_rays, find_ellipses

if TYPE_CHECKING:
    from .lens import Lens

SAMPLING = Sampling(rings=32, angles=32, nodes=20)
# Numbers of complex exponentials at a time: some 64 MB.
_BLOCK = 4_000_000


@dataclass(frozen=True, eq=False)
class ModulationTransfer:
    """Contrast over depth, image height, defocus, channel and frequency.

    Attributes:
        depths_m: Depths, shape (D,).
        radii: Image heights, shape (R,).
        defocus_mm: How far the sensor was moved away from the lens, shape (Z,).
        frequencies_per_mm: Cycles per mm on the sensor, shape (F,).
        channels: C of them.
        tangential: Contrast of a pattern that changes outwards (lines along the circumference), shape
            (D, R, Z, C, F).
        sagittal: Contrast of a pattern that changes along the circumference (lines that point to the centre), same
            shape.
        limit: What a perfect lens of the same f-number would give on the axis, shape (D, C, F).
        with_pixel: Whether the pixel's own transfer, a square of the pitch, is in all three.
    """

    depths_m: Tensor
    radii: Tensor
    defocus_mm: Tensor
    frequencies_per_mm: Tensor
    channels: tuple[Channel, ...]
    tangential: Tensor
    sagittal: Tensor
    limit: Tensor
    with_pixel: bool


def find_geometric_mtf(
    lens: Lens,
    radii: Sequence[float],
    depths_m: Sequence[float],
    frequencies_per_mm: Sequence[float],
    *,
    channels: Sequence[Channel] | None = None,
    defocus_mm: Sequence[float] = (0.0,),
    with_pixel: bool = False,
    with_limit: bool = False,
    sampling: Sampling = SAMPLING,
    on_progress: Callable[[int, int], None] | None = None,
) -> ModulationTransfer:
    """Contrast from really traced rays: through frequency, field, focus and depth.

    The colours of a channel are added where they land, so lateral colour inside a channel costs contrast.

    Args:
        lens: The lens.
        radii: Image heights in 0..1, R of them.
        depths_m: Depths, D of them; inf is allowed.
        frequencies_per_mm: Cycles per mm, F of them, from 0.
        channels: By default the lens's.
        defocus_mm: Ways by which the sensor is moved away from the lens, Z of them.
        with_pixel: Multiply by the transfer of a square pixel.
        with_limit: Multiply by the diffraction limit: the usual estimate between the two regimes.
        sampling: How finely bundles are sampled.
        on_progress: Called with (depths done, depths).

    Raises:
        InputError: Radii, depths or frequencies out of range, an image height without light.
    """
    check_depths(depths_m)
    if len(depths_m) == 0:
        raise InputError("depths_m", "none", "at least one depth")
    if len(defocus_mm) == 0 or not all(math.isfinite(way) for way in defocus_mm):
        raise InputError("defocus_mm", list(defocus_mm), "at least one finite way")
    with torch.no_grad():
        unit = lens.vertices_mm.detach()
        heights, frequency = read_radii(radii).to(unit), read_frequencies(frequencies_per_mm).to(unit)
        spectrum = read_spectrum(lens.channels if channels is None else channels, unit)
        ways = torch.tensor([float(way) for way in defocus_mm], dtype=torch.float64).to(unit)
        rows = []
        for done, depth_m in enumerate(depths_m):
            if on_progress is not None:
                on_progress(done, len(depths_m))
            rows.append(_transfer(lens, heights, unit.new_tensor(1e3 * depth_m), frequency, spectrum, ways, sampling))
        if on_progress is not None:
            on_progress(len(depths_m), len(depths_m))
        tangential, sagittal = (torch.stack(part).abs().to(unit) for part in zip(*rows, strict=True))
        limit = torch.stack([find_channel_limit(lens, depth_m, frequency, spectrum) for depth_m in depths_m])
        factor = torch.ones_like(limit)
        if with_limit:
            factor = factor * limit
        pixel = pixel_mtf(frequency, lens.sensor.pitch_um) if with_pixel else torch.ones_like(frequency)
    return ModulationTransfer(
        depths_m=torch.tensor(list(depths_m), dtype=torch.float64).to(unit),
        radii=heights,
        defocus_mm=ways,
        frequencies_per_mm=frequency,
        channels=spectrum.channels,
        tangential=tangential * (factor * pixel)[:, None, None],
        sagittal=sagittal * (factor * pixel)[:, None, None],
        limit=limit * pixel,
        with_pixel=with_pixel,
    )


def limit_mtf(frequency_per_mm: Tensor, wavelength_um: float, f_number: float) -> Tensor:
    """Contrast of a perfect lens with a round pupil.

    Args:
        frequency_per_mm: Shape (...).
        wavelength_um: Wavelength.
        f_number: Working f-number.

    Returns:
        Shape (...); 0 from the cut-off 1 / (wavelength f-number) on.
    """
    if not (math.isfinite(wavelength_um) and wavelength_um > 0):
        raise InputError("wavelength_um", wavelength_um, "a positive number")
    if not (math.isfinite(f_number) and f_number > 0):
        raise InputError("f_number", f_number, "a positive number")
    share = (frequency_per_mm.abs() * (1e-3 * wavelength_um * f_number)).clamp_max(1)
    return 2 / math.pi * (torch.acos(share) - share * (1 - share**2).clamp_min(0).sqrt())


def pixel_mtf(frequency_per_mm: Tensor, pitch_um: float) -> Tensor:
    """Contrast that a square pixel of full fill factor leaves along a row or column.

    Args:
        frequency_per_mm: Shape (...).
        pitch_um: The sensor's.

    Returns:
        Shape (...).
    """
    if not (math.isfinite(pitch_um) and pitch_um > 0):
        raise InputError("pitch_um", pitch_um, "a positive number")
    return torch.sinc(frequency_per_mm * (1e-3 * pitch_um)).abs()


def read_frequencies(frequencies_per_mm: Sequence[float]) -> Tensor:
    """Frequencies as a float64 tensor (F,).

    Raises:
        InputError: None, or one that is negative or not finite.
    """
    values = torch.tensor([float(one) for one in frequencies_per_mm], dtype=torch.float64)
    if len(values) == 0 or not bool((values.isfinite() & (values >= 0)).all()):
        raise InputError("frequencies_per_mm", list(frequencies_per_mm), "finite numbers from 0")
    return values


def find_channel_limit(lens: Lens, depth_m: float, frequency: Tensor, spectrum: Spectrum) -> Tensor:
    """Diffraction limit of each channel on the axis.

    Args:
        lens: The lens.
        depth_m: Depth of the object.
        frequency: Cycles per mm, shape (F,).
        spectrum: C channels.

    Returns:
        Shape (C, F).
    """
    rows = [
        limit_mtf(frequency, one, float(conjugate(lens, depth_m, one).working_f_number))
        for one in spectrum.wavelength_um.tolist()
    ]
    return spectrum.mixed(torch.stack(rows))


def _transfer(
    lens: Lens,
    heights: Tensor,
    depth_mm: Tensor,
    frequency: Tensor,
    spectrum: Spectrum,
    ways_mm: Tensor,
    sampling: Sampling,
) -> tuple[Tensor, Tensor]:
    """Transfer functions of both directions at one depth, complex (R, Z, C, F)."""
    chief = chief_rays(lens, heights)
    waves = spectrum.wavelength_um
    ellipses = find_ellipses(lens, chief, depth_mm[None], waves)
    # The reference wavelength's chief ray is where phases count from: the modulus of a channel does not care.
    first = land_all(lens, chief, ellipses, depth_mm, waves, sampling)
    moved = float(ways_mm.abs().max()) > 0
    if moved:
        # Behind the lens light goes straight: two planes tell all.
        step = 0.01 * float(lens.surfaces[-1].thickness_mm)
        last = lens.surfaces[-1]
        away = replace(lens, surfaces=(*lens.surfaces[:-1], replace(last, thickness_mm=last.thickness_mm + step)))
        second = land_all(away, chief, ellipses, depth_mm, waves, sampling)
    found = []
    for way in ways_mm.tolist():
        spot = _between(first, second, way / step) if moved else first
        found.append(_sum_waves(spot, chief.landing_mm, frequency, len(heights), len(waves)))
    both = torch.stack(found)  # (Z, 2, R, W, F)
    mixed = spectrum.mixed(both)
    mixed = mixed / spectrum.mixed(_all_light(first, len(heights), len(waves)))
    tangential, sagittal = mixed.unbind(1)
    return tangential.transpose(0, 1), sagittal.transpose(0, 1)


def _between(first: Landing, second: Landing, share: float) -> Landing:
    """Landing points on a plane between (or beyond) two."""

    def mix(name: str) -> Tensor:
        start, end = getattr(first, name), getattr(second, name)
        mixed: Tensor = start + share * (end - start)
        return mixed

    names = ("x_mm", "y_mm", "along_x_mm", "along_y_mm")
    return replace(first, **{name: mix(name) for name in names})


def _all_light(spot: Landing, heights: int, waves: int) -> Tensor:
    """Light of every bundle, shape (R, W, 1)."""
    light = spot.light.new_zeros(heights * waves).index_add(0, spot.bundle, spot.light.sum(1))
    return light.reshape(heights, waves, 1)


def _sum_waves(spot: Landing, landing_mm: Tensor, frequency: Tensor, heights: int, waves: int) -> Tensor:
    """Fourier sums of both directions over every bundle, complex (2, R, W, F); the mirrored half is in them."""
    total = torch.zeros(2, heights * waves, len(frequency), dtype=torch.complex128, device=frequency.device)
    x = spot.x_mm - landing_mm[spot.bundle // waves, None]
    rows = max(1, _BLOCK // (x.shape[1] * len(frequency)))
    for start in range(0, len(x), rows):
        part = slice(start, start + rows)
        light = spot.light[part, :, None]
        for k, (place, along) in enumerate(((x, spot.along_x_mm), (spot.y_mm, spot.along_y_mm))):
            cell = torch.sinc(along[0, part, :, None] * frequency) * torch.sinc(along[1, part, :, None] * frequency)
            phase = (2 * math.pi) * place[part, :, None] * frequency
            weight = light * cell
            real = (weight * torch.cos(phase)).sum(1)
            # The other half of the pupil: the same x, so the same phases; opposite y, so no imaginary part.
            imaginary = (weight * torch.sin(phase)).sum(1) if k == 0 else torch.zeros_like(real)
            total[k].index_add_(0, spot.bundle[part], torch.complex(real, -imaginary).to(total.dtype))
    return total.reshape(2, heights, waves, len(frequency))
