"""One-sample KL divergence to a mixture of Gaussians, with its gradients in closed form."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..kernels.device import compiles_loops


class MixtureGradients(NamedTuple):
    """Mean KL over B cells, and ``scale`` times gradients of its sum.

    ``z``, ``mean``, ``log_var``: B x L, of the sample and of the posterior it was drawn from, each
    taken as given; ``component_mean``, ``component_log_var``: K x L. ``mass`` (K) is ``scale``
    times the sum of each component's responsibilities.
    """

    kl: Tensor
    z: Tensor
    mean: Tensor
    log_var: Tensor
    component_mean: Tensor
    component_log_var: Tensor
    mass: Tensor


def mixture_gradients(
    z: Tensor,
    mean: Tensor,
    log_var: Tensor,
    component_mean: Tensor,
    component_log_var: Tensor,
    log_w: Tensor,
    scale: float,
) -> MixtureGradients:
    """``log q(z) - log p(z)`` for p a mixture with log weights ``log_w`` (K).

    With responsibilities r of the components, ``d log p / dz = sum_k r_k (m_k - z) / v_k``, and
    the like for means, log-variances and logits.
    """
    if compiles_loops(z):
        return _compiled(z, mean, log_var, component_mean, component_log_var, log_w, scale)
    m, inverse = component_mean, torch.exp(-component_log_var)
    distance = (z[:, None] - m).square_().mul_(inverse).sum(-1)  # B x K
    joint = torch.add(log_w - 0.5 * component_log_var.sum(1), distance, alpha=-0.5)
    log_p = torch.logsumexp(joint, 1, keepdim=True)
    r = torch.exp(joint - log_p)
    precision = torch.exp(-log_var)
    scaled = (z - mean).square_() * precision
    kl = (-0.5 * (log_var + scaled).sum() - log_p.sum()) / len(z)

    r.mul_(scale)
    d_z = torch.addmm(z * (r @ inverse), r, m * inverse, alpha=-1)
    # sums over cells, weighted by responsibility
    mass = r.sum(0)[:, None]
    first, second = r.t() @ z, r.t() @ z.square()
    spread = second - 2 * m * first + mass * m.square()
    # z - mean is noise times the standard deviation: the density of q at z
    d_mean = scale * (z - mean) * precision
    return MixtureGradients(
        kl,
        d_z - d_mean,
        d_mean,
        0.5 * scale * (scaled - 1),
        (mass * m - first).mul_(inverse),
        0.5 * (mass - spread * inverse),
        mass[:, 0],
    )


def _compiled(*given) -> MixtureGradients:
    """The same in one loop over cells instead of forty operations."""
    from ..kernels.mixture_cpu import mixture_pass

    *tensors, scale = given
    z, mean, log_var, component_mean, component_log_var, log_w = tensors
    cells = [t.new_empty(t.shape) for t in (z, mean, log_var)]
    components = [t.new_zeros(t.shape) for t in (component_mean, component_log_var, log_w)]
    kl = z.new_zeros(1)
    arrays = [np.ascontiguousarray(t.detach().numpy()) for t in tensors]
    written = [t.numpy() for t in (*cells, *components, kl)]
    mixture_pass(*arrays, arrays[0].dtype.type(scale), *written)
    return MixtureGradients(kl[0] / len(z), *cells, *components)
