"""Manifests: which file holds the kernel of which depth, place on the picture and channel.

JSON: an object of settings with a list `files` of objects. CSV: a table with a header; settings stand above it as lines
`# name: value` with values as JSON writes them. Keys are the same (`docs/import_psfs.md`). Infinity may be written
`"inf"` or `Infinity`.
"""

import csv
import itertools
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..channels import Channel
from ..errors import InputError

Reference = Literal["chief_ray", "centroid"]
# Ways to say where on the picture a kernel belongs: at most one of them. Names to the keys that must stand together.
PLACES = {
    "radius": ("radius",),
    "px": ("x_px", "y_px"),
    "image": ("image_x_mm", "image_y_mm"),
    "deg": ("x_deg", "y_deg"),
}
_NUMBERS = {key for keys in PLACES.values() for key in keys} | {
    "azimuth_deg",
    "weight",
    "wavelength_um",
    "transmission",
    "spacing_um",
    "centre_row_px",
    "centre_column_px",
    "reference_x_mm",
    "reference_y_mm",
}
_ENTRY_KEYS = ("file", "depth_m", "channel", "configuration", *sorted(_NUMBERS))
_SETTINGS = (
    "format",
    "lens",
    "source",
    "pitch_um",
    "image_shape_px",
    "focus_m",
    "channels",
    "kernel_px",
    "oversample",
    "radii",
    "reference",
    "reference_channel",
    "focal_mm",
    "spacing_um",
    "samples",
    "rows",
    "files",
)
FORMAT = "psfield.psf_manifest"
# Keys that go together: one of them alone says nothing.
_PAIRS = (
    *(keys for keys in PLACES.values() if len(keys) == 2),
    ("centre_row_px", "centre_column_px"),
    ("reference_x_mm", "reference_y_mm"),
)


@dataclass(frozen=True)
class Entry:
    """One file.

    Attributes:
        where: File and line, or key, that say so.
        file: The file's path.
        depth_m: Depth of the point, `inf` allowed.
        channel: Name of the channel, or None: all channels are in the file.
        configuration: Its number in the other program, for the record and to check a header with.
        numbers: What else is said, by key.
    """

    where: str
    file: Path
    depth_m: float
    channel: str | None
    configuration: int | None
    numbers: Mapping[str, float]

    def place(self) -> str | None:
        """Which of PLACES is said, if any."""
        return next((name for name, keys in PLACES.items() if keys[0] in self.numbers), None)

    def pair(self, first: str, second: str) -> tuple[float, float] | None:
        """Two numbers that stand together, if they are said."""
        return (self.numbers[first], self.numbers[second]) if first in self.numbers else None


@dataclass(frozen=True)
class Manifest:
    """What a manifest says.

    Attributes:
        path: The manifest's file.
        entries: Its files.
        pitch_um: Pixel pitch of the sensor.
        image_shape_px: The sensor's (H, W).
        focus_m: Depth in focus.
        channels: Channels of the field, in order.
        lens: Name of the lens.
        source: Where the kernels come from.
        kernel_px: Side of the kernels, or None for the smallest that holds them.
        oversample: Stored values per pixel and axis.
        radii: Image heights of the field, or None for those of the files.
        reference: What the files are centred on.
        reference_channel: The channel whose chief ray is the middle of all kernels.
        focal_mm: Focal length, which turns angles into image heights.
        spacing_um: Spacing of values in files that do not say it.
        samples: Whether such values are light on squares or irradiance at points.
        rows: Whether the first row of a file is the top one.
    """

    path: Path
    entries: tuple[Entry, ...]
    pitch_um: float
    image_shape_px: tuple[int, int]
    focus_m: float
    channels: tuple[Channel, ...]
    lens: str = ""
    source: str = ""
    kernel_px: int | None = None
    oversample: int = 1
    radii: tuple[float, ...] | None = None
    reference: Reference = "chief_ray"
    reference_channel: str = ""
    focal_mm: float | None = None
    spacing_um: float | None = None
    samples: Literal["areas", "points"] = "areas"
    rows: Literal["down", "up"] = "down"


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Read a manifest.

    Args:
        path: .json or .csv.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: Something in it is missing, unknown or cannot be meant; names the file and line or key.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(str(file), "text that is not UTF-8", "a manifest in UTF-8") from None
    if file.suffix.lower() == ".csv":
        settings, rows = _parse_csv(text, str(file))
    elif file.suffix.lower() == ".json":
        settings, rows = _parse_json(text, str(file))
    else:
        raise InputError(str(file), f"the suffix {file.suffix!r}", ".json or .csv")
    if not rows:
        raise InputError(f"{file}: files", "none", "an entry for each file")
    return _build(file, settings, rows)


