"""From a manifest and its files to a field: what each file says of itself, checked against the manifest."""

import hashlib
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..channels import Channel
from ..errors import InputError
from ..field import PolarPSFField
from ..provenance import Provenance
from .gridding import Gridded, grid_kernels
from .kernel_folder import SUFFIXES, find_manifest, read_kernel_file
from .manifests import Entry, Manifest, read_manifest
from .notices import Notice, unique
from .opticstudio import OpticStudioPSF, read_opticstudio
from .placing import ScatteredKernel

# Headers have four decimals: angles, millimetres and micrometres agree to one step of the last.
LAST_DECIMAL = 1.01e-4
# Places and directions below this count as the axis.
ON_AXIS_MM = 1e-6


@dataclass(frozen=True, eq=False)
class ImportedField:
    """What became of a manifest.

    Attributes:
        field: The field.
        notices: What was skipped, guessed, changed or lost, with file and line.
        files: How many files were read.
    """

    field: PolarPSFField
    notices: tuple[Notice, ...]
    files: int


@dataclass(frozen=True, eq=False)
class _Source:
    """An entry and its file, read: an export, or values of a file that says nothing of itself."""

    entry: Entry
    export: OpticStudioPSF | None
    values: Tensor


def import_field(
    path: str | os.PathLike[str],
    *,
    kernel_px: int | None = None,
    most_asymmetry: float = 0.2,
    on_progress: Callable[[int, int], None] | None = None,
) -> ImportedField:
    """Read kernels of other programs into a field.

    Args:
        path: A manifest (.json, .csv), or a folder that holds one.
        kernel_px: Side of the kernels in place of the manifest's.
        most_asymmetry: As in `grid_kernels`.
        on_progress: Called with (kernels placed, kernels in all).

    Raises:
        FileNotFoundError: The manifest or one of its files is missing.
        InputError: A file that cannot be read or contradicts the manifest, or kernels that are no field.
    """
    manifest = read_manifest(find_manifest(path))
    notices: list[Notice] = []
    digest = hashlib.sha256(manifest.path.read_bytes())
    sources = []
    for entry in manifest.entries:
        if not entry.file.is_file():
            raise FileNotFoundError(f"{entry.where}: {entry.file}: no such file")
        digest.update(entry.file.read_bytes())
        sources.append(_read(entry))
    for source in sources:
        if source.export:
            notices += source.export.notices
            _check_header(source, source.export)
    _check_channels(manifest, sources)
    _check_references(manifest, sources, notices)
    leaders = _find_leaders(manifest, sources)
    kernels = [one for source in sources for one in _scatter(manifest, source, leaders, notices)]
    gridded: Gridded = grid_kernels(
        kernels,
        channels=manifest.channels,
        image_shape_px=manifest.image_shape_px,
        pitch_um=manifest.pitch_um,
        focus_m=manifest.focus_m,
        kernel_px=manifest.kernel_px if kernel_px is None else kernel_px,
        oversample=manifest.oversample,
        radii=manifest.radii,
        provenance=_provenance(manifest, sources, digest.hexdigest()),
        most_asymmetry=most_asymmetry,
        on_progress=on_progress,
    )
    return ImportedField(gridded.field, unique([*notices, *gridded.notices]), len(sources))


def _read(entry: Entry) -> _Source:
    if entry.file.suffix.lower() in SUFFIXES:
        return _Source(entry, None, read_kernel_file(entry.file))
    export = read_opticstudio(entry.file)
    return _Source(entry, export, export.values[None])


