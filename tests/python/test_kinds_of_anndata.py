"""Every door of the package takes expression in whatever an AnnData keeps it in, or says why not.

What a kind of matrix becomes is tested in ``data/test_matrix.py``; here, that no door goes
around it.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad
from scipy import sparse

import scsystems as scs
from scsystems.errors import InputError

N, G = 200, 30


def cells(logged: bool) -> AnnData:
    """Cells of two systems, counts or log-normalized, in CSR."""
    rng = np.random.default_rng(0)
    x = rng.poisson(rng.gamma(1, 2, G) * np.ones((N, 1))).astype(np.float32)
    x[:, 0] += 1
    if logged:
        x = np.log1p(x / x.sum(1, keepdims=True) * 1e3)
    obs = pd.DataFrame(
        {
            "system": np.resize(["A", "B"], N),
            "donor": np.resize(["a", "b", "c", "d"], N),
            "cell_type": np.repeat(["x", "y"], N // 2),
        },
        index=[f"c{i}" for i in range(N)],
        dtype="category",
    )
    adata = AnnData(sparse.csr_matrix(x), obs, pd.DataFrame(index=[f"g{i}" for i in range(G)]))
    adata.obsm["X_e"] = rng.normal(size=(N, 3))
    return adata


def backed(adata, folder):
    path = folder / f"{len(list(folder.iterdir()))}.h5ad"
    adata.write_h5ad(path)
    return read_h5ad(path, backed="r")


def view(adata, folder):
    twice = AnnData(
        sparse.vstack([adata.X, adata.X], format="csr"),
        pd.concat([adata.obs, adata.obs.set_axis([f"d{i}" for i in range(N)])]),
        adata.var,
        obsm={"X_e": np.vstack([adata.obsm["X_e"]] * 2)},
        uns=dict(adata.uns),
    )
    return twice[:N]


def with_matrix(kind):
    def make(adata, folder):
        made = adata.copy()
        made.X = kind(adata.X)
        return made

    return make


def dask(x):
    return pytest.importorskip("dask.array").from_array(x, chunks=(64, G), asarray=False)


def read_only(x):
    for array in (x.data, x.indices, x.indptr):
        array.flags.writeable = False
    return x


KINDS = {
    "backed": backed,
    "view": view,
    "dask": with_matrix(dask),
    "csr array": with_matrix(sparse.csr_array),
    "read only": with_matrix(lambda x: read_only(x.copy())),
    "csc": with_matrix(sparse.csc_matrix),
    "csc array": with_matrix(sparse.csc_array),
    "double precision": with_matrix(lambda x: x.astype(np.float64)),
    "dense": with_matrix(lambda x: x.toarray()),
    "Fortran order": with_matrix(lambda x: np.asfortranarray(x.toarray())),
    "dense, read only": with_matrix(lambda x: np.broadcast_to(x.toarray(), x.shape)),
    "another byte order": with_matrix(lambda x: x.toarray().astype(">f4")),
}


def make_model(adata):
    scs.SysVI.setup_anndata(adata, batch_key="system", categorical_covariate_keys=["donor"])
    model = scs.SysVI(adata, n_hidden=16, n_latent=4)
    model.train(max_epochs=1, verbose=False)
    return model


def embed(make):
    return make_model(make(cells(True))).get_latent_representation()


def embed_others(make):
    return make_model(cells(True)).get_latent_representation(make(cells(True)))


def load(make, folder):
    make_model(cells(True)).save(folder / "model")
    return scs.load(folder / "model", make(cells(True))).get_latent_representation()


def query(make):
    model = make_model(cells(True))
    other = cells(True)[:, 1:].copy()
    prepared = scs.SysVI.prepare_query_anndata(make(other), model, inplace=False)
    same = scs.SysVI.prepare_query_anndata(make(cells(True)), model, inplace=False)
    assert not same.isbacked
    return scs.SysVI.load_query_data(prepared, model).get_latent_representation()


def query_in_place(make):
    model = make_model(cells(True))
    other = make(cells(True)[:, 1:].copy())
    scs.SysVI.prepare_query_anndata(other, model)
    return scs.SysVI.load_query_data(other, model).get_latent_representation()


def transfer(make):
    found = make_model(cells(True)).transfer_labels("cell_type", make(cells(True)))
    return found["distance"].to_numpy()


def decode(make):
    return make_model(cells(True)).get_normalized_expression(make(cells(True)), return_numpy=True)


def compare(make):
    found = make_model(cells(True)).differential_expression(
        make(cells(True)), groupby="cell_type", silent=True
    )
    return found.select_dtypes("number").sort_index(axis=1).to_numpy()


def prepare(make):
    prepared = scs.pp.prepare(make(cells(False)), batch_key="donor", min_cells=1)
    return prepared.X.toarray()


def prepare_two(make):
    first, second = cells(False)[:80].copy(), cells(False)[80:].copy()
    return scs.pp.prepare({"A": first, "B": make_of(make, second)}, min_cells=1).X.toarray()


def make_of(make, adata):
    # a view is made of the whole
    return adata if adata.n_obs != N and make.kind == "view" else make(adata)


def select(make):
    chosen = scs.pp.select_features(make(cells(True)), min_cells=1, n_top_genes=10)
    return np.array([int(gene[1:]) for gene in chosen])


def evaluate(make):
    adata = make(cells(True))
    table = scs.metrics.evaluate(adata, ["X_e"], "system", metrics=["pcr"], verbose=False)
    return table["value"].to_numpy()


def strength(make):
    found = scs.metrics.batch_strength(
        make(cells(True)), "system", "cell_type", "donor", min_cells=5
    )
    return found.distances["distance"].to_numpy()


def tune(make):
    adata = make(cells(True))
    scs.SysVI.setup_anndata(adata, batch_key="system")
    found = scs.tune.grid(
        adata,
        {"kl_weight": [0.5]},
        seeds=[0],
        label_key="cell_type",
        biology=["nmi_fixed"],
        max_epochs=1,
        n_jobs=1,
        verbose=False,
    )
    return found.embedding()


def align(make):
    simulated, table = scs.datasets.simulated_by_species(
        n_cells=N, n_genes=300, n_types=3, own_types=False
    )
    first, second = simulated.values()
    context = first if make.kind == "view" else make(first)
    model = scs.ScSpecies(
        {"species1": context},
        {"species2": make_of(make, second)},
        "cell_type",
        table,
        n_neighbors=5,
    )
    model.train(max_epochs=1, verbose=False)
    return model.get_latent_representation("species2")


DOORS = [
    *(embed, embed_others, load, query, query_in_place, transfer, decode, compare),
    *(prepare, prepare_two, select, evaluate, strength, tune, align),
]


class Make:
    """Makes an AnnData of a kind; its files are closed at the end."""

    def __init__(self, kind, folder):
        self.kind, self.folder, self.made = kind, folder, []

    def __call__(self, adata):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            self.made.append(KINDS[self.kind](adata, self.folder) if self.kind else adata)
        return self.made[-1]

    def close(self):
        for adata in self.made:
            if adata.isbacked:
                adata.file.close()


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What each door gives for CSR in memory; computed once."""
    known = {}

    def expected(door):
        if door not in known:
            known[door] = call(door, Make(None, tmp_path_factory.mktemp("csr")))
        return known[door]

    return expected


