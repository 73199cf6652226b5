"""Worker processes: they end with the run, by whatever it ends, and say nothing."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time

import pytest

from psf.errors import InputError
from psf.jobs import map_jobs
from psf.workers import Failure, JobError, answer, attempt, count_cores, one_line


class Stubborn(Exception):
    """Pickles, and does not unpickle."""

    def __init__(self, one, two):
        super().__init__(f"{one} {two}")


def test_an_interrupted_run_ends_its_workers_at_once():
    def interrupt(_done, _items):
        raise KeyboardInterrupt

    items = ["1", "__import__('time').sleep(600)"]
    start_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        map_jobs(eval, items, workers=2, on_progress=interrupt)
    assert not multiprocessing.active_children()
    assert time.monotonic() - start_s < 300  # nobody waited for the sleeper


def test_an_error_that_cannot_be_sent_is_still_told():
    def refuse(_item):
        raise Stubborn("no", "way")

    good, (kind, message, details, error) = attempt(refuse, 1)
    assert (good, kind, message, error) == (False, "Stubborn", "Stubborn: no way", None)
    assert "Traceback" in details


def test_a_function_that_a_worker_cannot_load_is_told_with_every_item():
    good, told = pickle.loads(answer(ImportError("no module named lens"), pickle.dumps(1)))
    assert not good
    assert told[:2] == ("ImportError", "ImportError: no module named lens")


def test_an_answer_is_the_result_or_why_there_is_none():
    assert pickle.loads(answer(abs, pickle.dumps(-3))) == (True, 3)
    assert pickle.loads(answer(abs, b"no pickle"))[0] is False


def test_what_an_error_says_is_one_line():
    assert one_line(ValueError("two\nlines")) == "two lines"
    failure = Failure(3, "lens 3", "ValueError", "two lines")
    assert str(JobError(failure)) == "lens 3: two lines"
    assert isinstance(attempt(int, "x")[1][3], ValueError)
    assert attempt(fail, 0)[1][1] == "depth_m: found -1, expected a distance"


def fail(_item):
    raise InputError("depth_m", -1, "a distance")


def test_cores_are_counted():
    assert 1 <= count_cores() <= os.cpu_count()


SCRIPT = """
import multiprocessing, signal, sys, time
from psf.jobs import map_jobs
if __name__ == "__main__":
    # A shell that runs this test in the background starts all of its children with the signal ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    def told(done, items):
        print("pids", *[child.pid for child in multiprocessing.active_children()], flush=True)
    try:
        map_jobs(eval, ["1", "__import__('time').sleep(600)", "__import__('time').sleep(600)"], workers=2,
                 on_progress=told)
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
def test_ctrl_c_in_a_terminal_ends_caller_and_workers_without_a_word(tmp_path, root):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        told = process.stdout.readline().split()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
        try:
            out, err = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert told[0] == "pids"
    assert out.strip().endswith("interrupted")
    assert err == ""
    for pid in told[1:]:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


@pytest.mark.slow
def test_a_script_without_its_guard_is_told_so(tmp_path, root):
    script = tmp_path / "script.py"
    script.write_text("from psf.jobs import map_jobs\nmap_jobs(eval, ['1'], workers=1)\n")
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode
    assert "__main__" in done.stderr.splitlines()[-1]
