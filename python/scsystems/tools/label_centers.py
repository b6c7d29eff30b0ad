"""Where the cells of labels lie in an embedding."""

from __future__ import annotations

import numpy as np

# of the mean variance, added to that of every dimension: some have next to none within labels
RIDGE = 1e-3


def label_centers(z: np.ndarray, label: np.ndarray, n_labels: int) -> tuple[np.ndarray, np.ndarray]:
    """Centers of labels, and the inverse of the covariance that all have about their own.

    Parameters
    ----------
    z
        Embedding, N x L.
    label
        Codes of the labels, N.
    n_labels
        Their number K.

    Returns
    -------
    K x L centers, infinite where a label has no cell, and L x L.
    """
    z = np.asarray(z, np.float64)
    n = np.bincount(label, minlength=n_labels)
    centers = np.zeros((n_labels, z.shape[1]))
    np.add.at(centers, label, z)
    centers /= np.maximum(n, 1)[:, None]
    away = z - centers[label]
    covariance = away.T @ away / len(z)
    ridge = RIDGE * max(np.trace(covariance) / len(covariance), 1e-12)
    centers[n == 0] = np.inf
    return centers, np.linalg.inv(covariance + ridge * np.eye(len(covariance)))
