"""Which glass a lens file means: its own media, the catalogues that it names, and only then any other, told aloud."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from psf.errors import InputError

from ..catalogue import CATALOGUES, find_glass, list_glasses
from ..glass import AIR, ConstantIndex, Medium, ModelGlass, medium_from_entry
from .agf import Catalogue
from .notices import Log

# What lens files call the makers whose glasses come with the package.
MAKERS: Mapping[str, str] = {
    "schott": "schott",
    "ohara": "ohara",
    "hoya": "hoya",
    "cdgm": "cdgm",
    "sumita": "sumita",
    "hikari": "hikari",
    "nikon": "hikari",
    "nikon-hikari": "hikari",
    "nikon_hikari": "hikari",
}
LONGEST_NAME = 80
_MIL_CODE = re.compile(r"\d{6}")


@dataclass(frozen=True)
class Shelf:
    """Where the glasses of one lens file stand.

    Attributes:
        named: Catalogues that the file names, in its order.
        given: Catalogues that the caller or the file's own folder has.
        carried: Media that the file itself holds, by name.
        own: Whether this package wrote the file: then a model glass is exactly the curve that it is here.
    """

    named: tuple[str, ...] = ()
    given: tuple[Catalogue, ...] = ()
    carried: Mapping[str, Medium] = field(default_factory=dict)
    own: bool = False

    def find(self, name: str, line: int, log: Log) -> Medium:
        """A glass by name.

        Raises:
            InputError: No catalogue has it, or its data cannot be.
        """
        if name in self.carried:
            return self.carried[name]
        if len(name) > LONGEST_NAME:
            raise InputError(log.at(line), f"a glass name of {len(name)} letters", f"up to {LONGEST_NAME}")
        if name.casefold() == "air":
            return AIR
        for catalogue in self.named:
            if (found := self._in_catalogue(catalogue, name)) is not None:
                return found
        others = [one.name for one in self.given if one.name.casefold() not in self._folded()]
        makers = [maker for maker in CATALOGUES if maker not in {MAKERS.get(one) for one in self._folded()}]
        for catalogue in (*others, *makers):
            if (found := self._in_catalogue(catalogue, name)) is not None:
                named = f"not in {', '.join(self.named)}" if self.named else "the file names no catalogue"
                log.note("fallback", f"glass {name} taken as {found.name} ({named})", line)
                return found
        if _MIL_CODE.fullmatch(name):
            return decode_mil(name, line, log)
        where = [*self.named, *(one.name for one in self.given), *makers]
        known = find_close(name)
        expected = f"a glass of {', '.join(dict.fromkeys(where))}{known}; or give its catalogue (AGF)"
        raise InputError(log.at(line), f"unknown glass {name!r}"[:80], expected)

    def _folded(self) -> set[str]:
        return {one.casefold() for one in self.named}

    def _in_catalogue(self, catalogue: str, name: str) -> Medium | None:
        for one in self.given:
            if one.name.casefold() == catalogue.casefold() and (found := one.find(name)) is not None:
                return found
        maker = catalogue if catalogue in CATALOGUES else MAKERS.get(catalogue.casefold())
        if maker is None or "/" in name or (maker != "plastics" and name.casefold() not in _list_names(maker)):
            return None
        try:
            return find_glass(f"{maker}/{name}")
        except InputError:  # no plastic of that name, not even as an alias
            return None


@cache
def _list_names(maker: str) -> frozenset[str]:
    """Names of a maker's glasses, folded to lower case; to miss one costs no search for names that are close."""
    return frozenset(key.partition("/")[2].casefold() for key in list_glasses([maker]))


def find_close(name: str) -> str:
    """A hint with names that are close, or ""."""
    try:
        find_glass(name)
    except InputError as error:
        _, hint, close = error.expected.partition(" (close: ")
        return hint + close
    return ""


def decode_mil(code: str, line: int, log: Log) -> Medium:
    """A model glass of the six digits nd - 1 and Vd: 517642 is 1.517 / 64.2."""
    nd, vd = 1 + int(code[:3]) / 1000, int(code[3:]) / 10
    log.note("guessed", f"glass code {code} taken as nd {nd:g}, Vd {vd:g}", line)
    return make_model(nd, vd, line, log)


def make_model(nd: float, vd: float, line: int, log: Log) -> Medium:
    """A medium of which only nd and Vd are known; Vd 0 means no dispersion, nd 1 air."""
    if nd == 1:
        return AIR
    where = log.at(line)
    if vd == 0:
        entry = {"model": "constant", "index": nd}
        medium = medium_from_entry(f"n={nd:.6g}", entry, where)
        log.note("guessed", f"index {nd:g} at every wavelength: Vd is 0", line)
        return medium
    return ModelGlass.from_numbers(nd, vd, where=where)


def find_hyphenless(name: str, maker: str) -> Medium | None:
    """A glass of a maker by its name without hyphens and blanks, as CODE V writes it: NBK7 is N-BK7."""
    wanted = re.sub(r"[-_ ]", "", name).casefold()
    for key in list_glasses([maker]) if len(name) <= LONGEST_NAME else ():
        if re.sub(r"[-_ ]", "", key.partition("/")[2]).casefold() == wanted:
            return find_glass(key)
    return None


def is_model(medium: Medium) -> bool:
    """Whether nd and Vd, or an index without dispersion, say all there is."""
    return isinstance(medium, ModelGlass | ConstantIndex)


def merge_catalogues(*groups: Sequence[Catalogue]) -> tuple[Catalogue, ...]:
    """All of them, each name once, the first one first."""
    found: dict[str, Catalogue] = {}
    for one in (one for group in groups for one in group):
        found.setdefault(one.name.casefold(), one)
    return tuple(found.values())
