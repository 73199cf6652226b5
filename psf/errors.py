"""The one family of errors that all floors share, what an error says in one line, and libraries that may be missing."""

import importlib
from typing import Any

# Characters of one line: libraries quote whole blocks of a damaged file.
LONGEST_LINE = 1000


class InputError(ValueError):
    """What the user gave is wrong, in one line: where, what was found, what was expected."""

    def __init__(self, where: str, found: object, expected: str) -> None:
        """Args: where (file and line, field or argument), what was found there, what was expected instead."""
        super().__init__(f"{where}: found {found}, expected {expected}")
        self.where, self.found, self.expected = where, found, expected

    def __reduce__(self) -> tuple[type["InputError"], tuple[str, object, str]]:
        return type(self), (self.where, self.found, self.expected)


def one_line(error: BaseException) -> str:
    """What an error says, in one line; of what a library says at length, the beginning."""
    said = " ".join(str(error).split())
    return said if len(said) <= LONGEST_LINE else f"{said[:LONGEST_LINE]} ..."


def import_extra(module: str, extra: str) -> Any:
    """A library that the base install does not bring.

    Args:
        module: Its name in Python.
        extra: The extra of psfield that brings it.

    Raises:
        ImportError: It is not installed; says how to get it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ImportError(f"{module} is not installed; this needs: pip install 'psfield[{extra}]'") from error
