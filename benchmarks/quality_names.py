"""Score methods that name cells and embed none, as far as they can be: by label transfer."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, recall_score

# as in scsystems.metrics.evaluate()
MIN_CELLS = 20


def shared_labels(obs: pd.DataFrame) -> pd.Series:
    """Labels with more than 20 cells in every system; others are missing.

    As in :func:`scsystems.metrics.label_transfer`, no other cell is a reference or counts.
    """
    sizes = pd.crosstab(obs["label"], obs["system"])
    shared = sizes.index[(sizes > MIN_CELLS).all(axis=1)]
    return obs["label"].where(obs["label"].isin(shared))


def name_rows(names: np.ndarray, obs: pd.DataFrame, run: str) -> list[list]:
    """Rows of the table of ``evaluate()`` for the metric ``label_transfer``.

    Parameters
    ----------
    names
        Name of every cell by every system, shape ``(n_cells, n_systems)``; systems in sorted order.
    obs
        Columns ``system`` and ``label``.
    run
        Name of the run.
    """
    truth = shared_labels(obs)
    groups, recalls, accuracies = {}, {}, []
    systems = sorted(obs["system"].unique())
    for source, target in permutations(range(len(systems)), 2):
        cells = ((obs["system"] == systems[target]) & truth.notna()).to_numpy()
        true, named = truth[cells].astype(str), names[cells, source]
        labels = sorted(true.unique())
        recall = recall_score(true, named, labels=labels, average=None, zero_division=0)
        direction = f"{systems[source]} -> {systems[target]}"
        groups[direction] = float(np.mean(recall))
        recalls |= {f"{direction}: {k}": float(v) for k, v in zip(labels, recall, strict=True)}
        accuracies.append(accuracy_score(true, named))
    macro, micro = float(np.mean(list(groups.values()))), float(np.mean(accuracies))
    levels = [("overall", "", macro), ("micro", "", micro), ("macro", "", macro)]
    levels += [("group", name, value) for name, value in (groups | recalls).items()]
    return [[run, "label_transfer", "transfer", *row] for row in levels]
