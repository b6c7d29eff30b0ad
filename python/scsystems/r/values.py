"""Values on their way between R and Python, column by column and slot by slot.

Nothing here relies on automatic conversion, which loses missing values, factor levels and
whole matrices. A column travels as a dictionary of parts:

=========== ================================== ============================ =================
kind        ``values``                         further parts                becomes
=========== ================================== ============================ =================
factor      int32 codes, -1 where missing      ``levels``, ``ordered``      Categorical
character   int32 codes, -1 where missing      ``levels``                   object of str
logical     int32 0, 1, -1 where missing                                    bool or boolean
integer     int32, smallest where missing                                   int32 or Int32
double      float64                                                         float64
=========== ================================== ============================ =================

A matrix of genes x cells in R, stored by columns, is in memory the matrix of cells x genes
stored by rows: nothing is transposed in either direction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from scsystems.errors import InputError

# R's NA_integer_
INTEGER_NA = np.iinfo(np.int32).min

# the most entries R's sparse matrices can have
MAX_ENTRIES = np.iinfo(np.int32).max


def column_from_parts(parts: Mapping[str, Any]) -> Any:
    """Build the values of one column of a data frame from the parts R sent."""
    kind = parts["kind"]
    values = np.array(parts["values"])  # our own copy: R's memory is not ours to keep
    if kind == "factor":
        return pd.Categorical.from_codes(
            values,
            categories=pd.Index(list(parts["levels"]), dtype=object),
            ordered=parts["ordered"],
        )
    if kind == "character":
        levels = np.array([*parts["levels"], None], dtype=object)
        return levels[values]  # code -1 picks the last, None
    if kind == "logical":
        missing = values < 0
        if missing.any():
            return pd.arrays.BooleanArray(values > 0, missing)
        return values > 0
    if kind == "integer":
        missing = values == INTEGER_NA
        if missing.any():
            return pd.arrays.IntegerArray(np.where(missing, 0, values).astype(np.int32), missing)
        return values
    if kind == "double":
        return values
    raise InputError(f"a column of kind {kind!r} cannot come from R")


def column_to_parts(column: pd.Series) -> dict[str, Any]:
    """Take one column of a data frame apart for R; the inverse of :func:`column_from_parts`."""
    column = pd.Series(column)
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return {
            "kind": "factor",
            "values": column.cat.codes.to_numpy(np.int32),
            "levels": [str(level) for level in dtype.categories],
            "ordered": bool(dtype.ordered),
        }
    missing = column.isna().to_numpy()
    if pd.api.types.is_bool_dtype(dtype):
        values = column.fillna(False).to_numpy(dtype=bool).astype(np.int32)
        return {"kind": "logical", "values": np.where(missing, -1, values).astype(np.int32)}
    if pd.api.types.is_integer_dtype(dtype):
        values = column.fillna(0).to_numpy(dtype=np.int64)
        if np.abs(values).max(initial=0) <= np.iinfo(np.int32).max:
            return {
                "kind": "integer",
                "values": np.where(missing, INTEGER_NA, values).astype(np.int32),
            }
        return {"kind": "double", "values": np.where(missing, np.nan, values)}
    if pd.api.types.is_float_dtype(dtype):
        return {"kind": "double", "values": column.to_numpy(dtype=np.float64, na_value=np.nan)}
    codes, levels = pd.factorize(column.astype(object), use_na_sentinel=True)
    return {
        "kind": "character",
        "values": codes.astype(np.int32),
        "levels": [str(level) for level in levels],
    }


def matrix_from_parts(parts: Mapping[str, Any], dtype: str = "float32") -> Any:
    """Build the matrix of cells x genes from the slots of R's matrix of genes x cells.

    Parameters
    ----------
    parts
        Either ``data``, ``indices``, ``indptr`` and ``shape`` (genes, cells), the slots of a
        ``dgCMatrix``; or ``dense``, the matrix as R stores it.
    dtype
        Type of the values.

    Returns
    -------
    ``scipy.sparse.csr_matrix`` or C-ordered array, cells x genes.
    """
    if "dense" in parts:
        dense = np.asarray(parts["dense"]).T
        cast = np.array(dense, dtype=dtype, order="C")
        if dense.dtype == np.int32:
            cast[dense == INTEGER_NA] = np.nan
        return cast
    n_genes, n_cells = (int(n) for n in parts["shape"])
    data = np.array(parts["data"], dtype=dtype)
    return sparse.csr_matrix(
        (data, np.asarray(parts["indices"]), np.asarray(parts["indptr"])),
        shape=(n_cells, n_genes),
        copy=False,
    )


def matrix_to_parts(matrix: Any) -> dict[str, Any]:
    """Take a matrix of cells x genes apart into the slots of R's matrix of genes x cells."""
    if not sparse.issparse(matrix):
        return {"dense": np.ascontiguousarray(matrix, dtype=np.float64).T}
    matrix = sparse.csr_matrix(matrix)
    matrix.sum_duplicates()
    matrix.sort_indices()
    if matrix.nnz > MAX_ENTRIES:
        raise InputError(
            f"the matrix has {matrix.nnz:,} entries that are not zero and R's sparse matrices "
            f"hold {MAX_ENTRIES:,}: ask for fewer cells or genes at a time"
        )
    return {
        "data": matrix.data.astype(np.float64),
        "indices": matrix.indices.astype(np.int32),
        "indptr": matrix.indptr.astype(np.int32),
        "shape": [int(matrix.shape[1]), int(matrix.shape[0])],
    }


def frame_from_parts(columns: Mapping[str, Mapping[str, Any]], names: list[str]) -> pd.DataFrame:
    """Build a data frame whose index is ``names`` from the parts of its columns."""
    index = pd.Index(names, dtype=object)
    return pd.DataFrame(
        {name: pd.Series(column_from_parts(parts), index=index) for name, parts in columns.items()},
        index=index,
    )


def frame_to_parts(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Take a data frame apart into the parts of its columns."""
    return {str(name): column_to_parts(frame[name]) for name in frame.columns}


def plain(value: Any) -> Any:
    """What R sent as JSON can hold it: no NaN, no numpy."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and np.isnan(value) else value
