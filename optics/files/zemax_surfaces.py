"""One SURF block of a Zemax file: what it says of shape, aperture, thickness and glass."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..glass import AIR, Medium
from .drafts import DraftSurface
from .materials import Shelf, is_model, make_model
from .notices import Log
from .texts import parse_count, parse_number


@dataclass(frozen=True)
class Command:
    """A line of a Zemax file.

    Attributes:
        line: Its number, from 1.
        word: What it begins with.
        values: The words behind that.
        text: All that stands behind the word.
        indented: Whether it begins with a blank, as lines of SURF blocks do.
    """

    line: int
    word: str
    values: tuple[str, ...]
    text: str
    indented: bool


@dataclass(frozen=True, eq=False)
class Block:
    """What a SURF block says, lengths in the file's unit.

    Attributes:
        draft: The surface; its medium still that of the line GLAS.
        infinite: Whether the thickness is INFINITY.
        glass: The line GLAS, None for air.
    """

    draft: DraftSurface
    infinite: bool = False
    glass: Command | None = None


# Lines of SURF blocks without a bearing on where light goes: drawing, coating, substrates of mirrors, mechanical rims,
# physical optics, variables, tolerances.
_HARMLESS = "HIDE MIRR SLAB POPS COMM COAT MEMA FIMP TOLE BLNK VPAR VCON VDSZ ISNA TCED TCMM"
HARMLESS = frozenset(_HARMLESS.split())
# Solves and pickups: the number in the file is what they came to.
_SOLVES = "PZUP MAZH EDGE PPAR PKUP"
SOLVES = frozenset(_SOLVES.split())
# Apertures that are no disc, and obscurations.
NOT_ROUND = {
    "SQAP": "a rectangular aperture",
    "SQOB": "a rectangular obscuration",
    "ELAP": "an elliptical aperture",
    "ELOB": "an elliptical obscuration",
    "SPID": "a spider",
    "USAP": "a user-defined aperture",
    "USOB": "a user-defined obscuration",
    "UDAD": "a user-defined aperture",
    "UDAP": "a user-defined aperture",
}
_OWN = "TYPE CURV DISZ GLAS DIAM CLAP FLAP OBSC OBDC CONI PARM XDAT YDAT STOP IGNR"
# Command words of SURF blocks, for files that have lost their indentation.
SURFACE_WORDS = HARMLESS | SOLVES | frozenset(NOT_ROUND) | frozenset(_OWN.split())
# Shapes: how the numbers of PARM (or XDAT) become powers of r.
_PARAMETER_STEP = {"EVENASPH": 2, "ODDASPHE": 1}
_EXTENDED_STEP = {"XASPHERE": 2, "XOSPHERE": 1}
_KNOWN = ("STANDARD", *_PARAMETER_STEP, *_EXTENDED_STEP, "XPOLYNOM")
_MOST_PARAMETERS = 8
_HIGHEST_POWER = 40
FAR_MM = 1e9


def read_block(lines: Sequence[Command], log: Log, *, image: bool = False) -> Block:
    """Read one SURF block.

    Args:
        lines: SURF and what follows, up to the next one.
        log: Gets notices, and refuses what no surface of ours can do.
        image: Whether it is the image: its aperture stops nothing.

    Raises:
        InputError: A number that is none, or something that bends or blocks light and has no counterpart.
    """
    head = lines[0]
    kind, kind_line, glass = "STANDARD", head.line, None
    values: dict[str, float] = {"curvature": 0.0, "conic": 0.0, "thickness": 0.0}
    parameters: dict[int, float] = {}
    extra: dict[int, float] = {}
    semi: float | None = None
    clear: float | None = None
    clips = stop = infinite = False
    for one in lines[1:]:
        where, word = log.at(one.line), one.word
        number = [one.values[i] if i < len(one.values) else "0" for i in range(3)]
        if word == "TYPE":
            kind, kind_line = (one.values[0].upper() if one.values else ""), one.line
        elif word == "CURV":
            values["curvature"] = parse_number(number[0], where)
            _tell_solve(number[1], "the curvature", one, log)
        elif word == "CONI":
            values["conic"] = parse_number(number[0], where)
            _tell_solve(number[1], "the conic constant", one, log)
        elif word == "DISZ":
            infinite = number[0].upper().startswith("INF")
            values["thickness"] = 0.0 if infinite else parse_number(number[0], where)
            _tell_solve(number[1], "the thickness", one, log)
        elif word == "GLAS":
            glass = one
        elif word == "DIAM":
            semi = parse_number(number[0], where)
            clips = clips or number[1] == "1"
        elif word == "FLAP":
            clips = True
            if parse_number(number[0], where) > 0:
                log.refuse(one.line, "an aperture with a hole in it", "a full disc")
        elif word == "CLAP":
            clear = parse_number(number[1], where)
            if parse_number(number[0], where) > 0 and not image:
                log.refuse(one.line, "a ring as aperture", "a full disc")
        elif word == "OBSC":
            if parse_number(number[1], where) > 0 and not image:
                log.refuse(one.line, "a central obscuration", "surfaces without one")
        elif word == "OBDC":
            if any(parse_number(text, where) for text in number[:2]) and not image:
                log.refuse(one.line, "an aperture off the axis", "one on the axis")
        elif word in NOT_ROUND:
            if image:
                log.skip(f"{word}: {NOT_ROUND[word]} of the image", one.line)
            else:
                log.refuse(one.line, NOT_ROUND[word], "a round one")
        elif word == "PARM":
            at = parse_count(number[0], where, 0, 500)
            parameters[at] = parse_number(number[1], where)
        elif word == "XDAT":
            at = parse_count(number[0], where, 0, 500)
            extra[at] = parse_number(number[1], where)
        elif word == "STOP":
            stop = True
        elif word in SOLVES:
            log.skip(f"{word}: a solve or pickup; the number in the file is taken", one.line)
        elif word in HARMLESS:
            log.skip(f"{word}: no bearing on rays", one.line)
        elif word == "IGNR" and not any(parse_number(text, where) for text in one.values[:1]):
            log.skip("IGNR: no surface is ignored", one.line)
        else:
            log.refuse(one.line, f"the surface command {word[:20]!r}", "commands that are known not to move light")
    if kind not in _KNOWN:
        log.refuse(kind_line, f"a surface of type {kind[:20]!r}", f"one of {', '.join(_KNOWN)}")
        kind = "STANDARD"
    terms = _terms(kind, parameters, extra, kind_line, log)
    if clear is not None:
        semi, clips = clear, True
    if semi is not None and semi <= 0:
        semi, clips = None, False
    draft = DraftSurface(
        line=head.line,
        medium=AIR,
        curvature_per_mm=values["curvature"],
        conic_k=values["conic"],
        terms=terms,
        thickness_mm=values["thickness"],
        semi_aperture_mm=semi,
        clips=clips,
        stop=stop,
    )
    return Block(draft, infinite, glass)


def scale_block(block: Block, unit_mm: float) -> Block:
    """The block in mm.

    Args:
        block: In the file's unit.
        unit_mm: That unit.
    """
    if unit_mm == 1:
        return block
    draft = block.draft
    semi = draft.semi_aperture_mm
    scaled = replace(
        draft,
        curvature_per_mm=draft.curvature_per_mm / unit_mm,
        terms={power: value * unit_mm ** (1 - power) for power, value in draft.terms.items()},
        thickness_mm=draft.thickness_mm * unit_mm,
        semi_aperture_mm=None if semi is None else semi * unit_mm,
    )
    return replace(block, draft=scaled)


def find_medium(glass: Command | None, blocks: Sequence[Block], shelf: Shelf, log: Log, depth: int = 0) -> Medium:
    """What a line GLAS means.

    Args:
        glass: The line, None for air.
        blocks: All surfaces, for pickups.
        shelf: Where glasses stand.
        log: Gets notices.
        depth: How many pickups led here.

    Raises:
        InputError: A mirror, an unknown glass, or a glass that is changed by offsets.
    """
    if glass is None or not glass.values:
        return AIR
    where = log.at(glass.line)
    name, words = glass.values[0], [*glass.values[1:], *("0",) * 10]
    if name.upper() == "MIRROR":
        log.fail(glass.line, "a mirror", "surfaces that refract")
    solve = parse_count(words[0], where, 0, 9)
    blank = not name.strip("_") or name.upper().startswith("___BLANK")
    if solve == 2:
        source = parse_count(words[1], where, 0, len(blocks) - 1)
        log.note("skipped", f"glass picked up from surface {source}; the one in the file is taken", glass.line)
        numbers = [parse_number(word, where) for word in words[2:4]]
        if blank and numbers[0] <= 1:
            if depth > len(blocks):
                log.fail(glass.line, "glasses picked up in a circle", "a glass")
            return find_medium(blocks[source].glass, blocks, shelf, log, depth + 1)
    if solve == 4 and any(parse_number(word, where) for word in words[7:9]):
        log.refuse(glass.line, f"glass {name} with offsets of nd or Vd", "a glass of a catalogue or nd and Vd")
    if solve == 1 or blank:
        nd, vd, deviation = (parse_number(word, where) for word in words[2:5])
        if deviation:
            log.note("guessed", f"dPgF {deviation:g} of a model glass is left out", glass.line)
        for medium in shelf.carried.values():
            if is_model(medium) and [*medium.parameters().values()] == ([nd, vd] if vd else [nd]):
                return medium
        medium = make_model(nd, vd, glass.line, log)
        if vd and not shelf.own:
            log.note("guessed", f"model glass {nd:g} / {vd:g}: Cauchy's curve through nd and Vd", glass.line)
        return medium
    return shelf.find(name, glass.line, log)


def _tell_solve(word: str, what: str, one: Command, log: Log) -> None:
    if word not in ("0", "0.0", '""'):
        log.skip(f"{one.word}: {what} is variable or solved for; the number in the file is taken", one.line)


def _terms(kind: str, parameters: dict[int, float], extra: dict[int, float], line: int, log: Log) -> dict[int, float]:
    if (step := _PARAMETER_STEP.get(kind)) is not None:
        high = [at for at, value in parameters.items() if value and not 1 <= at <= _MOST_PARAMETERS]
        if high:
            log.refuse(line, f"parameter {high[0]} of {kind}", f"1 to {_MOST_PARAMETERS}")
        return {step * at: value for at, value in parameters.items() if 1 <= at <= _MOST_PARAMETERS}
    if any(parameters.values()):
        if kind == "STANDARD":
            log.note("guessed", "parameters of a standard surface mean nothing and are left out", line)
        else:
            log.refuse(line, f"parameters of {kind}", "numbers in XDAT only")
    if kind == "STANDARD":
        return {}
    count, radius = extra.get(1, 0.0), extra.get(2, 1.0)
    used = {at - 2: value for at, value in extra.items() if 3 <= at < 3 + count and value}
    if kind == "XPOLYNOM":
        used = _symmetric(used, line, log)
    else:
        used = {_EXTENDED_STEP[kind] * at: value for at, value in used.items()}
    if not used:
        return {}
    if not radius > 0:
        log.fail(line, f"a normalisation radius of {radius:g}", "a positive number")
    if max(used) > _HIGHEST_POWER:
        log.refuse(line, f"power {max(used)} of r", f"powers up to {_HIGHEST_POWER}")
        used = {power: value for power, value in used.items() if power <= _HIGHEST_POWER}
    try:
        terms = {power: value / radius**power for power, value in used.items()} if radius != 1 else used
    except (OverflowError, ZeroDivisionError):
        terms = {2: math.inf}
    if not all(abs(value) < 1e300 for value in terms.values()):
        log.fail(line, f"coefficients over {radius:g} to a high power", "finite numbers")
    return terms


def _symmetric(used: dict[int, float], line: int, log: Log) -> dict[int, float]:
    """Powers of r of a polynomial in x, y, x^2, xy, y^2, ... that is one in x^2 + y^2; other ones are refused."""
    terms: dict[int, float] = {}
    for total in sorted({_degree(at) for at in used}):
        first = total * (total + 1) // 2  # terms 1 and 2 are x and y
        row = [used.get(first + j, 0.0) for j in range(total + 1)]
        even = total % 2 == 0
        wanted = [row[0] * math.comb(total // 2, j // 2) if even and j % 2 == 0 else 0.0 for j in range(total + 1)]
        if any(abs(a - b) > 1e-12 * max(map(abs, row)) for a, b in zip(row, wanted, strict=True)):
            log.refuse(line, f"a polynomial in x and y, not round in degree {total}", "powers of x^2 + y^2")
            continue
        terms[total] = row[0]
    return terms


def _degree(at: int) -> int:
    """Degree of the term number `at` (from 1) of x, y, x^2, xy, y^2, x^3, ..."""
    total = 1
    while (total + 1) * (total + 2) // 2 - 1 < at:
        total += 1
    return total
