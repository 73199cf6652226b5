"""Looking a glass up by name: makers' catalogues, phone plastics, air, and the "nd/Vd" of patents."""

import difflib
import gzip
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

import lenses
from psf.errors import InputError

from .glass import AIR, FormulaIndex, Medium, ModelGlass, medium_from_entry

# Where a bare name is looked for, first come first served: 28 names of old glasses (F2, SF6, ...) belong to several
# makers. Ask for "hikari/F2" where the maker matters.
CATALOGUES = ("schott", "ohara", "hoya", "cdgm", "hikari", "sumita", "plastics")

_ND_VD = re.compile(r"(\d\.\d+)/(\d+(?:\.\d+)?)")


def find_glass(name: str, catalogues: Sequence[str] = CATALOGUES, *, where: str = "glass") -> Medium:
    """Look a medium up by name; capitals do not matter.

    Args:
        name: "N-BK7", "schott/N-BK7" (this maker only), "1.53500/55.70" (nd and Vd: a model glass), or "air".
        catalogues: Where to look for a bare name, in this order; the maker found stands in `medium.name`.
        where: What an error message begins with.

    Raises:
        InputError: No such glass; the message lists names that are close.
    """
    if not isinstance(name, str):
        raise InputError(where, repr(name), "the name of a glass")
    wanted = name.strip().casefold()
    if wanted == "air":
        return AIR
    if numbers := _ND_VD.fullmatch(wanted):
        return ModelGlass.from_numbers(float(numbers[1]), float(numbers[2]), name=wanted, where=f"{where} {name!r}")
    _check_catalogues(catalogues)
    maker, slash, bare = wanted.rpartition("/")
    if slash and maker not in CATALOGUES:
        raise InputError(where, repr(name), f"a maker before the stroke: one of {', '.join(CATALOGUES)}")
    for catalogue in (maker,) if slash else catalogues:
        if (key := _keys().get(f"{catalogue}/{bare}")) is not None:
            return _plastic(key) if catalogue == "plastics" else _catalogue_glass(key)
    raise InputError(where, f"unknown glass {name!r}", _close_names(bare, (maker,) if slash else catalogues))


def list_glasses(catalogues: Sequence[str] = CATALOGUES) -> list[str]:
    """All names as "maker/name", sorted within each catalogue.

    Raises:
        InputError: There is no such catalogue.
    """
    _check_catalogues(catalogues)
    return [key for catalogue in catalogues for key in sorted(_names(catalogue))]


@cache
def _catalogue() -> Mapping[str, Any]:
    """The makers' glasses: "maker/name" to [formula number, coefficients, [low_um, high_um], nd, Vd]."""
    with gzip.open(lenses.DIRECTORY / "glass_catalogue.json.gz", "rt", encoding="utf-8") as file:
        data: dict[str, Any] = json.load(file)
    return MappingProxyType(data["glasses"])


@cache
def _plastics() -> Mapping[str, Any]:
    """The plastics: name to an entry as `media` of a lens file has, with `aliases` and `source` beside it."""
    data: dict[str, Any] = json.loads((lenses.DIRECTORY / "plastics.json").read_text(encoding="utf-8"))
    return MappingProxyType(data["media"])


@cache
def _keys() -> Mapping[str, str]:
    """Every way to write a name, folded to lower case, to the key in its catalogue."""
    keys = {key.casefold(): key for key in _catalogue()}
    for name, entry in _plastics().items():
        keys |= {f"plastics/{alias}".casefold(): name for alias in (name, *entry.get("aliases", []))}
    return MappingProxyType(keys)


def _check_catalogues(catalogues: Sequence[str]) -> None:
    for maker in catalogues:
        if maker not in CATALOGUES:
            raise InputError("catalogues", repr(maker), f"some of {', '.join(CATALOGUES)}")


def _names(catalogue: str) -> list[str]:
    if catalogue == "plastics":
        return [f"plastics/{name}" for name in _plastics()]
    return [key for key in _catalogue() if key.startswith(f"{catalogue}/")]


# Media are made anew for each caller: a kept one would carry one caller's `requires_grad_` to the next.
def _catalogue_glass(key: str) -> Medium:
    formula, coefficients, (low_um, high_um), *_ = _catalogue()[key]
    return FormulaIndex.from_coefficients(
        f"rii{formula}", coefficients, name=key, range_um=(low_um, high_um), where=key
    )


def _plastic(name: str) -> Medium:
    return medium_from_entry(f"plastics/{name}", _plastics()[name], f"plastics.json: media[{name!r}]")


def _close_names(bare: str, catalogues: Sequence[str]) -> str:
    names = {key.partition("/")[2].casefold(): key for key in reversed(list_glasses(catalogues))}
    close = [names[match] for match in difflib.get_close_matches(bare, names, n=5, cutoff=0.6)]
    return f"a glass of {', '.join(catalogues)}" + (f" (close: {', '.join(close)})" if close else "")
