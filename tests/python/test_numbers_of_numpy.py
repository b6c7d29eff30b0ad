"""Numbers, text and truth values of numpy are as good as Python's, in every argument there is.

Arguments are taken from the signatures, so that a new one is tried, too.
"""

import inspect
from contextlib import suppress

import numpy as np
import pytest

import scsystems as scs
from scsystems.errors import NotSupportedError

KINDS = {
    "numpy": {int: np.int64, float: np.float32, bool: np.bool_, str: np.str_},
    "no dimension": dict.fromkeys((int, float, bool, str), np.array),
    "R's": {int: float},
}
NET = {"n_hidden": 8, "n_latent": 2}


def variants(function, given=(), without=()):
    """Every argument of a function with a value of every kind, the values being its defaults or given."""
    given, found = dict(given), []
    for name, parameter in inspect.signature(function).parameters.items():
        value = given.get(name, parameter.default)
        if name in without or not isinstance(value, (bool, int, float, str)):
            continue
        found += [
            pytest.param(name, of_type[type(value)](value), id=f"{name} {kind}")
            for kind, of_type in KINDS.items()
            if type(value) in of_type
        ]
    return found


MODEL = {
    "n_prior_components": 5,
    "n_layers_decoder": 2,
    "prior_density": "joint",
    "pseudoinput_choice": "random",
    "out_var_mode": "feature",
    "covariate_init": "linear",
    "encode_covariates": True,
    "cycle_covariates": "zero",
}


@pytest.fixture
def prepared(adata):
    scs.SysVI.setup_anndata(adata, "system", categorical_covariate_keys="donor")
    return adata


@pytest.mark.parametrize(("name", "value"), variants(scs.SysVI.__init__, MODEL))
def test_models_are_made_and_saved(prepared, tmp_path, name, value):
    plain = value.item() if isinstance(value, (np.generic, np.ndarray)) else value
    made = [scs.SysVI(prepared, **{**NET, name: given}) for given in (value, plain)]
    assert made[0]._arguments == made[1]._arguments
    made[0].save(tmp_path / "m")
    assert scs.SysVI.load(tmp_path / "m")._arguments == made[1]._arguments


TRAINING = {
    "max_epochs": 1,
    "check_val_every_n_epoch": 1,
    "gradient_clip_val": 5.0,
    "n_threads": 1,
    "seed": 3,
    "train_size": 0.9,
    "validation_size": 0.1,
    "enable_progress_bar": False,
    "verbose": False,
    "accelerator": "cpu",
}


@pytest.mark.parametrize(
    ("name", "value"), variants(scs.SysVI.train, TRAINING, without=("resume", "devices"))
)
def test_models_train_and_are_saved(prepared, tmp_path, name, value):
    options = {"max_epochs": 1, "verbose": False, "accelerator": "cpu"}
    if name.startswith("early"):
        options["early_stopping"] = True
    model = scs.SysVI(prepared, **NET)
    model.train(**{**options, "checkpoint_dir": tmp_path / "c", name: value})
    model.save(tmp_path / "m")
    assert scs.SysVI.load(tmp_path / "m").is_trained


@pytest.mark.parametrize(
    "plan",
    [
        {"kl_weight": np.float32(1)},
        {"z_distance_cycle_weight": np.int64(2)},
        {"lr": np.array(1e-3), "eps": np.float32(1e-4), "weight_decay": np.float32(0)},
        {"optimizer": np.str_("AdamW")},
        {
            "reduce_lr_on_plateau": np.bool_(True),
            "lr_factor": np.float32(0.5),
            "lr_patience": np.int64(1),
            "lr_threshold": np.array(0.0),
            "lr_scheduler_metric": np.str_("elbo_train"),
            "lr_min": np.float32(0),
        },
    ],
)
def test_plans(prepared, tmp_path, plan):
    model = scs.SysVI(prepared, **NET)
    model.train(max_epochs=2, plan_kwargs=plan, verbose=False)
    model.save(tmp_path / "m")


RESULTS = {
    "get_latent_representation": {"batch_size": 50, "seed": 1},
    "get_normalized_expression": {
        "batch_size": 50, "seed": 1, "transform_batch": "human", "gene_list": "g1"
    },
    "get_elbo": {"batch_size": 50, "seed": 1},
    "get_reconstruction_error": {"batch_size": 50, "seed": 1},
    "get_marginal_ll": {"batch_size": 50, "seed": 1, "n_mc_samples": 3},
    "differential_expression": {
        "groupby": "donor", "group1": "human0", "mode": "change", "seed": 1, "silent": True,
        "n_samples_overall": 30, "m_permutation": 20, "batch_size": 50, "pseudocounts": 1.0,
    },
    "differential_abundance": {
        "sample_key": "donor", "num_cells_posterior": 10, "dof": 3.0, "seed": 1
    },
    "get_aggregated_posterior": {"batch_size": 50},
    "transfer_labels": {"labels_key": "cell_type", "n_neighbors": 5, "batch_size": 50},
}  # fmt: skip
NEEDED = ("groupby", "group1", "silent", "n_samples_overall", "sample_key", "labels_key")


