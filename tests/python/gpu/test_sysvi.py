"""SysVI on a stand-in for a GPU: no tensor stays behind on the CPU, and no step waits for it."""

import pytest
from stand_in import GPU, gpu
from ways import MAPPINGS, WAYS, cells, model_of, set_up

from scsystems import SysVI
from scsystems.data import blocks

# steps of the same operations as those of others
ALIKE = (
    "float32",
    "frozen vamp",
    "no dropout",
    "encoder sees covariates",
    "dense",
    "three systems",
)


@pytest.mark.filterwarnings("ignore:The use of inverse batch proportion weights")
@pytest.mark.parametrize("way", [way for way in WAYS if way not in ALIKE])
def test_training(way, make):
    given = {"model": {}, "plan": {}, "train": {}, "setup": {}} | WAYS[way]
    adata = cells(make, **{k: given[k] for k in ("systems", "samples") if k in given})
    set_up(adata, **given["setup"])
    model = model_of(adata, **given["model"])
    with gpu() as seen:
        model.train(
            max_epochs=1,
            # all cells in one step, but by default another on what is there already
            batch_size=60 if way == "default" else adata.n_obs,
            plan_kwargs=given["plan"],
            verbose=False,
            **{"precision": "bfloat16"} | given["train"],
        )
        assert model.device == GPU
        assert seen.steps == (2 if way == "default" else 1)
        assert seen.operations > 100


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"prior": "gmm", "encode_covariates": True, "embed_categorical_covariates": True},
    ],
)
def test_what_a_trained_model_is_for(options, make):
    adata = cells(make)
    n = adata.n_obs
    set_up(adata, labels_key="cell_type")
    model = model_of(adata, **options)
    with gpu():
        model.train(max_epochs=1, verbose=False)
        assert model.get_latent_representation(give_mean=False).shape == (n, 4)
        assert model.get_normalized_expression(transform_batch="human").shape == adata.shape
        decoded = model.get_normalized_expression(n_samples=2, gene_list=["g3", "g1"])
        assert decoded.shape == (n, 2)
        assert model.get_elbo(return_mean=False).shape == (n,)
        assert model.get_reconstruction_error(return_mean=False)["reconstruction_loss"].shape == (
            n,
        )
        assert model.get_marginal_ll(n_mc_samples=3, return_mean=False).shape == (n,)
        assert len(model.predict()) == n


@pytest.fixture
def small_blocks(monkeypatch):
    """Several blocks an epoch."""
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 4 * 40 * 64)
    monkeypatch.setattr(blocks, "IN_ORDER", 32)


@pytest.mark.usefixtures("small_blocks")
def test_blocks_from_disk(make, tmp_path):
    path = tmp_path / "cells.h5ad"
    cells(make).write_h5ad(path)
    set_up(path)
    model = model_of(path)
    with gpu() as seen:
        model.train(max_epochs=1, batch_size=20, storage="disk", early_stopping=True, verbose=False)
        assert seen.steps == 6
        assert model.get_latent_representation().shape == (120, 4)


@pytest.mark.parametrize("options", MAPPINGS[:4])
def test_mapping(options, make):
    adata = cells(make)
    set_up(adata)
    reference = model_of(adata, encode_covariates=True)
    query = cells(make)
    query.obs["donor"] = "new"
    reference.train(max_epochs=1, accelerator="cpu", verbose=False)
    mapped = SysVI.load_query_data(query, reference, accelerator="cpu", **options)
    with gpu() as seen:
        mapped.train(max_epochs=1, batch_size=120, verbose=False)
        assert seen.steps == 1
        assert mapped.get_latent_representation().shape == (120, 4)
        assert len(mapped.transfer_labels("cell_type", adata)) == 120
