"""How much memory cells in a file would take, and how much there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .disk import open_root

# reading, choosing genes and training together take some four times the matrix (measured: 5.7 GB for 1.45 GB)
TIMES = 4.0
# where nothing tells
UNKNOWN = 8 * 2**30


def needed_memory(path: str | Path, key: str = "X") -> int:
    """Bytes that a whole analysis of the matrix ``key`` in a file takes in memory, about."""
    element: Any = open_root(Path(path))
    for part in key.split("/"):
        if part not in element:
            return 0
        element = element[part]
    arrays = [element[n] for n in ("data", "indices")] if hasattr(element, "keys") else [element]
    return int(TIMES * sum(a.size * a.dtype.itemsize for a in arrays))


def available_memory() -> int:
    """Bytes that this process may still take: of the computer, or of the limit that a scheduler has set."""
    found = [UNKNOWN]
    try:
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        found = [int(lines["MemAvailable"].split()[0]) * 1024]
    except (OSError, KeyError, ValueError):
        pass
    limits = Path("/sys/fs/cgroup")
    try:
        most, now = ((limits / f"memory.{n}").read_text() for n in ("max", "current"))
        found.append(max(0, int(most) - int(now)))
    except (OSError, ValueError):
        pass
    return min(found)
