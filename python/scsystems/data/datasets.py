"""Small data sets for examples: real pancreas cells of two species, and simulated ones."""

from __future__ import annotations

import io
import warnings
import zipfile
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from anndata import AnnData, concat, read_h5ad

from ..errors import InputError, MissingExtraError
from ..words import word
from .orthologs.tables import Orthologs, pair, read
from .simulate import Design, simulate

__all__ = ["pancreas", "pancreas_by_species", "simulated", "simulated_by_species"]

CAME = "came==0.1.13"
SOURCE = (
    "Baron et al. 2016 (GSE84133), inDrop, pancreas of 4 human donors and 2 mice: the cells and "
    "Ensembl orthologs that come with the Python package came 0.1.13 (MIT license)"
)
# the one name of a cell type in both species
CELL_TYPES = {
    "B_cell": "B",
    "T_cell": "T",
    "t_cell": "T",
    "activated_stellate": "stellate",
    "quiescent_stellate": "stellate",
    "immune_other": "immune",
}


def pancreas(path: str | Path | None = None) -> AnnData:
    """Human and mouse pancreas cells in their common genes.

    2,142 human and 1,886 mouse cells of Baron et al. (2016), with raw counts of the genes
    that have a one-to-one ortholog and are measured in both. The cells come from the Python
    package ``came``, used as data: it is not imported and needs none of its dependencies.

    Parameters
    ----------
    path
        The ``came`` wheel, or the ``sample_data.zip`` inside it, if it is not installed.

    Returns
    -------
    Cells x genes (human names; the mouse's are in ``var["gene_mouse"]``), raw counts in ``X``
    (float32, CSR). ``obs``: ``system`` and ``species`` (human, mouse), ``donor``,
    ``cell_type`` (the same names in both species), ``cell_type_fine`` (as published).

    Raises
    ------
    MissingExtraError
        The package is not installed; the message has the command.
    """
    species, table = pancreas_by_species(path)
    paired = pair(table, species)
    genes = {name: adata.var_names for name, adata in paired.items()}
    parts = [adata.copy() for adata in paired.values()]
    for part in parts:
        part.var_names = genes["human"]
    adata = concat(parts, merge="same")
    adata.X.sort_indices()
    for column in ("system", "species"):
        adata.obs[column] = pd.Categorical(adata.obs[column], categories=["human", "mouse"])
    for column in ("donor", "cell_type", "cell_type_fine"):
        adata.obs[column] = adata.obs[column].astype("category")
    adata.var["gene_mouse"] = np.asarray(genes["mouse"])
    adata.uns["source"] = SOURCE
    return adata


def pancreas_by_species(path: str | Path | None = None) -> tuple[dict[str, AnnData], Orthologs]:
    """The cells of :func:`pancreas` with all genes of their own species, and the orthologs.

    Parameters
    ----------
    path
        As in :func:`pancreas`.

    Returns
    -------
    ``{"human": ..., "mouse": ...}`` with 20,125 and 14,877 genes, and the pairs of genes
    between them, of all kinds.
    """
    with _sample_data(path) as archive:
        species = {name: _read_came(archive, f"raw-Baron_{name}.h5ad") for name in NAMES}
        table = pd.read_csv(io.BytesIO(archive.read("gene_matches_human2mouse.csv")), dtype=str)
    for name, adata in species.items():
        adata.obs = pd.DataFrame(
            {
                "system": pd.Categorical([name] * adata.n_obs),
                "species": pd.Categorical([name] * adata.n_obs),
                "donor": adata.obs["donor"].astype(str).astype("category"),
                "cell_type": adata.obs["cell_type1"].astype(str).replace(CELL_TYPES),
                "cell_type_fine": adata.obs["cell_type1"].astype(str).astype("category"),
            },
            index=adata.obs_names,
        )
        adata.obs["cell_type"] = adata.obs["cell_type"].astype("category")
        adata.uns["source"] = SOURCE
    return species, read(table, species=NAMES, layout="biomart")


