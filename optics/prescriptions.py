"""Lens prescriptions in JSON: reading, checking and writing (`lenses/README.md` describes the keys)."""

from __future__ import annotations

import hashlib
import json
import math
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import lenses
from psf import Channel
from psf.errors import InputError
from psf.runs import whole_file

from .catalogue import find_glass
from .entries import Entry, is_number, parse_json, shown
from .glass import LINE_D_UM, Air, Medium, check_range, medium_from_entry
from .lens import DEFAULT_NEAREST_M, Lens, Sensor
from .surface import Conic, EvenAsphere, Plane, PolynomialAsphere, Shape, Surface

SCHEMAS = ("psfield-lens-1", "psfield-reference-lens-1")
KINDS = ("stop", "plane", "sphere", "conic", "even_asphere", "odd_asphere")

# Keys that the lens itself holds. All others (source, notes, design, ...) are for people and kept as they are.
_TEXT_KEYS = ("schema", "name", "title", "object_space_medium", "air_index", "surfaces", "media", "channels", "sensor")
_NUMBER_KEYS = ("reference_wavelength_nm", "reference_wavelength_um", "stop_surface_index", "focus_m", "nearest_m")
_OWN_KEYS = frozenset((*_TEXT_KEYS, *_NUMBER_KEYS))
# No lens is larger, no radius or aperture smaller: numbers beyond are slips, and squares of them leave float64.
_LARGEST_MM, _SMALLEST_MM = 1e6, 1e-6
_MOST_PX = 1_000_000
_SHORTEST_UM, _LONGEST_UM = 0.01, 30.0


def bundled() -> list[str]:
    """Names of the lenses that come with the package."""
    return sorted(path.stem for path in lenses.DIRECTORY.glob("*.json") if path.stem != "plastics")


def load(name: str | os.PathLike[str]) -> Lens:
    """Read a lens.

    Args:
        name: A bundled name such as "f2.2_fixedfocus", or the path of a lens file: our JSON, or what `read_lens_file`
            reads (.zmx, .zar, .seq, JSON of DeepLens). Where such a file leaves something open, a warning says what was
            taken; `read_lens_file` tells all of it.

    Raises:
        FileNotFoundError: Neither a file nor a bundled name.
        InputError: The file says something that cannot be; the message names file and field.
    """
    path = lenses.DIRECTORY / f"{name}.json" if str(name) in bundled() else Path(name)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        known = ", ".join(bundled())
        raise FileNotFoundError(f"{name}: no such file, and no bundled lens of that name ({known})") from None
    except (OSError, ValueError) as error:  # a folder, no permission, a name that no file can have
        found = getattr(error, "strerror", None) or str(error)
        raise InputError(repr(os.fspath(name)), found.lower(), "a JSON file that can be read") from None
    from .files.opening import find_format

    if find_format(content, str(path)) != "psfield":
        return _foreign(path)
    return replace(
        from_json(parse_json(content, str(path)), str(path)), file_sha256=hashlib.sha256(content).hexdigest()
    )


def _foreign(path: Path) -> Lens:
    """A lens file of another program."""
    from .files.notices import weighty
    from .files.opening import read_lens_file

    found = read_lens_file(path)
    if told := weighty(found.notices):
        more = f" and {len(told) - 1} more" if len(told) > 1 else ""
        warnings.warn(f"{path}: {told[0]}{more}; optics.read_lens_file tells all", UserWarning, stacklevel=3)
    return found.lens


def from_json(data: object, where: str = "lens") -> Lens:
    """Build a lens from the parsed JSON; `where` stands in front of every error message.

    Warns where a medium is used outside the range of its data.

    Raises:
        InputError: A key is missing or says something that cannot be.
    """
    lens = _built(Entry(data, where))
    for surface in lens.surfaces:
        check_range(surface.medium, torch.tensor(_used_um(lens), dtype=torch.float64))
    return lens


def save(lens: Lens, path: str | os.PathLike[str]) -> None:
    """Write a lens as JSON that `load` reads back to the same numbers; an interrupted write leaves the old file.

    Raises:
        InputError: The lens has something that `load` would refuse, or there is no such folder.
    """
    target = Path(path)
    where = f"lens {lens.name}"
    data = to_json(lens)
    try:
        text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(where, str(error), "texts, finite numbers, lists and objects in `source`") from None
    _built(Entry(json.loads(text), where))
    if target.is_dir() or not target.parent.is_dir():
        raise InputError(str(target), "a folder" if target.is_dir() else "no such folder", "a file in a folder")
    with whole_file(target) as part:
        part.write_text(text + "\n", encoding="utf-8", newline="\n")