def _check_header(source: _Source, export: OpticStudioPSF) -> None:
    entry = source.entry
    where = f"{entry.where}: {Path(export.file).name}"
    if entry.channel is None:
        raise InputError(f"{entry.where}: channel", "nothing", "the channel that this export belongs to")
    for key in ("spacing_um", "centre_row_px"):
        if key in entry.numbers:
            raise InputError(f"{entry.where}: {key}", entry.numbers[key], f"nothing, as {export.file} says it itself")
    if entry.configuration and export.configuration and entry.configuration != export.configuration:
        raise InputError(where, f"configuration {export.configuration}", f"{entry.configuration}")
    low, high = export.wavelengths_um
    wave = entry.numbers.get("wavelength_um")
    if wave is not None and max(abs(low - wave), abs(high - wave)) > LAST_DECIMAL:
        raise InputError(where, f"wavelengths {low:g} to {high:g} um", f"{wave:g} um, as the manifest says")
    said = entry.pair("x_deg", "y_deg")
    if said and export.field_unit == "deg" and math.dist(said, export.field_point) > 1.5 * LAST_DECIMAL:
        raise InputError(where, f"the field {export.field_point} deg", f"{said} deg, as the manifest says")


def _check_channels(manifest: Manifest, sources: list[_Source]) -> None:
    """Polychromatic exports span what their channel says, and all of a channel the same."""
    for source in sources:
        if source.export is None or _wavelength_um(source) is not None:
            continue
        channel = next(one for one in manifest.channels if one.name == source.entry.channel)
        low, high = source.export.wavelengths_um
        waves = channel.wavelengths_um
        if waves and (abs(min(waves) - low) > LAST_DECIMAL or abs(max(waves) - high) > LAST_DECIMAL):
            where = f"{source.entry.where}: {source.entry.file.name}"
            expected = f"{min(waves):g} to {max(waves):g} um, as channel {channel.name!r} has them"
            raise InputError(where, f"wavelengths {low:g} to {high:g} um", expected)
    spans: dict[str | None, tuple[float, float]] = {}
    for source in sources:
        if source.export and _wavelength_um(source) is None:
            span = spans.setdefault(source.entry.channel, source.export.wavelengths_um)
            if math.dist(span, source.export.wavelengths_um) > LAST_DECIMAL:
                where = f"{source.entry.where}: {source.entry.file.name}"
                low, high = source.export.wavelengths_um
                expected = f"{span[0]:g} to {span[1]:g} um as elsewhere in channel {source.entry.channel!r}"
                raise InputError(where, f"wavelengths {low:g} to {high:g} um", expected)


def _wavelength_um(source: _Source) -> float | None:
    if source.export and source.export.wavelengths_um[0] == source.export.wavelengths_um[1]:
        return source.export.wavelengths_um[0]
    return source.entry.numbers.get("wavelength_um")


def _check_references(manifest: Manifest, sources: list[_Source], notices: list[Notice]) -> None:
    """Tell what a reference point loses that nobody can restore."""
    about = str(manifest.path)
    for source in sources:
        if "reference_x_mm" in source.entry.numbers and (source.export is None or source.export.centre_mm is None):
            where = f"{source.entry.where}: reference_x_mm"
            raise InputError(where, "a reference point", "a file whose header has centre coordinates to compare with")
    free = [one for one in sources if "reference_x_mm" not in one.entry.numbers]
    if manifest.reference == "centroid" and free:
        text = (
            "kernels centred on their centroids: the shift of the light against the chief ray, lateral colour and "
            "focus breathing are lost"
        )
        notices.append(Notice(about, 0, "lost", text))
    elif len(manifest.channels) > 1 and any(one.export and one.export.centre_mm is None for one in free):
        text = "no centre coordinates in exports: lateral colour is lost if each is centred on its own chief ray"
        notices.append(Notice(about, 0, "lost", text))


Leaders = dict[tuple[object, ...], OpticStudioPSF]


def _group(source: _Source) -> tuple[object, ...]:
    """Exports of one depth, configuration and field: those of different channels and wavelengths."""
    export = source.export
    header = (tuple(round(one, 4) for one in export.field_point), export.field_unit) if export else ()
    return (source.entry.depth_m, source.entry.configuration, header)


