"""Parts of ``benchmarks/gpu.py``, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable

from . import memory, results, training, work
from .bench import Bench

Part = Callable[[Bench], list[dict]]

PARTS: dict[str, Part] = {
    part.__name__: part
    for part in (
        training.agreement,
        training.first_step,
        training.throughput,
        work.profile,
        training.peer,
        results.inference,
        results.scspecies,
        results.quality,
        training.atlas,
        memory.largest,
    )
}
