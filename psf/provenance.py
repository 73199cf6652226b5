"""Where a field came from, so that it can be made again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from importlib import metadata
from typing import Any

from .errors import InputError


@dataclass(frozen=True)
class Provenance:
    """Origin of a field.

    Attributes:
        lens: The lens's name, or what took a lens's place.
        source: Where its numbers come from: a patent, a file, photographs.
        file_sha256: Hash of the file that was read, or "".
        version: Name and version of the program that made the field.
        arguments: What it was called with; names to anything JSON holds (infinity is written as JSON's common
            extension `Infinity`).
    """

    lens: str = ""
    source: str = ""
    file_sha256: str = ""
    version: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for one in ("lens", "source", "file_sha256", "version"):
            if not isinstance(getattr(self, one), str):
                raise InputError(f"Provenance.{one}", repr(getattr(self, one)), "text")
        try:
            # Through JSON and back: a private copy that is equal to what a file gives back (lists for tuples).
            arguments = json.loads(json.dumps(dict(self.arguments)))
        except (TypeError, ValueError) as error:
            raise InputError(
                "Provenance.arguments", f"a value that JSON cannot hold ({error})", "names and JSON values"
            ) from error
        object.__setattr__(self, "arguments", arguments)

    def with_arguments(self, **arguments: Any) -> "Provenance":
        """The same origin with more arguments on record."""
        return replace(self, arguments={**self.arguments, **arguments})

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps({one.name: getattr(self, one.name) for one in fields(self)}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Provenance":
        """The inverse of `to_json`; InputError where the text is something else."""
        try:
            found = json.loads(text)
            return cls(**found)
        except (TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                "provenance", f"text that is no provenance ({error})", "JSON as Provenance.to_json writes it"
            ) from error


def name_version() -> str:
    """This program and its version, as `Provenance.version` has them: "psfield 1.2.3"."""
    try:
        return f"psfield {metadata.version('psfield')}"
    except metadata.PackageNotFoundError:
        return "psfield (not installed)"
