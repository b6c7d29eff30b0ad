"""KL and cycle loss with their gradients, all of the size of the latent space."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .cycle import SMALLEST_STD
from .mixture_gradients import mixture_gradients
from .priors import MixturePrior, VampPrior


class Posterior(NamedTuple):
    """Means and log-variances of posteriors, N x L each; log-variances are within their range."""

    mean: Tensor
    log_var: Tensor


class LatentGradients(NamedTuple):
    """Loss and gradients with respect to z, the posteriors and the prior's own parameters.

    ``kl`` and ``cycle`` are means over the cells, without weights; gradients have the weights.
    ``z`` is taken as given, not as a function of mean and variance.
    """

    kl: Tensor
    cycle: Tensor
    z: Tensor
    cells: Posterior
    counterfactual: Tensor | None
    pseudo: Posterior | None
    prior: list[Tensor]


def has_closed_form(prior: nn.Module) -> bool:
    """Whether gradients of the KL need no automatic differentiation."""
    return isinstance(prior, VampPrior) and prior.density == "joint"


def latent_gradients(
    prior: nn.Module,
    own: list[nn.Parameter],
    z: Tensor,
    cells: Posterior,
    counterfactual: Tensor | None,
    pseudo: Posterior | None,
    kl_weight: float,
    cycle_weight: float,
    cell_weight: Tensor | None,
) -> LatentGradients:
    """KL of the cells' posteriors and cycle loss to the means of counterfactual cells.

    Parameters
    ----------
    prior, own
        The prior and those of its parameters that are trained, other than pseudoinputs.
    z
        Sampled latent, B x L.
    cells, counterfactual, pseudo
        Posteriors of the cells, means of the counterfactual cells (B x L), posteriors of the
        pseudoinputs; ``None`` where there are none.
    kl_weight, cycle_weight
        Weights in the total loss.
    cell_weight
        Weight of each cell in the cycle loss, B.
    """
    part: Callable[..., Any] = _mixture_kl if has_closed_form(prior) else _automatic_kl
    kl, d_z, d_cells, d_pseudo, d_own = part(prior, own, z, cells, pseudo, kl_weight)
    cycle, d_counterfactual = kl.new_zeros(()), None
    if counterfactual is not None:
        cycle, d_mean, d_counterfactual = cycle_gradients(
            cells.mean, counterfactual, cell_weight, cycle_weight
        )
        d_cells = Posterior(d_cells.mean + d_mean, d_cells.log_var)
    return LatentGradients(kl, cycle, d_z, d_cells, d_counterfactual, d_pseudo, d_own)


def _automatic_kl(prior, own, z, cells, pseudo, weight):
    """Any prior, by automatic differentiation."""
    given = [z, *cells, *(pseudo or ())]
    with torch.enable_grad():
        leaves = [t.detach().requires_grad_() for t in given]
        z, mean, log_var, *rest = leaves
        kl = prior.kl(mean, log_var.exp(), z, lambda x, design: (rest[0], rest[1].exp())).mean()
        gradients = torch.autograd.grad(
            weight * kl, [*leaves, *own], allow_unused=True, materialize_grads=True
        )
    d_z, d_mean, d_log_var, *d_rest = gradients[: len(given)]
    d_pseudo = Posterior(*d_rest) if d_rest else None
    return kl.detach(), d_z, Posterior(d_mean, d_log_var), d_pseudo, list(gradients[len(given) :])


def _mixture_kl(prior: MixturePrior, own, z: Tensor, cells: Posterior, pseudo: Any, weight: float):
    """One-sample KL to a mixture in closed form."""
    log_w = prior.log_weights()
    kl, d_z, d_mean, d_log_var, d_m, d_pseudo_log_var, mass = mixture_gradients(
        z, cells.mean, cells.log_var, pseudo.mean, pseudo.log_var, log_w, weight / len(z)
    )
    d_own = [weight * log_w.exp() - mass] if own else []
    return kl, d_z, Posterior(d_mean, d_log_var), Posterior(d_m, d_pseudo_log_var), d_own


def cycle_gradients(
    mean: Tensor, counterfactual: Tensor, cell_weight: Tensor | None, weight: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean of `cycle_distance` and ``weight`` times its gradients, B x L each.

    With u the difference, q the weighted mean of its squares and V the variance of both
    together, the loss is ``sum_l q_l / V_l``; the common mean cancels in u, not in V.
    """
    n = len(mean)
    both = torch.cat([mean, counterfactual])
    centered = both - both.mean(0)
    variance = centered.square().sum(0) / (2 * n - 1)
    free = variance > SMALLEST_STD**2
    variance = variance.clamp_min(SMALLEST_STD**2)
    u = mean - counterfactual
    weighted = u if cell_weight is None else u * cell_weight[:, None]
    ratio = (weighted * u).sum(0) / n / variance
    through_variance = centered * (ratio / variance * free * (-2 * weight / (2 * n - 1)))
    direct = weighted * (2 * weight / n / variance)
    return ratio.sum(), direct + through_variance[:n], through_variance[n:] - direct
