"""Items on a Ray cluster: the same work as in `workers.py`, by tasks of Ray in the place of a pool."""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Any

from .errors import InputError, import_extra, one_line
from .workers import Reply, answer, count_cores, keep_to


def _ray_task(function: Callable[[Any], Any], payload: bytes, threads: int) -> bytes:
    keep_to(threads)
    return answer(function, payload)


def run_ray(
    function: Callable[[Any], Any], payloads: Sequence[bytes], address: str, workers: int | None, threads: int
) -> Generator[tuple[int, Reply]]:
    """As `workers.run_pool`; `address` as in `jobs.map_jobs`, where it is `ray_address`."""
    ray = import_extra("ray", "scale")
    own = not ray.is_initialized()
    if own:
        quiet = {"log_to_driver": False, "logging_level": "warning"}
        cores = threads * (workers or max(1, count_cores() // threads))
        local = {"num_cpus": cores, "include_dashboard": False} if address == "local" else {}
        try:
            ray.init(address=address, **local, **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            expected = f'"local" or a running cluster ({one_line(error)})'
            raise InputError("ray_address", repr(address), expected) from error
    pending: dict[Any, int] = {}
    try:
        task = ray.remote(_ray_task).options(num_cpus=threads)
        held = ray.put(function)  # Ray's pickle takes functions of scripts, too
        cores = int(ray.cluster_resources().get("CPU", 0))
        if cores < threads:  # Ray would wait for ever
            raise InputError("threads", threads, f"at most the cluster's {cores} cores")
        # Enough that no worker waits for us; not all, so that an interrupted run has little to cancel.
        window = workers or 2 * max(1, cores // threads)
        waiting = deque(range(len(payloads)))
        while waiting or pending:
            while waiting and len(pending) < window:
                index = waiting.popleft()
                pending[task.remote(held, payloads[index], threads)] = index
            ready, _ = ray.wait(list(pending), num_returns=1)
            index = pending.pop(ready[0])
            try:
                reply = ray.get(ready[0])
            except ray.exceptions.RayError as error:
                reply = False, ("WorkerDied", f"the Ray worker was lost ({one_line(error)[:200]})", "", None)
            yield index, reply
    finally:
        for left in pending:
            ray.cancel(left, force=True)
        if own:
            ray.shutdown()
