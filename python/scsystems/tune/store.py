"""Runs on disk: one JSON file and one embedding each, so that a search can be resumed."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from scsystems.errors import ModelFileError


class RunStore:
    """A folder of runs, by an identity that tells what a run was trained on and how.

    Parameters
    ----------
    folder
        Made if it does not exist; None keeps runs in memory only.
    """

    def __init__(self, folder: str | Path | None):
        self.folder = None if folder is None else Path(folder)
        self._memory: dict[str, tuple[dict[str, Any], np.ndarray]] = {}
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)

    def read(self, run: str) -> tuple[dict[str, Any], np.ndarray] | None:
        """Record and embedding of a run; None if it is not there."""
        if self.folder is None:
            return self._memory.get(run)
        path = self.folder / f"{run}.json"
        if not path.exists():
            return None
        try:
            record = json.loads(path.read_text())
            return record, np.load(path.with_suffix(".npy"), allow_pickle=False)
        except (ValueError, OSError) as error:
            raise ModelFileError(
                f"The run {path} is damaged ({error}). Delete it (and {path.stem}.npy) to have it "
                "trained again."
            ) from error

    def write(self, run: str, record: dict[str, Any], embedding: np.ndarray) -> None:
        """Keep a run; the JSON file comes last, so that half a run is never found."""
        if self.folder is None:
            self._memory[run] = (record, embedding)
            return
        target = self.folder / f"{run}.npy"
        partial = target.with_suffix(".npy.part")
        with partial.open("wb") as file:
            np.save(file, embedding, allow_pickle=False)
        os.replace(partial, target)
        partial = target.with_suffix(".json.part")
        partial.write_text(json.dumps(record, indent=1))
        os.replace(partial, target.with_suffix(".json"))


def run_id(identity: dict[str, Any]) -> str:
    """Short name of a run that changes whenever anything in its identity does."""
    text = json.dumps(identity, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
