"""Labels of cells: which of them training is told, and `SysVI.predict`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from ...data.resident import CellArrays
from ...errors import InputError
from ...nn.sysvi.classifier import UNLABELED
from ...words import column, word
from ..base import TrainedState, resolve_indices

if TYPE_CHECKING:
    from ...nn.sysvi.net import SysVINet

# of every label's cells one in so many is kept from training, to calibrate probabilities on
HELD_BACK = 10
# fewer cells than this say little of how sure the classifier may be
FEWEST_HELD_BACK = 20
# a cell counts as its label's number of cells to this power: rare labels are learned, too
BALANCE = -0.5
# probabilities are made no sharper than the classifier has them, and at most so much flatter
MOST_TEMPERATURE = 20.0


def hold_back(label: np.ndarray, seed: int) -> np.ndarray:
    """Positions of the cells, one in `HELD_BACK` of every label, whose label is kept from training."""
    rng = np.random.default_rng(seed)
    found = [
        rng.permutation(at)[: len(at) // HELD_BACK]
        for at in (np.flatnonzero(label == k) for k in range(label.max(initial=UNLABELED) + 1))
    ]
    return np.sort(np.concatenate(found)) if found else np.zeros(0, np.int64)


def balance(label: np.ndarray, n_labels: int) -> np.ndarray:
    """Weight of a cell of each label: rare labels count more, and all together as much as if every cell had one, K."""
    n = np.bincount(label[label != UNLABELED], minlength=n_labels).astype(np.float64)
    weight = np.where(n > 0, np.maximum(n, 1) ** BALANCE, 0)
    total = (n * weight).sum()
    return weight * (len(label) / total) if total else weight


def best_temperature(logits: np.ndarray, label: np.ndarray) -> float:
    """What to divide logits by so that the labels are likeliest (Guo et al. 2017).

    Parameters
    ----------
    logits
        N x K, of cells that were not trained on.
    label
        Their labels, N.
    """

    def loss(log_t: float) -> float:
        log_p = log_softmax(logits / np.exp(log_t), axis=1)
        return -float(log_p[np.arange(len(label)), label].mean())

    found = minimize_scalar(loss, bounds=(0, np.log(MOST_TEMPERATURE)), method="bounded")
    return float(np.exp(found.x))


class LabelsMixin(TrainedState):
    """``predict`` of `SysVI`."""

    net: SysVINet

    def predict(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        soft: bool = False,
        batch_size: int | None = None,
    ) -> np.ndarray | pd.DataFrame:
        """Name cells by the labels that training was told of.

        Parameters
        ----------
        adata
            Cells of any of the model's systems; default the model's own.
        indices
            Which cells, as indices or a boolean mask; default all.
        soft
            Return the probability of every label.
        batch_size
            Cells at a time; default 4,096.

        Returns
        -------
        The likeliest label of each cell, n; or with ``soft`` a row per cell and a column per
        label. Probabilities are calibrated on labels that training was not told: those of the
        validation cells, else of one cell in ten of each label.

        Raises
        ------
        InputError
            If the model was set up without ``labels_key``.
        """
        self._require_trained()
        self._require_labels()
        with torch.inference_mode():
            found = [
                self.net.classifier.probabilities(mean).cpu().numpy()
                for _, mean, _ in self._posterior(adata, indices, batch_size)
            ]
        names = np.array(self.schema.labels, dtype=object)
        p = np.concatenate(found) if found else np.zeros((0, len(names)), np.float32)
        if not soft:
            return names[p.argmax(1)]
        cells = self._cell_names(adata)
        at = resolve_indices(indices, cells)
        return pd.DataFrame(p, index=cells if at is None else cells[at], columns=list(names))

    def _require_labels(self) -> None:
        if self.net.classifier is None:
            raise InputError(
                f"This model was not told any labels. Give {word('cell labels')} and train a model with them, or "
                f"name cells by their neighbors with {word('neighbor labels')}."
            )

    def _told(
        self, cells: CellArrays, validation_at: np.ndarray, seed: int
    ) -> tuple[CellArrays, np.ndarray]:
        """The cells with the labels that training is told, and positions of labels it is not told."""
        if cells.label is None:
            raise InputError(
                f"The cells have no {column(self.schema.setup.labels_key)}, the labels that the model is to be told. "
                f"Expected it, or label_weight=0 in {word('plan_kwargs')}."
            )
        label = cells.label.copy()
        held = np.asarray(validation_at)[label[validation_at] != UNLABELED]
        if not len(validation_at):
            held = hold_back(label, seed)
            label[held] = UNLABELED
        weight = balance(np.delete(label, validation_at), len(self.schema.labels))
        self.net.classifier.balance.copy_(torch.from_numpy(weight))
        return replace(cells, label=label), held

    def _calibrate(self, label: np.ndarray, held: np.ndarray) -> dict[str, Any]:
        """Fit the temperature to labels that training was not told; returns what to say of it."""
        classifier = self.net.classifier
        classifier.temperature.fill_(1.0)
        if len(held) < FEWEST_HELD_BACK:
            return {"held_back": len(held)}
        with torch.inference_mode():
            found = [
                classifier(mean).cpu().numpy() for _, mean, _ in self._posterior(None, held, None)
            ]
        logits = np.concatenate(found).astype(np.float64)
        classifier.temperature.fill_(best_temperature(logits, label[held]))
        accuracy = float((logits.argmax(1) == label[held]).mean())
        return {"held_back": len(held), "accuracy": accuracy}
