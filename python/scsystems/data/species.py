"""One species as scSpecies sees it: counts in its own gene space, batches, labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from .. import checks, words
from ..checks import head
from ..errors import InputError
from .disk import DiskMatrix
from .levels import coded, codes_among, unique_names
from .matrix import readable
from .resident import CellArrays
from .scale.judge import groups_of
from .scale.refuse import check_counts

ONE_BATCH = "all"


@dataclass(frozen=True)
class Species:
    """What a model must know of a species' data; found once, applied to later data of it.

    Parameters
    ----------
    name
        The user's name for it.
    genes
        Gene names in the model's order: those with a homologue first.
    n_homologous
        How many these are.
    batches
        Levels of ``batch_key``; a single one without it.
    layer, batch_key, label_key
        Where counts, batches and labels are; labels are optional for targets.
    labels
        Levels of ``label_key``.
    """

    name: str
    genes: tuple[str, ...]
    n_homologous: int
    batches: tuple[str, ...]
    layer: str | None = None
    batch_key: str | None = None
    label_key: str | None = None
    labels: tuple[str, ...] = ()

    @staticmethod
    def from_anndata(
        name: str,
        adata: AnnData,
        homologous: Sequence[str],
        layer: str | None = None,
        batch_key: str | None = None,
        label_key: str | None = None,
        label_term: str = "context labels",
        genes: Sequence[str] | None = None,
    ) -> Species:
        """Check ``adata`` and record what a model must know of it.

        ``label_term`` is the argument that holds ``label_key``, a term of `scsystems.words.TERMS`;
        ``genes`` are those to use, by default all.
        """
        every = check_names(name, adata)
        genes = every if genes is None else genes
        check_expression(name, adata, layer, batch_key)
        if adata.n_obs < 2:
            raise InputError(
                f"{name} has {adata.n_obs} cells. Expected at least 2; some hundreds are needed to learn."
            )
        shared = set(homologous)
        others = [gene for gene in genes if gene not in shared]
        return Species(
            name=name,
            genes=(*homologous, *others),
            n_homologous=len(homologous),
            batches=(ONE_BATCH,)
            if batch_key is None
            else _levels(name, adata, batch_key, "species batch"),
            layer=layer,
            batch_key=batch_key,
            label_key=label_key,
            labels=() if label_key is None else _levels(name, adata, label_key, label_term),
        )

    def arrays(self, adata: AnnData, checked: bool = False) -> CellArrays:
        """Counts in the model's gene order and batch codes (n x 1) of the cells of ``adata``.

        ``checked`` says whether it was made sure already that they are counts.
        """
        at = check_names(self.name, adata).get_indexer(list(self.genes))
        if (at < 0).any():
            missing = [gene for gene, i in zip(self.genes, at, strict=True) if i < 0]
            raise InputError(
                f"{self.name}: the data lack {len(missing)} of the model's {len(self.genes)} genes: {head(missing)}. "
                "Expected the genes the model was trained on."
            )
        if not checked:
            check_expression(self.name, adata, self.layer, self.batch_key)
        matrix: Any = readable(adata, self.layer)
        if isinstance(matrix, DiskMatrix):
            matrix = matrix[:, at]
        elif sparse.issparse(matrix):
            matrix = sparse.csr_matrix(matrix)[:, at].astype(np.float32)
        else:
            matrix = np.asarray(matrix)[:, at].astype(np.float32)
        batch = np.zeros(adata.n_obs, np.int64)
        if self.batch_key is not None:
            batch = self._codes(adata, self.batch_key, self.batches, "species batch")
        return CellArrays(matrix, np.zeros(adata.n_obs, np.int64), batch[:, None])

    def label_codes(self, adata: AnnData, term: str = "context labels") -> np.ndarray:
        """Codes of the labels of the cells of ``adata``."""
        if self.label_key is None:
            raise InputError(
                f"{self.name} has no labels. Give {words.word('target labels')} when making the model."
            )
        return self._codes(adata, self.label_key, self.labels, term)

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary for ``model.json``."""
        return asdict(self)

    @staticmethod
    def from_json(raw: dict[str, Any]) -> Species:
        """The reverse of `to_json`."""
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
        return Species(**fields)

    def _codes(self, adata: AnnData, key: str, levels: tuple[str, ...], term: str) -> np.ndarray:
        where = f"{self.name}: {words.column(key)}"
        values = checks.column(adata, key, term, owner=self.name)
        codes, unknown = codes_among(values, levels, where)
        if unknown:
            raise InputError(
                f"{where} ({words.word(term)}) holds levels that the model has not seen: {head(unknown)}. "
                f"Expected some of {head(levels, 10)}."
            )
        return codes


def check_expression(name: str, adata: AnnData, layer: str | None, batch_key: str | None) -> None:
    """Refuse anything but counts, in every batch."""
    batches = groups_of(adata.obs, [] if batch_key is None else [batch_key])
    where = f"{name}: {words.expression(layer)}"
    check_counts(readable(adata, layer), where, batches, adata.obs_names)


def check_names(name: str, adata: AnnData) -> pd.Index:
    """Refuse anything but an AnnData with unique gene and cell names; returns the genes'."""
    checks.anndata(name, adata)
    cell_names(name, adata)
    return unique_names(adata.var_names, f"{name}: gene names", words.word("unique genes"))


def cell_names(name: str, adata: AnnData) -> pd.Index:
    """Names of the cells: text, each once."""
    return unique_names(adata.obs_names, f"{name}: cell names", words.word("unique cells"))


def _levels(name: str, adata: AnnData, key: str, term: str) -> tuple[str, ...]:
    values = checks.column(adata, key, term, owner=name)
    return tuple(coded(values, f"{name}: {words.column(key)}")[1])
