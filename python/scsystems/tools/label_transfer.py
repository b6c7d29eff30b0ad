"""Name target cells by the context cells that explain them best."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..data.neighbors import vote


def rank(among: np.ndarray, values: np.ndarray, k: int) -> np.ndarray:
    """The ``k`` candidates of each cell with the smallest values, best first.

    Parameters
    ----------
    among
        Candidates, n x K.
    values
        What to rank them by, n x K.
    """
    best = np.argsort(values, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(among, best, 1)


def transfer(among: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """Majority of the neighbors' labels, and its fraction of the votes.

    Parameters
    ----------
    among
        Neighbors of every cell, best first, n x k.
    labels
        Labels of the cells they are taken from; missing ones do not vote.

    Returns
    -------
    ``label`` and ``confidence``, n rows. A cell of whose neighbors none has a label has none.
    """
    codes, names = pd.factorize(np.asarray(labels, dtype=object))
    names = np.concatenate([np.asarray(names, dtype=object), [None]])
    # a missing label is a label of its own until the votes are counted
    codes = np.where(codes < 0, len(names) - 1, codes)[among]
    missing = codes == len(names) - 1
    if not missing.any():
        winner, fraction = vote(codes, len(names))
        return pd.DataFrame({"label": names[winner], "confidence": fraction})
    rows = [c[~m] if not m.all() else c for c, m in zip(codes, missing, strict=True)]
    votes = [vote(row[None], len(names)) for row in rows]
    winner = np.array([w[0] for w, _ in votes])
    fraction = (
        np.array([s[0] * len(row) for (_, s), row in zip(votes, rows, strict=True)])
        / codes.shape[1]
    )
    fraction[winner == len(names) - 1] = 0.0
    return pd.DataFrame({"label": names[winner], "confidence": fraction.astype(np.float32)})
