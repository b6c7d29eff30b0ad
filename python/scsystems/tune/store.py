"""Runs on disk: one JSON file and one embedding each, so that a search can be resumed."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from scsystems.durable.manifest import SUMS, read_record
from scsystems.durable.recovery import clean
from scsystems.durable.sets import consistent, find, write_set
from scsystems.durable.steps import check_writable, full_path
from scsystems.durable.typed import typed
from scsystems.errors import ModelFileError, WriteError

logger = logging.getLogger(__name__)

Run = tuple[dict[str, Any], np.ndarray]


class RunStore:
    """A folder of runs, by an identity that tells what a run was trained on and how.

    Parameters
    ----------
    folder
        Made if it does not exist; None keeps runs in memory only. Other files in it are left
        alone.
    kind
        Data class whose fields a record must have; None takes any record.
    n_cells
        Rows that an embedding must have; None takes any.

    Raises
    ------
    WriteError
        If nothing can be written there.
    """

    def __init__(
        self, folder: str | Path | None, kind: type | None = None, n_cells: int | None = None
    ):
        self.folder = None if folder is None else full_path(folder)
        self._kind, self._n_cells = kind, n_cells
        self._memory: dict[str, Run] = {}
        if self.folder is not None:
            check_writable(self.folder)
            self.folder.mkdir(parents=True, exist_ok=True)
            clean(self.folder)

    def read(self, run: str) -> Run | None:
        """Record and embedding of a run; None if it is not there.

        Raises
        ------
        ModelFileError
            If its files are damaged.
        """
        if run in self._memory or self.folder is None:
            return self._memory.get(run)
        folder = self.folder
        path = folder / f"{run}.json"
        if not path.exists():
            return None

        def read() -> Run:
            record = read_record(path)
            embedding = _read_embedding(find(folder, f"{run}.npy", record, run), self._n_cells)
            record.pop(SUMS, None)
            if self._kind is not None:
                typed(self._kind, record, str(path))
            return record, embedding

        try:
            return consistent(self.folder, run, read)
        except ModelFileError as error:
            raise ModelFileError(
                f"The run {path} is damaged. Delete it (and {run}.npy) to have it trained again. {error}"
            ) from error

    def write(self, run: str, record: dict[str, Any], embedding: np.ndarray) -> None:
        """Keep a run; one that cannot be written is kept in memory, with a warning."""
        self._memory[run] = record, embedding
        if self.folder is None:
            return
        files = {f"{run}.npy": lambda path: np.save(path, embedding, allow_pickle=False)}
        try:
            write_set(
                self.folder, run, record, files, "It is kept in memory until the search ends."
            )
        except WriteError as error:
            logger.warning(
                "The run %s, seed %s: %s", record.get("setting"), record.get("seed"), error
            )
        else:
            del self._memory[run]


def run_id(identity: dict[str, Any]) -> str:
    """Short name of a run that changes whenever anything in its identity does."""
    text = json.dumps(identity, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _read_embedding(path: Path, n_cells: int | None) -> np.ndarray:
    """Cells x dimensions, finite."""
    try:
        # mapped, so that its size is looked at before there is memory for it
        found = np.array(np.load(path, mmap_mode="r", allow_pickle=False))
        if found.ndim != 2 or found.dtype.kind != "f" or not np.isfinite(found).all():
            raise ValueError(f"{found.dtype} of shape {found.shape}, or not finite")
        if n_cells not in (None, len(found)):
            raise ValueError(f"{len(found)} cells instead of {n_cells}")
    except (ValueError, OSError, TypeError, OverflowError, MemoryError, SyntaxError) as error:
        raise ModelFileError(
            f"{path} is not an array of finite numbers, cells x dimensions ({error})."
        ) from error
    return found
