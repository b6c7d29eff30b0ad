"""Expression that stays on disk: rows of a matrix in an ``.h5ad`` file or a ``.zarr`` store."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from ..errors import InputError, StoreError, require_extra

# rows that are not wanted are read all the same where fewer lie between two that are
GAP = 32
# rows at a time where a whole matrix is gone through
ROWS = 4096


class DiskMatrix:
    """A matrix of n cells x G genes on disk, of which rows are read when they are asked for.

    Indexed by a slice or an array of row numbers it gives a CSR matrix in single precision;
    columns that were left out are never kept in memory. `take_rows` and `take_columns` (or
    ``matrix[:, columns]``) give a part that stays on disk.

    Parameters
    ----------
    element
        The matrix as h5py or zarr open it: a dense array, or the group of a CSR matrix. See
        `open` for files, and `on_disk` for what an AnnData holds.
    columns
        Numbers of the columns to take, in this order; default all.
    factors
        For counts, n numbers: what each cell's counts are multiplied with before log1p is taken.
        Without them values are given as they are.

    Raises
    ------
    InputError
        If it is no matrix, or one that lies by genes (CSC).
    """

    def __init__(
        self,
        element: Any,
        columns: Sequence[int] | np.ndarray | None = None,
        factors: np.ndarray | None = None,
    ):
        self.path, self.key, self.factors = *_place(element), factors
        self._element = element
        self._stamp = self._stamp_now()
        kind = element.attrs.get("encoding-type")
        if kind == "csc_matrix":
            raise InputError(
                f"{self.path}: {self.key} is stored by genes (CSC), so that no cell can be read without reading all. "
                "Expected it stored by cells: write it again with adata.X = adata.X.tocsr()."
            )
        if kind == "csr_matrix":
            self._values, self._columns = element["data"], element["indices"]
            # 8 bytes a cell
            self._start = element["indptr"][:]
            shape = tuple(int(n) for n in element.attrs["shape"])
        elif kind in ("array", None) and len(getattr(element, "shape", ())) == 2:
            self._values, self._columns, shape = element, None, element.shape
        else:
            raise InputError(
                f"{self.path}: {self.key} is stored as {kind!r}. Expected a CSR or dense matrix."
            )
        self._stored_shape = shape
        # of the store, None for all
        self.columns: np.ndarray | None = None
        self.rows: np.ndarray | None = None
        if columns is not None:
            self._choose_columns(np.asarray(columns, np.int64))
        self.dtype = np.dtype(np.float32)
        self.ndim = 2

    def _choose_columns(self, columns: np.ndarray) -> None:
        self.columns = columns
        # stored column -> column here
        self._place = np.full(self._stored_shape[1], -1, np.int32)
        self._place[columns] = np.arange(len(columns), dtype=np.int32)

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of cells and genes."""
        n, n_genes = self._stored_shape
        return (
            n if self.rows is None else len(self.rows),
            n_genes if self.columns is None else len(self.columns),
        )

    @property
    def nnz(self) -> int | None:
        """About how many values are not zero, judged by the first cells; ``None`` where zeros are stored."""
        if self._columns is None:
            return None
        if self.columns is None:
            sizes = np.diff(self._start)
            return int((sizes if self.rows is None else sizes[self.rows]).sum())
        n = min(len(self), ROWS)
        return self.read(0, n).nnz * len(self) // max(n, 1)

    @classmethod
    def open(cls, path: str | Path, key: str = "X", *args: Any, **kwargs: Any) -> DiskMatrix:
        """The matrix in an ``.h5ad`` file or ``.zarr`` store.

        Parameters
        ----------
        path
            The file, as AnnData writes it.
        key
            Where the matrix is: ``"X"``, ``"layers/counts"``, ``"raw/X"``.
        *args, **kwargs
            ``columns`` and ``factors``.

        Raises
        ------
        InputError
            If there is no such file or matrix.
        StoreError
            If the file cannot be read.
        """
        return cls(_open(Path(path), key), *args, **kwargs)

    def take_columns(self, columns: Sequence[int] | np.ndarray) -> DiskMatrix:
        """The same cells, of which only some columns are taken, in this order."""
        columns, part = np.asarray(columns, np.int64), copy.copy(self)
        part._choose_columns(columns if self.columns is None else self.columns[columns])
        return part

    def take_rows(self, rows: np.ndarray) -> DiskMatrix:
        """Some of the cells, in this order, by number or mask; they stay on disk."""
        rows, part = self._numbers(rows), copy.copy(self)
        part.rows = rows if self.rows is None else self.rows[rows]
        return part

    def normalized(self, factors: np.ndarray) -> DiskMatrix:
        """Counts of all cells of the store, multiplied with ``factors`` (n) before log1p is taken."""
        part = copy.copy(self)
        part.factors = factors
        return part

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, at: slice | np.ndarray | tuple) -> Any:
        if isinstance(at, tuple):
            rows, columns = at
            part = self.take_columns(columns)
            return part if isinstance(rows, slice) and rows == slice(None) else part[rows]
        if isinstance(at, slice):
            start, stop, step = at.indices(len(self))
            if step == 1:
                return self.read(start, max(start, stop))
            at = np.arange(start, stop, step)
        rows = self._numbers(at)
        return self._gather(rows if self.rows is None else self.rows[rows])

    def _numbers(self, rows: np.ndarray) -> np.ndarray:
        """Row numbers of a mask, or of numbers that may count from the end."""
        rows = np.asarray(rows)
        if rows.dtype == bool:
            return np.flatnonzero(rows)
        return np.where(rows < 0, rows + len(self), rows).astype(np.int64)

    def _gather(self, rows: np.ndarray) -> sparse.csr_matrix:
        """Rows of the store, in any order."""
        if not len(rows):
            return sparse.csr_matrix((0, self.shape[1]), dtype=np.float32)
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        parts = [
            self._stored(int(run[0]), int(run[-1]) + 1)[run - run[0]] for run in _runs(ascending)
        ]
        back = np.empty(len(rows), np.int64)
        back[order] = np.arange(len(rows))
        return sparse.vstack(parts, format="csr")[back]

    def read(self, start: int, stop: int) -> sparse.csr_matrix:
        """Rows ``start`` to ``stop`` (not included)."""
        if self.rows is not None:
            return self._gather(self.rows[start:stop])
        return self._stored(start, stop)

    def _stored(self, start: int, stop: int) -> sparse.csr_matrix:
        """Rows of the store; columns that were left out are in memory of `ROWS` rows at most."""
        if self.columns is not None and stop - start > ROWS:
            starts = range(start, stop, ROWS)
            parts = [self._stored(a, min(a + ROWS, stop)) for a in starts]
            return sparse.vstack(parts, format="csr")
        try:
            rows = self._read(start, stop)
        except (OSError, KeyError, ValueError, RuntimeError, IndexError, TypeError) as error:
            raise StoreError(
                f"{self.path}: cells {start:,} to {stop - 1:,} (counting from 0) of {self.key} could not be read "
                f"({error}). Expected a complete file that is not written to meanwhile. Copy it again."
            ) from error
        if self.factors is not None:
            rows.data *= np.repeat(
                self.factors[start:stop].astype(np.float32), np.diff(rows.indptr)
            )
            np.log1p(rows.data, out=rows.data)
        return rows

    def _read(self, start: int, stop: int) -> sparse.csr_matrix:
        if self._columns is None:
            dense = np.asarray(self._values[start:stop], np.float32)
            return sparse.csr_matrix(dense if self.columns is None else dense[:, self.columns])
        first, last = int(self._start[start]), int(self._start[stop])
        values = np.asarray(self._values[first:last], np.float32)
        columns = np.asarray(self._columns[first:last])
        if len(values) != last - first or len(columns) != last - first:
            raise OSError(f"{last - first} values expected, {len(values)} found")
        ends = (self._start[start : stop + 1] - first).astype(np.int64)
        if self.columns is not None:
            columns = self._place[columns]
            wanted = columns >= 0
            ends = np.concatenate([[0], np.cumsum(wanted)])[ends]
            values, columns = values[wanted], columns[wanted]
        return sparse.csr_matrix((values, columns, ends), shape=(stop - start, self.shape[1]))

    def blocks(self, n_rows: int | None = None) -> Iterator[tuple[slice, sparse.csr_matrix]]:
        """The whole matrix, so many rows at a time, and which they are."""
        n_rows = ROWS if n_rows is None else n_rows
        for start in range(0, len(self), n_rows):
            part = slice(start, min(start + n_rows, len(self)))
            yield part, self.read(part.start, part.stop)

    def check_unchanged(self) -> None:
        """Refuse a file that was written to since it was opened."""
        if self._stamp_now() != self._stamp:
            raise StoreError(
                f"{self.path} has changed since it was opened. Expected a file that stays as it is. Start again."
            )

    def _stamp_now(self) -> tuple[int, ...]:
        files = [self.path]
        if self.path.is_dir():
            parts = self.key.split("/")
            folders = [self.path.joinpath(*parts[:i]) for i in range(len(parts) + 1)]
            files = [f / n for f in folders for n in ("zarr.json", ".zattrs", ".zgroup")]
        try:
            found = [f.stat() for f in files if f.exists()]
        except OSError as error:
            raise StoreError(f"{self.path} could not be read ({error}).") from error
        return tuple(n for s in found for n in (s.st_mtime_ns, s.st_size))


