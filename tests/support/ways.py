"""The ways to train on a GPU that tests go, with and without one."""

import numpy as np

from scsystems import ScSpecies, SysVI

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


# how load_query_data() may free what it maps
MAPPINGS = [
    {},
    {"unfrozen": True},
    {"freeze_expression": False, "freeze_decoder_first_layer": False},
    {"freeze_batchnorm_encoder": False, "freeze_batchnorm_decoder": False},
    {"freeze_dropout": True},
]

# ScSpecies' constructor's arguments
SPECIES_WAYS = {
    "default": {},
    "latent": {"alignment": "latent"},
    "zero inflation": {"likelihood": "zinb"},
    "dispersion per cell": {"dispersion": "cell"},
    "library encoder": {"library": "encoder"},
    "no mixing": {"mixing_weight": 0.0},
}


def species_model(species, **options):
    data, table = species
    (context, mouse), *targets = data.items()
    arguments = {"n_features": 16, "n_hidden": 12, "n_latent": 4, "n_neighbors": 5} | options
    return ScSpecies({context: mouse}, dict(targets[:1]), "cell_type", table, **arguments)
