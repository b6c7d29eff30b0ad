"""The genes that all systems share: by their names, by pairs of orthologs, or by groups of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from scipy import sparse

from ... import checks
from ...errors import InputError
from ...words import word, written
from ..levels import level_name
from .bundled import SOURCE, bundled_for
from .groups import group
from .tables import Orthologs, match, one_to_one, read_for, translated

logger = logging.getLogger(__name__)

ORTHOLOGY = ("one2one", "groups")
# fewer shared genes are a mistake, and integration suffers from few; as in ScSpecies
FEWEST_SHARED_GENES, FEW_SHARED_GENES = 50, 250
# between the genes of a group
AND = ";"

# of systems that have the same gene names by what they are
SAME_NAMES = "same names"

Source: TypeAlias = Orthologs | pd.DataFrame | str | Path


@dataclass(frozen=True)
class Links:
    """Which genes of the systems belong together.

    Attributes
    ----------
    pairs
        A row per shared gene, and a column per system with the name that it has there: that of a
        gene of the data, or of several with ``;`` between them. NA where the data have none.
    folds
        System to the matrix (genes of the data x names in ``pairs``, 0 and 1) that sums groups of
        genes; without one where names in ``pairs`` are single genes.
    report
        What was kept and lost on the way, as text; empty where genes were linked by name.
    """

    pairs: pd.DataFrame
    report: str = ""
    folds: Mapping[str, sparse.csr_matrix] = field(default_factory=dict, repr=False)

    @property
    def in_all(self) -> pd.DataFrame:
        """The rows with a gene in every system."""
        return self.pairs.dropna()

    def fold(self, system: str, matrix: sparse.csr_matrix) -> sparse.csr_matrix:
        """A system's counts (cells x its genes), summed over the genes that are one."""
        if system not in self.folds:
            return matrix
        return sparse.csr_matrix(matrix @ self.folds[system].astype(matrix.dtype))

    def called(self, system: str, names: Sequence[str]) -> list[str]:
        """Names in ``pairs`` of what may be called by one of its genes, or as `readable` does."""
        if system not in self.folds:
            return list(names)
        whole: dict[str, str] = {}
        for name in self.pairs[system].dropna():
            whole |= dict.fromkeys([*name.split(AND), readable(name)], name)
        return [whole.get(name, name) for name in names]

    def names_of(self, system: str) -> pd.Index:
        """Names of the columns that `fold` gives of a system with a matrix in ``folds``."""
        return pd.Index(self.pairs[system].dropna().to_numpy(object))


def readable(name: str) -> str:
    """What a shared gene is called: ``INS``, ``Ins1+Ins2``, and of more than three ``KRT81+4``."""
    genes = str(name).split(AND)
    return "+".join(genes) if len(genes) <= 3 else f"{genes[0]}+{len(genes) - 1}"


def link(
    genes: Mapping[str, pd.Index],
    source: Source | Mapping[str, Source] | None = None,
    orthology: str = "one2one",
) -> Links:
    """Which genes of the systems belong together.

    Parameters
    ----------
    genes
        System to its gene names.
    source
        A table of orthologs, or a mapping of every other species to its table with the first one.
        Without it, genes belong together that have the same name; of human and mouse whose names
        differ, those that Ensembl pairs.
    orthology
        ``"one2one"``: pairs whose genes have no other partner. ``"groups"``: all genes that pairs
        connect, which are to be summed, see :func:`scsystems.data.orthologs.groups.group`.

    Raises
    ------
    InputError
        No table is needed, or none does; fewer than 50 genes are shared; and as
        :func:`scsystems.data.orthologs.tables.match`.
    """
    checks.choice("orthology", orthology, ORTHOLOGY)
    if source is SAME_NAMES:
        return _by_name(genes)
    bundled = bundled_for(genes) if source is None else None
    if source is None and bundled is None:
        if orthology != "one2one":
            raise InputError(
                f"{written('orthology', orthology)} is for species with their own gene names. {word('give table')}"
            )
        return _by_name(genes)
    table = _read(bundled or source, genes)
    if bundled is not None:
        table = replace(table, report=replace(table.report, source=SOURCE))
        logger.info(
            "Genes of %s are paired as Ensembl has them, by the table that comes with scsystems",
            " and ".join(genes),
        )
    links = _pairs(table, genes) if orthology == "one2one" else _groups(table, genes)
    _refuse_few(len(links.in_all), links.report)
    return links


def _by_name(genes: Mapping[str, pd.Index]) -> Links:
    names = pd.Index(pd.unique(np.concatenate(list(genes.values()))))
    pairs = pd.DataFrame({n: names.where(names.isin(own)) for n, own in genes.items()})
    return Links(pairs.set_axis(pairs.index.astype(str), axis=0))


def _pairs(table: Orthologs, genes: Mapping[str, pd.Index]) -> Links:
    if table.report.n_one_to_one is None:
        table = one_to_one(table)
    found = match(table, genes, complete=False)
    pairs = found.pairs[list(genes)]
    return Links(pairs.set_axis(pairs.index.astype(str), axis=0), str(found.report))


