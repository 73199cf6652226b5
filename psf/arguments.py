"""Command lines that say in one line what they cannot read, and help without words that only programmers know."""

import contextlib
import io
import re
import sys
from collections.abc import Callable
from typing import TextIO, TypeVar

Arguments = TypeVar("Arguments")
# Options and their places in a list of those that are missing: "-o PATH, --out PATH", "PATH".
_OPTION = re.compile(r"^ {4}(\S.*)$")
_COLOUR = r"(?:\x1b\[[\d;]*m)*"
# An option that may be left out says so by having a default; which one, if it is not fixed, its sentence tells.
_NO_DEFAULT = re.compile(rf"\s*{_COLOUR}\(default:\s*(?:None)?\){_COLOUR}")
# An option's names and the gap before its sentence, where both stand on one line.
_NAMES = re.compile(r"( *\S.*?)( {2,})(?=\S)")


class _Page(io.StringIO):
    """Text that is kept, of a kind (coloured or plain) as another stream shows it."""

    def __init__(self, shown: TextIO) -> None:
        super().__init__()
        self._shown = shown

    def isatty(self) -> bool:
        return self._shown.isatty()


class ArgumentError(ValueError):
    """The words of a command line cannot be read, in one line."""


def parse_arguments(parse: Callable[[], Arguments]) -> Arguments:
    """Call a parser that explains errors in a box on stderr and exits; raise them as one line instead.

    Args:
        parse: Calls `tyro.cli` or one of its kin. What it says before it exits with 0, as for --help, is printed as
            `tidy_help` has it.

    Raises:
        ArgumentError: What was said, without the box.
    """
    said, page = io.StringIO(), _Page(sys.stdout)
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(page):
            return parse()
    except SystemExit as leaving:
        if not leaving.code:
            sys.stdout.write(tidy_help(page.getvalue()))
            raise
        raise ArgumentError(join_box(said.getvalue())) from None


def tidy_help(text: str) -> str:
    """A page of help without "None": options that may be left out need no word for it.

    Args:
        text: What tyro prints for --help.
    """
    return "\n".join(_tidy_line(line) for line in _NO_DEFAULT.sub("", text).split("\n"))


def _tidy_line(line: str) -> str:
    short = line.replace("{None}|", "").replace("{None,", "{").rstrip()
    if lost := len(line.rstrip()) - len(short):  # sentences stay below one another
        short = _NAMES.sub(lambda found: found[1] + found[2] + " " * lost, short, count=1)
    return short


def join_box(text: str) -> str:
    """What stands in a box of text, up to its first rule, in one line.

    Args:
        text: Lines of a box drawn with line characters.
    """
    lines = text.splitlines()
    if any(line.startswith("│") for line in lines):
        inner = [line[1:].rstrip("│ ").removeprefix(" ") for line in lines if line.startswith("│")]
    elif len(lines) > 1 and set(lines[1].strip()) == {"-"}:  # a terminal without line characters: a title, then a rule
        inner = [line.removeprefix("  ").rstrip() for line in lines[2:]]
    else:
        inner = lines
    end = next((n for n, line in enumerate(inner) if line and set(line) <= {"─", "-"}), len(inner))
    inner = inner[:end]
    if inner and inner[0].startswith("Missing from"):
        options = [match.group(1) for match in map(_OPTION.match, inner[1:]) if match]
        return f"missing: {'; '.join(options)}; --help lists them all"
    found = " ".join(" ".join(inner).split()).rstrip(".") or " ".join(text.split()) or "arguments that cannot be read"
    return f"{found[0].lower()}{found[1:]}; --help lists what there is"
