"""Zemax lens files (.zmx): lines of a command and its values; a header, SURF blocks, merit function and tolerances.

Where Zemax lets light pass, we cannot always: a semi-diameter of its own making (DIAM with 0 behind it) stops nothing
there, but every surface of ours has a rim. A semi-diameter that a user fixed (1 behind it) does stop light, and so do
CLAP and FLAP.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any

from psf.files.texts import decode_text

from .agf import Catalogue
from .carried import carried_media, read_carried
from .drafts import Aperture, ApertureKind, Draft, FieldKind, Fields
from .materials import Shelf
from .notices import Log
from .texts import parse_count, parse_number, split_lines
from .zemax_surfaces import FAR_MM, SURFACE_WORDS, Block, Command, find_medium, read_block, scale_block

UNITS_MM = {"MM": 1.0, "CM": 10.0, "IN": 25.4, "INCH": 25.4, "INCHES": 25.4, "M": 1000.0, "METER": 1000.0}
FIELD_KINDS: tuple[FieldKind, ...] = ("angle_deg", "object_height_mm", "image_height_mm", "real_image_height_mm")
_MOST_SURFACES = 2000
_MOST_WAVELENGTHS = 24
_STANDARD_AIR = (20.0, 1.0)  # degrees, atmospheres: what catalogue indices are made for
# Header lines without a bearing on where light goes, and lines of merit functions and tolerances.
_HARMLESS_WORDS = (
    "VERS PFIL LANG RAIM PUSH SDMA OMMA GFAC ROPD PICB POLS GLRS GSTD NSCD COFN OPDX PUPD EFFL BLNK TOL MOFF EFLY DMFS "
    "ZVDX ZVDY ZVCX ZVCY ZVAN TOTR PMAG"
)
_HARMLESS = frozenset(_HARMLESS_WORDS.split())


@dataclass(frozen=True, eq=False)
class Header:
    """What stands before and behind the surfaces, as words; numbers in the file's unit."""

    unit_mm: float = 1.0
    name: str = ""
    notes: tuple[tuple[int, str], ...] = ()
    catalogues: tuple[str, ...] = ()
    aperture: Aperture | None = None
    field_kind: int = 0
    field_count: int | None = None
    wave_count: int | None = None
    lists: dict[str, tuple[float, ...]] = field(default_factory=dict)
    waves: dict[int, tuple[float, float]] = field(default_factory=dict)
    primary: int = 1


def read_zmx(
    content: bytes, file: str, log: Log, catalogues: Sequence[Catalogue] = (), siblings: Sequence[Catalogue] = ()
) -> Draft:
    """Read a Zemax lens file.

    Args:
        content: The file, in UTF-8, UTF-16 or Windows-1252.
        file: Its path or name; the lens is called by its stem.
        log: Gets notices, and refuses what has no counterpart.
        catalogues: The caller's glass catalogues.
        siblings: Catalogues beside the file, used where the file names them.

    Raises:
        InputError: It is no lens that we can hold; file and line stand in front.
    """
    text, encoding = decode_text(content)
    if encoding == "cp1252":
        log.note("skipped", "text that is not UTF-8, read as Windows-1252")
    outside, groups = _split(text, log)
    header = _read_header(outside, log)
    if len(groups) < 3:
        log.fail(0, f"{len(groups)} surfaces", "object, at least one surface, image (lines SURF 0, SURF 1, ...)")
    last = len(groups) - 1
    blocks = [read_block(lines, log, image=i == last) for i, lines in enumerate(groups)]
    blocks = [scale_block(block, header.unit_mm) for block in blocks]
    entries = read_carried(header.notes, log)
    shelf = Shelf(
        header.catalogues,
        tuple([*catalogues, *(s for s in siblings if s.name.casefold() in {n.casefold() for n in header.catalogues})]),
        carried_media(entries, log),
        bool(entries),
    )
    object_mm = _object(blocks[0], log)
    image = blocks[-1].draft
    if not image.is_flat:
        log.refuse(image.line, "a curved image surface", "a plane")
    surfaces = []
    for block in blocks[1:-1]:
        if block.infinite:
            log.fail(block.draft.line, "a thickness of INFINITY", "a finite one behind the object")
        surfaces.append(replace(block.draft, medium=find_medium(block.glass, blocks, shelf, log)))
    waves, weights, reference = _waves(header, log)
    title = entries.pop("title", header.name)
    name = entries.pop("name", PurePath(file.replace("\\", "/")).stem)
    own = entries.pop("source", None)
    entries.pop("media", None)
    _keep_consistent(entries, object_mm, reference)
    return Draft(
        surfaces=tuple(surfaces),
        name=name if isinstance(name, str) else "lens",
        title=title if isinstance(title, str) else header.name,
        object_mm=object_mm,
        aperture=_in_mm(header),
        fields=_fields(header, log),
        wavelengths_um=waves,
        weights=weights,
        reference_um=reference,
        image_semi_mm=image.semi_aperture_mm,
        source=own if isinstance(own, dict) else {"source": {"file": PurePath(file.replace("\\", "/")).name}},
        entries=entries,
    )


