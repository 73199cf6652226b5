"""Modulation transfer with diffraction: the autocorrelation of each pupil, wave by wave."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from psf import Channel
from psf.errors import InputError

from .bundles import read_radii, read_spectrum
from .disc import Array
from .geometric import check_depths
from .mtf import ModulationTransfer, find_channel_limit, pixel_mtf, read_frequencies
from .wavefront import Wavefront, find_wavefront
from .zernike import evaluate_zernikes, find_noll_orders

if TYPE_CHECKING:
    from .lens import Lens

# Polynomials of a wavefront over direction cosines: radial orders up to 15.
_POLYNOMIALS = 136
_WORST_FIT_WAVES = 0.03
# The outermost points of a wavefront stand this little inside the rim (the last of 32 Gauss points).
_TO_RIM = 1.0014
_CELLS, _MOST_CELLS = 128, 512
# Cells at a time for which all polynomials are kept.
_BLOCK = 16_384
# Largest step of the phase from cell to cell, in waves.
_STEP_WAVES = 0.3


def find_diffraction_mtf(
    lens: Lens,
    radii: Sequence[float],
    depths_m: Sequence[float],
    frequencies_per_mm: Sequence[float],
    *,
    channels: Sequence[Channel] | None = None,
    defocus_mm: Sequence[float] = (0.0,),
    with_pixel: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> ModulationTransfer:
    """Contrast with diffraction and aberrations: through frequency, field, focus and depth.

    Args:
        lens: The lens.
        radii: Image heights in 0..1, R of them.
        depths_m: Depths, D of them; inf is allowed.
        frequencies_per_mm: Cycles per mm, F of them, from 0.
        channels: By default the lens's; the colours of a channel are added where they land.
        defocus_mm: Ways by which the sensor is moved away from the lens, Z of them.
        with_pixel: Multiply by the transfer of a square pixel.
        on_progress: Called with (depths done, depths).

    Raises:
        InputError: Arguments out of range, an image height without light, a pupil whose wavefront is not smooth, or a
            blur so wide that waves do not matter: `find_geometric_mtf` is for those.
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
        waves = spectrum.wavelength_um.tolist()
        rows = []
        for done, depth_m in enumerate(depths_m):
            if on_progress is not None:
                on_progress(done, len(depths_m))
            fields = []
            for radius in heights.tolist():
                pupils = [_Pupil.of(lens, find_wavefront(lens, radius, depth_m, wave)) for wave in waves]
                fields.append(np.stack([[p.transfer(frequency, way) for p in pupils] for way in defocus_mm]))
            rows.append(np.stack(fields))
        both = torch.from_numpy(np.stack(rows)).to(unit.device)  # (D, R, Z, W, 2, F)
        if on_progress is not None:
            on_progress(len(depths_m), len(depths_m))
        mixed = spectrum.mixed(both.flatten(-2)).unflatten(-1, (2, len(frequency))).abs().to(unit)
        limit = torch.stack([find_channel_limit(lens, depth_m, frequency, spectrum) for depth_m in depths_m])
        pixel = pixel_mtf(frequency, lens.sensor.pitch_um) if with_pixel else torch.ones_like(frequency)
    return ModulationTransfer(
        depths_m=torch.tensor(list(depths_m), dtype=torch.float64).to(unit),
        radii=heights,
        defocus_mm=torch.tensor([float(way) for way in defocus_mm], dtype=torch.float64).to(unit),
        frequencies_per_mm=frequency,
        channels=spectrum.channels,
        tangential=mixed[..., 0, :] * pixel,
        sagittal=mixed[..., 1, :] * pixel,
        limit=limit * pixel,
        with_pixel=with_pixel,
    )


