"""Graphs of aberrations, contrast, energy and depth of field. Each function returns a matplotlib figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, StrMethodFormatter
from torch import Tensor

from psf.errors import InputError

from .aberrations import AxialColour, FocusCurves, RayFans
from .analysis import FieldCurves
from .depth_of_field import Blur
from .disc import Array
from .draw import check_pitch, cycle_inks, ink_of, say_depth, to_array
from .energy import EncircledEnergy
from .mtf import ModulationTransfer

WIDTH_IN = 7.2  # the text width of an A4 page with margins of a centimetre and a half
_HEIGHT = "image height (1 = corner)"
_DEPTH = "depth in dioptres (1/m); 0 is infinity"
_FREQUENCY = "cycles per mm"
_LIMIT_INK = "0.45"
_TS = (("tangential", "-"), ("sagittal", (0, (4, 2))))


def plot_ray_fans(fans: RayFans, pitch_um: float, title: str = "") -> Figure:
    """Transverse aberrations over the pupil: a row and a scale per image height, tangential left, sagittal right.

    Args:
        fans: From `trace_ray_fans`.
        pitch_um: The sensor's; the grey band is a pixel.
        title: What stands above.
    """
    check_pitch(pitch_um)
    label = "landing point against the chief ray (um)"
    figure, axes = _plot_fans(fans, fans.tangential_um, fans.sagittal_um, label, title)
    for ax in axes.flat:
        ax.axhspan(-pitch_um / 2, pitch_um / 2, color="0.92", lw=0, zorder=0)
    return figure


def plot_path_fans(fans: RayFans, title: str = "") -> Figure:
    """Optical path differences over the pupil, laid out like `plot_ray_fans`; positive is longer.

    Args:
        fans: From `trace_ray_fans`.
        title: What stands above.
    """
    label = "path against the reference sphere (waves)"
    return _plot_fans(fans, fans.tangential_waves, fans.sagittal_waves, label, title)[0]


def plot_field_aberrations(axial: AxialColour, focus: FocusCurves, curves: FieldCurves, title: str = "") -> Figure:
    """The classical three: longitudinal aberration, field curvature with astigmatism, distortion.

    Args:
        axial: From `find_axial_colour`.
        focus: From `find_focus_curves`.
        curves: From `find_field_curves`.
        title: What stands above.
    """
    figure = Figure(figsize=(WIDTH_IN, 3.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for c, channel in enumerate(axial.channels):
        left.plot(1e3 * to_array(axial.zone_mm[c]), to_array(axial.zones), color=ink_of(channel), label=channel.name)
    left.set(xlabel="focus from the sensor (um)", ylabel="height in the pupil", title="Longitudinal aberration")
    radii = to_array(focus.radii)
    for c, channel in enumerate(focus.channels):
        for values, (name, style) in zip((focus.tangential_mm, focus.sagittal_mm), _TS, strict=True):
            label = f"{channel.name} {name}"
            middle.plot(1e3 * to_array(values[:, c]), radii, color=ink_of(channel), ls=style, label=label)
    middle.plot(1e3 * to_array(focus.petzval_mm), radii, color=_LIMIT_INK, ls=":", label="Petzval")
    middle.set(xlabel="focus from the sensor (um)", ylabel=_HEIGHT, title="Field curvature, astigmatism")
    # The Petzval parabola of a lens that is flat by astigmatism would squeeze all else.
    largest = 1e3 * max(float(v.abs().max()) for v in (focus.tangential_mm, focus.sagittal_mm))
    middle.set_xlim(-1.15 * largest, 1.15 * largest)
    right.plot(100 * to_array(curves.distortion), to_array(curves.radii), color="#222222")
    right.set(xlabel="against f tan(angle) (%)", ylabel=_HEIGHT, title="Distortion")
    span = max(0.1, 115 * float(curves.distortion.abs().max()))
    right.set_xlim(-span, span)
    for ax in (left, middle, right):
        ax.axvline(0, color="0.6", lw=0.7)
        ax.set_ylim(0, 1)
    _finish(figure, (left, middle, right), title)
    left.legend(frameon=False)
    figure.legend(*middle.get_legend_handles_labels(), loc="outside lower center", ncols=7, frameon=False)
    return figure


def plot_colour(axial: AxialColour, curves: FieldCurves, pitch_um: float, title: str = "") -> Figure:
    """Axial colour against wavelength, lateral colour against image height, relative illumination.

    Args:
        axial: From `find_axial_colour`.
        curves: From `find_field_curves`.
        pitch_um: The sensor's; the grey band is a pixel.
        title: What stands above.
    """
    check_pitch(pitch_um)
    figure = Figure(figsize=(WIDTH_IN, 2.9), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    left.plot(1e3 * to_array(axial.wavelength_um), 1e3 * to_array(axial.shift_mm), color="#222222")
    left.axhline(0, color="0.6", lw=0.7)
    left.set(xlabel="wavelength (nm)", ylabel="Gaussian focus, + farther (um)", title="Axial colour")
    radii = to_array(curves.radii)
    right.plot(radii, 100 * to_array(curves.cos4), color=_LIMIT_INK, ls="--", label=r"cos$^4$ of the angle")
    for c, channel in enumerate(curves.channels):
        width = 1.0 + 1.1 * (len(curves.channels) - 1 - c)
        middle.plot(radii, to_array(curves.lateral_um[:, c]), color=ink_of(channel), label=channel.name)
        illumination = 100 * to_array(curves.illumination[:, c])
        right.plot(radii, illumination, color=ink_of(channel), lw=width, label=channel.name)
    middle.axhspan(-pitch_um / 2, pitch_um / 2, color="0.92", lw=0, zorder=0)
    middle.axhline(0, color="0.6", lw=0.7)
    middle.set(xlabel=_HEIGHT, ylabel="chief ray, + outwards (um)", title="Lateral colour", xlim=(0, 1))
    right.set(xlabel=_HEIGHT, ylabel="% of the axis", title="Relative illumination", xlim=(0, 1), ylim=(0, None))
    _finish(figure, (left, middle, right), title)
    middle.legend(frameon=False)
    right.legend(frameon=False)
    return figure


def plot_mtf(transfer: ModulationTransfer, pitch_um: float, channel: int = 0, title: str = "") -> Figure:
    """Contrast against frequency, a panel per depth, a colour per image height, with the diffraction limit.

    Args:
        transfer: From `find_geometric_mtf`; its first place of the sensor is shown.
        pitch_um: The sensor's; its Nyquist frequency is marked.
        channel: Which.
        title: What stands above.
    """
    check_pitch(pitch_um)
    _check_channel(transfer, channel)
    frequency = to_array(transfer.frequencies_per_mm)
    depths = len(transfer.depths_m)
    figure, axes = _panels(depths)
    nyquist = 500 / pitch_um
    for d, ax in enumerate(axes):
        if frequency.max() > nyquist:
            ax.axvline(nyquist, color="0.75", lw=1)
            ax.annotate("Nyquist", (nyquist, 1.0), (-2, -2), textcoords="offset points", rotation=90, fontsize=6)
            ax.texts[-1].set(ha="right", va="top", color="0.45")
        ax.plot(frequency, to_array(transfer.limit[d, channel]), color=_LIMIT_INK, ls=":", label="diffraction limit")
        for values, (_, style) in zip((transfer.tangential, transfer.sagittal), _TS, strict=True):
            _fields(ax, frequency, values[d, :, 0, channel], transfer.radii, style)
        ax.set(xlabel=_FREQUENCY, ylabel="contrast", ylim=(0, 1), xlim=(0, frequency.max()))
        ax.set_title(f"object at {say_depth(float(transfer.depths_m[d]))}")
    _finish(figure, axes, title)
    _legend(figure, axes[0])
    return figure


def plot_mtf_field(transfer: ModulationTransfer, channel: int = 0, title: str = "") -> Figure:
    """Contrast against image height, a panel per depth, a colour per frequency.

    Args:
        transfer: From `find_geometric_mtf`; its first place of the sensor is shown.
        channel: Which.
        title: What stands above.
    """
    _check_channel(transfer, channel)
    figure, axes = _panels(len(transfer.depths_m))
    names = [f"{one:.3g} per mm" for one in transfer.frequencies_per_mm.tolist()]
    radii = to_array(transfer.radii)
    for d, ax in enumerate(axes):
        for values, (_, style) in zip((transfer.tangential, transfer.sagittal), _TS, strict=True):
            _lines(ax, radii, values[d, :, 0, channel].T, names, style)
        ax.set(xlabel=_HEIGHT, ylabel="contrast", ylim=(0, 1), xlim=(0, 1))
        ax.set_title(f"object at {say_depth(float(transfer.depths_m[d]))}")
    _finish(figure, axes, title)
    _legend(figure, axes[0])
    return figure


def plot_mtf_focus(transfer: ModulationTransfer, channel: int = 0, title: str = "") -> Figure:
    """Contrast against the place of the sensor, a panel per frequency (up to three), a colour per image height.

    Args:
        transfer: From `find_geometric_mtf`; its first depth is shown.
        channel: Which.
        title: What stands above.
    """
    _check_channel(transfer, channel)
    shown = min(3, len(transfer.frequencies_per_mm))
    figure, axes = _panels(shown)
    way = 1e3 * to_array(transfer.defocus_mm)
    for f, ax in enumerate(axes):
        for values, (_, style) in zip((transfer.tangential, transfer.sagittal), _TS, strict=True):
            _fields(ax, way, values[0, :, :, channel, f], transfer.radii, style)
        ax.axvline(0, color="0.6", lw=0.7)
        ax.set(xlabel="sensor moved, + away (um)", ylabel="contrast", ylim=(0, 1), xlim=(way[0], way[-1]))
        ax.set_title(f"{float(transfer.frequencies_per_mm[f]):.3g} cycles per mm")
    _finish(figure, axes, title)
    _legend(figure, axes[0])
    return figure


def plot_mtf_depth(transfer: ModulationTransfer, channel: int = 0, title: str = "") -> Figure:
    """Contrast against depth, a panel per frequency (up to three), a colour per image height.

    Args:
        transfer: From `find_geometric_mtf`; its first place of the sensor is shown.
        channel: Which.
        title: What stands above.
    """
    _check_channel(transfer, channel)
    shown = min(3, len(transfer.frequencies_per_mm))
    figure, axes = _panels(shown)
    dioptres = 1 / to_array(transfer.depths_m)
    for f, ax in enumerate(axes):
        for values, (_, style) in zip((transfer.tangential, transfer.sagittal), _TS, strict=True):
            _fields(ax, dioptres, values[:, :, 0, channel, f].T, transfer.radii, style)
        ax.set(xlabel="depth in dioptres (1/m)", ylabel="contrast", ylim=(0, 1))
        ax.set_xlim(dioptres.min(), dioptres.max())
        ax.set_title(f"{float(transfer.frequencies_per_mm[f]):.3g} cycles per mm")
    _finish(figure, axes, title)
    _legend(figure, axes[0])
    return figure


def plot_energy(energy: EncircledEnergy, pitch_um: float, channel: int = 0, title: str = "") -> Figure:
    """Encircled energy, a panel per depth, a colour per image height.

    Args:
        energy: From `find_ray_energy`.
        pitch_um: The sensor's; half of it is marked.
        channel: Which.
        title: What stands above.
    """
    check_pitch(pitch_um)
    if not 0 <= channel < len(energy.channels):
        raise InputError("channel", channel, f"0 to {len(energy.channels) - 1}")
    figure, axes = _panels(len(energy.depths_m))
    circles = to_array(energy.circle_radius_um)
    for d, ax in enumerate(axes):
        ax.axvspan(0, pitch_um / 2, color="0.92", lw=0, zorder=0)
        limit = 100 * to_array(energy.limit[d, channel])
        ax.plot(circles, limit, color=_LIMIT_INK, ls=":", label="diffraction alone, axis")
        _fields(ax, circles, 100 * energy.share[d, :, channel], energy.radii, "-")
        ax.set(xlabel="radius of the circle (um)", ylabel="% of the light", ylim=(0, 100))
        # To where all heights have most of their light.
        slowest = to_array(energy.share[d, :, channel].amin(0))
        ax.set_xlim(0, circles[min(int(np.searchsorted(slowest, 0.97)) + 1, len(circles) - 1)])
        ax.set_title(f"object at {say_depth(float(energy.depths_m[d]))}")
    _finish(figure, axes, title)
    _legend(figure, axes[0])
    return figure


def plot_blur(blur: Blur, circles_um: Sequence[float], pitch_um: float, title: str = "") -> Figure:
    """Diameter of the blur against depth, with the circles of confusion that the table is about.

    Args:
        blur: From `find_blur`.
        circles_um: Diameters to mark.
        pitch_um: The sensor's.
        title: What stands above.
    """
    check_pitch(pitch_um)
    figure = Figure(figsize=(WIDTH_IN, 3.2), layout="constrained")
    ax = figure.subplots()
    dioptres = 1 / to_array(blur.depths_m)
    _fields(ax, dioptres, blur.diameter_um.T, blur.radii, "-")
    for circle in circles_um:
        ax.axhline(circle, color="0.45", lw=0.8, ls=":")
        label = f"{circle:.3g} um"
        ax.annotate(label, (dioptres.max(), circle), (-2, 1), textcoords="offset points", ha="right", fontsize=6)
    ax.set(xlabel=_DEPTH, ylabel="blur diameter (um)", yscale="log", xlim=(dioptres.min(), dioptres.max()))

    def to_px(um: Any) -> Any:
        return um / pitch_um

    def to_um(px: Any) -> Any:
        return px * pitch_um

    px = ax.secondary_yaxis("right", functions=(to_px, to_um))
    px.set_ylabel("px")
    for axis in (ax.yaxis, px.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(FuncFormatter(lambda v, _: f"{v:g}" if f"{v:e}"[0] in "25" else ""))
    _finish(figure, [ax], title)
    _legend(figure, ax)
    return figure


def _plot_fans(fans: RayFans, tangential: Tensor, sagittal: Tensor, label: str, title: str) -> tuple[Figure, Any]:
    fields = len(fans.radii)
    figure = Figure(figsize=(WIDTH_IN, 0.8 + 0.95 * fields), layout="constrained")
    axes = figure.subplots(fields, 2, squeeze=False, sharex=True, sharey="row")
    for column, (values, alive, pupil) in enumerate(
        ((tangential, fans.alive_t, fans.pupil_t), (sagittal, fans.alive_s, fans.pupil_s))
    ):
        for row in range(fields):
            ax = axes[row, column]
            for c, channel in enumerate(fans.channels):
                shown = np.where(alive[row, c].cpu().numpy(), to_array(values[row, c]), math.nan)
                ax.plot(to_array(pupil[row]), shown, color=ink_of(channel), lw=1.1, label=channel.name)
            ax.axhline(0, color="0.6", lw=0.7)
            ax.axvline(0, color="0.6", lw=0.7)
            ax.grid(alpha=0.25)
        axes[0, column].set_title(("tangential", "sagittal")[column])
    for row in range(fields):
        axes[row, 0].set_ylabel(f"height {float(fans.radii[row]):.2g}")
    # One scale for both sections of a height: the corner's would flatten all others.
    for row in range(fields):
        pairs = ((tangential, fans.alive_t), (sagittal, fans.alive_s))
        largest = max((float(v[row][a[row]].abs().max()) for v, a in pairs if bool(a[row].any())), default=0.0)
        axes[row, 0].set_ylim(-1.15 * largest or -1.0, 1.15 * largest or 1.0)
    reach = max(float(fans.pupil_t.abs().max()), float(fans.pupil_s.abs().max()), 1.0)
    axes[0, 0].set_xlim(-1.03 * reach, 1.03 * reach)
    axes[0, 0].legend(frameon=False, ncols=len(fans.channels), loc="lower right")
    figure.supxlabel("pupil coordinate (1 = rim of the paraxial entrance pupil)", fontsize=8)
    figure.supylabel(label, fontsize=8)
    if title:
        figure.suptitle(title, fontsize=9)
    return figure, axes


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    columns = min(count, 3)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(WIDTH_IN, 0.6 + 2.6 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for spare in axes[count:]:
        spare.remove()
    return figure, axes[:count]


def _fields(ax: Axes, x: Array, y: Tensor, radii: Tensor, style: object) -> None:
    """A line per image height, y (R, N); solid lines get names."""
    _lines(ax, x, y, [f"height {one:.2g}" for one in radii.tolist()], style)


def _lines(ax: Axes, x: Array, y: Tensor, names: Sequence[str], style: object) -> None:
    for row, name, colour in zip(to_array(y), names, cycle_inks(len(names)), strict=True):
        ax.plot(x, row, color=colour, ls=style, lw=1.2, label=name if style == "-" else None)


def _legend(figure: Figure, ax: Axes) -> None:
    handles, labels = ax.get_legend_handles_labels()
    if any(line.get_linestyle() == "--" for line in ax.get_lines()):
        for name, style in _TS:
            handles.append(Line2D([], [], color="0.2", ls=style, lw=1.2))
            labels.append(name)
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 8), frameon=False)


def _finish(figure: Figure, axes: Sequence[Axes], title: str) -> None:
    for ax in axes:
        ax.grid(alpha=0.25)
    if title:
        figure.suptitle(title, fontsize=9)


def _check_channel(transfer: ModulationTransfer, channel: int) -> None:
    if not 0 <= channel < len(transfer.channels):
        raise InputError("channel", channel, f"0 to {len(transfer.channels) - 1}")
