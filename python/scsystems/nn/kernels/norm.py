"""Covariates, BatchNorm, ReLU and dropout in one compiled loop each way."""

from __future__ import annotations

import numpy as np

from .compiled import compiled


@compiled
def norm_forward(
    product, design, injected, keep, weight, bias, running_mean, running_var, momentum, eps,
    train, mean, inverse_std, pre, out,
):  # fmt: skip
    """``out = keep * relu(norm(product + design @ injected))`` for n cells and H units.

    Parameters
    ----------
    product
        n x H.
    design, injected
        n x D and D x H: covariates, the last of them 1 for the bias.
    keep
        Dropout mask, n x H.
    weight, bias, running_mean, running_var, momentum, eps
        Of the BatchNorm, H each; running statistics are updated if ``train``.
    train
        Whether to take the cells' own statistics.
    mean, inverse_std, pre, out
        Written: statistics (H), what is normalized (n x H), and the result (n x H).
    """
    n, h = pre.shape
    total = np.zeros(h, pre.dtype)
    zero = total[0]  # of this type: with an integer the loop would go over to float64
    for i in range(n):
        p, q = product[i], pre[i]
        for j in range(h):
            q[j] = p[j]
        for d in range(design.shape[1]):
            w, b = design[i, d], injected[d]
            if w != 0:
                for j in range(h):
                    q[j] += w * b[j]
        if train:
            for j in range(h):
                total[j] += q[j]
    if train:
        variance = np.zeros(h, pre.dtype)
        for j in range(h):
            mean[j] = total[j] / n
        for i in range(n):
            q = pre[i]
            for j in range(h):
                variance[j] += (q[j] - mean[j]) * (q[j] - mean[j])
        for j in range(h):
            running_mean[j] += momentum * (mean[j] - running_mean[j])
            # running statistics are of the population, as in torch
            running_var[j] += momentum * (variance[j] / (n - 1) - running_var[j])
            inverse_std[j] = 1 / np.sqrt(variance[j] / n + eps)
    else:
        for j in range(h):
            mean[j] = running_mean[j]
            inverse_std[j] = 1 / np.sqrt(running_var[j] + eps)
    scale = inverse_std * weight
    for i in range(n):
        q, o, k = pre[i], out[i], keep[i]
        for j in range(h):
            o[j] = max((q[j] - mean[j]) * scale[j] + bias[j], zero) * k[j]


@compiled
def norm_backward(
    d_out, out, pre, design, weight, train, mean, inverse_std,
    d_injected, d_weight, d_bias, d_pre,
):  # fmt: skip
    """From the gradient of ``out`` to that of the product, ``d_pre``.

    Gradients of what is injected and of the BatchNorm are added to ``d_injected`` (D x H),
    ``d_weight`` and ``d_bias`` (H).
    """
    n, h = pre.shape
    by_weight, by_bias = np.zeros(h, pre.dtype), np.zeros(h, pre.dtype)
    zero = by_bias[0]
    for i in range(n):
        d, o, q = d_out[i], out[i], pre[i]
        for j in range(h):
            g = d[j] if o[j] > zero else zero
            by_bias[j] += g
            by_weight[j] += g * (q[j] - mean[j])
    scale = inverse_std * weight
    shift, slope = np.zeros(h, pre.dtype), np.zeros(h, pre.dtype)
    for j in range(h):
        by_weight[j] *= inverse_std[j]
        d_weight[j] += by_weight[j]
        d_bias[j] += by_bias[j]
        if train:
            shift[j] = -scale[j] * by_bias[j] / n
            slope[j] = -scale[j] * inverse_std[j] * by_weight[j] / n
    for i in range(n):
        d, o, q, e = d_out[i], out[i], pre[i], d_pre[i]
        for j in range(h):
            g = d[j] if o[j] > zero else zero
            e[j] = scale[j] * g + shift[j] + slope[j] * (q[j] - mean[j])
        for c in range(design.shape[1]):
            w, b = design[i, c], d_injected[c]
            if w != 0:
                for j in range(h):
                    b[j] += w * e[j]