@pytest.fixture(scope="module")
def trained(make):
    adata = make(120, 20)
    scs.SysVI.setup_anndata(adata, "system", categorical_covariate_keys="donor")
    model = scs.SysVI(adata, **NET)
    model.train(max_epochs=1, verbose=False)
    return model


@pytest.mark.parametrize("result", RESULTS)
def test_results(trained, result):
    function, given = getattr(trained, result), RESULTS[result]
    needed = {k: v for k, v in given.items() if k in NEEDED}
    if result == "transfer_labels":
        needed["reference"] = trained.adata
    tried = 0
    for variant in variants(function, given):
        name, value = variant.values
        with suppress(NotSupportedError):
            function(**{**needed, name: value})
        tried += 1
    assert tried >= len(given)


# --- the other doors -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    variants(
        scs.pp.prepare,
        {
            "system_key": "system", "batch_key": "donor", "names_from": "human", "min_cells": 1,
            "layer": "counts", "n_top_genes": 20, "target_sum": 1e4,
        },
        without=("overwrite",),
    ),
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_preparing(make, tmp_path, name, value):
    adata = make(120, 60)
    options = {"min_cells": 1, "min_batch_cells": 2, "n_top_genes": 40, "layer": "counts"}
    prepared = scs.pp.prepare(adata, **{**options, name: value})
    prepared.write_h5ad(tmp_path / "p.h5ad")
    assert prepared.n_obs == 120


@pytest.mark.parametrize(
    ("name", "value"),
    variants(
        scs.metrics.evaluate,
        {
            "embeddings": "z", "system_key": "system", "label_key": "cell_type", "metrics": "pcr",
            "batch_key": "donor", "unintegrated": "z", "max_cells": 100, "min_cells": 3, "k": 5,
        },
    ),
)  # fmt: skip
def test_evaluating(make, name, value):
    adata = make(120, 20)
    adata.obsm["z"] = np.random.default_rng(0).normal(size=(120, 3))
    options = {
        "embeddings": "z", "system_key": "system", "label_key": "cell_type", "verbose": False,
        "metrics": ["asw_label", "label_transfer"], "min_cells": 3, "k": 5,
    }  # fmt: skip
    assert len(scs.metrics.evaluate(adata, **{**options, name: value}))


@pytest.fixture(scope="module")
def species():
    return scs.datasets.simulated_by_species(
        n_cells=200, n_genes=200, n_types=3, own_types=False, rare_fraction=0.3
    )


def aligned(species, **options):
    return scs.ScSpecies(
        {"species1": species[0]["species1"]},
        {"species2": species[0]["species2"]},
        orthologs=species[1],
        **{"context_labels": "cell_type", "n_features": 8, "n_neighbors": 5, **NET, **options},
    )


SPECIES = {
    "context_labels": "cell_type", "target_labels": "cell_type", "batch_key": "donor",
    "search_every": 2, "quantile": 0.5, "mixing_weight": 2.0, "likelihood": "nb",
    "dispersion": "batch", "library": "observed", "encoder_input": "log1p", "n_features": 8,
    "homologous_fraction": "genes", "n_neighbors": 5, "kl_weight": 1.0, "eta": 2.0, **NET,
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "value"), variants(scs.ScSpecies.__init__, SPECIES))
def test_species_are_aligned_and_saved(species, tmp_path, name, value):
    plain = value.item() if isinstance(value, (np.generic, np.ndarray)) else value
    made = [aligned(species, **{name: given}) for given in (value, plain)]
    assert made[0]._settings == made[1]._settings
    made[0].save(tmp_path / "m")
    assert scs.ScSpecies.load(tmp_path / "m")._settings == made[1]._settings


@pytest.mark.parametrize(
    ("name", "value"),
    variants(
        scs.ScSpecies.train,
        {
            "max_epochs": 1, "batch_size": 32, "gradient_clip_val": 1.0, "n_threads": 1,
            "verbose": False, "accelerator": "cpu",
        },
        without=("resume", "devices"),
    ),
)  # fmt: skip
def test_species_train_and_are_saved(species, tmp_path, name, value):
    model = aligned(species)
    options = {"max_epochs": 1, "verbose": False, "accelerator": "cpu"}
    model.train(**{**options, "checkpoint_dir": tmp_path / "c", name: value})
    model.save(tmp_path / "m")


def test_results_of_species(species):
    model = aligned(species, target_labels="cell_type")
    model.train(max_epochs=1, verbose=False)
    results = {
        "get_latent_representation": {"species": "species1", "seed": 1},
        "transfer_labels": {"target": "species2", "labels": "cell_type", "n_candidates": 3},
        "similarity": {"target": "species2", "seed": 1, "n_samples": 4},
        "differential_expression": {
            "target": "species2", "target_labels": "transferred", "seed": 1, "n_samples": 20
        },
        "novelty": {"target": "species2"},
        "preliminary_labels": {"target": "species2"},
    }  # fmt: skip
    for result, given in results.items():
        for variant in variants(getattr(model, result), given):
            name, value = variant.values
            getattr(model, result)(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"), variants(scs.datasets.simulated, {"n_cells": 200, "n_genes": 60})
)
def test_simulating(name, value):
    options = {"n_cells": 200, "n_genes": 60, "n_types": 2}
    assert scs.datasets.simulated(**{**options, name: value}).n_obs == 200
