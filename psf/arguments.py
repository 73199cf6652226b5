"""Command lines that say in one line what they cannot read."""

import contextlib
import io
import re
from collections.abc import Callable
from typing import TypeVar

Arguments = TypeVar("Arguments")
# Options and their places in a list of those that are missing: "-o PATH, --out PATH", "PATH".
_OPTION = re.compile(r"^ {4}(\S.*)$")


class ArgumentError(ValueError):
    """The words of a command line cannot be read, in one line."""


def parse_arguments(parse: Callable[[], Arguments]) -> Arguments:
    """Call a parser that explains errors in a box on stderr and exits; raise them as one line instead.

    Args:
        parse: Calls `tyro.cli` or one of its kin. What it says before it exits with 0, as for --help, stays as it is.

    Raises:
        ArgumentError: What was said, without the box.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return parse()
    except SystemExit as leaving:
        if not leaving.code:
            raise
        raise ArgumentError(join_box(said.getvalue())) from None


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
