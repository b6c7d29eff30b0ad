"""How many threads torch runs on: as many as before, or a given number.

numba, which scanpy and umap use, sets the number of OpenMP threads of the whole process whenever
it runs in parallel. Without care torch would then train on every core whatever the user asked
for, and with other roundings: the same seed would no longer give the same result.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def torch_threads_kept() -> Iterator[None]:
    """Within a block, or a function decorated with it; numba may do what it likes inside."""
    import torch

    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def torch_threads(n: int | None) -> Iterator[None]:
    """Within the block torch runs on ``n`` threads; ``None`` leaves it as it is."""
    with torch_threads_kept():
        if n is not None:
            import torch

            torch.set_num_threads(n)
        yield
