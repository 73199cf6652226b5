"""Pictures of a lens. Each function returns a matplotlib figure and shows nothing."""

from __future__ import annotations

import math
import textwrap
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Circle, PathPatch, Polygon, Rectangle
from matplotlib.path import Path
from numpy.typing import NDArray
from torch import Tensor

from psf import Channel
from psf.errors import InputError

from .analysis import Fans, FieldCurves, Spots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .lens import Lens
    from .surface import Surface

Array = NDArray[np.float64]

# Colours of fans by image height, and of channels by wavelength; told apart by most colour-blind people too.
FAN_COLOURS = ("#0b3c8c", "#1b8a5a", "#d98200", "#b3263a", "#6a3d9a")
_GLASS, _EDGE, _INK = "#dbe8f2", "#4a6a82", "#222222"
_POINTS = 121
# Share of a spot's light that its panel holds: a few rays far out would make all others a dot.
_SHOWN = 0.97
# How often colours take turns in a spot diagram.
_TURNS = 6
# A glass whose medium is thinner than air by less than this is air for the draughtsman.
_AIR_INDEX = 1.01


def plot_layout(lens: Lens, fans: Fans, width_in: float = 9.5, tallest_in: float = 8.2) -> Figure:
    """The lens in section with real rays, to scale.

    Args:
        lens: The lens.
        fans: Its rays, from `trace_fans`.
        width_in: Width of the figure in inches.
        tallest_in: Most that its height may be.

    Returns:
        The figure.
    """
    if fans.z_mm.shape[-1] != len(lens.surfaces) + 2:
        found = f"rays with {fans.z_mm.shape[-1] - 2} crossings"
        raise InputError("fans", found, f"rays of this lens, which has {len(lens.surfaces)} surfaces")
    vertices = to_array(lens.vertices_mm)
    z, x = to_array(fans.z_mm), to_array(fans.x_mm)
    tallest = max(float(s.semi_aperture_mm.detach()) for s in lens.surfaces)
    sensor = lens.sensor.half_diagonal_mm
    reach = max(tallest, sensor, float(np.abs(x).max()))
    left, right = float(z.min()), float(vertices[-1])
    margin = 0.05 * (right - left)
    span_z, span_x = right - left + 2 * margin, 2.16 * reach + 2 * margin
    height_in = 1.7 + (width_in - 1.2) * span_x / span_z
    size_in = (width_in, min(tallest_in, max(0.38 * width_in, height_in)))
    figure = Figure(figsize=size_in, layout="constrained")
    ax = figure.subplots()
    ax.plot([left - margin, right + margin], [0, 0], color="0.6", lw=0.6, ls=(0, (12, 3, 2, 3)), zorder=1)
    for outline in _outlines(lens, vertices):
        ax.add_patch(Polygon(outline, closed=True, facecolor=_GLASS, edgecolor=_EDGE, lw=0.9, zorder=2))
    for field, colour in zip(range(len(z)), cycle_inks(len(z)), strict=True):
        label = f"{float(fans.radii[field]):.2g}"
        for ray in range(z.shape[1]):
            ax.plot(z[field, ray], x[field, ray], color=colour, lw=0.75, zorder=3, label=None if ray else label)
    _draw_stop(ax, lens, vertices, max(tallest, sensor))
    ax.plot([right, right], [-sensor, sensor], color=_INK, lw=2.6, solid_capstyle="butt", zorder=4)
    ax.annotate(
        "sensor", (right, -sensor), (0, -3), textcoords="offset points", ha="center", va="top", fontsize=8, color=_INK
    )
    ax.set_aspect("equal")
    ax.set(xlim=(left - margin, right + margin), ylim=(-span_x / 2, span_x / 2))
    ax.set(xlabel="z from the first vertex (mm)", ylabel="x (mm)")
    ax.spines[["top", "right"]].set_visible(False)
    figure.legend(
        title="image height (1 = corner)", loc="outside lower center", ncols=len(z), fontsize=8, frameon=False
    )
    nm = 1e3 * lens.reference_wavelength_um
    figure.suptitle(f"{lens.name}: rays from {say_depth(fans.depth_m)}, {nm:.1f} nm", fontsize=11)
    return figure


