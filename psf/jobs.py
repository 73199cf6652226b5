"""One function over many items: on processes of this machine, or on a Ray cluster.

`map_jobs` gives the results in the order of the items, `stream_jobs` each one as it is done. Where an item runs never
changes its result: every item is computed alone, by a process that keeps to one thread unless told otherwise, and
what is random in it hangs on the item (`runs.make_generator`).

Worker processes are started afresh ("spawn"), never forked: forked threads and locks hang. So the function and its
items must be what a new process can import and unpickle, and a script that calls this stands behind
`if __name__ == "__main__":`.
"""

import contextlib
import pickle
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, Literal, TypeVar, overload

from .errors import InputError, one_line
from .workers import Failure, JobError, Reply, attempt, count_cores, run_pool

__all__ = ["Failure", "JobError", "Progress", "check_workers", "count_cores", "map_jobs", "stream_jobs"]

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]


@overload
def map_jobs(  # noqa: D418
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int | None = ...,
    ray_address: str | None = ...,
    name_of: Callable[[Item], str] = ...,
    on_error: Literal["raise"] = ...,
    on_progress: Progress | None = ...,
    threads: int = ...,
) -> list[Result]:
    """As below, without failures."""


@overload
def map_jobs(  # noqa: D418
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int | None = ...,
    ray_address: str | None = ...,
    name_of: Callable[[Item], str] = ...,
    on_error: Literal["keep"],
    on_progress: Progress | None = ...,
    threads: int = ...,
) -> list[Result | Failure]:
    """As below."""


def map_jobs(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int | None = None,
    ray_address: str | None = None,
    name_of: Callable[[Item], str] = str,
    on_error: Literal["raise", "keep"] = "raise",
    on_progress: Progress | None = None,
    threads: int = 1,
) -> list[Result] | list[Result | Failure]:
    """The function of every item, in the order of the items.

    Args:
        function: Of one item; importable by other processes, as functions of modules and `functools.partial` of them.
        items: What to call it with; each is pickled.
        workers: Processes; by default one per core, on a cluster as many as it holds. 0: no other process, with the
            caller's own threads.
        ray_address: None for processes of this machine. "local" starts a Ray cluster here, "auto" or "HOST:PORT" or
            "ray://HOST:PORT" joins one; paths of files must then mean the same on all its machines.
        name_of: What messages call an item.
        on_error: "raise" ends the run at the first failure; "keep" puts a `Failure` in the place of the result.
        on_progress: Called, here, with (items done, items in all).
        threads: That one worker may use.

    Raises:
        JobError: An item failed and `on_error` is "raise"; carries the item's name.
        InputError: Arguments out of range, or a function or item that no other process can get.
        ImportError: Ray is asked for and not installed.
    """
    outcomes: dict[int, Result | Failure] = {}
    listed = list(items)
    options: dict[str, Any] = {"workers": workers, "ray_address": ray_address, "name_of": name_of, "threads": threads}
    # Closed at once when anything goes wrong, Ctrl-C among it: no process outlives the call.
    with contextlib.closing(_stream(function, listed, on_error, on_progress, **options)) as stream:
        for index, outcome in stream:
            outcomes[index] = outcome
    return [outcomes[index] for index in range(len(listed))]


def stream_jobs(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int | None = None,
    ray_address: str | None = None,
    name_of: Callable[[Item], str] = str,
    on_error: Literal["raise", "keep"] = "raise",
    on_progress: Progress | None = None,
    threads: int = 1,
) -> Generator[tuple[int, Result | Failure]]:
    """As `map_jobs`, but (place of the item, its result) as each is done, in whatever order that is.

    Nothing starts before the first one is asked for; closing the iterator ends the processes.

    Args:
        function: As in `map_jobs`, and so are the others.
        items: What to call it with.
        workers: Processes.
        ray_address: None, "local" or the address of a cluster.
        name_of: What messages call an item.
        on_error: "raise" or "keep".
        on_progress: Called with (items done, items in all).
        threads: That one worker may use.
    """
    options: dict[str, Any] = {"workers": workers, "ray_address": ray_address, "name_of": name_of, "threads": threads}
    return _stream(function, list(items), on_error, on_progress, **options)


def check_workers(workers: int | None) -> None:
    """Refuse what is no number of worker processes, before anything is begun."""
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 0):
        raise InputError("workers", repr(workers), "a whole number from 0, or None for one per core")


def _stream(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    on_error: str,
    on_progress: Progress | None,
    *,
    workers: int | None,
    ray_address: str | None,
    name_of: Callable[[Item], str],
    threads: int,
) -> Generator[tuple[int, Result | Failure]]:
    _check(function, workers, on_error, threads)
    run: Generator[tuple[int, Reply]]
    if ray_address is not None:
        from .cluster import run_ray

        run = run_ray(function, _pickled(items, name_of), ray_address, workers, threads)
    elif workers == 0:
        run = ((index, attempt(function, item)) for index, item in enumerate(items))
    else:
        count = min(workers or count_cores(), len(items))
        run = run_pool(_pickled_function(function), _pickled(items, name_of), count, threads)
    return _outcomes(run, items, name_of, on_error, on_progress)


def _outcomes(
    run: Generator[tuple[int, Reply]],
    items: Sequence[Item],
    name_of: Callable[[Item], str],
    on_error: str,
    on_progress: Progress | None,
) -> Generator[tuple[int, Any]]:
    """Replies as results; names where something failed."""
    try:
        for done, (index, reply) in enumerate(run, start=1):
            good, value = pickle.loads(reply) if isinstance(reply, bytes) else reply
            outcome = value if good else Failure(index, " ".join(name_of(items[index]).split()), *value)
            if not good and on_error == "raise":
                raise JobError(outcome) from outcome.error
            if on_progress:
                on_progress(done, len(items))
            yield index, outcome
    finally:
        run.close()


def _check(function: object, workers: int | None, on_error: str, threads: int) -> None:
    if not callable(function):
        raise InputError("function", repr(function)[:60], "a function")
    check_workers(workers)
    if on_error not in ("raise", "keep"):
        raise InputError("on_error", repr(on_error), '"raise" or "keep"')
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise InputError("threads", repr(threads), "a whole number from 1")


def _pickled_function(function: Callable[..., Any]) -> bytes:
    try:
        return pickle.dumps(function)
    except Exception as error:
        named = getattr(function, "__qualname__", type(function).__name__)
        expected = f"one that other processes can import, at the top of a module ({one_line(error)})"
        raise InputError("function", named, expected) from error


def _pickled(items: Sequence[Item], name_of: Callable[[Item], str]) -> list[bytes]:
    # Plain pickle, not multiprocessing's: torch hands tensors on as open files there, and these die with their worker.
    payloads = []
    for item in items:
        try:
            payloads.append(pickle.dumps(item))
        except Exception as error:
            raise InputError(f"item {name_of(item)}", one_line(error), "what pickle can write") from error
    return payloads
