"""Compare expression between species: decode the same latent cells with both decoders."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from ..errors import InputError
from ..nn.scspecies.net import ScviNet
from ..torch_state import usual_torch

# an LFC of genes that are hardly expressed in both species stays small (paper, Comparison of gene profiles)
OFFSET = 1e-6


class Decoded(NamedTuple):
    """Expression of S cells, H genes: ``relative`` to the sum over these genes, and the decoder's ``rho``."""

    relative: np.ndarray
    rho: np.ndarray


def within_ellipse(mean: np.ndarray, level: float = 0.9) -> np.ndarray:
    """The cells inside the confidence ellipse of their means, n.

    Parameters
    ----------
    mean
        Latent means of the cells of a type, n x L.
    level
        Share of cells that the ellipse holds if they are normally distributed. With too few
        cells to estimate a covariance (no more than L + 1) all are kept.
    """
    n, n_latent = mean.shape
    if n <= n_latent + 1:
        return np.ones(n, bool)
    centered = np.asarray(mean - mean.mean(0), np.float64)
    inverse = np.linalg.pinv(centered.T @ centered / (n - 1), hermitian=True)
    distance = np.einsum("ni,ij,nj->n", centered, inverse, centered)
    return distance <= stats.chi2.ppf(level, n_latent)


def draw_cells(
    mean: np.ndarray, std: np.ndarray, n_samples: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw from the mixture of the cells' posteriors (paper, equation 27), with normal noise.

    Returns
    -------
    Latent samples (n_samples x L, float32) and the cells they come from (n_samples).
    """
    cell = rng.integers(0, len(mean), n_samples)
    noise = rng.standard_normal((n_samples, mean.shape[1]))
    return (mean[cell] + std[cell] * noise).astype(np.float32), cell


@usual_torch()
@torch.no_grad()
def decode(net: ScviNet, z: np.ndarray, batches: np.ndarray, genes: np.ndarray) -> Decoded:
    """Expression of ``genes``, averaged over batches (paper, equations 23 to 26).

    The softmax of ``relative`` runs over ``genes`` alone, so that neither other genes nor their
    number matter. With zero inflation both are multiplied by the probability of no extra zero.

    Parameters
    ----------
    net
        The network of the species.
    z
        Latent cells, S x L.
    batches
        Codes of the batches to average over.
    genes
        Positions of the genes.
    """
    device = next(net.parameters()).device
    latent = torch.as_tensor(z, device=device)
    columns = torch.as_tensor(genes, device=device)
    relative = torch.zeros(len(latent), len(genes), device=device)
    rho = torch.zeros_like(relative)
    for code in batches:
        expression = net.decoder(latent, torch.full((len(latent),), int(code), device=device))
        log_rho = expression.log_rho[:, columns]
        seen: float | Tensor = 1.0
        if expression.zero_logits is not None:
            seen = torch.sigmoid(-expression.zero_logits[:, columns])
        relative += torch.softmax(log_rho, 1) * seen
        rho += log_rho.exp() * seen
    return Decoded((relative / len(batches)).cpu().numpy(), (rho / len(batches)).cpu().numpy())


class FoldChange(NamedTuple):
    """Per gene: median log2 fold change, and the probability of one beyond the threshold (in absolute value)."""

    lfc: np.ndarray
    probability: np.ndarray


def fold_change(
    target: np.ndarray, context: np.ndarray, threshold: float = 1.0, offset: float = OFFSET
) -> FoldChange:
    """Summarize log2 fold changes over samples (paper, equation 24).

    Parameters
    ----------
    target, context
        Expression of the same S samples and H genes in both species, S x H.
    threshold
        Level of the absolute log2 fold change.
    offset
        Added to both.
    """
    if target.shape != context.shape:
        raise InputError(
            f"target has shape {target.shape}, context {context.shape}. Expected the same samples and genes."
        )
    lfc = np.log2(target + offset) - np.log2(context + offset)
    return FoldChange(np.median(lfc, 0), (np.abs(lfc) > threshold).mean(0))