def plot_spots(spots: Spots, pitch_um: float, title: str = "", panel_in: float = 2.35) -> Figure:
    """Spot diagrams: a row per depth, a column per image height, the channels in their colours.

    All panels of a row have one scale, which shows 97 % of the light of every point at least. The square is a pixel,
    the circle the first dark ring of the diffraction pattern.

    Args:
        spots: From `find_spots`.
        pitch_um: The sensor's.
        title: What stands above.
        panel_in: Side of a panel in inches, numbers on the axes included.

    Returns:
        The figure.
    """
    check_pitch(pitch_um)
    x, y, light = to_array(spots.x_um), to_array(spots.y_um), to_array(spots.light)
    owner = spots.channel_of.tolist()
    depths, fields, waves, rays = x.shape
    colours = [ink_of(channel) for channel in spots.channels]
    size_in = (0.55 * panel_in + panel_in * fields, 0.6 * panel_in + 1.13 * panel_in * depths)
    figure = Figure(figsize=size_in, layout="constrained")
    axes = figure.subplots(depths, fields, squeeze=False)
    inks = np.array([colours[c] for c in owner]).repeat(rays)
    # Mixed, so that no channel hides another.
    order = np.random.default_rng(0).permutation(waves * rays)
    size = float(np.sqrt(np.clip(2500.0 / (waves * rays), 0.6, 8.0))) * min(1.0, panel_in / 2)
    for d in range(depths):
        airy = float(spots.airy_radius_um[d])
        weights = light[d].reshape(fields, -1)
        places = [(x[d, f].ravel(), y[d, f].ravel(), weights[f]) for f in range(fields)]
        middles = [float((px * w).sum() / w.sum()) for px, _, w in places]
        reaches = [
            _reach(np.maximum(np.abs(px - middle), np.abs(py)), w)
            for (px, py, w), middle in zip(places, middles, strict=True)
        ]
        half = 1.1 * max(*reaches, 0.8 * pitch_um)
        half = max(half, 1.15 * airy if airy < 3 * half else half)
        for f, (px, py, w) in enumerate(places):
            ax = axes[d, f]
            shown = order[w[order] > 0]
            centre = (middles[f], 0.0)
            ax.add_patch(Circle(centre, airy, fill=False, color="0.15", lw=0.9))
            corner = (middles[f] - pitch_um / 2, -pitch_um / 2)
            ax.add_patch(Rectangle(corner, pitch_um, pitch_um, fill=False, color="0.15", lw=0.9, ls=(0, (3, 2))))
            ax.set(xlim=(middles[f] - half, middles[f] + half), ylim=(-half, half), aspect="equal")
            _draw_dots(ax, px[shown], py[shown], inks[shown], size)
            ax.tick_params(labelsize=min(7.0, 5 * panel_in), length=2)
            ax.grid(alpha=0.2)
            lines = zip(spots.channels, spots.rms_um[d, f].tolist(), strict=True)
            text = [f"{c.name} {rms:.3g} um = {rms / pitch_um:.3g} px" for c, rms in lines]
            ax.set_xlabel("\n".join(text), fontsize=min(7.0, 4.8 * panel_in), linespacing=1.3)
            if d == 0:
                ax.set_title(f"image height {float(spots.radii[f]):.2g}", fontsize=min(9.0, 6 * panel_in))
        axes[d, 0].set_ylabel(f"{say_depth(float(spots.depths_m[d]))}\ny (um)", fontsize=min(9.0, 6 * panel_in))
    figure.suptitle(title, fontsize=11)
    caption = (
        f"x from the chief ray (um), outwards to the right, with the RMS radius of each channel; "
        f"dashed square: pixel of {pitch_um:.3g} um; circle: Airy disc; at least {_SHOWN:.0%} of the light is shown"
    )
    # Some 15 letters of this size to the inch.
    figure.supxlabel(textwrap.fill(caption, int(15 * size_in[0])), fontsize=min(8.0, 5.2 * panel_in))
    return figure