def simulated(
    n_cells: int = 2000,
    n_systems: int = 2,
    n_genes: int = 2000,
    n_types: int = 6,
    n_donors: int = 2,
    rare_fraction: float = 0.02,
    own_types: bool = True,
    system_effect: float = 0.8,
    donor_effect: float = 0.2,
    depth: float = 4000.0,
    seed: int = 0,
) -> AnnData:
    """Simulate raw counts of several species with a known answer.

    Counts are negative binomial. Genes differ between species by a log-normal factor, a
    little of which depends on the cell type; donors differ less. Cells of one type also vary
    along a gradient.

    Parameters
    ----------
    n_cells
        Cells of all species together.
    n_systems
        Number of species, named ``species1``, ``species2``, ...
    n_genes
        Genes, the same in all species.
    n_types
        Cell types that all species have; the last is called ``rare``.
    n_donors
        Donors per species.
    rare_fraction
        Share of each species' cells that are of the rare type.
    own_types
        Whether each species has one more type of its own, ``only_<species>``.
    system_effect, donor_effect
        Standard deviation of the natural log fold change of a gene.
    depth
        Median total count of a cell in the most deeply sequenced species.
    seed
        Seed of the generator.

    Returns
    -------
    Cells x genes, raw counts in ``X`` (float32, CSR). ``obs``: ``system`` and ``species``,
    ``donor``, ``cell_type``, ``gradient`` (-1 to 1).
    """
    return simulate(
        Design(
            n_cells=n_cells,
            n_systems=n_systems,
            n_genes=n_genes,
            n_types=n_types,
            n_donors=n_donors,
            rare_fraction=rare_fraction,
            own_types=own_types,
            system_effect=system_effect,
            donor_effect=donor_effect,
            depth=depth,
            seed=seed,
        )
    )


def simulated_by_species(
    homologous: float = 0.6, one_to_many: float = 0.05, **settings
) -> tuple[dict[str, AnnData], Orthologs]:
    """Simulate species that each have genes of their own, and the orthologs between them.

    Parameters
    ----------
    homologous
        Share of each species' genes that have a counterpart in every other species.
    one_to_many
        Share of those whose gene in the first species has a second counterpart in the table.
    settings
        As in :func:`simulated`; ``n_genes`` is per species.

    Returns
    -------
    Species to its cells x own genes, and the pairs of genes, of all kinds.
    """
    n_genes = settings.pop("n_genes", 2000)
    n_systems = settings.get("n_systems", 2)
    n_shared = round(n_genes * homologous)
    n_own = n_genes - n_shared
    adata = simulated(n_genes=n_shared + n_systems * n_own, **settings)
    species, pairs = {}, {}
    for i, name in enumerate(adata.obs["species"].cat.categories):
        own = np.arange(n_shared + i * n_own, n_shared + (i + 1) * n_own)
        part = adata[adata.obs["species"] == name, np.append(np.arange(n_shared), own)].copy()
        # every species has its own style of names, as human and mouse do
        prefix = "GENE" if i == 0 else "Gene" if i == 1 else f"gene{i + 1}."
        part.var_names = [prefix + gene.removeprefix("Gene") for gene in part.var_names]
        part.uns["source"] = adata.uns["source"]
        species[name] = part
        pairs[name] = part.var_names[:n_shared]
    table = pd.DataFrame(pairs)
    twice = table.iloc[: round(n_shared * one_to_many)].copy()
    last = table.columns[-1]
    twice[last] = species[last].var_names[n_shared : n_shared + len(twice)]
    columns = {name: name for name in species}
    return species, read(pd.concat([table, twice], ignore_index=True), columns=columns)


# --- the came package as data ---------------------------------------------------------------

NAMES = ("human", "mouse")


def _sample_data(path: str | Path | None) -> zipfile.ZipFile:
    """Open the archive of sample data, inside a wheel, unpacked from it, or installed."""
    if path is None:
        try:
            path = str(metadata.distribution("came").locate_file("came/sample_data.zip"))
        except metadata.PackageNotFoundError:
            path = None
        if path is None or not Path(path).is_file():
            raise MissingExtraError(
                "The pancreas data come with the Python package came, which is not installed. "
                f"Install it as data, without its dependencies: {word('install data').format(CAME)} (or "
                f"fetch it with: pip download --no-deps {CAME}, and give the wheel's path). "
                f"{word('simulated')} needs no download."
            )
    try:
        archive = zipfile.ZipFile(path)
        if "came/sample_data.zip" in archive.namelist():
            archive = zipfile.ZipFile(io.BytesIO(archive.read("came/sample_data.zip")))
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(
            f"'{path}' cannot be read as the came wheel or its sample_data.zip: {error}. Fetch it "
            f"with: pip download --no-deps {CAME}"
        ) from error
    return archive


def _read_came(archive: zipfile.ZipFile, name: str) -> AnnData:
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        # written by an anndata of 2020, which today's reads with a warning about that
        warnings.simplefilter("ignore")
        return read_h5ad(archive.extract(name, folder))