Rows = list[tuple[str, Mapping[str, Any]]]


def _parse_json(text: str, file: str) -> tuple[dict[str, Any], Rows]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 0)
        where = f"{file}:{line}" if line else file
        raise InputError(where, f"text that is not JSON ({getattr(error, 'msg', error)})", "a manifest") from error
    if not isinstance(data, dict):
        raise InputError(file, type(data).__name__, "an object with a list of files")
    files = data.get("files")
    if not isinstance(files, list) or not all(isinstance(one, dict) for one in files):
        raise InputError(f"{file}: files", "no list of objects", "a list with an object for each file")
    return data, [(f"{file}: files[{n}]", one) for n, one in enumerate(files)]


def _parse_csv(text: str, file: str) -> tuple[dict[str, Any], Rows]:
    settings: dict[str, Any] = {}
    lines = text.splitlines()
    start = 0
    for start, line in enumerate(lines):  # noqa: B007
        if line.strip() and not line.lstrip().startswith("#"):
            break
        key, colon, value = line.strip().lstrip("#").partition(":")
        if colon:
            settings[key.strip()] = _loose(value.strip())
    # Tables from spreadsheets come with semicolons, too.
    table = csv.reader(lines[start:], delimiter=";" if ";" in "".join(lines[start : start + 1]) else ",")
    header: list[str] = []
    rows: Rows = []
    for words in table:
        where = f"{file}:{start + table.line_num}"
        if not any(word.strip() for word in words) or words[0].lstrip().startswith("#"):
            continue
        if not header:
            header = [word.strip() for word in words]
            continue
        if len(words) != len(header):
            raise InputError(where, f"{len(words)} values", f"{len(header)}, as the header has them")
        rows.append((where, {k: _loose(word.strip()) for k, word in zip(header, words, strict=True) if word.strip()}))
    return settings, rows


def _loose(word: str) -> Any:
    """A value as JSON writes it, else text."""
    try:
        return json.loads(word)
    except (ValueError, RecursionError):
        return word


