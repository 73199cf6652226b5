"""Kernels with diffraction, at places and over grids, and the choice between waves and rays.

Model "diffraction" adds up waves everywhere. Model "auto" does so where the blur is a few Airy radii and takes rays
where it is many; in between both are mixed, so that nothing jumps along depth or image height.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from psf import Channel
from psf.errors import InputError

from .bundles import read_spectrum
from .diffraction import WaveSampling, diffract, measure_aperture
from .disc import Array, DiscNodes
from .geometric import LARGEST_KERNEL_PX, Kernels, image_scale, to_kernels
from .maps import wavelength_nodes
from .pupil import ChiefRays, chief_rays, dioptre_per_mm
from .wave_maps import MOST_WAVELENGTH_NODES, WaveMaps, X, Y, map_wavefronts
from .wavefront import check_whole, sub_rays

if TYPE_CHECKING:
    from psf.jobs import Progress

    from .lens import Lens

Model = Literal["geometric", "diffraction", "auto"]

# Between these RMS blur radii, in Airy radii (0.61 wavelength / NA), waves give way to rays. See benchmarks.
WAVES_UP_TO, RAYS_FROM = 6.0, 12.0
# Share of the light that a window chosen automatically may lose to the far rings of a perfect pattern.
_LOST_TO_RINGS = 0.01
_BLUR_RINGS, _BLUR_ANGLES = 8, 16
_LIGHT_RINGS, _LIGHT_ANGLES = 12, 96


def check_model(model: str) -> None:
    """Raise InputError unless a model is known."""
    if model not in get_args(Model):
        raise InputError("model", repr(model), '"geometric", "diffraction" or "auto"')


class WaveJob:
    """Wavefronts of R fields over a range of depths, ready to be summed: one lens, one set of channels."""

    def __init__(
        self,
        lens: Lens,
        radii: Tensor,
        depths_mm: Tensor,
        channels: Sequence[Channel],
        reference: Lens | None,
        sampling: WaveSampling,
    ) -> None:
        self.lens, self.sampling, self.depths_mm = lens, sampling, depths_mm
        self.spectrum = read_spectrum(channels, torch.zeros((), dtype=torch.float64))
        self.chief: ChiefRays = chief_rays(reference or lens, radii, None if reference is None else lens)
        self.scale = 1.0 if reference is None else image_scale(lens, reference)
        self.waves_um, self.share = self.spectrum.wavelength_um.numpy(), self.spectrum.share.numpy()
        nodes_um, self.wave_weights = wavelength_nodes(self.waves_um, MOST_WAVELENGTH_NODES)
        self.maps: WaveMaps = map_wavefronts(
            lens,
            self.chief,
            depths_mm,
            nodes_um,
            DiscNodes(sampling.radial, sampling.angular),
            depth_nodes=sampling.depths,
            scale=self.scale,
        )
        self.q: Array = dioptre_per_mm(self.chief.crossing_mm.detach()[:, None], depths_mm).cpu().double().numpy()
        self.depth_weights = [self.maps.depth_weights(f, q) for f, q in enumerate(self.q)]

    def blur(self, field: int) -> tuple[Tensor, Tensor]:
        """RMS blur in mm, and in Airy radii, of one field at every depth in every channel, shape (D, C) each."""
        sizes, ratios = [], []
        q = torch.from_numpy(self.q[field])
        for weights in self.wave_weights:
            combined = self._combined(field, weights)
            rays = sub_rays(self.maps, field, combined, q.to(combined), _BLUR_RINGS, _BLUR_ANGLES)
            share = rays.power / rays.power.sum(1, keepdim=True)
            x, y = rays.values[:, X], rays.values[:, Y]
            mean = (share * x).sum(1, keepdim=True)
            sizes.append((share * ((x - mean) ** 2 + y**2)).sum(1).sqrt().cpu())
            aperture = measure_aperture(self.maps, field, self.depth_weights[field], weights, 0.0)
            ratios.append(sizes[-1] * aperture.band / 1.22)
        size = torch.stack(sizes, 1).double()
        ratio = torch.stack(ratios, 1).double() / torch.from_numpy(1e-3 * self.waves_um)
        mix = self.spectrum.mix.T
        return size @ mix, ratio @ mix

    def ring_reach_px(self, field: int, share: float) -> float:
        """Half width beyond which the rings of a field's pattern hold some share of the light, in any channel."""
        reach = 0.0
        for wave, weights in zip(self.waves_um, self.wave_weights, strict=True):
            aperture = measure_aperture(self.maps, field, self.depth_weights[field], weights, 0.0)
            # Behind a round pupil the light beyond r is wavelength / (pi^2 NA r).
            reach = max(reach, wave / (math.pi**2 * 0.5 * aperture.narrow_band * share))
        return reach / self.lens.sensor.pitch_um

    def light(
        self,
        field: int,
        rows: NDArray[np.int64],
        channel: int,
        azimuth_rad: float,
        kernel_px: int,
        oversample: int,
        gradient: bool,
        dtype: torch.dtype = torch.float64,
    ) -> tuple[Tensor, Tensor]:
        """Light in pixels (rows, K, K) and in all (rows,) of one channel, for some depths of one field."""
        inside, total = [], []
        core_px = self._core_px(field, rows, kernel_px)
        for w in np.flatnonzero(self.spectrum.channel_of.numpy() == channel):
            found, power = diffract(
                self.maps,
                field,
                self.depth_weights[field][rows],
                self.wave_weights[w],
                self.q[field][rows],
                float(self.waves_um[w]),
                azimuth_rad=azimuth_rad,
                pixel_um=self.lens.sensor.pitch_um / oversample,
                pixels=core_px * oversample,
                method="huygens" if gradient else "fft",
                fineness=self.sampling.fineness,
                dtype=dtype,
            )
            inside.append(self.share[w] * found)
            total.append(self.share[w] * power)
        light, every = torch.stack(inside).sum(0), torch.stack(total).sum(0)
        return add_far_rings(light, every, kernel_px * oversample), every

    def _core_px(self, field: int, rows: NDArray[np.int64], kernel_px: int) -> int:
        """Odd window beyond which the rings hold no more than they may."""
        if self.sampling.rings == 0:
            return kernel_px
        blur_mm = 0.0
        for weights in self.wave_weights:
            aperture = measure_aperture(self.maps, field, self.depth_weights[field][rows], weights, 0.0)
            blur_mm = max(blur_mm, float(aperture.reach_mm.max()))
        # Seen from the farthest point of the blur.
        reach = self.ring_reach_px(field, self.sampling.rings) + 1e3 * blur_mm / self.lens.sensor.pitch_um
        return min(kernel_px, 2 * math.ceil(reach) + 1)

    def power(self, field: int) -> Tensor:
        """All light of one field at every depth in every channel, shape (D, C), but for `beam_factor`."""
        q = torch.from_numpy(self.q[field])
        found = []
        for weights in self.wave_weights:
            combined = self._combined(field, weights)
            found.append(
                2 * sub_rays(self.maps, field, combined, q.to(combined), _LIGHT_RINGS, _LIGHT_ANGLES).power.sum(1)
            )
        return torch.stack(found, 1).cpu().double() @ self.spectrum.mix.T

    def beam_factor(self, field: int) -> Tensor:
        """From power to collected cross-section (inf) or solid angle, shape (D,)."""
        q = torch.from_numpy(self.q[field])
        return torch.where(q > 0, q**2, 1 + self.chief.slope[field].detach().cpu().double() ** 2)

    def _combined(self, field: int, wave_weights: Array) -> Tensor:
        device = self.maps.coefficients
        weights = torch.from_numpy(self.depth_weights[field]).to(device)
        return self.maps.combined(field, weights, torch.from_numpy(wave_weights).to(device)).detach()


