"""Settings of scSpecies: the best known defaults, the paper's, and their checks."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import checks, options
from ...errors import InputError

# arguments of the constructor whose default a preset decides
PRESETS: dict[str, dict[str, Any]] = {
    preset: {o.name: o.value(preset) for o in options.SCSPECIES if o.by_preset}
    for preset in ("default", "paper")
}

CHOICES = options.choices(options.SCSPECIES)
_COUNTS = [o for o in options.SCSPECIES if o.whole and o.where == "model"]


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
    for option in _COUNTS:
        # those of the choice of genes, which may differ by species, are checked with it
        if (name := option.name) in settings:
            least = int(option.at_least or 0)
            settings[name] = checks.count(name, settings[name], at_least=least)
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
