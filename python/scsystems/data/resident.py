"""Cells that are all on the training device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from .disk import DiskMatrix
from .room import choose_storage, require_room, too_large
from .source import WHOLE, Minibatch, Shard, epoch_schedule

Storage = Literal["auto", "dense", "sparse", "disk"]

# rows that are made dense in the computer's memory at a time, on their way to a GPU
ON_THE_WAY = 2**16


@dataclass(frozen=True)
class CellArrays:
    """Cells as plain arrays: what the data layer hands to the trainer.

    ``x`` is n x G (dense, scipy sparse, or on disk), ``system`` n codes, ``categorical`` n x C codes,
    ``continuous`` n x D values, ``weight`` n, ``label`` n codes (-1: without a label).
    """

    x: np.ndarray | sparse.spmatrix | DiskMatrix
    system: np.ndarray
    categorical: np.ndarray | None = None
    continuous: np.ndarray | None = None
    weight: np.ndarray | None = None
    label: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.system)

    def take(self, indices: np.ndarray) -> CellArrays:
        """The cells at ``indices``; what is on disk stays there."""
        pick: dict[str, Any] = {
            name: None if (value := getattr(self, name)) is None else value[indices]
            for name in ("system", "categorical", "continuous", "weight", "label")
        }
        if isinstance(self.x, DiskMatrix):
            return replace(self, x=self.x.take_rows(indices), **pick)
        return replace(self, x=csr_if_sparse(self.x)[indices], **pick)


class ResidentCells:
    """All cells on the training device; a minibatch is an index gather there.

    Parameters
    ----------
    cells
        The cells.
    device
        Where training runs.
    storage
        ``"dense"``, ``"sparse"`` (CSR), or ``"auto"``: dense when it fits comfortably
        (half of the free GPU memory; 512 MiB on the CPU), else sparse.

    Raises
    ------
    DeviceMemoryError
        If a GPU has no room for them.
    """

    # processes that are forked from this one see all cells
    in_blocks = False

    def __init__(self, cells: CellArrays, device: torch.device, storage: Storage = "auto"):
        self.device = device
        self.n_cells: int
        self.n_genes: int
        self.n_cells, self.n_genes = cells.x.shape
        if storage == "auto":
            place = choose_storage(cells.x, device)
            if place == "blocks":
                raise too_large(cells.x, device)
            storage = place
        self.storage = storage
        require_room(cells.x, "dense" if storage == "dense" else "sparse", device)
        self.system = torch.as_tensor(cells.system, device=device)
        self.categorical = _to(cells.categorical, device)
        self.continuous = _to(cells.continuous, device)
        self.weight = _to(cells.weight, device)
        self.label = _to(cells.label, device)
        if storage == "dense":
            self._dense = _all_dense(cells.x, device)
        else:
            self._sparse = _SparseRows(cells.x, device)

    def __len__(self) -> int:
        return self.n_cells

    def epoch(
        self, batch_size: int, generator: torch.Generator, shard: Shard = WHOLE
    ) -> Iterator[Tensor]:
        """One block: see `epoch_schedule`."""
        yield epoch_schedule(self.n_cells, batch_size, generator, self.device, shard)

    def in_order(self, batch_size: int, shard: Shard = WHOLE) -> Iterator[Tensor]:
        """Indices of all cells once, in their order."""
        own = shard.in_order(self.n_cells)
        yield from torch.arange(own.start, own.stop, device=self.device).split(batch_size)

    def gather(self, indices: Tensor) -> Minibatch:
        """The minibatch of the cells at ``indices`` (on the device, without synchronization)."""
        if self.storage == "dense":
            x = self._dense.index_select(0, indices)
        else:
            x = self._sparse.gather(indices)
        return Minibatch(
            x,
            self.system[indices],
            None if self.categorical is None else self.categorical[indices],
            None if self.continuous is None else self.continuous[indices],
            None if self.weight is None else self.weight[indices],
            indices,
            None if self.label is None else self.label[indices],
        )


class _SparseRows:
    """CSR rows on a device, gathered into dense minibatches."""

    def __init__(self, x, device: torch.device):
        csr = sparse.csr_matrix(x)
        self.n_genes = csr.shape[1]
        self.host = None
        if device.type == "cpu":
            # scipy's row gather beats index arithmetic on the CPU
            self.host = csr if csr.dtype == np.float32 else csr.astype(np.float32)
            return
        self.start = torch.as_tensor(csr.indptr.astype(np.int64), device=device)
        self.columns = torch.as_tensor(csr.indices.astype(np.int32), device=device)
        self.values = torch.as_tensor(csr.data.astype(np.float32), device=device)
        longest = int(np.diff(csr.indptr).max(initial=0))
        self.ramp = torch.arange(longest, device=device)

    def gather(self, indices: Tensor) -> Tensor:
        if self.host is not None:
            return torch.from_numpy(self.host[indices.numpy()].toarray())
        # every row is read as if it were as long as the longest, so that shapes are fixed
        start, stop = self.start[indices], self.start[indices + 1]
        position = start[:, None] + self.ramp
        inside = position < stop[:, None]
        position = torch.where(inside, position, 0)
        values = torch.where(inside, self.values[position], 0.0)
        out = torch.zeros(len(indices), self.n_genes, device=indices.device)
        return out.scatter_add_(1, self.columns[position].long(), values)


def csr_if_sparse(x: Any) -> Any:
    """A matrix whose rows can be picked fast, if it is sparse."""
    return x.tocsr() if sparse.issparse(x) and x.format != "csr" else x


def iterate(
    cells: CellArrays,
    device: torch.device,
    chunk_size: int,
    wrap: Callable[[sparse.csr_matrix], Any] | None = None,
) -> Iterator[Minibatch]:
    """The cells in order, in chunks, for inference; only one chunk is on the device at a time.

    Sparse expression becomes dense, or what ``wrap`` makes of it.
    """
    x = csr_if_sparse(cells.x)
    for start in range(0, len(cells), chunk_size):
        part = slice(start, start + chunk_size)
        rows = x[part]
        yield Minibatch(
            wrap(rows) if wrap and sparse.issparse(rows) else _dense_tensor(rows, device),
            torch.as_tensor(cells.system[part], device=device),
            _to(cells.categorical, device, part),
            _to(cells.continuous, device, part),
            _to(cells.weight, device, part),
        )


def _to(array: np.ndarray | None, device: torch.device, part: slice = slice(None)) -> Tensor | None:
    return None if array is None else torch.as_tensor(array[part], device=device)


def _all_dense(x, device: torch.device) -> Tensor:
    """Expression on a device; on the way to a GPU only some of it is in memory a second time."""
    if device.type == "cpu" or x.shape[0] <= ON_THE_WAY:
        return _dense_tensor(x, device)
    x, out = csr_if_sparse(x), torch.empty(x.shape, device=device)
    for start in range(0, len(out), ON_THE_WAY):
        part = slice(start, start + ON_THE_WAY)
        out[part] = _dense_tensor(x[part], device)
    return out


def _dense_tensor(x, device: torch.device) -> Tensor:
    if not sparse.issparse(x):
        return torch.as_tensor(np.array(x, dtype=np.float32), device=device)
    return torch.as_tensor(
        np.ascontiguousarray(x.astype(np.float32, copy=False).toarray()), device=device
    )
