"""Trained models that several files of tests share."""

from __future__ import annotations

import pytest

from scsystems import SysVI


@pytest.fixture
def train(adata):
    """Maker of small trained models: ``train(setup=..., epochs=..., **constructor options)``."""

    def build(data=None, setup=None, epochs=3, plan=None, **options):
        data = adata if data is None else data
        SysVI.setup_anndata(
            data,
            "system",
            **({"categorical_covariate_keys": ["donor"]} if setup is None else setup),
        )
        model = SysVI(data, **{"n_hidden": 24, "n_latent": 4, **options})
        model.train(
            max_epochs=epochs,
            batch_size=64,
            plan_kwargs={"lr": 3e-3, **(plan or {})},
            verbose=False,
        )
        return model

    return build


@pytest.fixture(scope="session")
def integrated(make):
    """A model that has learned its 400 cells; not to be changed."""
    data = make(400, 60)
    SysVI.setup_anndata(data, "system")
    model = SysVI(data, n_hidden=64, n_latent=6, seed=0)
    model.train(max_epochs=80, batch_size=64, plan_kwargs={"lr": 3e-3}, verbose=False)
    return model
