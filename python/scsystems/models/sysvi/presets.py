"""Named sets of defaults of SysVI: the best known, and the paper's."""

from __future__ import annotations

from typing import Any

from ...data.features import N_TOP_GENES
from ...errors import InputError

# arguments of the constructor whose default a preset decides
MODEL = {
    "default": {
        "n_layers_decoder": 3,
        "out_var_mode": "constant",
        "n_prior_components": 20,
        "prior_density": "joint",
        "pseudoinput_choice": "spread",
        "covariate_init": "zero",
        "encode_covariates": False,
        "cycle_covariates": "keep",
    },
    "paper": {
        # as many as of the encoder
        "n_layers_decoder": None,
        "out_var_mode": "feature",
        "n_prior_components": 5,
        "prior_density": "joint",
        "pseudoinput_choice": "random",
        "covariate_init": "linear",
        "encode_covariates": True,
        "cycle_covariates": "zero",
    },
}

# what train() takes if nothing else is given: the largest number of epochs, and plan_kwargs
TRAINING = {
    "default": {
        "most_epochs": 250,
        "plan": {"kl_weight": 0.8, "z_distance_cycle_weight": 3.0, "lr": 2e-3, "eps": 1e-4},
    },
    "paper": {
        "most_epochs": 400,
        "plan": {"kl_weight": 1.0, "z_distance_cycle_weight": 5.0, "lr": 1e-3, "eps": 0.01},
    },
    # of models that package saved: training goes on as it would there
    "scvi-tools": {
        "most_epochs": 400,
        "plan": {"kl_weight": 1.0, "z_distance_cycle_weight": 2.0, "lr": 1e-3, "eps": 0.01},
    },
}

# variable genes per system, where genes are chosen and a model is trained in one call
GENES = {"default": N_TOP_GENES, "paper": 3000}


def defaults(preset: str) -> dict[str, Any]:
    """Everything that a preset decides about a model and its training."""
    _check(preset)
    return MODEL[preset] | TRAINING[preset]


def n_top_genes(preset: str) -> int:
    """Variable genes per system."""
    _check(preset)
    return GENES[preset]


def _check(preset: str) -> None:
    if preset not in MODEL:
        raise InputError(f"preset={preset!r} is not known. Expected one of {tuple(MODEL)}.")


def choose(preset: str, given: dict[str, Any]) -> dict[str, Any]:
    """Fill in what is ``None`` in ``given`` from a preset.

    Parameters
    ----------
    preset
        ``"default"`` or ``"paper"``.
    given
        The arguments in `MODEL`, each a value or ``None``.
    """
    chosen = defaults(preset)
    return {k: chosen[k] if v is None else v for k, v in given.items()}
