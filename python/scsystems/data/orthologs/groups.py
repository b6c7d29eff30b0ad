"""Groups of orthologs: all genes that pairs connect, in-paralogs and all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from ...errors import InputError
from .report import Groups
from .tables import Orthologs

# groups of more genes are families of receptors and the like, whose sums mean nothing
LARGEST_GROUP = 10
# of tables that count the resources behind a pair: fewer are chance
FEWEST_RESOURCES = 3


def group(table: Orthologs, largest: int = LARGEST_GROUP) -> tuple[pd.DataFrame, Orthologs]:
    """The groups of genes that the pairs of a table connect.

    Human *INS* and the mouse's *Ins1* and *Ins2* are one group. Where groups have too many genes,
    only their well supported pairs (of Ensembl those of high confidence) connect; what has too
    many genes still, and what has several and no well supported pair at all, is left out. Of
    tables that count resources, pairs with fewer than three are no pairs.

    Parameters
    ----------
    table
        Pairs, from :func:`scsystems.data.orthologs.read`.
    largest
        The most genes of a group, all species together.

    Returns
    -------
    A row per gene (``group``, a number; ``species``; ``gene``), and the table with a report.

    Raises
    ------
    InputError
        If no group is left.
    """
    names, pairs = list(table.species), table.pairs
    good = pd.Series(True, index=pairs.index)
    if "score" in pairs and pairs["score"].notna().any():
        if pairs["score"].max() > 1:
            pairs = pairs[~(pairs["score"] < FEWEST_RESOURCES)]
        else:
            good = ~(pairs["score"] < 1)
    number, size = _connected(pairs, names)
    large = size > largest
    if large.any():
        kept = pairs[~large | good[pairs.index]]
        number, size = _connected(kept, names)
        n_large = number[size > largest].nunique()
        pairs, number = kept[size <= largest], number[size <= largest]
        size = size[size <= largest]
    else:
        n_large = 0
    supported = good[pairs.index].groupby(number.to_numpy()).transform("any")
    low = (size > len(names)) & ~supported
    n_low = number[low].nunique()
    pairs, number, size = pairs[~low], number[~low], size[~low]
    if pairs.empty:
        raise InputError(
            f"orthologs: none of the table's {len(table.pairs)} pairs of {names} is in a group of at most "
            f"{largest} genes with a well supported pair. Are the right columns read?"
        )
    members = pd.concat(
        [pd.DataFrame({"group": number, "species": name, "gene": pairs[name]}) for name in names]
    )
    members = members.dropna().drop_duplicates(ignore_index=True)
    one = size.groupby(number).first() == len(names)
    report = Groups(
        n_one_to_one=int(one.sum()),
        n_several=int((~one).sum()),
        largest=largest,
        n_large=n_large,
        n_low_score=n_low,
    )
    return members, replace(table, report=replace(table.report, groups=report))


def _connected(pairs: pd.DataFrame, names: Sequence[str]) -> tuple[pd.Series, pd.Series]:
    """Of every row the number of its group, and how many genes that has."""
    codes, n_genes = [], 0
    for name in names:
        code, genes = pd.factorize(pairs[name])
        codes.append(np.where(code < 0, -1, code + n_genes))
        n_genes += len(genes)
    first = codes[0]
    for code in codes[1:]:
        first = np.where(first < 0, code, first)
    rows, columns = [], []
    for code in codes:
        there = code >= 0
        rows.append(first[there])
        columns.append(code[there])
    rows, columns = np.concatenate(rows), np.concatenate(columns)
    graph = sparse.coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(n_genes, n_genes))
    _, label = connected_components(graph, directed=False)
    number = label[first]
    return (
        pd.Series(number, index=pairs.index),
        pd.Series(np.bincount(label)[number], index=pairs.index),
    )
