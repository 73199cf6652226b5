"""Signals that end a run between two steps."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def catch_stop() -> Iterator[Callable[[], bool]]:
    """Ctrl-C, and a cluster's SIGTERM, as a question to ask between steps; a second Ctrl-C ends at once."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # where signals cannot be caught
        yield lambda: False
        return

    def catch(number: int, frame: object) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        for one in before:
            signal.signal(one, catch)
        yield lambda: bool(asked)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
