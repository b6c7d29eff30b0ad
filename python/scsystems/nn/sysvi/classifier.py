"""Labels on the latent space: softmax regression that is trained with the network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# code of a cell without a label
UNLABELED = -1
# of a cell on a center
SMALLEST_DISTANCE = 1e-8


class LabelClassifier(nn.Module):
    """Logits of K labels, linear in the latent space.

    It is no deeper since the latent space is what labels should shape: what a deeper one could
    tell apart need not be apart there. It starts at zero, where all labels are alike.

    Attributes
    ----------
    balance
        Weight of a cell of each label in the loss, K; set by those who know how many there are.
    temperature
        What logits are divided by to become probabilities.
    centers, precision
        Where the cells of each label lie, K x L, and the inverse of their covariance about it,
        L x L, for `distance`.
    usual
        Median and robust standard deviation of the logarithm of the distance among those cells.
    """

    balance: Tensor
    temperature: Tensor
    centers: Tensor
    precision: Tensor
    usual: Tensor

    def __init__(self, n_latent: int, n_labels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_labels, n_latent))
        self.bias = nn.Parameter(torch.zeros(n_labels))
        self.register_buffer("balance", torch.ones(n_labels))
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("centers", torch.zeros(n_labels, n_latent))
        self.register_buffer("precision", torch.eye(n_latent))
        self.register_buffer("usual", torch.tensor([0.0, 1.0]))

    def forward(self, z: Tensor) -> Tensor:
        """B x L -> B x K logits."""
        return F.linear(z, self.weight, self.bias)

    def probabilities(self, z: Tensor) -> Tensor:
        """B x L -> B x K calibrated probabilities."""
        return torch.softmax(self(z) / self.temperature, 1)

    @property
    def is_told(self) -> bool:
        """Whether it has learned of any label."""
        return bool(self.weight.any())

    def distance(self, z: Tensor) -> Tensor:
        """Mahalanobis distance to the nearest label's center, B."""
        away = z[:, None] - self.centers
        square = torch.einsum("bkl,lm,bkm->bk", away, self.precision, away)
        # a label without cells has its center at infinity
        return square.nan_to_num(torch.inf, torch.inf, torch.inf).clamp_min(0).amin(1).sqrt()

    def novelty(self, z: Tensor) -> Tensor:
        """How unusual the distance is, as a standard score, B."""
        return (self.distance(z).clamp_min(SMALLEST_DISTANCE).log() - self.usual[0]) / self.usual[1]

    def loss(self, z: Tensor, label: Tensor) -> Tensor:
        """Cross-entropy with the labels, weighted by `balance`; mean over all B cells.

        Parameters
        ----------
        z
            Latent, B x L.
        label
            Codes of the labels, B; cells with `UNLABELED` contribute nothing.
        """
        return F.cross_entropy(
            self(z), label, self.balance, ignore_index=UNLABELED, reduction="sum"
        ) / len(z)