def kernels_of_place(
    lens: Lens,
    radius: float,
    azimuth_rad: float,
    depth_m: float,
    channels: Sequence[Channel],
    *,
    kernel_px: int | None,
    reference: Lens | None,
    sampling: WaveSampling | None,
    gradient: bool,
    model: Model,
    rays: Callable[[int | None], Kernels],
) -> Kernels:
    """Kernels (C, K, K) of one place; the arguments are those of `psf_at`, checked.

    `rays` makes geometric kernels (1, C, K, K) of the same place, for a window or for one of its own choice.

    Raises:
        InputError: An unknown model, or waves of a bundle that ends where a surface ends.
    """
    check_model(model)
    with torch.set_grad_enabled(gradient and torch.is_grad_enabled()):
        unit = lens.vertices_mm.detach()
        radii, depths_mm = unit.new_tensor([radius]), unit.new_tensor([1e3 * depth_m])
        job = WaveJob(lens, radii, depths_mm, channels, reference, sampling or WaveSampling())
        ratio = unit.new_zeros(len(channels))
        if model == "diffraction":
            check_whole(lens, job.maps, 0)
        if not job.maps.whole[0]:
            _warn_of_ends(lens, job.maps.whole, radii.cpu())
            return _first(rays(kernel_px))
        if model == "auto" or kernel_px is None:
            with torch.no_grad():
                size_mm, ratios = (t[0] for t in job.blur(0))
            ratio = ratios.to(unit) if model == "auto" else ratio
            if bool((share_of_rays(ratio) == 1).all()):
                return _first(rays(kernel_px))
            kernel_px = window_for(job, 2 * float(size_mm.max())) if kernel_px is None else kernel_px
        rows = np.zeros(1, dtype=np.int64)
        parts = [job.light(0, rows, c, azimuth_rad, kernel_px, 1, gradient) for c in range(len(channels))]
        waves = to_kernels(torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts]))
        return waves if bool((share_of_rays(ratio) == 0).all()) else mix_models(waves, _first(rays(kernel_px)), ratio)


