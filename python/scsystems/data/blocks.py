"""Cells that stay elsewhere: one block of them at a time is where training runs.

An epoch is a random order of many small chunks of a store, drawn from every system in
proportion, cut into blocks of equal size; or of cells in memory that a GPU has no room for. A
thread reads the next block while the last one trains. The blocks lie in buffers that stay the
same, so that a step recorded on a GPU stays valid.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..words import written
from .chunks import CellsInMemory, ChunksOnDisk
from .disk import DiskMatrix
from .resident import CellArrays, ResidentCells, Storage, csr_if_sparse
from .room import CPU_DENSE_LIMIT, choose_storage, in_words, needed_memory
from .source import WHOLE, BatchSource, Minibatch, Shard, steps_and_size

logger = logging.getLogger(__name__)

# bytes of dense expression in a block; there are two of them in the computer's memory
BLOCK_BYTES = 256 * 2**20
# cells that lie together on disk and are read together: fewer mix better, more read faster
CHUNK = 64
# cells of a block where they come in their order, which need not mix
IN_ORDER = 8192


class _Buffer(NamedTuple):
    """A block: expression, and every cell's position in the source."""

    x: Tensor
    position: Tensor


class BlockCells:
    """Cells that come in blocks as the trainer sees them; see `scsystems.data.source.BatchSource`.

    Parameters
    ----------
    cells
        The cells; their ``x`` may be a `DiskMatrix`, everything else is in memory.
    device
        Where training runs.
    block_bytes
        Size of a block.
    chunk
        Cells on disk that are read together.
    """

    in_blocks = True

    def __init__(
        self,
        cells: CellArrays,
        device: torch.device,
        block_bytes: int | None = None,
        chunk: int | None = None,
    ):
        self.source: ChunksOnDisk | CellsInMemory
        if isinstance(cells.x, DiskMatrix):
            self.source = ChunksOnDisk(cells.x, cells.system, CHUNK if chunk is None else chunk)
        else:
            self.source = CellsInMemory(csr_if_sparse(cells.x))
        self.device = device
        self.n_cells: int
        self.n_genes: int
        self.n_cells, self.n_genes = cells.x.shape
        block_bytes = BLOCK_BYTES if block_bytes is None else block_bytes
        self.most = max(2, min(self.n_cells, block_bytes // (4 * self.n_genes)))
        # all cells' codes are a few bytes each and stay on the device
        self.system = torch.as_tensor(cells.system, device=device)
        self.categorical, self.continuous, self.weight, self.label = (
            None if a is None else torch.as_tensor(a, device=device)
            for a in (cells.categorical, cells.continuous, cells.weight, cells.label)
        )
        self._host: list[_Buffer] = []
        self._device: _Buffer | None = None
        self._copied: list[torch.cuda.Event | None] = [None, None]
        self._now: _Buffer | None = None

    def __len__(self) -> int:
        return self.n_cells

    def epoch(
        self, batch_size: int, generator: torch.Generator, shard: Shard = WHOLE
    ) -> Iterator[Tensor]:
        """Blocks of cells in random order."""
        self.source.check_unchanged()
        own = shard.of_epoch(self.n_cells)
        steps, size = steps_and_size(own.stop - own.start, batch_size)
        # blocks of as equal a number of minibatches as there can be
        n_blocks = -(-steps // max(1, self.most // size))
        n_steps = [steps // n_blocks + (i < steps % n_blocks) for i in range(n_blocks)]
        seed = torch.randint(2**62, (1,), generator=generator, device=self.device)
        rng = np.random.default_rng(int(seed))
        blocks = self.source.draw(rng, own, [n * size for n in n_steps])
        for here, n in zip(n_steps, self._loaded(blocks, n_steps[0] * size), strict=False):
            places = torch.randperm(n, generator=generator, device=self.device)
            # what is missing to a full last minibatch comes from the block's beginning
            filled = places.repeat(-(-here * size // n))[: here * size]
            yield filled.view(here, size)
        self.source.check_unchanged()

    def in_order(self, batch_size: int, shard: Shard = WHOLE) -> Iterator[Tensor]:
        """All cells once, as they lie."""
        own = shard.in_order(self.n_cells)
        size = min(self.most, self.n_cells, max(1, IN_ORDER // batch_size) * batch_size)
        blocks = [
            self.source.stretch(a, min(a + size, own.stop))
            for a in range(own.start, own.stop, size)
        ]
        for n in self._loaded(blocks, size):
            yield from torch.arange(n, device=self.device).split(batch_size)

    def gather(self, indices: Tensor) -> Minibatch:
        """The minibatch of the cells at ``indices`` of the present block."""
        if self._now is None:
            raise RuntimeError("no block has been read")
        x, position = self._now
        at = position[indices]
        return Minibatch(
            x.index_select(0, indices),
            self.system[at],
            None if self.categorical is None else self.categorical[at],
            None if self.continuous is None else self.continuous[at],
            None if self.weight is None else self.weight[at],
            at,
            None if self.label is None else self.label[at],
        )

    # -- reading ---------------------------------------------------------------------------

    def _loaded(self, blocks: Sequence[Any], size: int) -> Iterator[int]:
        """Number of cells of each block, once it is on the device; the next is read meanwhile."""
        self._make_buffers(size)
        with ThreadPoolExecutor(1, thread_name_prefix="scsystems-read") as reader:
            ahead: Future[int] = reader.submit(self._read, blocks[0], 0)
            for i in range(len(blocks)):
                n = ahead.result()
                if i + 1 < len(blocks):
                    ahead = reader.submit(self._read, blocks[i + 1], (i + 1) % 2)
                self._show(i % 2)
                yield n

    def _make_buffers(self, size: int) -> None:
        if self._host and len(self._host[0].x) >= size:
            return
        on_gpu = self.device.type == "cuda"
        self._host = [
            _Buffer(
                torch.empty(size, self.n_genes, pin_memory=on_gpu),
                torch.empty(size, dtype=torch.int64, pin_memory=on_gpu),
            )
            for _ in range(2)
        ]
        if self.device.type != "cpu":
            self._device = _Buffer(
                *(torch.empty_like(t, device=self.device) for t in self._host[0])
            )

    def _read(self, block: Any, which: int) -> int:
        """Read cells into one of the buffers; returns how many."""
        event = self._copied[which]
        if event is not None:
            # the copy from this buffer to the device may not have ended
            event.synchronize()
        return self.source.read(block, *(t.numpy() for t in self._host[which]))

    def _show(self, which: int) -> None:
        """Make a buffer the present block."""
        host = self._host[which]
        if self._device is None:
            self._now = host
            return
        for there, here in zip(self._device, host, strict=True):
            there.copy_(here, non_blocking=True)
        if self.device.type == "cuda":
            self._copied[which] = event = torch.cuda.Event()
            event.record()
        self._now = self._device


def stored(cells: CellArrays, storage: Storage) -> CellArrays:
    """The cells, read into memory if ``storage`` asks for that.

    ``"auto"`` reads what takes no more memory than blocks do, so that what is small trains as it
    does in memory; ``"disk"`` leaves all where they are.
    """
    on_disk = isinstance(cells.x, DiskMatrix)
    if storage == "disk" and not on_disk:
        raise InputError(
            f"{written('storage', storage)}, but the cells are in memory. Give the path of an .h5ad file or a .zarr "
            "store with them."
        )
    small = 4 * cells.x.shape[0] * cells.x.shape[1] <= CPU_DENSE_LIMIT
    if on_disk and (storage in ("dense", "sparse") or (storage == "auto" and small)):
        return replace(cells, x=cells.x[:])
    return cells


def batch_source(
    cells: CellArrays, at: np.ndarray, device: torch.device, storage: Storage
) -> BatchSource:
    """Some of the cells as the trainer takes them.

    All on the device; in blocks where they are on disk, or where ``"auto"`` finds no room for them.
    """
    if isinstance(cells.x, DiskMatrix):
        # as they lie on disk
        return BlockCells(cells.take(np.sort(at)) if len(at) < len(cells) else cells, device)
    cells = cells.take(at) if len(at) < len(cells) else cells
    if storage == "auto" and choose_storage(cells.x, device) == "blocks":
        logger.info(
            "The GPU has no room for %s of expression: the cells stay in the computer's memory and come in blocks.",
            in_words(needed_memory(cells.x, "sparse")),
        )
        return BlockCells(cells, device)
    return ResidentCells(cells, device, storage)
