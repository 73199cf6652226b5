"""JSON objects that know where they stand, so that every complaint names file and field."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from psf.errors import InputError

LONGEST_NAME = 100


def parse_json(content: bytes, where: str) -> object:
    """The data of a JSON document.

    Raises:
        InputError: No JSON, keys twice, numbers that are not finite; `where` stands in front.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise InputError(where, f"the key {shown(twice)} twice in one object", "every key once")
        return made

    try:
        # Some editors begin UTF-8 files with a byte order mark.
        data: object = json.loads(content.decode("utf-8-sig"), object_pairs_hook=once)
        _check_finite(data, where, "")
    except InputError:
        raise
    except UnicodeDecodeError as error:
        raise InputError(where, f"bytes that are not text (offset {error.start})", "a UTF-8 JSON file") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{where}:{error.lineno}", error.msg, "a complete JSON document") from None
    except (RecursionError, ValueError):
        raise InputError(where, "objects nested too deeply or a number with thousands of digits", "a lens") from None
    return data


def _check_finite(data: object, where: str, path: str) -> None:
    """JSON in Python knows NaN and Infinity; here they mean nothing wherever they stand."""
    if isinstance(data, float) and not math.isfinite(data):
        raise InputError(f"{where}: {path}", data, "a finite number (null for infinity)")
    if isinstance(data, dict):
        for key, value in data.items():
            _check_finite(value, where, f"{path}.{key}" if path else key)
    elif isinstance(data, list):
        for i, value in enumerate(data):
            _check_finite(value, where, f"{path}[{i}]")


class Entry:
    """A JSON object with the path that leads to it, so that each complaint can say where."""

    def __init__(self, data: object, file: str, path: str = "") -> None:
        self.file, self.path = file, path
        if not isinstance(data, Mapping):
            raise InputError(f"{file}: {path}" if path else file, shown(data), "a JSON object")
        self.data: Mapping[str, Any] = data

    def at(self, key: str) -> str:
        """Where a key stands."""
        return f"{self.file}: {self.path}.{key}" if self.path else f"{self.file}: {key}"

    def get(self, key: str) -> Any:
        """The value of a key that must be there."""
        if key not in self.data:
            raise InputError(self.at(key), "nothing", "this key")
        return self.data[key]

    def text(self, key: str) -> str:
        """A text that is not empty."""
        value = self.get(key)
        if not isinstance(value, str) or not value or len(value) > LONGEST_NAME:
            raise InputError(self.at(key), shown(value), f"a text of up to {LONGEST_NAME} letters")
        return value

    def number(self, key: str, low: float = -1e300, high: float = 1e300, *, default: float | None = None) -> float:
        """A finite number in [low, high]."""
        value = self.get(key) if default is None else self.data.get(key, default)
        if not is_number(value) or not low <= value <= high:
            wanted = "a finite number" if low == -1e300 else f"a number from {low:g} to {high:g}"
            raise InputError(self.at(key), shown(value), wanted)
        return float(value)

    def integer(self, key: str, low: int, high: int) -> int:
        """A whole number in [low, high]."""
        value = self.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise InputError(self.at(key), shown(value), f"a whole number from {low} to {high}")
        return value

    def entry(self, key: str) -> Entry:
        """The object under a key."""
        return Entry(self.get(key), self.file, f"{self.path}.{key}" if self.path else key)

    def entries(self, key: str, *, optional: bool = False) -> list[Entry]:
        """The list of objects under a key."""
        value = self.data.get(key, []) if optional else self.get(key)
        if not isinstance(value, list):
            raise InputError(self.at(key), shown(value), "a list")
        return [Entry(v, self.file, f"{key}[{i}]") for i, v in enumerate(value)]


def shown(value: object) -> str:
    """A value as error messages show it: short."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def is_number(value: object) -> bool:
    """Whether a JSON value is a number that a float holds."""
    # The bound also keeps out whole numbers that no float can hold, which JSON allows.
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e300 < value < 1e300