def plot_field_curves(curves: FieldCurves, pitch_um: float, title: str = "") -> Figure:
    """Relative illumination, distortion and lateral colour against image height.

    Args:
        curves: From `find_field_curves`.
        pitch_um: The sensor's.
        title: What stands above.

    Returns:
        The figure.
    """
    check_pitch(pitch_um)
    radii = to_array(curves.radii)
    figure = Figure(figsize=(12.0, 4.3), layout="constrained")
    light, distortion, lateral = figure.subplots(1, 3)
    light.plot(radii, 100 * to_array(curves.cos4), color="0.45", ls="--", lw=1.2, label=r"$\cos^4$ of the field angle")
    for c, channel in enumerate(curves.channels):
        colour = ink_of(channel)
        # Channels differ little here: thinner on wider lines shows them all.
        width = 1.1 + 1.3 * (len(curves.channels) - 1 - c)
        light.plot(radii, 100 * to_array(curves.illumination[:, c]), color=colour, lw=width, label=channel.name)
        lateral.plot(radii, to_array(curves.lateral_um[:, c]), color=colour, lw=1.4, label=channel.name)
    light.set(ylabel="% of the axis", title="Relative illumination", ylim=(0, None))
    light.legend(fontsize=8, frameon=False)
    distortion.plot(radii, 100 * to_array(curves.distortion), color=_INK, lw=1.4)
    distortion.axhline(0, color="0.6", lw=0.7)
    distortion.set(ylabel="image height against the Gaussian one (%)", title="Distortion")
    # A flat curve shall look flat.
    largest = 100 * float(curves.distortion.abs().max())
    if largest < 0.1:
        distortion.set_ylim(-0.1, 0.1)
    lateral.axhline(0, color="0.6", lw=0.7)
    lateral.set(ylabel="chief ray against reference, um (+ outwards)", title="Lateral colour")
    right = lateral.secondary_yaxis("right", functions=(lambda v: v / pitch_um, lambda v: v * pitch_um))
    right.set_ylabel("px")
    lateral.legend(fontsize=8, frameon=False)
    for ax in (light, distortion, lateral):
        ax.set(xlabel="image height (1 = corner)", xlim=(0, 1))
        ax.grid(alpha=0.3)
        ax.title.set_fontsize(10)
    height = f"corner at {float(curves.height_mm[-1] / curves.radii[-1]):.3g} mm" if float(curves.radii[-1]) > 0 else ""
    note = (
        f"object at {say_depth(curves.depth_m)}, {height}, chief ray {math.degrees(float(curves.angle_rad[-1])):.1f}°"
    )
    figure.suptitle(f"{title}: {note}" if title else note, fontsize=11)
    return figure


def _outlines(lens: Lens, vertices: Array) -> list[Array]:
    """Closed outline (N, 2) of every element: front up, rim, rear down, rim."""
    glass = [_is_glass(surface, lens.reference_wavelength_um) for surface in lens.surfaces]
    glass[-1] = False  # what fills the space to the sensor is no element
    outlines = []
    start = 0
    while start < len(glass):
        if not glass[start]:
            start += 1
            continue
        end = start
        while end < len(glass) and glass[end]:
            end += 1
        # Surfaces start..end enclose one piece, cemented where end > start + 1: it has one diameter.
        members = lens.surfaces[start : end + 1]
        rim = max(float(s.semi_aperture_mm.detach()) for s in members)
        profiles = [_profile(s, vertices[start + k], rim) for k, s in enumerate(members)]
        for front, rear in pairwise(profiles):
            outlines.append(np.concatenate([front, rear[::-1]]))
        start = end
    return outlines


def _profile(surface: Surface, vertex_mm: float, rim_mm: float) -> Array:
    """(z, x) from the lower rim to the upper one; outside the clear aperture a surface goes on as a flat ring."""
    semi = float(surface.semi_aperture_mm.detach())
    x = np.linspace(-semi, semi, _POINTS)
    z = vertex_mm + _sag(surface, x)
    if rim_mm > semi * (1 + 1e-6):
        x = np.concatenate([[-rim_mm], x, [rim_mm]])
        z = np.concatenate([z[:1], z, z[-1:]])
    return np.stack([z, x], axis=1)