def to_json(lens: Lens) -> dict[str, Any]:
    """The lens as JSON data (see `lenses/README.md`).

    Raises:
        InputError: A shape that the files have no kind for.
    """
    names, media = _named_media(lens)
    height, width = lens.sensor.image_shape_px
    channels = [
        {"name": c.name, "wavelengths_um": list(c.wavelengths_um), "weights": list(c.weights)} for c in lens.channels
    ]
    rows = enumerate(zip(lens.surfaces, names, strict=True), start=1)
    return {
        "schema": SCHEMAS[0],
        "name": lens.name,
        "title": lens.title,
        **{key: value for key, value in lens.source.items() if key not in _OWN_KEYS},
        **_wavelength_entry(lens.reference_wavelength_um),
        "focus_m": None if math.isinf(lens.focus_m) else lens.focus_m,
        "nearest_m": lens.nearest_m,
        "stop_surface_index": lens.stop_surface,
        "sensor": {"width_px": width, "height_px": height, "pitch_um": lens.sensor.pitch_um},
        "channels": channels,
        "surfaces": [_row(i, surface, name, is_stop=i == lens.stop_surface) for i, (surface, name) in rows],
        "media": media,
    }


def _built(entry: Entry) -> Lens:
    if (schema := entry.text("schema")) not in SCHEMAS:
        raise InputError(entry.at("schema"), shown(schema), f"one of {', '.join(SCHEMAS)}")
    for key, only in (("object_space_medium", "air"), ("air_index", 1)):
        if (found := entry.data.get(key, only)) != only:
            raise InputError(entry.at(key), shown(found), repr(only))
    rows = entry.entries("surfaces")
    if not rows:
        raise InputError(entry.at("surfaces"), "an empty list", "at least one surface")
    stop = entry.integer("stop_surface_index", 1, len(rows))
    media = _media(entry)
    surfaces: list[Surface] = []
    for i, row in enumerate(rows, start=1):
        # Whoever inserts a row must renumber the others, or the stop is not where the file says.
        if row.data.get("index", i) != i:
            raise InputError(row.at("index"), shown(row.data["index"]), f"{i}, its place in the list")
        surfaces.append(_surface(row, media))
        if row.data["kind"] == "stop" and i != stop:
            raise InputError(row.at("kind"), "'stop'", f"no second stop beside surface {stop}")
    _check_thicknesses(rows, surfaces, stop)
    sensor, title = entry.entry("sensor"), entry.data.get("title", "")
    if not isinstance(title, str):
        raise InputError(entry.at("title"), shown(title), "a text")
    shape = sensor.integer("height_px", 1, _MOST_PX), sensor.integer("width_px", 1, _MOST_PX)
    try:
        lens = Lens(
            name=entry.text("name"),
            surfaces=tuple(surfaces),
            stop_surface=stop,
            sensor=Sensor(shape, sensor.number("pitch_um", 1e-3, 1e6)),
            reference_wavelength_um=_reference_um(entry),
            # No key and null both mean infinity: that is how prescriptions are published.
            focus_m=math.inf if entry.data.get("focus_m") is None else entry.number("focus_m", 1e-6),
            nearest_m=entry.number("nearest_m", 1e-6, default=DEFAULT_NEAREST_M),
            channels=tuple(_channel(c) for c in entry.entries("channels", optional=True)),
            title=title,
            source={key: value for key, value in entry.data.items() if key not in _OWN_KEYS},
        )
    except InputError as error:
        if error.where.startswith("Lens."):
            raise InputError(entry.at(error.where.removeprefix("Lens.")), error.found, error.expected) from None
        raise
    used = torch.tensor(_used_um(lens), dtype=torch.float64)
    for row, surface in zip(rows, surfaces, strict=True):
        index = surface.medium.index(used)
        if not bool(((index >= 1) & (index <= 5)).all()):
            found = f"{surface.medium.name!r} of index {index.tolist()} at {used.tolist()} um"
            raise InputError(row.at("medium_after"), found, "indices from 1 to 5 at every wavelength used")
    return lens


def _used_um(lens: Lens) -> list[float]:
    return sorted({lens.reference_wavelength_um, *(w for c in lens.channels for w in c.wavelengths_um)})


def _reference_um(entry: Entry) -> float:
    if "reference_wavelength_um" in entry.data:
        if "reference_wavelength_nm" in entry.data:
            raise InputError(entry.at("reference_wavelength_um"), "the wavelength in nm too", "one of them")
        return entry.number("reference_wavelength_um", _SHORTEST_UM, _LONGEST_UM)
    low, high, default = (_shifted(um, 3) for um in (_SHORTEST_UM, _LONGEST_UM, LINE_D_UM))
    return _shifted(entry.number("reference_wavelength_nm", low, high, default=default), -3)


