"""Balanced label transfer: can the cells of one system be named by those of another?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pandas as pd

from scsystems.data.by_name import same_cells
from scsystems.errors import InputError
from scsystems.words import word

from .arrays import check_embedding, check_groups
from .neighbors import search


@dataclass(frozen=True)
class LabelTransfer:
    """Result of :func:`label_transfer`.

    Attributes
    ----------
    accuracy
        A row per direction: ``source``, ``target``, ``balanced_accuracy`` (mean recall over
        labels: macro), ``accuracy`` (fraction of cells: micro), ``n_cells``, ``n_labels``.
    recall
        A row per direction and label: ``source``, ``target``, ``label``, ``n_cells`` (of the
        target), ``recall``, and ``mistaken_for`` (the most common wrong name, or "").
    """

    accuracy: pd.DataFrame
    recall: pd.DataFrame

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the balanced accuracy over all directions."""
        return float(self.accuracy["balanced_accuracy"].mean())

    def direction(self, source: str, target: str) -> float:
        """Balanced accuracy from ``source`` to ``target``."""
        rows = self.accuracy.query("source == @source and target == @target")
        if rows.empty:
            raise InputError(
                f"There is no transfer from '{source}' to '{target}'; found: "
                f"{sorted(set(self.accuracy['source']))}."
            )
        return float(rows["balanced_accuracy"].iloc[0])


@same_cells("embedding", "labels", "systems")
def label_transfer(
    embedding,
    labels,
    systems,
    k: int = 25,
    min_cells: int = 20,
    *,
    all_references: bool = False,
) -> LabelTransfer:
    """Name the cells of each system by their nearest neighbors in each other system.

    A cell gets the most common label among its ``k`` nearest cells of the source system; of
    labels equally common, the one whose cell is nearest. Only labels with more than
    ``min_cells`` cells in both systems count.

    Parameters
    ----------
    embedding
        Cells x dimensions.
    labels
        Label of every cell; cells without one are left out.
    systems
        System of every cell.
    k
        Number of neighbors that vote.
    min_cells
        A label counts for a pair of systems if both have more cells of it than this.
    all_references
        Whether the source's cells of labels that do not count may vote, too. It is harder
        then: labels that only one system has can be transferred by mistake.

    Raises
    ------
    InputError
        If there are fewer than two systems, if no pair of systems shares two labels with more
        than ``min_cells`` cells, or if a source has fewer than ``k`` cells.
    """
    embedding = check_embedding(embedding)
    labels = check_groups(labels, len(embedding), "labels", allow_missing=True)
    systems = check_groups(systems, len(embedding), "systems", min_groups=2)
    if k < 1:
        raise InputError(f"'{word('voting neighbors')}' is {k}; expected at least 1 neighbor.")

    known, n_labels = labels.known, len(labels.names)
    sizes = np.zeros((len(systems.names), n_labels), dtype=int)
    np.add.at(sizes, (systems.codes[known], labels.codes[known]), 1)

    accuracy, recall = [], []
    for source, target in permutations(range(len(systems.names)), 2):
        shared = (sizes[source] > min_cells) & (sizes[target] > min_cells)
        if shared.sum() < 2:
            continue
        counts = known & np.append(shared, False)[labels.codes]
        query = np.flatnonzero(counts & (systems.codes == target))
        votes = known if all_references else counts
        reference = np.flatnonzero(votes & (systems.codes == source))
        if len(reference) < k:
            raise InputError(
                f"System '{systems.names[source]}' has {len(reference)} cells that can vote; "
                f"expected at least {k}. Give a smaller '{word('voting neighbors')}'."
            )
        _, indices = search(embedding[reference], embedding[query], k)
        predicted = majority(labels.codes[reference][indices], n_labels)
        truth = labels.codes[query]
        names = {"source": systems.names[source], "target": systems.names[target]}
        rows = [
            {**names, **_recall(predicted[truth == label], label, labels.names)}
            for label in np.flatnonzero(shared)
        ]
        recall += rows
        accuracy.append(
            {
                **names,
                "balanced_accuracy": float(np.mean([row["recall"] for row in rows])),
                "accuracy": float(np.mean(predicted == truth)),
                "n_cells": len(query),
                "n_labels": len(rows),
            }
        )
    if not accuracy:
        raise InputError(
            f"No two systems share at least two labels with more than {min_cells} cells in both; "
            f"give a smaller '{word('smallest label')}' or broader labels."
        )
    return LabelTransfer(pd.DataFrame(accuracy), pd.DataFrame(recall))


def majority(votes: np.ndarray, n_labels: int) -> np.ndarray:
    """Most common code in every row; of equally common ones, the one that comes first.

    Parameters
    ----------
    votes
        Label codes of the neighbors, nearest first, shape ``(n_cells, k)``.
    n_labels
        Number of labels.
    """
    counts = np.zeros((len(votes), n_labels), dtype=np.int32)
    np.add.at(counts, (np.arange(len(votes))[:, None], votes), 1)
    is_top = np.take_along_axis(counts, votes, axis=1) == counts.max(axis=1, keepdims=True)
    return votes[np.arange(len(votes)), is_top.argmax(axis=1)]


def _recall(predicted: np.ndarray, label: int, names: list[str]) -> dict:
    wrong = predicted[predicted != label]
    return {
        "label": names[label],
        "n_cells": len(predicted),
        "recall": 1 - len(wrong) / len(predicted),
        "mistaken_for": names[np.bincount(wrong).argmax()] if len(wrong) else "",
    }
