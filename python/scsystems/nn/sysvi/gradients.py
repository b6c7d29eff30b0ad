"""The training step of sysVI with hand-written gradients, equal to the eager one and faster.

`SysVINet.loss` is the reference: it says what is computed, and automatic differentiation gives
its gradients. Here the same is done with few passes over memory, which is what a step spends
its time on:

- all inputs of the encoder (counterfactual cells, pseudoinputs, cells) are rows of one matrix, so
  that the gradient of each weight is one product instead of one per use;
- both decoders share the product of the first layer, since they differ in covariates only;
- the decoder writes the counterfactual cells where the encoder reads them, in bfloat16 if products
  run in bfloat16, and each weight is cast once per step;
- no temporary of the size of the minibatch's expression is kept for the way back but the residual.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..kernels.layer import Rows
from ..kernels.product import Product
from ..kernels.residual import residual_gradients
from ..kernels.stack import Stack
from .label_gradients import LabelGradients, label_gradients
from .latent_gradients import LatentGradients, Posterior, latent_gradients
from .net import LOG_VAR_RANGE, SysVILoss, SysVINet, SysVIWeights
from .priors import VampPrior

# a design of more columns than this would cost more than looking codes up
MOST_LEVELS = 256


def has_fast_gradients(net: SysVINet, weights: SysVIWeights) -> bool:
    """Whether `SysVIGradients` can train this network: every part is one it knows."""
    sizes = net.sizes
    layers = (*net.encoder.hidden.layers, *net.decoder.hidden.layers)
    free = (p.requires_grad for name, p in net.named_parameters() if not name.startswith("prior."))
    return (
        weights.adversary == 0
        and net.adversary is None
        and sizes.out_var_mode != "sample_feature"
        and sizes.covariates.embedding_dim is None
        and sizes.covariates.n_total <= MOST_LEVELS
        # a subclass may compute something else
        and type(net) is SysVINet
        and net.decoder.mean.weight.device.type in ("cpu", "cuda")
        and not any(layer.norm_frozen for layer in layers)
        and all(free)
    )


class SysVIGradients:
    """Loss of a minibatch and, written to ``grad`` of every parameter, its gradients.

    Parameters
    ----------
    net
        A network for which `has_fast_gradients`; its parameters have a ``grad`` (see
        `scsystems.train.flat`). Products run in bfloat16 where the network says so.
    weights
        Weights of the parts of the loss.
    """

    def __init__(self, net: SysVINet, weights: SysVIWeights):
        self.net, self.weights = net, weights
        self.vamp = net.prior if isinstance(net.prior, VampPrior) else None
        self.output = Product(net.decoder.mean.weight, net.decoder.reduced, 0)
        own = () if self.vamp is None else (self.vamp.x, self.vamp.design)
        self.prior_parameters = [
            p for p in net.prior.parameters() if p.requires_grad and all(p is not o for o in own)
        ]
        self.genes = slice(net.sizes.n_genes)
        self.n_cells = 0

    def _allocate(self, n: int) -> None:
        """Matrices for minibatches of ``n`` cells."""
        net, sizes = self.net, self.net.sizes
        new = net.decoder.mean.weight.new_empty
        n_cycle = n if self.weights.cycle > 0 else 0
        n_pseudo = 0 if self.vamp is None else len(self.vamp.x)
        n_encoded, n_decoded = n_cycle + n_pseudo + n, n + n_cycle
        self.n_cells, self.n_cycle = n, n_cycle
        self.cycle, self.pseudo = slice(0, n_cycle), slice(n_cycle, n_cycle + n_pseudo)
        self.cells, self.rest = slice(n_cycle + n_pseudo, n_encoded), slice(0, n_cycle + n_pseudo)
        width = sizes.covariates.n_total
        seen = width if sizes.encode_covariates else 0
        self.encoder = Stack(
            net.encoder.hidden, seen, n_encoded, True, net.encoder.mean.weight.dtype
        )
        self.decoder = Stack(net.decoder.hidden, width, n_decoded, False, self.output.dtype)
        # decoded cells, then decoded counterfactual cells, which are the encoder's first inputs
        wide = len(self.output.low)
        self.expression = torch.zeros(
            n + n_encoded, wide, dtype=self.output.dtype, device=self.output.low.device
        )
        self.inputs = self.expression[n:]
        self.d_expression = torch.zeros_like(self.expression[: n + self.rest.stop])
        self.bias = torch.zeros_like(self.output.low[:, 0])
        self.z = new(n_decoded, sizes.n_latent)
        # counterfactual cells have no gradient of their log-variance
        self.d_heads = net.decoder.mean.weight.new_zeros(n_encoded, 2 * sizes.n_latent)

    @torch.no_grad()
    def __call__(
        self, batch, generator: torch.Generator | None, same_weights: bool = False
    ) -> SysVILoss:
        """Loss of one minibatch, drawing the same random numbers as `SysVINet.loss`.

        ``same_weights`` says that the optimizer has not changed them since the last call.
        """
        weights = self.weights
        if len(batch.x) != self.n_cells:
            self._allocate(len(batch.x))
            same_weights = False
        if not same_weights:
            self._refresh()
        self.encoder.begin()
        self.decoder.begin()
        cells = self._encode_cells(batch, generator)
        decoded = self._decode(batch, cells, generator)
        squares, d_bias = self._residual(batch.x)
        latent, rest, labels = self._encode_rest(batch, cells, generator)

        # the way back: encoder of counterfactual cells, decoder, encoder of cells
        if rest:
            d = self.encoder.backward(self.d_heads[self.rest] @ self.head_weight, rest)
            torch.mm(d, self.encoder.layers[0].product.low, out=self.d_expression[self.n_cells :])
        d_z = self._decoder_backward(squares, d_bias, decoded) + latent.z
        if labels is not None:
            d_z += labels.z[: self.n_cells]
        self._encoder_backward(d_z, latent, cells)

        reconstruction = 0.5 * (squares.sum() / self.n_cells + self.gene_log_var.sum())
        kl, cycle = latent.kl, latent.cycle
        total = weights.reconstruction * reconstruction + weights.kl * kl + weights.cycle * cycle
        label = none = torch.zeros_like(total)
        if labels is not None:
            label = labels.loss
            total = total + weights.label * label
        return SysVILoss(total, reconstruction + kl, reconstruction, kl, cycle, none, label)

    def _refresh(self) -> None:
        """Take over the weights that the optimizer has changed."""
        encoder = self.net.encoder
        for part in (self.encoder, self.decoder, self.output):
            part.refresh()
        self.head_weight = torch.cat([encoder.mean.weight, encoder.log_var.weight])
        self.head_bias = torch.cat([encoder.mean.bias, encoder.log_var.bias])
        self.bias[self.genes] = self.net.decoder.mean.bias

    def _heads(self, features: Tensor) -> Tensor:
        """Posterior means and log-variances beside one another, N x 2L."""
        return torch.addmm(self.head_bias, features, self.head_weight.t())

    def _encode_cells(self, batch, generator) -> _Cells:
        net, encoder = self.net, self.encoder
        covariates = net.condition(batch)
        design = net.covariates.design(covariates)
        rows = Rows(self.cells, encoder.stack.draw(self.n_cells, generator))
        encoder.set_design(self.cells, design)
        self.inputs[self.cells, self.genes] = batch.x
        heads = self._heads(encoder.forward(self.inputs[self.cells], [rows]))
        posterior = _posterior(heads)
        noise = torch.empty_like(posterior.mean).normal_(generator=generator)
        std = torch.exp(0.5 * posterior.log_var)
        torch.addcmul(posterior.mean, std, noise, out=self.z[: self.n_cells])
        return _Cells(rows, design, heads, posterior, std * noise)

    def _decode(self, batch, cells: _Cells, generator) -> list[Rows]:
        """Expression in the cells' own system and, for the cycle, in another one."""
        n, decoder = self.n_cells, self.decoder
        parts = [Rows(slice(0, n), decoder.stack.draw(n, generator))]
        decoder.set_design(parts[0].at, cells.design)
        product = decoder.layers[0].product.forward(self.z[:n])
        if self.n_cycle:
            self.there = self._other_design(batch, generator)
            parts.append(Rows(slice(n, 2 * n), decoder.stack.draw(n, generator)))
            decoder.set_design(parts[1].at, self.there)
            self.z[n:] = self.z[:n]
            product = product.repeat(2, 1)
        self.hidden = decoder.forward(None, parts, product)
        decoded = self.expression[: len(self.hidden)]
        torch.addmm(self.bias, self.hidden, self.output.low.t(), out=decoded)
        return parts

    def _residual(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Writes the gradient of the decoded cells; sums of squares and of this gradient, G each."""
        n = self.n_cells
        self.gene_log_var = self.net.decoder.variance(self.hidden)
        return residual_gradients(
            x,
            self.expression[:n],
            torch.exp(-0.5 * self.gene_log_var),
            -self.weights.reconstruction / n,
            self.d_expression[:n],
        )

    def _encode_rest(
        self, batch, cells: _Cells, generator
    ) -> tuple[LatentGradients, list[Rows], LabelGradients | None]:
        """Counterfactual cells and pseudoinputs; then all losses of the latent space."""
        encoder, n_latent = self.encoder, self.z.shape[1]
        rest, counterfactual, pseudo = [], None, None
        if self.n_cycle:
            rest.append(Rows(self.cycle, encoder.stack.draw(self.n_cells, generator)))
            encoder.set_design(self.cycle, self.there)
        if self.vamp is not None:
            rest.append(Rows(self.pseudo, None))
            self.inputs[self.pseudo, self.genes] = self.vamp.x
            encoder.set_design(self.pseudo, self.vamp.design)
        if rest:
            heads = self._heads(encoder.forward(self.inputs[self.rest], rest))
            counterfactual = heads[self.cycle, :n_latent] if self.n_cycle else None
            pseudo = None if self.vamp is None else _posterior(heads[self.pseudo])
        latent = latent_gradients(
            self.net.prior,
            self.prior_parameters,
            self.z[: self.n_cells],
            cells.posterior,
            counterfactual,
            pseudo,
            self.weights.kl,
            self.weights.cycle,
            batch.weight,
        )
        for p, gradient in zip(self.prior_parameters, latent.prior, strict=True):
            p.grad.copy_(gradient)
        labels = self._label(batch, counterfactual)
        if self.n_cycle:
            d = latent.counterfactual
            if labels is not None:
                d = d + labels.z[self.n_cells :]
            self.d_heads[self.cycle, :n_latent] = d
        if self.vamp is not None:
            self._set_heads(self.pseudo, latent.pseudo, heads[self.pseudo])
        return latent, rest, labels

    def _label(self, batch, counterfactual: Tensor | None) -> LabelGradients | None:
        """Loss of the labels; writes the gradients of their classifier, if there is one."""
        classifier = self.net.classifier
        if classifier is None:
            return None
        if self.weights.label == 0 or batch.label is None:
            for p in classifier.parameters():
                p.grad.zero_()
            return None
        # z holds the cells twice where there are counterfactual ones
        z, label = self.z[: self.n_cells], batch.label
        if counterfactual is not None:
            z, label = torch.cat([z, counterfactual]), label.repeat(2)
        found = label_gradients(classifier, z, label, self.weights.label)
        classifier.weight.grad.copy_(found.weight)
        classifier.bias.grad.copy_(found.bias)
        return found

    def _decoder_backward(self, squares: Tensor, d_bias: Tensor, parts: list[Rows]) -> Tensor:
        """Writes the decoder's gradients; returns the gradient of z, B x L."""
        decoder, n = self.net.decoder, self.n_cells
        weight = self.weights.reconstruction
        d = self.d_expression[: len(self.hidden)]
        self.output.write_weight_gradient(d, self.hidden)
        torch.add(d_bias, d[n:, self.genes].sum(0), out=decoder.mean.bias.grad)
        if decoder.log_var.requires_grad:
            inside = decoder.log_var.abs() <= LOG_VAR_RANGE
            decoder.log_var.grad.copy_((1 - squares / n).mul_(0.5 * weight).mul_(inside))
        d = self.decoder.backward(self.output.input_gradient(d), parts)
        self.decoder.write_gradients(self.z)
        d_z = self.decoder.layers[0].product.input_gradient(d)
        return d_z[:n] + d_z[n:] if self.n_cycle else d_z

    def _encoder_backward(self, d_z: Tensor, latent: LatentGradients, cells: _Cells) -> None:
        """Writes the gradients of the encoder and of the pseudoinputs."""
        net, encoder = self.net, self.encoder
        # z = mean + exp(log_var / 2) * noise
        d_log_var = torch.addcmul(latent.cells.log_var, d_z, cells.deviation, value=0.5)
        d = self._set_heads(self.cells, Posterior(latent.cells.mean + d_z, d_log_var), cells.heads)
        encoder.backward(d @ self.head_weight, [cells.rows])
        encoder.write_gradients(self.inputs)
        weight, bias = self.d_heads.t() @ encoder.layers[-1].taken, self.d_heads.sum(0)
        n_latent = d_z.shape[1]
        for head, at in (
            (net.encoder.mean, slice(n_latent)),
            (net.encoder.log_var, slice(n_latent, None)),
        ):
            head.weight.grad.copy_(weight[at])
            head.bias.grad.copy_(bias[at])
        if self.vamp is not None and self.vamp.x.requires_grad:
            self.vamp.x.grad.copy_(self.d_expression[len(self.hidden) :, self.genes])
            if net.sizes.encode_covariates:
                self.vamp.design.grad.copy_(encoder.design_gradient(self.pseudo))

    def _set_heads(self, at: slice, gradient: Posterior, heads: Tensor) -> Tensor:
        """Gradients of the heads; a clamped log-variance has none."""
        d, n_latent = self.d_heads[at], gradient.mean.shape[1]
        d[:, :n_latent] = gradient.mean
        inside = heads[:, n_latent:].abs() <= LOG_VAR_RANGE
        torch.mul(gradient.log_var, inside, out=d[:, n_latent:])
        return d

    def _other_design(self, batch, generator: torch.Generator | None) -> Tensor:
        """Covariates of the counterfactual cells."""
        net = self.net
        return net.covariates.design(net.counterfactual(batch, generator))


class _Cells(NamedTuple):
    """What the encoder says of the cells of a minibatch; ``deviation`` is z minus its mean."""

    rows: Rows
    design: Tensor
    heads: Tensor
    posterior: Posterior
    deviation: Tensor


def _posterior(heads: Tensor) -> Posterior:
    mean, log_var = heads.chunk(2, 1)
    return Posterior(mean, log_var.clamp(-LOG_VAR_RANGE, LOG_VAR_RANGE))
