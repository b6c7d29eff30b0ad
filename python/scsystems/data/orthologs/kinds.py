"""Symbols or identifiers: which names of a table's genes the data have, species by species."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from ...errors import InputError
from .layouts import Layout
from .names import unversioned

# kinds of gene names that tables have, and what reports call them
KINDS = ("symbol", "id")
WORDS = {"symbol": "symbols", "id": "identifiers"}

# names that are Ensembl's identifiers, of any species
ENSEMBL = r"^ENS[A-Z]*G\d"


@dataclass(frozen=True)
class Taken:
    """A table with the names that the data have.

    Attributes
    ----------
    layout
        The table.
    kinds
        Species to ``"symbol"`` or ``"id"``, the kind that most of its genes have.
    n_other
        Species to the number of the table's genes that the data have by the other kind.
    """

    layout: Layout
    kinds: Mapping[str, str]
    n_other: Mapping[str, int] = field(default_factory=dict)


def take(found: Mapping[str, Layout], genes: Mapping[str, Iterable[str]]) -> Taken:
    """Of a table, read by symbols and by identifiers, the names that the data have.

    Parameters
    ----------
    found
        Kind to the table with names of that kind.
    genes
        Species to the gene names of its data.

    Raises
    ------
    InputError
        If the data of one species have the genes of another, and the reverse.
    """
    have = {name: {loose(str(gene)) for gene in names} for name, names in genes.items()}
    known = {
        kind: {
            name: layout.frame[name].map(lambda g: g if pd.isna(g) else loose(str(g))).isin(names)
            for name, names in have.items()
        }
        for kind, layout in found.items()
    }

    def n_known(kind: str, name: str) -> int:
        return found[kind].frame.loc[known[kind][name], name].nunique()

    _refuse_swapped(found, genes)
    best = max(found, key=lambda kind: sum(n_known(kind, name) for name in genes))
    chosen = found[best]
    other = found.get(KINDS[1 - KINDS.index(best)])
    if other is None or other.name != chosen.name or len(other.frame) != len(chosen.frame):
        return Taken(chosen, dict.fromkeys(genes, best))
    # rows correspond, so that each species may have its own kind, and a gene the other one
    frame, kinds, n_other = chosen.frame.copy(), {}, {}
    for name in genes:
        numbers = {kind: n_known(kind, name) for kind in found}
        kind = kinds[name] = max(numbers, key=lambda kind: numbers[kind])
        rest = KINDS[1 - KINDS.index(kind)]
        named = found[kind].frame[name]
        only = known[rest][name].to_numpy() & ~known[kind][name].to_numpy()
        frame[name] = named.where(~only, found[rest].frame[name]).to_numpy()
        n_other[name] = frame[name][only].nunique()
    return Taken(Layout(chosen.name, frame, chosen.species), kinds, n_other)


def _refuse_swapped(found: Mapping[str, Layout], genes: Mapping[str, Iterable[str]]) -> None:
    listed = {
        name: {
            unversioned(str(gene))
            for table in found.values()
            for gene in table.frame[name].dropna()
        }
        for name in genes
    }
    refuse_swapped(
        listed, {name: pd.Index([unversioned(str(g)) for g in n]) for name, n in genes.items()}
    )


def refuse_swapped(listed: Mapping[str, Iterable[str]], genes: Mapping[str, pd.Index]) -> None:
    """Refuse data of species whose genes are those of each other.

    Parameters
    ----------
    listed
        Species to the names that the table has.
    genes
        Species to the names that the data have.
    """
    found = pd.DataFrame(
        {
            data: {column: have.isin(names).sum() for column, names in listed.items()}
            for data, have in genes.items()
        }
    )
    best = found.idxmax()
    wrong = [name for name in genes if best[name] != name]
    if len(wrong) > 1 and all(found.loc[best[n], n] > 2 * found.loc[n, n] for n in wrong):
        raise InputError(
            "orthologs: the species look swapped: "
            + "; ".join(f"most genes of the data '{n}' are '{best[n]}' genes" for n in wrong)
            + ". Exchange the data, or the species of the table."
        )


def loose(name: str) -> str:
    """A gene's name without version and case, to tell which kind of names data have."""
    return unversioned(name).lower()


def are_ensembl(names: pd.Index) -> bool:
    """Whether most names are identifiers of Ensembl."""
    return bool(names.str.match(re.compile(ENSEMBL)).mean() > 0.5)
