"""Which parts of an AnnData a model uses: checked once, saved as JSON, applied to new data."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData, ImplicitModificationWarning
from scipy import sparse

from .. import checks, words
from ..checks import head
from ..durable.typed import typed
from ..errors import InputError, ModelFileError
from .fingerprint import fingerprint, row_hashes
from .kept import keep, recall
from .levels import coded, codes_among, unique_names
from .matrix import readable
from .resident import CellArrays
from .scale.cells import PADDED, compare_scale, own_scale
from .scale.record import UNKNOWN, Scale, noted_target

SETUP_KEY = "_scsystems_setup"

# cells looked at together where a whole matrix would be copied
BLOCK = 8192


@dataclass(frozen=True)
class Setup:
    """The user's choice of layer and obs columns; kept in ``adata.uns`` until a model is made."""

    batch_key: str
    layer: str | None = None
    categorical_covariate_keys: tuple[str, ...] = ()
    continuous_covariate_keys: tuple[str, ...] = ()
    weight_batches: bool = False
    labels_key: str | None = None
    unlabeled_category: str | None = None

    def write(self, adata: AnnData) -> None:
        """Keep the choice in ``adata.uns`` as one JSON string, which survives copies and files."""
        if adata.is_view and adata.isbacked:
            raise InputError(
                "adata is a part of an AnnData on disk, which cannot remember what a model is to use. Read that part "
                "first: adata = adata.to_memory()."
            )
        with warnings.catch_warnings():
            # a view becomes an AnnData of its own, as it does on every change
            warnings.simplefilter("ignore", ImplicitModificationWarning)
            adata.uns[SETUP_KEY] = json.dumps(asdict(self))

    @staticmethod
    def read(adata: AnnData) -> Setup:
        """Read the choice back."""
        checks.anndata("adata", adata)
        if SETUP_KEY not in adata.uns:
            raise InputError(
                "adata has not been set up. Call SysVI.setup_anndata(adata, batch_key=...) before making a model."
            )
        try:
            return typed(Setup, json.loads(adata.uns[SETUP_KEY]), f"adata.uns[{SETUP_KEY!r}]")
        except (ModelFileError, TypeError, ValueError, RecursionError) as error:
            raise InputError(
                f"adata.uns[{SETUP_KEY!r}] is not what SysVI.setup_anndata() wrote ({error}). Call it again."
            ) from error


