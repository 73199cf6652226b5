"""Geometric PSFs, really traced: one kernel at any place and depth, and the light that reaches it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from psf import Channel
from psf.errors import InputError

from .bundles import read_spectrum
from .landing import Landing, Sampling, land
from .pupil import chief_rays, find_ellipses

if TYPE_CHECKING:
    from .diffraction import WaveSampling
    from .footprints import Spread
    from .hybrid import Model
    from .lens import Lens

# Share of the light that a window may cut off before it is worth a warning, and before it is an error.
LOST_WARNING, LOST_ERROR = 0.02, 0.20
LARGEST_KERNEL_PX = 513
_KEPT_LIGHT = 0.99
# Bundles of one pass: more of them take so much memory at once that half of the time goes into getting it.
_PASS_BUNDLES = 48


@dataclass(frozen=True, eq=False)
class Kernels:
    """Kernels with what belongs to them, one per bundle or channel.

    Attributes:
        kernels: Unit sum inside the window, shape (..., K, K).
        lost: Share of the light outside the window, shape (...).
        beam: Collected cross-section (inf, mm^2) or solid angle (sr) of the bundle, shape (...).
    """

    kernels: Tensor
    lost: Tensor
    beam: Tensor


def psf_at(
    lens: Lens,
    x_px: float,
    y_px: float,
    depth_m: float,
    *,
    kernel_px: int | None = None,
    wavelengths_um: Sequence[Sequence[float]] | None = None,
    weights: Sequence[Sequence[float]] | None = None,
    reference: Lens | None = None,
    sampling: Sampling | None = None,
    spread: Spread | None = None,
    gradient: bool = False,
    model: Model = "geometric",
    wave_sampling: WaveSampling | None = None,
) -> Tensor:
    """The kernel of one pixel, really traced through the lens.

    Args:
        lens: The lens.
        x_px: Column on the upright picture, centres at integers; fractions are allowed, and places beyond the sensor's
            edges as far from the centre as its corners.
        y_px: Row, counted down.
        depth_m: Distance of the object from the first vertex along the axis; inf is allowed.
        kernel_px: Odd window size K; by default the smallest that holds 99 % of the light in every channel.
        wavelengths_um: Wavelengths of every channel, by default those of `lens.channels`.
        weights: Weights of the wavelengths, by default equal (or those of `lens.channels`).
        reference: The same lens focused at the reference distance: it says where the kernel's centre is (breathing).
        sampling: How finely the pupil is sampled.
        spread: How sub-rays are spread over pixels, by default "box", with gradients "spline".
        gradient: Whether the kernel carries gradients in the lens's parameters.
        model: "geometric" (rays), "diffraction" (waves) or "auto" (waves where the blur is a few Airy radii, rays where
            it is many).
        wave_sampling: How finely the wavefront is sampled.

    Returns:
        Unit-sum kernel (C, K, K) of the upright picture, turned to the pixel's azimuth, in the lens's dtype.

    Raises:
        InputError: A place beyond the sensor's corners, a window that loses over 20 % of the light, no light at all.
    """
    height, width = lens.sensor.image_shape_px
    right, up = x_px - (width - 1) / 2, (height - 1) / 2 - y_px
    radius = math.hypot(right, up) / (0.5 * math.hypot(width, height))
    if not radius <= 1 + 1e-6:
        found = f"({x_px}, {y_px}), image height {radius:.4g}"
        raise InputError("(x_px, y_px)", found, f"a place within the sensor's corners ({width} x {height} px)")
    channels = resolve_channels(lens, wavelengths_um, weights)
    radius, azimuth_rad = min(radius, 1.0), math.atan2(up, right)

    def rays(size: int | None) -> Kernels:
        return kernels_at(
            lens,
            [radius],
            [azimuth_rad],
            [depth_m],
            channels,
            kernel_px=size,
            reference=reference,
            sampling=sampling,
            spread=spread,
            gradient=gradient,
            check_loss=model == "geometric",
        )

    if model == "geometric":
        return rays(kernel_px).kernels[0]
    # Waves stand on the same tools as rays: they import this module.
    from .hybrid import kernels_of_place

    check_depths([depth_m])
    check_kernel_px(kernel_px)
    mixed = kernels_of_place(
        lens,
        radius,
        azimuth_rad,
        depth_m,
        channels,
        kernel_px=kernel_px,
        reference=reference,
        sampling=wave_sampling,
        gradient=gradient,
        model=model,
        rays=rays,
    )
    warn_of_loss(lens, mixed.lost.detach(), mixed.kernels.shape[-1])
    return mixed.kernels


def kernels_at(
    lens: Lens,
    radii: Sequence[float],
    azimuths_rad: Sequence[float],
    depths_m: Sequence[float],
    channels: Sequence[Channel],
    *,
    kernel_px: int | None = None,
    reference: Lens | None = None,
    oversample: int = 1,
    sampling: Sampling | None = None,
    spread: Spread | None = None,
    gradient: bool = False,
    check_loss: bool = True,
) -> Kernels:
    """Kernels at N places (radius in 0..1, azimuth, depth), each really traced; see `psf_at`.

    With `oversample` O they are stored O times finer, O K to a side; `check_loss` can leave warnings to the caller.

    Returns:
        `kernels` (N, C, K, K), `lost` and `beam` (N, C).
    """
    check_depths(depths_m)
    check_kernel_px(kernel_px)
    recording = gradient and torch.is_grad_enabled()
    spread = spread or ("spline" if gradient else "box")
    options = (channels, kernel_px, reference, oversample, sampling or Sampling(), spread, gradient)
    wavelengths = sum(len(one.wavelengths_um) for one in channels)
    each = len(radii)
    # A window for all of them, or a record of the way, needs them at once.
    if kernel_px is not None and not recording and len(radii) == len(azimuths_rad) == len(depths_m):
        each = _PASS_BUNDLES // max(wavelengths, 1)
    each = max(each, 1)
    with torch.set_grad_enabled(recording):
        parts = [slice(first, first + each) for first in range(0, max(len(radii), 1), each)]
        found = [_trace_kernels(lens, radii[one], azimuths_rad[one], depths_m[one], *options) for one in parts]
    mixed = found[0]
    if len(found) > 1:
        names = ("kernels", "lost", "beam")
        mixed = Kernels(*(torch.cat([getattr(one, name) for one in found]) for name in names))
    if check_loss:
        warn_of_loss(lens, mixed.lost.detach(), mixed.kernels.shape[-1] // oversample)
    return mixed


def _trace_kernels(
    lens: Lens,
    radii: Sequence[float],
    azimuths_rad: Sequence[float],
    depths_m: Sequence[float],
    channels: Sequence[Channel],
    kernel_px: int | None,
    reference: Lens | None,
    oversample: int,
    sampling: Sampling,
    spread: Spread,
    gradient: bool,
) -> Kernels:
    """What `kernels_at` gives, of places that are traced at once."""
    from .footprints import SPLINE_FOR_GRADIENTS, SPLINE_FOR_KERNELS, deposit, spline_width

    traced = _trace_places(lens, radii, depths_m, channels, reference, sampling)
    sub, bundle = traced.landing, traced.landing.bundle
    scale = 1.0 if reference is None else image_scale(lens, reference)
    azimuth = torch.tensor(list(azimuths_rad), dtype=torch.float64).to(sub.x_mm)[traced.place][bundle]
    centred = replace(sub, x_mm=sub.x_mm - scale * traced.radius_mm[bundle, None])
    x, y, w, h, light = _pixels(centred, azimuth, 1e-3 * lens.sensor.pitch_um / oversample)
    if kernel_px is None:
        extent = torch.maximum(x.abs(), y.abs()).detach() / oversample
        kernel_px = window_px(extent, light.detach(), _KEPT_LIGHT)
    size = oversample * kernel_px
    if spread == "spline":
        factor = SPLINE_FOR_GRADIENTS if gradient else SPLINE_FOR_KERNELS
        w, h = spline_width(w, factor), spline_width(h, factor)
    patches = deposit(x, y, w, h, light, size, spread)
    raw = patches.new_zeros(len(traced.place), size, size).index_add(0, bundle, patches)
    return _mix(traced.mix, raw.unflatten(0, (len(radii), -1)), traced.beam.unflatten(0, (len(radii), -1)))


def relative_illumination(lens: Lens, radii: Sequence[float], depths_m: Sequence[float]) -> Tensor:
    """What a uniform Lambertian scene gives at image heights, against the axis: vignetting, pupil and mapping together.

    Args:
        lens: The lens.
        radii: Image heights in 0..1, R of them.
        depths_m: Depths, D of them; inf is allowed.

    Returns:
        Shape (D, R, C), 1 on the axis; cos^4 for a thin lens without distortion.
    """
    check_depths(depths_m)
    heights = [0.0, *radii]
    with torch.no_grad():
        places = [(r, d) for d in depths_m for r in heights]
        traced = _trace_places(
            lens, [p[0] for p in places], [p[1] for p in places], lens.channels, None, Sampling(rings=32, angles=96)
        )
        beam = (traced.beam.unflatten(0, (len(places), -1)) @ traced.mix.T).unflatten(0, (len(depths_m), len(heights)))
        chief = chief_rays(lens, torch.tensor(heights, dtype=torch.float64).to(beam))
        jacobian = torch.stack([chief.mapping(1e3 * d) for d in depths_m])[..., None]
        light: Tensor = beam / beam[:, :1] * (jacobian / jacobian[:, :1])
        return light[:, 1:]


def resolve_channels(
    lens: Lens, wavelengths_um: Sequence[Sequence[float]] | None, weights: Sequence[Sequence[float]] | None
) -> tuple[Channel, ...]:
    """The lens's channels, or those that the caller's wavelengths and weights make.

    Raises:
        InputError: A channel without wavelengths, weights without wavelengths or of another shape.
    """
    if wavelengths_um is None:
        if weights is not None:
            raise InputError("weights", "weights alone", "wavelengths_um beside them")
        return lens.channels
    if not len(wavelengths_um) or not all(len(row) for row in wavelengths_um):
        found = f"{[len(row) for row in wavelengths_um]} wavelengths"
        raise InputError("wavelengths_um", found, "at least one channel, and one wavelength in each")
    if weights is None:
        weights = [[1.0] * len(row) for row in wavelengths_um]
    if [len(row) for row in weights] != [len(row) for row in wavelengths_um]:
        raise InputError("weights", [len(row) for row in weights], f"{[len(row) for row in wavelengths_um]} numbers")
    names = "RGB" if len(wavelengths_um) == 3 else [str(i) for i in range(len(wavelengths_um))]
    rows = zip(names, wavelengths_um, weights, strict=True)
    return tuple(Channel(n, tuple(map(float, w)), tuple(map(float, a))) for n, w, a in rows)


def image_scale(lens: Lens, reference: Lens) -> float:
    """Magnification of a lens's picture against that of the same lens at the reference focus.

    The scale that brings landing points of the same chief rays over the whole field together, by least squares.
    """
    with torch.no_grad():
        chief = chief_rays(reference, torch.linspace(0.05, 1, 20, dtype=torch.float64).to(lens.vertices_mm), lens)
        return float((chief.landing_mm * chief.radius_mm).sum() / (chief.radius_mm**2).sum())


def window_px(extent_px: Tensor, light: Tensor, kept: float) -> int:
    """Smallest odd window that holds a share of the light of every bundle.

    Args:
        extent_px: Larger of |x| and |y| of every sub-ray, shape (B, N).
        light: Shape (B, N).
        kept: The share.
    """
    order = extent_px.argsort(dim=1)
    running = light.gather(1, order).cumsum(1)
    first = (running >= kept * running[:, -1:]).to(torch.int8).argmax(1, keepdim=True)
    reach = float(extent_px.gather(1, order).gather(1, first).max())
    return min(2 * math.ceil(reach - 0.5) + 1, LARGEST_KERNEL_PX) if reach > 0.5 else 1


def check_depths(depths_m: Sequence[float]) -> None:
    """Raise InputError unless every depth is positive (inf allowed)."""
    for depth in depths_m:
        if math.isnan(depth) or depth <= 0:
            raise InputError("depth_m", depth, "a positive distance or inf")


def check_kernel_px(kernel_px: int | None) -> None:
    """Raise InputError unless the window size is odd and usable."""
    if kernel_px is not None and (kernel_px < 1 or kernel_px % 2 == 0 or kernel_px > LARGEST_KERNEL_PX):
        raise InputError("kernel_px", kernel_px, f"an odd number from 1 to {LARGEST_KERNEL_PX}")


def warn_of_loss(lens: Lens, lost: Tensor, kernel_px: int) -> None:
    """Warn, or raise InputError, where a window of `kernel_px` loses too much light: `lost` of any shape (...)."""
    worst = float(lost.max())
    if worst > LOST_ERROR:
        found = f"{kernel_px} px, which loses {worst:.1%} of the light of a kernel"
        raise InputError(f"lens {lens.name}: kernel_px", found, f"a window that loses at most {LOST_ERROR:.0%}")
    if worst > LOST_WARNING:
        text = f"lens {lens.name}: a window of {kernel_px} px loses up to {worst:.1%} of the light of a kernel"
        warnings.warn(text, stacklevel=3)


@dataclass(frozen=True, eq=False)
class _Places:
    """Bundles of N places: `place` (B,) and `radius_mm` (B,) of each, its `beam` (B,), `mix` (C, W) to channels."""

    landing: Landing
    place: Tensor
    radius_mm: Tensor
    beam: Tensor
    mix: Tensor


def _trace_places(
    lens: Lens,
    radii: Sequence[float],
    depths_m: Sequence[float],
    channels: Sequence[Channel],
    reference: Lens | None,
    sampling: Sampling,
) -> _Places:
    unit = lens.vertices_mm.detach()
    radius = torch.tensor(list(radii), dtype=torch.float64).to(unit)
    depth_mm = 1e3 * torch.tensor(list(depths_m), dtype=torch.float64).to(unit)
    if len(radius) != len(depth_mm) or not bool(((radius >= 0) & (radius <= 1 + 1e-9)).all()):
        raise InputError("radii", list(radii), "numbers in 0..1, one per depth")
    spectrum = read_spectrum(channels, unit)
    wave = spectrum.wavelength_um
    chief = chief_rays(reference or lens, radius, None if reference is None else lens)
    ellipses = find_ellipses(lens, chief, depth_mm, wave)
    place = torch.arange(len(radius), device=unit.device).repeat_interleave(len(wave))
    chief = chief.take(place)
    landing = land(lens, chief, ellipses.take(place), depth_mm[place], wave.repeat(len(radius)), sampling)
    # Half of the pupil was sampled; the other half is its mirror image.
    beam = 2 * landing.light.new_zeros(len(place)).index_add(0, landing.bundle, landing.light.sum(1))
    return _Places(landing, place, chief.radius_mm, beam, spectrum.mix)


def _mix(mix: Tensor, raw: Tensor, beam: Tensor) -> Kernels:
    """Weighted sums over wavelengths: mix (C, W), light in pixels raw (N, W, K, K), all light beam (N, W)."""
    return to_kernels(torch.einsum("cw,nwij->ncij", mix, raw), beam @ mix.T)


def to_kernels(inside: Tensor, total: Tensor) -> Kernels:
    """Kernels of unit sum.

    Args:
        inside: Light in pixels, shape (..., K, K).
        total: All light, inside the window or not, shape (...).
    """
    caught = inside.sum((-1, -2))
    return Kernels(inside / caught[..., None, None], 1 - caught / total, total)


def _pixels(sub: Landing, azimuth_rad: Tensor, pitch_mm: float) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Both halves of the pupil, turned to the azimuth, in pixels: x, y, extents of the cells, light; (B, 2 N)."""
    cosine, sine = torch.cos(azimuth_rad)[:, None] / pitch_mm, torch.sin(azimuth_rad)[:, None] / pitch_mm
    x, y, w, h = [], [], [], []
    for mirror in (1.0, -1.0):
        x.append(cosine * sub.x_mm - mirror * sine * sub.y_mm)
        y.append(sine * sub.x_mm + mirror * cosine * sub.y_mm)
        # Root of the summed squares of the cell's two edges, per axis of the picture.
        right = cosine * sub.along_x_mm - mirror * sine * sub.along_y_mm
        up = sine * sub.along_x_mm + mirror * cosine * sub.along_y_mm
        w.append((right.pow(2).sum(0) + 1e-18).sqrt())
        h.append((up.pow(2).sum(0) + 1e-18).sqrt())
    light = torch.cat([sub.light, sub.light], dim=1)
    return torch.cat(x, 1), torch.cat(y, 1), torch.cat(w, 1), torch.cat(h, 1), light
