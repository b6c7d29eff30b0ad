"""Pair the genes of species: read ortholog tables, keep one-to-one pairs, match them to data.

Three steps, each of which says what it lost and why::

    table = read("human_mouse.tsv", species=("human", "mouse"))   # any known layout
    pairs = one_to_one(table)                                     # unambiguous pairs
    pairs = match(pairs, {"human": human.var_names, "mouse": mouse.var_names})
    print(pairs.report)

Tables may come from Ensembl BioMart, MGI (``HOM_MouseHumanSequence.rpt``), HCOP or
HomoloGene, or have any two columns of gene names.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
from anndata import AnnData

from ...checks import anndata
from ...errors import InputError
from ...words import word
from ..levels import level_names, unique_names
from . import layouts as ortholog_layouts
from .kinds import KINDS, are_ensembl, refuse_swapped, take
from .names import is_missing, translate
from .report import Report

logger = logging.getLogger(__name__)

# fewer matches than this fraction of the smaller side are taken for a mistake, not for biology
FEWEST_MATCHES = 0.05


@dataclass(frozen=True)
class Orthologs:
    """Pairs of genes between two or more species.

    Attributes
    ----------
    pairs
        One row per pair (or tuple, with more than two species): a column of gene names per
        species and, where the table has them, ``type`` and ``score``.
    species
        The names of the gene columns, in order.
    report
        What was kept and lost on the way.
    listed
        Per species, every gene that the table it was read from names, whether it has a pair here
        or not: data whose gene is called like one of them mean that one.
    """

    pairs: pd.DataFrame
    species: tuple[str, ...]
    report: Report
    listed: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)

    def genes_of(self, species: str) -> pd.Index:
        """All genes of a species that are known by name."""
        named = self.listed.get(species, frozenset()) | set(self.pairs[species].dropna())
        return pd.Index(sorted(named), dtype=object)

    def __len__(self) -> int:
        return len(self.pairs)


def read(
    source: str | Path | pd.DataFrame,
    species: Sequence[str] | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    gene: str = "symbol",
    layout: str = "auto",
    min_score: float | None = None,
) -> Orthologs:
    """Read an ortholog table, with all its pairs: one-to-one, one-to-many, many-to-many.

    Parameters
    ----------
    source
        A delimited text file (may be compressed) or a data frame.
    species
        The species to pair, two or more, in the names you use for them. Common, Latin and
        short names and NCBI taxon numbers are understood. Needed for tables with many
        species and for tables that do not name both.
    columns
        Species to column name, for tables in no known layout.
    gene
        ``"symbol"``, or ``"id"`` for Ensembl (BioMart, HCOP) or Entrez (MGI, HomoloGene)
        identifiers.
    layout
        ``"biomart"``, ``"mgi"``, ``"hcop"``, ``"homologene"``, ``"columns"``, or ``"auto"``.
    min_score
        Keep pairs with at least this orthology confidence (BioMart: 0 or 1) or number of
        supporting resources (HCOP: about 1 to 14).

    Raises
    ------
    InputError
        The table has no known layout, lacks a species, has no score to filter by, or has no
        complete pair.
    """
    if gene not in KINDS:
        raise InputError(f"gene={gene!r} must be 'symbol' or 'id'.")
    if species is not None and (isinstance(species, str) or len(set(species)) < 2):
        raise InputError(f"species={species!r} must hold at least two different names.")
    raw = ortholog_layouts.load(source)
    return _tidy(
        ortholog_layouts.recognize(raw, species, columns, gene, layout), len(raw), min_score
    )


def read_for(source: str | Path | pd.DataFrame, genes: Mapping[str, Iterable[str]]) -> Orthologs:
    """Read a table with the kind of gene names, symbols or identifiers, that each species' data have.

    Parameters
    ----------
    source
        As in :func:`read`.
    genes
        Species to the gene names of its data. Of the table's symbols and identifiers those are
        taken, for every species, of which the data have more.

    Raises
    ------
    InputError
        As in :func:`read`.
    """
    raw = ortholog_layouts.load(source)
    found, refused = {}, {}
    for gene in KINDS:
        try:
            found[gene] = ortholog_layouts.recognize(raw, tuple(genes), None, gene, "auto")
        except InputError as error:
            refused[gene] = error
    if not found:
        raise refused[KINDS[0]]
    taken = take(found, {name: pd.Index(names) for name, names in genes.items()})
    read = _tidy(taken.layout, len(raw))
    return replace(
        read, report=replace(read.report, kinds=dict(taken.kinds), n_other_kind=dict(taken.n_other))
    )


def _tidy(found: ortholog_layouts.Layout, n_rows: int, min_score: float | None = None) -> Orthologs:
    """One row per pair of genes, without gaps and repetitions, and a report of what is lost."""
    names = list(found.species)
    pairs = found.frame.copy()
    for name in names:
        text = level_names(pairs[name], f"orthologs: column of {name}")
        genes = pd.Series(text, index=pairs.index, dtype="string").str.strip()
        # one-to-many tables may list the genes of a cell one after another
        pairs[name] = genes.str.split(r"\s*[;|]\s*", regex=True)
        pairs = pairs.explode(name, ignore_index=True)
    for name in names:
        pairs[name] = pairs[name].mask(is_missing(pairs[name]))
    listed = {name: frozenset(pairs[name].dropna()) for name in names}
    complete = pairs.dropna(subset=names)
    scored = complete
    if min_score is not None:
        if "score" not in complete:
            raise InputError(
                f"min_score={min_score}: the table has no column of confidence or support."
            )
        scored = complete[complete["score"] >= min_score]
    if "score" in scored:  # of repeated pairs the best supported stays
        scored = scored.sort_values("score", ascending=False, kind="stable")
    kept = scored.drop_duplicates(names).sort_index().reset_index(drop=True)
    kept[names] = kept[names].astype(object)
    if kept.empty:
        raise InputError(
            f"orthologs: none of the table's {n_rows} rows has a gene in each of {names}"
            f"{'' if min_score is None else f' and a score of at least {min_score}'}."
        )
    report = Report(
        layout=found.name,
        n_rows=n_rows,
        n_incomplete=len(pairs) - len(complete),
        n_low_score=len(complete) - len(scored),
        n_repeated=len(scored) - len(kept),
        n_pairs=len(kept),
    )
    return Orthologs(kept, tuple(names), report, listed)


def one_to_one(
    table: Orthologs | str | Path | pd.DataFrame, species: Sequence[str] | None = None, **options
) -> Orthologs:
    """Keep the pairs whose genes have exactly one partner, in every species.

    A pair that the table itself calls one-to-many or many-to-many goes too, even when only
    one of its partners has a name.

    Parameters
    ----------
    table
        What :func:`read` returned, or a source for it.
    species, options
        Handed to :func:`read` when ``table`` is a source.
    """
    if not isinstance(table, Orthologs):
        table = read(table, species, **options)
    elif species is not None or options:
        raise InputError(f"species and {sorted(options)} belong to read(): the table is read.")
    pairs = table.pairs
    names = list(table.species)
    repeated = {name: pairs[name].duplicated(keep=False) for name in names}
    unique = ~pd.DataFrame(repeated).any(axis=1)
    called = pd.Series(True, index=pairs.index)
    if "type" in pairs and pairs["type"].notna().any():
        called = pairs["type"].isna() | (pairs["type"] == "one2one")
    kept = pairs[unique & called].reset_index(drop=True)
    if kept.empty:
        raise InputError(
            f"orthologs: none of the table's {len(pairs)} pairs of {names} is one-to-one. "
            f"Are the right columns read? With HCOP, ask for more support: {word('table score')}."
        )
    report = replace(
        table.report,
        n_ambiguous={name: int(several.sum()) for name, several in repeated.items()},
        n_other_type=int((unique & ~called).sum()),
        n_one_to_one=len(kept),
    )
    return replace(table, pairs=kept, report=report)


def match(
    table: Orthologs, genes: Mapping[str, Collection[str]], *, complete: bool = True
) -> Orthologs:
    """Keep the pairs whose genes are in the data, under the names they have there.

    Names match as they are; those left over match without regard to the version of Ensembl
    identifiers (``ENSG00000139618.2``) and the dots or dashes that R puts into names, and where
    hardly any gene of a species is found, without regard to case. All this only where it is
    unambiguous on both sides, and never with a gene that the table names as another one: in flies
    tor (torso) and Tor are two genes.

    Parameters
    ----------
    table
        The pairs, one-to-one or not.
    genes
        Species to the gene names of its data, for every species of the table.
    complete
        Whether all genes of a pair have to be in the data. If not, one is enough, and the
        missing ones are NA.

    Raises
    ------
    InputError
        Duplicated gene names, species swapped, or hardly any gene found.
    """
    table, translations = translated(table, genes)
    pairs = table.pairs.copy()
    for name, translation in translations.items():
        pairs[name] = pairs[name].map(translation)
    names = list(table.species)
    in_all = pairs[names].notna().all(axis=1)
    kept = pairs[in_all if complete else pairs[names].notna().any(axis=1)]
    kept = kept.drop_duplicates(names).reset_index(drop=True)
    if not in_all.any():
        raise InputError(
            f"orthologs: no pair has all of its genes in the data ({table.report.n_pairs} "
            f"pairs; genes found: {table.report.n_matched})."
        )
    return replace(table, pairs=kept, report=replace(table.report, n_in_all=int(in_all.sum())))


def translated(
    table: Orthologs, genes: Mapping[str, Iterable[str]]
) -> tuple[Orthologs, dict[str, dict[str, str]]]:
    """The table, with a report of how many genes match, and what each species' data call its genes.

    Parameters and errors are those of :func:`match`.
    """
    if set(genes) != set(table.species):
        raise InputError(
            f"orthologs: the table pairs {table.species}, the data are {tuple(genes)}. Use the "
            f"same names: {word('table species')} names the table's species."
        )
    own = {
        name: unique_names(
            pd.Index(genes[name]), f"orthologs: gene names of {name}", word("unique genes")
        )
        for name in table.species
    }
    refuse_swapped({name: set(table.pairs[name]) for name in table.species}, own)
    translations = {}
    for name, have in own.items():
        wanted = pd.Index(table.pairs[name].dropna().unique())
        translations[name] = translate(wanted, have, table.genes_of(name))
        _refuse_few(name, wanted, have, translations[name])
    report = replace(
        table.report,
        n_genes={name: len(have) for name, have in own.items()},
        n_matched={name: len(found) for name, found in translations.items()},
        n_relaxed={
            name: sum(theirs != ours for theirs, ours in found.items())
            for name, found in translations.items()
        },
    )
    return replace(table, report=report), translations


def pair(table: Orthologs, adatas: Mapping[str, AnnData]) -> dict[str, AnnData]:
    """Cut each species' data to its one-to-one genes, in the same order for all.

    Parameters
    ----------
    table
        One-to-one pairs, from :func:`one_to_one`.
    adatas
        Species to its data, cells x genes in its own gene space.

    Returns
    -------
    Species to a view of its data with the genes of the pairs found by :func:`match`.
    """
    for name, adata in adatas.items():
        anndata(f"adatas[{name!r}]", adata)
    if table.report.n_one_to_one is None:
        table = one_to_one(table)
    pairs = match(table, {name: adata.var_names for name, adata in adatas.items()}).pairs
    return {name: adata[:, pairs[name]] for name, adata in adatas.items()}


def _refuse_few(name: str, wanted: pd.Index, have: pd.Index, translation: Mapping) -> None:
    fraction = len(translation) / max(min(len(wanted), len(have)), 1)
    if fraction >= 0.3:
        return
    message = (
        f"orthologs: only {len(translation)} of {len(have)} {name} genes are among the table's "
        f"{len(wanted)}. The data have names like {list(have[:3])}, the table like "
        f"{list(wanted[:3])}."
    )
    if are_ensembl(have) and not are_ensembl(wanted):
        message += (
            f" The data have identifiers: read those of the table with {word('table identifiers')}."
        )
    if fraction < FEWEST_MATCHES:
        raise InputError(message + " Is it the right table, species and kind of name?")
    logger.warning(message)
