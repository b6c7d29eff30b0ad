"""Work in place on shared arrays that another process can finish where one has died."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from .shared import shared_zeros

# numbers of an array at a time: what is kept of them stays in the cache
BLOCK = 2**15


class Journal:
    """Keeps each block of arrays as it was until the work on it is done.

    The process that makes the journal can go on where another one died; what it does itself, nobody
    would go on with, and is not kept.

    Parameters
    ----------
    n_parts
        Number of parts of the work, each of which is done by one process.
    n_arrays, dtype
        Arrays that a part changes in place.
    """

    def __init__(self, n_parts: int, n_arrays: int, dtype: torch.dtype):
        self.first = os.getpid()
        self.kept = shared_zeros((n_parts, n_arrays, BLOCK), dtype).numpy()
        # of every part: which round of the work, and twice the blocks that are done, plus one while
        # a block is kept
        self.round, self.progress = shared_zeros((2, n_parts), torch.int64).numpy()
        self.round[:] = -1

    def blocks(self, part: int, round_: int, arrays: Sequence[np.ndarray]) -> Iterator[slice]:
        """Blocks of the arrays to work on, those that are still to be done in this round.

        Parameters
        ----------
        part
            Number of the part.
        round_
            Number of the round, another one each time that the part is worked on anew.
        arrays
            What is changed, of equal lengths.
        """
        if self.round[part] != round_:
            self.progress[part] = 0
            self.round[part] = round_
        kept, n = self.kept[part], len(arrays[0])
        while (start := int(self.progress[part]) // 2 * BLOCK) < n:
            block = slice(start, min(start + BLOCK, n))
            pairs = [(a[block], k[: block.stop - start]) for a, k in zip(arrays, kept, strict=True)]
            if self.progress[part] % 2:
                # the process that was at it may have changed some of it
                for array, as_it_was in pairs:
                    array[:] = as_it_was
            elif os.getpid() != self.first:
                for array, copy in pairs:
                    copy[:] = array
                self.progress[part] += 1
            yield block
            self.progress[part] = 2 * (start // BLOCK + 1)
