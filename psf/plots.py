"""Pictures of a field. Each function returns a matplotlib figure and shows nothing."""

import math

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from torch import Tensor

from .errors import InputError
from .field import PolarPSFField
from .metrics import find_encircled_energy

COLOURS = "inferno"
# Decades below the peak that a logarithmic picture shows.
DECADES = 4.0


def plot_montage(
    field: PolarPSFField,
    channel: int | None = None,
    depths: int = 7,
    radii: int = 7,
    share: float = 0.995,
) -> Figure:
    """Kernels over depth (rows) and image height (columns), each stretched to its own peak.

    Args:
        field: The field.
        channel: Which; default: the middle one, green of red, green and blue.
        depths: At most this many rows, evenly picked from the stored ones.
        radii: At most this many columns.
        share: The common window holds this share of every kernel's light.

    Returns:
        The figure.
    """
    channel = _choose_channel(field, channel)
    rows, columns = _pick(len(field.depths_m), depths), _pick(len(field.radii), radii)
    kernels = np.stack(
        [
            _array(field.at(field.radii[columns], depth.expand(len(columns)), "linear")[:, channel])
            for depth in field.depths_m[rows]
        ]
    )
    half = _half_window(kernels, share)
    middle = field.kernel_px // 2
    kernels = kernels[..., middle - half : middle + half + 1, middle - half : middle + half + 1]
    figure = Figure(figsize=(1.3 + 1.15 * len(columns), 1.6 + 1.15 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    extent = (-half - 0.5, half + 0.5, half + 0.5, -half - 0.5)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            ax = axes[i, j]
            ax.imshow(kernels[i, j], cmap=COLOURS, vmin=0, extent=extent, interpolation="nearest")
            ax.set_xticks([-half, 0, half] if i == len(rows) - 1 and j == 0 else [])
            ax.set_yticks([-half, 0, half] if i == len(rows) - 1 and j == 0 else [])
            ax.tick_params(labelsize=7)
            if i == 0:
                ax.set_title(f"{float(field.radii[column]):.2f}", fontsize=9)
            if j == 0:
                ax.set_ylabel(_depth_label(field.depths_m[row]), fontsize=9)
    figure.supxlabel("offset in px; each kernel stretched to its own peak", fontsize=9)
    figure.supylabel("depth", fontsize=10)
    figure.suptitle(f"{_name(field)}, channel {field.channels[channel].name}: image height (1 = corner)", fontsize=10)
    return figure


def plot_kernel(kernel: Tensor, title: str = "", pitch_um: float | None = None) -> Figure:
    """One kernel twice: linear, and logarithmic over four decades.

    Args:
        kernel: Shape (K, K).
        title: What it is.
        pitch_um: Adds a second axis in um.

    Returns:
        The figure.
    """
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or kernel.shape[0] % 2 == 0:
        raise InputError("kernel", f"shape {tuple(kernel.shape)}", "shape (K, K) with odd K")
    values = _array(kernel)
    peak, half = float(values.max()), values.shape[0] / 2
    if not peak > 0:
        raise InputError("kernel", "no light", "a kernel with a positive value")
    figure = Figure(figsize=(9.5, 4.6), layout="constrained")
    norms = (Normalize(0, peak), LogNorm(peak / 10**DECADES, peak))
    for ax, norm, name in zip(figure.subplots(1, 2), norms, ("linear", "logarithmic"), strict=True):
        shown = np.maximum(values, peak / 10**DECADES) if name == "logarithmic" else values
        image = ax.imshow(shown, cmap=COLOURS, norm=norm, extent=(-half, half, half, -half), interpolation="nearest")
        ax.set(xlabel="columns from the centre pixel (px)", ylabel="rows, down (px)", title=name)
        if pitch_um is not None:
            top = ax.secondary_xaxis("top", functions=(lambda x: x * pitch_um, lambda x: x / pitch_um))
            top.set_xlabel("um", fontsize=8)
            top.tick_params(labelsize=8)
        figure.colorbar(image, ax=ax, shrink=0.85, label="share of the light per pixel")
    figure.suptitle(title)
    return figure


def plot_sensor(
    field: PolarPSFField, depth_m: float, channel: int | None = None, columns: int = 9, share: float = 0.995
) -> Figure:
    """Kernels where they fall on the sensor, turned to their azimuths.

    Args:
        field: The field.
        depth_m: Depth of the points of light.
        channel: Which; default: the first three as red, green and blue, or the only one.
        columns: Kernels along the sensor's width.
        share: The common window holds this share of every kernel's light.

    Returns:
        The figure.
    """
    coloured = channel is None and len(field.channels) >= 3
    shown = [0, 1, 2] if coloured else [_choose_channel(field, channel)]
    height, width = field.image_shape_px
    rows = max(2, round(columns * height / width))
    x_px = torch.linspace(0, width - 1, columns + 1)
    y_px = torch.linspace(0, height - 1, rows + 1)
    x_px, y_px = (x_px[1:] + x_px[:-1]) / 2, (y_px[1:] + y_px[:-1]) / 2
    kernels = _array(field.at_pixel(x_px[None, :], y_px[:, None], depth_m))[:, :, shown]
    half = _half_window(kernels, share)
    middle = field.kernel_px // 2
    kernels = kernels[..., middle - half : middle + half + 1, middle - half : middle + half + 1]
    kernels = kernels / kernels.max((-3, -2, -1), keepdims=True)
    tile = np.pad(kernels, [(0, 0)] * 3 + [(1, 1)] * 2, constant_values=0)
    side = tile.shape[-1]
    picture = tile.transpose(0, 3, 1, 4, 2).reshape(rows * side, columns * side, -1)
    figure = Figure(figsize=(9.5, 1.6 + 8.2 * height / width), layout="constrained")
    ax = figure.subplots()
    roots = np.sqrt(picture) if coloured else np.sqrt(picture[..., 0])
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    ax.imshow(roots, cmap=COLOURS, extent=extent, aspect="auto", interpolation="nearest")
    ax.set_aspect(1)
    ax.set(xlabel="x on the sensor (px)", ylabel="y on the sensor, down (px)")
    name = "R, G, B" if coloured else field.channels[shown[0]].name
    ax.set_title(
        f"{_name(field)} at {_depth_label(depth_m)}, {name}: kernels of {2 * half + 1} px, enlarged\n"
        "each to its own peak, square root of the light"
    )
    return figure


def plot_transmission(field: PolarPSFField, channel: int | None = None) -> Figure:
    """Relative illumination and the light outside the window against image height, a line per depth.

    Args:
        field: The field.
        channel: Which; default: the middle one.

    Returns:
        The figure.
    """
    channel = _choose_channel(field, channel)
    figure = Figure(figsize=(10.5, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    dioptres = _array(1 / field.depths_m)
    norm = Normalize(dioptres.min(), max(dioptres.max(), dioptres.min() + 1e-9))
    colours = ScalarMappable(norm, "viridis")
    radii = _array(field.radii)
    for d, dioptre in enumerate(dioptres):
        left.plot(radii, _array(field.transmission[d, :, channel]), color=colours.to_rgba(dioptre), lw=1.2)
        right.plot(radii, 100 * _array(field.lost[d, :, channel]), color=colours.to_rgba(dioptre), lw=1.2)
    left.set(xlabel="image height (1 = corner)", ylabel="illumination / axis", ylim=(0, None), title="Transmission")
    most = max(1.0, 110 * float(field.lost.detach().max()))
    right.set(xlabel="image height (1 = corner)", ylabel="light outside the window (%)", title="Lost", ylim=(0, most))
    for ax in (left, right):
        ax.set_xlim(0, 1)
        ax.grid(alpha=0.3)
    figure.colorbar(colours, ax=[left, right], label="depth in dioptres (1/m); 0 is infinity")
    figure.suptitle(f"{_name(field)}, channel {field.channels[channel].name}")
    return figure


def plot_encircled_energy(
    field: PolarPSFField, radius: float = 0.0, channel: int | None = None, shares: tuple[float, ...] = (0.5, 0.8, 0.95)
) -> Figure:
    """Radii of the circles that hold given shares of the light, against depth in dioptres.

    Args:
        field: The field.
        radius: Image height, 0 to 1.
        channel: Which; default: the middle one.
        shares: Of the light in the window, 0 to 1.

    Returns:
        The figure.
    """
    channel = _choose_channel(field, channel)
    kernels = field.at_radius(radius)[0][:, channel].detach().double().cpu()
    circles = torch.linspace(0, field.kernel_px * math.sqrt(0.5), 4 * field.kernel_px, dtype=torch.float64)
    energy = find_encircled_energy(kernels, circles).numpy()
    dioptres = _array(1 / field.depths_m)
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    ax = figure.subplots()
    for share, colour in zip(
        shares, ScalarMappable(Normalize(-0.2, 1.2), "viridis").to_rgba(np.array(shares)), strict=True
    ):
        sizes = [np.interp(share, np.maximum.accumulate(one), circles.numpy()) for one in energy]
        ax.plot(dioptres, sizes, "o-", ms=3, color=colour, label=f"{100 * share:g} % of the light")
    if math.isfinite(field.focus_m) or dioptres.min() <= 0:
        ax.axvline(1 / field.focus_m, color="0.5", ls=":", label=f"focus {_depth_label(field.focus_m)}")
    ax.set(xlabel="depth in dioptres (1/m); 0 is infinity", ylabel="radius about the centroid (px)", ylim=(0, None))
    ax.set_title(f"{_name(field)}, channel {field.channels[channel].name}, image height {radius:g}")
    ax.grid(alpha=0.3)
    ax.legend()
    return figure


def _array(tensor: Tensor) -> npt.NDArray[np.float64]:
    values: npt.NDArray[np.float64] = tensor.detach().cpu().double().numpy()
    return values


def _pick(count: int, most: int) -> list[int]:
    return sorted({round(one) for one in np.linspace(0, count - 1, min(count, max(most, 1)))})


def _half_window(kernels: npt.NDArray[np.float64], share: float) -> int:
    """Half the side of the least window about the centre pixel that holds `share` of every kernel's light."""
    middle = int(kernels.shape[-1]) // 2
    for half in range(middle):
        part = kernels[..., middle - half : middle + half + 1, middle - half : middle + half + 1]
        if part.sum((-2, -1)).min() >= share:
            return max(half + 1, min(2, middle))
    return middle


def _depth_label(depth_m: Tensor | float) -> str:
    value = float(depth_m)
    return "infinity" if math.isinf(value) else f"{value:.3g} m"


def _name(field: PolarPSFField) -> str:
    return field.provenance.lens or "PSF field"


def _choose_channel(field: PolarPSFField, channel: int | None) -> int:
    """A channel that the field has; where none is asked for, the middle one."""
    if channel is None:
        return len(field.channels) // 2
    if not 0 <= channel < len(field.channels):
        raise InputError("channel", channel, f"0 to {len(field.channels) - 1}")
    return channel
