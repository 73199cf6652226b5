import os
import signal
import threading
import time

from learn.trainer.stopping import catch_stop


def test_signals_are_as_they_were_afterwards():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with catch_stop() as should_stop:
        assert not should_stop()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0)
        assert should_stop()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_thread_that_gets_no_signals_is_never_asked_to_stop():
    asked = []

    def run():
        with catch_stop() as should_stop:
            asked.append(should_stop())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert asked == [False]
