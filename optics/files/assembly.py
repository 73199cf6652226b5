"""From a draft to a lens: what files leave open is worked out or guessed here, once for all formats, and told.

The lens is made by way of our own schema, so that nothing passes here that a JSON file could not say.
"""

import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from psf.errors import InputError

from ..glass import LINE_D_UM, Air
from ..lens import Lens
from ..paraxial import conjugate, first_order
from ..prescriptions import SCHEMAS, from_json
from .drafts import Draft, DraftSurface
from .notices import Log

# Where a file says nothing of the sensor: 12 megapixels, 4:3.
GUESSED_SHAPE_PX = (3000, 4000)
# A lens without field points and image size is given a picture of this half diagonal, in focal lengths.
GUESSED_HALF_DIAGONAL_IN_EFL = 0.1
SMALLEST_HALF_DIAGONAL_IN_EFL = 0.01
LARGEST_HALF_DIAGONAL_MM = 1e6
# Clear apertures that nobody gives are so much larger than the paraxial beam.
GUESSED_MARGIN = 1.1
# Angles beyond are taken as this one where only paraxial optics can answer.
LARGEST_PARAXIAL_DEG = 60.0
VISIBLE_UM = (0.38, 0.75)
# Stops that two statements of a file make different by more than this are told.
_STOP_TOLERANCE = 0.01
_PLACE = re.compile(r"surfaces\[(\d+)\]")


def assemble(
    draft: Draft,
    log: Log,
    *,
    image_shape_px: tuple[int, int] | None = None,
    pitch_um: float | None = None,
) -> Lens:
    """Make a lens of a draft.

    Args:
        draft: What a reader found.
        log: Gets what is guessed; begins the error messages.
        image_shape_px: (height, width) of the sensor instead of the file's, or of a guess.
        pitch_um: Its pixel pitch instead of the file's, or of a guess.

    Raises:
        InputError: It does not make a lens.
    """
    draft = replace(draft, surfaces=_drop_empty(draft, log))
    draft = _drop_leading(draft, log)
    if not draft.surfaces:
        log.fail(0, "no surface between object and image", "a lens")
    surfaces = _with_stop(draft.surfaces, log)
    if not isinstance(surfaces[-1].medium, Air):
        log.fail(surfaces[-1].line, f"{surfaces[-1].medium.name} in front of the sensor", "air behind the last surface")
    draft = replace(draft, surfaces=surfaces)
    try:
        return _complete(draft, log, image_shape_px, pitch_um)
    except InputError as error:
        # First-order optics knows nothing of files.
        if error.where.startswith(log.file):
            raise
        raise InputError(f"{log.file}: {error.where}", error.found, error.expected) from None


def _complete(draft: Draft, log: Log, image_shape_px: tuple[int, int] | None, pitch_um: float | None) -> Lens:
    surfaces = draft.surfaces
    # Provisional apertures: first-order optics asks for none but the stop's.
    rough = _make(draft, [_semi(s, 1e-3) for s in surfaces], _sensor(draft, image_shape_px, pitch_um, 1.0), log)
    stop_mm = _stop_semi(draft, rough, log)
    semis = _semis(draft, rough, stop_mm, log)
    half_mm = _half_diagonal(draft, rough, log, asked=pitch_um is not None and image_shape_px is not None)
    if not 0 < half_mm <= LARGEST_HALF_DIAGONAL_MM:
        log.fail(0, f"a picture of {half_mm:g} mm half diagonal", f"up to {LARGEST_HALF_DIAGONAL_MM:g} mm")
    sensor = _sensor(draft, image_shape_px, pitch_um, half_mm)
    if "sensor" not in draft.entries and (pitch_um is None or image_shape_px is None):
        size = f"{sensor['width_px']} x {sensor['height_px']} px of {sensor['pitch_um']:.6g} um"
        log.note("guessed", f"sensor: {size} (half diagonal {half_mm:.6g} mm)")
    return _make(draft, semis, sensor, log, last=True)


def _drop_empty(draft: Draft, log: Log) -> tuple[DraftSurface, ...]:
    """Surfaces without those planes in one medium that nothing stops at, behind the first surface."""
    kept: list[DraftSurface] = []
    for surface in draft.surfaces:
        before = kept[-1].medium if kept else None
        if kept and surface.is_flat and not surface.stop and not surface.clips and surface.medium is before:
            kept[-1] = replace(kept[-1], thickness_mm=kept[-1].thickness_mm + surface.thickness_mm)
            log.note("skipped", "an empty plane, where nothing bends or stops light", surface.line)
        else:
            kept.append(surface)
    return tuple(kept)