def _find_leaders(manifest: Manifest, sources: list[_Source]) -> Leaders:
    """Per group the export whose chief ray is the middle of all: of the reference channel, its middle wavelength."""
    found: dict[tuple[object, ...], list[OpticStudioPSF]] = {}
    for source in sources:
        export = source.export
        if export and export.centre_mm and source.entry.channel == manifest.reference_channel:
            found.setdefault(_group(source), []).append(export)
    return {key: sorted(many, key=lambda one: one.wavelengths_um)[len(many) // 2] for key, many in found.items()}


def _scatter(manifest: Manifest, source: _Source, leaders: Leaders, notices: list[Notice]) -> list[ScatteredKernel]:
    entry, export = source.entry, source.export
    where = f"{entry.where}: {entry.file.name}"
    leader = leaders.get(_group(source))
    radius, azimuth_rad = _find_place(manifest, source, leader, notices)
    names = [one.name for one in manifest.channels]
    values = source.values if manifest.rows == "down" else source.values.flip(1)
    rows = values.shape[1]
    if export:
        spacing_um, centre_px = export.spacing_um, export.centre_px
    else:
        step_um = entry.numbers.get("spacing_um", manifest.spacing_um)
        if step_um is None:
            raise InputError(f"{entry.where}: spacing_um", "nothing", f"the spacing of values in {entry.file.name}")
        middle = (rows - 1) / 2, (values.shape[2] - 1) / 2
        spacing_um, centre_px = (step_um, step_um), entry.pair("centre_row_px", "centre_column_px") or middle
    if manifest.rows == "up":
        centre_px = rows - 1 - centre_px[0], centre_px[1]
    indices = [names.index(entry.channel)] if entry.channel is not None else list(range(len(names)))
    if len(values) != len(indices):
        found, expected = f"{len(values)} channels", f"{len(indices)}: " + ", ".join(names[n] for n in indices)
        raise InputError(where, found, expected)
    return [
        ScatteredKernel(
            where=where,
            values=light,
            spacing_um=spacing_um,
            centre_px=centre_px,
            depth_m=entry.depth_m,
            radius=radius,
            azimuth_rad=azimuth_rad,
            channel=index,
            wavelength_um=_wavelength_um(source),
            weight=_weight(entry, manifest.channels[index], _wavelength_um(source)),
            transmission=entry.numbers.get("transmission"),
            is_integrated=export is None and manifest.samples == "areas",
            offset_um=_offset_um(manifest, source, leader),
        )
        for index, light in zip(indices, values, strict=True)
    ]


def _weight(entry: Entry, channel: Channel, wavelength_um: float | None) -> float:
    """The entry's, else the channel's for this wavelength."""
    shares = zip(channel.wavelengths_um, channel.weights, strict=True)
    own = [share for wave, share in shares if wavelength_um and abs(wave - wavelength_um) <= 1.5 * LAST_DECIMAL]
    return entry.numbers.get("weight", own[0] if own else 1.0)


def _offset_um(manifest: Manifest, source: _Source, leader: OpticStudioPSF | None) -> tuple[float, float]:
    """How far an export's centre lies from the field's middle."""
    centre_mm = source.export.centre_mm if source.export else None
    middle_mm = source.entry.pair("reference_x_mm", "reference_y_mm")
    if middle_mm is None and manifest.reference == "chief_ray" and leader:
        middle_mm = leader.centre_mm
    if centre_mm is None or middle_mm is None:
        return 0.0, 0.0
    return 1000 * (centre_mm[0] - middle_mm[0]), 1000 * (centre_mm[1] - middle_mm[1])


def _find_place(
    manifest: Manifest, source: _Source, leader: OpticStudioPSF | None, notices: list[Notice]
) -> tuple[float, float]:
    """Image height and azimuth: the manifest's, else the header's centre coordinates, else its angles."""
    entry, export = source.entry, source.export
    height, width = manifest.image_shape_px
    half_mm = 0.5 * math.hypot(height, width) * manifest.pitch_um / 1000
    said = entry.place()
    lands_mm = entry.pair("reference_x_mm", "reference_y_mm")
    if lands_mm is None and export:
        lands_mm = (leader or export).centre_mm
    if said == "radius":
        return entry.numbers["radius"], _find_azimuth(entry, export, lands_mm)
    if said == "px":
        x_px, y_px = entry.numbers["x_px"], entry.numbers["y_px"]
        right, up = x_px - (width - 1) / 2, (height - 1) / 2 - y_px
        return _polar(entry, right * manifest.pitch_um / 1000, up * manifest.pitch_um / 1000, half_mm)
    if said == "image":
        return _polar(entry, entry.numbers["image_x_mm"], entry.numbers["image_y_mm"], half_mm)
    if said is None and lands_mm:
        return _polar(entry, *lands_mm, half_mm)
    angles = entry.pair("x_deg", "y_deg")
    if angles is None and export and export.field_unit == "deg":
        angles = export.field_point
    if angles is None and export and not any(export.field_point):
        return 0.0, 0.0
    if angles is None:
        found = f"a field of {export.field_point} {export.field_unit}, of objects or images" if export else "no place"
        raise InputError(entry.where, found, "radius, x_px and y_px, image_x_mm and image_y_mm, or x_deg and y_deg")
    if not any(angles):
        return 0.0, 0.0
    if manifest.focal_mm is None:
        raise InputError(f"{manifest.path}: focal_mm", "nothing", "the focal length, to turn angles into image heights")
    text = "image heights from angles and the focal length, without distortion"
    notices.append(Notice(str(manifest.path), 0, "guessed", text))
    if max(map(abs, angles)) >= 90:
        raise InputError(entry.where, f"angles of {angles} deg", "below 90 deg")
    x_mm, y_mm = (manifest.focal_mm * math.tan(math.radians(one)) for one in angles)
    return _polar(entry, x_mm, y_mm, half_mm)


def _find_azimuth(entry: Entry, export: OpticStudioPSF | None, lands_mm: tuple[float, float] | None) -> float:
    """The direction that goes with a radius."""
    if "azimuth_deg" in entry.numbers:
        return math.radians(entry.numbers["azimuth_deg"])
    if export is None or not any(export.field_point):
        return 0.0
    if lands_mm and math.hypot(*lands_mm) > ON_AXIS_MM:
        return math.atan2(lands_mm[1], lands_mm[0])
    if export.field_unit == "deg":
        # A positive angle lands at a positive image height.
        return math.atan2(export.field_point[1], export.field_point[0])
    found = f"a field of {export.field_point} {export.field_unit}, of objects or images"
    raise InputError(f"{entry.where}: azimuth_deg", found, "the azimuth of the image point")


def _polar(entry: Entry, x_mm: float, y_mm: float, half_mm: float) -> tuple[float, float]:
    distance_mm = math.hypot(x_mm, y_mm)
    if distance_mm > half_mm * (1 + 1e-9):
        raise InputError(
            entry.where, f"{distance_mm:.4f} mm from the axis", f"up to {half_mm:.4f}, the sensor's corner"
        )
    return min(distance_mm / half_mm, 1.0), math.atan2(y_mm, x_mm) if distance_mm > ON_AXIS_MM else 0.0


def _provenance(manifest: Manifest, sources: list[_Source], sha256: str) -> Provenance:
    kinds = sorted({f"OpticStudio {one.export.analysis} PSF" if one.export else "kernel files" for one in sources})
    arguments = {
        "manifest": manifest.path.name,
        "files": len(sources),
        "kinds": kinds,
        "reference": manifest.reference,
        "reference_channel": manifest.reference_channel,
    }
    return Provenance(
        lens=manifest.lens,
        source=manifest.source or ", ".join(kinds),
        file_sha256=sha256,
        arguments=arguments,
    )
