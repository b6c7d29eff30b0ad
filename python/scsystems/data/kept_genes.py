"""Genes that the user wants among the features, such as markers, and what became of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from .. import words
from ..checks import head
from ..errors import InputError
from .levels import texts
from .orthologs.links import Links

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kept:
    """Genes to keep, as rows of the table of corresponding genes, and why others cannot be kept.

    Parameters
    ----------
    rows
        Labels of the rows.
    lost
        The others, each with the reason.
    """

    rows: pd.Index
    lost: Mapping[str, str] = field(default_factory=dict)

    def report(self, chosen: pd.Index, labels: pd.Series) -> str:
        """A line for every gene, called by its label: whether it is in, and why or why not."""
        lines = [
            f"{labels[row]}: in, "
            + ("among the variable genes" if row in chosen else "kept as asked")
            for row in self.rows
        ]
        return "\n".join([*lines, *(f"{gene}: out, {why}" for gene, why in self.lost.items())])


def find_kept(
    keep: Sequence[str] | None, links: Links, genes: Mapping[str, pd.Index], namer: str
) -> Kept:
    """Where the genes to keep are; warns of those that not every system has.

    Parameters
    ----------
    keep
        Gene names of the system ``namer``; None keeps none. A gene of a group stands for the group.
    links
        Which genes of the systems belong together.
    genes
        All gene names of every system.
    namer
        The system whose names the result carries.

    Raises
    ------
    InputError
        If the system ``namer`` does not have one of the genes.
    """
    if keep is None:
        return Kept(links.pairs.index[:0])
    names = texts("keep", keep)
    wanted = pd.Index(links.called(namer, names), dtype=object).unique()
    unknown = wanted[~wanted.isin(genes[namer]) & ~wanted.isin(links.pairs[namer])]
    if len(unknown):
        raise InputError(
            f"{words.word('keep')}: {len(unknown)} of {len(wanted)} are not genes of {namer!r}: {head(unknown)}. "
            f"Expected names like {head(genes[namer][:3])}."
        )
    table = links.pairs[links.pairs[namer].isin(wanted)]
    complete = table.notna().all(axis=1)
    lost = {gene: "it has no one-to-one partner" for gene in wanted.difference(table[namer])}
    for _, row in table[~complete].iterrows():
        lost[row[namer]] = f"{head(list(row.index[row.isna()]))} lacks it"
    if lost:
        logger.warning(
            "%s: %d of %d genes are not among the features: %s",
            *(words.word("keep"), len(lost), len(wanted)),
            "; ".join(f"{gene}: {why}" for gene, why in lost.items()),
        )
    return Kept(table.index[complete], lost)


def with_wanted(
    expressed: Mapping[str, pd.Index], wanted: pd.DataFrame, genes: Mapping[str, pd.Index]
) -> dict[str, pd.Index]:
    """Of every system the genes found in enough cells or wanted in any case, in its own order."""
    if wanted.empty:
        return dict(expressed)
    return {n: own[own.isin(expressed[n]) | own.isin(wanted[n])] for n, own in genes.items()}


def in_all_systems(pairs: pd.DataFrame, genes: Mapping[str, pd.Index]) -> pd.DataFrame:
    """The rows of corresponding genes of which every system has one among these of its own."""
    return pairs[np.logical_and.reduce([pairs[name].isin(own) for name, own in genes.items()])]
