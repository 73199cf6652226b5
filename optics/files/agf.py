"""Glass catalogues in AGF files, and catalogues in folders.

An AGF file is lines that begin with a word: NM (name, formula number, MIL code, nd, Vd, ...), CD (the formula's
coefficients), LD (shortest and longest wavelength in um). Thermal data (TD), other data (ED, OD), transmission (IT),
comments (CC, GC) and melts do not change the index at 20 degrees in air and are passed over. A glass is made when it is
asked for: one that is broken does not spoil its catalogue.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from psf.errors import InputError
from psf.files.texts import decode_text

from ..formulas import AGF_FORMULAS, FORMULAS
from ..glass import FormulaIndex, Medium
from .texts import parse_number, read_bytes, split_lines

_MOST_GLASSES = 20_000


@dataclass(frozen=True)
class AgfGlass:
    """A glass as an AGF file has it.

    Attributes:
        name: As the file writes it.
        formula: Zemax's number of the dispersion formula, as text.
        coefficients: Words of the line CD.
        range_um: Words of the line LD.
        where: File and line of NM.
    """

    name: str
    formula: str
    where: str
    coefficients: tuple[str, ...] = ()
    range_um: tuple[str, ...] = ()

    def medium(self, catalogue: str) -> Medium:
        """The glass.

        Args:
            catalogue: Stands before the stroke in its name.

        Raises:
            InputError: A formula or coefficients that cannot be.
        """
        number = int(parse_number(self.formula, self.where))
        if number not in AGF_FORMULAS:
            raise InputError(self.where, f"dispersion formula {number}", f"one of {min(AGF_FORMULAS)} to 13")
        formula = AGF_FORMULAS[number]
        values = [parse_number(word, self.where) for word in self.coefficients]
        count = FORMULAS[formula][1] or 0
        values += [0.0] * (count - len(values))
        ends = [parse_number(word, self.where) for word in self.range_um[:2]]
        range_um = (ends[0], ends[1]) if len(ends) == 2 and 0 < ends[0] < ends[1] else None
        name = f"{catalogue.lower()}/{self.name}"
        return FormulaIndex.from_coefficients(formula, values, name=name, range_um=range_um, where=self.where)


@dataclass(frozen=True)
class Catalogue:
    """Glasses of one AGF file.

    Attributes:
        name: What lens files call it: the file's name without its ending.
        glasses: By name, folded to lower case.
    """

    name: str
    glasses: Mapping[str, AgfGlass]

    def find(self, name: str) -> Medium | None:
        """A glass by name, capitals aside, or None.

        Raises:
            InputError: It is there, but its data cannot be.
        """
        glass = self.glasses.get(name.casefold())
        return None if glass is None else glass.medium(self.name)


def parse_agf(content: bytes, file: str) -> Catalogue:
    """The glasses of an AGF file.

    Args:
        content: The file, UTF-8, UTF-16 or Windows-1252.
        file: Its path or name: the catalogue is called by its stem.

    Raises:
        InputError: No glass in it.
    """
    text, _ = decode_text(content)
    glasses: dict[str, AgfGlass] = {}
    current: AgfGlass | None = None
    for number, line in enumerate(split_lines(text), start=1):
        words = line.split()
        if not words:
            continue
        if words[0] == "NM" and len(words) > 2:
            current = AgfGlass(words[1], words[2], f"{file}:{number}")
        elif words[0] == "CD" and current is not None:
            current = replace(current, coefficients=tuple(words[1:]))
        elif words[0] == "LD" and current is not None:
            current = replace(current, range_um=tuple(words[1:]))
        else:
            continue
        glasses[current.name.casefold()] = current
        if len(glasses) > _MOST_GLASSES:
            raise InputError(f"{file}:{number}", f"more than {_MOST_GLASSES} glasses", "a glass catalogue")
    if not glasses:
        raise InputError(file, "no line NM with a glass", "an AGF glass catalogue")
    return Catalogue(Path(file.replace("\\", "/")).stem, MappingProxyType(glasses))


def read_catalogues(paths: Sequence[str | os.PathLike[str]]) -> tuple[Catalogue, ...]:
    """Glass catalogues from AGF files and folders of them.

    Args:
        paths: Files, or folders whose *.agf are read in the order of their names.

    Raises:
        FileNotFoundError: No such file or folder.
        InputError: A folder without one, or a file that is none.
    """
    found: list[Catalogue] = []
    for given in paths:
        path = Path(given)
        files = [path]
        if path.is_dir():
            files = sorted(one for one in path.iterdir() if one.suffix.lower() == ".agf" and one.is_file())
            if not files:
                raise InputError(str(path), "no *.agf file", "a folder of glass catalogues")
        found += [parse_agf(read_bytes(file), str(file)) for file in files]
    return tuple(found)
