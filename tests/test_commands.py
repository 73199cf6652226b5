"""Every command of the house: its help shows an example that can be typed, and says nothing to programmers alone."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("psf", "optics", "render", "learn")
MODULES = [
    ".".join(path.relative_to(ROOT).parts[:-1])
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("__main__.py"))
]


def read_help(module, words, capsys):
    main = importlib.import_module(f"{module}.__main__").main
    with pytest.raises(SystemExit) as left:
        main([*words, "--help"])
    assert left.value.code == 0
    return capsys.readouterr().out


def find_choices(text):
    """The commands of a command: {plan,check,view}, which stand where a command of its own has its options."""
    listed = re.search(r"usage: python -m [\w.]+ \[-h\] \{([a-z,\s-]+)\}", text)
    return re.split(r"[,\s]+", listed[1].strip()) if listed else []


@pytest.mark.parametrize("module", MODULES)
def test_help_of_every_command_shows_an_example_that_can_be_typed(module, capsys):
    parse = importlib.import_module(f"{module}.__main__").read_words
    choices = find_choices(read_help(module, [], capsys))
    for words in [[one] for one in choices] or [[]]:
        text = read_help(module, words, capsys)
        named = " ".join(["python -m", module, *words])
        example = re.search(rf"Example: ({re.escape(named)} .+)", text)
        assert example, named
        # The examples stand as they are: whatever they name need not exist to be read.
        assert parse(shlex.split(example[1])[3:]) is not None


@pytest.mark.parametrize("module", MODULES)
def test_help_does_not_speak_of_none(module, capsys):
    for words in [[], *([one] for one in find_choices(read_help(module, [], capsys)))]:
        text = read_help(module, words, capsys)
        assert "{None" not in text
        assert "(default: None)" not in " ".join(text.split())


# Options that hold a quantity and their unit; a name without one would leave the reader to guess.
UNITS = {"depth", "depths", "near", "far", "nearest", "focus", "pitch", "kernel", "focal", "ends", "guess", "spread"}
# Choices, counts and files of these names, each with the reason.
OTHERWISE = {
    ("optics perturb", "focus"): "fixed, paraxial or spot",
    ("optics perturb", "depths"): "how many",
    ("psf estimate", "depths"): "how many",
    ("psf view", "depths"): "how many",
    ("learn.dfd evaluate", "depths"): "how many",
    ("render simulate", "depth"): "a file, whose unit is --unit",
    ("render stack", "depth"): "a file, whose unit is --unit",
    ("learn.deblur train", "depth"): "varying or constant",
    ("learn.deblur make-eval", "depth"): "varying or constant",
    ("learn.deblur fit-ridge", "depth"): "varying or constant",
    ("learn.synthesise", "depth"): "varying or constant",
    ("learn.preview", "depth"): "varying or constant",
}


@pytest.mark.parametrize("module", MODULES)
def test_options_that_hold_a_quantity_end_in_its_unit(module, capsys):
    for words in [[one] for one in find_choices(read_help(module, [], capsys))] or [[]]:
        options = set(re.findall(r"^  (?:-\w .*?)?--([\w.-]+)", read_help(module, words, capsys), re.MULTILINE))
        bare = {name for name in options & UNITS if (" ".join([module, *words]), name) not in OTHERWISE}
        assert not bare, words
