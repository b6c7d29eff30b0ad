"""The prior of `SysVI`: its starting components."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ...data.resident import CellArrays, iterate
from ...data.spread import spread_cells
from ...errors import InputError
from ...nn.sysvi.net import SysVINet
from ...words import word


def start_prior(
    net: SysVINet,
    cells: CellArrays,
    arguments: dict[str, Any],
    indices: np.ndarray | None,
    generator: torch.Generator,
) -> None:
    """Give the network's prior components to start from.

    Parameters
    ----------
    net
        The network; for a Gaussian mixture its encoder places the components.
    cells
        The model's cells, from which components start.
    arguments
        Of the model's constructor.
    indices
        The cells to start from; ``None`` chooses them as the arguments say.
    generator
        For components that start at random places.

    Raises
    ------
    InputError
        If indices are given to a prior that does not use cells, or not one per component.
    """
    a, k = arguments, arguments["n_prior_components"]
    kind = net.priors[a["prior"]]
    if not kind.of_cells:
        if indices is not None:
            raise InputError(
                f"{word('pseudoinputs_data_indices')} is given, but prior={a['prior']!r} has no components."
            )
        return
    how = a["trainable_priors"], a["prior_density"]
    if a["prior"] == "gmm" and a["gmm_init"] == "random":
        if indices is not None:
            raise InputError(
                f"{word('pseudoinputs_data_indices')} is given, but gmm_init='random' does not use cells."
            )
        net.prior = kind.from_noise(k, a["n_latent"], generator, *how)
        return
    if indices is None and a["pseudoinput_choice"] == "spread":
        chosen = spread_cells(cells.x, cells.system, k, a["seed"])
    elif indices is None:
        n = len(cells)
        chosen = np.random.default_rng(a["seed"]).choice(n, size=k, replace=k > n)
    else:
        chosen = indices
        if len(chosen) != k:
            raise InputError(
                f"{word('pseudoinputs_data_indices')} has {len(chosen)} cells. Expected n_prior_components={k} of them."
            )
    batch = next(iterate(cells.take(chosen), torch.device("cpu"), k))
    with torch.no_grad():
        design = net.covariates.design(net.condition(batch))
        net.prior = kind.from_cells(batch.x, design, net.encode, *how)


def empty_prior(net: SysVINet, arguments: dict[str, Any]) -> None:
    """A prior of the right shape, for weights to be loaded into."""
    a = arguments
    net.prior = net.priors[a["prior"]].empty(
        a["n_prior_components"], net.sizes, a["trainable_priors"], a["prior_density"]
    )