def _build(file: Path, data: Mapping[str, Any], rows: Rows) -> Manifest:
    _refuse_unknown(str(file), data, _SETTINGS)
    if data.get("format", FORMAT) != FORMAT:
        raise InputError(f"{file}: format", repr(data["format"]), repr(FORMAT))
    channels = _channels(file, data.get("channels"), rows)
    names = [one.name for one in channels]
    shape = data.get("image_shape_px")
    if not isinstance(shape, list) or len(shape) != 2 or not all(type(n) is int and n > 0 for n in shape):
        raise InputError(f"{file}: image_shape_px", _shown(shape), "the sensor's [height, width] in pixels")
    radii = data.get("radii")
    if radii is not None:
        ok = isinstance(radii, list) and radii and all(_is_number(one) and 0 <= one <= 1 for one in radii)
        if not ok or any(b <= a for a, b in itertools.pairwise(radii)):
            raise InputError(f"{file}: radii", _shown(radii), "image heights from 0 to 1, ascending")
    choices: dict[str, tuple[str, ...]] = {
        "reference": ("chief_ray", "centroid"),
        "samples": ("areas", "points"),
        "rows": ("down", "up"),
        "reference_channel": tuple(names),
    }
    chosen: dict[str, Any] = {key: data.get(key, many[0]) for key, many in choices.items()}
    chosen["reference_channel"] = data.get("reference_channel", names[len(names) // 2])
    for key, many in choices.items():
        if chosen[key] not in many:
            raise InputError(f"{file}: {key}", _shown(chosen[key]), " or ".join(map(repr, many)))
    optional: dict[str, Any] = {
        key: _number(f"{file}: {key}", data[key], key) for key in ("focal_mm", "spacing_um") if key in data
    }
    return Manifest(
        path=file,
        entries=tuple(_entry(where, row, file.parent, names) for where, row in rows),
        pitch_um=_number(f"{file}: pitch_um", data.get("pitch_um"), "pitch_um"),
        image_shape_px=(shape[0], shape[1]),
        focus_m=_depth(f"{file}: focus_m", data.get("focus_m")),
        channels=channels,
        lens=_text(f"{file}: lens", data.get("lens", "")),
        source=_text(f"{file}: source", data.get("source", "")),
        kernel_px=_count(f"{file}: kernel_px", data["kernel_px"]) if data.get("kernel_px") is not None else None,
        oversample=_count(f"{file}: oversample", data.get("oversample", 1)),
        radii=None if radii is None else tuple(map(float, radii)),
        **chosen,
        **optional,
    )


def _channels(file: Path, found: Any, rows: Rows) -> tuple[Channel, ...]:
    if found is None:
        # In the order of their first entries; their wavelengths come from the files.
        names = list(dict.fromkeys(str(row["channel"]) for _, row in rows if "channel" in row))
        return tuple(Channel(name) for name in names or ["Y"])
    where = f"{file}: channels"
    if not isinstance(found, list) or not found:
        raise InputError(where, _shown(found), 'a list of names, or of {"name", "wavelengths_um", "weights"}')
    channels = []
    for n, one in enumerate(found):
        if isinstance(one, str):
            channels.append(Channel(one))
            continue
        if not isinstance(one, dict):
            raise InputError(f"{where}[{n}]", _shown(one), "a name or an object")
        _refuse_unknown(f"{where}[{n}]", one, ("name", "wavelengths_um", "weights"))
        try:
            numbers = (tuple(map(float, one.get(key, ()))) for key in ("wavelengths_um", "weights"))
            channels.append(Channel(one.get("name", ""), *numbers))
        except (TypeError, ValueError) as error:
            raise InputError(f"{where}[{n}]", _shown(one), f"a channel ({error})") from error
    if len({one.name for one in channels}) != len(channels):
        raise InputError(where, ", ".join(one.name for one in channels), "each name once")
    return tuple(channels)


def _entry(where: str, row: Mapping[str, Any], folder: Path, names: Sequence[str]) -> Entry:
    _refuse_unknown(where, row, _ENTRY_KEYS)
    name = row.get("file")
    if not isinstance(name, str) or not name:
        raise InputError(f"{where}: file", _shown(name), "the name of a file")
    channel = row.get("channel")
    if channel is not None and str(channel) not in names:
        raise InputError(f"{where}: channel", _shown(channel), " or ".join(map(repr, names)))
    numbers = {key: _number(f"{where}: {key}", row[key], key) for key in sorted(_NUMBERS) if row.get(key) is not None}
    for pair in _PAIRS:
        if len(missing := [key for key in pair if key not in numbers]) == 1:
            raise InputError(f"{where}: {missing[0]}", "nothing", f"a number, as {' and '.join(pair)} go together")
    said = [name for name, keys in PLACES.items() if keys[0] in numbers]
    if len(said) > 1:
        raise InputError(where, " and ".join("/".join(PLACES[one]) for one in said), "one way to say the place")
    configuration = row.get("configuration")
    return Entry(
        where=where,
        file=folder / name,
        depth_m=_depth(f"{where}: depth_m", row.get("depth_m")),
        channel=None if channel is None else str(channel),
        configuration=None if configuration is None else _count(f"{where}: configuration", configuration),
        numbers=numbers,
    )


def _refuse_unknown(where: str, data: Mapping[str, Any], known: Sequence[str]) -> None:
    if unknown := [str(key) for key in data if key not in known]:
        raise InputError(where, f"the key {unknown[0]!r}", "keys among " + ", ".join(known))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


# Places and directions may be 0 or negative; all other quantities are positive.
_SIGNED = {key for pair in _PAIRS for key in pair} | {"azimuth_deg"}


def _number(where: str, value: Any, key: str) -> float:
    if not _is_number(value):
        raise InputError(where, _shown(value), "a finite number")
    if key == "radius" and not 0 <= value <= 1:
        raise InputError(where, value, "an image height from 0 to 1, the sensor's corner")
    if key == "transmission" and value < 0:
        raise InputError(where, value, "at least 0")
    if key not in _SIGNED and key not in ("radius", "transmission") and value <= 0:
        raise InputError(where, value, "a positive number")
    return float(value)


def _depth(where: str, value: Any) -> float:
    number = math.inf if isinstance(value, str) and value.strip().lower() in ("inf", "infinity") else value
    if not isinstance(number, int | float) or isinstance(number, bool) or not number > 0:
        raise InputError(where, _shown(value), 'a depth in m above 0, or "inf"')
    return float(number)


def _count(where: str, value: Any) -> int:
    if type(value) is not int or value < 1:
        raise InputError(where, _shown(value), "a positive whole number")
    return value


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(where, _shown(value), "text")
    return value


def _shown(value: Any) -> str:
    return "nothing" if value is None else repr(value)[:80]
