"""Lens files of DeepLens: JSON with `surfaces`, lengths in mm, glasses by name or as "nd/Vd"."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from psf.errors import InputError

from ..catalogue import find_glass
from ..entries import Entry, is_number, shown
from ..glass import AIR, Medium
from .agf import Catalogue
from .drafts import Aperture, Draft, DraftSurface
from .materials import Shelf
from .notices import Log

_MARKS = ("foclen", "fnum", "r_sensor", "d_sensor", "(d_sensor)", "(foclen)", "(fnum)", "sensor_size", "(sensor_size)")
_SHAPES = {"spheric": 0, "spherical": 0, "sphere": 0, "aspheric": 1, "stop": 2, "aperture": 2, "plane": 2}
_LARGEST_MM = 1e6
# Files hold rounded numbers beside exact ones.
_ROUNDING = 2e-3


def parse_deeplens(content: bytes) -> Mapping[str, Any] | None:
    """The data of a DeepLens file, or None where the bytes are something else.

    DeepLens writes infinite radii as `Infinity`, which JSON does not know; they become null here.

    Args:
        content: The file.
    """
    try:
        data = json.loads(content.decode("utf-8-sig"), parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or "schema" in data or not isinstance(data.get("surfaces"), list):
        return None
    typed = any(isinstance(one, dict) and "type" in one for one in data["surfaces"])
    return data if typed or any(mark in data for mark in _MARKS) else None


def read_deeplens(data: Mapping[str, Any], file: str, log: Log, catalogues: Sequence[Catalogue] = ()) -> Draft:
    """Read the data of a DeepLens file.

    Args:
        data: What `parse_deeplens` found.
        file: Path or name; the lens is called by its stem.
        log: Gets notices, and refuses what has no counterpart.
        catalogues: The caller's glass catalogues.

    Raises:
        InputError: It is no lens that we can hold; file and key stand in front.
    """
    entry = Entry(data, file)
    rows = entry.entries("surfaces")
    if not rows:
        raise InputError(entry.at("surfaces"), "an empty list", "at least one surface")
    for key in data:
        if key.lower() in ("doe", "phase"):
            log.refuse(0, f"{key}: a diffractive element", "refracting surfaces")
    shelf = Shelf(given=tuple(catalogues))
    steps = _thicknesses(entry, rows, log)
    surfaces = tuple(_surface(row, step, shelf, log) for row, step in zip(rows, steps, strict=True))
    radius = _value(entry, "r_sensor")
    entries, size = _sensor(data)
    if size is not None and radius is None:
        radius = size
    info = data.get("info")
    name = PurePath(file.replace("\\", "/")).stem
    return Draft(
        surfaces=surfaces,
        name=name,
        title=info if isinstance(info, str) else "",
        aperture=Aperture("stop", 1.0),
        image_semi_mm=radius,
        source={"source": {"file": PurePath(file.replace("\\", "/")).name, "format": "DeepLens JSON"}},
        entries=entries,
    )


def _value(entry: Entry, key: str) -> float | None:
    """A number under a key or under the same in brackets, which DeepLens means for people; None without."""
    for name in (key, f"({key})"):
        if is_number(entry.data.get(name)):
            return entry.number(name, -1e9, 1e9)
    return None


def _thicknesses(entry: Entry, rows: Sequence[Entry], log: Log) -> list[float]:
    places = [_value(row, "d") for row in rows]
    sensor = _value(entry, "d_sensor")
    ends = [*places[1:], sensor]
    steps: list[float] = []
    for i, row in enumerate(rows):
        here, there, step = places[i], ends[i], _value(row, "d_next")
        if step is None:
            if here is None or there is None:
                raise InputError(row.at("d_next"), "nothing", "the distance to the next surface")
            step = there - here
        elif here is not None and there is not None and abs(there - here - step) > _ROUNDING * max(1.0, abs(step)):
            log.note("guessed", f"surface {i + 1}: d_next {step:g} counts, d says {there - here:g}")
        steps.append(step)
    return steps


def _surface(row: Entry, step: float, shelf: Shelf, log: Log) -> DraftSurface:
    kind = row.text("type").lower()
    if kind not in _SHAPES:
        log.refuse(0, f"{row.at('type')}: {shown(row.data['type'])}", f"one of {', '.join(_SHAPES)}")
    if row.data.get("is_square"):
        log.refuse(0, f"{row.at('is_square')}: a square aperture", "a round one")
    curvature = 0.0 if _SHAPES.get(kind, 2) == 2 else _curvature(row, log)
    terms: dict[int, float] = {}
    conic = 0.0
    if _SHAPES.get(kind) == 1:
        conic = row.number("k", -1e6, 1e6, default=0.0)
        terms = _terms(row, log)
    return DraftSurface(
        line=0,
        medium=_medium(row, shelf, log),
        curvature_per_mm=curvature,
        conic_k=conic,
        terms=terms,
        thickness_mm=step,
        semi_aperture_mm=row.number("r", 1e-6, _LARGEST_MM),
        clips=True,
        stop=kind in ("stop", "aperture"),
    )


def _curvature(row: Entry, log: Log) -> float:
    """1 / roc, which DeepLens reads first; else c."""
    radius, given = row.data.get("roc"), _value(row, "c")
    if isinstance(radius, int | float) and is_number(radius) and radius != 0:
        curvature = 1 / float(radius)
        if abs(curvature) > 1e6:
            raise InputError(row.at("roc"), radius, "a radius of at least 1e-6 mm")
        if given is not None and abs(given - curvature) > max(1e-4, _ROUNDING * abs(curvature)):
            log.note("guessed", f"{row.path}: roc gives a curvature of {curvature:g}, which counts; c says {given:g}")
        return curvature
    if given is None:
        if "roc" in row.data:
            return 0.0
        raise InputError(row.at("c"), "nothing", "a curvature, or roc")
    return given


def _terms(row: Entry, log: Log) -> dict[int, float]:
    values = row.data.get("ai") or []
    if not isinstance(values, list) or not all(is_number(value) for value in values) or len(values) > 20:
        raise InputError(row.at("ai"), shown(row.data.get("ai")), "a list of up to 20 numbers")
    said = {p: row.data.get(f"ai{p}", row.data.get(f"(ai{p})")) for p in range(2, 42, 2)}
    named = {power: float(value) for power, value in said.items() if isinstance(value, int | float)}
    flag = row.data.get("use_ai2")
    # Newer files say whether the first one is that of r^2; older ones always begin there.
    first = 2 if flag is None or flag else 4
    terms = {first + 2 * i: float(value) for i, value in enumerate(values)}
    if values and flag is None and not named:
        log.note("guessed", f"{row.path}.ai: the first coefficient is taken as that of r^2")
    for power, value in named.items():
        found = terms.get(power, 0.0)
        if values and abs(found - value) > _ROUNDING * max(abs(found), abs(value)):
            raise InputError(row.at(f"ai{power}"), value, f"{found}, which the list ai has for r^{power}")
    return terms or named


def _medium(row: Entry, shelf: Shelf, log: Log) -> Medium:
    name = row.text("mat2")
    if name.casefold() in ("air", "vacuum", "occluder"):
        return AIR
    if "/" in name:
        return find_glass(name, where=row.at("mat2"))
    try:
        return shelf.find(name, 0, log)
    except InputError as error:
        raise InputError(row.at("mat2"), error.found, error.expected) from None


def _sensor(data: Mapping[str, Any]) -> tuple[dict[str, Any], float | None]:
    """Our key `sensor` where size and pixels are known; and half the diagonal in mm where the size is."""
    size, pixels = (data.get(key, data.get(f"({key})")) for key in ("sensor_size", "sensor_res"))
    if not (isinstance(size, list) and len(size) == 2 and all(is_number(n) and n > 0 for n in size)):
        return {}, None
    half = 0.5 * math.hypot(*size)
    if not (isinstance(pixels, list) and len(pixels) == 2 and all(is_number(n) and n >= 1 for n in pixels)):
        return {}, half
    pitch_um = 1e3 * size[0] / pixels[0]
    if abs(size[1] / pixels[1] * 1e3 - pitch_um) > _ROUNDING * pitch_um:
        return {}, half
    return {"sensor": {"width_px": int(pixels[0]), "height_px": int(pixels[1]), "pitch_um": pitch_um}}, half
