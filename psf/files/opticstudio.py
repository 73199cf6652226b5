"""Text exports of OpticStudio's Huygens PSF and FFT PSF.

Written from the documented layout and from public programs that read such files; no authentic export was found in
public. The header is prose in the language of the program's windows; English is read. Then a grid of numbers, one row
per line, the top row (largest y) first: OpticStudio's help says that an FFT PSF of n points has an extra column at the
right and an extra row at the top of its centre, and exports with 256 points name row 129 and column 128 as that
centre, which fits rows that are counted from the top and no others.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import InputError
from .notices import Notice
from .texts import decode_text

Analysis = Literal["huygens", "fft"]
Samples = npt.NDArray[np.float64]
# The largest grids, 4096 x 4096 numbers in UTF-16, have some 400 MB; what people export has one.
LARGEST_BYTES = 500_000_000
_NUMBER = r"([-+]?\d+(?:[.,]\d+)?(?:[eE][-+]?\d+)?)"
_LENGTH_UM = {"nm": 1e-3, "um": 1.0, "micron": 1.0, "mm": 1e3, "millimeter": 1e3, "cm": 1e4, "centimeter": 1e4}
_LENGTH_UM |= {"meter": 1e6, "m": 1e6, "inch": 25400.0, "in": 25400.0, "inche": 25400.0}
_UNIT = r"\(?\s*([A-Za-z\u00b5\u03bc]+)\s*\)?\.?"  # two signs of micro: the unit's own, and the Greek letter
_HEAD = re.compile(r"^\s*Listing of (Huygens|FFT) PSF Data\s*$", re.IGNORECASE)
_LINES = {
    "waves": re.compile(rf"^{_NUMBER}(?:\s+to\s+{_NUMBER})?\s*{_UNIT}\s+at\s+{_NUMBER}(?:[,;]\s+{_NUMBER})?\s*{_UNIT}"),
    "spacing": re.compile(rf"^Data spacing is\s+{_NUMBER}\s*{_UNIT}", re.IGNORECASE),
    "area": re.compile(rf"^Data area is\s+{_NUMBER}(?:\s+by\s+{_NUMBER})?\s*{_UNIT}", re.IGNORECASE),
    "grid": re.compile(r"^Image grid size\s*:\s*(\d+)\s+by\s+(\d+)", re.IGNORECASE),
    "centre": re.compile(r"^Center point is\s*:\s*(row\s+)?(\d+)[,;]\s+(column\s+)?(\d+)", re.IGNORECASE),
    "place": re.compile(
        rf"^(?:Center|Reference) coordinates\s*:\s*{_NUMBER}[,;]\s+{_NUMBER}\s*(?:{_UNIT})?", re.IGNORECASE
    ),
    "strehl": re.compile(rf"^Strehl ratio\s*:\s*{_NUMBER}", re.IGNORECASE),
    "configuration": re.compile(r"^Configuration\s*:?\s*(\d+)", re.IGNORECASE),
}
# Lines that say nothing about where light is. A surface is looked at apart.
_PLAIN = re.compile(
    r"^(File|Title|Date|Pupil grid size|Values are|Lens units|Normalization|Rotation)\b"
    r"|^(Polychromatic |Monochromatic )?(Huygens|FFT) PSF",
    re.IGNORECASE,
)
# A linear intensity has no values below 0 but for rounding.
_ROUNDING = 1e-6
# The border's share of the light above which an export is said to be cut off; the border is a twentieth of each side.
_CUT_OFF = 0.005


@dataclass(frozen=True, eq=False)
class OpticStudioPSF:
    """One export.

    Attributes:
        file: Its name.
        analysis: "huygens" or "fft".
        values: Irradiance at points, shape (rows, columns), row 0 at the top (largest y), column 0 at the left.
        spacing_um: Between columns and between rows.
        centre_px: Row and column, from 0, of the point that the export is centred on.
        wavelengths_um: Shortest and longest that it is made of.
        field_point: The x and y that its header names, in `field_unit`.
        field_unit: "deg" or a length unit, which does not tell objects' heights from images'.
        centre_mm: Where on the image surface its centre lies, x and y, if the header says so.
        strehl: Strehl ratio, if the header has one.
        configuration: Its number, if the header has one.
        notices: What reading it had to tell.
    """

    file: str
    analysis: Analysis
    values: Tensor
    spacing_um: tuple[float, float]
    centre_px: tuple[float, float]
    wavelengths_um: tuple[float, float]
    field_point: tuple[float, float]
    field_unit: str
    centre_mm: tuple[float, float] | None = None
    strehl: float | None = None
    configuration: int | None = None
    notices: tuple[Notice, ...] = ()


def read_opticstudio(path: str | os.PathLike[str]) -> OpticStudioPSF:
    """Read a text export of a Huygens PSF or an FFT PSF.

    Args:
        path: UTF-16 or UTF-8; decimal points or commas.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: It is no such export, or not whole; file and line stand in front.
    """
    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(f"{file}: no such file")
    if not file.is_file():
        raise InputError(str(file), "a folder", "a text export")
    if (size := file.stat().st_size) > LARGEST_BYTES:
        raise InputError(str(file), f"{size} bytes", f"a text export of up to {LARGEST_BYTES} bytes")
    return parse_opticstudio(file.read_bytes(), str(path))


def parse_opticstudio(content: bytes, file: str) -> OpticStudioPSF:
    """`read_opticstudio` from bytes.

    Args:
        content: The file.
        file: What it is called; messages begin with it.
    """
    text, _ = decode_text(content)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    first = next((n for n, line in enumerate(lines) if line.strip()), 0)
    head = _HEAD.match(lines[first])
    if head is None:
        expected = 'a line "Listing of Huygens PSF Data" or "Listing of FFT PSF Data" (text of English windows)'
        raise InputError(f"{file}:{first + 1}", repr(lines[first].strip()[:80]), expected)
    begin = _find_grid(lines, first + 1)
    header = _Header(file, lines, first + 1, begin)
    centre_mm = header.centre_mm()
    notices = list(header.notices)
    columns, rows = header.grid()
    values = _read_grid(file, lines, begin, rows, columns)
    if len({*header.marks, *_marks(lines[begin : begin + rows])}) > 1:
        header.fail(begin + 1, "both decimal points and decimal commas", "one of them")
    analysis: Analysis = "fft" if head.group(1).lower() == "fft" else "huygens"
    _check_light(file, begin, values, notices)
    field_at, field_unit = header.field()
    if analysis == "fft" and any(field_at):
        text = "an FFT PSF off the axis lies across the chief ray, not on the sensor; a Huygens PSF does"
        notices.append(Notice(file, 0, "lost", text))
    return OpticStudioPSF(
        file=file,
        analysis=analysis,
        values=torch.from_numpy(values),
        spacing_um=header.spacing_um(rows, columns),
        centre_px=header.centre_px(rows, columns),
        wavelengths_um=header.wavelengths_um(),
        field_point=field_at,
        field_unit=field_unit,
        centre_mm=centre_mm,
        strehl=header.one("strehl"),
        configuration=header.configuration(),
        notices=tuple(notices),
    )


def _find_grid(lines: list[str], start: int) -> int:
    """Index of the first line of numbers; a few of its words may be something else, which is refused later."""
    for n in range(start, len(lines)):
        words = lines[n].split()
        if len(words) > 1 and 2 * sum(re.fullmatch(_NUMBER, word) is not None for word in words) > len(words):
            return n
    return len(lines)


def _marks(lines: list[str]) -> set[str]:
    """The decimal marks of numbers."""
    text = " ".join(lines)
    return {mark for mark in ".," if mark in text}


class _Header:
    """The lines before the grid, by what they say."""

    def __init__(self, file: str, lines: list[str], start: int, end: int) -> None:
        self.file = file
        self.end = end
        self.found: dict[str, tuple[int, re.Match[str]]] = {}
        self.notices: list[Notice] = []
        self.marks: set[str] = set()
        for n in range(start, end):
            self._take(n + 1, lines[n].strip())

    def _take(self, number: int, line: str) -> None:
        if not line:
            return
        for name, pattern in _LINES.items():
            if match := pattern.match(line):
                if name in self.found:
                    self.fail(number, f"a second line {line[:60]!r}", "one such line (one export per file)")
                self.found[name] = (number, match)
                self.marks |= {m for g in match.groups() if g and g[:1] in "+-0123456789" for m in ".," if m in g}
                return
        if surface := re.match(r"^Surface\s*:\s*(.+)$", line, re.IGNORECASE):
            if surface.group(1).strip().lower() != "image":
                self.fail(number, f"surface {surface.group(1).strip()!r}", "the image surface")
        elif not _PLAIN.match(line):
            self.notices.append(Notice(self.file, number, "skipped", repr(line[:80])))

    def fail(self, line: int, found: object, expected: str) -> NoReturn:
        raise InputError(f"{self.file}:{line}" if line else self.file, found, expected)

    def need(self, name: str, expected: str) -> tuple[int, re.Match[str]]:
        if name not in self.found:
            self.fail(self.end, "no such line in the header", f"{expected} (text of English windows)")
        return self.found[name]

    def length_um(self, line: int, unit: str) -> float:
        plain = unit.lower().replace("\u00b5", "u").replace("\u03bc", "u")
        for word in (plain, plain.removesuffix("s")):
            if word in _LENGTH_UM:
                return _LENGTH_UM[word]
        return self.fail(line, f"the unit {unit!r}", "a length as um or mm")

    def one(self, name: str) -> float | None:
        return _float(self.found[name][1].group(1)) if name in self.found else None

    def configuration(self) -> int | None:
        return int(self.found["configuration"][1].group(1)) if "configuration" in self.found else None

    def grid(self) -> tuple[int, int]:
        _, match = self.need("grid", '"Image grid size: COLUMNS by ROWS"')
        return int(match.group(1)), int(match.group(2))

    def wavelengths_um(self) -> tuple[float, float]:
        line, match = self.need("waves", '"0.4861 to 0.6563 µm at 0.00, 14.00 (deg)."')
        unit = self.length_um(line, match.group(3))
        low = _float(match.group(1)) * unit
        high = _float(match.group(2)) * unit if match.group(2) else low
        if not 0 < low <= high:
            self.fail(line, f"wavelengths {low:g} to {high:g} um", "positive ones, ascending")
        return low, high

    def field(self) -> tuple[tuple[float, float], str]:
        line, match = self.need("waves", '"0.4861 to 0.6563 µm at 0.00, 14.00 (deg)."')
        unit = match.group(6).lower()
        # A header with one number has a field in y alone.
        place = (_float(match.group(4)), _float(match.group(5))) if match.group(5) else (0.0, _float(match.group(4)))
        if unit in ("deg", "degree", "degrees"):
            return place, "deg"
        self.length_um(line, unit)
        return place, unit

    def spacing_um(self, rows: int, columns: int) -> tuple[float, float]:
        """The data area over its points is more exact than the spacing, which is rounded to three decimals."""
        line, match = self.need("spacing", '"Data spacing is 0.500 µm."')
        word, unit = match.group(1), self.length_um(line, match.group(2))
        spacing, half = _float(word), 0.5 * _last_digit(word)
        if spacing <= 0:
            self.fail(line, f"a spacing of {word}", "a positive one")
        if "area" not in self.found:
            return spacing * unit, spacing * unit
        at, area = self.found["area"]
        area_unit = self.length_um(at, area.group(3)) / unit
        exact = []
        for text, points in ((area.group(1), columns), (area.group(2) or area.group(1), rows)):
            width, slack = _float(text) * area_unit, 0.5 * _last_digit(text) * area_unit
            steps = next((n for n in (points, points - 1) if abs(width - n * spacing) <= n * half * 1.01 + slack), 0)
            if not steps:
                found = f"a data area of {text} for {points} points with a spacing of {word}"
                self.fail(at, found, f"{points} times the spacing")
            exact.append(width / steps if slack / steps < half else spacing)
        return exact[0] * unit, exact[1] * unit

    def centre_px(self, rows: int, columns: int) -> tuple[float, float]:
        line, match = self.need("centre", '"Center point is: row R, column C"')
        row, column = int(match.group(2)), int(match.group(4))
        if row != column and not (match.group(1) and match.group(3)):
            self.fail(line, f"{row}, {column}", "which is the row and which the column")
        if not (1 <= row <= rows and 1 <= column <= columns):
            self.fail(line, f"row {row}, column {column}", f"a point of the {rows} rows and {columns} columns")
        return row - 1.0, column - 1.0

    def centre_mm(self) -> tuple[float, float] | None:
        if "place" not in self.found:
            return None
        line, match = self.found["place"]
        unit = self.length_um(line, match.group(3)) / 1000 if match.group(3) else 1.0
        if not match.group(3):
            self.notices.append(Notice(self.file, line, "guessed", "centre coordinates without a unit are taken as mm"))
        return _float(match.group(1)) * unit, _float(match.group(2)) * unit


def _float(word: str) -> float:
    return float(word.replace(",", "."))


def _last_digit(word: str) -> float:
    """What one step of a number's last decimal is worth."""
    figures, _, exponent = word.lower().partition("e")
    decimals = len(figures.replace(",", ".").partition(".")[2])
    return float(10.0 ** (int(exponent or 0) - decimals))


