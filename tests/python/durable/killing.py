"""Kill a process at every step of what it does."""

from __future__ import annotations

import os
import shutil
import signal
import warnings
from collections.abc import Callable

STEPS = (
    *((os, name) for name in ("mkdir", "rename", "replace", "fsync", "unlink", "rmdir", "chmod")),
    (shutil, "rmtree"),
)


def at_every_step(
    act: Callable[[], object], check: Callable[[], object], signal_=signal.SIGKILL
) -> int:
    """Run ``act`` in processes that are killed before, and after, their 1st, 2nd, ... step on files.

    ``check`` is called after each death. Returns the number of steps.
    """
    step = 0
    while True:
        for after in (False, True):
            process = fork()
            if process == 0:
                _die_at(step, after, signal_)
                try:
                    act()
                except BaseException:
                    os._exit(1)
                os._exit(0)
            _, status = os.waitpid(process, 0)
            check()
            if os.WIFEXITED(status):
                assert os.WEXITSTATUS(status) == 0
                return step
        step += 1


def fork() -> int:
    """Fork as ``os.fork`` does, though libraries that other tests loaded (JAX) warn of threads.

    The children of tests only write files, and end.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return os.fork()


def _die_at(step: int, after: bool, signal_: int) -> None:
    """Replace the functions by ones that count and kill."""
    taken = 0

    def counting(function):
        def call(*args, **kwargs):
            nonlocal taken
            now, taken = taken, taken + 1
            if now == step and not after:
                os.kill(os.getpid(), signal_)
            try:
                return function(*args, **kwargs)
            finally:
                if now == step:
                    os.kill(os.getpid(), signal_)

        return call

    for module, name in STEPS:
        setattr(module, name, counting(getattr(module, name)))
