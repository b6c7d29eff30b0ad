import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp

from scsystems.errors import InputError


def density(points, mean, std, dof):
    each = (
        stats.norm.logpdf(points[:, None], mean, std)
        if dof is None
        else stats.t.logpdf(points[:, None], dof, mean, std)
    )
    return logsumexp(each.sum(-1), axis=1) - np.log(len(mean))


@pytest.mark.parametrize("dof", [None, 3.0])
def test_log_densities_are_those_of_even_mixtures(train, adata, dof):
    model = train()
    mean, var = (v.astype(float) for v in model.get_latent_representation(return_dist=True))
    table = model.differential_abundance(sample_key="donor", dof=dof)
    assert table is adata.obsm["da_log_probs"] or table.equals(adata.obsm["da_log_probs"])
    assert list(table.index) == list(adata.obs_names)
    for donor in adata.obs["donor"].unique():
        cells = (adata.obs["donor"] == donor).to_numpy()
        expected = density(mean, mean[cells], np.sqrt(var[cells]), dof)
        np.testing.assert_allclose(table[donor], expected, rtol=1e-3, atol=1e-3)

    whole = model.get_aggregated_posterior(indices=[1, 2, 3], dof=dof)
    expected = density(mean[:5], mean[1:4], np.sqrt(var[1:4]), dof)
    found = whole.log_prob(torch.tensor(mean[:5], dtype=torch.float32))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-3)


def test_fewer_cells_may_make_a_density(train):
    model = train()
    one = model.differential_abundance(sample_key="donor", num_cells_posterior=5, seed=1)
    again = model.differential_abundance(
        sample_key="donor", num_cells_posterior=5, seed=1, batch_size=7
    )
    np.testing.assert_allclose(one, again, rtol=1e-5)
    other = model.differential_abundance(sample_key="donor", num_cells_posterior=5, seed=2)
    assert not np.allclose(one, other)


def test_bad_input(train, adata):
    model = train(epochs=1)
    with pytest.raises(InputError, match="sample_key='sex' is not a column"):
        model.differential_abundance(sample_key="sex")
    with pytest.raises(InputError, match="sample_key is missing"):
        model.differential_abundance()
    with pytest.raises(InputError, match="dof=0"):
        model.differential_abundance(sample_key="donor", dof=0)
    with pytest.raises(InputError, match="num_cells_posterior=0"):
        model.differential_abundance(sample_key="donor", num_cells_posterior=0)
    with pytest.raises(InputError, match="select no cells"):
        model.get_aggregated_posterior(indices=[])
    adata.obs.loc["cell0", "donor"] = None
    with pytest.raises(InputError, match="missing for 1 of 240 cells"):
        model.differential_abundance(sample_key="donor")
