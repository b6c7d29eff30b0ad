"""Arguments of the constructor of `SysVI`, checked."""

from __future__ import annotations

from numbers import Real
from typing import Any

from ...errors import InputError
from ...nn.sysvi.priors import PRIORS

# those that `scsystems.nn.sysvi.net.SysVISizes` takes under the same name
SIZE_ARGUMENTS = (
    "n_latent",
    "n_hidden",
    "n_layers",
    "n_layers_decoder",
    "dropout_rate",
    "out_var_mode",
    "covariate_init",
    "encode_covariates",
    "cycle_covariates",
)

_CHOICES = {
    "prior": tuple(PRIORS),
    "prior_density": ("joint", "factorized"),
    "pseudoinput_choice": ("spread", "random"),
    "gmm_init": ("data", "random"),
    "out_var_mode": ("constant", "feature", "sample_feature"),
    "covariate_init": ("zero", "linear"),
    "cycle_covariates": ("keep", "zero"),
}


def embedding_arguments(embedding_kwargs: dict[str, Any] | None) -> dict[str, Any]:
    """``embedding_kwargs`` of scvi-tools, of which only the length has a meaning here."""
    given = dict(embedding_kwargs or {})
    found = {"embedding_dim": given.pop("embedding_dim")} if "embedding_dim" in given else {}
    if given:
        raise InputError(
            f"embedding_kwargs has unknown entries: {sorted(given)}. Expected only 'embedding_dim'."
        )
    return found


def check_arguments(arguments: dict[str, Any]) -> None:
    """Check values and make whole numbers of those that must be."""
    for name, choices in _CHOICES.items():
        if arguments[name] not in choices:
            raise InputError(f"{name}={arguments[name]!r} is not known. Expected one of {choices}.")
    for name in (
        "n_prior_components",
        "n_latent",
        "n_hidden",
        "n_layers",
        "n_layers_decoder",
        "embedding_dim",
    ):
        value = arguments[name]
        # as many as the encoder has
        if name == "n_layers_decoder" and value is None:
            continue
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if not is_number or value % 1 != 0 or value < 1:
            raise InputError(f"{name}={value!r}. Expected a whole number of at least 1.")
        arguments[name] = int(value)
    if not 0 <= arguments["dropout_rate"] < 1:
        raise InputError(f"dropout_rate={arguments['dropout_rate']!r}. Expected a share in [0, 1).")
    arguments["seed"] = int(arguments["seed"])