def call(door, make):
    return door(make, make.folder) if door is load else door(make)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_every_door_takes_every_kind(door, kind, expected, tmp_path):
    make = Make(kind, tmp_path)
    try:
        found = call(door, make)
    finally:
        make.close()
    assert np.isfinite(found).all()
    assert found.size == 1 or found.std() > 0
    np.testing.assert_allclose(found, expected(door), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("other", ["cells.h5ad", [1, 2], pd.DataFrame({"a": [1]}), 3])
def test_other_things_are_refused_by_every_door(other):
    model = make_model(cells(True))
    calls = [
        lambda: scs.SysVI.setup_anndata(other, batch_key="system"),
        lambda: scs.SysVI(other),
        lambda: model.get_latent_representation(other),
        lambda: model.get_normalized_expression(other),
        lambda: model.differential_expression(other, groupby="cell_type"),
        lambda: model.differential_abundance(other, sample_key="donor"),
        lambda: model.get_elbo(other),
        lambda: model.transfer_labels("cell_type", other),
        lambda: model.transfer_labels("cell_type", cells(True), other),
        lambda: scs.SysVI.prepare_query_anndata(other, model),
        lambda: scs.SysVI.load_query_data(other, model),
        lambda: scs.pp.prepare(other),
        lambda: scs.pp.prepare({"A": cells(False), "B": other}),
        lambda: scs.pp.select_features(other),
        lambda: scs.metrics.evaluate(other, ["X_e"], "system"),
        lambda: scs.metrics.batch_strength(other, "system", "cell_type", "donor"),
        lambda: scs.tune.grid(other, {"kl_weight": [1]}),
        lambda: scs.pl.umap_panels(other, ["X_e"], ["system"]),
        lambda: scs.ScSpecies(other, {"B": cells(False)}, "cell_type", "table.tsv"),
        lambda: scs.ScSpecies({"A": cells(False)}, {"B": other}, "cell_type", "table.tsv"),
    ]
    for call in calls:
        kind = f"type {type(other).__name__}. Expected an AnnData"
        # what takes paths looks for a file
        with pytest.raises(InputError, match=f"{kind}|cells.h5ad does not exist"):
            call()


def test_a_part_of_an_anndata_on_disk_cannot_be_set_up_but_embedded(tmp_path):
    adata = backed(cells(True), tmp_path)
    part = adata[:100]
    with pytest.raises(InputError, match=r"adata.to_memory\(\)"):
        scs.SysVI.setup_anndata(part, batch_key="system")
    model = make_model(cells(True))
    np.testing.assert_allclose(
        model.get_latent_representation(part),
        model.get_latent_representation()[:100],
        atol=1e-5,
    )
    adata.file.close()


def test_a_view_that_is_set_up_stays_silent_and_keeps_the_choice():
    adata = view(cells(True), None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scs.SysVI.setup_anndata(adata, batch_key="system")
    assert scs.SysVI(adata, n_hidden=8).schema.systems == ("A", "B")