def _shifted(value: float, places: int) -> float:
    """Times a power of ten, in decimal figures: 587.5618 nm are the same number as 0.5875618 um."""
    return float(Decimal(repr(value)).scaleb(places))


def _wavelength_entry(value_um: float) -> dict[str, float]:
    value_nm = _inverted(value_um, _shifted(value_um, 3), lambda nm: _shifted(nm, -3))
    return {"reference_wavelength_um": value_um} if value_nm is None else {"reference_wavelength_nm": value_nm}


def _inverted(value: float, guess: float, read: Callable[[float], float]) -> float | None:
    """The number that `read` turns into exactly `value`, near a guess; None where there is none."""
    near = (guess, math.nextafter(guess, math.inf), math.nextafter(guess, -math.inf))
    return next((number for number in near if math.isfinite(number) and read(number) == value), None)


def _channel(entry: Entry) -> Channel:
    numbers: dict[str, tuple[float, ...]] = {}
    for key, low, high in (("wavelengths_um", _SHORTEST_UM, _LONGEST_UM), ("weights", 0.0, 1e300)):
        values = entry.get(key)
        if not (isinstance(values, list) and values and all(is_number(v) and low <= v <= high for v in values)):
            raise InputError(entry.at(key), shown(values), f"a list of numbers from {low:g} to {high:g}")
        numbers[key] = tuple(map(float, values))
    if len(numbers["weights"]) != len(numbers["wavelengths_um"]) or not 0 < sum(numbers["weights"]) < math.inf:
        raise InputError(entry.at("weights"), shown(entry.get("weights")), "one weight per wavelength, not all 0")
    return Channel(entry.text("name"), numbers["wavelengths_um"], numbers["weights"])


def _media(entry: Entry) -> dict[str, Medium]:
    data = Entry(entry.data.get("media", {}), entry.file, "media").data
    where = f"{entry.file}: media"
    media = {name: medium_from_entry(name, value, f"{where}[{name!r}]") for name, value in data.items()}
    if not isinstance(media.get("air", Air()), Air):
        raise InputError(f"{where}['air']", "another medium", "air, or another name for it")
    return media


def _surface(row: Entry, media: Mapping[str, Medium]) -> Surface:
    shape, semi = _shape(row), row.number("semi_aperture_mm", _SMALLEST_MM, _LARGEST_MM)
    if shape.end_mm < semi * (1 - 1e-9):
        expected = f"at most {shape.end_mm:.6g}, where the surface ends"
        raise InputError(row.at("semi_aperture_mm"), semi, expected)
    rim = float(shape.sag(_f64(min(semi, shape.end_mm * (1 - 1e-9)) ** 2))[0])
    if not abs(rim) <= _LARGEST_MM:
        key = "asphere_coefficients" if row.data.get("asphere_coefficients") else "semi_aperture_mm"
        raise InputError(row.at(key), f"a height of {rim:g} mm at the rim", f"up to {_LARGEST_MM:g} mm")
    thickness = row.number("thickness_to_next_mm", -_LARGEST_MM, _LARGEST_MM)
    name = row.text("medium_after")
    if name in media:
        medium = media[name]
    else:
        try:
            medium = find_glass(name)
        except InputError as error:
            raise InputError(row.at("medium_after"), error.found, error.expected) from None
    return Surface(shape, _f64(semi), _f64(thickness), medium)


def _shape(row: Entry) -> Shape:
    kind = row.text("kind")
    if kind not in KINDS:
        raise InputError(row.at("kind"), shown(kind), f"one of {', '.join(KINDS)}")
    curvature, conic_k, terms = _curvature(row), row.number("conic_k", -1e6, 1e6, default=0.0), _asphere_terms(row)
    found = f"{kind!r} with curvature {curvature:g}/mm, conic_k {conic_k:g} and {len(terms)} asphere terms"
    if kind in ("stop", "plane"):
        if curvature or conic_k or terms:
            raise InputError(row.at("kind"), found, "a flat surface, or a kind that has these terms")
        return Plane()
    if kind in ("sphere", "conic"):
        if terms or (kind == "sphere" and conic_k):
            raise InputError(row.at("kind"), found, "a kind that has these terms")
        return Conic(_f64(curvature), _f64(conic_k))
    if kind == "even_asphere":
        if odd := [p for p in terms if p % 2]:
            expected = "even powers (or kind odd_asphere)"
            raise InputError(row.at("asphere_coefficients"), f"power {odd[0]}", expected)
        dense = [terms.get(p, 0.0) for p in range(2, max(terms, default=0) + 1, 2)]
        return EvenAsphere(_f64(curvature), _f64(conic_k), torch.tensor(dense, dtype=torch.float64))
    coefficients = torch.tensor(list(terms.values()), dtype=torch.float64)
    return PolynomialAsphere(_f64(curvature), _f64(conic_k), coefficients, tuple(terms))


