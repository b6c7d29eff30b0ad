"""Settings to compare: which arguments go to the model, to training, to its plan."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from scsystems.checks import plain_json
from scsystems.errors import InputError
from scsystems.models.sysvi.model import SysVI
from scsystems.models.sysvi.plan import KNOWN_PLAN_KWARGS
from scsystems.words import argument

RESERVED = {"self", "adata", "seed", "verbose", "callbacks", "plan_kwargs", "resume"}


@dataclass(frozen=True)
class Setting:
    """Arguments of one setting, by the names that ``SysVI``, ``train`` and its plan use.

    Attributes
    ----------
    parameters
        All of them.
    name
        What tables and figures call it.

    Examples
    --------
    >>> from scsystems.tune import Setting
    >>> setting = Setting({"prior": "vamp", "z_distance_cycle_weight": 10.0, "max_epochs": 50})
    >>> setting.model
    {'prior': 'vamp'}
    >>> setting.train
    {'max_epochs': 50, 'plan_kwargs': {'z_distance_cycle_weight': 10.0}}
    """

    parameters: dict[str, Any]
    name: str = ""
    _place: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self):
        places = _places()
        object.__setattr__(self, "parameters", plain_json(dict(self.parameters)))
        unknown = [key for key in self.parameters if key not in places]
        if unknown:
            raise InputError(
                f"Unknown parameters in the grid: {unknown}; expected arguments of SysVI "
                f"({_names(places, 'model')}), of its training ({_names(places, 'train')}) or "
                f"of its plan ({_names(places, 'plan')})."
            )
        self._place.update({key: places[key] for key in self.parameters})
        if not self.name:
            object.__setattr__(self, "name", describe(self.parameters))

    @property
    def model(self) -> dict[str, Any]:
        """Arguments of ``SysVI``."""
        return self._of("model")

    @property
    def train(self) -> dict[str, Any]:
        """Arguments of ``train``, with ``plan_kwargs``."""
        plan = self._of("plan")
        return self._of("train") | ({"plan_kwargs": plan} if plan else {})

    def _of(self, place: str) -> dict[str, Any]:
        return {key: v for key, v in self.parameters.items() if self._place[key] == place}


def expand(grid: Mapping[str, Sequence] | Sequence[Mapping[str, Any]]) -> list[Setting]:
    """Make the settings of a grid.

    Parameters
    ----------
    grid
        Either parameter -> values, of which all combinations are taken, or a list of settings,
        each a dict of parameters; ``"name"`` in one of them names the setting.
    """
    if isinstance(grid, Mapping):
        for key, values in grid.items():
            several = isinstance(values, (Sequence, np.ndarray, pd.Index, pd.Series))
            if isinstance(values, str) or not several or not len(values):
                raise InputError(f"grid[{key!r}] is {values!r}; expected a list of values to try.")
        varied = [key for key, values in grid.items() if len(values) > 1]
        settings = []
        for values in product(*grid.values()):
            parameters = plain_json(dict(zip(grid, values, strict=True)))
            name = describe({key: parameters[key] for key in varied} or parameters)
            settings.append(Setting(parameters, name))
    else:
        settings = [
            Setting({k: v for k, v in entry.items() if k != "name"}, str(entry.get("name", "")))
            for entry in grid
        ]
    names = [setting.name for setting in settings]
    if len(set(names)) < len(names) or not names:
        raise InputError(
            f"The grid has {len(names)} settings named {names}; expected at least one, and "
            "every one different."
        )
    return settings


def describe(parameters: Mapping[str, Any]) -> str:
    """Short text of parameters: ``prior=vamp, kl_weight=1``."""
    text = ", ".join(f"{key}={_short(value)}" for key, value in parameters.items())
    return text or "defaults"


def _short(value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _places() -> dict[str, str]:
    places = {name: "plan" for name in KNOWN_PLAN_KWARGS}
    places |= {name: "train" for name in inspect.signature(SysVI.train).parameters}
    places |= {name: "model" for name in inspect.signature(SysVI.__init__).parameters}
    return {name: place for name, place in places.items() if name not in RESERVED}


def _names(places: dict[str, str], place: str) -> str:
    return ", ".join(sorted(argument(name) for name, p in places.items() if p == place))
