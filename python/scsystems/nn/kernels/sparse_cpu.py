"""The compiled loop of `SparseRows.product`."""

from __future__ import annotations

from .compiled import compiled

# rows of the weight that are added at once: each takes a pass over the result less
AT_ONCE = 8


@compiled
def add_rows(start, gene, value, weight, out):
    """Add to ``out`` (B x H) the rows of ``weight`` (G x H) that each cell's genes have."""
    h = weight.shape[1]
    for i in range(len(start) - 1):
        o = out[i]
        at = start[i]
        while at + AT_ONCE <= start[i + 1]:
            v, g = value[at : at + AT_ONCE], gene[at : at + AT_ONCE]
            a, b, c, d = weight[g[0]], weight[g[1]], weight[g[2]], weight[g[3]]
            p, q, r, s = weight[g[4]], weight[g[5]], weight[g[6]], weight[g[7]]
            for j in range(h):
                o[j] += (
                    v[0] * a[j]
                    + v[1] * b[j]
                    + v[2] * c[j]
                    + v[3] * d[j]
                    + (v[4] * p[j] + v[5] * q[j] + v[6] * r[j] + v[7] * s[j])
                )
            at += AT_ONCE
        while at < start[i + 1]:
            a = weight[gene[at]]
            for j in range(h):
                o[j] += value[at] * a[j]
            at += 1
