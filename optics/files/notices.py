"""What a reader or writer of lens files has to tell: everything that was skipped, guessed or lost, with its line."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn

from psf.errors import InputError

# skipped: has no bearing on where light goes. guessed: the file does not say, and this was chosen. fallback: a glass
# from a catalogue that the file does not name. dropped: bends or blocks light, and was left out (only where the caller
# asked to be lenient). range: a wavelength outside the data of a glass. lost: what the written format cannot carry.
Kind = Literal["skipped", "guessed", "fallback", "dropped", "range", "lost"]

# Kinds after which light may go another way than in the program that wrote the file.
WEIGHTY: tuple[Kind, ...] = ("guessed", "fallback", "dropped", "range")


@dataclass(frozen=True)
class Notice:
    """One thing to tell.

    Attributes:
        line: Line of the file, from 1; 0 where it belongs to no line.
        kind: What became of it.
        text: In words.
    """

    line: int
    kind: Kind
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.kind}: {self.text}" if self.line else f"{self.kind}: {self.text}"


class Log:
    """Collects notices while one file is read, and says no where the caller is strict."""

    def __init__(self, file: str, *, strict: bool = True) -> None:
        self.file, self.strict = file, strict
        self._notices: list[Notice] = []
        self._skipped: dict[str, list[int]] = {}

    def at(self, line: int) -> str:
        """What an error message begins with."""
        return f"{self.file}:{line}" if line else self.file

    def note(self, kind: Kind, text: str, line: int = 0) -> None:
        """Add a notice."""
        self._notices.append(Notice(line, kind, text))

    def skip(self, what: str, line: int) -> None:
        """Note lines without a bearing on light; those of one `what` are told together."""
        self._skipped.setdefault(what, []).append(line)

    def refuse(self, line: int, found: str, expected: str) -> None:
        """Raise an error where the caller is strict, else note that something was left out."""
        if self.strict:
            raise InputError(self.at(line), found, expected)
        self.note("dropped", f"{found} (expected {expected})", line)

    def fail(self, line: int, found: object, expected: str) -> NoReturn:
        """Raise an error, lenient or not: without this there is no lens."""
        raise InputError(self.at(line), found, expected)

    def notices(self) -> tuple[Notice, ...]:
        """All of them, by line."""
        grouped = [
            Notice(lines[0], "skipped", what if len(lines) == 1 else f"{what} ({len(lines)} lines)")
            for what, lines in self._skipped.items()
        ]
        return tuple(sorted([*self._notices, *grouped], key=lambda one: one.line))


def weighty(notices: Sequence[Notice]) -> list[Notice]:
    """Those after which light may go another way than in the program that wrote the file."""
    return [one for one in notices if one.kind in WEIGHTY]
