import numpy as np
import pandas as pd
import pytest

from scsystems.errors import InputError, NotSupportedError


def test_decoding_under_a_system_is_what_it_says(train, adata):
    model = train()
    own = model.get_normalized_expression()
    assert isinstance(own, pd.DataFrame)
    assert own.shape == adata.shape
    assert list(own.columns) == list(adata.var_names)
    assert list(own.index) == list(adata.obs_names)
    is_human = (adata.obs["system"] == "human").to_numpy()
    human = model.get_normalized_expression(transform_batch="human")
    mouse = model.get_normalized_expression(transform_batch=["mouse"])
    pd.testing.assert_frame_equal(human[is_human], own[is_human])
    pd.testing.assert_frame_equal(mouse[~is_human], own[~is_human])
    assert np.abs(human - own)[~is_human].to_numpy().max() > 1e-3
    both = model.get_normalized_expression(transform_batch=["human", "mouse"])
    np.testing.assert_allclose(both, (human + mouse) / 2, atol=1e-6)
    some = model.get_normalized_expression(transform_batch=[None, "mouse"])
    np.testing.assert_allclose(some, (own + mouse) / 2, atol=1e-6)


def test_a_cell_decoded_as_the_other_system_looks_like_its_cells(integrated):
    model, data = integrated, integrated.adata
    as_mouse = model.get_normalized_expression(transform_batch="mouse", return_numpy=True)
    human = (data.obs["system"] == "human").to_numpy()
    x = data.X.toarray()
    for kind in "abc":
        same = (data.obs["cell_type"] == kind).to_numpy()
        target = x[same & ~human].mean(0)
        before = np.abs(x[same & human].mean(0) - target).mean()
        after = np.abs(as_mouse[same & human].mean(0) - target).mean()
        assert after < 0.65 * before


def test_default_is_deterministic_and_samples_are_not(train):
    model = train()
    first = model.get_normalized_expression(return_numpy=True)
    np.testing.assert_array_equal(first, model.get_normalized_expression(return_numpy=True))
    assert np.abs(first - model.get_normalized_expression(give_mean=False).to_numpy()).max() > 0
    one, two = (
        model.get_normalized_expression(n_samples=3, return_mean=False, seed=s) for s in (1, 2)
    )
    assert one.shape == (3, 240, 40)
    assert np.abs(one - two).max() > 0
    averaged = model.get_normalized_expression(n_samples=3, seed=1)
    np.testing.assert_allclose(averaged, one.mean(0), atol=1e-6)


def test_samples_come_from_the_posterior(train):
    """Decoding latent samples drawn outside, with the model's own mean and variance."""
    model = train()
    samples = model.get_normalized_expression(indices=[3], n_samples=4000, return_mean=False)[:, 0]
    mean, var = model.get_latent_representation(indices=[3], return_dist=True)
    import torch

    with torch.no_grad():
        batch, *_ = next(model._posterior(None, [3], None))
        z = torch.tensor(mean) + torch.tensor(var).sqrt() * torch.randn(
            4000, 4, generator=torch.Generator().manual_seed(5)
        )
        terms = model.net.covariates(
            batch.system.repeat(4000), batch.categorical.repeat(4000, 1), None
        )
        expected = model.net.decoder(z, terms)[0].numpy()
    spread = expected.std(0).mean()
    np.testing.assert_allclose(samples.mean(0), expected.mean(0), atol=spread / 5)
    np.testing.assert_allclose(samples.std(0), expected.std(0), rtol=0.2)


def test_genes_cells_and_chunks_are_parts_of_the_whole(train, adata):
    model = train()
    whole = model.get_normalized_expression()
    part = model.get_normalized_expression(indices=[5, 2], gene_list=["g7", "g1"], batch_size=1)
    assert list(part.columns) == ["g1", "g7"]
    np.testing.assert_allclose(part, whole.iloc[[5, 2], [1, 7]], atol=1e-5)
    np.testing.assert_allclose(
        model.get_normalized_expression(adata[:4].copy()), whole[:4], atol=1e-5
    )
    assert model.get_normalized_expression(indices=[]).shape == (0, 40)
    drawn = model.get_normalized_expression(indices=[1, 2], n_samples_overall=9)
    assert drawn.shape == (9, 40)
    assert set(drawn.index) <= {"cell1", "cell2"}


def test_other_covariates_can_be_set(train, adata):
    model = train(setup={"categorical_covariate_keys": ["donor", "cell_type"]})
    one = model.get_normalized_expression(transform_covariates={"donor": "human1"})
    is_one = (adata.obs["donor"] == "human1").to_numpy()
    own = model.get_normalized_expression()
    pd.testing.assert_frame_equal(one[is_one], own[is_one])
    assert np.abs(one - own)[~is_one].to_numpy().max() > 1e-4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"transform_batch": "fish"}, "'fish'.*not a system.*human"),
        ({"transform_batch": []}, "nothing"),
        ({"transform_batch": 7}, "'7'"),
        ({"gene_list": ["g1", "GATA1"]}, "'GATA1'"),
        ({"gene_list": []}, "gene_list is empty"),
        ({"library_size": 1e4}, "library_size=10000.0.*expm1"),
        ({"n_samples": 0}, "n_samples=0"),
        ({"n_samples": 2, "n_samples_overall": 3}, "Expected one of them"),
        ({"n_samples_overall": 3, "indices": []}, "select no cells"),
        ({"n_samples": 2, "return_mean": False, "return_numpy": False}, "return_numpy=False"),
        ({"transform_covariates": {"sex": "f"}}, "'sex' is not a categorical covariate"),
        ({"transform_covariates": {"donor": "x"}}, "'x' is not a level"),
    ],
)
def test_bad_input(train, arguments, message):
    with pytest.raises(InputError, match=message):
        train().get_normalized_expression(**arguments)


def test_sampling_expression_is_refused(train):
    model = train()
    for function in (model.posterior_predictive_sample, model.sample, model.module.sample):
        with pytest.raises(NotImplementedError, match="not supported by SysVI"):
            function()
    with pytest.raises(NotSupportedError, match="importance"):
        model.get_normalized_expression(n_samples_overall=3, weights="importance")