def _curvature(row: Entry) -> float:
    if row.data.get("radius_mm") is None:
        return row.number("curvature_per_mm", -1 / _SMALLEST_MM, 1 / _SMALLEST_MM, default=0.0)
    if "curvature_per_mm" in row.data:
        raise InputError(row.at("curvature_per_mm"), "a radius and a curvature", "one of them")
    radius = row.number("radius_mm")
    if abs(radius) < _SMALLEST_MM:
        raise InputError(row.at("radius_mm"), radius, f"a radius of at least {_SMALLEST_MM:g}, or null for a plane")
    return 1.0 / radius


def _asphere_terms(row: Entry) -> dict[int, float]:
    where = row.at("asphere_coefficients")
    data = row.data.get("asphere_coefficients", {})
    if not isinstance(data, Mapping):
        raise InputError(where, shown(data), 'an object such as {"4": -0.1}')
    powers = {str(p): p for p in range(1, 41)}
    for key, value in data.items():
        if key not in powers:
            raise InputError(where, f"power {shown(key)}", "powers of r from 1 to 40 as keys")
        if not is_number(value):
            raise InputError(f"{where}[{key!r}]", shown(value), "a finite number")
    return {powers[key]: float(data[key]) for key in sorted(data, key=int)}


def _check_thicknesses(rows: list[Entry], surfaces: list[Surface], stop: int) -> None:
    for i, (row, surface) in enumerate(zip(rows, surfaces, strict=True), start=1):
        thickness = float(surface.thickness_mm)
        # The stop may stand behind the vertex of a curved surface: then the way to or from it leads back through air.
        beside_stop = stop in (i, i + 1) and isinstance(surface.medium, Air) and i < len(rows)
        if thickness < 0 and not beside_stop:
            expected = "0 or more (only the way to or from the stop, in air, may be negative)"
            raise InputError(row.at("thickness_to_next_mm"), thickness, expected)
        if i == len(rows) and thickness <= 0:
            raise InputError(row.at("thickness_to_next_mm"), thickness, "a positive distance to the image plane")


def _named_media(lens: Lens) -> tuple[list[str], dict[str, Any]]:
    """What each surface's medium is called, and the entries: media of one name that differ get numbers."""
    names, media = list[str](), dict[str, Any]()
    for surface in lens.surfaces:
        if isinstance(surface.medium, Air):
            names.append("air")
            continue
        own, entry = surface.medium.name or "medium", surface.medium.to_entry()
        name, number = own, 1
        while name == "air" or media.get(name, entry) != entry:
            number += 1
            name = f"{own} ({number})"
        media[name] = entry
        names.append(name)
    return names, media


def _row(index: int, surface: Surface, medium: str, *, is_stop: bool) -> dict[str, Any]:
    shape = surface.shape
    row: dict[str, Any] = {"index": index, "kind": "stop" if is_stop else "plane", "radius_mm": None, "conic_k": 0.0}
    row |= {"thickness_to_next_mm": _plain(surface.thickness_mm), "semi_aperture_mm": _plain(surface.semi_aperture_mm)}
    row["medium_after"] = medium
    if isinstance(shape, Plane):
        return row
    if not isinstance(shape, Conic | EvenAsphere | PolynomialAsphere):
        raise InputError(f"surface {index}", type(shape).__name__, f"one of {', '.join(KINDS)}")
    if curvature := _plain(shape.curvature_per_mm):
        # A radius is what people read; where no radius gives the curvature back to the last bit, that stands there.
        row["radius_mm"] = _inverted(curvature, 1 / curvature, lambda radius: 1 / radius)
        if row["radius_mm"] is None:
            row["curvature_per_mm"] = curvature
    row["conic_k"] = _plain(shape.conic_k)
    if isinstance(shape, Conic):
        return row | {"kind": "conic" if row["conic_k"] else "sphere"}
    terms = zip(shape.powers, shape.coefficients.detach().tolist(), strict=True)
    kind = "even_asphere" if isinstance(shape, EvenAsphere) else "odd_asphere"
    return row | {"kind": kind, "asphere_coefficients": {str(p): a for p, a in terms}}


def _plain(value: Tensor) -> float:
    return float(value.detach())


def _f64(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)
