"""From the decoder's last hidden layer to the likelihood of counts, and all the way back.

The same as `softmax_negative_binomial` on the decoder's logits, with fewer passes over B x G values:

- what is needed at positive counts only (gamma functions, most of the likelihood) is computed
  there only, and their places are known from the sparse counts;
- gradients of the dispersions are sums over the cells of a batch: products with a few one-hot columns;
- the gradient of the logits is written where the products take it, in their number format;
- rows are worked on in blocks whose temporaries stay in the processor's cache.

With mean mu, dispersion theta and ``w = 1 + mu / theta`` the log-likelihood of a count x is
``x log(mu / theta) - (x + theta) log w`` and gamma terms; its derivative with respect to log mu is
``x / w - mu / w``, with respect to log theta minus that, ``- theta log w`` and gamma terms.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...data.counts import Nonzeros
from ..gamma import lgamma_digamma
from .count_input import filled_up
from .net import Decoder

# values of a block of rows
CACHED = 2**18


class OutputProduct:
    """Logits of all genes, bias included, and the way back, in bfloat16 if ``reduced``.

    The bias is two columns beside the weight, itself and what its number format leaves over,
    so that it costs no pass over the logits, nor does its gradient. Everything is filled up to
    sizes that products like.
    """

    def __init__(self, layer: nn.Linear, reduced: bool):
        self.layer = layer
        n_genes, n_in = layer.weight.shape
        dtype = torch.bfloat16 if reduced else layer.weight.dtype
        shape = filled_up(n_genes), filled_up(n_in + 2)
        self.low = layer.weight.new_zeros(shape, dtype=dtype)
        self.low_gradient = torch.empty_like(self.low)
        self.inside = slice(n_genes), slice(n_in)
        self.bias, self.rest = (slice(n_genes), n_in), (slice(n_genes), n_in + 1)
        self.hidden = self.low.new_empty(0, shape[1])
        self.d = self.low.new_empty(0, shape[0])

    def forward(self, hidden: Tensor) -> Tensor:
        """B x n_in -> B x G."""
        weight, bias = self.layer.weight, self.layer.bias
        n, n_in = hidden.shape
        self.low[self.inside] = weight
        self.low[self.bias] = bias
        self.low[self.rest] = bias - self.low[self.bias].to(bias.dtype)
        if len(self.hidden) != filled_up(n):
            self.hidden = self.low.new_zeros(filled_up(n), self.low.shape[1])
            self.d = self.low.new_zeros(filled_up(n), len(self.low))
        self.hidden[:n, :n_in] = hidden
        self.hidden[:n, n_in : n_in + 2] = 1
        self.hidden[n:], self.d[n:] = 0, 0
        return (self.hidden @ self.low.t())[:n, : len(weight)]

    def backward(self, n: int, scale: Tensor) -> Tensor:
        """From ``d``, the gradient of the logits, to that of the hidden layer, B x n_in; writes the others."""
        torch.mm(self.d.t(), self.hidden, out=self.low_gradient)
        self.layer.weight.grad.copy_(self.low_gradient[self.inside])
        self.layer.bias.grad.copy_(self.low_gradient[self.bias])
        if float(scale) != 1:
            for parameter in self.layer.parameters():
                parameter.grad.mul_(scale)
        return (self.d @ self.low)[:n, self.inside[1]].to(scale.dtype).mul_(scale)


class CountHead:
    """Mean negative log-likelihood of counts, for a decoder of negative binomials.

    The gradients of the decoder's weights and biases over genes are written over those that
    are there, and not added to them.

    Parameters
    ----------
    decoder
        With a dispersion per gene, or per gene and batch.
    reduced
        Whether products run in bfloat16.
    """

    def __init__(self, decoder: Decoder, reduced: bool):
        self.decoder = decoder
        self.product = OutputProduct(decoder.rho, reduced)

    def __call__(
        self, hidden: Tensor, log_library: Tensor, counts: Nonzeros, batch: Tensor
    ) -> Tensor:
        """B x F, B, counts and batch codes (B) -> mean over the cells."""
        table, codes = self.decoder.log_dispersion(None, batch)
        if codes is None:
            table, codes = table[None], torch.zeros_like(batch)
        return _Head.apply(hidden, log_library, table, self, counts, codes)


class _Head(torch.autograd.Function):
    """Value and all gradients at once; the way back is two products."""

    @staticmethod
    def forward(ctx, hidden, log_library, table, head: CountHead, counts: Nonzeros, codes):
        pass_ = _Pass(head.decoder.groups(), log_library, table, counts, codes)
        logits = head.product.forward(hidden)
        pass_.visit(logits, head.product.d)
        value, to_table = pass_.finish()
        ctx.save_for_backward(pass_.to_library, to_table)
        ctx.product = head.product
        return value

    @staticmethod
    def backward(ctx, grad: Tensor):
        to_library, to_table = ctx.saved_tensors
        to_hidden = ctx.product.backward(len(to_library), grad)
        return to_hidden, grad * to_library, grad * to_table, None, None, None


class _Pass:
    """One minibatch: blocks of rows first, then what concerns positive counts only.

    ``groups`` are those of `Decoder.groups`; ``table`` has the log dispersions (R x G), ``codes``
    says which of its rows is whose (B).
    """

    def __init__(self, groups, log_library, table, counts: Nonzeros, codes):
        self.table, self.counts = table, counts
        n, self.sizes = counts.n_cells, [size for size, _ in groups]
        fractions = log_library.new_tensor([fraction for _, fraction in groups])
        self.library = log_library.exp()[:, None] * fractions  # B x groups
        # all means are divided by the number of cells, and with them all gradients
        self.theta, self.one = table.exp(), table.new_ones(())
        self.inverse_theta = (n / self.theta).split(self.sizes, 1)
        self.onehot = table.new_zeros(n, len(table)).scatter_(1, codes[:, None], 1.0)
        self.position = counts.position()
        # of a positive count: its place in the table, and its cell's group of genes
        self.at = codes.index_select(0, counts.row).mul_(counts.n_genes).add_(counts.column)
        self.group = counts.row
        if len(groups) > 1:
            self.group = torch.add(counts.column >= self.sizes[0], self.group, alpha=2)
        self.log_scale = torch.empty_like(self.library)
        self.logit, self.inverse = torch.empty_like(counts.x), torch.empty_like(counts.x)
        self.sum_spread, self.sum_inverse = torch.zeros_like(table), torch.zeros_like(table)
        self.to_library = torch.empty_like(log_library)

    def visit(self, logits: Tensor, d_logits: Tensor) -> None:
        """All of B x G; writes the gradient of the logits."""
        n, n_genes = self.counts.n_cells, self.counts.n_genes
        size = min(n, max(1, CACHED // n_genes))
        mean, w, spread = (self.table.new_empty(size, n_genes) for _ in range(3))
        bounds = [*range(0, n, size), n]
        start = self.counts.start[bounds].tolist()
        for i, first in enumerate(bounds[:-1]):
            rows, entries = slice(first, bounds[i + 1]), slice(start[i], start[i + 1])
            here = slice(rows.stop - first)
            mean[here] = logits[rows]
            d = self._block(rows, entries, mean[here], w[here], spread[here])
            d_logits[rows, :n_genes] = d

    def _block(self, rows: slice, entries: slice, mean: Tensor, w: Tensor, spread: Tensor):
        """The gradient of some cells' logits, which ``mean`` holds."""
        counts, n, n_groups = self.counts, self.counts.n_cells, len(self.sizes)
        at = self.position[entries] - rows.start * counts.n_genes
        torch.index_select(mean.view(-1), 0, at, out=self.logit[entries])
        onehot = self.onehot[rows]
        means = mean.split(self.sizes, 1)
        for i, (m, of_group) in enumerate(zip(means, w.split(self.sizes, 1), strict=True)):
            top = m.amax(1, keepdim=True)
            total = m.sub_(top).exp_().sum(1, keepdim=True)
            scale = self.library[rows, i, None] / total
            m.mul_(scale / n)
            torch.mm(onehot, self.inverse_theta[i], out=of_group)
            self.log_scale[rows, i] = (scale.log_() - top)[:, 0]
        torch.addcmul(self.one, w, mean, out=w)
        self.sum_spread.addmm_(onehot.t(), torch.log(w, out=spread))
        inverse = w.reciprocal_()
        self.sum_inverse.addmm_(onehot.t(), inverse)
        there = torch.index_select(inverse.view(-1), 0, at, out=self.inverse[entries])
        # gradients of the log mean, then of the logits: every gene gives up its fraction of
        # what its group gains
        there = there * counts.x[entries] / n
        gain = torch.zeros_like(self.library[rows])
        gain.view(-1).index_add_(0, self.group[entries] - rows.start * n_groups, there)
        d = inverse.mul_(mean)
        for i, (m, of_group) in enumerate(zip(means, d.split(self.sizes, 1), strict=True)):
            gain[:, i] -= of_group.sum(1)
            of_group.addcmul_(m, gain[:, i, None] * (n / self.library[rows, i, None]))
        self.to_library[rows] = -gain.sum(1)
        d.view(-1).index_add_(0, at, there, alpha=-1)
        return d

    def finish(self) -> tuple[Tensor, Tensor]:
        """Mean negative log-likelihood, and its gradient of the log dispersions, R x G."""
        x, n, theta = self.counts.x, self.counts.n_cells, self.theta

        def pick(values: Tensor) -> Tensor:
            return values.view(-1).index_select(0, self.at)

        theta_there = pick(theta)
        lgamma, digamma = lgamma_digamma(x + theta_there)
        lgamma_1, digamma_1 = lgamma_digamma(1 + theta)
        # together with x (log mean - log theta)
        log_ratio = self.log_scale.view(-1).index_select(0, self.group)
        log_ratio.add_(self.logit).sub_(pick(self.table)).add_(self.inverse.log())
        inside = torch.dot(x, log_ratio) + lgamma.sub_(pick(lgamma_1 - self.table)).sum()
        value = (theta * self.sum_spread).sum() - inside + self.counts.log_factorials.sum()
        # theta log w - mu / w, and what is added where counts are positive
        to_table = self.sum_spread.add_(self.sum_inverse).sub_(self.onehot.sum(0)[:, None])
        digamma.sub_(pick(digamma_1 - 1 / theta)).mul_(theta_there)
        terms = torch.addcmul(digamma.neg_(), x, self.inverse)
        to_table.mul_(theta).view(-1).index_add_(0, self.at, terms)
        return value / n, to_table.div_(n)
