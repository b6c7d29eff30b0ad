"""Labels by a vote of the nearest labelled cells: arrays in, table out."""

from __future__ import annotations

import numpy as np
import pandas as pd


def vote(
    reference: np.ndarray, labels: np.ndarray, query: np.ndarray, n_neighbors: int
) -> pd.DataFrame:
    """The most common label among the nearest reference cells.

    Of labels equally common, the one whose cells are nearer on average wins.

    Parameters
    ----------
    reference
        Embedding of the labelled cells, R x L.
    labels
        Their labels, R.
    query
        Embedding of the cells to name, Q x L.
    n_neighbors
        Cells that vote, fewer than R.

    Returns
    -------
    Q rows: ``label``, ``confidence`` (share of the votes) and ``distance`` (mean distance to
    the neighbours; 1 is the median of the same among reference cells).
    """
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=n_neighbors).fit(reference)
    usual = np.median(search.kneighbors()[0].mean(1))
    names, codes = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    if len(query) == 0:
        return pd.DataFrame({"label": np.array([], object), "confidence": [], "distance": []})
    distance, at = search.kneighbors(query)
    votes = np.zeros((len(query), len(names)), dtype=np.int64)
    total_distance = np.zeros(votes.shape)
    rows = np.repeat(np.arange(len(query)), n_neighbors)
    np.add.at(votes, (rows, codes[at].ravel()), 1)
    np.add.at(total_distance, (rows, codes[at].ravel()), distance.ravel())
    # distance decides ties alone: squeezed to less than one vote
    penalty = total_distance / np.maximum(votes, 1) / (2 * max(distance.max(), 1e-30))
    best = (votes - penalty).argmax(1)
    return pd.DataFrame(
        {
            "label": names[best].astype(object),
            "confidence": votes[np.arange(len(query)), best] / n_neighbors,
            "distance": distance.mean(1) / max(usual, 1e-30),
        }
    )
