"""Which component of the prior does a cell belong to?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from scsystems.data.by_name import same_cells
from scsystems.errors import InputError

from .arrays import check_embedding, check_groups


def prior_component(embedding, means, variances, weights=None) -> np.ndarray:
    """Component of a mixture prior with the highest support for every cell.

    The largest ``log w_k + sum_l log N(z_l; m_kl, v_kl)``, as in the paper's look at what
    the components of a VampPrior stand for.

    Parameters
    ----------
    embedding
        Cells x dimensions.
    means, variances
        Components x dimensions.
    weights
        Mixture weights (default: equal).

    Returns
    -------
    Component of every cell, counted from 0.

    Examples
    --------
    Of a trained model with a VampPrior or Gaussian mixture::

        prior = model.net.prior
        means, variances = prior.components(model.net.eval().encode)
        parts = [part.detach().cpu() for part in (means, variances, prior.log_weights().exp())]
        components = prior_component(model.get_latent_representation(), *parts)
        scs.pl.prior_components(components, adata.obs["cell_type"], adata.obs["system"])
    """
    embedding = check_embedding(embedding).astype(np.float64)
    means, variances = np.asarray(means, np.float64), np.asarray(variances, np.float64)
    if means.shape != variances.shape or means.ndim != 2 or means.shape[1] != embedding.shape[1]:
        raise InputError(
            f"'means' has shape {means.shape} and 'variances' {variances.shape}; expected both "
            f"components x {embedding.shape[1]} dimensions of the embedding."
        )
    if (variances <= 0).any():
        raise InputError("'variances' has values of zero or less; expected positive variances.")
    weights = np.ones(len(means)) if weights is None else np.asarray(weights, np.float64)
    if weights.shape != (len(means),) or (weights < 0).any():
        raise InputError(
            f"'weights' has shape {weights.shape}; expected {len(means)} values of zero or more."
        )
    with np.errstate(divide="ignore"):
        support = np.log(weights) - 0.5 * np.log(variances).sum(axis=1)
    best, chosen = np.full(len(embedding), -np.inf), np.zeros(len(embedding), dtype=int)
    for k, (mean, variance) in enumerate(zip(means, variances, strict=True)):
        density = support[k] - 0.5 * ((embedding - mean) ** 2 / variance).sum(axis=1)
        better = density > best
        best[better], chosen[better] = density[better], k
    return chosen


@same_cells("components", "groups")
def component_shares(components, groups, n_components: int | None = None) -> pd.DataFrame:
    """Fraction of every group's cells (rows) in every component (columns); rows sum to one.

    Parameters
    ----------
    components
        Component of every cell.
    groups
        Cell type or system of every cell.
    n_components
        Number of columns (default: up to the largest component).
    """
    components = np.asarray(components)
    groups = check_groups(groups, len(components), "groups", allow_missing=True)
    n = int(components.max()) + 1 if n_components is None else n_components
    counts = np.zeros((len(groups.names), n))
    np.add.at(counts, (groups.codes[groups.known], components[groups.known]), 1)
    fractions = counts / counts.sum(axis=1, keepdims=True)
    return pd.DataFrame(fractions, index=groups.names, columns=range(n))
