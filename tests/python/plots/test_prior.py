import numpy as np
import pytest

import scsystems as scs
from scsystems.plots import prior_components


def test_heat_maps_of_shares(drawn):
    components = np.array([0, 0, 1, 1, 2, 2])
    labels, systems = list("xxxyyy"), list("ababab")
    axes = prior_components(components, labels, systems)
    assert drawn(axes[0])
    np.testing.assert_allclose(
        axes[0].images[0].get_array(), [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]]
    )
    np.testing.assert_allclose(axes[1].images[0].get_array(), np.full((2, 3), 1 / 3))
    assert [t.get_text() for t in axes[0].get_yticklabels()] == ["x", "y"]


@pytest.mark.parametrize("prior", ["vamp", "gmm"])
def test_components_of_a_real_model(prior, drawn):
    adata = scs.pp.prepare(
        scs.datasets.simulated(n_cells=200, n_genes=100, seed=0),
        system_key="system",
        n_top_genes=80,
        min_cells=1,
    )
    scs.SysVI.setup_anndata(adata, batch_key="system")
    model = scs.SysVI(adata, prior=prior, n_prior_components=4, n_hidden=16, n_latent=3)
    model.train(max_epochs=2, verbose=False)
    means, variances = model.net.prior.components(model.net.eval().encode)
    parts = (means, variances, model.net.prior.log_weights().exp())
    components = scs.metrics.prior_component(
        model.get_latent_representation(), *[part.detach().cpu() for part in parts]
    )
    assert set(components) <= set(range(4))
    axes = prior_components(components, adata.obs["cell_type"], adata.obs["system"])
    assert drawn(axes[0])