def _split(text: str, log: Log) -> tuple[list[Command], list[list[Command]]]:
    """Commands outside of surfaces, and those of each surface with SURF in front."""
    outside: list[Command] = []
    groups: list[list[Command]] = []
    closed = True
    for number, line in enumerate(split_lines(text), start=1):
        words = line.split()
        if not words:
            continue
        rest = line.strip()[len(words[0]) :].strip()
        one = Command(number, words[0].upper(), tuple(words[1:]), rest, line[:1].isspace())
        if one.word == "SURF":
            at = parse_count(words[1] if len(words) > 1 else "", log.at(number), 0, _MOST_SURFACES)
            if at != len(groups):
                log.fail(number, f"SURF {at}", f"SURF {len(groups)}: surfaces in their order")
            groups.append([one])
            closed = False
        elif not closed and (one.indented or one.word in SURFACE_WORDS):
            groups[-1].append(one)
        else:
            closed = closed or not one.indented
            outside.append(one)
    return outside, groups


def _read_header(commands: Sequence[Command], log: Log) -> Header:
    header = Header()
    lists: dict[str, tuple[float, ...]] = {}
    waves: dict[int, tuple[float, float]] = {}
    notes: list[tuple[int, str]] = []
    for one in commands:
        where, word = log.at(one.line), one.word
        first = one.values[0] if one.values else "0"
        second = one.values[1] if len(one.values) > 1 else "0"
        if word == "UNIT":
            if first.upper() not in UNITS_MM:
                log.fail(one.line, f"the unit {first[:20]!r}", f"one of {', '.join(UNITS_MM)}")
            header = replace(header, unit_mm=UNITS_MM[first.upper()])
        elif word == "NAME":
            header = replace(header, name=one.text.strip('"')[:500])
        elif word == "NOTE":
            notes.append((one.line, one.text.partition(" ")[2].strip()))
        elif word == "MODE":
            if first.upper() != "SEQ":
                log.fail(one.line, f"the mode {first[:20]!r}", "SEQ: surfaces in the order of the light")
        elif word == "GCAT":
            header = replace(header, catalogues=one.values)
        elif word in ("ENPD", "FNUM", "OBNA", "FLOA"):
            if header.aperture is not None:
                log.note("guessed", f"{word} is the second statement of the aperture; the last one counts", one.line)
            header = replace(header, aperture=_aperture(word, first, second, one.line, log))
        elif word == "FTYP":
            counts = [parse_count(v, where, 0, 10_000) for v in one.values[:4]]
            counts += [0] * (4 - len(counts))
            if counts[0] >= len(FIELD_KINDS):
                log.note("guessed", f"field type {counts[0]} is unknown; fields are left out", one.line)
            if counts[1]:
                log.note("guessed", "telecentric object space: chief rays here go through the stop's centre", one.line)
            header = replace(header, field_kind=counts[0], field_count=counts[2] or None, wave_count=counts[3] or None)
        elif word in ("XFLN", "YFLN", "XFLD", "YFLD", "FWGN", "FWGT", "WAVL", "WWGT"):
            lists[word] = tuple(parse_number(v, where) for v in one.values)
        elif word in ("VDXN", "VDYN", "VCXN", "VCYN", "VANN", "VDXF", "VDYF", "VCXF", "VCYF", "VANF"):
            if any(parse_number(v, where) for v in one.values):
                text = f"{word}: vignetting factors are left out; light is stopped by the rims of surfaces"
                log.note("guessed", text, one.line)
            else:
                log.skip(f"{word}: no vignetting factors", one.line)
        elif word == "WAVM":
            at = parse_count(first, where, 1, 1000)
            waves[at] = (
                parse_number(second, where),
                parse_number(one.values[2] if len(one.values) > 2 else "1", where),
            )
        elif word == "PWAV":
            header = replace(header, primary=parse_count(first, where, 1, 1000))
        elif word == "ENVD":
            found = tuple(parse_number(v, where) for v in (first, second))
            if found != _STANDARD_AIR:
                text = f"{found[0]:g} degrees and {found[1]:g} atmospheres: indices here are those of 20 degrees in air"
                log.note("guessed", text, one.line)
        elif word == "MNUM":
            count = parse_count(first, where, 0, 100_000)
            if count > 1:
                text = (
                    f"{count} configurations: the surfaces as they stand in the file (configuration {second}) are taken"
                )
                log.note("guessed", text, one.line)
        elif one.indented:
            log.refuse(one.line, f"the command {word[:20]!r} outside of a surface", "a file in order")
        elif word in _HARMLESS:
            log.skip(f"{word}: no bearing on rays", one.line)
        else:
            log.skip(
                f"{word[:20]}: not known; such lines of merit functions and tolerances do not move light", one.line
            )
    return replace(header, lists=lists, waves=waves, notes=tuple(notes))