def _drop_leading(draft: Draft, log: Log) -> Draft:
    """The same for planes in air in front of the lens; object distances count from what is left."""
    surfaces, object_mm = list(draft.surfaces), draft.object_mm
    while len(surfaces) > 1:
        first = surfaces[0]
        if not first.is_flat or first.stop or first.clips or not isinstance(first.medium, Air):
            break
        object_mm += first.thickness_mm
        log.note("skipped", "an empty plane in front of the lens; distances count from the next surface", first.line)
        surfaces.pop(0)
    return replace(draft, surfaces=tuple(surfaces), object_mm=object_mm)


def _with_stop(surfaces: Sequence[DraftSurface], log: Log) -> tuple[DraftSurface, ...]:
    stops = [s for s in surfaces if s.stop]
    if len(stops) == 1:
        return tuple(surfaces)
    if not stops:
        log.refuse(0, "no aperture stop", "one surface that is the stop")
        return (replace(surfaces[0], stop=True), *surfaces[1:])
    log.refuse(stops[1].line, f"{len(stops)} aperture stops", "one")
    return tuple(replace(s, stop=s is stops[0]) for s in surfaces)


def _semi(surface: DraftSurface, default: float) -> float:
    value = surface.semi_aperture_mm
    return min(default if value is None else value, _end_mm(surface))


def _end_mm(surface: DraftSurface) -> float:
    # Products go to infinity where powers raise.
    square = (1 + surface.conic_k) * surface.curvature_per_mm * surface.curvature_per_mm
    return 1 / math.sqrt(square) if square > 0 else math.inf


def _stop_semi(draft: Draft, rough: Lens, log: Log) -> float:
    """Semi-aperture of the stop, in mm, from what the file says of pupils and f-numbers."""
    index = rough.stop_surface - 1
    own = draft.surfaces[index]
    aperture = draft.aperture
    if aperture is None or aperture.kind == "stop":
        if own.semi_aperture_mm is None:
            log.fail(own.line, "a stop of no size, and neither pupil nor f-number", "one of them")
        if aperture is None:
            log.note("guessed", "the stop's semi-aperture opens the lens: the file has no pupil or f-number", own.line)
        return own.semi_aperture_mm
    if not aperture.value > 0:
        log.fail(aperture.line, f"an aperture ({aperture.kind}) of {aperture.value:g}", "a positive number")
    facts = first_order(rough)
    per_stop = float(facts.entrance_pupil_semi_diameter_mm) / float(rough.surfaces[index].semi_aperture_mm)
    entrance = float(facts.entrance_pupil_from_first_vertex_mm)
    efl = abs(float(facts.efl_mm))
    value, finite = aperture.value, math.isfinite(draft.object_mm)
    if aperture.kind == "entrance_pupil_mm":
        pupil = value / 2
    elif aperture.kind == "f_number" or (aperture.kind in ("working_f_number", "image_na") and not finite):
        pupil = efl / (2 * (1 / (2 * value) if aperture.kind == "image_na" else value))
    elif aperture.kind in ("working_f_number", "image_na"):
        now = float(conjugate(rough, 1e-3 * draft.object_mm).working_f_number)
        wanted = 1 / (2 * value) if aperture.kind == "image_na" else value
        pupil = per_stop * float(rough.surfaces[index].semi_aperture_mm) * now / wanted
    else:
        sine = math.sin(math.radians(value)) if aperture.kind == "object_cone_deg" else value
        if not (finite and 0 < sine < 1):
            log.fail(
                aperture.line, f"{aperture.kind} {value:g}", "an aperture below 1 of an object that is not far away"
            )
        pupil = abs(draft.object_mm + entrance) * sine / math.sqrt(1 - sine * sine)
    semi = abs(pupil / per_stop) if per_stop else math.inf
    if not (math.isfinite(semi) and semi > 0):
        log.fail(aperture.line, f"an aperture that opens the stop to {semi:g} mm", "a stop of finite size")
    if own.clips and own.semi_aperture_mm is not None and own.semi_aperture_mm < semi * (1 - 1e-9):
        if own.semi_aperture_mm < semi * (1 - _STOP_TOLERANCE):
            found = f"{own.semi_aperture_mm:.6g} mm at the stop, where {aperture.kind} {value:g} asks for {semi:.6g} mm"
            log.note("guessed", f"{found}: the smaller one counts", own.line)
        return own.semi_aperture_mm
    return semi