def _first(kernels: Kernels) -> Kernels:
    return Kernels(kernels.kernels[0], kernels.lost[0], kernels.beam[0])


def add_far_rings(light: Tensor, every: Tensor, pixels: int) -> Tensor:
    """A wider window round light in pixels (D, k, k), filled with what is left of all light (D,) by 1 / r^3."""
    size = light.shape[-1]
    if size >= pixels:
        return light
    side = torch.arange(pixels, dtype=light.dtype, device=light.device) - pixels // 2
    rings = (side[:, None] ** 2 + side**2).clamp_min(1) ** -1.5
    edge = (pixels - size) // 2
    rings[edge:-edge, edge:-edge] = 0
    # Beyond a square of half side h the integral of 1 / r^3 is 4 sqrt(2) / h.
    scale = (every.to(light) - light.sum((-1, -2))) * (0.5 * size) / (4 * math.sqrt(2))
    wide = scale.clamp_min(0)[:, None, None] * rings
    return wide + torch.nn.functional.pad(light, (edge, edge, edge, edge))


def window_for(job: WaveJob, blur_mm: float) -> int:
    """Smallest odd window that holds a blur and all but a hundredth of the rings round it, in every field."""
    reach = max((job.ring_reach_px(int(f), _LOST_TO_RINGS) for f in np.flatnonzero(job.maps.whole)), default=0.5)
    reach += 1e3 * blur_mm / job.lens.sensor.pitch_um
    return min(2 * math.ceil(max(reach - 0.5, 0)) + 1, LARGEST_KERNEL_PX)


