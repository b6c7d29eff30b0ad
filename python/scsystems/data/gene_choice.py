"""From every system's variable genes to those that all systems are integrated with."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np
import pandas as pd

from .. import checks, words
from ..checks import head
from ..errors import InputError
from .checks import check_unique
from .kept_genes import Kept
from .levels import texts

logger = logging.getLogger(__name__)

# variable genes, unless a number is given
N_TOP_GENES = 2000
# with fewer features than this users should know, because integration suffers
FEW_FEATURES = 200

# rounding errors of normalized dispersions are some 1e-6
DIGITS = 4

Merge = Literal["intersection", "joint"]


@dataclass(frozen=True)
class Variable:
    """One system's genes by how much they vary.

    Parameters
    ----------
    chosen
        As many as were asked for, in the order of the data.
    ranked
        All of them, the most variable first.
    """

    chosen: pd.Index
    ranked: pd.Index


def ranking(table: pd.DataFrame) -> np.ndarray:
    """Positions of the rows of scanpy's table, the most variable gene first.

    The order is scanpy's own: with samples the genes variable in most of them, then by dispersion.
    In every bin of expression some genes have exactly the same normalized dispersion; which of them
    is larger must not depend on rounding, so they stay in the order of the data.
    """
    by = ["highly_variable_nbatches", "dispersions_norm"]
    keys = table.reset_index(drop=True)[[key for key in by if key in table]]
    keys = keys.round({"dispersions_norm": DIGITS})
    order = keys.sort_values(list(keys), ascending=False, na_position="last", kind="stable")
    return order.index.to_numpy()


def check_choice(features, hvg_merge: str, keep) -> None:
    """Refuse unknown ways to choose genes, and choosing where nothing is left to choose."""
    check_merge(hvg_merge)
    if features is not None and keep is not None:
        raise InputError("features and keep are both given. Expected one: all features are kept.")


def check_merge(hvg_merge: str) -> Merge:
    """Refuse anything but a known way of putting the systems' genes together."""
    return cast(Merge, checks.choice("hvg_merge", hvg_merge, get_args(Merge)))


def choose_rows(
    labels: pd.Series,
    among: pd.Index,
    features: Sequence[str] | None,
    found: Mapping[str, Variable],
    n_top_genes: int,
    hvg_merge: str,
    wanted: Kept,
) -> tuple[pd.Index, str]:
    """Rows of the result's genes, and what became of the wanted.

    Parameters
    ----------
    labels
        Names by row of the genes that can be used.
    among
        Rows of those that every system expresses, which variable genes are chosen from.
    features, n_top_genes, hvg_merge
        As in :func:`scsystems.pp.prepare`.
    found
        What varies in every system.
    wanted
        The genes to keep in any case.
    """
    names = pd.Index(labels)
    if features is not None:
        return labels.index[names.get_indexer(find_features(features, names))], ""
    chosen = together(among, found, n_top_genes, hvg_merge, wanted.rows)
    return with_kept(labels.index, chosen, wanted.rows), wanted.report(chosen, labels)


def find_features(features: Sequence[str], shared: pd.Index) -> pd.Index:
    """Names of genes, checked to be among those that all systems share."""
    wanted = pd.Index(texts("features", features), dtype=object)
    check_unique(wanted, "features", "Name each gene once.")
    missing = wanted.difference(shared, sort=False)
    if len(missing):
        raise InputError(
            f"features: {len(missing)} of {len(wanted)} are not among the {len(shared)} genes that "
            f"all systems express: {head(missing)}. Genes here are named like {head(shared[:3])}."
        )
    return wanted


def together(
    names: pd.Index,
    found: Mapping[str, Variable],
    n_top_genes: int,
    hvg_merge: str,
    kept: pd.Index,
) -> pd.Index:
    """The genes to integrate with, in the order of ``names``, those that all systems express.

    Parameters
    ----------
    names
        Genes that every system expresses.
    found
        What varies in every system.
    n_top_genes
        How many genes: of each system (``"intersection"``), or of all together (``"joint"``).
    hvg_merge
        ``"intersection"`` or ``"joint"``.
    kept
        Genes that are kept whatever they do, so that there may be no others.
    """
    if hvg_merge == "joint":
        return chosen_jointly(names, {s: v.ranked for s, v in found.items()}, n_top_genes)
    return chosen_by_all(names, {s: v.chosen for s, v in found.items()}, len(kept))


def with_kept(names: pd.Index, chosen: pd.Index, kept: pd.Index) -> pd.Index:
    """The chosen genes and those that are kept anyway, in the order of ``names``."""
    return names[names.isin(chosen) | names.isin(kept)]


def chosen_by_all(names: pd.Index, chosen: Mapping[str, pd.Index], n_kept: int = 0) -> pd.Index:
    """The genes that every system chose, in the order of ``names``."""
    in_all = np.logical_and.reduce([names.isin(genes) for genes in chosen.values()])
    counts = ", ".join(f"{len(genes)} in {system}" for system, genes in chosen.items())
    if not in_all.any() and not n_kept:
        raise InputError(
            f"No gene is highly variable in every system (chosen: {counts}). Raise {words.word('n_top_genes')}, "
            f"or {words.word('given genes')}."
        )
    if in_all.sum() == len(names):
        _warn_if_few(names)
    elif in_all.sum() + n_kept < FEW_FEATURES:
        logger.warning(
            "only %d genes are highly variable in every system (chosen: %s); more %s help, or %s",
            *(in_all.sum(), counts, words.word("n_top_genes")),
            words.written("hvg_merge", "joint"),
        )
    return names[in_all]


def chosen_jointly(names: pd.Index, ranked: Mapping[str, pd.Index], n_top_genes: int) -> pd.Index:
    """The ``n_top_genes`` whose worst rank over the systems is best, in the order of ``names``.

    That is the intersection of the systems' lists, each as long as it takes for so many genes to remain.
    Ranks are among ``names``; of genes of the same worst rank the better mean rank goes first.
    """
    n_top_genes = checks.count("n_top_genes", n_top_genes)
    if n_top_genes >= len(names):
        _warn_if_few(names)
        return names
    if n_top_genes < FEW_FEATURES:
        logger.warning(
            "only %d genes are used; more %s help", n_top_genes, words.word("n_top_genes")
        )
    ranks = np.stack([genes[genes.isin(names)].get_indexer(names) for genes in ranked.values()])
    best = np.lexsort((ranks.mean(0), ranks.max(0)))[:n_top_genes]
    return names[np.sort(best)]


def _warn_if_few(names: pd.Index) -> None:
    """Warn where the systems express too few genes together; then no choice of genes helps."""
    if len(names) < FEW_FEATURES:
        logger.warning(
            "only %d genes are found in enough cells of every system, too few for a good integration. %s",
            len(names),
            words.word("fewer cells"),
        )
