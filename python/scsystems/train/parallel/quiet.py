"""A moment to fork in: one at which no other thread of the program runs.

A forked process has one thread, and all locks as they were: one that another thread held stays
locked in it for ever. Python and the C library see to their own locks. Those of mathematical
libraries, of their memory above all, are held for microseconds by threads at work. So this waits
until there is none: while one thread keeps Python's own lock, the others finish the operation
they are in and then wait for that lock.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from time import perf_counter

# seconds to wait at most: a thread that computes without a pause is not waited for
LONGEST = 0.25
# seconds for which Python's lock is not asked back: longer than looking at all threads takes
INTERVAL = 0.25

# of `sys.setswitchinterval`, which is the same for all threads
_one_at_a_time = threading.Lock()


@contextmanager
def quiet_moment() -> Iterator[None]:
    """The block begins while no other thread runs, or else when waiting takes too long (on Linux)."""
    end = perf_counter() + LONGEST
    with _one_at_a_time:
        before = sys.getswitchinterval()
        sys.setswitchinterval(INTERVAL)
        try:
            while not _others_sleep() and perf_counter() < end:
                pass
            yield
        finally:
            sys.setswitchinterval(before)


def _others_sleep() -> bool:
    """Whether all threads but this one sleep; from their list on, Python's lock is kept."""
    try:
        threads = [int(name) for name in os.listdir("/proc/self/task")]
    except OSError:  # the system does not tell
        return True
    own = threading.get_native_id()
    # threads may have begun, or ended, since
    return int(_fields(b"/proc/self/stat")[17]) == len(threads) and all(
        _fields(b"/proc/self/task/%d/stat" % thread)[0] == b"S"
        for thread in threads
        if thread != own
    )


def _fields(path: bytes) -> list[bytes]:
    """What the system says of a process or thread after its name, which may hold anything; its state is the first."""
    libc = _libc()
    content = ctypes.create_string_buffer(1024)
    file = libc.open(path, os.O_RDONLY | os.O_CLOEXEC)
    if file < 0:
        return [b""]
    libc.read(file, content, len(content) - 1)
    libc.close(file)
    return content.value.rpartition(b")")[2].split() or [b""]


@cache
def _libc() -> ctypes.PyDLL:
    """The C library; calls through this keep Python's lock, unlike those of `os`."""
    return ctypes.PyDLL(None)
