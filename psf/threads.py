"""How many threads torch and numba use, for the length of a block; and threads of our own, for the length of a call."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def share_threads() -> Iterator[None]:
    """Let numba's parallel loops in the block use torch's number of threads, and leave torch with that number.

    Both may run on one OpenMP, whose number of threads numba sets: without this a program that asked torch for one
    thread finds it with all cores after the first compiled loop.
    """
    import numba

    threads, own = torch.get_num_threads(), numba.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    try:
        yield
    finally:
        numba.set_num_threads(own)
        torch.set_num_threads(threads)


@contextmanager
def limit_threads(count: int) -> Iterator[None]:
    """So many threads of torch until the block ends.

    Where torch divides a picture among threads decides which of its pixels are computed one by one and which eight at
    a time, and powers and sines of the two differ in their last bit: what has to be the same to the bit, on a laptop
    as in a loader's workers, is computed by one.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run_threads(work: Callable[[Any], object], jobs: Iterable[Any], threads: int) -> None:
    """Call `work` for every job, in `threads` threads that end with the call; the first error is raised."""
    if threads <= 1:
        for job in jobs:
            work(job)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, jobs):
            pass
