"""Loss of the labels with its gradients in closed form."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .classifier import UNLABELED, LabelClassifier


class LabelGradients(NamedTuple):
    """Loss of `LabelClassifier`, and gradients of ``scale`` times the loss."""

    loss: Tensor
    z: Tensor
    weight: Tensor
    bias: Tensor


def label_gradients(
    classifier: LabelClassifier, z: Tensor, label: Tensor, scale: float
) -> LabelGradients:
    """`LabelClassifier.loss` with its gradients in closed form: probabilities minus the truth."""
    log_p = torch.log_softmax(torch.addmm(classifier.bias, z, classifier.weight.t()), 1)
    at = label.clamp_min(0)[:, None]
    # of every cell in the mean
    weight = classifier.balance[at] * (label != UNLABELED)[:, None] / len(z)
    loss = -(log_p.gather(1, at) * weight).sum()
    weight *= scale
    d = log_p.exp_().mul_(weight).scatter_add_(1, at, -weight)
    return LabelGradients(loss, d @ classifier.weight, d.t() @ z, d.sum(0))
