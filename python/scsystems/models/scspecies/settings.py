"""Settings of scSpecies: the best known defaults, the paper's, and their checks."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import checks
from ...errors import InputError

# arguments of the constructor whose default a preset decides
PRESETS: dict[str, dict[str, Any]] = {
    "default": {
        "likelihood": "nb",
        "dispersion": "batch",
        "library": "observed",
        "encoder_input": "log1p",
        "homologous_share": "observed",
        "search_every": 10,
        "mixing_weight": 5.0,
    },
    "paper": {
        "likelihood": "zinb",
        "dispersion": "batch",
        "library": "encoder",
        "encoder_input": "log1p",
        "homologous_share": "genes",
        "search_every": 0,
        "mixing_weight": 0.0,
    },
}

CHOICES = {
    "likelihood": ("nb", "zinb"),
    "dispersion": ("dataset", "batch", "cell"),
    "library": ("observed", "encoder"),
    "encoder_input": ("log1p", "counts"),
    "homologous_share": ("observed", "genes"),
    "alignment": ("intermediate", "latent"),
}


def choose(preset: str, given: dict[str, Any]) -> dict[str, Any]:
    """Fill in what is ``None`` in ``given`` from a preset, and check all.

    Parameters
    ----------
    preset
        ``"default"`` or ``"paper"``.
    given
        The constructor's settings by name.
    """
    preset = checks.choice("preset", preset, tuple(PRESETS))
    settings = {k: PRESETS[preset].get(k) if v is None else v for k, v in given.items()}
    for name, choices in CHOICES.items():
        settings[name] = checks.choice(name, settings[name], choices)
    for name in ("n_latent", "n_features", "n_hidden", "n_neighbors"):
        settings[name] = checks.count(name, settings[name])
    # 0 searches in every step
    settings["search_every"] = checks.count("search_every", settings["search_every"], at_least=0)
    settings["n_warmup"] = checks.count("n_warmup", settings["n_warmup"], at_least=0)
    settings["dropout_rate"] = checks.fraction("dropout_rate", settings["dropout_rate"], one=False)
    for name in ("kl_weight", "eta"):
        settings[name] = _ramp(name, settings[name])
    settings["mixing_weight"] = checks.number(
        "mixing_weight", settings["mixing_weight"], at_least=0
    )
    if settings["quantile"] is not None:
        settings["quantile"] = checks.fraction("quantile", settings["quantile"])
    settings["seed"] = checks.seed(settings["seed"])
    return settings


def _ramp(name: str, value: Any) -> tuple[float, float]:
    """A weight as (start, end): one number is constant."""
    several = isinstance(value, (tuple, list)) or np.ndim(value) == 1
    pair = tuple(value) if several else (value, value)
    if len(pair) != 2:
        raise InputError(
            f"{name}={value!r}. Expected a weight of at least 0, or two: at the start and after the warm-up."
        )
    first, last = (checks.number(name, v, at_least=0) for v in pair)
    return first, last
