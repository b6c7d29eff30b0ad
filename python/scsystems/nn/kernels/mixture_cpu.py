"""The compiled loop of `mixture_gradients`."""

from __future__ import annotations

import numpy as np

from .compiled import compiled


@compiled
def mixture_pass(
    z, mean, log_var, m, component_log_var, log_w, scale,
    d_z, d_mean, d_log_var, d_m, d_component, mass, kl,
):  # fmt: skip
    """Writes the gradients of cells; adds to those of components, ``mass`` and ``kl`` (sum over cells, 1)."""
    n, n_latent = z.shape
    n_components = len(m)
    half = scale / scale / 2
    inverse = np.exp(-component_log_var)
    constant = np.empty_like(log_w)
    for k in range(n_components):
        constant[k] = log_w[k] - half * component_log_var[k].sum()
    r = np.empty_like(log_w)
    for i in range(n):
        highest = -np.inf
        for k in range(n_components):
            distance = 0 * scale
            for j in range(n_latent):
                distance += (z[i, j] - m[k, j]) * (z[i, j] - m[k, j]) * inverse[k, j]
            r[k] = constant[k] - half * distance
            highest = max(highest, r[k])
        total = 0 * scale
        for k in range(n_components):
            r[k] = np.exp(r[k] - highest)
            total += r[k]
        kl[0] -= highest + np.log(total)
        for j in range(n_latent):
            precision = np.exp(-log_var[i, j])
            u = z[i, j] - mean[i, j]
            scaled = u * u * precision
            kl[0] -= half * (log_var[i, j] + scaled)
            # z - mean is noise times the standard deviation: the density of q at z
            d_mean[i, j] = scale * u * precision
            d_z[i, j] = -d_mean[i, j]
            d_log_var[i, j] = half * scale * (scaled - 1)
        for k in range(n_components):
            weight = scale * r[k] / total
            mass[k] += weight
            for j in range(n_latent):
                u = (z[i, j] - m[k, j]) * inverse[k, j]
                d_z[i, j] += weight * u
                d_m[k, j] -= weight * u
                d_component[k, j] += half * weight * (1 - (z[i, j] - m[k, j]) * u)