def _groups(table: Orthologs, genes: Mapping[str, pd.Index]) -> Links:
    if table.report.n_one_to_one is not None:
        raise InputError(
            f"{written('orthology', 'groups')}: the table has been cut to one-to-one pairs. Give it as it was read."
        )
    members, table = group(table)
    kept = replace(table, pairs=_as_pairs(members, table.species))
    kept, translations = translated(kept, genes)
    members["gene"] = [
        translations[name].get(gene)
        for name, gene in zip(members["species"], members["gene"], strict=True)
    ]
    members = members.dropna().sort_values(["group", "gene"], kind="stable")
    names = members.groupby(["group", "species"], sort=True)["gene"].agg(AND.join)
    pairs = names.unstack("species").reindex(columns=list(genes))
    folds = {name: _fold(own, pairs[name].dropna()) for name, own in genes.items()}
    n_in_all = int(pairs.notna().all(axis=1).sum())
    report = str(replace(kept.report, n_in_all=n_in_all))
    pairs = pairs.astype(object).rename_axis(index=None, columns=None)
    return Links(pairs.set_axis(pd.RangeIndex(len(pairs)).astype(str), axis=0), report, folds)


def _as_pairs(members: pd.DataFrame, species: tuple[str, ...]) -> pd.DataFrame:
    """Genes of the groups by species, a column each; their rows mean nothing."""
    return pd.concat(
        [
            pd.Series(members.loc[members["species"] == name, "gene"].to_numpy(object), name=name)
            for name in species
        ],
        axis=1,
    )


def _fold(own: pd.Index, names: pd.Series) -> sparse.csr_matrix:
    genes = names.str.split(AND, regex=False).explode()
    column = pd.Index(names.index).get_indexer(genes.index)
    row = own.get_indexer(pd.Index(genes))
    values = np.ones(len(row), np.float32)
    return sparse.csr_matrix((values, (row, column)), shape=(len(own), len(names)))


def _read(source, genes: Mapping[str, pd.Index]) -> Orthologs:
    if not isinstance(source, Mapping):
        return source if isinstance(source, Orthologs) else read_for(source, genes)
    hub, *others = genes
    tables = {level_name(name): table for name, table in source.items()}
    if set(tables) != set(others):
        raise InputError(
            f"orthologs has tables of {list(tables)}. Expected one of each of {others} with {hub!r}, the first."
        )
    read = {
        name: table
        if isinstance(table, Orthologs)
        else read_for(table, {hub: genes[hub], name: genes[name]})
        for name, table in tables.items()
    }
    return combine(read, hub)


def combine(tables: Mapping[str, Orthologs], hub: str) -> Orthologs:
    """One table of several, each of which pairs a species with the same other one.

    Parameters
    ----------
    tables
        Species to its table with ``hub``.
    hub
        The species of all tables.
    """
    pairs: Any = None
    listed: dict[str, frozenset[str]] = {hub: frozenset()}
    known = []
    for name, table in tables.items():
        if set(table.species) != {hub, name}:
            raise InputError(
                f"orthologs[{name!r}] pairs {table.species}. Expected {hub!r} and {name!r}."
            )
        # what the table calls otherwise is not one-to-one, however few of its genes have names
        own = table.pairs.rename(columns={"type": f"type {name}", "score": f"score {name}"})
        pairs = own if pairs is None else pairs.merge(own, on=hub, how="outer")
        listed[hub] |= frozenset(table.genes_of(hub))
        listed[name] = frozenset(table.genes_of(name))
        known.append(table.report)
    names = [hub, *tables]
    types = pairs[[c for c in pairs if str(c).startswith("type ")]]
    if len(types.columns):
        plain = types.isna() | (types == "one2one")
        pairs["type"] = np.where(plain.all(axis=1), "one2one", "many2many")
    scores = pairs[[c for c in pairs if str(c).startswith("score ")]]
    if len(scores.columns):
        pairs["score"] = scores.min(axis=1)
    pairs = pairs[[c for c in (*names, "type", "score") if c in pairs]]
    report = replace(
        known[0],
        layout=", ".join(dict.fromkeys(r.layout for r in known)),
        n_rows=sum(r.n_rows for r in known),
        n_incomplete=sum(r.n_incomplete for r in known),
        n_low_score=sum(r.n_low_score for r in known),
        n_repeated=sum(r.n_repeated for r in known),
        n_pairs=sum(r.n_pairs for r in known),
        kinds={name: kind for r in reversed(known) for name, kind in r.kinds.items()},
        n_other_kind={name: n for r in reversed(known) for name, n in r.n_other_kind.items()},
    )
    return Orthologs(pairs.reset_index(drop=True), tuple(names), report, listed)


def _refuse_few(n: int, report: str) -> None:
    if n >= FEW_SHARED_GENES:
        return
    message = f"orthologs: the species share {n} genes"
    if n < FEWEST_SHARED_GENES:
        raise InputError(
            f"{message}. Expected at least {FEWEST_SHARED_GENES}; some thousands are usual. What was lost where:\n"
            f"{report}"
        )
    logger.warning(
        "%s, which is few: integration suffers from fewer than %d", message, FEW_SHARED_GENES
    )
