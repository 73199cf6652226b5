"""The fast way to a whole grid of kernels: light sampled densely, rays sparsely.

Landing point and clearance at every surface are smooth functions of pupil place, depth and wavelength (`maps.py`). They
are evaluated between the middle and the rim of each bundle at thousands of sub-rays, which leave their light on the
pixels (`loops.py`). Fields whose nodes do not find every surface are traced plainly (`geometric.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from psf import Channel
from psf.errors import InputError
from psf.threads import share_threads

from .bundles import read_spectrum
from .disc import Array, DiscNodes, lagrange
from .geometric import LARGEST_KERNEL_PX, Kernels, image_scale, kernels_at
from .landing import Sampling, ring_edges, ring_places
from .maps import depth_nodes, trace_maps, wavelength_nodes
from .pupil import chief_rays, dioptre_per_mm, find_ellipses

if TYPE_CHECKING:
    from psf.jobs import Progress

    from .lens import Lens

# The window holds this share of the light for this share of the kernels.
_KEPT_LIGHT, _KEPT_KERNELS = 0.99, 0.99
_ENLARGEMENTS = 4
_LEVELS = (32, 40, 48, 56, 64, 80, 96)
_COARSE_RINGS = 16


@dataclass(frozen=True)
class GridSampling:
    """How finely the fast grid samples; the defaults keep the L1 error of kernels below a per cent.

    Attributes:
        radial: Node radii in the pupil, even, up to 16.
        angular: Node angles over half the pupil, even.
        depths: Nodes over the range of depths, in dioptres.
        rings: Sub-rays along each half line; 0 chooses by the blur of each kernel. Half lines are twice as many over
            half the pupil.
    """

    radial: int = 14
    angular: int = 18
    depths: int = 4
    rings: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (("radial", 6, 16), ("angular", 4, 64), ("depths", 1, 16), ("rings", 0, 512)):
            value = getattr(self, name)
            if not low <= value <= high or (name in ("radial", "angular") and value % 2):
                raise InputError(
                    f"GridSampling.{name}", value, f"a number from {low} to {high}, radial and angular even"
                )


def trace_grid(
    lens: Lens,
    depths_m: Tensor,
    radii: Tensor,
    channels: Sequence[Channel],
    *,
    kernel_px: int | None,
    reference: Lens | None,
    oversample: int,
    sampling: GridSampling,
    dtype: torch.dtype,
    on_progress: Progress | None,
) -> tuple[Kernels, float]:
    """Kernels of a depth x radius grid; the arguments are those of `psf_grid`, checked, the lens on the CPU in float64.

    Returns:
        `kernels` (D, R, C, K, K), `lost` (D, R, C) and, as `beam`, the transmission (D, R, C); and the magnification.
    """
    job = _Job(lens, depths_m, radii, channels, reference, sampling)
    if kernel_px is None:
        kernel_px = job.window_px()
    return job.run(kernel_px, oversample, dtype, on_progress), job.scale


class _Job:
    """One grid: maps, weights and charts, ready for the loops."""

    def __init__(
        self,
        lens: Lens,
        depths_m: Tensor,
        radii: Tensor,
        channels: Sequence[Channel],
        reference: Lens | None,
        sampling: GridSampling,
    ) -> None:
        self.lens, self.reference, self.sampling = lens, reference, sampling
        self.spectrum = read_spectrum(channels, radii)
        self.depths_mm = 1e3 * depths_m
        # Radius 0 comes first: transmission is against the axis.
        self.radii = torch.cat([radii.new_zeros(1), radii])
        self.chief = chief_rays(reference or lens, self.radii, None if reference is None else lens)
        self.scale = 1.0 if reference is None else image_scale(lens, reference)
        wave_nodes, self.wave_weights = wavelength_nodes(self.spectrum.wavelength_um.numpy())
        q_nodes = depth_nodes(self.chief, self.depths_mm, sampling.depths)
        self.q = dioptre_per_mm(self.chief.crossing_mm[:, None], self.depths_mm).numpy()
        self.depth_weights = np.stack([lagrange(n, at) for n, at in zip(q_nodes, self.q, strict=True)])
        self.channel_of, self.share = self.spectrum.channel_of.numpy(), self.spectrum.share.numpy()
        self.nodes = DiscNodes(sampling.radial, sampling.angular)
        ellipses = find_ellipses(lens, self.chief, self.depths_mm, self.spectrum.wavelength_um)
        for _ in range(_ENLARGEMENTS):
            self.charts = torch.stack(
                [self.chief.slope, ellipses.centre_mm, ellipses.semi_u_mm, ellipses.semi_v_mm], dim=1
            ).numpy()
            self.maps = trace_maps(lens, self.chief, ellipses, q_nodes, wave_nodes, self.nodes, self.scale)
            opened = self._measure()
            if not opened.any():
                break
            # Some half lines end inside the ellipse without a cut: the ellipse is too small there.
            grow = torch.from_numpy(np.where(opened, 1.04, 1.0))
            ellipses = replace(ellipses, semi_u_mm=ellipses.semi_u_mm * grow, semi_v_mm=ellipses.semi_v_mm * grow)

    def window_px(self) -> int:
        """The smallest odd window that holds 99 % of the light for 99 % of the kernels."""
        colours = range(len(self.spectrum.channels))
        reach = np.stack([_reach(self.extents[:, :, self.channel_of == c].sum(2), _KEPT_LIGHT) for c in colours])
        for f in np.flatnonzero(~self.maps.whole):
            # A few depths will do: the blur of the others lies in between.
            for d in range(0, len(self.depths_mm), 4):
                coarse = self._plain_kernels(int(f), [d], kernel_px=None, oversample=1, sampling=Sampling(16, 32, 16))
                reach[:, f, d : d + 4] = coarse.kernels.shape[-1] // 2
        size = int(2 * np.quantile(reach, _KEPT_KERNELS, method="higher") + 1)
        if size > LARGEST_KERNEL_PX:
            nearest = 1e-3 * float(self.depths_mm[0])
            found = f"blur of over {LARGEST_KERNEL_PX} px between {nearest:.3g} m and infinity"
            raise InputError(f"lens {self.lens.name}: depths_m", found, "depths nearer to the focus, or a kernel_px")
        return size

    def run(self, kernel_px: int, oversample: int, dtype: torch.dtype, on_progress: Progress | None) -> Kernels:
        """Everything but radius 0, which is there to compare with."""
        depths, fields, colours = len(self.depths_mm), len(self.q), len(self.spectrum.channels)
        size = kernel_px * oversample
        kernels = torch.empty(depths, fields, colours, size, size, dtype=dtype)
        beam = torch.zeros(depths, fields, colours, dtype=torch.float64)
        lost = torch.zeros_like(beam)
        mix = self.spectrum.mix.numpy()
        slope = self.charts[:, 0]
        to_beam = (self.charts[:, 2] * self.charts[:, 3])[:, None] * np.where(
            self.q > 0, 1.0, 1 / np.sqrt(1 + slope**2)[:, None]
        )
        rings = self._rings()
        step = depths if on_progress is None else max(1, depths // 10)
        for start in range(0, depths, step):
            stop = min(start + step, depths)
            raw, lights = self._sweep_all(rings, range(start, stop), size, oversample)
            total = lights @ mix.T
            inside = raw.sum((-1, -2))
            raw /= np.where(inside > 0, inside, 1.0)[..., None, None]
            kernels[start:stop] = torch.from_numpy(raw).movedim(1, 0)
            lost[start:stop] = torch.from_numpy(1 - inside / np.where(total > 0, total, 1.0)).movedim(1, 0)
            beam[start:stop] = torch.from_numpy(total * to_beam[:, start:stop, None]).movedim(1, 0)
            if on_progress:
                on_progress(stop * (fields - 1) * colours, depths * (fields - 1) * colours)
        self._trace_plainly(kernels, beam, lost, kernel_px, oversample)
        jacobian = torch.stack([self.chief.mapping(d) for d in self.depths_mm.tolist()])[..., None]
        light = beam / beam[:, :1] * (jacobian / jacobian[:, :1])
        return Kernels(kernels[:, 1:], lost[:, 1:], light[:, 1:])

    def _rings(self) -> NDArray[np.int64]:
        """Sub-rays along each half line for every (field, depth)."""
        if self.sampling.rings:
            return np.full(self.q.shape, self.sampling.rings)
        reach = _reach(self.extents, 0.98).max(-1)
        # Cells as large as the structure that they must show; several wavelengths in a channel smooth each other.
        smooth = (len(self.share) / len(self.spectrum.channels)) ** _WAVELENGTH_POWER
        wanted = (_RINGS_AT_0 + _RINGS_PER_ROOT_PX * np.sqrt(reach)) / smooth
        levels = np.array(_LEVELS)
        rings: NDArray[np.int64] = levels[np.searchsorted(levels[:-1], wanted)]
        return rings

    def _sweep_all(self, rings: NDArray[np.int64], rows: range, size: int, oversample: int) -> tuple[Array, Array]:
        kernels = np.zeros((len(self.q), len(rows), len(self.spectrum.channels), size, size))
        lights = np.zeros((len(self.q), len(rows), len(self.share)))
        none = np.zeros((0, 0, 0, 0))
        opened = np.zeros((len(self.q), len(rows)), dtype=np.int64)
        mine = rings[:, rows.start : rows.stop]
        for level in np.unique(mine):
            # Fields alternate, so that the costly ones at the corner are shared among threads.
            chosen = (mine == level) & self.maps.whole[:, None]
            tasks = np.argwhere(chosen.T)[:, ::-1].astype(np.int64)
            self._sweep(tasks, rows, int(level), oversample, kernels, lights, none, opened)
        return kernels, lights

    def _measure(self) -> NDArray[np.bool_]:
        """Sample the whole grid coarsely; returns which fields have half lines that end without a cut."""
        fields, depths = self.q.shape
        self.extents = np.zeros((fields, depths, len(self.share), LARGEST_KERNEL_PX // 2 + 2))
        opened = np.zeros((fields, depths), dtype=np.int64)
        tasks = np.argwhere(np.repeat(self.maps.whole[None], depths, axis=0))[:, ::-1].astype(np.int64)
        kernels, lights = np.zeros((fields, depths, 1, 1, 1)), np.zeros((fields, depths, len(self.share)))
        self._sweep(tasks, range(depths), _COARSE_RINGS, 1, kernels, lights, self.extents, opened)
        any_open: NDArray[np.bool_] = np.any(opened, axis=1)
        return any_open

    def _sweep(
        self,
        tasks: NDArray[np.int64],
        rows: range,
        rings: int,
        oversample: int,
        kernels: Array,
        lights: Array,
        extents: Array,
        opened: NDArray[np.int64],
    ) -> None:
        from .loops import sweep

        phi = math.pi * (np.arange(2 * rings) + 0.5) / (2 * rings)
        edges = ring_edges(rings)
        with share_threads():
            sweep(
                np.ascontiguousarray(tasks),
                self.maps.coefficients,
                self.maps.kept,
                self.maps.notched,
                np.ascontiguousarray(self.depth_weights[:, rows.start : rows.stop]),
                self.wave_weights,
                self.nodes.table(phi, odd=False),
                self.nodes.table(phi, odd=True),
                phi,
                edges,
                ring_places(edges),
                self.charts,
                np.ascontiguousarray(self.q[:, rows.start : rows.stop]),
                self.channel_of,
                self.share,
                oversample * 1e3 / self.lens.sensor.pitch_um,
                kernels,
                lights,
                extents,
                opened,
            )

    def _trace_plainly(self, kernels: Tensor, beam: Tensor, lost: Tensor, kernel_px: int, oversample: int) -> None:
        """Fields whose nodes did not all find every surface: bundles that end where a surface ends."""
        depths = list(range(len(self.depths_mm)))
        for f in np.flatnonzero(~self.maps.whole):
            found = self._plain_kernels(int(f), depths, kernel_px=kernel_px, oversample=oversample, sampling=Sampling())
            kernels[:, f], beam[:, f], lost[:, f] = found.kernels.to(kernels.dtype), found.beam, found.lost

    def _plain_kernels(
        self, f: int, depths: list[int], *, kernel_px: int | None, oversample: int, sampling: Sampling
    ) -> Kernels:
        return kernels_at(
            self.lens,
            [float(self.radii[f])] * len(depths),
            [0.0] * len(depths),
            [1e-3 * float(self.depths_mm[d]) for d in depths],
            self.spectrum.channels,
            kernel_px=kernel_px,
            reference=self.reference,
            oversample=oversample,
            sampling=sampling,
            check_loss=False,
        )


# Found by measurement against the reference kernels: see benchmarks/psf_grid.py.
_RINGS_AT_0, _RINGS_PER_ROOT_PX, _WAVELENGTH_POWER = 24.0, 9.0, 0.3


def _reach(extents: Array, share: float) -> NDArray[np.int64]:
    """Half width in pixels that holds a share of the light, from histograms (..., bins)."""
    running = extents.cumsum(-1)
    reach: NDArray[np.int64] = (running >= share * running[..., -1:]).argmax(-1)
    return reach
