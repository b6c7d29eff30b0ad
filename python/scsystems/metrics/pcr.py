"""Principal component regression: how much of the variance do the systems explain?"""

from __future__ import annotations

import numpy as np

from scsystems.data.by_name import same_cells
from scsystems.errors import InputError

from .arrays import check_embedding, check_groups


@same_cells("embedding", "groups")
def explained_variance(embedding, groups) -> float:
    """Fraction of an embedding's variance that the groups' means explain.

    Principal component regression over all components comes to this ratio of sums of squares,
    because a rotation changes neither of them.

    Parameters
    ----------
    embedding
        Cells x dimensions.
    groups
        Group of every cell.
    """
    embedding = check_embedding(embedding).astype(np.float64)
    groups = check_groups(groups, len(embedding), "groups")
    centered = embedding - embedding.mean(axis=0)
    total = (centered**2).sum()
    if total == 0:
        raise InputError("All cells have the same embedding; expected it to vary.")
    sums = np.zeros((len(groups.names), centered.shape[1]))
    np.add.at(sums, groups.codes, centered)
    return float((sums**2 / groups.sizes[:, None]).sum() / total)


@same_cells("before", "after", "systems")
def pcr_comparison(before, after, systems) -> float:
    """Fraction of the variance explained by the systems that integration removed.

    Parameters
    ----------
    before, after
        Unintegrated and integrated embedding, cells x dimensions.
    systems
        System of every cell.

    Returns
    -------
    1 if no system effect is left, 0 if it is as large as before or larger; scib-metrics'
    ``pcr_comparison`` with a categorical covariate.
    """
    before = check_embedding(before, "before")
    systems = check_groups(systems, len(before), "systems", min_groups=2)
    was = explained_variance(before, systems)
    if was < 1e-12:
        raise InputError("The systems explain nothing of 'before'; there is no effect to remove.")
    return max(0.0, 1 - explained_variance(check_embedding(after, "after"), systems) / was)
