"""What reading another program's kernels has to tell: everything that was guessed, changed or is not in the files."""

from dataclasses import dataclass
from typing import Literal

# skipped: has no bearing on the kernels. guessed: no file says, and this was chosen. changed: kernels are not what the
# files hold. lost: the files cannot tell.
Kind = Literal["skipped", "guessed", "changed", "lost"]


@dataclass(frozen=True)
class Notice:
    """One thing to tell.

    Attributes:
        file: Which file, or what else it is about.
        line: Line of the file, from 1; 0 where it belongs to no line.
        kind: What became of it.
        text: In words.
    """

    file: str
    line: int
    kind: Kind
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.kind}: {self.text}"


def unique(notices: list[Notice]) -> tuple[Notice, ...]:
    """The same notices, each text once: what holds for many files is told of the first, with their number.

    Args:
        notices: In the order of their finding.
    """
    groups: dict[tuple[str, str], list[Notice]] = {}
    for one in notices:
        groups.setdefault((one.kind, one.text), []).append(one)
    told = []
    for group in groups.values():
        first, more = group[0], len({(one.file, one.line) for one in group}) - 1
        told.append(Notice(first.file, first.line, first.kind, first.text + (f" (and {more} more)" if more else "")))
    return tuple(told)
