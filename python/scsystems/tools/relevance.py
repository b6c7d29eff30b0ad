"""Which genes decide where a cell lies in the latent space: layer-wise relevance propagation."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import require_extra
from ..nn.scspecies.net import ScviNet
from ..nn.scspecies.norm_layer import NormLayer
from ..torch_state import usual_torch


class Relevance(NamedTuple):
    """Relevance of B cells, averaged over the latent dimensions.

    ``genes`` (B x G), ``batch`` (B): what the batch contributes, and ``residual`` (B): what is
    missing from the latent means' average, as a fraction of the relevance that flowed.
    """

    genes: Tensor
    batch: Tensor
    residual: Tensor


@usual_torch()
def relevance(net: ScviNet, x: Tensor, batch: Tensor, gamma: float = 0.25) -> Relevance:
    """Propagate the latent mean back to the genes by the LRP-gamma rule (paper, equation 29).

    Positive weights count ``1 + gamma`` times. LayerNorm passes relevance on unchanged, and
    biases take no share, so that the relevance of all inputs adds up to the latent mean.

    Parameters
    ----------
    net
        A trained network.
    x, batch
        Counts (B x G) and batch codes (B).
    gamma
        How much positive contributions are favored.

    Raises
    ------
    MissingExtraError
        If captum is not installed.
    """
    captum = require_extra("captum.attr", "relevance")
    chain = encoder_chain(net).to(x.device)
    seen = net.encoder_input(x).double()
    inputs = torch.cat([seen, F.one_hot(batch, net.sizes.n_batches).double()], 1).requires_grad_()
    with torch.no_grad():
        means = chain(inputs)
    n_latent = means.shape[1]
    total = torch.zeros_like(inputs, requires_grad=False)
    flowed = means.new_zeros(len(x))
    for dimension in range(n_latent):
        _attach_rules(chain, gamma)
        part = captum.LRP(chain).attribute(inputs, target=dimension)
        total += part.detach()
        flowed += part.detach().abs().sum(1)
    residual = (total.sum(1) - means.sum(1)) / flowed.clamp_min(1e-12)
    total /= n_latent
    n_genes = x.shape[1]
    return Relevance(
        total[:, :n_genes].float(), total[:, n_genes:].sum(1).float(), residual.float()
    )


def encoder_chain(net: ScviNet) -> nn.Sequential:
    """The encoder of the latent mean without dropout, as double-precision layers of torch; the batch is one-hot."""
    mean = nn.Linear(net.inner.mean.in_features, net.inner.mean.out_features)
    mean.load_state_dict(net.inner.mean.state_dict())
    chain = nn.Sequential(*_layer(net.outer), *_layer(net.inner.hidden), mean)
    return chain.double().requires_grad_(False).eval()


def _layer(layer: NormLayer) -> list[nn.Module]:
    weight = layer.weight.detach()
    if layer.batch_weight is not None:
        weight = torch.cat([weight, layer.batch_weight.detach().T], 1)
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.load_state_dict({"weight": weight, "bias": layer.bias.detach()})
    norm = nn.LayerNorm(weight.shape[0])
    norm.load_state_dict(layer.norm.state_dict())
    return [linear, norm, nn.ReLU()]


def _attach_rules(chain: nn.Sequential, gamma: float) -> None:
    """Rules of every layer; captum takes them off again after each use."""
    rules = require_extra("captum.attr._utils.lrp_rules", "relevance")
    for layer in chain:
        if isinstance(layer, nn.Linear):
            layer.rule = rules.GammaRule(gamma, set_bias_to_zero=True)
        elif isinstance(layer, nn.LayerNorm):
            layer.rule = rules.IdentityRule()
