"""Ray: the results of a pool, from a cluster that is started, used and ended."""

import importlib.util
import operator

import pytest

from psf.errors import InputError
from psf.jobs import Failure, JobError, map_jobs

ITEMS = [
    "6 * 7",
    "1 / 0",
    "__import__('torch').get_num_threads()",
    "__import__('os')._exit(7)",
    "__import__('numba').get_num_threads()",
    "lambda: 0",
    "[__import__('math').sqrt(n) for n in range(9)]",
]


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="ray is installed")
def test_without_ray_the_message_says_how_to_get_it():
    with pytest.raises(ImportError, match=r"pip install 'psfield\[scale\]'"):
        map_jobs(operator.neg, [1], ray_address="local")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_ray_cluster_gives_what_the_pool_gives():
    pytest.importorskip("ray")
    pool = map_jobs(eval, ITEMS, workers=2, on_error="keep")
    found = map_jobs(eval, ITEMS, workers=2, ray_address="local", on_error="keep")
    assert [found[n] for n in (0, 2, 4, 6)] == [pool[n] for n in (0, 2, 4, 6)]
    told = [(one.index, one.name, one.kind) for one in found if isinstance(one, Failure)]
    assert told == [(one.index, one.name, one.kind) for one in pool if isinstance(one, Failure)]
    with pytest.raises(JobError, match=r"^1 / 0: ZeroDivisionError"):
        map_jobs(eval, ITEMS[:2], workers=1, ray_address="local")
    ray = importlib.import_module("ray")
    assert not ray.is_initialized()  # what was started was ended


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_ray_cluster_that_is_not_there_is_named():
    pytest.importorskip("ray")
    with pytest.raises(InputError, match="ray_address"):
        map_jobs(eval, ["1"], ray_address="auto")
