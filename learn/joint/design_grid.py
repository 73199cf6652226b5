"""Kernels of a lens on few depths and image heights, with gradients: what a step of a joint design looks through."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from optics import Lens, Sampling
from optics.geometric import kernels_at
from psf import Channel, InputError

# Enough for gradients of a few parts in a thousand at blurs of some 20 px; `psf_grid` takes five times as many.
COARSE = Sampling(rings=20, angles=20, nodes=10)
COLOURS = 3
# Light of a bundle against the published lens's: what is less is taken for this.
LEAST_LIGHT = 1e-3


@dataclass(frozen=True)
class DesignGrid:
    """Where a lens is looked at.

    Attributes:
        depths_m: Distances from the first vertex, inf allowed; D of them.
        radii: Image heights in 0..1; R of them.
        kernel_px: Odd side K of the windows. Light that falls outside is spread evenly over the window, as haze.
        one_wavelength: Each colour's centroid alone instead of all its wavelengths.
        sampling: Of every bundle.
        checkpointed: Whether depths are traced again on the way back, so that memory is that of one depth; without it
            a step is a third faster.
    """

    depths_m: tuple[float, ...] = (math.inf, 0.4, 0.2, 0.13, 0.1)
    radii: tuple[float, ...] = (0.0, 0.4, 0.7, 0.95)
    kernel_px: int = 65
    one_wavelength: bool = True
    sampling: Sampling = COARSE
    checkpointed: bool = True

    def __post_init__(self) -> None:
        if not self.depths_m or not all(depth > 0 for depth in self.depths_m):
            raise InputError("DesignGrid.depths_m", self.depths_m, "positive distances, inf allowed")
        if not self.radii or not all(0 <= radius <= 1 for radius in self.radii):
            raise InputError("DesignGrid.radii", self.radii, "image heights in 0..1")
        if self.kernel_px < 3 or self.kernel_px % 2 == 0:
            raise InputError("DesignGrid.kernel_px", self.kernel_px, "an odd number from 3")


@dataclass(frozen=True, eq=False)
class DesignKernels:
    """What a lens does to points of light.

    Attributes:
        kernels: Azimuth 0, unit sum with the haze, shape (D, R, 3, K, K).
        beam: Light collected by each bundle, in what `optics.geometric` counts it, shape (D, R, 3).
        lost: Share of the light outside the window, shape (D, R, 3).
    """

    kernels: Tensor
    beam: Tensor
    lost: Tensor


def centre_channels(channels: Sequence[Channel]) -> tuple[Channel, ...]:
    """Every channel with nothing but its weighted mean wavelength."""
    found = []
    for one in channels:
        mean = math.fsum(a * w for a, w in zip(one.weights, one.wavelengths_um, strict=True)) / math.fsum(one.weights)
        found.append(Channel(one.name, (mean,), (1.0,)))
    return tuple(found)


def trace_design(lens: Lens, grid: DesignGrid) -> DesignKernels:
    """Trace a lens's kernels on a grid, with gradients in its parameters.

    Depth by depth under a checkpoint: memory on the way back is that of one depth.

    Args:
        lens: The lens; it has three channels.
        grid: Where to look.

    Raises:
        InputError: Not three channels, or a lens through which some image height gets no light.
    """
    if len(lens.channels) != COLOURS:
        raise InputError(f"lens {lens.name}: channels", len(lens.channels), "3, for red, green and blue")
    channels = centre_channels(lens.channels) if grid.one_wavelength else lens.channels
    radii = list(grid.radii)

    def row(depth_m: float) -> tuple[Tensor, Tensor, Tensor]:
        found = kernels_at(
            lens,
            radii,
            [0.0] * len(radii),
            [depth_m] * len(radii),
            channels,
            kernel_px=grid.kernel_px,
            sampling=grid.sampling,
            spread="spline",
            gradient=True,
            check_loss=False,
        )
        return found.kernels, found.beam, found.lost

    again = grid.checkpointed and torch.is_grad_enabled()
    parts = [checkpoint(row, depth_m, use_reentrant=False) if again else row(depth_m) for depth_m in grid.depths_m]
    kernels, beam, lost = (torch.stack(rows) for rows in zip(*parts, strict=True))
    if not bool(kernels.detach().isfinite().all()):
        # A window without any light in it has no kernel.
        raise InputError(f"lens {lens.name}", "a bundle that leaves its window", "light in every window")
    # Sums of two roundings may fall below nothing.
    haze = lost.clamp_min(0)[..., None, None]
    return DesignKernels(kernels * (1 - haze) + haze / grid.kernel_px**2, beam, lost)


def find_light(found: DesignKernels, published: DesignKernels) -> Tensor:
    """Light of every bundle against that of another lens, so that none is thrown away for nothing.

    Returns:
        Shape (D, R, 3), 1 where both collect alike.
    """
    light: Tensor = (found.beam / published.beam.detach()).clamp_min(LEAST_LIGHT)
    return light
