"""One line for words that a command line cannot read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import tyro

from psf.arguments import ArgumentError, join_box, parse_arguments, tidy_help


@dataclass(frozen=True)
class Command:
    """A command."""

    image: tyro.conf.Positional[Path]
    """What."""
    depth: Path
    """How far, in a sentence that is long enough to be broken into two lines of the box that explains it to people."""
    form: Literal["gather", "scatter"] = "gather"
    """Which."""


def parse(*words):
    return parse_arguments(lambda: tyro.cli(Command, args=list(words), prog="prog"))


def test_words_that_can_be_read_are_read():
    assert parse("a.png", "--depth", "b.png").depth == Path("b.png")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ((), ("missing", "PATH", "--depth")),
        (("a.png",), ("missing", "--depth")),
        (("a.png", "--depth"), ("--depth", "1 value")),
        (("a.png", "--depth", "b.png", "--form", "sideways"), ("sideways", "--form", "scatter")),
        (("a.png", "--depth", "b.png", "--colour", "red"), ("--colour",)),
    ],
)
def test_others_are_named_in_one_line(words, parts, capsys):
    with pytest.raises(ArgumentError) as caught:
        parse(*words)
    line = str(caught.value)
    assert "\n" not in line
    assert not set("│─╭╰") & set(line)
    assert all(part in line for part in parts), line
    assert capsys.readouterr().err == ""


def test_help_is_shown_as_it_is(capsys):
    with pytest.raises(SystemExit) as caught:
        parse("--help")
    assert caught.value.code == 0
    assert "A command." in capsys.readouterr().out


def test_a_parser_that_says_nothing_is_answered_for():
    def leave():
        raise SystemExit(2)

    with pytest.raises(ArgumentError, match="cannot be read"):
        parse_arguments(leave)


def test_a_box_of_line_characters_is_read_as_well():
    box = """
╭─ Required options ──────────╮
│ Missing from prog:          │
│     --depth PATH            │
│         How far. (required) │
│ ─────────────────────────── │
│ For full helptext, run:     │
╰─────────────────────────────╯
"""
    assert join_box(box) == "missing: --depth PATH; --help lists them all"


def test_text_without_a_box_stays_itself():
    assert join_box("Something\n odd") == "something odd; --help lists what there is"


@dataclass(frozen=True)
class Optional:
    """A command."""

    depth_m: float | None = None
    """How far, in a sentence that is long enough to be broken into two lines of the page, and just so, that it ends in
    the words that nobody needs."""
    form: Literal["gather", "scatter"] | None = None
    """Which (gather)."""
    places: tuple[int, ...] = ()
    """Where."""
    steps: int = 3
    """How many."""
    k: int | None = None
    """Short."""


def test_help_says_nothing_of_options_that_may_be_left_out(capsys):
    with pytest.raises(SystemExit) as left:
        parse_arguments(lambda: tyro.cli(Optional, args=["--help"], prog="prog"))
    assert left.value.code == 0
    text = capsys.readouterr().out
    assert "None" not in text
    assert "(default: )" not in text
    assert "(default: 3)" in text
    lines = text.splitlines()
    # Sentences begin in one column.
    assert len({line.index(word) for line in lines for word in ("Short.", "How many.") if word in line}) == 1
    assert any(line.strip() == "--form {gather,scatter}" or "--form {gather,scatter}  " in line for line in lines)


@pytest.mark.parametrize(
    ("text", "tidy"),
    [
        ("  --a {None}|INT  What. (default: None)", "  --a INT         What."),
        ("  --a PATH  Long\n            words. (default:\n            None)", "  --a PATH  Long\n            words."),
        ("  --a PATH  Long. \x1b[36m(default: None)\x1b[0m", "  --a PATH  Long."),
        ("  --a INT  None of them. (default: 1)", "  --a INT  None of them. (default: 1)"),
        ("usage: prog [-h] [--a {None}|INT] [--b {None,x}]", "usage: prog [-h] [--a INT] [--b {x}]"),
    ],
)
def test_help_is_tidied_line_by_line(text, tidy):
    assert tidy_help(text) == tidy
