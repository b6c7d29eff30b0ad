"""Recognize the layouts in which ortholog tables are distributed.

Every layout becomes one frame: a column of gene names per species, and, where the table
has them, ``type`` (how many genes correspond to how many) and ``score`` (confidence, or the
number of resources that support the pair).
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ...errors import InputError
from ...words import word

LAYOUTS = ("biomart", "mgi", "hcop", "homologene", "columns")
MISSING = {"", "-", "NA", "N/A", "NaN", "None", "null"}
# what other programs write for a missing name, and a fly's gene (nanchung) is called
MISSING_OR_GENE = "nan"

# NCBI taxon: the names under which tables and their column headers speak of a species
SPECIES = {
    9606: ("human", "homo_sapiens", "hsapiens", "hs"),
    10090: ("mouse", "mouse_laboratory", "mus_musculus", "mmusculus", "mm"),
    10116: ("rat", "rattus_norvegicus", "rnorvegicus", "rn"),
    7955: ("zebrafish", "danio_rerio", "drerio", "zf", "dr"),
    9031: ("chicken", "gallus_gallus", "ggallus", "ch", "gg"),
    9598: ("chimp", "chimpanzee", "pan_troglodytes", "ptroglodytes"),
    9544: ("macaque", "macaque_rhesus", "rhesus", "macaca_mulatta", "mmulatta"),
    9823: ("pig", "sus_scrofa", "sscrofa"),
    9913: ("cow", "cattle", "cattle_domestic", "bos_taurus", "btaurus"),
    9615: ("dog", "dog_domestic", "canis_lupus_familiaris", "clfamiliaris", "cfamiliaris"),
    8364: ("xenopus", "frog_western_clawed", "western_clawed_frog", "xenopus_tropicalis"),
    7227: ("fly", "fruit_fly", "drosophila", "drosophila_melanogaster", "dmelanogaster"),
    6239: ("worm", "c_elegans", "caenorhabditis_elegans", "celegans"),
    4932: ("yeast", "saccharomyces_cerevisiae", "scerevisiae"),
}
_TAXON = {name: taxon for taxon, names in SPECIES.items() for name in names}
_ENSEMBL = {"ENSG": "human", "ENSMUSG": "mouse", "ENSRNOG": "rat", "ENSDARG": "zebrafish"}
_ENSEMBL |= {"ENSGALG": "chicken", "ENSSSCG": "pig", "ENSMMUG": "macaque"}


@dataclass(frozen=True)
class Layout:
    """A recognized table: its frame, the layout's name, and the species' columns."""

    name: str
    frame: pd.DataFrame
    species: tuple[str, ...]


def plain(name: object) -> str:
    """Lower case, with everything but letters and digits as single underscores."""
    return re.sub(r"[^a-z0-9]+", "_", str(name).lower()).strip("_")


def same_species(one: object, other: object) -> bool:
    """Whether two names mean one species: ``human``, ``Homo sapiens``, ``9606``, ``hs``."""
    one, other = plain(one), plain(other)
    return one == other or (_taxon(one) is not None and _taxon(one) == _taxon(other))


def _taxon(name: str) -> int | None:
    return int(name) if name.isdigit() else _TAXON.get(name)


def load(source: str | Path | pd.DataFrame) -> pd.DataFrame:
    """Read a delimited text file (may be compressed) as text, or take a frame as it is."""
    if isinstance(source, pd.DataFrame):
        return source.reset_index(drop=True)
    path = Path(source)
    if not path.is_file():
        raise InputError(f"orthologs: no file '{path}'. Give the path of a table, or a frame.")
    opener: Any = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}.get(path.suffix, open)
    with opener(path, "rt", encoding="utf-8-sig") as lines:
        first = next((line.rstrip("\n") for line in lines if line.strip()), "")
    if not first:
        raise InputError(f"orthologs: the file '{path}' is empty.")
    delimiter = max("\t,;", key=first.count)
    # NCBI's homologene.data comes without a header: its first three fields are numbers
    headerless = all(field.isdigit() for field in first.split(delimiter)[:3])
    names = ["HID", "Taxonomy", "Gene.ID", "Gene.Symbol", "Protein.GI", "Protein.Acc"]
    return pd.read_csv(
        path,
        sep=delimiter,
        dtype=str,
        keep_default_na=False,
        header=None if headerless else "infer",
        names=names if headerless else None,
    )


def recognize(
    table: pd.DataFrame,
    species: Sequence[str] | None,
    columns: Mapping[str, str] | None,
    gene: str,
    layout: str,
) -> Layout:
    """Bring a table of any known layout into one column of genes per species."""
    if columns is not None:
        return _named(table, columns, species)
    headers = {plain(column): column for column in table.columns}
    readers = {
        "mgi": _mgi,
        "homologene": _homologene,
        "hcop": _hcop,
        "biomart": _biomart,
        "columns": _columns,
    }
    if layout != "auto" and layout not in readers:
        raise InputError(f"layout={layout!r} is not known. Choose from {('auto', *LAYOUTS)}.")
    wanted = readers if layout == "auto" else {layout: readers[layout]}
    for name, reader in wanted.items():
        found = reader(table, headers, species, gene)
        if found is not None:
            return Layout(name, *found)
    raise InputError(
        f"orthologs: the table's columns {list(map(str, table.columns))[:12]} match "
        f"{'none of the known layouts ' + str(LAYOUTS) if layout == 'auto' else repr(layout)}. "
        f"Name the columns yourself, for example {word('table columns')}."
    )


# --- long tables: one row per gene, groups of orthologs share a key -----------------------


def _mgi(table, headers, species, gene):
    key = headers.get("db_class_key", headers.get("homologene_id"))
    organism = headers.get("common_organism_name", headers.get("ncbi_taxon_id"))
    name = headers.get("symbol" if gene == "symbol" else "entrezgene_id")
    if None in (key, organism, name):
        return None
    return _long(table, key, [organism, headers.get("ncbi_taxon_id")], name, species)


def _homologene(table, headers, species, gene):
    key = headers.get("hid")
    labels = [headers.get(name) for name in ("species", "taxonomy", "taxid", "tax_id")]
    wanted = ("gene_symbol", "symbol") if gene == "symbol" else ("gene_id", "geneid")
    name = next((headers[w] for w in wanted if w in headers), None)
    if key is None or name is None or not any(labels):
        return None
    return _long(table, key, labels, name, species)


def _long(table, key, label_columns, name, species):
    label_columns = [column for column in label_columns if column is not None]
    labels = table[label_columns[0]].astype(str).str.split(",").str[0].str.strip()
    if species is None:
        counts = labels.value_counts()
        if len(counts) != 2:
            raise InputError(
                f"orthologs: the table has {len(counts)} species ({', '.join(counts.index[:15])})"
                f". Say which to pair with {word('table species')}, for example human and mouse."
            )
        species = tuple(sorted(counts.index))
    sides = []
    for wanted in species:
        is_wanted = pd.Series(False, index=table.index)
        for column in label_columns:
            values = table[column].astype(str)
            same = {value for value in values.unique() if same_species(value, wanted)}
            is_wanted |= values.isin(same)
        if not is_wanted.any():
            raise InputError(
                f"orthologs: species {wanted!r} is not in the table. It has: "
                f"{', '.join(sorted(labels.unique())[:20])}."
            )
        side = table.loc[is_wanted, [key, name]]
        sides.append(side.rename(columns={name: wanted, key: "group"}))
    frame = sides[0]
    for side in sides[1:]:
        # a gene whose group has no member in the other species stays, with a missing partner
        frame = frame.merge(side, on="group", how="outer")
    return frame.drop(columns="group"), tuple(species)


# --- wide tables: one row per pair ----------------------------------------------------------


def _named(table, columns, species) -> Layout:
    missing = [column for column in columns.values() if column not in table.columns]
    if missing or len(columns) < 2:
        raise InputError(
            f"columns={dict(columns)!r} must name at least two columns of the table; not found: "
            f"{missing}. The table has: {list(map(str, table.columns))[:20]}."
        )
    names = tuple(columns) if species is None else tuple(species)
    if set(names) != set(columns):
        raise InputError(f"species={names} and the keys of columns={tuple(columns)} differ.")
    headers = {plain(column): column for column in table.columns}
    frame = _wide(table, {name: columns[name] for name in names}, headers)
    return Layout("columns", frame, names)


def _hcop(table, headers, species, gene):
    if "support" not in headers:
        return None
    suffix = "_symbol" if gene == "symbol" else "_ensembl_gene"
    sides = {h[: -len(suffix)]: column for h, column in headers.items() if h.endswith(suffix)}
    if len(sides) < 2:
        return None
    if "ortholog_species" in sides:
        if species is None:
            raise InputError(
                "orthologs: this HCOP table has many species. Say which to pair with human, "
                f"with {word('table species')}, for example human and mouse."
            )
        other = [name for name in species if not same_species(name, "human")]
        labels = table[headers["ortholog_species"]].astype(str)
        table = table[labels.isin({v for v in labels.unique() if same_species(v, other[0])})]
        if len(other) != 1 or table.empty:
            raise InputError(
                f"species={tuple(species)}: this HCOP table pairs human with one of the taxa "
                f"{sorted(labels.unique())[:20]}."
            )
        sides = {"human": sides["human"], other[0]: sides["ortholog_species"]}
    return _choose(table, headers, sides, species)


def _biomart(table, headers, species, gene):
    # the query species' columns as the web page and as R's biomaRt call them, then the others'
    query = ("gene_name", "external_gene_name", "hgnc_symbol", "mgi_symbol")
    targets = r"_(homolog_associated_gene_name|gene_name)$"
    if gene == "id":
        query = ("gene_stable_id", "ensembl_gene_id")
        targets = r"_(homolog_ensembl_gene|gene_stable_id)$"
    signs = r"(homology_type|orthology_type|gene_stable_id|^hgnc_symbol|^mgi_symbol)$"
    if not any(re.search(signs, header) for header in headers):
        return None
    sides = {}
    for header, column in headers.items():
        if header in query:
            sides.setdefault(_query_species(table, headers, header), column)
        elif target := re.search(targets, header):
            sides.setdefault(header[: target.start()], column)
    return _choose(table, headers, sides, species) if len(sides) > 1 else None


def _query_species(table, headers, header) -> str:
    """Which species a BioMart export was asked about: its own columns do not carry the name."""
    if header in ("hgnc_symbol", "mgi_symbol"):
        return "human" if header == "hgnc_symbol" else "mouse"
    column = headers.get("gene_stable_id", headers.get("ensembl_gene_id"))
    if column is not None:
        ids = table[column].astype(str).head(200).str.extract(r"^(ENS[A-Z]*G)\d", expand=False)
        if ids.notna().any():
            return _ENSEMBL.get(ids.mode().iat[0], "query")
    return "query"


def _columns(table, headers, species, gene):
    """Columns named by species (``human``, ``mouse_symbol``, ``hs_ID``), or just two columns."""
    endings = ("", "_symbol", "_gene", "_gene_symbol", "_gene_name", "_name")
    if gene == "id":
        endings = ("_id", "_ensembl", "_ensembl_id", "_gene_id", "_ensembl_gene")
    if species is None and len(table.columns) == 2:
        names = tuple(map(str, table.columns))
        return _wide(table, dict(zip(names, table.columns, strict=True)), headers), names
    bases = {h[: -len("_id")] for h in headers if h.endswith("_id")} if species is None else None
    known = {header for header in headers if _taxon(header.split("_")[0]) is not None}
    bases = bases or {header.split("_")[0] for header in known}
    sides = {}
    for header, column in headers.items():
        for ending in endings:
            base = header[: len(header) - len(ending)]
            if header.endswith(ending) and (
                base in bases or any(same_species(base, wanted) for wanted in species or ())
            ):
                sides.setdefault(base, column)
    if len(sides) < 2 and species is not None and len(table.columns) == 2:
        raise InputError(
            f"orthologs: the table's two columns {list(table.columns)} do not say which is "
            f"which of {tuple(species)}. Name them, for example {word('table columns')}."
        )
    return _choose(table, headers, sides, species) if len(sides) > 1 else None


def _choose(table, headers, sides, species):
    """Keep the wanted species among the sides that a wide table has, in the wanted order."""
    if species is None:
        if "query" in sides:
            raise InputError(
                "orthologs: the table's columns do not name one of the species (the other is "
                f"{', '.join(set(sides) - {'query'})}). Say both, for example "
                f"{word('table species')}: human and mouse."
            )
        return _wide(table, sides, headers), tuple(sides)
    chosen = {}
    for wanted in species:
        found = [column for side, column in sides.items() if same_species(side, wanted)]
        # the one side whose header does not name it can only be the one that is left
        unnamed = [column for side, column in sides.items() if side == "query"]
        if not (found or unnamed):
            raise InputError(
                f"orthologs: species {wanted!r} is not in the table. It has: "
                f"{', '.join(sides)}. Give the columns yourself: {word('table columns')}."
            )
        chosen[wanted] = (found or unnamed)[0]
    if len(set(chosen.values())) < len(chosen):
        raise InputError(
            f"orthologs: {tuple(species)} need one column each, but the table only shows "
            f"{', '.join(sides)}. Give the columns yourself: {word('table columns')}."
        )
    return _wide(table, chosen, headers), tuple(species)


def _wide(table, sides, headers) -> pd.DataFrame:
    frame = pd.DataFrame({side: table[column] for side, column in sides.items()})
    kind = [h for h in headers if re.search(r"^type$|(homology|orthology)_type$", h)]
    # with several targets every target has its own type: uniqueness is then decided by counting
    if len(kind) == 1 and len(sides) == 2:
        frame["type"] = table[headers[kind[0]]].map(_type)
    score = [h for h in headers if re.search(r"^n_support$|^support$|confidence", h)]
    if score and len(sides) == 2:
        values = table[headers[sorted(score)[0]]]
        if plain(sorted(score)[0]) == "support":
            frame["score"] = values.astype(str).str.count(",") + 1.0
        else:
            frame["score"] = pd.to_numeric(values, errors="coerce")
    return frame


def _type(value: object) -> str | None:
    match = re.search(r"(one|many|[01Nn])(?:2|_to_|T|:)(one|many|[01Nn])$", str(value).strip())
    if match is None:
        return None
    return "2".join(
        {"1": "one", "0": "none", "n": "many"}.get(p.lower(), p) for p in match.groups()
    )
