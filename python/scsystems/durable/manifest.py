"""A JSON file that says what it says, and which files belong to it: checksums of both."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelFileError

# entry of the JSON file: name of a file -> its checksum; under its own name that of all the rest
SUMS = "sha256"
# bytes; names of ten million cells take a tenth of it
LARGEST = 2**32

AGAIN = "Copy the whole folder again, or save again."


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def sealed(record: dict[str, Any], name: str, sums: dict[str, str]) -> dict[str, Any]:
    """A record with the checksums of the files beside it, and its own under ``name``."""
    # as it will be read: keys are text, tuples are lists
    record = json.loads(json.dumps(record, default=_plain))
    record[SUMS] = dict(sums)
    record[SUMS][name] = _seal(record)
    return record


def read_record(path: Path) -> dict[str, Any]:
    """Read a JSON file that `sealed` made; one of an earlier version has no checksums.

    Raises
    ------
    ModelFileError
        If it is damaged, or has been changed since.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"{path.stat().st_size} bytes are too many")
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise ValueError("it is not a JSON object")
    except (ValueError, OSError, RecursionError, MemoryError) as error:
        raise ModelFileError(f"{path} is damaged ({error}). {AGAIN}") from error
    if SUMS in record:
        sums = record[SUMS]
        if not isinstance(sums, dict) or not all(isinstance(s, str) for s in sums.values()):
            raise ModelFileError(f"{path} is damaged: its checksums are not text. {AGAIN}")
        own = sums.pop(path.name, None)
        if own != _seal(record):
            raise ModelFileError(
                f"{path} is damaged, or was changed after it was saved: it does not have its checksum any more. "
                f"{AGAIN}"
            )
    return record


def listed(record: dict[str, Any]) -> dict[str, str]:
    """Names and checksums of the files that belong to a record; empty if it has none."""
    return record.get(SUMS, {})


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy as Python's own."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _seal(record: dict[str, Any]) -> str:
    """Checksum of what a record says, however it is written."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
