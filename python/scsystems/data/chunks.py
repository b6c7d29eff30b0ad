"""Where the cells of a block come from: random chunks of a store, or random cells in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from .disk import DiskMatrix


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


def dealt(chunks: Chunks, order: np.ndarray, own: slice) -> Chunks:
    """The chunks in an order, but of their cells only those from one place to another; the outer ones may be cut."""
    start, stop, system = (a[order] for a in chunks)
    ends = np.cumsum(stop - start)
    begins = ends - (stop - start)
    start, stop = (np.clip(start - begins + at, start, stop) for at in (own.start, own.stop))
    kept = start < stop
    return Chunks(start[kept], stop[kept], system[kept])


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


class ChunksOnDisk:
    """Cells on disk, of which neighbors are read together; a block is a list of ranges.

    Parameters
    ----------
    matrix
        Their expression.
    system
        Codes of their systems.
    chunk
        Cells that are read together.
    """

    def __init__(self, matrix: DiskMatrix, system: np.ndarray, chunk: int):
        self.matrix, self.chunks = matrix, cut(system, chunk)

    def check_unchanged(self) -> None:
        """Refuse a file that another one has taken the place of."""
        self.matrix.check_unchanged()

    def draw(self, rng: np.random.Generator, own: slice, sizes: Sequence[int]) -> list[Any]:
        """Blocks of so many cells each, of ``own`` part of all cells in random order."""
        chunks = dealt(self.chunks, draw_order(self.chunks, rng), own)
        return cut_blocks(chunks, np.arange(len(chunks.start)), sizes)

    def stretch(self, start: int, stop: int) -> Any:
        """A block of neighbors."""
        return [(start, stop)]

    def read(self, block: Any, x: np.ndarray, position: np.ndarray) -> int:
        """Write expression and positions of a block's cells; returns how many there are."""
        at = 0
        for start, stop in sorted(block):
            here = slice(at, at + stop - start)
            position[here] = np.arange(start, stop)
            self.matrix.read(start, stop).toarray(out=x[here])
            at = here.stop
        return at


class CellsInMemory:
    """Cells in the computer's memory that a GPU has no room for; a block is an array of positions."""

    def __init__(self, x: np.ndarray | sparse.csr_matrix):
        self.x = x

    def check_unchanged(self) -> None:
        """Nothing changes them."""

    def draw(self, rng: np.random.Generator, own: slice, sizes: Sequence[int]) -> list[Any]:
        """Blocks of so many cells each, of ``own`` part of all cells in random order."""
        order = rng.permutation(self.x.shape[0])[own]
        # within a block their order does not matter, and memory is read forwards
        return [np.sort(block) for block in np.split(order, np.cumsum(sizes)[:-1])]

    def stretch(self, start: int, stop: int) -> Any:
        """A block of neighbors."""
        return np.arange(start, stop)

    def read(self, block: Any, x: np.ndarray, position: np.ndarray) -> int:
        """Write expression and positions of a block's cells; returns how many there are."""
        n = len(block)
        position[:n] = block
        rows = self.x[block]
        x[:n] = rows.toarray() if sparse.issparse(rows) else rows
        return n
