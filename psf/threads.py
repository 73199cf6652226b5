"""As many threads as torch may use, for loops that numba runs in parallel."""

from collections.abc import Iterator
from contextlib import contextmanager

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