@dataclass(frozen=True)
class Schema:
    """A `Setup` together with the genes, levels and scales found in the data it was made from.

    Parameters
    ----------
    setup
        Layer and obs columns.
    genes
        Names of the genes, in the model's order.
    systems
        Levels of the system column.
    categories
        Levels of each categorical covariate.
    center, scale
        Mean and standard deviation of each continuous covariate; the network sees
        ``(value - center) / scale``.
    gene_means
        Mean expression of each gene, which stands for a gene that a query lacks; empty if it is
        not known.
    expression_scale
        How the expression was normalized; ``None`` if it is not known whether it was.
    labels
        Labels that cells may have; empty if the model is not told any.
    """

    setup: Setup
    genes: tuple[str, ...]
    systems: tuple[str, ...]
    categories: tuple[tuple[str, ...], ...] = ()
    center: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    gene_means: tuple[float, ...] = ()
    expression_scale: Scale | None = UNKNOWN
    labels: tuple[str, ...] = ()

    @staticmethod
    def from_anndata(adata: AnnData, setup: Setup) -> Schema:
        """Check ``adata`` and record what a model must know of it."""
        return Schema.with_hashes(adata, setup)[0]

    @staticmethod
    def with_hashes(adata: AnnData, setup: Setup) -> tuple[Schema, np.ndarray | None]:
        """`from_anndata`, and the expression's `row_hashes`, if it is in memory.

        What follows from the expression is not measured again where it was measured already.
        """
        genes = gene_names(adata)
        cell_names(adata)
        systems = _levels(adata, setup.batch_key, "system")
        if len(systems) < 2:
            raise InputError(
                f"{words.written('system', setup.batch_key)} has one level only ({head(systems)}). Expected "
                "two or more systems (for example species, or organoid and tissue). Within one system, sample "
                f"differences belong into {words.word('covariates')} of a model with several systems."
            )
        categories = tuple(
            _levels(adata, key, "covariates") for key in setup.categorical_covariate_keys
        )
        values = [_numbers(adata, key) for key in setup.continuous_covariate_keys]
        found = Schema(
            setup=setup,
            genes=tuple(genes),
            systems=systems,
            categories=categories,
            center=tuple(float(v.mean()) for v in values),
            # a constant covariate carries nothing; dividing by one keeps it at zero
            scale=tuple(float(v.std()) or 1.0 for v in values),
            labels=_label_names(adata, setup),
        )
        return found._measured(adata)

    def _measured(self, adata: AnnData) -> tuple[Schema, np.ndarray | None]:
        """The schema with what follows from the expression, which is checked."""
        matrix, layer = readable(adata, self.setup.layer), self.setup.layer
        systems = self._codes(adata, self.setup.batch_key, self.systems, "system")
        hashes, state = None, ""
        if isinstance(matrix, np.ndarray) or sparse.issparse(matrix):
            hashes = row_hashes(matrix)
            state = self._state(adata, hashes)
            if (known := recall(adata, state)) is not None:
                return replace(self, **known), hashes
        scale = own_scale(adata, matrix, layer, self.group_keys, systems)
        found: dict[str, Any] = {"gene_means": gene_means(matrix), "expression_scale": scale}
        if hashes is not None:
            keep(adata, state, found)
        return replace(self, **found), hashes

    def _state(self, adata: AnnData, hashes: np.ndarray) -> str:
        """Tells what `_measured` depends on from anything else."""
        codes = [coded(adata.obs[key], words.column(key))[0] for key in self.group_keys]
        facts = {
            "schema": self.to_json(),
            "expression": hashes,
            "groups": np.stack(codes),
            "noted": noted_target(adata.uns if self.setup.layer is None else None),
        }
        return fingerprint(facts)

    @property
    def group_keys(self) -> tuple[str, ...]:
        """Columns in whose levels expression is judged: the system, and categorical covariates."""
        return (self.setup.batch_key, *self.setup.categorical_covariate_keys)

    def check_expression(self, adata: AnnData, matrix=None) -> None:
        """Refuse other cells that do not hold logarithms, and warn of another scale than the model's.

        Looks at the genes of the model that ``adata`` has, but for padded ones. ``matrix`` is the
        expression of all genes of the model, if it is at hand.
        """
        whole, names = readable(adata, self.setup.layer), gene_names(adata)
        genes = pd.Index(self.genes, dtype=object)
        own = genes.isin(names)
        if PADDED in adata.var:
            own[own] = ~adata.var[PADDED].to_numpy(bool)[names.get_indexer(genes[own])]
        if matrix is None or not own.all():
            matrix = whole if names.equals(genes[own]) else whole[:, names.get_indexer(genes[own])]
        key, systems = self.setup.batch_key, None
        if key in adata.obs:
            systems, _ = codes_among(adata.obs[key], self.systems, words.column(key))
        compare_scale(
            self.expression_scale,
            adata,
            matrix,
            whole if len(names) > len(genes) else matrix,
            self.setup.layer,
            self.group_keys,
            systems,
            complete=bool(own.all()),
        )

    def arrays(self, adata: AnnData, checked: bool = False) -> CellArrays:
        """The cells of ``adata`` as arrays in the model's genes, codes and scales.

        ``checked`` says whether their expression was looked at already.
        """
        genes = self.check_genes(adata)
        matrix = readable(adata, self.setup.layer)
        if tuple(genes) != self.genes:
            matrix = matrix[:, genes.get_indexer(list(self.genes))]
        system = self._codes(adata, self.setup.batch_key, self.systems, "system")
        categorical = [
            self._codes(adata, key, levels, "covariates")
            for key, levels in zip(
                self.setup.categorical_covariate_keys, self.categories, strict=True
            )
        ]
        continuous = [
            (_numbers(adata, key) - c) / s
            for key, c, s in zip(
                self.setup.continuous_covariate_keys, self.center, self.scale, strict=True
            )
        ]
        if not checked:
            self.check_expression(adata, matrix)
        weight = None
        if self.setup.weight_batches:
            # mean weight one, so that the cycle weight keeps its meaning
            counts = np.maximum(np.bincount(system, minlength=len(self.systems)), 1)
            weight = (len(system) / (np.count_nonzero(counts) * counts))[system].astype(np.float32)
        return CellArrays(
            x=matrix,
            system=system,
            categorical=np.stack(categorical, 1) if categorical else None,
            continuous=np.stack(continuous, 1).astype(np.float32) if continuous else None,
            weight=weight,
            label=self._label_codes(adata),
        )

    def check_genes(self, adata: AnnData) -> pd.Index:
        """The names of the genes of ``adata``, among which must be all genes of the model."""
        genes = gene_names(adata)
        missing = pd.Index(self.genes).difference(genes, sort=False)
        if len(missing):
            raise InputError(
                f"{words.word('data')} lacks {len(missing)} of the model's {len(self.genes)} genes: {head(missing)}. "
                "Expected the genes the model was trained on; map new data with "
                f"{words.word('map genes')}."
            )
        return genes

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary for ``model.json``."""
        return asdict(self)

    @staticmethod
    def from_json(raw: dict[str, Any]) -> Schema:
        """The reverse of `to_json`."""
        return typed(Schema, raw, "schema")

    def extended(self, adata: AnnData) -> Schema:
        """The schema for a query: levels of categorical covariates that only ``adata`` has come last.

        Raises
        ------
        InputError
            If ``adata`` lacks genes or columns, holds a system that the model has not seen, or
            anything but log-normalized expression.
        """
        self.check_genes(adata)
        cell_names(adata)
        key = self.setup.batch_key
        values = checks.column(adata, key, "system")
        _, unknown = codes_among(values, self.systems, words.column(key))
        if unknown:
            raise InputError(
                "This model does not allow for query having batch categories missing from the reference. "
                f"{words.column(key)} holds {head(unknown)}. Expected some of {list(self.systems)}: a new system "
                "has to take part in training, where the cycle loss aligns it. Train a new model on all systems "
                f"together, or {words.word('other systems')}."
            )
        categories = []
        for key, known in zip(self.setup.categorical_covariate_keys, self.categories, strict=True):
            codes, names = coded(checks.column(adata, key, "covariates"), words.column(key))
            sizes = dict(zip(names, np.bincount(codes, minlength=len(names)), strict=True))
            new = sorted(set(names) - set(known))
            single = [name for name in new if sizes[name] == 1]
            if single:
                raise InputError(
                    f"{words.column(key)} ({words.word('covariates')}) has new levels with a single cell: "
                    f"{head(single)}. Expected at least two cells per new level; nothing can be learned of one. "
                    "Drop these cells or merge their level."
                )
            categories.append(known + tuple(new))
        self.check_expression(adata)
        return replace(self, categories=tuple(categories))

    def _label_codes(self, adata: AnnData) -> np.ndarray | None:
        """Codes of the labels (-1: none, or one the model does not know); ``None`` without the column."""
        key = self.setup.labels_key
        if key is None or key not in adata.obs:
            return None
        values = checks.column(adata, key, "cell labels", complete=False)
        return codes_among(values, self.labels, words.column(key))[0]

    def _codes(self, adata: AnnData, key: str, levels: tuple[str, ...], term: str) -> np.ndarray:
        where = words.column(key)
        codes, unknown = codes_among(checks.column(adata, key, term), levels, where)
        if unknown:
            raise InputError(
                f"{where} ({words.word(term)}) holds levels that the model has not seen: {head(unknown)}. "
                f"Expected some of {head(levels, 10)}. Map new samples with {words.word('map samples')}."
            )
        return codes


def _label_names(adata: AnnData, setup: Setup) -> tuple[str, ...]:
    """The labels of those cells that have one."""
    key = setup.labels_key
    if key is None:
        return ()
    where, term = words.column(key), words.word("cell labels")
    codes, found = coded(checks.column(adata, key, "cell labels", complete=False), where)
    names = [name for name in found if name != setup.unlabeled_category]
    n_labeled = int(np.isin(codes, [i for i, name in enumerate(found) if name in names]).sum())
    if len(names) < 2:
        raise InputError(
            f"{where} ({term}) holds {'no label' if not names else f'one label only ({names[0]!r})'}. Expected two "
            f"or more labels; cells without one may be missing or {words.written('unlabeled', 'Unknown')}, say."
        )
    if len(names) > n_labeled / 2:
        raise InputError(
            f"{where} ({term}) holds {len(names)} labels of {n_labeled} cells: {head(names)}. Expected labels that "
            "cells share, such as cell types."
        )
    return tuple(names)


def gene_names(adata: AnnData) -> pd.Index:
    """Names of the genes: text, each once."""
    return unique_names(adata.var_names, words.word("gene names"), words.word("unique genes"))


def cell_names(adata: AnnData) -> pd.Index:
    """Names of the cells: text, each once."""
    return unique_names(adata.obs_names, words.word("cell names"), words.word("unique cells"))


def gene_means(matrix) -> tuple[float, ...]:
    """Mean of every column, to the digits of single precision."""
    n, total = matrix.shape[0], np.zeros(matrix.shape[1])
    if sparse.issparse(matrix) and matrix.format == "csc":
        parts = np.split(matrix.data, matrix.indptr[1:-1])
        total += [part.sum(dtype=np.float64) for part in parts]
    else:
        # in blocks: scipy would copy the whole matrix in double precision
        rows = matrix.tocsr() if sparse.issparse(matrix) else matrix
        for start in range(0, n, BLOCK):
            total += np.asarray(rows[start : start + BLOCK].sum(axis=0, dtype=np.float64)).ravel()
    return tuple(float(f"{v:.7g}") for v in (total / max(n, 1)).astype(np.float32))


def _levels(adata: AnnData, key: str, term: str) -> tuple[str, ...]:
    """The levels of a column that occur, in the column's own order; single cells refused."""
    where = words.column(key)
    codes, names = coded(checks.column(adata, key, term), where)
    sizes = np.bincount(codes, minlength=len(names))
    single = [name for name, size in zip(names, sizes, strict=True) if size == 1]
    if single:
        raise InputError(
            f"{where} ({words.word(term)}) has levels with a single cell: {head(single)}. Expected at least "
            "two cells per level; nothing can be learned of one cell. Drop these cells or merge their level."
        )
    return tuple(names)


def _numbers(adata: AnnData, key: str) -> np.ndarray:
    values = checks.column(adata, key, "continuous")
    if not pd.api.types.is_numeric_dtype(values):
        raise InputError(
            f"{words.column(key)} ({words.word('continuous')}) is of type {values.dtype}. Expected numbers; give "
            f"categories in {words.word('covariates')}."
        )
    numbers = values.to_numpy(dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise InputError(
            f"{words.column(key)} ({words.word('continuous')}) holds infinite values. Expected finite numbers."
        )
    return numbers
