"""The adversarial ablation (ADV): a classifier that tells the systems apart on the latent space."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers import linear

# The classifier has to keep up with the encoder: one step per minibatch with the encoder's learning
# rate and eps (1e-3, 0.01) leaves it guessing while nearest neighbors still tell the systems
# apart, and the encoder then has nothing to go against.
STEPS = 5
LEARNING_RATE = 3e-3
BETAS = (0.9, 0.999)
EPS = 1e-8


class SystemClassifier(nn.Module):
    """Two hidden layers from z to the systems' logits (ADV in the sysVI paper, weight kappa).

    As in the adversarial training of MultiVI, which the paper adapted, classifier and encoder
    have objectives of their own. The classifier minimizes the cross-entropy with the true
    systems; it learns in :meth:`learn`, by an Adam whose state is kept here, and not by the
    optimizer of the network. The encoder minimizes :meth:`fooling_loss`, the cross-entropy with
    the *other* systems, whose gradient is large where the classifier is right. (Maximizing the
    cross-entropy with the true ones instead gives no gradient where the classifier is sure, and
    an ever larger loss where it is not.)
    """

    n_steps: Tensor

    def __init__(
        self, n_latent: int, n_systems: int, generator: torch.Generator, n_hidden: int = 64
    ):
        super().__init__()
        self.layers = nn.ModuleList(
            [
                linear(n_latent, n_hidden, generator),
                linear(n_hidden, n_hidden, generator),
                linear(n_hidden, n_systems, generator),
            ]
        )
        self.requires_grad_(False)
        self.frozen = False
        self.register_buffer("n_steps", torch.zeros(()))
        for i, parameter in enumerate(self.parameters()):
            self.register_buffer(f"mean_{i}", torch.zeros_like(parameter))
            self.register_buffer(f"square_{i}", torch.zeros_like(parameter))

    def forward(self, z: Tensor) -> Tensor:
        """B x L -> B x n_systems logits."""
        for layer in self.layers[:-1]:
            z = F.leaky_relu(layer(z))
        return self.layers[-1](z)

    def loss(self, z: Tensor, system: Tensor) -> Tensor:
        """The classifier's loss: cross-entropy with the true systems, mean over cells."""
        return F.cross_entropy(self(z), system)

    def fooling_loss(self, z: Tensor, system: Tensor) -> Tensor:
        """The encoder's loss: cross-entropy with all other systems alike, mean over cells."""
        log_p = F.log_softmax(self(z), dim=1)
        true = log_p.gather(1, system[:, None]).squeeze(1)
        return -((log_p.sum(1) - true) / (log_p.shape[1] - 1)).mean()

    def learn(self, z: Tensor, system: Tensor) -> Tensor:
        """Take a few steps on a minibatch, unless ``frozen``; returns the loss before them."""
        z = z.detach()
        if self.frozen:
            return self.loss(z, system)
        before: Tensor | None = None
        for _ in range(STEPS):
            with torch.enable_grad():
                free = {name: p.detach().requires_grad_() for name, p in self.named_parameters()}
                logits = torch.func.functional_call(self, free, (z,))
                loss = F.cross_entropy(logits, system)
                gradients = torch.autograd.grad(loss, list(free.values()))
            before = loss.detach() if before is None else before
            self._descend(gradients)
        return before

    @torch.no_grad()
    def _descend(self, gradients: tuple[Tensor, ...]) -> None:
        """One step of Adam."""
        self.n_steps += 1
        unbias = [1 - beta**self.n_steps for beta in BETAS]
        for i, (parameter, gradient) in enumerate(zip(self.parameters(), gradients, strict=True)):
            mean, square = getattr(self, f"mean_{i}"), getattr(self, f"square_{i}")
            mean.lerp_(gradient, 1 - BETAS[0])
            square.lerp_(gradient.square(), 1 - BETAS[1])
            scale = (square / unbias[1]).sqrt() + EPS
            parameter.sub_(LEARNING_RATE * (mean / unbias[0]) / scale)
