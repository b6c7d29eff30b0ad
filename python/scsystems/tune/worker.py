"""A process that trains runs of a search; ``workers.py`` starts it.

It reads one JSON object per line from its input, first where the cells are and then runs, and
answers each with one on its output. It ends when its input does.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import shutil
import sys
import threading
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scsystems.durable.steps import writing
from scsystems.words import spoken_by

from .cells import NO_ROOM, read_cells
from .run import train_one
from .settings import Setting

# what an answer begins with, unlike anything that a library may print (RFC 7464)
MARK = "\x1e"


def main() -> None:
    """Serve until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    worker = Worker()
    threading.Thread(target=_listen, args=(requests, worker), daemon=True).start()
    while True:
        request = requests.get()
        try:
            reply = worker.said(worker.train if "run" in request else worker.start, request)
        except Exception as error:
            kinds = [kind.__name__ for kind in type(error).__mro__]
            reply = {"raised": {"kinds": kinds, "message": str(error),
                                "traceback": traceback.format_exc()}}  # fmt: skip
        print(MARK + json.dumps(reply), file=answers, flush=True)


def _listen(requests: queue.SimpleQueue, worker: Worker) -> None:
    for line in sys.stdin:
        requests.put(json.loads(line))
    # the search has died, or it would have ended this process: nobody else removes the cells, and
    # what is being trained is of no use
    if worker.folder is not None:
        shutil.rmtree(worker.folder, ignore_errors=True)
    os._exit(0)


class Worker:
    """What the process knows between requests: the cells."""

    folder: Path | None = None  # until it has started

    def start(self, request: dict[str, Any]) -> dict[str, Any]:
        """Look at the cells; ``request`` has ``folder``, ``threads`` and the user's ``door``."""
        torch.set_num_threads(request["threads"])
        self.door = request["door"]
        self.folder = Path(request["folder"])
        self.adata = read_cells(self.folder)
        return {}

    def train(self, request: dict[str, Any]) -> dict[str, Any]:
        """Train; ``request`` has ``run``, ``parameters``, ``name`` and ``seed``."""
        with spoken_by(self.door):
            setting = Setting(request["parameters"], request["name"])
            record, embedding = train_one(self.adata, setting, request["seed"])
        if "error" not in record and self.folder is not None:
            path = self.folder / f"{request['run']}.npy"
            with writing(path, NO_ROOM):
                np.save(path, embedding)
        return {"record": record}

    def said(self, serve, request: dict[str, Any]) -> dict[str, Any]:
        """Serve a request; its warnings become part of the answer."""
        logged = _Collector()
        logger = logging.getLogger("scsystems")
        logger.addHandler(logged)
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("default")
                reply = serve(request)
        finally:
            logger.removeHandler(logged)
        warned = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
        return reply | {"logged": logged.messages, "warned": warned}


class _Collector(logging.Handler):
    """Keeps what the package logs as a warning."""

    def __init__(self) -> None:
        super().__init__(level=logging.WARNING)
        self.messages: list[tuple[str, int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append((record.name, record.levelno, record.getMessage()))
