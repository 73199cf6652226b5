"""Bytes of lens files as text, and words of it as numbers."""

import math
from pathlib import Path

from psf.errors import InputError

# The largest real lens files, with hundreds of configurations, have a few MB.
LARGEST_BYTES = 32_000_000
_LONGEST_WORD = 60


def read_bytes(path: Path) -> bytes:
    """A file's content.

    Raises:
        FileNotFoundError: There is none.
        InputError: A folder, no permission, or too large for a lens file.
    """
    try:
        if path.is_file() and path.stat().st_size > LARGEST_BYTES:
            raise InputError(str(path), f"{path.stat().st_size} bytes", f"a lens file of up to {LARGEST_BYTES} bytes")
        return path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    except InputError:
        raise
    except (OSError, ValueError) as error:
        found = getattr(error, "strerror", None) or str(error)
        raise InputError(repr(str(path)), found.lower(), "a lens file that can be read") from None


def split_lines(text: str) -> list[str]:
    """Lines as editors count them: at line feed, carriage return or both, and nowhere else."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", " ").split("\n")


def parse_number(word: str, where: str) -> float:
    """A finite number.

    Args:
        word: Decimal figures, with e, E, d or D before an exponent.
        where: What an error message begins with.

    Raises:
        InputError: No number, or not finite.
    """
    try:
        if "_" in word:  # Python allows it, no lens file does
            raise ValueError
        value = float(word.replace("D", "E").replace("d", "e"))
    except ValueError:
        raise InputError(where, repr(word[:_LONGEST_WORD]), "a number") from None
    if not math.isfinite(value) or abs(value) > 1e300:
        raise InputError(where, repr(word[:_LONGEST_WORD]), "a finite number")
    return value


def parse_count(word: str, where: str, low: int, high: int) -> int:
    """A whole number in [low, high].

    Raises:
        InputError: Something else.
    """
    value = parse_number(word, where)
    if value != int(value) or not low <= value <= high:
        raise InputError(where, repr(word[:_LONGEST_WORD]), f"a whole number from {low} to {high}")
    return int(value)
