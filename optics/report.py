"""The report of a lens: all of its analysis on one HTML page, vector drawings and tables."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import torch
from matplotlib.figure import Figure

from psf import Channel
from psf.errors import InputError
from psf.threads import limit_threads

from . import draw, plots
from .aberrations import find_axial_colour, find_focus_curves, trace_ray_fans
from .analysis import find_field_curves, find_spots, trace_fans
from .bundles import read_radii
from .depth_of_field import find_blur
from .energy import find_ray_energy
from .geometric import check_depths
from .mtf import ModulationTransfer, find_geometric_mtf
from .page import Drawing, Section, compose_page
from .report_tables import (
    ReportSettings,
    describe_conjugates,
    describe_depth_of_field,
    describe_first_order,
    describe_focusing,
    describe_prescription,
    describe_provenance,
    describe_spots,
)
from .wave_mtf import find_diffraction_mtf

if TYPE_CHECKING:
    from .lens import Lens

# Sizes for drawings that are printed 180 mm wide.
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "lines.linewidth": 1.2,
    "axes.linewidth": 0.7,
    "svg.fonttype": "none",
    "path.simplify": False,
}
_CURVE, _FINE_CURVE = tuple(i / 40 for i in range(41)), tuple(i / 160 for i in range(161))
_FREQUENCIES = 61
_DEFOCUS_STEPS, _DEPTH_STEPS, _FIELD_STEPS = 61, 33, 31


def make_report(
    lens: Lens, settings: ReportSettings | None = None, on_progress: Callable[[int, int], None] | None = None
) -> str:
    """The page, an HTML document; the same lens and settings give the same bytes.

    Args:
        lens: The lens.
        settings: What to show.
        on_progress: Called with (parts done, parts).

    Raises:
        InputError: Settings out of range, an image height without light.
    """
    chosen = _Chosen.of(lens, settings or ReportSettings())
    makers = [
        _first_order,
        _layout,
        _prescription,
        _spots,
        _fans,
        _field,
        _contrast,
        _contrast_field,
        _through_focus,
        _through_depth,
        _energy,
        _depth_of_field,
        _provenance,
    ]
    sections = []
    # Thousands of small bundles: a second thread costs more than it brings, on a busy machine ten times as much.
    with mpl.rc_context(_STYLE), limit_threads(1):
        for done, maker in enumerate(makers):
            if on_progress is not None:
                on_progress(done, len(makers))
            sections.append(maker(lens, chosen))
    if on_progress is not None:
        on_progress(len(makers), len(makers))
    return compose_page(f"{lens.name}: optical report", lens.title or lens.name, sections)


@dataclass(frozen=True)
class _Chosen:
    """Settings with every default filled in; `shown` is the channel of graphs that show only one."""

    radii: tuple[float, ...]
    depths_m: tuple[float, ...]
    channels: tuple[Channel, ...]
    frequencies_per_mm: tuple[float, ...]
    circles_um: tuple[float, ...]
    shown: tuple[Channel, ...]

    @property
    def focus_first(self) -> float:
        return self.depths_m[0]

    @classmethod
    def of(cls, lens: Lens, settings: ReportSettings) -> _Chosen:
        radii = tuple(read_radii(settings.radii).tolist())
        depths = settings.depths_m
        if depths is None:
            far, near = 1 / lens.focus_m, 1 / lens.nearest_m
            depths = [lens.focus_m, 4 / (3 * far + near), lens.nearest_m]
        check_depths(depths)
        if not depths:
            raise InputError("depths_m", "none", "at least one depth")
        channels = tuple(lens.channels if settings.channels is None else settings.channels)
        nyquist = 500 / lens.sensor.pitch_um
        frequencies = settings.frequencies_per_mm or (nyquist / 8, nyquist / 4, nyquist / 2)
        if not all(math.isfinite(one) and one > 0 for one in frequencies):
            raise InputError("frequencies_per_mm", list(frequencies), "positive numbers")
        diagonal_um = 2e3 * lens.sensor.half_diagonal_mm
        default = sorted({2 * lens.sensor.pitch_um, diagonal_um / 1500, diagonal_um / 750})
        circles = tuple(settings.circles_um or default)
        return cls(
            radii, tuple(depths), channels, tuple(frequencies), circles, channels[min(1, len(channels) - 1) :][:1]
        )

    @property
    def single(self) -> tuple[Channel, ...]:
        """Each channel as its mean wavelength: enough for drawings of rays."""
        pairs = [(c, sum(w * a for w, a in zip(c.wavelengths_um, c.weights, strict=True))) for c in self.channels]
        return tuple(Channel(c.name, (total / sum(c.weights),)) for c, total in pairs)


def _first_order(lens: Lens, chosen: _Chosen) -> Section:
    return Section("First order", [*describe_first_order(lens), describe_conjugates(lens, chosen.depths_m)])


def _prescription(lens: Lens, _: _Chosen) -> Section:
    return Section("Prescription", describe_prescription(lens))


def _provenance(lens: Lens, chosen: _Chosen) -> Section:
    return Section("Where it comes from", [describe_provenance(lens, chosen.channels)])


def _layout(lens: Lens, chosen: _Chosen) -> Section:
    fans = trace_fans(lens, chosen.radii)
    figure = draw.plot_layout(lens, fans, width_in=plots.WIDTH_IN, tallest_in=4.0)
    return Section("Layout", [_drawing(figure, "In section, to scale, rays of the reference wavelength.", "layout")])


def _spots(lens: Lens, chosen: _Chosen) -> Section:
    spots = find_spots(lens, chosen.radii, chosen.depths_m, chosen.single, rings=8)
    panel = (plots.WIDTH_IN - 0.1) / (len(chosen.radii) + 0.55)
    figure = draw.plot_spots(spots, lens.sensor.pitch_um, panel_in=min(panel, 2.35))
    caption = "Rays at the mean wavelength of each channel; the numbers below the panels are RMS radii."
    full = find_spots(lens, chosen.radii, chosen.depths_m, chosen.channels, rings=1)
    return Section("Spot diagrams", [_drawing(figure, caption, "spots"), describe_spots(lens, full)])


def _fans(lens: Lens, chosen: _Chosen) -> Section:
    fans = trace_ray_fans(lens, chosen.radii, chosen.focus_first, chosen.channels)
    at = draw.say_depth(chosen.focus_first)
    first = plots.plot_ray_fans(fans, lens.sensor.pitch_um)
    second = plots.plot_path_fans(fans)
    return Section(
        "Ray and path fans",
        [
            _drawing(
                first, f"Ray fans, object at {at}; a scale for each height, the grey band is a pixel.", "ray fans"
            ),
            _drawing(
                second,
                f"Path differences in waves, object at {at}; a scale for each height, positive is longer.",
                "OPD fans",
            ),
        ],
    )


def _field(lens: Lens, chosen: _Chosen) -> Section:
    depth_m = chosen.focus_first
    waves = [w for c in chosen.channels for w in c.wavelengths_um]
    low, high = min(waves), max(waves)
    steps = [low + (high - low) * i / 40 for i in range(41)] if high > low else [low]
    axial = find_axial_colour(lens, steps, depth_m, chosen.channels)
    focus = find_focus_curves(lens, _FINE_CURVE, depth_m, chosen.channels)
    curves = find_field_curves(lens, _CURVE, depth_m, chosen.channels)
    at = f"Object at {draw.say_depth(depth_m)}."
    span = _span(curves.distortion)
    first = f"{at} Close rays round the chief ray; distortion against the Gaussian image height ({span})."
    second = (
        f"{at} Gaussian focus and chief rays against the reference wavelength, "
        f"{1e3 * lens.reference_wavelength_um:.1f} nm; the grey band is a pixel."
    )
    return Section(
        "Field curvature, distortion, colour, illumination",
        [
            _drawing(plots.plot_field_aberrations(axial, focus, curves), first, "field curvature and distortion"),
            _drawing(plots.plot_colour(axial, curves, lens.sensor.pitch_um), second, "colour and illumination"),
        ],
    )


def _find_contrast(
    lens: Lens, chosen: _Chosen, depths_m: Sequence[float], frequencies: Sequence[float], ways: Sequence[float]
) -> tuple[ModulationTransfer, str]:
    """Contrast with diffraction, where the blur is not too wide for that, and a sentence that says where it was."""
    rows, by_rays = [], []
    for depth_m in depths_m:
        try:
            row = find_diffraction_mtf(
                lens, chosen.radii, [depth_m], frequencies, channels=chosen.shown, defocus_mm=ways
            )
        except InputError:  # said in the caption
            row = find_geometric_mtf(
                lens, chosen.radii, [depth_m], frequencies, channels=chosen.shown, defocus_mm=ways, with_limit=True
            )
            by_rays.append(draw.say_depth(depth_m))
        rows.append(row)
    joined = replace(
        rows[0],
        depths_m=torch.cat([row.depths_m for row in rows]),
        tangential=torch.cat([row.tangential for row in rows]),
        sagittal=torch.cat([row.sagittal for row in rows]),
        limit=torch.cat([row.limit for row in rows]),
    )
    how = "with diffraction and aberrations"
    if by_rays:
        others = " and ".join(by_rays)
        how = f"of real rays times the diffraction limit (object at {others}: blur too wide or wavefront not smooth)"
        how = how if len(by_rays) == len(rows) else f"with diffraction and aberrations; {how}"
    return joined, f"{_channel_note(chosen)} Contrast {how}; the pixel is left out."


def _contrast(lens: Lens, chosen: _Chosen) -> Section:
    nyquist = 500 / lens.sensor.pitch_um
    steps = [nyquist * i / (_FREQUENCIES - 1) for i in range(_FREQUENCIES)]
    found, note = _find_contrast(lens, chosen, chosen.depths_m, steps, [0.0])
    figure = plots.plot_mtf(found, lens.sensor.pitch_um)
    return Section("Contrast against frequency", [_drawing(figure, note, "MTF against frequency")])


def _contrast_field(lens: Lens, chosen: _Chosen) -> Section:
    radii = [i / (_FIELD_STEPS - 1) for i in range(_FIELD_STEPS)]
    found = find_geometric_mtf(
        lens, radii, chosen.depths_m, chosen.frequencies_per_mm, channels=chosen.shown, with_limit=True
    )
    figure = plots.plot_mtf_field(found)
    return Section("Contrast against image height", [_drawing(figure, _contrast_note(chosen), "MTF against height")])


def _through_focus(lens: Lens, chosen: _Chosen) -> Section:
    depth_m = chosen.focus_first
    focus = find_focus_curves(lens, chosen.radii, depth_m, chosen.channels)
    largest = max(float(v.abs().max()) for v in (focus.tangential_mm, focus.sagittal_mm))
    reach = max(1.5 * min(largest, 0.1 * abs(lens.track_mm)), 0.004)
    ways = [reach * (2 * i / (_DEFOCUS_STEPS - 1) - 1) for i in range(_DEFOCUS_STEPS)]
    found, note = _find_contrast(lens, chosen, [depth_m], chosen.frequencies_per_mm, ways)
    caption = f"Object at {draw.say_depth(depth_m)}. {note}"
    figure = plots.plot_mtf_focus(found)
    return Section("Contrast through focus", [_drawing(figure, caption, "MTF through focus")])


def _through_depth(lens: Lens, chosen: _Chosen) -> Section:
    depths_m = _depth_range(lens, chosen)
    found = find_geometric_mtf(
        lens,
        chosen.radii,
        depths_m,
        chosen.frequencies_per_mm,
        channels=chosen.shown,
        with_limit=True,
    )
    figure = plots.plot_mtf_depth(found)
    return Section("Contrast against depth", [_drawing(figure, _contrast_note(chosen), "MTF against depth")])


def _energy(lens: Lens, chosen: _Chosen) -> Section:
    spots = find_spots(lens, chosen.radii, chosen.depths_m, chosen.shown, rings=1)
    reach = max(2.5 * float(spots.rms_um.max()), 2 * float(spots.airy_radius_um.max()))
    circles = [reach * i / 100 for i in range(101)]
    found = find_ray_energy(lens, chosen.radii, chosen.depths_m, circles, chosen.shown)
    figure = plots.plot_energy(found, lens.sensor.pitch_um)
    caption = f"By rays, channel {chosen.shown[0].name}, about the centroid; the grey band is half a pixel."
    return Section("Encircled energy", [_drawing(figure, caption, "encircled energy")])


def _depth_of_field(lens: Lens, chosen: _Chosen) -> Section:
    blur = find_blur(lens, chosen.radii, _depth_range(lens, chosen), chosen.channels)
    figure = plots.plot_blur(blur, chosen.circles_um, lens.sensor.pitch_um)
    caption = (
        "Diameter of the disc with the spot's RMS radius (2.83 times that radius), all channels with lateral colour."
    )
    return Section(
        "Depth of field",
        [
            _drawing(figure, caption, "blur against depth"),
            describe_depth_of_field(lens, chosen.radii, chosen.circles_um),
            describe_focusing(lens, chosen.circles_um),
        ],
    )


def _depth_range(lens: Lens, chosen: _Chosen) -> list[float]:
    """Depths from infinity to the nearest, evenly in dioptres."""
    nearest = max(1 / lens.nearest_m, *(1 / d for d in chosen.depths_m))
    steps = [nearest * i / (_DEPTH_STEPS - 1) for i in range(_DEPTH_STEPS)]
    return [1 / q if q > 0 else math.inf for q in steps]


def _channel_note(chosen: _Chosen) -> str:
    channel = chosen.shown[0]
    waves = ", ".join(f"{1e3 * w:.0f}" for w in channel.wavelengths_um)
    return f"Channel {channel.name} ({waves} nm); solid: tangential, dashed: sagittal."


def _contrast_note(chosen: _Chosen) -> str:
    return (
        f"{_channel_note(chosen)} Contrast of real rays times the diffraction limit: exact where the blur is wide, an "
        "estimate near focus; the pixel is left out."
    )


def _span(values: torch.Tensor) -> str:
    return f"{100 * float(values.min()):+.2f} % to {100 * float(values.max()):+.2f} %"


def _drawing(figure: Figure, caption: str, label: str) -> Drawing:
    buffer = io.StringIO()
    # A salt of its own keeps names, and so the bytes, the same from run to run.
    with mpl.rc_context({"svg.hashsalt": label}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return Drawing(buffer.getvalue(), caption, label)