def _semis(draft: Draft, rough: Lens, stop_mm: float, log: Log) -> list[float]:
    beam: list[float] | None = None
    semis: list[float] = []
    for i, surface in enumerate(draft.surfaces):
        if surface.stop:
            semi = stop_mm
        elif surface.semi_aperture_mm is not None:
            semi = surface.semi_aperture_mm
            if not surface.clips:
                text = f"clear semi-aperture {semi:.6g} mm is how far the file's own rays went; light outside is lost"
                log.note("guessed", text, surface.line)
        else:
            beam = beam if beam is not None else _beam_mm(draft, rough, stop_mm)
            semi = GUESSED_MARGIN * beam[i]
            log.note("guessed", f"clear semi-aperture {semi:.6g} mm, from paraxial rays", surface.line)
        if semi > (end := _end_mm(surface)):
            log.note(
                "guessed", f"clear semi-aperture {end:.6g} mm, where the surface ends, not {semi:.6g}", surface.line
            )
            semi = end * (1 - 1e-9)
        semis.append(semi)
    return semis


def _beam_mm(draft: Draft, rough: Lens, stop_mm: float) -> list[float]:
    """Height of marginal plus chief ray at every surface, by paraxial optics."""
    facts = first_order(rough)
    scale = stop_mm / float(rough.surfaces[rough.stop_surface - 1].semi_aperture_mm)
    pupil_mm = float(facts.entrance_pupil_from_first_vertex_mm)
    semi_mm = float(facts.entrance_pupil_semi_diameter_mm) * scale
    slope = math.tan(math.radians(min(_field_deg(draft, rough), LARGEST_PARAXIAL_DEG)))
    finite = math.isfinite(draft.object_mm)
    angle = semi_mm / (draft.object_mm + pupil_mm) if finite else 0.0
    marginal = (angle * draft.object_mm if finite else semi_mm, angle)
    chief = (-slope * pupil_mm, slope)
    wave = rough.surfaces[0].semi_aperture_mm.new_tensor(rough.reference_wavelength_um)
    heights: list[float] = []
    rays, before = [marginal, chief], 1.0
    for surface in rough.surfaces:
        heights.append(sum(abs(y) for y, _ in rays) or 1e-3)
        after = float(surface.medium.index(wave))
        power = (after - before) * float(surface.shape.vertex_curvature_per_mm)
        rays = [(y, (before * u - power * y) / after) for y, u in rays]
        rays = [(y + u * float(surface.thickness_mm), u) for y, u in rays]
        before = after
    return heights


def _field_deg(draft: Draft, rough: Lens) -> float:
    """Largest field angle, by paraxial optics where the file has heights."""
    largest, kind = draft.fields.largest, draft.fields.kind
    if kind == "angle_deg":
        return largest
    if kind == "object_height_mm":
        return math.degrees(math.atan2(largest, draft.object_mm)) if math.isfinite(draft.object_mm) else 0.0
    return math.degrees(math.atan2(largest, abs(float(first_order(rough).efl_mm))))


def _half_diagonal(draft: Draft, rough: Lens, log: Log, *, asked: bool) -> float:
    """Half the picture's diagonal in mm, as the file's fields have it."""
    if "sensor" in draft.entries or asked:
        return 1.0
    largest, kind = draft.fields.largest, draft.fields.kind
    if largest > 0 and kind in ("image_height_mm", "real_image_height_mm"):
        return largest
    try:
        efl = abs(float(first_order(rough).efl_mm))
        # An image that is smaller belongs to a file whose only field is the axis: its size is that of a spot.
        image_mm = draft.image_semi_mm or 0.0
        if image_mm > SMALLEST_HALF_DIAGONAL_IN_EFL * efl and (largest == 0 or kind == "object_height_mm"):
            return image_mm
        if largest > 0 and kind == "object_height_mm" and math.isfinite(draft.object_mm):
            return largest * abs(float(conjugate(rough, 1e-3 * draft.object_mm).magnification))
    except InputError as error:
        log.fail(0, error.found, error.expected)
    if largest > 0:
        return efl * math.tan(math.radians(min(_field_deg(draft, rough), LARGEST_PARAXIAL_DEG)))
    return GUESSED_HALF_DIAGONAL_IN_EFL * efl