def share_of_rays(ratio: Tensor) -> Tensor:
    """How much of the geometric kernel "auto" takes at a blur in Airy radii, shape (...): 0 to 1, smooth."""
    t = ((ratio - WAVES_UP_TO) / (RAYS_FROM - WAVES_UP_TO)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def mix_models(waves: Kernels, rays: Kernels, ratio: Tensor) -> Kernels:
    """Both kinds of kernels (..., K, K) mixed by the blur in Airy radii (...), light by light."""
    t = share_of_rays(ratio).to(waves.kernels)
    inside = (1 - t) * (1 - waves.lost), t * (1 - rays.lost)
    kept = inside[0] + inside[1]
    part = inside[1] / kept
    kernels = (1 - part)[..., None, None] * waves.kernels + part[..., None, None] * rays.kernels
    return Kernels(kernels, 1 - kept, rays.beam)


def diffract_grid(
    lens: Lens,
    depths_m: Tensor,
    radii: Tensor,
    channels: Sequence[Channel],
    *,
    kernel_px: int | None,
    reference: Lens | None,
    oversample: int,
    sampling: WaveSampling,
    rays: Callable[[int | None], Kernels],
    model: Model,
    dtype: torch.dtype,
    on_progress: Progress | None,
) -> tuple[Kernels, float]:
    """Kernels of a depth x radius grid; the arguments are those of `psf_grid`, checked, the lens on the CPU in float64.

    `rays` makes the same grid from rays, for a window or for one of its own choice.

    Returns:
        `kernels` (D, R, C, K, K), `lost` (D, R, C) and, as `beam`, the transmission (D, R, C); and the magnification.
    """
    job = WaveJob(lens, torch.cat([radii.new_zeros(1), radii]), 1e3 * depths_m, channels, reference, sampling)
    fields = range(1, len(radii) + 1)
    for f in fields:
        if model == "diffraction":
            check_whole(lens, job.maps, f)
    if kernel_px is None:
        kernel_px = max(rays(None).kernels.shape[-1] // oversample, window_for(job, 0.0))
    size = kernel_px * oversample
    shape = (len(depths_m), len(radii), len(channels))
    if model == "auto":
        beside = rays(kernel_px)
        kernels, lost = beside.kernels, beside.lost
        ratio = torch.full(shape, math.inf, dtype=torch.float64)
        for f in fields:
            if job.maps.whole[f]:
                ratio[:, f - 1] = job.blur(f)[1]
        _warn_of_ends(lens, job.maps.whole[1:], radii)
    else:
        kernels, lost = torch.empty(*shape, size, size, dtype=dtype), torch.zeros(shape, dtype=torch.float64)
        ratio = torch.zeros(shape, dtype=torch.float64)
    for f in fields:
        for c in range(len(channels)):
            rows = np.flatnonzero((share_of_rays(ratio[:, f - 1, c]) < 1).numpy()).astype(np.int64)
            if len(rows):
                inside, total = job.light(f, rows, c, 0.0, kernel_px, oversample, gradient=False, dtype=dtype)
                waves = to_kernels(inside, total)
                at = torch.from_numpy(rows)
                if model == "auto":
                    own = Kernels(kernels[at, f - 1, c], lost[at, f - 1, c], total)
                    waves = mix_models(waves, own, ratio[at, f - 1, c])
                kernels[at, f - 1, c] = waves.kernels.to(dtype)
                lost[at, f - 1, c] = waves.lost
        if on_progress:
            on_progress(f * len(depths_m) * len(channels), len(radii) * len(depths_m) * len(channels))
    return Kernels(kernels, lost, beside.beam if model == "auto" else _transmission(job)), job.scale


def _transmission(job: WaveJob) -> Tensor:
    """Light of every field but the first against the first, (D, R, C)."""
    beam = torch.stack([job.power(f) * job.beam_factor(f)[:, None] for f in range(len(job.q))], dim=1)
    jacobian = torch.stack([job.chief.mapping(d) for d in job.depths_mm.tolist()])[..., None]
    light = beam / beam[:, :1] * (jacobian / jacobian[:, :1])
    return light[:, 1:]


def _warn_of_ends(lens: Lens, whole: NDArray[np.bool_], radii: Tensor) -> None:
    if not whole.all():
        first = float(radii[int(np.flatnonzero(~whole)[0])])
        text = f"lens {lens.name}: geometric kernels from radius {first:.3g} on, where bundles end with a surface"
        warnings.warn(text, stacklevel=4)
