"""The compiled loop of `residual_gradients`."""

from __future__ import annotations

from .compiled import compiled


@compiled
def residual_pass(x, mean, inverse_std, factor, squares, total):
    """Adds to ``squares`` and ``total`` and overwrites ``mean``; see `residual_gradients`."""
    n, n_genes = x.shape
    for i in range(n):
        given, m = x[i], mean[i]
        for j in range(n_genes):
            r = (given[j] - m[j]) * inverse_std[j]
            squares[j] += r * r
            m[j] = factor * r * inverse_std[j]
            total[j] += m[j]
