"""Arguments of the constructor of `SysVI`, checked."""

from __future__ import annotations

from typing import Any

from ... import checks, options
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

_OF_MODEL = [o for o in options.SYSVI if o.where == "model"]
_CHOICES = {o.name: o.choices for o in _OF_MODEL if o.choices} | {"prior": tuple(PRIORS)}
_COUNTS = [o for o in _OF_MODEL if o.whole]
_FLAGS = [o.name for o in _OF_MODEL if isinstance(o.default, bool)]


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
    """Check values and make Python's own of them, so that they can be written as JSON."""
    for name, choices in _CHOICES.items():
        arguments[name] = checks.choice(name, arguments[name], choices)
    for option in _COUNTS:
        name = option.name
        if not (option.optional and arguments[name] is None):
            arguments[name] = checks.count(name, arguments[name])
    for name in _FLAGS:
        arguments[name] = checks.flag(name, arguments[name])
    arguments["dropout_rate"] = checks.fraction(
        "dropout_rate", arguments["dropout_rate"], one=False
    )
    arguments["seed"] = checks.seed(arguments["seed"])
    if "preset" in arguments:  # models that scvi-tools saved have none
        arguments["preset"] = checks.name("preset", arguments["preset"])
