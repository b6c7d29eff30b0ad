"""Counts whose mean is the library size times a softmax over genes: likelihood and gradient in few passes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..likelihoods import PositiveCounts, gradient_of_theta

# values of a temporary of which several stay in a processor's cache
CACHED = 2**18


def softmax_negative_binomial(
    x: Tensor,
    logits: Tensor,
    log_library: Tensor,
    log_theta: Tensor,
    batch: Tensor | None,
    groups: tuple[tuple[int, float], ...],
) -> Tensor:
    """`negative_binomial` whose mean is the library size times a softmax over groups of genes.

    The same value as softmax, then likelihood, in half of the passes over B x G values.

    Parameters
    ----------
    x, log_theta, batch
        As in `negative_binomial`; ``log_theta`` is G, or n_batches x G with ``batch``, or B x G.
    logits
        B x G.
    log_library
        Log library size, B.
    groups
        Number of genes and fraction of the library of each group of neighboring columns.
    """
    return _SoftmaxNegativeBinomial.apply(x, logits, log_library, log_theta, batch, groups)


class _SoftmaxNegativeBinomial(torch.autograd.Function):
    """All derivatives are at hand once the value is known, up to the factor of each cell."""

    @staticmethod
    def forward(ctx, x, logits, log_library, log_theta, batch, groups):
        needs = ctx.needs_input_grad
        value, to_library = torch.empty_like(log_library), torch.empty_like(log_library)
        to_logits = torch.empty_like(logits) if any(needs) else None
        to_theta = torch.empty_like(logits) if needs[3] else None
        for rows in _row_blocks(x):
            theta = log_theta[batch[rows]] if batch is not None else log_theta
            theta = theta[rows] if theta.dim() == 2 and batch is None else theta
            value[rows], to_library[rows] = _softmax_negative_binomial(
                *(x[rows], logits[rows], log_library[rows], theta, groups),
                *(None if out is None else out[rows] for out in (to_logits, to_theta)),
            )
        ctx.save_for_backward(to_logits, to_library, to_theta, batch)
        ctx.shape = log_theta.shape
        return value

    @staticmethod
    def backward(ctx, grad: Tensor):
        to_logits, to_library, to_theta, batch = ctx.saved_tensors
        to_theta = gradient_of_theta(grad, to_theta, batch, ctx.shape)
        return None, grad[:, None] * to_logits, grad * to_library, to_theta, None, None


def _softmax_negative_binomial(
    x: Tensor,
    logits: Tensor,
    log_library: Tensor,
    log_theta: Tensor,
    groups: tuple[tuple[int, float], ...],
    to_logits: Tensor | None,
    to_theta: Tensor | None,
) -> tuple[Tensor, Tensor | float]:
    """Value (B) and its derivative with respect to the log library size (B); writes the others."""
    sizes = [size for size, _ in groups]
    mean, theta, log_scale = torch.empty_like(logits), log_theta.exp(), []
    for (_, fraction), a, m in zip(groups, *_by_group(sizes, logits, mean), strict=True):
        top = a.amax(1, keepdim=True)
        torch.sub(a, top, out=m).exp_()
        total = m.sum(1, keepdim=True)
        scale = log_library[:, None] + math.log(fraction)
        m.mul_(scale.exp() / total)
        log_scale.append((scale - top - total.log())[:, 0])
    counts = PositiveCounts(x, log_theta)
    # log mu - log theta, from the logits: the mean itself may have underflown
    log_mean = counts.pick(logits) + counts.of_groups(torch.stack(log_scale, 1), sizes)
    ratio = mean / theta
    spread = ratio.log1p()
    value = -torch.linalg.vecdot(spread, theta)
    value += counts.sum_rows(
        counts.x * (log_mean - counts.log_theta - counts.pick(spread)) + counts.gamma_terms()
    )
    if to_logits is None:
        return value, 0.0
    ratio.add_(1)
    there = counts.x / counts.pick(ratio)
    to_mean = counts.add_to(torch.div(mean, ratio, out=ratio).neg_(), there)
    if to_theta is not None:
        torch.mul(spread, theta, out=to_theta).add_(to_mean).neg_()
        counts.add_to(to_theta, counts.theta * counts.digamma_terms())
    sums = []
    parts = zip(groups, *_by_group(sizes, mean, to_mean, to_logits), strict=True)
    for (_, fraction), m, d, out in parts:
        sums.append(d.sum(1))
        # of the softmax: every gene gives up its fraction of what its group gains
        torch.mul(m, (sums[-1] / (log_library.exp() * -fraction))[:, None], out=out).add_(d)
    return value, sum(sums)


def _row_blocks(x: Tensor) -> list[slice]:
    """Blocks of rows: on the CPU temporaries of a block stay in the cache, which is much faster."""
    size = max(1, CACHED // x.shape[1]) if x.device.type == "cpu" else len(x)
    return [slice(start, start + size) for start in range(0, len(x), size)]


def _by_group(sizes: list[int], *values: Tensor):
    return (v.split(sizes, 1) for v in values)
