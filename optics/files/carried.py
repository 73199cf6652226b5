"""What `.zmx` has no command for, as NOTE lines of our own: sensor, channels, media, who made the lens.

The text is JSON of the schema of `lenses/README.md`, in pieces that survive editors: printable ASCII without blanks.
Nothing of it moves a surface: geometry stands in the file's own commands alone, so that a lens that was changed in
another program comes back changed.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from psf.errors import InputError

from ..entries import parse_json
from ..glass import Medium, medium_from_entry
from .notices import Log

MARK = "psfield-1"
_PIECE = 100
# Keys of our schema that may come from NOTE lines.
KEYS = ("name", "title", "sensor", "channels", "focus_m", "nearest_m", "reference_wavelength_um", "media", "source")


def write_carried(data: Mapping[str, Any]) -> list[str]:
    """NOTE texts, each to stand after `NOTE 0`.

    Args:
        data: Values by the names in `KEYS`.
    """
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False).replace(" ", "\\u0020")
    return [f"{MARK} {text[i : i + _PIECE]}" for i in range(0, len(text), _PIECE)]


def read_carried(notes: Sequence[tuple[int, str]], log: Log) -> dict[str, Any]:
    """What NOTE texts of ours hold; {} without them, or where they are damaged, which is told.

    Args:
        notes: Line number and text of every NOTE.
        log: Gets what is wrong.
    """
    pieces = [(line, text.partition(" ")[2].strip()) for line, text in notes if text.startswith(f"{MARK} ")]
    if not pieces:
        return {}
    line = pieces[0][0]
    try:
        data = parse_json("".join(piece for _, piece in pieces).encode(), log.at(line))
    except InputError as error:
        log.note("guessed", f"NOTE lines of psfield are damaged and left out ({error.found})", line)
        return {}
    if not isinstance(data, dict):
        log.note("guessed", "NOTE lines of psfield are no object and left out", line)
        return {}
    return {key: data[key] for key in KEYS if key in data}


def carried_media(data: Mapping[str, Any], log: Log) -> dict[str, Medium]:
    """The media that NOTE lines hold, by name.

    Raises:
        InputError: One of them cannot be.
    """
    entries = data.get("media", {})
    if not isinstance(entries, dict):
        return {}
    return {name: medium_from_entry(name, entry, f"{log.file}: media[{name!r}]") for name, entry in entries.items()}
