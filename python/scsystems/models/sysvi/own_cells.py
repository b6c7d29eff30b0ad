"""The cells that a model of SysVI has of its own, and whether they still are what they were."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData

from ... import words
from ...checks import head
from ...data.disk import DiskMatrix
from ...data.fingerprint import fingerprint, row_hashes
from ...data.resident import CellArrays
from ...data.schema import Schema
from ...errors import InputError


@dataclass(frozen=True)
class OwnCells:
    """Cells that a model was made with, or that were attached to it when it was loaded.

    Their expression is not copied, so that it can be changed in place from outside; `arrays`
    notices it. The other columns are copies.

    Parameters
    ----------
    adata
        The user's object.
    cells
        What the model takes of it.
    names
        Names of the cells.
    hashes
        What their expression was, see `scsystems.data.fingerprint.row_hashes`.
    fingerprint
        Tells them, and all that the model takes of them, from others.
    """

    adata: AnnData
    cells: CellArrays
    names: pd.Index
    hashes: np.ndarray
    fingerprint: str

    @staticmethod
    def of(
        adata: AnnData,
        schema: Schema,
        checked: bool = False,
        hashes: np.ndarray | None = None,
    ) -> OwnCells:
        """Take from ``adata`` what ``schema`` says.

        ``checked`` says that its expression was looked at already, and ``hashes`` are its
        `row_hashes`, where they are known.
        """
        cells, names = schema.arrays(adata, checked), adata.obs_names
        hashes = row_hashes(cells.x) if hashes is None else hashes
        known = schema.to_json()
        # follow from the expression, and are rounded
        for key in ("gene_means", "expression_scale"):
            known.pop(key)
        # without labels the fingerprint is that of models from before there were any
        if schema.setup.labels_key is None:
            del known["labels"], known["setup"]["labels_key"], known["setup"]["unlabeled_category"]
        facts = {
            "schema": known,
            "names": list(map(str, names)),
            "expression": hashes,
            "system": cells.system,
            "categorical": [] if cells.categorical is None else cells.categorical,
            "continuous": [] if cells.continuous is None else cells.continuous,
        }
        if cells.label is not None:
            facts["label"] = cells.label
        return OwnCells(adata, cells, names, hashes, fingerprint(facts))

    def unchanged(self, at: np.ndarray | None = None) -> CellArrays:
        """The cells at some positions, or all.

        Raises
        ------
        InputError
            If the names of the cells, or the expression of those asked for, have changed.
        """
        now = self.adata.obs_names
        if not now.equals(self.names):
            raise InputError(
                f"The cells of the model's own data are not those that it was made with: now there are {len(now)} "
                f"({head(now, 2)}), then there were {len(self.names)} ({head(self.names, 2)}). Expected them as they "
                f"were. {words.word('other cells')}, or make the model anew."
            )
        cells = self.cells if at is None else self.cells.take(at)
        if isinstance(self.cells.x, DiskMatrix):
            self.cells.x.check_unchanged()
            return cells
        changed = row_hashes(cells.x) != (self.hashes if at is None else self.hashes[at])
        if changed.any():
            raise InputError(
                f"The expression of the model's own cells was changed in place: {int(changed.sum())} of {len(changed)} "
                "do not have the values that the model was made with. Expected these, for the result would be of "
                f"other data. {words.word('other cells')}, or make the model anew."
            )
        return cells
