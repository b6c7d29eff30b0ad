"""What looks wrong with an embedding, in sentences."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from scsystems.metrics.neighbors import nearest_neighbors

# a type is lost when fewer of its cells' neighbors than this are of the type
KEPT = 0.5
NEIGHBORS = 15
# with fewer cells a type cannot fill its own neighborhoods, wherever it lies
FEWEST = 10


def neighbor_types(embedding: np.ndarray, labels: ArrayLike) -> pd.DataFrame:
    """Fraction of a type's neighbors (rows) that are of each type (columns); rows sum to one.

    Parameters
    ----------
    embedding
        Cells x dimensions.
    labels
        Type of every cell; cells without one are left out.
    """
    types = pd.Series(np.asarray(labels, object)).astype("string")
    known = types.notna().to_numpy()
    codes, names = pd.factorize(types[known], sort=True)
    space = np.asarray(embedding)[known]
    found = nearest_neighbors(space, min(NEIGHBORS, len(space) - 1)).indices
    counts = np.zeros((len(names), len(names)))
    np.add.at(counts, (np.repeat(codes, found.shape[1]), codes[found].ravel()), 1)
    return pd.DataFrame(
        counts / counts.sum(axis=1, keepdims=True), index=list(names), columns=list(names)
    )


def merged_types(
    shares: pd.DataFrame, before: pd.DataFrame | None = None, skipped: Collection[str] = ()
) -> list[str]:
    """Sentences about types whose cells lie among another type.

    Parameters
    ----------
    shares
        Result of `neighbor_types` after integration.
    before
        The same before it: types that lay among another already are said to.
    skipped
        Types that nothing is said of.
    """
    said = []
    for name in shares.index:
        own = shares.loc[name, name]
        if own >= KEPT or name in skipped:
            continue
        other = shares.loc[name].drop(name).idxmax() if len(shares) > 1 else name
        then = None if before is None else before.loc[name, name]
        text = f"{name} lies among {other}: {own:.0%} of its cells' neighbors are of the type"
        if then is not None:
            text += f", before integration {then:.0%}"
            text += (
                ". It was not apart before either."
                if then < KEPT
                else ". It may be lost: lower the strength of integration, or add markers to the genes."
            )
        said.append(text)
    return said


def rare_types(labels: ArrayLike) -> list[str]:
    """The types with too few cells to say whether they are kept."""
    sizes = pd.Series(np.asarray(labels, object)).astype("string").value_counts()
    return sorted(str(name) for name, n in sizes.items() if n < FEWEST)


def foreign_types(labels: ArrayLike, systems: ArrayLike) -> dict[str, str]:
    """The types that a single system has, and which; cells without a type are left out."""
    table = pd.crosstab(pd.Series(np.asarray(labels)), pd.Series(np.asarray(systems)))
    alone = table[(table > 0).sum(axis=1) == 1]
    return {str(name): str(row.idxmax()) for name, row in alone.iterrows()}


def unused_components(components: np.ndarray, n_components: int) -> int:
    """How many components of the prior no cell belongs to."""
    return int(n_components - len(np.unique(components)))
