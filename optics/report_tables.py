"""The tables of a report: what a lens is in numbers, as rows of text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from psf import Channel
from psf.errors import InputError
from psf.provenance import name_version

from .analysis import AIRY, Spots
from .depth_of_field import find_depth_of_field, find_gaussian_depth_of_field
from .glass import LINE_C_UM, LINE_D_UM, LINE_F_UM
from .page import Table
from .paraxial import conjugate, first_order
from .pupil import chief_rays

if TYPE_CHECKING:
    from .lens import Lens
    from .surface import Surface

_LINES_UM = (LINE_F_UM, LINE_D_UM, LINE_C_UM)
_LONGEST_TEXT = 600
# At the hyperfocal distance the far limit is infinite but for rounding.
_AS_GOOD_AS_INFINITE_M = 1e6


@dataclass(frozen=True)
class ReportSettings:
    """What a report shows.

    Attributes:
        radii: Image heights of spots, fans and contrast.
        depths_m: Depths of spots, contrast and encircled energy; by default the focus, the lens's nearest depth and
            one a quarter of the way in dioptres.
        channels: By default the lens's.
        frequencies_per_mm: Of the plots of contrast against field, focus and depth; by default an eighth, a quarter
            and a half of the sensor's Nyquist frequency.
        circles_um: Circles of confusion; by default two pixels, a 1500th of the diagonal and twice that.
    """

    radii: Sequence[float] = (0.0, 0.35, 0.7, 1.0)
    depths_m: Sequence[float] | None = None
    channels: Sequence[Channel] | None = None
    frequencies_per_mm: Sequence[float] | None = None
    circles_um: Sequence[float] | None = None


def describe_first_order(lens: Lens) -> list[Table]:
    """Gaussian data at the reference wavelength, and the sensor."""
    with torch.no_grad():
        facts = {name: float(value) for name, value in vars(first_order(lens)).items()}
        corner = chief_rays(lens, lens.vertices_mm.new_ones(1))
    angle = math.degrees(math.atan(abs(float(corner.slope.detach()))))
    height, width = lens.sensor.image_shape_px
    pitch = lens.sensor.pitch_um
    left = [
        ("Focal length", f"{facts['efl_mm']:.4f} mm"),
        ("f-number at infinity", f"f/{facts['f_number_infinity']:.3f}"),
        ("Entrance pupil diameter", f"{2 * facts['entrance_pupil_semi_diameter_mm']:.4f} mm"),
        ("Entrance pupil from first vertex", f"{facts['entrance_pupil_from_first_vertex_mm']:.4f} mm"),
        ("Exit pupil diameter", f"{2 * facts['exit_pupil_semi_diameter_mm']:.4f} mm"),
        ("Exit pupil from last vertex", f"{facts['exit_pupil_from_last_vertex_mm']:.4f} mm"),
        ("Front focal point from first vertex", f"{facts['ffl_from_first_vertex_mm']:.4f} mm"),
        ("Back focal point from last vertex", f"{facts['bfl_from_last_vertex_mm']:.4f} mm"),
        ("Front principal plane from first vertex", f"{facts['front_principal_plane_from_first_vertex_mm']:.4f} mm"),
        ("Rear principal plane from last vertex", f"{facts['rear_principal_plane_from_last_vertex_mm']:.4f} mm"),
        ("Petzval radius", f"{facts['petzval_radius_mm']:.3f} mm"),
    ]
    right = [
        ("Total track, first vertex to sensor", f"{facts['total_track_first_vertex_to_image_mm']:.4f} mm"),
        ("Sensor from last vertex", f"{facts['image_plane_from_last_vertex_mm']:.4f} mm"),
        ("Sensor behind the Gaussian focus", f"{1e3 * facts['paraxial_defocus_of_image_plane_mm']:+.2f} um"),
        ("Focused to", _depth(lens.focus_m)),
        ("Sensor", f"{width} x {height} px of {pitch:g} um"),
        ("Sensor size", f"{1e-3 * width * pitch:.3f} x {1e-3 * height * pitch:.3f} mm"),
        ("Image height of the corner", f"{lens.sensor.half_diagonal_mm:.4f} mm"),
        ("Chief ray to the corner, object side", f"{angle:.2f}° ({2 * angle:.1f}° over the diagonal)"),
        ("Nyquist frequency", f"{500 / pitch:.1f} per mm"),
        ("Reference wavelength", f"{1e3 * lens.reference_wavelength_um:.2f} nm"),
        ("Stop", f"surface {lens.stop_surface} of {len(lens.surfaces)}"),
    ]
    return [Table(("", ""), rows, narrow=True, wraps=True) for rows in (left, right)]


def describe_conjugates(lens: Lens, depths_m: Sequence[float]) -> Table:
    """Gaussian images of object planes."""
    rows = []
    for depth_m in depths_m:
        with torch.no_grad():
            found = conjugate(lens, depth_m)
            image = float(found.image_distance_from_last_vertex_mm)
        f_number = float(found.working_f_number)
        airy = AIRY * lens.reference_wavelength_um * f_number
        sensor = float(lens.surfaces[-1].thickness_mm.detach())
        rows.append(
            (
                _depth(depth_m),
                f"{image:.4f}",
                f"{1e3 * (image - sensor):+.1f}",
                f"{float(found.magnification):.5f}",
                f"{f_number:.3f}",
                f"{airy:.2f}",
                f"{1e-3 / (lens.reference_wavelength_um * 1e-6 * f_number):.0f}",
            )
        )
    head = (
        "object at",
        "image from last vertex (mm)",
        "image behind sensor (um)",
        "magnification",
        "working f-number",
        "Airy radius (um)",
        "cut-off (per mm)",
    )
    return Table(head, rows, "Gaussian conjugates")


def describe_prescription(lens: Lens) -> list[str | Table]:
    """Surfaces, aspheric terms and indices."""
    media: dict[str, Any] = {}
    rows = []
    for number, surface in enumerate(lens.surfaces, start=1):
        curvature = float(surface.shape.vertex_curvature_per_mm.detach())
        packed = surface.shape.packed()
        conic = "" if packed is None or packed.flat else f"{float(packed.conic_k.detach()):.6g}"
        rows.append(
            (
                f"{number}{' stop' if number == lens.stop_surface else ''}",
                type(surface.shape).__name__,
                "∞" if curvature == 0 else f"{1 / curvature:.5f}",
                conic,
                f"{float(surface.thickness_mm.detach()):.5f}",
                surface.medium.name,
                f"{float(surface.semi_aperture_mm.detach()):.4f}",
            )
        )
        media.setdefault(surface.medium.name, surface.medium)
    head = ("surface", "shape", "radius (mm)", "conic k", "thickness (mm)", "medium behind", "semi-aperture (mm)")
    parts: list[str | Table] = [Table(head, rows, "Surfaces, in the order of the light", text_columns=(1, 5))]
    terms = [(n, _terms(surface)) for n, surface in enumerate(lens.surfaces, start=1)]
    powers = sorted({power for _, found in terms for power in found})
    for start in range(0, len(powers), 7):
        part = powers[start : start + 7]
        lines = [
            (str(n), *(f"{found[p]:.5e}" if p in found else "" for p in part))
            for n, found in terms
            if any(p in found for p in part)
        ]
        parts.append(Table(("surface", *(f"r^{p}" for p in part)), lines, "Aspheric terms (mm and powers of it)"))
    waves = sorted({*_LINES_UM, lens.reference_wavelength_um})
    indices = []
    for name, medium in media.items():
        values = medium.index(torch.tensor(waves, dtype=torch.float64)).detach()
        low, line, high = (float(v) for v in medium.index(torch.tensor(_LINES_UM, dtype=torch.float64)).detach())
        abbe = f"{(line - 1) / (low - high):.2f}" if low > high else ""
        indices.append((name, *(f"{float(v):.6f}" for v in values), abbe))
    names = tuple(f"n at {1e3 * w:.2f} nm" for w in waves)
    parts.append(Table(("medium", *names, "Abbe number"), indices, "Refractive indices against air"))
    return parts


def describe_spots(lens: Lens, spots: Spots) -> Table:
    """RMS radii of spots over depths and image heights."""
    rows = []
    for d, depth_m in enumerate(spots.depths_m.tolist()):
        for c, channel in enumerate(spots.channels):
            values = spots.rms_um[d, :, c].tolist()
            cells = [f"{v:.2f} um = {v / lens.sensor.pitch_um:.2f} px" for v in values]
            rows.append((f"{_depth(depth_m)}, {channel.name}", *cells))
    head = ("object at, channel", *(f"height {r:.2g}" for r in spots.radii.tolist()))
    return Table(head, rows, "RMS spot radius, all wavelengths of the channel, about its centroid")


def describe_depth_of_field(lens: Lens, radii: Sequence[float], circles_um: Sequence[float]) -> Table:
    """Nearest and farthest sharp depths for circles of confusion, traced and by the formula."""
    found = find_depth_of_field(lens, radii, circles_um)
    gaussian = find_gaussian_depth_of_field(lens, circles_um)
    rows = []
    for e, circle in enumerate(circles_um):
        formula = _range(float(gaussian.near_m[e]), float(gaussian.far_m[e]), bool(gaussian.sharp[e]))
        traced = [
            _range(float(found.near_m[r, e]), float(found.far_m[r, e]), bool(found.sharp[r, e]))
            for r in range(len(radii))
        ]
        rows.append((f"{circle:.2f} um = {circle / lens.sensor.pitch_um:.1f} px", formula, *traced))
    best = [f"{_depth(b)}, {s:.2f} um" for b, s in zip(found.best_m.tolist(), found.smallest_um.tolist(), strict=True)]
    rows.append(("sharpest depth and its blur", _depth(gaussian.focus_m), *best))
    head = ("blur up to", "formula, Gaussian", *(f"height {r:.2g}" for r in found.radii.tolist()))
    return Table(head, rows, "Depth of field with the sensor where it stands: nearest to farthest depth")


def describe_focusing(lens: Lens, circles_um: Sequence[float]) -> Table:
    """What refocusing does to the axis: the nearest and farthest sharp depths for several focus distances."""
    circle = circles_um[0]
    hyperfocal = float(find_gaussian_depth_of_field(lens, [circle]).hyperfocal_m[0])
    nearest = lens.nearest_m
    between = math.sqrt(nearest * hyperfocal) if hyperfocal > nearest else 2 * nearest
    rows = []
    chosen = (("infinity", math.inf), ("hyperfocal", hyperfocal), ("between", between), ("nearest", nearest))
    for name, focus_m in chosen:
        try:
            moved = lens.refocused(focus_m, "spot")
        except InputError:
            continue  # no real image from there: nothing to focus on
        found = find_depth_of_field(moved, [0.0], [circle])
        gaussian = find_gaussian_depth_of_field(lens.refocused(focus_m), [circle])
        way = float((moved.surfaces[-1].thickness_mm - lens.surfaces[-1].thickness_mm).detach())
        rows.append(
            (
                f"{name}: {_depth(focus_m)}" if name != "infinity" else name,
                f"{1e3 * way:+.1f}",
                _range(float(found.near_m[0, 0]), float(found.far_m[0, 0]), bool(found.sharp[0, 0])),
                _range(float(gaussian.near_m[0]), float(gaussian.far_m[0]), bool(gaussian.sharp[0])),
                f"{float(found.smallest_um[0]):.2f}",
            )
        )
    head = ("focused to", "sensor moved (um)", "sharp, traced", "sharp, formula", "smallest blur (um)")
    caption = f"The axis when the sensor is moved to the smallest spot of an object, blur up to {circle:.2f} um"
    return Table(head, rows, caption)


def describe_provenance(lens: Lens, channels: Sequence[Channel]) -> Table:
    """File, hash, version, sources and channels."""
    rows = [
        ("Lens", lens.name),
        ("Title", lens.title or "none"),
        ("File, SHA-256", lens.file_sha256 or "not from a file"),
        *((key.replace("_", " ").capitalize(), _text(value)) for key, value in lens.source.items()),
        *((f"Channel {c.name}", _channel(c)) for c in channels),
        ("Made by", f"{name_version()}, python -m optics report"),
        ("Rays", "real rays through every clear aperture, float64; no coatings, no absorption, air is exactly 1"),
    ]
    return Table(("", ""), rows, text_columns=(1,), wraps=True)


def _terms(surface: Surface) -> Mapping[int, float]:
    packed = surface.shape.packed()
    if packed is None or not packed.powers:
        return {}
    values = zip(packed.powers, packed.coefficients.detach().tolist(), strict=True)
    return {power: value for power, value in values if value != 0}


def _channel(channel: Channel) -> str:
    total = sum(channel.weights)
    pairs = zip(channel.wavelengths_um, channel.weights, strict=True)
    return ", ".join(f"{1e3 * wave:.1f} nm ({100 * weight / total:.0f} %)" for wave, weight in pairs)


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        value = "; ".join(f"{str(key).replace('_', ' ')}: {_text(one)}" for key, one in value.items())
    elif isinstance(value, list | tuple):
        value = ", ".join(_text(one) for one in value)
    text = " ".join(str(value).split())
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} ..."


def _depth(depth_m: float) -> str:
    return "infinity" if math.isinf(depth_m) else f"{depth_m:.3g} m"


def _range(near_m: float, far_m: float, sharp: bool) -> str:
    if not sharp:
        return "never"
    if near_m > _AS_GOOD_AS_INFINITE_M:
        return "infinity only"
    return f"{near_m:.3g} m to {'infinity' if far_m > _AS_GOOD_AS_INFINITE_M else f'{far_m:.3g} m'}"
