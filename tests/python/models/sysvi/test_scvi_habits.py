"""What scripts and tests written for scvi-tools' SysVI do must go through with another import.

The situations are those that scvi-tools tests its class in.
"""

import math

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from scsystems import SysVI

COVARIATES = {
    "categorical_covariate_keys": ["covariate_cat"],
    "continuous_covariate_keys": ["covariate_cont"],
}


def cells(n=200, seed=0):
    """95 genes of many means and spreads, three batches, four levels, a number per cell."""
    rng = np.random.default_rng(seed)
    means, spreads = rng.uniform(0, 2.5, 95), rng.uniform(1e-4, 0.5, 95)
    obs = pd.DataFrame(
        {
            "covariate_cont": list(range(n)),
            "covariate_cat": np.repeat(list("abcd"), n // 4),
            "batch": np.repeat(["a", "a", "b", "c"], n // 4),
        },
        index=[str(i) for i in range(n)],
    )
    x = sparse.csr_matrix(np.exp(rng.normal(means, spreads, (n, 95))))
    return AnnData(x, obs=obs, var=pd.DataFrame(index=[str(i) for i in range(95)]))


def trained(adata, **options):
    model = SysVI(adata=adata, **options)
    model.train(max_epochs=2, batch_size=math.ceil(adata.n_obs / 2), enable_progress_bar=False)
    return model


@pytest.mark.parametrize(
    ("prior", "setup", "pseudoinputs", "embed", "weighted"),
    [
        ("vamp", COVARIATES, None, False, False),
        ("vamp", COVARIATES, None, True, False),
        ("vamp", {"categorical_covariate_keys": ["covariate_cat"]}, None, False, False),
        ("vamp", {"categorical_covariate_keys": ["covariate_cat"]}, None, True, False),
        ("vamp", {"continuous_covariate_keys": ["covariate_cont"]}, None, False, False),
        ("standard_normal", COVARIATES, None, False, False),
        ("vamp", {}, np.arange(5), False, False),
        ("vamp", {}, None, False, True),
    ],
)
def test_combinations_train_embed_and_save(prior, setup, pseudoinputs, embed, weighted, tmp_path):
    adata = cells()
    arguments = {"batch_key": "batch", "weight_batches": weighted, **setup}
    if weighted:
        with pytest.warns(UserWarning, match="experimental"):
            SysVI.setup_anndata(adata, **arguments)
    else:
        SysVI.setup_anndata(adata, **arguments)
    model = trained(
        adata,
        prior=prior,
        pseudoinputs_data_indices=pseudoinputs,
        embed_categorical_covariates=embed,
    )
    assert model.get_latent_representation(adata=adata).shape[0] == adata.n_obs
    model.save(f"{tmp_path}/saved_model/", overwrite=True)
    model.save(f"{tmp_path}/saved_model/", overwrite=True)


@pytest.mark.parametrize(
    ("prior", "embed"), [("vamp", False), ("vamp", True), ("standard_normal", False)]
)
def test_a_query_with_other_genes_and_levels(prior, embed):
    adata = cells()
    SysVI.setup_anndata(adata, batch_key="batch", **COVARIATES)
    model = trained(adata, prior=prior, embed_categorical_covariates=embed)
    query = cells(40, seed=1)
    query.obs["covariate_cat"] = query.obs["covariate_cat"].replace({"b": "y", "c": "x"})
    order = np.random.default_rng(2).permutation(query.var_names)[:90]
    query = query[:, order].copy()
    SysVI.prepare_query_anndata(query, model)
    np.testing.assert_equal(query.var_names.to_numpy(), adata.var_names.to_numpy())
    mapped = SysVI.load_query_data(query, model)
    mapped.train(max_epochs=2, batch_size=100, enable_progress_bar=False)
    assert mapped.get_latent_representation(adata=adata).shape[0] == adata.n_obs
    assert mapped.get_latent_representation(adata=query).shape[0] == query.n_obs


def test_latent_means_samples_and_distributions():
    adata = cells()
    SysVI.setup_anndata(adata, batch_key="batch")
    model = trained(adata, prior="standard_normal")
    some = {"adata": adata, "indices": [1, 2, 3]}
    embedded = model.get_latent_representation(**some, give_mean=True)
    assert embedded.shape[0] == 3
    np.testing.assert_allclose(embedded, model.get_latent_representation(**some, give_mean=True))
    assert not np.allclose(embedded, model.get_latent_representation(**some, give_mean=False))
    mean, _ = model.get_latent_representation(**some, return_dist=True)
    np.testing.assert_allclose(embedded, mean)
    model.get_normalized_expression(library_size="latent")
    model.get_normalized_expression(library_size="latent", transform_batch="a")
    model.get_normalized_expression(library_size="latent", indices=[1, 2, 3])


@pytest.mark.parametrize("warmup", ["n_steps_kl_warmup", "n_epochs_kl_warmup"])
def test_kl_warmup_warns(warmup):
    adata = cells()
    SysVI.setup_anndata(adata, batch_key="batch")
    model = SysVI(adata=adata, prior="standard_normal")
    with pytest.warns(
        UserWarning, match=r"The use of KL weight warmup is not recommended in SysVI\."
    ):
        model.train(max_epochs=1, plan_kwargs={warmup: 1}, enable_progress_bar=False)


def test_module_refuses_to_sample():
    adata = cells()
    SysVI.setup_anndata(adata, batch_key="batch")
    with pytest.raises(NotImplementedError):
        SysVI(adata).module.sample()


def test_a_query_of_a_new_batch_is_refused():
    adata = cells()
    SysVI.setup_anndata(adata, batch_key="batch", **COVARIATES)
    model = trained(adata)
    query = cells(seed=1)
    query.obs["batch"] = query.obs["batch"].replace({"c": "y"})
    SysVI.prepare_query_anndata(query, model)
    with (
        pytest.warns(
            UserWarning,
            match="The setting of transfer_batch is disabled in SysVI and is automatically set to False.",
        ),
        pytest.raises(
            ValueError,
            match="This model does not allow for query having batch categories missing from",
        ),
    ):
        SysVI.load_query_data(query, model, transfer_batch=True)


def test_cells_can_be_saved_with_the_model(tmp_path):
    adata = cells()
    SysVI.setup_anndata(adata, batch_key="batch")
    model = trained(adata)
    model.save(tmp_path / "m", overwrite=True, save_anndata=True)
    again = SysVI.load(tmp_path / "m")
    assert again.adata.shape == adata.shape
    np.testing.assert_array_equal(
        again.get_latent_representation(), model.get_latent_representation()
    )
    model.save(tmp_path / "m", overwrite=True)
    alone = SysVI.load(tmp_path / "m")
    assert alone.adata is None
    with pytest.raises(ValueError, match="save_anndata=True"):
        alone.save(tmp_path / "n", save_anndata=True)


def test_groups_are_compared_by_indices_and_by_column():
    adata = cells()
    SysVI.setup_anndata(adata, batch_key="batch")
    model = trained(adata, prior="standard_normal")
    found = model.differential_expression(idx1=[0, 1, 2], idx2=[3, 4, 5])
    assert set(found.index) == set(adata.var_names)
    found = model.differential_expression(groupby="batch", group1="a", group2="b")
    assert (found["group1"] == "a").all()
    assert (found["group2"] == "b").all()
