"""Statements of CODE V sequence files, and what their words are about."""

import re
from dataclasses import dataclass

from .notices import Log
from .texts import split_lines

# Quoted texts, or what stands between blanks and commas.
_TOKEN = re.compile(r"'([^']*)'|\"([^\"]*)\"|([^\s,'\"]+)")
_LONGEST_STATEMENT = 200_000

# Coefficients of the asphere: letter to power of r.
ASPHERE_POWERS = {letter: 4 + 2 * i for i, letter in enumerate("ABCDEFGHJ")}
# Titles, control codes of variables, weights, coatings, polarisation, tolerances: no bearing on where light goes.
_HARMLESS = (
    "INI UID DDM SLB COM CCY CCX THC GLC KC AC BC CC DC EC FC GC HC JC CFG CWL POL WID DER TOL DLR DLT DLN DLF DLS TIR "
    "BTI COA PUX PUY PUI CWT XDC YDC ZDC ADC BDC CDC HCC"
)
HARMLESS = frozenset(_HARMLESS.split())
# Solves: the number in the file is what they came to.
_SOLVES = "PIM PIK HMY UMY HCY UCY EDG"
SOLVES = frozenset(_SOLVES.split())
# Numbers that are zero for a lens of revolution.
OFF_AXIS = {
    "XDE": "a decentre",
    "YDE": "a decentre",
    "ZDE": "a decentre",
    "ADE": "a tilt",
    "BDE": "a tilt",
    "CDE": "a tilt",
    "XOD": "a decentre",
    "YOD": "a decentre",
    "ZOD": "a decentre",
    "ADX": "an aperture off the axis",
    "ADY": "an aperture off the axis",
    "ARO": "an aperture turned",
    "CUF": "a Fresnel base",
    "CUX": "a second curvature",
    "RDX": "a second radius",
}
REFUSED = {
    "DAR": "a decentre and return",
    "BEN": "a bend",
    "REV": "a decentre reversed",
    "DEC": "a decentre",
    "TIL": "a tilt",
    "RET": "a return to another surface",
    "GLB": "a global reference",
    "DIF": "a diffractive surface",
    "HOR": "a hologram",
    "HWL": "a hologram",
    "HCT": "a hologram",
    "HCO": "a hologram",
    "HOE": "a hologram",
    "GRT": "a grating",
    "GRO": "a grating",
    "GRS": "a grating",
    "SPS": "a special surface",
    "SCO": "a special surface",
    "XTO": "a toroid",
    "YTO": "a toroid",
    "CYL": "a cylinder",
    "AAS": "an anamorphic asphere",
    "FRE": "a Fresnel surface",
    "NSS": "a non-sequential surface",
    "REX": "a rectangular aperture",
    "REY": "a rectangular aperture",
    "ELX": "an elliptical aperture",
    "ELY": "an elliptical aperture",
    "RMD": "a mode of reflection",
    "GRI": "a gradient index",
    "THM": "a perfect lens",
    "MOD": "a lens module",
}


@dataclass(frozen=True)
class Statement:
    """One statement.

    Attributes:
        line: Where it begins, from 1.
        head: The first token as it stands.
        word: Its three letters, in capitals (surfaces and letters of coefficients whole).
        values: The other tokens, without quotes.
    """

    line: int
    head: str
    word: str
    values: tuple[str, ...]


def split_statements(text: str, log: Log) -> list[Statement]:
    """Statements of a file, comments and continued lines undone.

    Args:
        text: The file.
        log: Gets what is wrong.

    Raises:
        InputError: A statement without end.
    """
    found: list[Statement] = []
    held, begin = "", 0
    for number, raw in enumerate(split_lines(text), start=1):
        line = _cut(raw, "!")[0].rstrip()
        begin = begin or number
        if line.endswith("&"):
            held += line[:-1] + " "
            if len(held) > _LONGEST_STATEMENT:
                log.fail(begin, f"a statement of {len(held)} letters", f"up to {_LONGEST_STATEMENT}")
            continue
        for piece in _cut(held + line, ";"):
            tokens = [next(group for group in match.groups() if group is not None) for match in _TOKEN.finditer(piece)]
            if tokens:
                head = tokens[0]
                word = head.upper() if re.fullmatch(r"S\d+", head.upper()) else head.upper()[:3]
                found.append(Statement(begin, head, word, tuple(tokens[1:])))
        held, begin = "", 0
    return found


def _cut(text: str, separator: str) -> list[str]:
    """Pieces between separators that do not stand in quotes."""
    pieces, begin, quote = [], 0, ""
    for i, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == separator:
            pieces.append(text[begin:i])
            begin = i + 1
    return [*pieces, text[begin:]]