def _draw_dots(ax: Axes, x: Array, y: Array, inks: Array, size_pt: float) -> None:
    """Points (N,) in their colours, few paths: vector files with a thousand markers per panel are slow to open.

    A dot is a line of hardly any length with round ends; handfuls of every colour take turns on top.
    """
    # Some renderers drop lines of no length at all.
    hair = 1e-3 * (ax.get_xlim()[1] - ax.get_xlim()[0])
    for part in np.array_split(np.arange(len(x)), _TURNS):
        for ink in np.unique(inks):
            mine = part[inks[part] == ink]
            if len(mine) == 0:
                continue
            vertices = np.stack([x[mine], y[mine]], axis=1).repeat(2, axis=0)
            vertices[1::2, 0] += hair
            codes = np.tile([Path.MOVETO, Path.LINETO], len(mine))
            dots = PathPatch(Path(vertices, codes), fill=False, edgecolor=ink, lw=size_pt, capstyle="round", alpha=0.8)
            dots.set_snap(False)
            # Limits are the caller's: a path of many points is slow to measure.
            ax.add_artist(dots)


def _draw_stop(ax: Axes, lens: Lens, vertices: Array, reach_mm: float) -> None:
    stop = lens.surfaces[lens.stop_surface - 1]
    semi = float(stop.semi_aperture_mm.detach())
    z = float(vertices[lens.stop_surface - 1] + _sag(stop, np.array([semi]))[0])
    length = 0.16 * reach_mm
    for sign in (-1, 1):
        ax.plot([z, z], [sign * semi, sign * (semi + length)], color=_INK, lw=2.2, solid_capstyle="butt", zorder=5)
    ax.annotate(
        "stop", (z, semi + length), (0, 2), textcoords="offset points", ha="center", va="bottom", fontsize=8, color=_INK
    )


def _is_glass(surface: Surface, wavelength_um: float) -> bool:
    return float(surface.medium.index(torch.tensor(wavelength_um, dtype=torch.float64)).detach()) > _AIR_INDEX


def _sag(surface: Surface, x_mm: Array) -> Array:
    height, _, _ = surface.shape.sag(torch.from_numpy(x_mm**2).to(surface.thickness_mm))
    return to_array(height)


def check_pitch(pitch_um: float) -> None:
    """Raise InputError unless a pixel pitch is a positive number."""
    if not (math.isfinite(pitch_um) and pitch_um > 0):
        raise InputError("pitch_um", pitch_um, "a positive number")


def cycle_inks(count: int) -> list[str]:
    """So many colours for image heights."""
    return [FAN_COLOURS[i % len(FAN_COLOURS)] for i in range(count)]


def ink_of(channel: Channel) -> str:
    """By the channel's mean wavelength: what the eye would say, in inks that show on white."""
    pairs = list(zip(channel.wavelengths_um, channel.weights, strict=True))
    total = sum(weight for _, weight in pairs)
    mean = sum(wavelength * weight for wavelength, weight in pairs) / total if total > 0 else 0.55
    bands = ((0.41, "#7a2fa0"), (0.50, "#2456c8"), (0.58, "#1f8f3a"), (0.605, "#d98200"), (0.70, "#c8202c"))
    return next((ink for longest, ink in bands if mean < longest), "#7d3b2a")


def _reach(distance: Array, light: Array) -> float:
    """Distance within which `_SHOWN` of the light lies."""
    order = np.argsort(distance)
    running = np.cumsum(light[order])
    return float(distance[order][np.searchsorted(running, _SHOWN * running[-1])])


def say_depth(depth_m: float) -> str:
    """Words for a depth."""
    return "infinity" if math.isinf(depth_m) else f"{depth_m:.3g} m"


def to_array(tensor: Tensor) -> Array:
    """A tensor (...) for matplotlib."""
    values: Array = tensor.detach().cpu().double().numpy()
    return values
