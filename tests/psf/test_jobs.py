"""Jobs: the same results wherever they run, every failure with its name, and no process left behind.

Workers are new processes, which cannot import a test: the function of these tests is `eval`, its items expressions.
"""

import math
import multiprocessing
import operator
import os
import pickle

import pytest

from psf.errors import InputError
from psf.jobs import Failure, JobError, map_jobs, stream_jobs

DIES = "__import__('os')._exit(7)"
ITEMS = [
    "6 * 7",
    "1 / 0",
    "__import__('torch').get_num_threads()",
    DIES,
    "__import__('numba').get_num_threads()",
    "lambda: 0",
    "__import__('os').getppid()",
    "__import__('psf').InputError('depth_m', -1, 'a positive\\ndistance').__class__",
]


@pytest.fixture(scope="module")
def pool():
    """One run of two workers over all sorts of items: outcomes and reports of progress."""
    progress = []
    found = map_jobs(eval, ITEMS, workers=2, on_error="keep", on_progress=lambda *at: progress.append(at))
    return found, progress


def test_results_stand_in_the_order_of_the_items(pool):
    assert pool[0][0] == 42
    assert pool[0][7] is InputError


def test_workers_are_children_of_the_caller_and_keep_to_one_thread(pool):
    assert pool[0][6] == os.getpid()
    assert pool[0][2] == pool[0][4] == 1


def test_a_failing_item_is_named_and_loses_no_other(pool):
    failure = pool[0][1]
    assert isinstance(failure, Failure)
    assert (failure.index, failure.name, failure.kind) == (1, "1 / 0", "ZeroDivisionError")
    assert failure.message == "ZeroDivisionError: division by zero"
    assert isinstance(failure.error, ZeroDivisionError)
    assert "Traceback" in failure.details


def test_an_item_that_ends_its_process_is_named_and_loses_no_other(pool):
    failure = pool[0][3]
    assert (failure.name, failure.kind) == (DIES, "WorkerDied")
    assert "exit code 7" in failure.message
    assert [index for index, one in enumerate(pool[0]) if isinstance(one, Failure)] == [1, 3, 5]


def test_a_result_that_cannot_be_sent_is_a_failure(pool):
    assert "pickle" in pool[0][5].message.lower()


def test_progress_counts_every_item_once(pool):
    assert pool[1] == [(done, len(ITEMS)) for done in range(1, len(ITEMS) + 1)]


def test_no_process_outlives_a_run(pool):
    assert not multiprocessing.active_children()


def test_the_first_failure_ends_a_run_and_carries_name_and_cause():
    done = []
    with pytest.raises(JobError, match=r"^lens 2: ZeroDivisionError: integer modulo by zero$") as caught:
        map_jobs(
            lambda n: done.append(6 % (2 - n)), range(9), workers=0, name_of=lambda n: f"lens\n{n}", on_error="raise"
        )
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert caught.value.failure.index == 2
    assert len(done) == 2
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


def test_what_a_user_gave_wrong_is_told_in_its_own_words():
    def refuse(_item):
        raise InputError("depth_m", -1, "a positive distance")

    found = map_jobs(refuse, ["a"], workers=0, on_error="keep")
    assert str(found[0]) == "a: depth_m: found -1, expected a positive distance"


def test_without_workers_everything_runs_here():
    assert map_jobs(lambda _: os.getpid(), range(2), workers=0) == [os.getpid()] * 2


def test_no_items_are_no_work():
    assert map_jobs(math.sqrt, []) == []


def test_a_stream_gives_each_result_with_its_place_and_can_be_left():
    stream = stream_jobs(math.sqrt, [4, 9, -1], workers=0, on_error="keep")
    assert next(stream) == (0, 2.0)
    assert next(stream) == (1, 3.0)
    stream.close()
    assert list(stream) == []


def test_interrupts_are_not_failures():
    with pytest.raises(KeyboardInterrupt):
        map_jobs(interrupted, [0], workers=0, on_error="keep")


def interrupted(_item):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"function": 3}, "function: found 3"),
        ({"function": lambda n: n}, "import"),
        ({"workers": -1}, "workers: found -1"),
        ({"workers": True}, "workers: found True"),
        ({"threads": 0}, "threads: found 0"),
        ({"on_error": "ignore"}, "on_error: found 'ignore'"),
        ({"items": [lambda: 0], "name_of": lambda _: "x"}, "item x: found"),
    ],
)
def test_arguments_that_cannot_be_are_named(arguments, words):
    given = {"function": operator.neg, "items": [1, 2], "workers": 2} | arguments
    with pytest.raises(InputError) as caught:
        map_jobs(given.pop("function"), given.pop("items"), **given)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