@dataclass(frozen=True, eq=False)
class _Pupil:
    """A pupil on an even grid of direction cosines (l, m), the half with m > 0.

    Attributes:
        amplitude: 0 outside, shape (2 M, M).
        path_waves: Shape (2 M, M).
        along: Direction cosine along the axis, shape (2 M, M).
        energy: Light of the whole pupil: cells on the rim count by their share, which their squares do not.
        step: Step of the grid in direction cosines.
        wavelength_mm: Vacuum wavelength.
        chief_mm: Where the wavelength's own chief ray lands.
    """

    amplitude: Array
    path_waves: Array
    along: Array
    energy: float
    step: float
    wavelength_mm: float
    chief_mm: float

    @classmethod
    def of(cls, lens: Lens, wavefront: Wavefront) -> _Pupil:
        half = len(wavefront.power) // 2  # the rest is its mirror image, and every function of the pupil is even in m
        l, m = wavefront.direction[:half].cpu().double().unbind(1)
        m = m.abs()
        power, share = wavefront.power[:half].cpu().double(), wavefront.amplitude[:half].cpu().double()
        lit = (power > 0) & (share > 0)
        l, m, power, share = l[lit], m[lit], power[lit], share[lit]
        path = wavefront.focal_opd_waves[:half].cpu().double()[lit]
        centre, semi_l, semi_m = 0.5 * (l.min() + l.max()), 0.5 * (l.max() - l.min()), m.max()

        def basis(across: Tensor, up: Tensor) -> Tensor:
            points = torch.stack([(across - centre) / semi_l, up / semi_m], dim=1)
            even = [j for j in range(_POLYNOMIALS) if find_noll_orders(j + 1)[1] >= 0]
            return evaluate_zernikes(points, _POLYNOMIALS)[:, even]

        root = power.sqrt()[:, None]
        design = basis(l, m)
        wanted = torch.stack([path, power / share], dim=1)
        fitted = torch.linalg.lstsq(root * design, root * wanted).solution
        missed = float(((power * (design @ fitted[:, :1] - wanted[:, :1])[:, 0] ** 2).sum() / power.sum()).sqrt())
        if not missed < _WORST_FIT_WAVES:
            found = f"a wavefront {missed:.2g} waves off smooth polynomials"
            raise InputError(
                f"lens {lens.name}", found, f"at most {_WORST_FIT_WAVES} waves: take the geometric contrast"
            )
        reach = 1.03 * max(float(semi_l), float(semi_m))
        cells = _CELLS
        while True:
            step = 2 * reach / cells
            across = float(centre) + step * (torch.arange(cells, dtype=torch.float64) - (cells - 1) / 2)
            up = step * (torch.arange(cells // 2, dtype=torch.float64) + 0.5)
            grid_l, grid_m = (t.flatten() for t in torch.meshgrid(across, up, indexing="ij"))
            inside = _coverage(l - centre, m, grid_l - centre, grid_m, step)
            values = torch.zeros(len(grid_l), 2, dtype=torch.float64)
            for part in (inside > 0).nonzero()[:, 0].split(_BLOCK):
                values[part] = basis(grid_l[part], grid_m[part]) @ fitted
            waves = values[:, 0].reshape(cells, -1)
            lit_cells = inside.reshape(cells, -1) > 0.5
            rise = (waves[1:] - waves[:-1]).abs()[lit_cells[1:] & lit_cells[:-1]]
            rise_up = (waves[:, 1:] - waves[:, :-1]).abs()[lit_cells[:, 1:] & lit_cells[:, :-1]]
            steepest = max(float(rise.max()), float(rise_up.max()))
            if steepest <= _STEP_WAVES:
                break
            cells = 2 * math.ceil(0.55 * cells * steepest / _STEP_WAVES)
            if cells > _MOST_CELLS:
                found = f"a blur that bends the wavefront by {steepest:.2g} waves in {step:.2g}"
                raise InputError(f"lens {lens.name}", found, "a narrower one: take the geometric contrast")
        along = (1 - grid_l**2 - grid_m**2).clamp_min(0).sqrt()
        return cls(
            amplitude=(inside * values[:, 1].clamp_min(0)).reshape(cells, -1).numpy(),
            path_waves=waves.numpy(),
            along=along.reshape(cells, -1).numpy(),
            energy=2 * float((inside * values[:, 1].clamp_min(0) ** 2).sum()),
            step=step,
            wavelength_mm=1e-3 * wavefront.wavelength_um,
            chief_mm=float(wavefront.chief_mm),
        )

    def transfer(self, frequency_per_mm: Tensor, way_mm: float) -> Array:
        """Complex transfer at F frequencies outwards and across, shape (2, F)."""
        waves = self.path_waves + way_mm * self.along / self.wavelength_mm
        half = self.amplitude * np.exp(2j * math.pi * waves)
        whole = np.concatenate([half[:, ::-1], half], axis=1)
        count = 2 * len(whole)
        # The image of a line: the field of each row of the pupil, squared and added up (Parseval the other way).
        place = np.fft.fftfreq(count, d=self.step) * self.wavelength_mm
        frequency = frequency_per_mm.cpu().double().numpy()
        turn = np.exp(-2j * math.pi * frequency[:, None] * place)
        # Shift of the pupil against itself, in cells; beyond its width there is nothing, and the transform repeats.
        lag = frequency * self.wavelength_mm / self.step
        caught = 2 * float((self.amplitude**2).sum()) / self.energy
        found = []
        for axis, shift in ((0, self.chief_mm), (1, 0.0)):
            line = (np.abs(np.fft.ifft(whole, n=count, axis=axis)) ** 2).sum(1 - axis)
            phase = np.exp(-2j * math.pi * frequency * shift)
            # What rim cells lack overlaps with itself for shifts of less than a cell only.
            overlap = caught * (turn @ line) / line.sum() + (1 - caught) * np.maximum(1 - lag, 0)
            found.append(np.where(lag < len(whole), phase * overlap, 0))
        return np.stack(found)


def _coverage(l: Tensor, m: Tensor, grid_l: Tensor, grid_m: Tensor, step: float) -> Tensor:
    """Share of each cell of a grid (G,) that lies in the pupil with points (N,) on its upper half, about its middle."""
    from scipy.spatial import ConvexHull

    points = np.stack([torch.cat([l, l]).numpy(), torch.cat([m, -m]).numpy()], axis=1)
    corners = _TO_RIM * points[ConvexHull(points).vertices]
    angle = np.arctan2(corners[:, 1], corners[:, 0])
    order = np.argsort(angle)
    radius = np.hypot(corners[:, 0], corners[:, 1])[order]
    at = torch.atan2(grid_m, grid_l).numpy()
    rim = torch.from_numpy(np.interp(at, angle[order], radius, period=2 * math.pi))
    return ((rim - torch.hypot(grid_l, grid_m)) / step + 0.5).clamp(0, 1)
