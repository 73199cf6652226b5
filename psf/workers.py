"""Worker processes of this machine: what runs an item there, and the pool that hands items out.

Python's own executors lose every item when one process dies, and do not say which item it had. A pipe per worker does.
"""

import contextlib
import multiprocessing
import os
import pickle
import signal
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, NoReturn, cast

from .errors import InputError, one_line

# (True, result), or (False, (kind, message, details, error)) as `jobs.Failure` holds them; pickled or not.
Reply = bytes | tuple[bool, Any]

# How long a worker may take to tidy up after it was told to end, before it is killed.
PATIENCE_S = 5.0
_READY = b"ready"


@dataclass(frozen=True)
class Failure:
    """What stands in the place of a result where an item failed and the others went on.

    Attributes:
        index: Place of the item among all, from 0.
        name: The item's name.
        kind: Class of the error; "WorkerDied" where the process ended, by a crash or for want of memory.
        message: What it said, in one line.
        details: The traceback, as far as there is one.
        error: The error itself, where it survives pickling.
    """

    index: int
    name: str
    kind: str
    message: str
    details: str = ""
    error: Exception | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.message}"


class JobError(RuntimeError):
    """An item failed, in one line that begins with its name; the item's own error is the cause."""

    def __init__(self, failure: Failure) -> None:
        """Args: the failure that ended the run."""
        super().__init__(str(failure))
        self.failure = failure

    def __reduce__(self) -> tuple[type["JobError"], tuple[Failure]]:
        return type(self), (self.failure,)


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def attempt(function: Callable[[Any], Any], item: Any) -> tuple[bool, Any]:
    """(True, result), or (False, what `Failure` holds from `kind` on)."""
    try:
        return True, function(item)
    except Exception as error:
        return False, _told(error)


def _told(error: Exception) -> tuple[str, str, str, Exception | None]:
    details = "".join(traceback.format_exception(error))
    message = one_line(error) or type(error).__name__
    if not isinstance(error, InputError | FileNotFoundError | JobError):  # these say all in their line
        message = f"{type(error).__name__}: {message}"
    try:
        # An error may pickle and then not unpickle, which would end the run that asks for it.
        pickle.loads(pickle.dumps(error))
    except Exception as unfit:
        return type(error).__name__, message, f"{details}(the error itself cannot be pickled: {one_line(unfit)})", None
    return type(error).__name__, message, details, error


def answer(function: Callable[[Any], Any] | Exception, payload: bytes) -> bytes:
    """What a worker sends back."""
    if isinstance(function, Exception):
        return pickle.dumps((False, _told(function)))
    try:
        return pickle.dumps(attempt(function, pickle.loads(payload)))
    except Exception as error:  # an item or a result that pickle does not take
        return pickle.dumps((False, _told(error)))


def _unpickled(payload: bytes) -> Callable[[Any], Any] | Exception:
    try:
        found: Callable[[Any], Any] = pickle.loads(payload)
    except Exception as error:  # told with every item
        return error
    return found


def keep_to(threads: int) -> None:
    """Limit the threads of this process, which exists for jobs alone: nobody else's world changes."""
    import numba
    import torch

    torch.set_num_threads(threads)
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))


def _work(pipe: connection.Connection, payload: bytes, threads: int) -> None:
    """What a worker process does until its pipe closes."""
    # Ctrl-C reaches all processes of a terminal: the caller's decides, and ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    with contextlib.suppress(EOFError, OSError):  # the caller is gone
        keep_to(threads)
        function = _unpickled(payload)
        pipe.send_bytes(_READY)
        while True:
            pipe.send_bytes(answer(function, pipe.recv_bytes()))


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    # An exception, so that half-written files are removed on the way out.
    raise SystemExit(1)


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits: a process started inside is born deaf to it, else it would die loudly while it imports."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run_pool(function: bytes, payloads: Sequence[bytes], workers: int, threads: int) -> Generator[tuple[int, Reply]]:
    """Replies to payloads as they come, each with its place; closing it ends the processes.

    Args:
        function: Pickled.
        payloads: Pickled items.
        workers: Processes.
        threads: Of each.
    """
    context = multiprocessing.get_context("spawn")
    waiting = deque(range(len(payloads)))
    # Per pipe its process and the item that it is at; None until it has said that it is ready.
    pool: dict[connection.Connection, tuple[BaseProcess, int | None]] = {}

    def start() -> None:
        here, there = context.Pipe()
        # daemon: ends with the caller's process, whatever happens to it.
        process = context.Process(target=_work, args=(there, function, threads), daemon=True)
        with _interrupts_held():
            process.start()
            pool[here] = process, None
        there.close()

    try:
        for _ in range(workers):
            start()
        while pool:
            for pipe in cast(list[connection.Connection], connection.wait(list(pool))):
                process, index = pool[pipe]
                try:
                    reply: bytes | None = pipe.recv_bytes()
                except (EOFError, OSError):
                    reply = None
                if reply is None:
                    del pool[pipe]
                    pipe.close()
                    _see_off(process)
                    if index is None:
                        raise RuntimeError(_stillborn(process.exitcode))
                    if waiting:
                        start()
                    yield index, (False, _death(process.exitcode))
                    continue
                if waiting:
                    following = waiting.popleft()
                    pool[pipe] = process, following
                    # A worker that died just now is found at its pipe's end, with this item.
                    with contextlib.suppress(OSError):
                        pipe.send_bytes(payloads[following])
                else:
                    del pool[pipe]
                    pipe.close()
                    _see_off(process)
                if index is not None:
                    yield index, reply
    finally:
        _end([process for process, _ in pool.values()])
        for pipe in pool:
            pipe.close()


def _end(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        _see_off(process)


def _see_off(process: BaseProcess) -> None:
    """Wait for a process that is about to end; on a busy machine it may need to be helped."""
    process.join(PATIENCE_S)
    if process.exitcode is None:
        process.kill()
        process.join()


def _stillborn(code: int | None) -> str:
    return (
        f"a worker process ended with exit code {code} before its first job; a script that uses worker processes "
        'must do so inside `if __name__ == "__main__":`'
    )


def _death(code: int | None) -> tuple[str, str, str, None]:
    by_signal = code is not None and code < 0
    cause = f"was killed by signal {-(code or 0)}" if by_signal else f"ended with exit code {code}"
    hint = "; the machine may be short of memory" if code == -9 else ""
    return "WorkerDied", f"the worker process {cause}{hint}", "", None