def _sensor(
    draft: Draft, image_shape_px: tuple[int, int] | None, pitch_um: float | None, half_mm: float
) -> dict[str, Any]:
    own = draft.entries.get("sensor")
    own = dict(own) if isinstance(own, dict) else {}
    height, width = image_shape_px or GUESSED_SHAPE_PX
    if image_shape_px is None and pitch_um is not None and not own:
        # As many pixels as the picture holds, in the same ratio.
        diagonal = math.hypot(*GUESSED_SHAPE_PX)
        factor = 2e3 * half_mm / pitch_um / diagonal if pitch_um > 0 else 1.0
        height, width = (max(1, min(round(n * factor), 1_000_000)) for n in GUESSED_SHAPE_PX)
    if image_shape_px is not None or not own:
        own |= {"height_px": height, "width_px": width}
    if pitch_um is not None or "pitch_um" not in own:
        own["pitch_um"] = 2e3 * half_mm / math.hypot(height, width) if pitch_um is None else pitch_um
    return own


def _make(draft: Draft, semis: Sequence[float], sensor: dict[str, Any], log: Log, *, last: bool = False) -> Lens:
    media: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    for surface, semi in zip(draft.surfaces, semis, strict=True):
        rows.append(_row(surface, semi, _named(surface, media)))
    stop = next(i for i, s in enumerate(draft.surfaces, start=1) if s.stop)
    data: dict[str, Any] = {
        **draft.source,
        "schema": SCHEMAS[0],
        "name": _clean(draft.name),
        "title": draft.title,
        "reference_wavelength_um": LINE_D_UM if draft.reference_um is None else draft.reference_um,
        "focus_m": None if math.isinf(draft.object_mm) else 1e-3 * draft.object_mm,
        "stop_surface_index": stop,
        "surfaces": rows,
        "media": media,
    }
    data |= {key: value for key, value in draft.entries.items() if key not in ("surfaces", "media")}
    data["sensor"] = sensor
    if "channels" not in data:
        data |= _channels(draft, log if last else None)
    try:
        # Media out of range warn; here that becomes a notice.
        with warnings.catch_warnings(record=True, action="always") as said:
            lens = from_json(data, log.file)
    except InputError as error:
        raise _placed(error, draft.surfaces, log) from None
    if last:
        for text in dict.fromkeys(str(one.message) for one in said):
            log.note("range", text)
    return lens


def _channels(draft: Draft, log: Log | None) -> dict[str, Any]:
    """Colours: those of a usual sensor where the file's light is visible, else one channel of the file's light."""
    waves, weights = draft.wavelengths_um, draft.weights
    if not waves or all(VISIBLE_UM[0] <= one <= VISIBLE_UM[1] for one in waves):
        if log:
            log.note("guessed", "channels: red, green and blue of a usual sensor (the file's wavelengths stand beside)")
        return {}
    if log:
        log.note("guessed", "channels: one of the file's wavelengths and weights, as they are not all visible")
    if not any(one > 0 for one in weights):
        weights = (1.0,) * len(waves)
    return {"channels": [{"name": "all", "wavelengths_um": list(waves), "weights": list(weights)}]}


def _named(surface: DraftSurface, media: dict[str, Any]) -> str:
    if isinstance(surface.medium, Air):
        return "air"
    own, entry = (surface.medium.name or "medium")[:80], surface.medium.to_entry()
    name, number = own, 1
    while name == "air" or media.get(name, entry) != entry:
        number += 1
        name = f"{own} ({number})"
    media[name] = entry
    return name


def _row(surface: DraftSurface, semi_mm: float, medium: str) -> dict[str, Any]:
    terms = {power: value for power, value in surface.terms.items() if value}
    row: dict[str, Any] = {
        "thickness_to_next_mm": surface.thickness_mm,
        "semi_aperture_mm": semi_mm,
        "medium_after": medium,
    }
    if surface.is_flat:
        return row | {"kind": "stop" if surface.stop else "plane"}
    row |= {"curvature_per_mm": surface.curvature_per_mm, "conic_k": surface.conic_k}
    if not terms:
        return row | {"kind": "conic"}
    kind = "odd_asphere" if any(power % 2 for power in terms) else "even_asphere"
    return row | {"kind": kind, "asphere_coefficients": {str(p): terms[p] for p in sorted(terms)}}


def _clean(name: str) -> str:
    """A name that files can bear."""
    kept = re.sub(r"[\s/\\\0]+", "_", "".join(c for c in name if c.isprintable())).strip("_ .")
    return kept[:80] or "lens"


def _placed(error: InputError, surfaces: Sequence[DraftSurface], log: Log) -> InputError:
    """The same error with the line of the surface that it is about."""
    match = _PLACE.search(error.where)
    if match is None or int(match[1]) >= len(surfaces):
        return error
    where = error.where.removeprefix(f"{log.file}: ")
    return InputError(f"{log.at(surfaces[int(match[1])].line)}: {where}", error.found, error.expected)
