"""Seurat and SingleCellExperiment objects in ``.rds`` files, read and written by R itself.

R runs inside the Python process (rpy2, extra ``r``); the object never leaves it, so that what
is written back differs from what was read by what was added alone.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from ..errors import InputError, MissingExtraError, WriteError
from .rds_scan import check_rds

logger = logging.getLogger(__name__)

# the embedding's name by the habits of each kind
DEFAULT_NAMES = {"Seurat": "sysvi", "SingleCellExperiment": "SYSVI"}


class RdsFile:
    """A single-cell object that an ``.rds`` file holds.

    Parameters
    ----------
    path
        The file.
    assay
        Assay of a Seurat object, alternative experiment of a SingleCellExperiment; default the
        object's own.
    layer
        ``"counts"`` or ``"data"`` of a Seurat assay, the assay's name of a
        SingleCellExperiment; default counts where there are any, else log-normalized values.
    counts_first
        ``False``: by default log-normalized values where there are any, else counts.

    Attributes
    ----------
    kind
        ``"Seurat"`` or ``"SingleCellExperiment"``.
    adata
        Its cells: expression, cell data and embeddings (under their R names).
    """

    def __init__(
        self,
        path: str | Path,
        assay: str | None = None,
        layer: str | None = None,
        counts_first: bool = True,
    ):
        self._r = _R()
        self._assay = assay
        check_rds(path)
        self._object = self._r.call("read", str(path), what=f"{path} could not be read")
        self.kind = str(self._r.call("kind", self._object)[0])
        self.adata = self._convert(path, layer, counts_first)

    @property
    def default_name(self) -> str:
        """What an embedding is called in this kind of object."""
        return DEFAULT_NAMES[self.kind]

    def add_embedding(self, name: str, values: np.ndarray) -> None:
        """Add an embedding, n x L: a DimReduc (Seurat) or a reducedDim."""
        r = self._r.rinterface
        flat = r.FloatSexpVector(np.asarray(values, dtype=np.float64).ravel(order="F"))
        flat.do_slot_assign("dim", r.IntSexpVector(values.shape))
        assay = r.NULL if self._assay is None else self._assay
        if self.kind == "SingleCellExperiment":
            assay = r.NULL
        self._object = self._r.call("add_embedding", self._object, flat, name, assay)
        self.adata.obsm[name] = np.asarray(values)

    def add_column(self, name: str, values: np.ndarray) -> None:
        """Add a column of cell data, or replace it: numbers, yes and no, or text, which becomes a factor."""
        r = self._r.rinterface
        text = values.dtype == object
        if text:
            sent = r.StrSexpVector(list(values))
        elif values.dtype == bool:
            sent = r.BoolSexpVector(values.tolist())
        else:
            sent = r.FloatSexpVector(values)
        self._object = self._r.call("add_column", self._object, sent, name)
        self.adata.obs[name] = pd.Categorical(values) if text else values

    def write(self, path: str | Path) -> None:
        """Write the object into an ``.rds`` file."""
        try:
            self._r.call("write", self._object, str(path), what=f"{path} could not be written")
        except InputError as error:
            raise WriteError(str(error)) from error

    def _convert(self, path: str | Path, layer: str | None, counts_first: bool) -> AnnData:
        null = self._r.rinterface.NULL
        assay = null if self._assay is None else self._assay
        order = self._r.rinterface.BoolSexpVector([counts_first])
        layer = null if layer is None else layer
        found = _named(self._r.call("matrix_of", self._object, assay, layer, order, what=str(path)))
        matrix = found["matrix"]
        genes, cells = list(found["genes"]), list(found["cells"])
        # the columns of genes x cells are the rows of cells x genes: no transposition
        x = sparse.csr_matrix(
            (
                np.asarray(matrix.do_slot("x").memoryview()).astype(np.float32),
                np.array(matrix.do_slot("i").memoryview()),
                np.array(matrix.do_slot("p").memoryview()),
            ),
            shape=(len(cells), len(genes)),
        )
        logger.info(
            "Read %s of a %s object: %d cells, %d genes", found["layer"][0], self.kind, *x.shape
        )
        columns = {
            name: _column(_named(values))
            for name, values in _named(self._r.call("cell_data", self._object)).items()
        }
        obs = pd.DataFrame(columns, index=pd.Index(cells, dtype=object))
        obsm = {
            name: np.array(values.memoryview()).reshape(tuple(values.do_slot("dim")), order="F")
            for name, values in _named(self._r.call("embeddings", self._object)).items()
        }
        return AnnData(x, obs=obs, var=pd.DataFrame(index=pd.Index(genes, dtype=object)), obsm=obsm)


class _R:
    """R inside this process, with the functions of ``rds.R``."""

    def __init__(self) -> None:
        try:
            import rpy2.rinterface as rinterface
            from rpy2.rinterface_lib import callbacks
            from rpy2.rinterface_lib.embedded import RRuntimeError

            rinterface.initr()
        except Exception as error:
            # rpy2 raises errors of many kinds where R is missing or too old for it
            raise MissingExtraError(
                f"Files of R (.rds) need R and the Python package rpy2, which could not be started ({error}). "
                "Install R and: pip install 'scsystems[r]'. For R older than 4.3: pip install rpy2==3.6.4 "
                "rpy2-rinterface==3.6.3 rpy2-robjects==3.6.3."
            ) from error
        self.rinterface = rinterface
        self._error = RRuntimeError
        self._said: list[str] = []
        for write in ("consolewrite_warnerror", "consolewrite_print"):
            setattr(callbacks, write, self._said.append)
        code = (Path(__file__).parent / "rds.R").read_text()
        self._functions = _named(rinterface.evalr(code))

    def call(self, function: str, *arguments: Any, what: str | None = None) -> Any:
        """Call one of the functions; what R says is logged, its errors become `InputError`."""
        self._said.clear()
        try:
            result = self._functions[function](*map(self._value, arguments))
        except self._error as error:
            reason = str(error).strip().removeprefix("Error : ").removeprefix("Error:")
            reason = reason.split(" : \n")[-1].strip()
            raise InputError(f"{what or 'R'}: {reason}") from error
        said = "".join(self._said).strip()
        if said:
            logger.debug("R: %s", said)
        return result

    def _value(self, value: Any) -> Any:
        return self.rinterface.StrSexpVector([value]) if isinstance(value, str) else value


def _named(vector) -> dict[str, Any]:
    """A named R list."""
    names = vector.names
    # R's NULL, which an empty list has for names, has no elements
    return dict(zip(list(names), list(vector), strict=True)) if len(vector) else {}


def _column(column: dict[str, Any]):
    """A column of cell data; NA stays missing."""
    kind = column["type"][0]
    values = np.array(column["values"].memoryview())
    if kind == "number":
        return values
    missing = values == np.iinfo(np.int32).min
    if kind == "logical":
        if not missing.any():
            return values.astype(bool)
        return pd.arrays.BooleanArray(values.astype(bool), missing)
    levels = list(column["levels"]) if len(column["levels"]) else []
    coded = pd.Categorical.from_codes(np.where(missing, -1, values - 1), levels)
    return coded
