"""From a lens to the PSF field of a camera: every kernel of a depth x radius grid.

`fastgrid.py` does it from few rays; grids with gradients are traced plainly, kernel by kernel (`geometric.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from psf import Channel, PolarPSFField, Provenance
from psf.errors import InputError
from psf.provenance import name_version

from .diffraction import WaveSampling
from .fastgrid import GridSampling, trace_grid
from .geometric import Kernels, check_depths, check_kernel_px, image_scale, kernels_at, resolve_channels, warn_of_loss
from .hybrid import Model, check_model, diffract_grid
from .landing import Sampling
from .lens import DEFAULT_NEAREST_M
from .pupil import chief_rays

if TYPE_CHECKING:
    from psf.jobs import Progress

    from .lens import Lens

# Light that two sums of one kernel may differ by without any being lost.
ROUNDING = 1e-12


def default_depths_m(nearest_m: float = DEFAULT_NEAREST_M, count: int = 20) -> Tensor:
    """Depths uniform in dioptres from `nearest_m` to infinity, ascending; shape (count,), float64.

    Raises:
        InputError: Fewer than two depths or a nearest one that is not positive.
    """
    if count < 2:
        raise InputError("depths", count, "at least 2")
    if not (math.isfinite(nearest_m) and nearest_m > 0):
        raise InputError("nearest_m", nearest_m, "a positive distance")
    return 1.0 / torch.linspace(1.0 / nearest_m, 0.0, count, dtype=torch.float64)


def psf_grid(
    lens: Lens,
    depths_m: Sequence[float] | Tensor | None = None,
    radii: Sequence[float] | Tensor | None = None,
    *,
    kernel_px: int | None = None,
    wavelengths_um: Sequence[Sequence[float]] | None = None,
    weights: Sequence[Sequence[float]] | None = None,
    reference: Lens | None = None,
    oversample: int = 1,
    sampling: GridSampling | None = None,
    gradient: bool = False,
    dtype: torch.dtype = torch.float32,
    on_progress: Progress | None = None,
    model: Model = "geometric",
    wave_sampling: WaveSampling | None = None,
) -> PolarPSFField:
    """The PSF field of a lens.

    Args:
        lens: The lens.
        depths_m: Distances from the first vertex, ascending, inf allowed; by default 20, uniform in dioptres from
            `lens.nearest_m` (10 cm unless the file says otherwise) to infinity.
        radii: Image heights in 0..1, ascending; by default 20, evenly spaced.
        kernel_px: Odd window size; by default the smallest that holds 99 % of the light for 99 % of the kernels.
        wavelengths_um: Wavelengths of every channel, by default those of `lens.channels`.
        weights: Weights of the wavelengths, by default equal (or those of `lens.channels`).
        reference: The same lens focused at the reference distance. The field then belongs to the picture of the
            reference focus: it carries the magnification against it, and its kernels what is left of the breathing.
        oversample: Stored values per pixel and axis.
        sampling: How finely to sample.
        gradient: Whether kernels, transmission and lost light carry gradients in the lens's parameters. Every kernel is
            then traced plainly, which takes longer, and traced again on the way back, which keeps memory small.
        dtype: Of the field.
        on_progress: Called with (kernels done, kernels in all).
        model: "geometric" (rays), "diffraction" (waves) or "auto" (waves where the blur is a few Airy radii, rays where
            it is many). Only the first has gradients here; `psf_at` has them with every model.
        wave_sampling: How finely wavefronts are sampled.

    Returns:
        The field; its `lost` says what the window cuts off.

    Raises:
        InputError: Depths or radii out of order or range, an image height without light, a window that loses over 20 %.
    """
    depths, heights = _axes(lens, depths_m, radii)
    channels = resolve_channels(lens, wavelengths_um, weights)
    check_kernel_px(kernel_px)
    if not 1 <= oversample <= 4:
        raise InputError("oversample", oversample, "1 to 4")
    check_model(model)
    if gradient and model != "geometric":
        raise InputError("gradient", f"True with model {model!r}", 'model "geometric", or psf_at for single kernels')
    if gradient:
        found = _plain_grid(lens, depths, heights, channels, kernel_px, reference, oversample, on_progress)
    else:
        with torch.no_grad():
            # The loops are compiled for the CPU, and the maps need double precision.
            double = lens.to("cpu", torch.float64)
            settled = None if reference is None else reference.to("cpu", torch.float64)

            def rays(size: int | None, progress: Progress | None = None) -> tuple[Kernels, float]:
                return trace_grid(
                    double,
                    depths,
                    heights,
                    channels,
                    kernel_px=size,
                    reference=settled,
                    oversample=oversample,
                    sampling=sampling or GridSampling(),
                    dtype=dtype,
                    on_progress=progress,
                )

            if model == "geometric":
                found = rays(kernel_px, on_progress)
            else:
                found = diffract_grid(
                    double,
                    depths,
                    heights,
                    channels,
                    kernel_px=kernel_px,
                    reference=settled,
                    oversample=oversample,
                    sampling=wave_sampling or WaveSampling(),
                    rays=lambda size: rays(size)[0],
                    model=model,
                    dtype=dtype,
                    on_progress=on_progress,
                )
    kernels, scale = found
    device = lens.vertices_mm.device
    kernel_px = kernels.kernels.shape[-1] // oversample
    warn_of_loss(lens, kernels.lost.detach(), kernel_px)
    arguments = {
        "kernel_px": kernel_px,
        "oversample": oversample,
        "model": model,
        "reference_focus_m": None if reference is None else reference.focus_m,
    }
    return PolarPSFField(
        kernels=kernels.kernels.to(device, dtype).contiguous(),
        transmission=kernels.beam.to(device, dtype),
        # Less than this is the rounding of two sums, and not the same on every machine.
        lost=torch.where(kernels.lost > ROUNDING, kernels.lost, 0.0).to(device, dtype),
        depths_m=depths.to(device, dtype),
        radii=heights.to(device, dtype),
        image_shape_px=lens.sensor.image_shape_px,
        pitch_um=lens.sensor.pitch_um,
        channels=channels,
        focus_m=lens.focus_m,
        magnification=scale,
        oversample=oversample,
        provenance=Provenance(
            lens=lens.name,
            source=str(lens.source.get("source", "")),
            file_sha256=lens.file_sha256,
            version=name_version(),
            arguments=arguments,
        ),
    )


def _axes(
    lens: Lens, depths_m: Sequence[float] | Tensor | None, radii: Sequence[float] | Tensor | None
) -> tuple[Tensor, Tensor]:
    f64 = torch.float64
    depths = (
        default_depths_m(lens.nearest_m) if depths_m is None else torch.as_tensor(depths_m, dtype=f64, device="cpu")
    )
    heights = torch.linspace(0, 1, 20, dtype=f64) if radii is None else torch.as_tensor(radii, dtype=f64, device="cpu")
    for name, values in (("depths_m", depths), ("radii", heights)):
        if values.ndim != 1 or len(values) == 0:
            raise InputError(name, f"shape {tuple(values.shape)}", "a list of at least one number")
        if not bool((values[1:] > values[:-1]).all()):
            raise InputError(name, values.tolist(), "ascending numbers")
    check_depths(depths.tolist())
    if not (float(heights[0]) >= 0 and float(heights[-1]) <= 1):
        raise InputError("radii", heights.tolist(), "numbers in 0..1")
    return depths, heights


def _plain_grid(
    lens: Lens,
    depths_m: Tensor,
    radii: Tensor,
    channels: Sequence[Channel],
    kernel_px: int | None,
    reference: Lens | None,
    oversample: int,
    on_progress: Progress | None,
) -> tuple[Kernels, float]:
    if kernel_px is None:
        with torch.no_grad():
            fast, _ = trace_grid(
                lens.to("cpu", torch.float64),
                depths_m,
                radii,
                channels,
                kernel_px=None,
                reference=None if reference is None else reference.to("cpu", torch.float64),
                oversample=1,
                sampling=GridSampling(rings=16),
                dtype=torch.float32,
                on_progress=None,
            )
            kernel_px = fast.kernels.shape[-1]
    scale = 1.0 if reference is None else image_scale(lens, reference)
    # Radius 0 comes first: transmission is against the axis.
    heights = [0.0, *radii.tolist()]
    unit = lens.vertices_mm.detach()

    def row(depth_m: float) -> tuple[Tensor, Tensor, Tensor]:
        found = kernels_at(
            lens,
            heights,
            [0.0] * len(heights),
            [depth_m] * len(heights),
            channels,
            kernel_px=kernel_px,
            reference=reference,
            oversample=oversample,
            sampling=Sampling(rings=64, angles=128),
            gradient=True,
            check_loss=False,
        )
        chief = chief_rays(reference or lens, torch.tensor(heights, dtype=radii.dtype).to(unit), lens)
        jacobian = chief.mapping(1e3 * depth_m)
        light = found.beam / found.beam[:1] * (jacobian / jacobian[:1])[:, None]
        return found.kernels[1:], found.lost[1:], light[1:]

    rows: list[tuple[Tensor, Tensor, Tensor]] = []
    for i, depth_m in enumerate(depths_m.tolist()):
        # Recorded row by row, a default grid would hold gigabytes of sub-rays until the way back.
        rows.append(checkpoint(row, depth_m, use_reentrant=False) if torch.is_grad_enabled() else row(depth_m))
        if on_progress:
            on_progress((i + 1) * len(radii) * len(channels), len(depths_m) * len(radii) * len(channels))
    kernels, lost, light = (torch.stack(parts) for parts in zip(*rows, strict=True))
    return Kernels(kernels, lost, light), scale
