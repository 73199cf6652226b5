"""One line for words that a command line cannot read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import tyro

from psf.arguments import ArgumentError, join_box, parse_arguments


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
