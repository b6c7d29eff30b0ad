"""Counts that stay on disk, as scSpecies trains on them: the nonzero ones of a block, or of any cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor

from .blocks import BlockCells
from .chunks import ChunksOnDisk
from .counts import CountBatch, ResidentCounts
from .disk import DiskMatrix
from .resident import CellArrays
from .source import Minibatch


class BlockCounts(BlockCells):
    """`BlockCells` on the CPU whose minibatches are `CountBatch`; a block holds nonzero counts only."""

    _shown: tuple[ResidentCounts, Tensor] | None = None

    def _make_buffers(self, size: int) -> None:
        self._counts: list[tuple[ResidentCounts, Tensor] | None] = [None, None]

    def _read(self, ranges: Sequence[tuple[int, int]], which: int) -> int:
        rows = np.concatenate([np.arange(*ends) for ends in sorted(ranges)])
        matrix = cast(ChunksOnDisk, self.source).matrix
        batch = self.categorical
        codes = np.zeros(len(rows), np.int64) if batch is None else batch[rows, 0].numpy()
        self._counts[which] = ResidentCounts(matrix[rows], codes), torch.as_tensor(rows)
        return len(rows)

    def _show(self, which: int) -> None:
        self._shown = self._counts[which]

    def gather(self, indices: Tensor) -> CountBatch:  # type: ignore[override]
        """The minibatch of the cells at ``indices`` of the present block."""
        if self._shown is None:
            raise RuntimeError("no block has been read")
        counts, position = self._shown
        return counts.gather(indices)._replace(index=position[indices])


class StoredCells:
    """Cells on disk of which any can be gathered, from among those that were last read by `hold`."""

    def __init__(self, cells: CellArrays, device: torch.device):
        if not isinstance(cells.x, DiskMatrix) or cells.categorical is None:
            raise TypeError("cells have to be on disk, and to have batches")
        self._matrix, self.device = cells.x, device
        self.categorical = torch.as_tensor(cells.categorical, device=device)
        self.system = torch.as_tensor(cells.system, device=device)

    def __len__(self) -> int:
        return len(self.categorical)

    def hold(self, indices: Tensor) -> None:
        """Read the cells at ``indices``."""
        self._rows = np.sort(indices.cpu().numpy())
        self._held = self._matrix[self._rows]

    def gather(self, indices: Tensor) -> Minibatch:
        """The minibatch of some of the cells that are held."""
        at = np.searchsorted(self._rows, indices.cpu().numpy())
        x = torch.from_numpy(self._held[at].toarray()).to(self.device)
        return Minibatch(
            x, self.system[indices], self.categorical[indices], None, None, indices, None
        )