def _aperture(word: str, first: str, second: str, line: int, log: Log) -> Aperture:
    kinds: dict[str, ApertureKind] = {
        "ENPD": "entrance_pupil_mm",
        "FLOA": "stop",
        "FNUM": "working_f_number" if second == "1" else "f_number",
        "OBNA": "object_cone_deg" if second == "1" else "object_na",
    }
    value = 1.0 if word == "FLOA" else parse_number(first, log.at(line))
    return Aperture(kinds[word], value, line)


def _in_mm(header: Header) -> Aperture | None:
    aperture = header.aperture
    if aperture is None or aperture.kind != "entrance_pupil_mm":
        return aperture
    return replace(aperture, value=aperture.value * header.unit_mm)


def _object(block: Block, log: Log) -> float:
    """Distance of the object in mm, inf."""
    draft = block.draft
    if block.glass is not None and block.glass.values and block.glass.values[0].casefold() != "air":
        log.fail(block.glass.line, f"an object in {block.glass.values[0][:20]}", "an object in air")
    if not draft.is_flat:
        log.note("skipped", "a curved object surface", draft.line)
    if block.infinite or abs(draft.thickness_mm) >= FAR_MM:
        return float("inf")
    if draft.thickness_mm <= 0:
        log.refuse(draft.line, f"an object {draft.thickness_mm:g} mm in front of the lens", "a positive distance")
        return float("inf")
    return draft.thickness_mm


def _waves(header: Header, log: Log) -> tuple[tuple[float, ...], tuple[float, ...], float | None]:
    pairs = [header.waves[at] for at in sorted(header.waves)]
    if not pairs and "WAVL" in header.lists:
        waves = header.lists["WAVL"]
        pairs = list(zip(waves, (*header.lists.get("WWGT", ()), *(1.0,) * len(waves)), strict=False))
    count = header.wave_count
    if count is None and pairs:
        # Zemax fills up with the last number or with 0.55.
        count = len(pairs)
        while count > 1 and pairs[count - 1][0] == 0.55:
            count -= 1
        if count < len(pairs):
            log.note("guessed", f"{count} wavelengths: the file does not say how many of its lines count")
    pairs = pairs[: count or 0][:_MOST_WAVELENGTHS]
    if not pairs:
        log.note("guessed", "reference wavelength: the d line; the file has none")
        return (), (), None
    if header.primary > len(pairs):
        log.note("guessed", f"primary wavelength {header.primary} of {len(pairs)}: the first one is taken")
    waves = tuple(wave for wave, _ in pairs)
    reference = waves[header.primary - 1] if header.primary <= len(pairs) else waves[0]
    return waves, tuple(max(weight, 0.0) for _, weight in pairs), reference


def _fields(header: Header, log: Log) -> Fields:
    if header.field_kind >= len(FIELD_KINDS):
        return Fields()
    kind = FIELD_KINDS[header.field_kind]
    xs = header.lists.get("XFLN") or header.lists.get("XFLD") or ()
    ys = header.lists.get("YFLN") or header.lists.get("YFLD") or ()
    weights = header.lists.get("FWGN") or header.lists.get("FWGT") or ()
    count = min(header.field_count or max(len(xs), len(ys)), max(len(xs), len(ys)))
    unit = 1.0 if kind == "angle_deg" else header.unit_mm
    xs, ys = ((*values, *(0.0,) * count)[:count] for values in (xs, ys))
    points = [(x * unit, y * unit) for x, y in zip(xs, ys, strict=True)]
    if kind == "angle_deg" and any(abs(one) >= 90 for point in points for one in point):
        log.note("guessed", "fields of 90 degrees and more")
    return Fields(kind, tuple(points), tuple((*weights, *(1.0,) * count)[:count]))


def _keep_consistent(entries: dict[str, Any], object_mm: float, reference: float | None) -> None:
    """Carried numbers only where the file's own commands still say the same."""
    focus = entries.get("focus_m")
    carried_mm = float("inf") if focus is None else 1e3 * focus if isinstance(focus, int | float) else 0.0
    if "focus_m" in entries and not (carried_mm == object_mm or abs(carried_mm - object_mm) <= 1e-9 * object_mm):
        del entries["focus_m"]
    if entries.get("reference_wavelength_um") != reference:
        entries.pop("reference_wavelength_um", None)
