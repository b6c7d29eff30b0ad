"""`mixture_gradients` on the CPU: one compiled loop over cells instead of forty operations."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from .compiled import compiled
from .mixture import MixtureGradients


def mixture_gradients_cpu(
    z: Tensor,
    mean: Tensor,
    log_var: Tensor,
    component_mean: Tensor,
    component_log_var: Tensor,
    log_w: Tensor,
    scale: float,
) -> MixtureGradients:
    """As `mixture_gradients`."""
    cells = [t.new_empty(t.shape) for t in (z, mean, log_var)]
    components = [
        t.new_zeros(t.shape) for t in (component_mean, component_log_var, log_w, log_w[:1])
    ]
    given = (z, mean, log_var, component_mean, component_log_var, log_w)
    arrays = [np.ascontiguousarray(t.detach().numpy()) for t in given]
    number = arrays[0].dtype.type
    _loop(*arrays, number(scale), *(t.numpy() for t in (*cells, *components)))
    *components, kl = components
    return MixtureGradients(kl[0] / len(z), *cells, *components)


@compiled
def _loop(
    z, mean, log_var, m, component_log_var, log_w, scale,
    d_z, d_mean, d_log_var, d_m, d_component, mass, kl,
):  # fmt: skip
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
