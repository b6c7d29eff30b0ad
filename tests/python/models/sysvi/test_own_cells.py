"""A model's own cells are those that it was made with, or it says that they are not."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scsystems import SysVI
from scsystems.data.schema import Schema, Setup
from scsystems.errors import InputError
from scsystems.models.sysvi.own_cells import OwnCells

SETUP = Setup("system", None, ("donor",), ("score",))
USES = {
    "latent": lambda m: m.get_latent_representation(),
    "elbo": lambda m: m.get_elbo(),
    "reconstruction": lambda m: m.get_reconstruction_error(),
    "evidence": lambda m: m.get_marginal_ll(n_mc_samples=2),
    "posterior": lambda m: m.get_aggregated_posterior(),
    "expression": lambda m: m.get_normalized_expression(),
    "differences": lambda m: m.differential_expression(groupby="cell_type", silent=True),
    "abundance": lambda m: m.differential_abundance(sample_key="donor"),
    "labels": lambda m: m.transfer_labels("cell_type", m.adata.copy(), n_neighbors=3),
    "training": lambda m: m.train(max_epochs=1, verbose=False),
}


def fingerprint_of(adata):
    return OwnCells.of(adata, Schema.from_anndata(adata, SETUP)).fingerprint


def dense(adata):
    adata.X = adata.X.toarray()


def by_columns(adata):
    adata.X = adata.X.tocsc()


def another_column(adata):
    adata.obs["unrelated"] = 1
    adata.layers["other"] = adata.X * 2
    adata.obsm["X_pca"] = np.zeros((adata.n_obs, 2))


def donors_as_text(adata):
    adata.obs["donor"] = adata.obs["donor"].astype(str)


@pytest.mark.parametrize("change", [dense, by_columns, another_column, donors_as_text])
def test_what_a_model_does_not_see_leaves_the_fingerprint(adata, change):
    before = fingerprint_of(adata)
    change(adata)
    assert fingerprint_of(adata) == before


def column(key, values):
    def change(adata):
        adata.obs[key] = values(adata.obs[key])

    return change


CHANGES = {
    "system": column("system", lambda v: v.to_numpy()[::-1]),
    "a system's name": column("system", lambda v: v.cat.rename_categories({"human": "pig"})),
    "donor": column("donor", lambda v: v.to_numpy()[::-1]),
    "a number": column("score", lambda v: v + (np.arange(len(v)) == 3)),
    "genes' names": lambda a: setattr(a, "var_names", a.var_names[::-1]),
    "cells' names": lambda a: setattr(a, "obs_names", [f"{n}x" for n in a.obs_names]),
    "one value": lambda a: a.X.data.__setitem__(7, a.X.data[7] * 1.001),
    "genes exchanged": lambda a: setattr(a, "X", a.X[:, np.r_[1, 0, 2 : a.n_vars]]),
    "cells exchanged": lambda a: setattr(a, "X", a.X[np.r_[2, 1, 0, 3 : a.n_obs]]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_model_sees_changes_the_fingerprint(adata, change):
    before = fingerprint_of(adata)
    CHANGES[change](adata)
    assert fingerprint_of(adata) != before


@pytest.mark.parametrize("change", CHANGES)
def test_a_checkpoint_of_other_cells_is_refused(adata, change, tmp_path):
    def train(epochs, data, **options):
        SysVI.setup_anndata(
            data,
            "system",
            categorical_covariate_keys=["donor"],
            continuous_covariate_keys=["score"],
        )
        model = SysVI(data, n_hidden=8, n_latent=2)
        model.train(max_epochs=epochs, checkpoint_dir=tmp_path, verbose=False, **options)
        return model

    train(1, adata.copy())
    assert len(train(2, adata.copy(), resume=True).history["train_loss"]) == 2
    CHANGES[change](adata)
    with pytest.raises(InputError, match="other data"):
        train(2, adata, resume=True)


@pytest.fixture
def model(train, adata):
    return train(epochs=1)


@pytest.mark.parametrize("use", USES)
def test_expression_changed_in_place_is_refused_by_every_use(model, use):
    model.adata.X.data[50] *= 1.5
    with pytest.raises(InputError, match=r"changed in place: 1 of \d+"):
        USES[use](model)


@pytest.mark.parametrize("use", USES)
def test_other_cells_in_place_are_refused_by_every_use(model, use):
    model.adata._inplace_subset_obs(np.arange(100))
    with pytest.raises(InputError, match=r"now there are 100 .*then there were 240"):
        USES[use](model)


@pytest.mark.parametrize("store", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("layer", [None, "log"])
def test_every_way_of_storing_is_watched(adata, store, layer):
    x = store(adata.X.toarray())
    if layer is None:
        adata.X = x
    else:
        adata.layers[layer] = x
    SysVI.setup_anndata(adata, "system", layer=layer)
    model = SysVI(adata, n_hidden=8)
    model.train(max_epochs=1, verbose=False)
    z = model.get_latent_representation()
    where = adata.X if layer is None else adata.layers[layer]
    values = where if isinstance(where, np.ndarray) else where.data
    kept = values.copy()
    values *= 1.1
    with pytest.raises(InputError, match="240 of 240"):
        model.get_latent_representation()
    # given by name, these are the cells to use; and the right ones are again embedded as before
    assert not np.allclose(model.get_latent_representation(adata), z)
    values[:] = kept
    np.testing.assert_array_equal(model.get_latent_representation(), z)


def test_only_cells_that_are_used_are_looked_at(model):
    before = model.get_latent_representation()
    row = int(model.adata.X.tocoo().row[0])
    model.adata.X.data[0] += 1
    others = np.setdiff1d(np.arange(240), row)
    np.testing.assert_array_equal(model.get_latent_representation(indices=others), before[others])
    with pytest.raises(InputError, match="1 of 2 do not"):
        model.get_latent_representation(indices=[row, others[0]])


def test_what_is_replaced_or_added_does_not_matter(model):
    before = model.get_latent_representation()
    model.adata.obs["new"] = 1
    model.adata.X = model.adata.X * 3
    np.testing.assert_array_equal(model.get_latent_representation(), before)


def test_cells_in_another_order_in_place(model):
    model.adata.obs = model.adata.obs.iloc[::-1]
    with pytest.raises(InputError, match="not those that it was made with"):
        model.differential_expression(groupby="cell_type", silent=True)


def test_a_model_without_cells_says_so_in_training_too(model, tmp_path):
    model.save(tmp_path / "m")
    loaded = SysVI.load(tmp_path / "m")
    assert loaded.adata is None
    for use in ("latent", "expression", "differences", "abundance", "training"):
        with pytest.raises(InputError, match="loaded without data"):
            USES[use](loaded)


# --- by name -----------------------------------------------------------------------------------


def test_masks_are_matched_by_the_names_of_cells(model, adata):
    mask = adata.obs["cell_type"] == "a"
    shuffled = mask.sample(frac=1, random_state=1)
    z = model.get_latent_representation()[mask.to_numpy()]
    for given in (shuffled, shuffled.astype("boolean"), shuffled.astype(object), mask.to_numpy()):
        np.testing.assert_array_equal(model.get_latent_representation(indices=given), z)
        np.testing.assert_array_equal(model.get_latent_representation(adata, given), z)
    found = model.get_normalized_expression(indices=shuffled, gene_list="g1")
    assert list(found.index) == list(adata.obs_names[mask])
    with pytest.raises(InputError, match="indices has no value for 240"):
        model.get_latent_representation(indices=shuffled.rename(lambda n: n + "x"))
    with pytest.raises(InputError, match="missing values"):
        model.get_latent_representation(indices=shuffled.astype("boolean").where(shuffled))


def test_groups_given_as_masks_are_matched_by_name(model, adata):
    def compare(one, two):
        return model.differential_expression(
            idx1=one, idx2=two, n_samples_overall=60, seed=1, silent=True
        )

    one, two = (adata.obs["cell_type"] == name for name in "ab")
    expected = compare(one.to_numpy(), two.to_numpy())
    pd.testing.assert_frame_equal(compare(one.iloc[::-1], two.iloc[::-1]), expected)


def test_pseudoinputs_given_as_a_mask_are_matched_by_name(adata):
    SysVI.setup_anndata(adata, "system")
    mask = pd.Series(np.arange(240) % 40 == 3, index=adata.obs_names)
    by_name = SysVI(adata, pseudoinputs_data_indices=mask.iloc[::-1], n_hidden=8)
    by_position = SysVI(adata, pseudoinputs_data_indices=np.flatnonzero(mask), n_hidden=8)
    assert by_name._arguments["n_prior_components"] == 6
    np.testing.assert_array_equal(by_name.net.prior.x.detach(), by_position.net.prior.x.detach())


# --- levels ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        lambda c: c.astype(float),
        lambda c: c.astype(str),
        lambda c: pd.array(c, dtype="Int64"),
        lambda c: pd.array(c.astype(str), dtype="string"),
        lambda c: pd.Categorical(c.astype(float)),
        lambda c: np.array([str(v) if i % 2 else int(v) for i, v in enumerate(c)], dtype=object),
    ],
)
def test_donors_are_the_same_in_every_form(adata, train, form):
    donors = np.arange(adata.n_obs) % 4 + 1
    adata.obs["donor"] = donors
    options = {"encode_covariates": True, "covariate_init": "linear", "epochs": 1}
    model = train(adata, **options)
    other = adata.copy()
    other.obs["donor"] = form(donors)
    z = model.get_latent_representation()
    np.testing.assert_array_equal(model.get_latent_representation(other), z)
    np.testing.assert_array_equal(train(other, **options).get_latent_representation(), z)
    assert SysVI.load_query_data(other, model).schema.categories == (("1", "2", "3", "4"),)
    for level in (2, 2.0, "2", np.int8(2)):
        found = model.get_normalized_expression(transform_covariates={"donor": level}, n_samples=1)
        assert found.equals(model.get_normalized_expression(transform_covariates={"donor": "2"}))


def test_groups_and_samples_that_are_numbers(adata, train):
    adata.obs["number"] = (np.arange(adata.n_obs) % 3 + 1).astype(float)
    model = train(adata, epochs=1)

    def compare(group1, group2):
        return model.differential_expression(
            groupby="number", group1=group1, group2=group2, n_samples_overall=40, silent=True
        )

    expected = compare("1", "2")
    assert set(expected["comparison"]) == {"1 vs 2"}
    for one, two in ((1, 2), (1.0, np.float32(2)), ([1], "2")):
        pd.testing.assert_frame_equal(compare(one, two), expected)
    assert list(model.differential_abundance(sample_key="number").columns) == ["1", "2", "3"]
    found = model.transfer_labels("number", adata, n_neighbors=3)
    assert list(found["label"].cat.categories) == ["1", "2", "3"]


def test_genes_that_differ_by_case_only_and_one_called_nan(adata, train):
    adata.var_names = ["Tor", "tor", "nan", *adata.var_names[3:]]
    model = train(adata, epochs=1)
    assert model.schema.genes[:3] == ("Tor", "tor", "nan")
    z = model.get_latent_representation()
    np.testing.assert_array_equal(model.get_latent_representation(adata[:, ::-1].copy()), z)
    adata.var.index = pd.Index([np.nan, *adata.var_names[1:]], dtype=object)
    with pytest.raises(InputError, match=r"Gene names .*: 1 of 40 are missing"):
        SysVI.setup_anndata(adata, "system")
