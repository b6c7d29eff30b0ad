"""Cells that stay on disk: one block of them at a time is where training runs.

An epoch is a random order of many small chunks of the store, drawn from every system in
proportion, cut into blocks of equal size. A thread reads the next block while the last one
trains. The blocks lie in buffers that stay the same, so that a step recorded on a GPU stays
valid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..words import written
from .disk import DiskMatrix
from .resident import CPU_DENSE_LIMIT, CellArrays, ResidentCells, Storage
from .source import BatchSource, Minibatch, steps_and_size

# bytes of dense expression in a block; there are two of them in the computer's memory
BLOCK_BYTES = 256 * 2**20
# cells that lie together on disk and are read together: fewer mix better, more read faster
CHUNK = 64
# cells of a block where they come in their order, which need not mix
IN_ORDER = 8192


class Chunks(NamedTuple):
    """Chunks of a store: where each begins and ends, and which system most of its cells have."""

    start: np.ndarray
    stop: np.ndarray
    system: np.ndarray


def cut(system: np.ndarray, chunk: int) -> Chunks:
    """Cut cells into chunks of at most ``chunk``, ``system`` being their codes in the order of the store."""
    start = np.arange(0, len(system), chunk)
    stop = np.minimum(start + chunk, len(system))
    most = [np.bincount(system[a:b]).argmax() for a, b in zip(start, stop, strict=True)]
    return Chunks(start, stop, np.asarray(most))


def draw_order(chunks: Chunks, rng: np.random.Generator) -> np.ndarray:
    """A random order of chunks in which every stretch has those of all systems in proportion.

    The i-th of a system's m chunks, which are shuffled, comes at (i + u) / m of the way, with u
    uniform in [0, 1).
    """
    place = np.empty(len(chunks.start))
    for name in np.unique(chunks.system):
        own = rng.permutation(np.flatnonzero(chunks.system == name))
        place[own] = (np.arange(len(own)) + rng.random(len(own))) / len(own)
    return np.argsort(place, kind="stable")


def cut_blocks(
    chunks: Chunks, order: np.ndarray, n_cells: Sequence[int]
) -> list[list[tuple[int, int]]]:
    """Blocks of so many cells each as ranges of cells; the last may have fewer, chunks may be cut in two."""
    blocks: list[list[tuple[int, int]]] = [[]]
    room = n_cells[0]
    for i in order:
        start, stop = int(chunks.start[i]), int(chunks.stop[i])
        while start < stop:
            if room == 0:
                room = n_cells[len(blocks)]
                blocks.append([])
            end = min(stop, start + room)
            blocks[-1].append((start, end))
            room -= end - start
            start = end
    return blocks


class _Buffer(NamedTuple):
    """A block: expression, and every cell's position in the source."""

    x: Tensor
    position: Tensor


class BlockCells:
    """Cells on disk as the trainer sees them; see `scsystems.data.source.BatchSource`.

    Parameters
    ----------
    cells
        The cells; their ``x`` is a `DiskMatrix`, everything else is in memory.
    device
        Where training runs.
    block_bytes
        Size of a block.
    chunk
        Cells that are read together.
    """

    in_blocks = True

    def __init__(
        self,
        cells: CellArrays,
        device: torch.device,
        block_bytes: int | None = None,
        chunk: int | None = None,
    ):
        if not isinstance(cells.x, DiskMatrix):
            raise TypeError(f"cells.x is {type(cells.x).__name__}, not on disk")
        self.matrix, self.device = cells.x, device
        self.n_cells, self.n_genes = cells.x.shape
        self.chunks = cut(cells.system, CHUNK if chunk is None else chunk)
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

    def epoch(self, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Blocks of chunks in random order; see `draw_order`."""
        self.matrix.check_unchanged()
        steps, size = steps_and_size(self.n_cells, batch_size)
        # blocks of as equal a number of minibatches as there can be
        n_blocks = -(-steps // max(1, self.most // size))
        n_steps = [steps // n_blocks + (i < steps % n_blocks) for i in range(n_blocks)]
        seed = torch.randint(2**62, (1,), generator=generator, device=self.device)
        order = draw_order(self.chunks, np.random.default_rng(int(seed)))
        blocks = cut_blocks(self.chunks, order, [n * size for n in n_steps])
        for here, n in zip(n_steps, self._loaded(blocks, n_steps[0] * size), strict=False):
            places = torch.randperm(n, generator=generator, device=self.device)
            # what is missing to a full last minibatch comes from the block's beginning
            filled = places.repeat(-(-here * size // n))[: here * size]
            yield filled.view(here, size)
        self.matrix.check_unchanged()

    def in_order(self, batch_size: int) -> Iterator[Tensor]:
        """All cells once, as they lie."""
        size = min(self.most, self.n_cells, max(1, IN_ORDER // batch_size) * batch_size)
        blocks = [[(a, min(a + size, self.n_cells))] for a in range(0, self.n_cells, size)]
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

    def _loaded(self, blocks: Sequence[list[tuple[int, int]]], size: int) -> Iterator[int]:
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

    def _read(self, ranges: list[tuple[int, int]], which: int) -> int:
        """Read cells into one of the buffers; returns how many."""
        event = self._copied[which]
        if event is not None:
            # the copy from this buffer to the device may not have ended
            event.synchronize()
        x, position = (t.numpy() for t in self._host[which])
        at = 0
        for start, stop in sorted(ranges):
            here = slice(at, at + stop - start)
            position[here] = np.arange(start, stop)
            self.matrix.read(start, stop).toarray(out=x[here])
            at = here.stop
        return at

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
    """Some of the cells as the trainer takes them: all on the device, or in blocks where they are on disk."""
    if isinstance(cells.x, DiskMatrix):
        # as they lie on disk
        return BlockCells(cells.take(np.sort(at)) if len(at) < len(cells) else cells, device)
    return ResidentCells(cells.take(at) if len(at) < len(cells) else cells, device, storage)
