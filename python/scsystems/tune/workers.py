"""Several runs at a time, each worker a Python process of its own.

The processes are plain ones that run ``worker.py``, not those of ``multiprocessing``: these
would run the user's script again, and inside R could not be started at all times.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path
from typing import Any, TextIO, cast

import numpy as np
import torch

from scsystems import errors
from scsystems.durable.leftovers import of_the_dead, owner
from scsystems.durable.steps import writing
from scsystems.errors import WorkerError, warn
from scsystems.words import door, word, written

from .cells import NO_ROOM, write_cells
from .run import Record
from .settings import Setting
from .worker import MARK

# the search's own modules first; Ctrl-C is the search's to understand
BOOT = (
    "import json, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "sys.path[:] = json.loads(sys.argv[1]); from scsystems.tune.worker import main; main()"
)
# seconds between looks for Ctrl-C while runs are trained
PATIENCE = 0.2


def train_together(
    adata, runs: Mapping[str, tuple[Setting, int]], n_jobs: int
) -> Iterator[tuple[str, Record, np.ndarray]]:
    """Train runs in processes; yields them as they are finished, for this process to measure.

    Measuring takes a small part of the time of training, and in every process it would begin
    with the compilation of what metrics are made of.

    The cells are written to a temporary folder once; if this process is killed, the others remove
    it, and if they are killed as well, the next search does. A process that dies, for want of
    memory say, costs the run it was at (its record has ``error``); the others go on.

    Raises
    ------
    WorkerError
        If processes cannot be started, or a run fails in a way that is no fault of its setting.
    """
    remove_dead()
    with tempfile.TemporaryDirectory(prefix=f"{owner()}-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with writing(folder, NO_ROOM):
            write_cells(folder, adata)
        threads = max(1, torch.get_num_threads() // n_jobs)
        # threads and processes begin with the words of Python
        spoken = copy_context()
        pool = _Pool({"folder": name, "threads": threads, "door": door()})
        with ThreadPoolExecutor(n_jobs) as executor:
            try:
                waiting: dict[Future, str] = {
                    executor.submit(
                        spoken.copy().run,
                        pool.ask,
                        {"run": run, "parameters": setting.parameters, "name": setting.name,
                         "seed": seed},
                    ): run
                    for run, (setting, seed) in runs.items()
                }  # fmt: skip
                while waiting:
                    finished, _ = wait(waiting, timeout=PATIENCE, return_when=FIRST_COMPLETED)
                    # what is finished is kept before a failure ends the search
                    for future in sorted(finished, key=lambda f: f.exception() is not None):
                        run = waiting.pop(future)
                        record = _record(future, *runs[run])
                        yield run, record, _embedding(folder, run, record)
            finally:
                executor.shutdown(wait=False, cancel_futures=True)
                pool.close()


def remove_dead() -> None:
    """Remove the cells of searches that were killed together with all their processes."""
    for folder in of_the_dead(Path(tempfile.gettempdir()), start="scsystems-"):
        shutil.rmtree(folder, ignore_errors=True)


def _record(future: Future, setting: Setting, seed: int) -> Record:
    try:
        reply = future.result()
    except _Died as death:
        return {"setting": setting.name, "parameters": setting.parameters, "seed": seed,
                "error": str(death)}  # fmt: skip
    for name, level, message in reply["logged"]:
        logging.getLogger(name).log(level, message)
    for message in reply["warned"]:
        warn(message)
    return reply["record"]


def _embedding(folder: Path, run: str, record: Record) -> np.ndarray:
    if "error" in record:
        return np.empty((0, 0), np.float32)
    path = folder / f"{run}.npy"
    embedding = np.load(path, allow_pickle=False)
    path.unlink()
    return embedding


class _Died(Exception):
    """A process ended without an answer."""


class _Pool:
    """Processes that have nothing to do; one is started when there is none."""

    def __init__(self, start: dict[str, Any]):
        self._start = start
        self._lock = threading.Lock()
        self._all: list[_Process] = []
        self._idle: queue.SimpleQueue[_Process] = queue.SimpleQueue()
        self._closed = False

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            process = self._idle.get_nowait()
        except queue.Empty:
            process = self._new()
        reply = process.ask(request)
        self._idle.put(process)
        return reply

    def close(self) -> None:
        with self._lock:
            self._closed = True
        for process in self._all:
            process.stop()

    def _new(self) -> _Process:
        with self._lock:
            if self._closed:
                raise _Died("The search has ended.")
            process = _Process(Path(self._start["folder"]) / f"worker{len(self._all)}.log")
            self._all.append(process)
        try:
            process.ask(self._start)
        except _Died as death:
            raise WorkerError(
                f"A process to train in could not be started: {death} With {written('n_jobs', 1)} everything "
                "runs in this process."
            ) from death
        return process


class _Process:
    """One worker, seen from the search."""

    def __init__(self, log: Path):
        self._log = log
        path = [os.getcwd() if entry == "" else entry for entry in sys.path]
        with log.open("wb") as errors:
            self._process: subprocess.Popen[str] = subprocess.Popen(
                [interpreter(), "-c", BOOT, json.dumps(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                encoding="utf-8",
                env=environment(os.environ),
            )
        self._requests = cast(TextIO, self._process.stdin)
        self._answers = cast(TextIO, self._process.stdout)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request and wait for the answer."""
        try:
            self._requests.write(json.dumps(request) + "\n")
            self._requests.flush()
            # whatever a library has printed before the worker took hold of its output
            line = next(line for line in self._answers if line.startswith(MARK))
        except (OSError, StopIteration):
            raise _Died(self._last_words()) from None
        reply = json.loads(line.removeprefix(MARK))
        if "raised" in reply:
            raise _as_raised(**reply["raised"])
        return reply

    def stop(self) -> None:
        """End the process, whatever it is at."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with suppress(OSError):
            self._requests.close()
        self._answers.close()

    def _last_words(self) -> str:
        code = self._process.wait()
        how = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
        memory = (
            f" (for want of memory, most likely: a smaller {word('n_jobs')} helps)"
            if code == -9
            else ""
        )
        lines = self._log.read_text(errors="replace").strip().splitlines()
        last = f" Its last words: {' | '.join(lines[-3:])}." if lines else ""
        return f"The process that trained this run {how}{memory}.{last}"


def _as_raised(kinds: list[str], message: str, traceback: str) -> Exception:
    """The error of a worker as one of this process: our own as they are, others wrapped."""
    kind = getattr(errors, kinds[0], None)
    if kind is not None:
        return kind(message)
    return WorkerError(f"A run failed with {kinds[0]}: {message}\nIn its process:\n{traceback}")


def interpreter() -> str:
    """The Python to start, also where Python is embedded in another program such as R."""
    if sys.executable and "python" in Path(sys.executable).name.lower():
        return sys.executable
    for name in ("bin/python3", "python.exe", "Scripts/python.exe"):
        if (path := Path(sys.prefix) / name).exists():
            return str(path)
    raise WorkerError(
        f"There is no Python interpreter to start processes with: sys.executable is "
        f"{sys.executable!r}, and {sys.prefix} has none. Use {written('n_jobs', 1)}."
    )


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """Environment variables of a worker.

    R puts its own libraries and the system's first, so that a Python would start with another
    libpython than its own; modules come by way of ``sys.path``. Threads that wait must sleep:
    the workers share the cores.
    """
    new = {key: value for key, value in own.items() if key != "PYTHONPATH"}
    new.setdefault("OMP_WAIT_POLICY", "passive")
    if "R_HOME" in own and "LD_LIBRARY_PATH" in own:
        system = (own["R_HOME"], "/lib", "/usr/lib")
        kept = [e for e in own["LD_LIBRARY_PATH"].split(os.pathsep) if not e.startswith(system)]
        new["LD_LIBRARY_PATH"] = os.pathsep.join(kept)
    return new
