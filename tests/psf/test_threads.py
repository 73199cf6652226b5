"""Numba's parallel loops and torch keep to one number of threads; threads of our own do every job."""

import numba
import numpy as np
import pytest
import torch

from psf.threads import limit_threads, run_threads, share_threads


@numba.njit(parallel=True)
def fill(out):
    for i in numba.prange(out.size):
        out[i] = i


@pytest.mark.parametrize("threads", [1, 2])
def test_torch_keeps_its_threads_after_a_parallel_loop_and_numba_its_own(threads):
    before, own = torch.get_num_threads(), numba.get_num_threads()
    try:
        torch.set_num_threads(threads)
        with share_threads():
            assert numba.get_num_threads() == min(threads, numba.config.NUMBA_NUM_THREADS)
            out = np.empty(1000)
            fill(out)
        assert torch.get_num_threads() == threads
        assert numba.get_num_threads() == own
        assert np.array_equal(out, np.arange(1000))
    finally:
        torch.set_num_threads(before)


def test_an_error_inside_changes_nothing():
    before = torch.get_num_threads()
    with pytest.raises(ValueError, match="odd"), share_threads():
        raise ValueError("odd")
    assert torch.get_num_threads() == before


def test_a_limit_lasts_as_long_as_its_block():
    before = torch.get_num_threads()
    with limit_threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("threads", [0, 1, 2, 5])
def test_every_job_is_done_once_by_however_many_threads(threads):
    done = []
    run_threads(done.append, range(4), threads)
    assert sorted(done) == [0, 1, 2, 3]


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_in_a_thread_reaches_the_caller(threads):
    with pytest.raises(ZeroDivisionError):
        run_threads(lambda job: 1 / job, [1, 0], threads)
