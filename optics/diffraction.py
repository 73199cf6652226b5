"""Diffraction PSFs: the plane waves of the exit pupil added up on the sensor, integrated over pixels.

Near the sensor every ray of the bundle is a plane wave with direction cosines (l, m), amplitude and phase, and the
field at (x, y) is the sum of a exp(i k (phase + l x + m y)) over the pupil (the Debye form of Huygens' integral). Its
square integrates to the light of the bundle (Parseval), so what a window does not hold is known, and for large blur it
goes over into the geometric kernel. Scalar: no polarisation, which begins to matter beyond f/1.2 or so.

Two ways of doing the same sum:

* "huygens": every sub-ray at every point of the sensor. Exact, with gradients, slow where the blur is wide.
* "fft": sub-rays are first sown onto a grid of direction cosines that has just the cells that the window needs, then
  two small matrix products (a Fourier transform of the samples that are wanted, and of no other) give the field. The
  two differ by less than 1e-6 of the peak, whatever the blur.

The intensity has no detail finer than its band limit, so that few samples per pixel give the pixels' integrals exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from psf.errors import InputError
from psf.threads import share_threads

from .disc import Array, DiscNodes
from .pupil import chief_rays, dioptre_per_mm
from .wave_maps import PHASE, L, M, WaveMaps, X, map_wavefronts
from .wavefront import check_whole, gauss_points, sub_rays

if TYPE_CHECKING:
    from .lens import Lens

Method = Literal["fft", "huygens"]

# Samples of the intensity stand at least this much closer than its band limit asks for; the pixel's integral then takes
# few of them, this many beyond its edges.
_OVER_BAND, _TAPS_BEYOND = 1.25, 9
# Cells of the grid of direction cosines against the number that just tells the window's points apart.
_GRID_FINENESS = 2.0
# Phases that are held in memory at once.
_LARGEST_BLOCK = 2_000_000
_ANGLES = (24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 1024, 1536, 2048)


@dataclass(frozen=True)
class WaveSampling:
    """How finely a diffraction PSF is sampled; the defaults keep kernels within an L1 of 0.001.

    Attributes:
        radial: Node radii in the pupil, even, up to 16.
        angular: Node angles over half the pupil, even.
        depths: Nodes over the range of depths, in dioptres.
        fineness: Sub-rays along and round the pupil against what the window and the blur ask for.
        rings: Share of the light that may lie beyond the part of a large window that is computed; it is laid down by
            the law of far rings, 1 / r^3. 0 computes whole windows.
    """

    radial: int = 16
    angular: int = 24
    depths: int = 6
    fineness: float = 1.0
    rings: float = 0.004

    def __post_init__(self) -> None:
        for name, low, high in (
            ("radial", 6, 16),
            ("angular", 4, 64),
            ("depths", 1, 16),
            ("fineness", 0.5, 8),
            ("rings", 0, 0.1),
        ):
            value = getattr(self, name)
            if not low <= value <= high or (name in ("radial", "angular") and value % 2):
                expected = f"a number from {low} to {high}, radial and angular even"
                raise InputError(f"WaveSampling.{name}", value, expected)


@dataclass(frozen=True)
class PixelRule:
    """Samples of an intensity that make the integrals over a row of pixels.

    Attributes:
        places_px: Where the samples stand against the middle pixel's centre, symmetric, shape (N,).
        matrix: From samples to integrals over pixels, in units of a pixel, shape (K, N).
    """

    places_px: Array
    matrix: Array


@lru_cache(maxsize=64)
def find_pixel_rule(pixels: int, per_px: int, band_per_px: float) -> PixelRule:
    """The rule for a row of `pixels` with `per_px` samples each and detail up to `band_per_px` cycles per pixel."""
    reach = (per_px + 1) // 2 + _TAPS_BEYOND
    taps = np.arange(-reach, reach + 1)
    # Least squares over all frequencies that occur: sum of w cos(2 pi f t / s) against the pixel's own response.
    frequency = 0.5 * band_per_px * (1 - np.cos(np.pi * (np.arange(8 * reach) + 0.5) / (8 * reach)))
    waves = np.cos(2 * np.pi * frequency[:, None] * taps / per_px)
    folded = np.concatenate([waves[:, reach : reach + 1], 2 * waves[:, reach + 1 :]], axis=1)
    half = np.linalg.lstsq(folded, np.sinc(frequency), rcond=1e-13)[0]
    weights = np.concatenate([half[:0:-1], half])
    count = per_px * (pixels - 1) + 2 * reach + 1
    matrix = np.zeros((pixels, count))
    for pixel in range(pixels):
        matrix[pixel, per_px * pixel : per_px * pixel + 2 * reach + 1] = weights
    places = (np.arange(count) - (count - 1) / 2) / per_px
    return PixelRule(places, matrix)


@dataclass(frozen=True)
class Aperture:
    """What the sums need to know of bundles of one field and wavelength.

    Attributes:
        low: Smallest l and m over the whole pupil, turned to the azimuth.
        high: Largest l and m.
        reach_mm: Farthest landing point from the kernel's centre for each of D depths, shape (D,).
    """

    low: tuple[float, float]
    high: tuple[float, float]
    reach_mm: Array

    @property
    def band(self) -> float:
        """Larger side of the pupil in direction cosines."""
        return max(self.high[0] - self.low[0], self.high[1] - self.low[1])

    @property
    def narrow_band(self) -> float:
        """Smaller side."""
        return min(self.high[0] - self.low[0], self.high[1] - self.low[1])


def measure_aperture(
    maps: WaveMaps, field: int, depth_weights: Array, wave_weights: Array, azimuth_rad: float
) -> Aperture:
    """Extent of a pupil and of its blur, from the nodes alone (they reach to the rim of the ellipse).

    Args:
        maps: Wavefronts of the field.
        field: Which one.
        depth_weights: What to take of each depth node, shape (D, nq).
        wave_weights: What to take of each wavelength node, shape (nw,).
        azimuth_rad: Where the image point lies.
    """
    values = torch.einsum("w,qwcnm->qcnm", torch.from_numpy(wave_weights), maps.values[field].detach().cpu().double())
    l, m = values[:, L].numpy(), values[:, M].numpy()
    cosine, sine = math.cos(azimuth_rad), math.sin(azimuth_rad)
    # Both halves of the pupil.
    sides = [(cosine * l - sine * side, sine * l + cosine * side) for side in (m, -m)]
    across, up = (np.stack(parts) for parts in zip(*sides, strict=True))
    landing = np.einsum("dq,qcnm->dcnm", depth_weights, values[:, X : X + 2].numpy())
    # Nodes stop a hair inside the ellipse.
    edge_l, edge_m = (0.01 * (t.max() - t.min()) for t in (across, up))
    return Aperture(
        low=(float(across.min() - edge_l), float(up.min() - edge_m)),
        high=(float(across.max() + edge_l), float(up.max() + edge_m)),
        reach_mm=np.hypot(landing[:, 0], landing[:, 1]).max((1, 2)),
    )


def count_sub_rays(aperture: Aperture, wavelength_um: float, half_window_mm: float, fineness: float) -> list[int]:
    """Half lines for each depth (Gauss points along them are half as many): enough for every phase in the window."""
    # Phase between the middle and the rim of the pupil, seen from the farthest point of the window.
    radians = math.pi * 1e3 / wavelength_um * aperture.band * (math.sqrt(2) * half_window_mm + aperture.reach_mm)
    wanted = fineness * (0.5 * radians + 2.0 * np.cbrt(radians) + 4)
    at = np.minimum(np.searchsorted(_ANGLES, wanted), len(_ANGLES) - 1)
    return [_ANGLES[i] for i in at]


def diffract(
    maps: WaveMaps,
    field: int,
    depth_weights: Array,
    wave_weights: Array,
    q_per_mm: Array,
    wavelength_um: float,
    *,
    azimuth_rad: float,
    pixel_um: float,
    pixels: int,
    method: Method,
    fineness: float,
    dtype: torch.dtype = torch.float64,
) -> tuple[Tensor, Tensor]:
    """Light in the pixels of a window, for one field and wavelength at D depths.

    Args:
        maps: Wavefronts of the field.
        field: Which one.
        depth_weights: What to take of each depth node, shape (D, nq).
        wave_weights: What to take of each wavelength node, shape (nw,).
        q_per_mm: 1 / (crossing + depth) of each depth, shape (D,).
        wavelength_um: The wavelength.
        azimuth_rad: Where the image point lies.
        pixel_um: Side of a stored pixel.
        pixels: Odd number of them to a side.
        method: See above.
        fineness: See `WaveSampling`.
        dtype: Of the matrix products of "fft"; float32 is right to 1e-6 of the peak.

    Returns:
        Light in each pixel, shape (D, K, K), rows down, and all light of each bundle, shape (D,).
    """
    aperture = measure_aperture(maps, field, depth_weights, wave_weights, azimuth_rad)
    # The intensity has detail up to (width of the pupil) / wavelength.
    band = aperture.band * pixel_um / wavelength_um
    rule = find_pixel_rule(pixels, max(1, math.ceil(2 * _OVER_BAND * band)), round(band + 5e-4, 3))
    places_mm = 1e-3 * pixel_um * rule.places_px
    angles = np.array(count_sub_rays(aperture, wavelength_um, float(places_mm[-1]), fineness))
    intensity_of = partial(_sum_on_grid, dtype=dtype) if method == "fft" else _sum_directly
    device = maps.coefficients.device
    matrix = torch.from_numpy(rule.matrix).to(maps.coefficients)
    matrix = matrix.to(dtype) if method == "fft" else matrix
    light, power, order = [], [], []
    for count in np.unique(angles):
        own = np.flatnonzero(angles == count)
        weights = torch.from_numpy(depth_weights[own]).to(device)
        combined = maps.combined(field, weights, torch.from_numpy(wave_weights).to(device))
        found = intensity_of(
            maps, field, combined, q_per_mm[own], wavelength_um, aperture, places_mm, int(count), azimuth_rad
        )
        # Rows count down, y counts up: the rule is symmetric, so only the picture is flipped.
        light.append((matrix @ found[0].transpose(-1, -2).flip(-2) @ matrix.T) * (1e-3 * pixel_um) ** 2)
        power.append(found[1])
        order.append(own)
    back = torch.from_numpy(np.argsort(np.concatenate(order))).to(device)
    return torch.cat(light)[back], torch.cat(power)[back]


def find_pattern(
    lens: Lens,
    radius: float,
    depth_m: float,
    *,
    step_um: float,
    samples: int,
    wavelength_um: float | None = None,
    azimuth_rad: float = 0.0,
    method: Method = "fft",
) -> Tensor:
    """Intensity on the sensor, point by point, round the chief ray of the reference wavelength.

    Args:
        lens: The lens.
        radius: Image height, 0..1.
        depth_m: Distance of the object from the first vertex; inf is allowed.
        step_um: Distance of the samples.
        samples: Odd number of them to a side.
        wavelength_um: By default the lens's reference wavelength.
        azimuth_rad: Where the image point lies.
        method: "fft" or "huygens", see above.

    Returns:
        Shape (samples, samples), rows down; 1 is the peak of a perfect wavefront of the same amplitude.

    Raises:
        InputError: Arguments out of range, or a bundle that ends where a surface ends.
    """
    wave = lens.reference_wavelength_um if wavelength_um is None else float(wavelength_um)
    if not (math.isfinite(step_um) and step_um > 0 and math.isfinite(wave) and wave > 0):
        raise InputError("step_um, wavelength_um", (step_um, wave), "positive numbers")
    if samples < 3 or samples % 2 == 0:
        raise InputError("samples", samples, "an odd number from 3")
    if not 0 <= radius <= 1 or math.isnan(depth_m) or depth_m <= 0:
        raise InputError("radius, depth_m", (radius, depth_m), "an image height in 0..1 and a positive distance or inf")
    if method not in get_args(Method):
        raise InputError("method", repr(method), '"fft" or "huygens"')
    with torch.no_grad():
        lens = lens.to("cpu", torch.float64)
        unit = lens.vertices_mm
        chief, depth_mm = chief_rays(lens, unit.new_tensor([radius])), unit.new_tensor([1e3 * depth_m])
        nodes = DiscNodes(WaveSampling.radial, WaveSampling.angular)
        maps = map_wavefronts(lens, chief, depth_mm, np.array([wave]), nodes, depth_nodes=1)
        check_whole(lens, maps, 0)
        q = dioptre_per_mm(chief.crossing_mm, depth_mm)
        one = np.ones((1, 1))
        aperture = measure_aperture(maps, 0, one, one[0], azimuth_rad)
        combined = maps.combined(0, unit.new_ones(1, 1), unit.new_ones(1))
        places_mm: Array = 1e-3 * step_um * (np.arange(samples, dtype=np.float64) - samples // 2)
        count = count_sub_rays(aperture, wave, float(places_mm[-1]), 1.0)[0]
        about = (wave, aperture, places_mm, count, azimuth_rad)
        add_up = partial(_sum_on_grid, dtype=torch.float64) if method == "fft" else _sum_directly
        intensity = add_up(maps, 0, combined, q.numpy(), *about)[0][0]
        perfect = (2 * sub_rays(maps, 0, combined, q, count // 2, count).amplitude.sum() / (1e-3 * wave)) ** 2
        return (intensity.T.flip(0) / perfect).contiguous()


def _sum_on_grid(
    maps: WaveMaps,
    field: int,
    combined: Tensor,
    q_per_mm: Array,
    wavelength_um: float,
    aperture: Aperture,
    places_mm: Array,
    angles: int,
    azimuth_rad: float,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """Intensity (D, Nx, Ny) by way of a grid of direction cosines, and power (D,)."""
    from .diffraction_loops import WIDTH, sow

    wave_mm = 1e-3 * wavelength_um
    half = float(places_mm[-1])
    step = wave_mm / (_GRID_FINENESS * 2 * half)
    symmetric = azimuth_rad == 0.0
    middle = 0.5 * (aperture.low[0] + aperture.high[0])
    # Rays through the upper half of a pupil go down behind it.
    high = (aperture.high[0], 0.0 if symmetric else aperture.high[1])
    cells = [math.ceil((end - begin) / step) + WIDTH + 2 for begin, end in zip(aperture.low, high, strict=True)]
    origin = np.array(aperture.low) - (WIDTH // 2 + 0.5) * step
    grid = np.zeros((2, len(combined), *cells))
    power, outside = np.zeros(len(combined)), np.zeros(len(combined), dtype=np.int64)
    phi = math.pi * (np.arange(angles) + 0.5) / angles
    with share_threads():
        sow(
            np.ascontiguousarray(combined.detach().cpu().double().numpy()),
            bool(maps.notched[field]),
            maps.nodes.table(phi, odd=False),
            maps.nodes.table(phi, odd=True),
            phi,
            *gauss_points(angles // 2),
            maps.charts[field],
            np.ascontiguousarray(q_per_mm),
            2 * math.pi / wave_mm,
            np.array([math.cos(azimuth_rad), math.sin(azimuth_rad)]),
            origin,
            step,
            _window_table(),
            grid,
            power,
            outside,
        )
    if outside.any():
        raise ArithmeticError(f"{outside.sum()} sub-rays beyond the grid of direction cosines")
    l, m = (origin[i] + step * np.arange(cells[i]) for i in (0, 1))
    k = 2 * math.pi / wave_mm
    undo = 1 / _window_response(k * step * places_mm)
    angle_x, angle_y = k * (l - middle) * places_mm[:, None], k * m[:, None] * places_mm

    def ready(array: Array) -> Tensor:
        return torch.from_numpy(array).to(dtype)

    to_x = ready(np.concatenate([np.cos(angle_x), np.sin(angle_x)]) * np.tile(undo, 2)[:, None])
    sown = ready(grid / wave_mm)  # (2, D, Gl, Gm)
    if symmetric:
        # Both halves at once, and only for y >= 0.
        first = len(places_mm) // 2
        re, im = sown @ ready(2 * np.cos(angle_y[:, first:]) * undo[first:])
    else:
        cosines, sines = ready(np.cos(angle_y) * undo), ready(np.sin(angle_y) * undo)
        re = sown[0] @ cosines - sown[1] @ sines
        im = sown[0] @ sines + sown[1] @ cosines
    n = len(places_mm)
    by_re, by_im = to_x @ re, to_x @ im
    intensity = (by_re[:, :n] - by_im[:, n:]).square_() + (by_re[:, n:] + by_im[:, :n]).square_()
    if symmetric:
        intensity = torch.cat([intensity[:, :, 1:].flip(-1), intensity], dim=-1)
    return intensity, torch.from_numpy(power)


def _sum_directly(
    maps: WaveMaps,
    field: int,
    combined: Tensor,
    q_per_mm: Array,
    wavelength_um: float,
    aperture: Aperture,
    places_mm: Array,
    angles: int,
    azimuth_rad: float,
) -> tuple[Tensor, Tensor]:
    """Intensity (D, Nx, Ny), sub-ray by sub-ray, and power (D,); plain and differentiable."""
    k = 2e3 * math.pi / wavelength_um
    rays = sub_rays(maps, field, combined, torch.from_numpy(q_per_mm).to(combined), angles // 2, angles)
    places = torch.from_numpy(places_mm).to(combined)
    re = im = rays.amplitude.new_zeros(())
    step = max(1, _LARGEST_BLOCK // (len(places) * len(combined)))
    for first in range(0, rays.amplitude.shape[1], step):
        part = slice(first, first + step)
        amplitude, values = rays.amplitude[:, part], rays.values[:, :, part]
        for side in (values[:, M], -values[:, M]):
            across = math.cos(azimuth_rad) * values[:, L] - math.sin(azimuth_rad) * side
            up = math.sin(azimuth_rad) * values[:, L] + math.cos(azimuth_rad) * side
            along_x = k * (values[:, None, PHASE] + across[:, None] * places[:, None])  # (D, Nx, N)
            along_y = k * up[..., None] * places  # (D, N, Ny)
            a, b = amplitude[:, None] * along_x.cos(), amplitude[:, None] * along_x.sin()
            c, s = along_y.cos(), along_y.sin()
            re, im = re + a @ c - b @ s, im + a @ s + b @ c
    return (re.square() + im.square()) / (1e-3 * wavelength_um) ** 2, 2 * rays.power.sum(1)


@lru_cache(maxsize=1)
def _window_table() -> Array:
    from .diffraction_loops import tabulate_window

    return tabulate_window()


def _window_response(angle: Array) -> Array:
    """Fourier transform of the gridding window at angles per cell, shape (N,)."""
    from .diffraction_loops import BETA, WIDTH

    points, weights = gauss_points(24)
    window = np.exp(BETA * (np.sqrt(1 - points**2) - 1))
    # Even in both: half of the window does.
    return np.asarray(WIDTH * (np.cos(0.5 * WIDTH * angle[:, None] * points) @ (weights * window)))
