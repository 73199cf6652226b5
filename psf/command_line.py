"""How command lines end: 0 for done, one line and 2 for input that cannot be used, 130 for Ctrl-C.

def main(argv: Sequence[str] | None = None) -> int:
    return run_command(lambda: run(parse_arguments(lambda: read_words(argv))))

The one module besides a `__main__` that writes to stderr: it is the end of every one of them.
"""

import sys
import warnings
from collections.abc import Callable

from .arguments import ArgumentError
from .errors import InputError, one_line
from .jobs import JobError

DONE, UNUSABLE, INTERRUPTED = 0, 2, 130
GOES_ON = "interrupted; the same command goes on where this stopped"
# What users can mend; anything else is a fault of ours and keeps its traceback.
TOLD = (ArgumentError, InputError, ImportError, JobError, OSError)


def run_command(run: Callable[[], int | None], *, interrupted: str = GOES_ON) -> int:
    """Run a command and say in one line each what the user should know.

    Args:
        run: Reads the words and does it; its exit code, None for done.
        interrupted: Said after Ctrl-C.

    Returns:
        The exit code.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        # What libraries have to say to programmers stays with them.
        for kind in (DeprecationWarning, PendingDeprecationWarning, ResourceWarning):
            warnings.simplefilter("ignore", kind)
        warnings.showwarning = lambda message, *_, **__: _say(f"warning: {message}")
        try:
            return run() or DONE
        except TOLD as error:
            _say(f"error: {one_line(error)}")
            return UNUSABLE
        except KeyboardInterrupt:
            _say(interrupted)
            return INTERRUPTED


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