def _read_grid(file: str, lines: list[str], begin: int, rows: int, columns: int) -> Samples:
    values = np.empty((rows, columns))
    count = 0
    for n in range(begin, len(lines)):
        line = lines[n].replace("\0", " ")
        words = line.split()
        if not words:
            continue
        if count == rows:
            raise InputError(f"{file}:{n + 1}", repr(line.strip()[:60]), f"nothing after {rows} rows of numbers")
        if len(words) != columns:
            raise InputError(f"{file}:{n + 1}", f"{len(words)} values", f"{columns}, as the image grid has columns")
        try:
            values[count] = np.array(line.replace(",", ".").split(), dtype=np.float64)
        except ValueError:
            values[count] = np.nan
        finite = np.isfinite(values[count])
        if not bool(finite.all()):
            large = words[int(np.argmin(finite))]  # a number, but none that a float holds
            word = next((word for word in words if not re.fullmatch(_NUMBER, word)), large)
            raise InputError(f"{file}:{n + 1}", repr(word[:40]), "a finite number")
        count += 1
    if count != rows:
        raise InputError(f"{file}:{len(lines)}", f"{count} rows of numbers, then the end", f"{rows} rows, a whole file")
    return values


def _check_light(file: str, begin: int, values: Samples, notices: list[Notice]) -> None:
    highest = float(values.max())
    if highest <= 0:
        raise InputError(f"{file}:{begin + 1}", "a grid without light", "values above 0")
    if float(values.min()) < -_ROUNDING * highest:
        expected = "an intensity (Type: Linear), not a logarithm, amplitude or phase"
        row = int(np.argmin(values.min(axis=1)))
        raise InputError(f"{file}:{begin + row + 1}", f"a value of {float(values.min()):g}", expected)
    np.maximum(values, 0, out=values)
    strips = [max(1, size // 20) for size in values.shape]
    inner = values[strips[0] : -strips[0], strips[1] : -strips[1]].sum()
    if (share := 1 - float(inner / values.sum())) > _CUT_OFF:
        text = f"{100 * share:.1f} % of the light lies in the border: the light beyond is missing, export a larger area"
        notices.append(Notice(file, 0, "lost", text))
