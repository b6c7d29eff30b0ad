"""Whether other threads are seen to run, and waited for."""

import hashlib
import os
import sys
import threading
from time import perf_counter, sleep

import pytest

from scsystems.train.parallel import quiet
from scsystems.train.parallel.forked import can_fork

pytestmark = pytest.mark.skipif(not can_fork(), reason="processes are forked on Linux only")


@pytest.fixture
def computing():
    """A thread at work, without Python's lock, until it is told to stop."""
    stop, began = threading.Event(), threading.Event()
    content = bytes(2**24)

    def work():
        while not stop.is_set():
            began.set()
            hashlib.sha256(content)

    thread = threading.Thread(target=work)
    thread.start()
    began.wait()
    yield thread.native_id
    stop.set()
    thread.join()


@pytest.fixture(autouse=True)
def others_are_asleep():
    """Threads of libraries that end what the tests before have begun."""
    for _ in range(100):
        if quiet._others_sleep():
            return
        sleep(0.05)
    pytest.skip("something else in this process runs all the time")


def test_threads_that_wait_are_no_reason_to_wait():
    stop = threading.Event()
    threads = [threading.Thread(target=stop.wait) for _ in range(5)]
    for thread in threads:
        thread.start()
    sleep(0.1)
    try:
        assert quiet._others_sleep()
    finally:
        stop.set()
    for thread in threads:
        thread.join()


def test_a_thread_that_computes_is_seen(computing):
    looks = []
    for _ in range(20):
        looks.append(quiet._others_sleep())
        # the thread goes from one operation to the next
        sleep(0.001)
    assert looks.count(False) > 15


def test_the_moment_comes_when_it_has_finished_its_operation(computing, monkeypatch):
    monkeypatch.setattr(quiet, "LONGEST", 60)
    for _ in range(5):
        with quiet.quiet_moment():
            # it waits for Python's lock, which this thread has
            state = quiet._fields(b"/proc/self/task/%d/stat" % computing)[0]
        assert state == b"S"


def test_the_moment_comes_in_the_end(monkeypatch):
    monkeypatch.setattr(quiet, "_others_sleep", lambda: False)
    start = perf_counter()
    with quiet.quiet_moment():
        assert perf_counter() - start >= quiet.LONGEST
    assert perf_counter() - start < quiet.LONGEST + 5


def test_how_threads_take_turns_is_as_before_in_the_end():
    before = sys.getswitchinterval()

    def fail():
        with quiet.quiet_moment():
            assert sys.getswitchinterval() == quiet.INTERVAL
            raise OSError

    def repeat():
        for _ in range(20):
            with pytest.raises(OSError):
                fail()

    threads = [threading.Thread(target=repeat) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sys.getswitchinterval() == before


def test_a_system_that_does_not_tell_is_not_waited_for(monkeypatch):
    def refuse(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(os, "listdir", refuse)
    start = perf_counter()
    with quiet.quiet_moment():
        pass
    assert perf_counter() - start < quiet.LONGEST
