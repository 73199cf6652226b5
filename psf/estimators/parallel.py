"""Work on parts, in threads of our own.

Torch's threads wait for one another after every operation, which takes long where other programs run, and how it
divides a sum decides its last bits. Here every part is computed by one thread and parts are put together in their
order: the same bits on any number of threads.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")


def map_parts(work: Callable[[Part], Result], parts: Sequence[Part], threads: int) -> Iterator[Result]:
    """Results in the order of the parts, few of them at once in memory.

    Args:
        work: Must let go of Python's lock to profit: torch and compiled loops do.
        parts: What it is called with.
        threads: How many at once.
    """
    if threads < 2 or len(parts) < 2:
        yield from map(work, parts)
        return
    with ThreadPoolExecutor(threads) as pool:
        remaining = iter(parts)
        waiting = [pool.submit(work, part) for part in islice(remaining, threads + 1)]
        while waiting:
            result = waiting.pop(0).result()
            waiting.extend(pool.submit(work, part) for part in islice(remaining, 1))
            yield result
