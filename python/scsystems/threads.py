"""How many threads torch runs on: as many as before, or one.

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
def one_thread(when: bool = True) -> Iterator[None]:
    """Within the block torch runs on one thread, if ``when``.

    Steps of small minibatches consist of operations of some microseconds. Threads that wait for
    one another at each of them can make training slower (``benchmarks/NOTES.md``), and the
    rounding of its result then depends on how many cores there are.
    """
    import torch

    before = torch.get_num_threads()
    try:
        if when:
            torch.set_num_threads(1)
        yield
    finally:
        if when:
            torch.set_num_threads(before)
