"""The example data: the came package as a source, and simulated sets with a known answer."""

import sys
import warnings
import zipfile
from importlib import metadata

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from scsystems.data import datasets
from scsystems.data.orthologs import tables as orthologs
from scsystems.data.simulate import Design
from scsystems.errors import InputError, MissingExtraError


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A sample_data.zip of the came package's form, with few cells."""
    folder = tmp_path_factory.mktemp("came")
    rng = np.random.default_rng(0)
    genes = {"human": ["INS", "GCG", "SST", "ONLYH"], "mouse": ["Sst", "Ins2", "Gcg", "Ins1"]}
    types = {
        "human": ["beta", "t_cell", "activated_stellate"],
        "mouse": ["beta", "T_cell", "schwann"],
    }
    for name in genes:
        obs = pd.DataFrame(
            {"cell_type1": types[name], "donor": [f"{name}1", f"{name}1", f"{name}2"]},
            index=[f"{name}_{i}" for i in range(3)],
        )
        counts = sparse.csr_matrix(rng.poisson(2, (3, 4)).astype(np.float32))
        adata = AnnData(counts, obs=obs, var=pd.DataFrame(index=genes[name]))
        adata.write_h5ad(folder / f"raw-Baron_{name}.h5ad")
    table = pd.DataFrame(
        {
            "human.gene.name": ["INS", "INS", "GCG", "SST", "ABSENT"],
            "gene.name": ["Ins1", "Ins2", "Gcg", "Sst", "Absent"],
            "human.homology.type": ["ortholog_one2many"] * 2 + ["ortholog_one2one"] * 3,
        }
    )
    table.to_csv(folder / "gene_matches_human2mouse.csv", index=False)
    path = folder / "sample_data.zip"
    with zipfile.ZipFile(path, "w") as file:
        for part in (
            "raw-Baron_human.h5ad",
            "raw-Baron_mouse.h5ad",
            "gene_matches_human2mouse.csv",
        ):
            file.write(folder / part, part)
    return path


def test_pancreas_pairs_the_species_by_their_one_to_one_genes(archive):
    adata = datasets.pancreas(archive)
    assert set(adata.var_names) == {"GCG", "SST"}
    assert dict(adata.var["gene_mouse"]) == {"GCG": "Gcg", "SST": "Sst"}
    assert list(adata.obs["system"]) == ["human"] * 3 + ["mouse"] * 3
    assert list(adata.obs["cell_type"]) == ["beta", "T", "stellate", "beta", "T", "schwann"]
    assert list(adata.obs["cell_type_fine"])[1] == "t_cell"
    assert list(adata.obs.columns) == ["system", "species", "donor", "cell_type", "cell_type_fine"]
    assert adata.X.has_sorted_indices
    assert "GSE84133" in adata.uns["source"]
    species, table = datasets.pancreas_by_species(archive)
    mouse = species["mouse"]
    np.testing.assert_array_equal(
        adata[adata.obs["species"] == "mouse", "GCG"].X.toarray(), mouse[:, "Gcg"].X.toarray()
    )
    assert len(table) == 5


def test_pancreas_reads_a_wheel_and_an_installed_package(archive, tmp_path, monkeypatch):
    wheel = tmp_path / "came-0.1.13-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.write(archive, "came/sample_data.zip")
    expected = datasets.pancreas(archive)
    assert (datasets.pancreas(wheel).X != expected.X).nnz == 0

    site = tmp_path / "site"
    (site / "came").mkdir(parents=True)
    (site / "came" / "__init__.py").write_text("raise RuntimeError('came must not be imported')")
    (site / "came" / "sample_data.zip").write_bytes(archive.read_bytes())
    info = site / "came-0.1.13.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: came\nVersion: 0.1.13\n")
    monkeypatch.syspath_prepend(site)
    assert (datasets.pancreas().X != expected.X).nnz == 0
    assert "came" not in sys.modules


def test_pancreas_says_how_to_get_the_package(monkeypatch, tmp_path):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    with pytest.raises(MissingExtraError, match=r"pip install --no-deps came==0\.1\.13"):
        datasets.pancreas()
    with pytest.raises(InputError, match="cannot be read"):
        datasets.pancreas(tmp_path / "absent.whl")
    (tmp_path / "broken.whl").write_bytes(b"PK not a zip")
    with pytest.raises(InputError, match="cannot be read"):
        datasets.pancreas(tmp_path / "broken.whl")


def test_simulated_is_what_it_says():
    adata = datasets.simulated(n_cells=900, n_systems=3, n_genes=400, n_types=4, n_donors=3)
    assert adata.shape == (900, 400)
    assert (adata.X.data == np.rint(adata.X.data)).all()
    table = pd.crosstab(adata.obs["cell_type"], adata.obs["species"])
    assert list(table.columns) == ["species1", "species2", "species3"]
    shared = ["rare", "type1", "type2", "type3"]
    assert (table.loc[shared] > 2).all(axis=None)
    assert table.loc["rare"].max() <= 8
    only = table.loc[["only_species1", "only_species2", "only_species3"]].to_numpy()
    assert (only[~np.eye(3, dtype=bool)] == 0).all()
    assert (np.diag(only) > 10).all()
    assert adata.obs.groupby("species", observed=True)["donor"].nunique().to_list() == [3, 3, 3]
    assert "simulated" in adata.uns["source"]


def test_simulated_depends_on_its_seed_alone():
    sizes = {"n_cells": 200, "n_genes": 60, "n_types": 2}
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    one, same, other = (datasets.simulated(seed=seed, **sizes) for seed in (1, 1, 2))
    assert (one.X != same.X).nnz == 0
    pd.testing.assert_frame_equal(one.obs, same.obs)
    assert (one.X != other.X).nnz > 0
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_simulated_effects_have_the_strength_asked_for():
    sizes = {"n_cells": 3000, "n_genes": 300, "n_types": 2, "own_types": False, "depth": 30_000}

    def log_fold_changes(strength):
        adata = datasets.simulated(system_effect=strength, donor_effect=0.0, **sizes)
        first = (adata.obs["cell_type"] == "type1").to_numpy()
        means = [
            np.asarray(adata[first & (adata.obs["system"] == s).to_numpy()].X.mean(0)).ravel()
            for s in ("species1", "species2")
        ]
        often = np.minimum(*means) > 1
        return np.log(means[0][often] / means[1][often])

    # the difference of two normal effects, each with a part that differs by cell type
    assert np.std(log_fold_changes(0.8)) == pytest.approx(
        0.8 * np.sqrt(2 * (1 + 0.25**2)), rel=0.15
    )
    assert np.std(log_fold_changes(0.0)) < 0.2


def test_simulated_by_species_has_own_genes_and_their_pairs():
    species, table = datasets.simulated_by_species(n_cells=400, n_genes=200, homologous=0.5)
    one, two = species.values()
    assert one.n_vars == two.n_vars == 200
    assert not set(one.var_names) & set(two.var_names)
    assert len(table) == 105
    unique = orthologs.one_to_one(table)
    assert len(unique) == 95
    pairs = orthologs.pair(unique, species)
    assert pairs["species1"].n_vars == 95


@pytest.mark.parametrize(
    "wrong",
    [{"n_systems": 1}, {"n_cells": 10}, {"n_types": 1}, {"n_donors": 0}, {"rare_fraction": 0.7}],
)
def test_designs_that_cannot_be(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Design(**wrong)


def test_reading_the_archive_leaves_warnings_alone(archive):
    before = list(warnings.filters)
    datasets.pancreas(archive)
    assert warnings.filters == before