def open_root(path: Path) -> Any:
    """An ``.h5ad`` file or ``.zarr`` store, open for reading.

    Raises
    ------
    InputError
        If there is no such file.
    StoreError
        If it cannot be read.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist. Expected an .h5ad file or a .zarr store.")
    try:
        if path.is_dir():
            return require_extra("zarr", "atlas").open_group(str(path), mode="r")
        import h5py

        return h5py.File(path, "r")
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(
            f"{path} could not be read ({error}). Expected an .h5ad file or a .zarr store, as AnnData writes it."
        ) from error


def _open(path: Path, key: str) -> Any:
    """The group or array with the matrix."""
    element = open_root(path)
    for part in key.split("/"):
        if part not in element:
            raise InputError(f"{path} has no {key}. It has: {', '.join(sorted(element.keys()))}.")
        try:
            element = element[part]
        except (OSError, ValueError, KeyError) as error:
            raise StoreError(
                f"{path}: {key} could not be read ({error}). Expected a complete file. Copy it again."
            ) from error
    return element


def _place(element: Any) -> tuple[Path, str]:
    """File and name of what h5py or zarr have opened."""
    if hasattr(element, "file"):
        return Path(element.file.filename), element.name.strip("/")
    root = getattr(element.store, "root", None) or getattr(element.store, "path", "zarr store")
    return Path(str(root)), element.path


def on_disk(x: Any) -> DiskMatrix | None:
    """The matrix of an AnnData that was opened and not read, else ``None``, and if it lies by genes (CSC).

    That is ``X`` of ``anndata.read_h5ad(path, backed="r")``, or what
    ``anndata.io.sparse_dataset`` makes of a group.
    """
    element = getattr(x, "group", x)
    if type(element).__module__.split(".")[0] not in ("h5py", "zarr"):
        return x if isinstance(x, DiskMatrix) else None
    by_genes = element.attrs.get("encoding-type") == "csc_matrix"
    return None if by_genes or not _is_numeric(element) else DiskMatrix(element)


def _is_numeric(element: Any) -> bool:
    values = element["data"] if hasattr(element, "keys") else element
    return values.dtype.kind in "biuf"


def _runs(rows: np.ndarray) -> list[np.ndarray]:
    """Ascending row numbers, cut where many rows lie between two of them."""
    return np.split(rows, np.flatnonzero(np.diff(rows) > GAP) + 1)
