"""Settings of scSpecies: the best known defaults, the paper's, and their checks."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

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
    if preset not in PRESETS:
        raise InputError(f"preset={preset!r} is not known. Expected one of {tuple(PRESETS)}.")
    settings = {k: PRESETS[preset].get(k) if v is None else v for k, v in given.items()}
    for name, choices in CHOICES.items():
        if settings[name] not in choices:
            raise InputError(f"{name}={settings[name]!r} is not known. Expected one of {choices}.")
    for name in ("n_latent", "n_features", "n_hidden", "n_neighbors"):
        value = settings[name]
        if not _is_whole(value) or value < 1:
            raise InputError(f"{name}={value!r}. Expected a whole number of at least 1.")
        settings[name] = int(value)
    every = settings["search_every"]
    if not _is_whole(every) or every < 0:
        raise InputError(
            f"search_every={every!r}. Expected a number of epochs, or 0 to search in every step."
        )
    if not (isinstance(settings["dropout_rate"], Real) and 0 <= settings["dropout_rate"] < 1):
        raise InputError(f"dropout_rate={settings['dropout_rate']!r}. Expected a share in [0, 1).")
    for name in ("kl_weight", "eta"):
        settings[name] = _ramp(name, settings[name])
    settings["mixing_weight"] = _ramp("mixing_weight", settings["mixing_weight"])[1]
    quantile = settings["quantile"]
    if quantile is not None and not (isinstance(quantile, Real) and 0 <= quantile <= 1):
        raise InputError(
            f"quantile={quantile!r}. Expected a level between 0 (align all cells) and 1."
        )
    if not _is_whole(settings["seed"]):
        raise InputError(f"seed={settings['seed']!r}. Expected a whole number.")
    settings["seed"] = int(settings["seed"])
    return settings


def _is_whole(value: Any) -> bool:
    """Whether it is a whole number, be it an integer or not (R's are not)."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    return is_number and float(value).is_integer()


def _ramp(name: str, value: float | tuple[float, float]) -> tuple[float, float]:
    """A weight as (start, end): one number is constant."""
    pair = tuple(value) if isinstance(value, (tuple, list, np.ndarray)) else (value, value)
    if len(pair) != 2 or not all(isinstance(v, Real) and 0 <= v < float("inf") for v in pair):
        raise InputError(
            f"{name}={value!r}. Expected a weight of at least 0, or two: at the start and after the warm-up."
        )
    return float(pair[0]), float(pair[1])
