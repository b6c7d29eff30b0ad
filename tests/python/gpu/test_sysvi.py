"""SysVI on a stand-in for a GPU: no tensor stays behind on the CPU, and no step waits for it."""

import numpy as np
import pytest
from stand_in import GPU, gpu

from scsystems import SysVI
from scsystems.data import blocks

# constructor's arguments, plan_kwargs, arguments of train(), arguments of setup_anndata()
WAYS = {
    "default": {},
    "float32": {"train": {"precision": "float32"}},
    "factorized vamp": {"model": {"prior_density": "factorized"}},
    "frozen vamp": {"model": {"trainable_priors": False}},
    "gmm": {"model": {"prior": "gmm"}},
    "standard normal": {"model": {"prior": "standard_normal"}},
    "paper": {"model": {"preset": "paper"}},
    "no cycle": {"plan": {"z_distance_cycle_weight": 0}},
    "cycle without covariates": {"model": {"cycle_covariates": "zero"}},
    "encoder sees covariates": {"model": {"encode_covariates": True}},
    "weighted": {"setup": {"weight_batches": True}},
    "three systems": {"systems": ("human", "mouse", "pig")},
    "many samples": {"samples": 80},
    "more samples": {"samples": 300},
    "adversary": {"model": {"adversarial": True}, "plan": {"adversary_weight": 1.0}},
    "embedded": {"model": {"embed_categorical_covariates": True}},
    "variance per gene": {"model": {"out_var_mode": "feature"}},
    "variance per cell": {"model": {"out_var_mode": "sample_feature"}},
    "no dropout": {"model": {"dropout_rate": 0.0}},
    "labels": {"setup": {"labels_key": "cell_type"}},
    "labels and automatic gradients": {
        "setup": {"labels_key": "cell_type"},
        "model": {"out_var_mode": "sample_feature"},
    },
    "dense": {"train": {"storage": "dense"}},
    "sparse": {"train": {"storage": "sparse"}},
    "clipped": {"train": {"gradient_clip_val": 1.0}},
    "validation": {"train": {"early_stopping": True}},
}


def cells(make, systems=("human", "mouse"), samples=3):
    adata = make(max(120, 2 * samples), systems=systems)
    adata.obs["donor"] = np.char.add("s", (np.arange(adata.n_obs) % samples).astype(str))
    return adata


def set_up(adata, **setup):
    SysVI.setup_anndata(
        adata,
        **{
            "batch_key": "system",
            "categorical_covariate_keys": ["donor"],
            "continuous_covariate_keys": ["score"],
        }
        | setup,
    )


def model_of(adata, **options):
    return SysVI(adata, **{"n_hidden": 16, "n_latent": 4} | options)


@pytest.mark.filterwarnings("ignore:The use of inverse batch proportion weights")
@pytest.mark.parametrize("way", WAYS)
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
        {"prior": "gmm", "encode_covariates": True},
        {"prior": "standard_normal", "embed_categorical_covariates": True},
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


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
@pytest.mark.usefixtures("small_blocks")
@pytest.mark.filterwarnings("ignore:Writing zarr v2")
def test_blocks_from_disk(form, make, tmp_path):
    if form == "zarr":
        pytest.importorskip("zarr", reason="zarr is not installed: zarr stores are NOT tested here")
    path = tmp_path / f"cells.{form}"
    getattr(cells(make), f"write_{form}")(path)
    set_up(path)
    model = model_of(path)
    with gpu() as seen:
        model.train(max_epochs=1, batch_size=20, storage="disk", early_stopping=True, verbose=False)
        assert seen.steps == 6
        assert model.get_latent_representation().shape == (120, 4)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"unfrozen": True},
        {"freeze_expression": False, "freeze_decoder_first_layer": False},
        {"freeze_batchnorm_encoder": False, "freeze_batchnorm_decoder": False},
        {"freeze_dropout": True},
    ],
)
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
