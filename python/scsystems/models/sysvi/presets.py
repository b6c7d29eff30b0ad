"""Named sets of defaults of SysVI: the best known, and the paper's."""

from __future__ import annotations

from typing import Any

from ... import checks, options

# arguments of the constructor whose default a preset decides
MODEL = {
    preset: {
        name: options.defaults(options.SYSVI, preset)[name]
        for name in options.by_preset(options.SYSVI)
    }
    for preset in ("default", "paper")
}


def _plan(preset: str) -> dict[str, Any]:
    """What `plan_kwargs` has if nothing is given and the trainer's own default is another."""
    chosen = options.defaults(options.SYSVI, preset, "plan")
    names = ("kl_weight", "z_distance_cycle_weight", "lr", "eps", "label_weight")
    return {name: chosen[name] for name in names}


# what train() takes if nothing else is given: the largest number of epochs, and plan_kwargs
TRAINING: dict[str, dict[str, Any]] = {
    "default": {"most_epochs": 250, "plan": _plan("default")},
    "paper": {"most_epochs": 400, "plan": _plan("paper")},
    # of models that package saved: training goes on as it would there
    "scvi-tools": {
        "most_epochs": 400,
        "plan": {"kl_weight": 1.0, "z_distance_cycle_weight": 2.0, "lr": 1e-3, "eps": 0.01},
    },
}

# variable genes per system, where genes are chosen and a model is trained in one call
GENES = {
    preset: options.defaults(options.SYSVI, preset, "prepare")["n_top_genes"]
    for preset in ("default", "paper")
}


def defaults(preset: str) -> dict[str, Any]:
    """Everything that a preset decides about a model and its training."""
    preset = _check(preset)
    return MODEL[preset] | TRAINING[preset]


def n_top_genes(preset: str) -> int:
    """Variable genes per system."""
    return GENES[_check(preset)]


def _check(preset: str) -> str:
    return checks.choice("preset", preset, tuple(MODEL))


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
