"""Labels of cells: which of them training is told; `SysVI.predict` and `SysVI.novelty`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from torch import Tensor

from ... import checks
from ...data.resident import CellArrays
from ...errors import InputError
from ...nn.sysvi.classifier import SMALLEST_DISTANCE, UNLABELED
from ...tools.label_centers import label_centers
from ...tools.novelty import center_and_spread
from ...words import column, word
from ..base import resolve_indices
from .core import SysVICore

# of every label's cells one in so many is kept from training, to calibrate probabilities on
HELD_BACK = 10
# fewer cells than this say little of how sure the classifier may be
FEWEST_HELD_BACK = 20
# a cell counts as its label's number of cells to this power: rare labels are learned, too
BALANCE = -0.5
# score above which a cell is called novel
THRESHOLD = 2.5
# probabilities are made at most so much sharper or flatter
MOST_TEMPERATURE = 10.0


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
    """What to divide logits by so that the labels are likeliest (Guo et al. 2017, Platt 1999).

    Parameters
    ----------
    logits
        N x K, of cells that were not trained on.
    label
        Their labels, N.
    """
    # as if some cell had been named wrong: that none was does not make the next one certain
    doubt = 1 / (len(label) + 2)

    def loss(log_t: float) -> float:
        log_p = log_softmax(logits / np.exp(log_t), axis=1)
        named = log_p[np.arange(len(label)), label]
        return -float(((1 - doubt) * named + doubt * log_p.mean(1)).mean())

    most = np.log(MOST_TEMPERATURE)
    return float(np.exp(minimize_scalar(loss, bounds=(-most, most), method="bounded").x))


class LabelsMixin(SysVICore):
    """``predict`` and ``novelty`` of `SysVI`."""

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
            Cells at a time.

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
        classifier, names = self.net.classifier, np.array(self.schema.labels, dtype=object)
        (p,) = self._of_cells([classifier.probabilities], adata, indices, batch_size)
        if not soft:
            return names[p.argmax(1)]
        return pd.DataFrame(p, index=self._chosen_names(adata, indices), columns=list(names))

    def novelty(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
        *,
        threshold: float = THRESHOLD,
    ) -> pd.DataFrame:
        """Find cells of a type that no label names.

        `predict` gives such cells one of the labels all the same. They lie away from the cells
        that training was told the labels of.

        Parameters
        ----------
        adata
            Cells of any of the model's systems; default the model's own.
        indices
            Which cells, as indices or a boolean mask; default all.
        batch_size
            Cells at a time.
        threshold
            Score above which a cell is called novel.

        Returns
        -------
        Per cell: ``score``, in robust standard deviations of the logarithm of the distance above
        what is usual among cells whose labels training was told; ``novel``; and ``distance``, in
        the latent space to the center of the nearest label, in standard deviations of the cells
        about their own center.
        """
        self._require_trained()
        self._require_labels()
        threshold = checks.number("threshold", threshold, finite=False)
        classifier = self.net.classifier
        distance, score = self._of_cells(
            [classifier.distance, classifier.novelty], adata, indices, batch_size
        )
        return pd.DataFrame(
            {"score": score, "novel": score > threshold, "distance": distance},
            index=self._chosen_names(adata, indices),
        )

    @torch.inference_mode()
    def _of_cells(
        self, functions: Sequence[Callable[[Tensor], Tensor]], adata, indices, batch_size
    ) -> list[np.ndarray]:
        """Functions of the posterior means of cells."""
        # of no cells they say what shape the result has
        none = torch.zeros(0, self.net.sizes.n_latent, device=self.device)
        found = [[f(none)] for f in functions]
        for _, mean, _ in self._posterior(adata, indices, batch_size):
            for values, function in zip(found, functions, strict=True):
                values.append(function(mean))
        return [torch.cat(v).cpu().numpy() for v in found]

    def _chosen_names(self, adata, indices) -> pd.Index:
        cells = self._cell_names(adata)
        at = resolve_indices(indices, cells)
        return cells if at is None else cells[at]

    def _require_labels(self) -> None:
        if self.net.classifier is None:
            raise InputError(
                f"This model was not told any labels. Give {word('cell labels')} and train a model with them, or "
                f"name cells by their neighbors with {word('neighbor labels')}."
            )
        if not self.net.classifier.is_told:
            raise InputError(
                f"This model was trained with label_weight=0, so that it knows nothing of {word('cell labels')}. Train "
                "it with a larger weight."
            )

    def _told(
        self, cells: CellArrays, validation_at: np.ndarray, seed: int
    ) -> tuple[CellArrays, np.ndarray, np.ndarray]:
        """The cells with the labels that training is told, and positions of those that it is told and is not."""
        key = column(str(self.schema.setup.labels_key))
        if cells.label is None:
            raise InputError(
                f"The cells have no {key}, the labels that the model is to be told. "
                f"Expected it, or label_weight=0 in {word('plan_kwargs')}."
            )
        label = cells.label.copy()
        held = np.asarray(validation_at)[label[validation_at] != UNLABELED]
        if not len(validation_at):
            held = hold_back(label, seed)
            label[held] = UNLABELED
        told = np.setdiff1d(np.flatnonzero(label != UNLABELED), validation_at)
        if not len(told):
            raise InputError(
                f"No cell that is trained on has a label in {key}. Expected some, or "
                f"label_weight=0 in {word('plan_kwargs')}."
            )
        weight = balance(np.delete(label, validation_at), len(self.schema.labels))
        self.net.classifier.balance.copy_(torch.from_numpy(weight))
        return replace(cells, label=label), told, held

    def _learn_from_labels(
        self, label: np.ndarray, told: np.ndarray, held: np.ndarray
    ) -> dict[str, Any]:
        """After training: where labels lie, and how sure the classifier may be; returns what to say of it.

        Parameters
        ----------
        label
            Codes of the labels of the model's own cells.
        told, held
            Positions of the cells whose labels training was told, and was not told.
        """
        classifier = self.net.classifier
        (z,) = self._of_cells([lambda mean: mean], None, told, None)
        centers, precision = label_centers(z, label[told], len(self.schema.labels))
        classifier.centers.copy_(torch.from_numpy(centers))
        classifier.precision.copy_(torch.from_numpy(precision))
        (distance,) = self._of_cells([classifier.distance], None, told, None)
        usual = center_and_spread(np.log(np.maximum(distance, SMALLEST_DISTANCE)))
        classifier.usual.copy_(torch.tensor(usual))
        classifier.temperature.fill_(1.0)
        facts = {"told": len(told), "held_back": len(held)}
        if len(held) < FEWEST_HELD_BACK:
            return facts
        (logits,) = self._of_cells([classifier], None, held, None)
        classifier.temperature.fill_(best_temperature(logits.astype(np.float64), label[held]))
        return facts | {"accuracy": float((logits.argmax(1) == label[held]).mean())}
