"""`ScviNet` in training on sparse counts, equal to its eager passes and faster.

`ScviNet.forward` is the reference: it says what is computed. Nearly all of its time goes into what
has the size of the genes, at both ends of the network. Here the encoder's input is written from
the nonzero counts where the product takes it, and `CountHead` is the decoder's end. What lies
between is small and left to automatic differentiation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ...data.counts import CountBatch, Nonzeros
from ..device import on_cpu
from ..likelihoods import kl_standard_normal
from .count_head import CountHead
from .count_input import CountInput, InputProduct
from .net import Encoding, ScviNet, draw


def has_fast_forward(net: ScviNet, device: torch.device) -> bool:
    """Whether `FastForward` can train this network: every part is one it knows."""
    layers = (net.outer, net.decoder)
    return (
        # a subclass may compute something else
        type(net) is ScviNet
        # a GPU would wait for what depends on the number of nonzero counts
        and on_cpu(device)
        and net.sizes.likelihood == "nb"
        and net.sizes.dispersion != "cell"
        and all(p.requires_grad for layer in layers for p in layer.parameters())
    )


class FastForward:
    """Takes the place of `ScviNet.forward`, drawing the same random numbers.

    Parameters
    ----------
    net
        A network for which `has_fast_forward`; its parameters have a ``grad`` (see
        `scsystems.train.flat`). Products run in bfloat16 where the network says so.
    """

    def __init__(self, net: ScviNet):
        self.net = net
        reduced = net.decoder.wide is not None
        self.outer = InputProduct(net.outer, reduced)
        self.library = None if net.library is None else InputProduct(net.library.hidden, reduced)
        self.input = CountInput(self.outer.product)
        self.head = CountHead(net.decoder, reduced)
        # parameters whose gradients are written over, not added to
        self.written = [net.outer.weight, net.decoder.rho.weight, net.decoder.rho.bias]
        if net.library is not None:
            self.written.append(net.library.hidden.weight)

    def __call__(
        self,
        counts: Nonzeros,
        batch: Tensor,
        generator: torch.Generator | None,
        train_inner: bool,
    ) -> tuple[Encoding, Tensor, Tensor, Tensor, Tensor]:
        """As `ScviNet.forward` in training, but the mean of the negative log-likelihood."""
        net, n = self.net, counts.n_cells
        seen = self.input.write(counts, net.encoder_input(counts.x))
        features = net.outer.of_product(self.outer(seen, n), batch, True, generator)
        mean, std = net.inner(features, train_inner, generator)
        z = draw(mean, std, generator)
        if self.library is None:
            log_library = counts.total.clamp_min(1.0).log()
            kl_library = torch.zeros_like(log_library)
        else:
            hidden = net.library.hidden.of_product(self.library(seen, n), batch, True, generator)
            posterior = net.library.of_hidden(hidden)
            log_library, kl_library = net.draw_library(posterior, batch, generator)
        hidden = net.decoder.hidden(z, batch, True, generator)
        nll = self.head(hidden, log_library, counts, batch)
        kl = kl_standard_normal(mean, std.square())
        return Encoding(features, mean, std), z, nll, kl, kl_library


def fast_gradients(
    net: nn.Module,
    forward: FastForward,
    loss: Callable[[CountBatch, int, torch.Generator], Any],
) -> Callable[[CountBatch, int, torch.Generator, bool], Any]:
    """Gradients for `scsystems.train.loop.fit` of a loss that is made with ``forward``.

    Parameters
    ----------
    net
        What is trained.
    loss
        Of a minibatch, an epoch and a generator.
    """
    written = {id(p) for p in forward.written}
    added = [p for p in net.parameters() if p.requires_grad and id(p) not in written]

    def step(batch: CountBatch, epoch: int, generator: torch.Generator, same_weights: bool) -> Any:
        for p in added:
            p.grad.zero_()
        parts = loss(batch, epoch, generator)
        parts.total.backward()
        return parts

    return step
