"""Building blocks of the networks: covariates, hidden layers, dropout, initialization."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CovariateInit = Literal["zero", "linear"]

# up to this many covariate columns a product with the small one-hot design is cheaper than look-ups
FEW_LEVELS = 64


@dataclass(frozen=True)
class CovariateSizes:
    """How many levels and columns the covariates have.

    Parameters
    ----------
    n_systems
        Levels of the system.
    n_categories
        Levels of each further categorical covariate.
    n_continuous
        Number of continuous covariates.
    embedding_dim
        ``None``: every level of a categorical covariate has its own weights in every layer.
        A number: the further categorical covariates enter as learned vectors of that length.
    """

    n_systems: int
    n_categories: tuple[int, ...] = ()
    n_continuous: int = 0
    embedding_dim: int | None = None

    @property
    def n_levels(self) -> int:
        """Rows of a layer's covariate weights that are picked by a code."""
        further = 0 if self.embedding_dim else sum(self.n_categories)
        return self.n_systems + further

    @property
    def n_dense(self) -> int:
        """Rows of a layer's covariate weights that are multiplied by a value."""
        embedded = self.embedding_dim * len(self.n_categories) if self.embedding_dim else 0
        return self.n_continuous + embedded

    @property
    def n_total(self) -> int:
        """Rows of a layer's covariate weights: the width of the equivalent one-hot design."""
        return self.n_levels + self.n_dense


class Covariates(NamedTuple):
    """The covariates of a minibatch, as every layer takes them.

    Either ``codes`` (B x C, rows of the covariate weights to add up) with optional ``dense``
    (B x D values), or a whole real-valued ``design`` (B x n_total), as pseudoinputs have.
    """

    codes: Tensor | None = None
    dense: Tensor | None = None
    design: Tensor | None = None


def covariate_term(weight: Tensor, n_levels: int, covariates: Covariates) -> Tensor:
    """What the covariates add to a layer's product: ``onehot(covariates) @ weight``.

    The expression matrix is never widened by one-hot columns. Level weights are looked up and
    added, or multiplied with a design of a few columns where that is cheaper.
    """
    if covariates.design is not None:
        return covariates.design @ weight
    codes: Any = covariates.codes
    term = F.embedding_bag(codes, weight[:n_levels], mode="sum")
    if covariates.dense is not None:
        term = term + covariates.dense @ weight[n_levels:]
    return term


class RowProduct(Protocol):
    """Rows that know their own product with a weight, as sparse ones do; for evaluation alone."""

    def product(self, weight: Tensor, bias: Tensor) -> Tensor:
        """``rows @ weight.T + bias``: H x G and H -> B x H."""


class CovariateEncoder(nn.Module):
    """Turn codes of system, categorical and values of continuous covariates into `Covariates`."""

    offsets: Tensor

    def __init__(self, sizes: CovariateSizes, generator: torch.Generator):
        super().__init__()
        self.sizes = sizes
        offsets = [
            sizes.n_systems + sum(sizes.n_categories[:i]) for i in range(len(sizes.n_categories))
        ]
        self.register_buffer("offsets", torch.tensor(offsets, dtype=torch.long), persistent=False)
        self.tables = nn.ParameterList()
        if sizes.embedding_dim:
            for n in sizes.n_categories:
                vectors = torch.randn(n, sizes.embedding_dim, generator=generator) * 0.1
                self.tables.append(nn.Parameter(vectors))

    def forward(
        self, system: Tensor, categorical: Tensor | None, continuous: Tensor | None
    ) -> Covariates:
        """Combine the covariates of B cells.

        Parameters
        ----------
        system
            Codes of the system, B.
        categorical
            Codes of the further categorical covariates, B x C, or ``None``.
        continuous
            Values of the continuous covariates, B x D, or ``None``.
        """
        codes, dense = [system[:, None]], []
        if continuous is not None:
            dense.append(continuous)
        if categorical is not None:
            if self.sizes.embedding_dim:
                dense.extend(F.embedding(categorical[:, i], t) for i, t in enumerate(self.tables))
            else:
                codes.append(categorical + self.offsets)
        covariates = Covariates(torch.cat(codes, 1), torch.cat(dense, 1) if dense else None)
        if self.sizes.n_total <= FEW_LEVELS:
            return Covariates(design=self.design(covariates))
        return covariates

    def system_only(self, system: Tensor) -> Covariates:
        """The system alone, every other covariate zero (the paper's counterfactual cells)."""
        dense = self.sizes.n_dense
        zeros = torch.zeros(len(system), dense, device=system.device) if dense else None
        covariates = Covariates(system[:, None], zeros)
        if self.sizes.n_total <= FEW_LEVELS:
            return Covariates(design=self.design(covariates))
        return covariates

    def design(self, covariates: Covariates) -> Tensor:
        """The equivalent one-hot design matrix, B x n_total."""
        if covariates.design is not None:
            return covariates.design
        codes: Any = covariates.codes
        onehot = torch.zeros(len(codes), self.sizes.n_levels, device=codes.device)
        onehot.scatter_(1, codes, 1.0)
        return onehot if covariates.dense is None else torch.cat([onehot, covariates.dense], 1)


def uniform_(tensor: Tensor, fan_in: int, generator: torch.Generator) -> Tensor:
    """Fill with U(-1/sqrt(fan_in), 1/sqrt(fan_in)), the usual start of a linear layer."""
    bound = 1 / math.sqrt(fan_in)
    with torch.no_grad():
        return tensor.uniform_(-bound, bound, generator=generator)


class _UnsetLinear(nn.Linear):
    """A linear layer without a start, and so without a draw from torch's global generator.

    ``torch.nn.utils.skip_init`` does the same by way of sympy, whose import takes over a second.
    """

    def reset_parameters(self) -> None:
        pass


def linear(n_in: int, n_out: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer whose start is drawn from ``generator`` alone."""
    layer = _UnsetLinear(n_in, n_out)
    uniform_(layer.weight, n_in, generator)
    uniform_(layer.bias, n_in, generator)
    return layer


def keep_bytes(
    shape: torch.Size, rate: float, generator: torch.Generator | None, device: torch.device
) -> Tensor | None:
    """What dropout keeps, as bytes 0 and 1; ``None`` if it keeps all.

    Eight entries are cut from each 64-bit random number, so the rate is rounded to a multiple
    of 1/256.
    """
    dropped = round(rate * 256)
    if dropped == 0:
        return None
    n = shape.numel()
    words = torch.empty((n + 7) // 8, dtype=torch.int64, device=device)
    # the full 64-bit range: random_() alone would leave the top bit unset
    words.random_(-(2**63), None, generator=generator)
    # clamping is several times faster than comparing
    return words.view(torch.uint8)[:n].clamp_(dropped - 1, dropped).sub_(dropped - 1).view(shape)


def keep_scale(rate: float) -> float:
    """What inverted dropout multiplies with, by the rate that `keep_bytes` uses: the mean stays exact."""
    return 256 / (256 - round(rate * 256))


class _MaskedReLU(torch.autograd.Function):
    """``relu(x) * keep * scale``; the result alone says what passed."""

    @staticmethod
    def forward(ctx, x: Tensor, keep: Tensor, scale: float) -> Tensor:
        y = torch.clamp_min(x, 0).mul_(keep).mul_(scale)
        ctx.save_for_backward(y)
        ctx.scale = scale
        return y

    @staticmethod
    def backward(ctx, grad: Tensor):
        (y,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(grad, y, 0).mul_(ctx.scale), None, None


def masked_relu(x: Tensor, keep: Tensor | None, rate: float) -> Tensor:
    """ReLU, then dropout with a mask that `keep_bytes` drew for this ``rate``."""
    return F.relu(x) if keep is None else _MaskedReLU.apply(x, keep, keep_scale(rate))


def relu_dropout(x: Tensor, rate: float, generator: torch.Generator | None) -> Tensor:
    """ReLU, then dropout with a mask from ``generator``."""
    return masked_relu(x, keep_bytes(x.shape, rate, generator, x.device), rate)


class _ReducedLinear(torch.autograd.Function):
    """A linear layer whose three products run in bfloat16; weights and results are float32."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        x, low = x.bfloat16(), weight.bfloat16()
        ctx.save_for_backward(x, low)
        return F.linear(x, low, bias.bfloat16()).float()

    @staticmethod
    def backward(ctx, grad: Tensor):
        x, low = ctx.saved_tensors
        needs = ctx.needs_input_grad
        g = grad.bfloat16()
        return (
            (g @ low).float() if needs[0] else None,
            (g.t() @ x).float() if needs[1] else None,
            grad.sum(0) if needs[2] else None,
        )


def wide_linear(x: Any, weight: Tensor, bias: Tensor, reduced: bool) -> Tensor:
    """The products over all genes, the bulk of a step; ``reduced`` runs them in bfloat16."""
    return _ReducedLinear.apply(x, weight, bias) if reduced else F.linear(x, weight, bias)


class HiddenLayer(nn.Module):
    """Linear with injected covariates, BatchNorm, ReLU, Dropout (paper, Methods)."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        sizes: CovariateSizes,
        dropout_rate: float,
        covariate_init: CovariateInit,
        generator: torch.Generator,
    ):
        super().__init__()
        self.n_levels = sizes.n_levels
        self.dropout_rate = dropout_rate
        # products in bfloat16; set for training by those who own the layer, never saved
        self.reduced = False
        fan_in = n_in + sizes.n_total
        self.weight = nn.Parameter(uniform_(torch.empty(n_out, n_in), fan_in, generator))
        self.bias = nn.Parameter(uniform_(torch.empty(n_out), fan_in, generator))
        covariate_weight = torch.zeros(sizes.n_total, n_out)
        if covariate_init == "linear":
            uniform_(covariate_weight, fan_in, generator)
        self.covariate_weight = nn.Parameter(covariate_weight)
        # running statistics in training, too; set while a query is mapped, never saved
        self.norm_frozen = False
        self.norm = nn.BatchNorm1d(n_out, momentum=0.01, eps=1e-3)

    def forward(
        self,
        x: Tensor | RowProduct,
        covariates: Covariates,
        train: bool,
        keep: Tensor | None = None,
    ) -> Tensor:
        """Apply the layer to B x n_in; ``train`` takes minibatch statistics, ``keep`` is for dropout."""
        reduced = self.reduced and isinstance(x, Tensor)
        if not (train or reduced or torch.is_grad_enabled()):
            return self._evaluate(x, covariates)
        h = wide_linear(x, self.weight, self.bias, reduced)
        h = h + covariate_term(self.covariate_weight, self.n_levels, covariates)
        norm: Any = self.norm
        h = F.batch_norm(
            h,
            norm.running_mean,
            norm.running_var,
            norm.weight,
            norm.bias,
            train and not self.norm_frozen,
            norm.momentum,
            norm.eps,
        )
        return masked_relu(h, keep, self.dropout_rate)

    def _evaluate(self, x: Tensor | RowProduct, covariates: Covariates) -> Tensor:
        """With running statistics BatchNorm is folded into the product, which saves passes."""
        norm: Any = self.norm
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        shift = (self.bias - norm.running_mean) * scale + norm.bias
        weight = self.weight * scale[:, None]
        h = F.linear(x, weight, shift) if isinstance(x, Tensor) else x.product(weight, shift)
        h += covariate_term(self.covariate_weight * scale, self.n_levels, covariates)
        return h.relu_()


class HiddenStack(nn.Module):
    """``n_layers`` hidden layers, the covariates injected at the input of each."""

    def __init__(
        self,
        n_in: int,
        n_hidden: int,
        n_layers: int,
        sizes: CovariateSizes,
        dropout_rate: float,
        covariate_init: CovariateInit,
        generator: torch.Generator,
    ):
        super().__init__()
        widths = [n_in] + [n_hidden] * n_layers
        self.layers = nn.ModuleList(
            HiddenLayer(a, b, sizes, dropout_rate, covariate_init, generator)
            for a, b in pairwise(widths)
        )

    def draw(self, n: int, generator: torch.Generator | None) -> list[Tensor | None]:
        """Dropout masks of ``n`` cells for every layer, see `keep_bytes`."""
        first: Any = self.layers[0]
        weight = first.weight
        shape = torch.Size((len(self.layers), n, len(weight)))
        masks = keep_bytes(shape, first.dropout_rate, generator, weight.device)
        return [None] * len(self.layers) if masks is None else list(masks)

    def forward(
        self, x: Tensor, covariates: Covariates, train: bool, generator: torch.Generator | None
    ) -> Tensor:
        """B x n_in -> B x n_hidden; ``train`` switches minibatch statistics and dropout."""
        masks = self.draw(len(x), generator) if train else [None] * len(self.layers)
        for layer, keep in zip(self.layers, masks, strict=True):
            x = layer(x, covariates, train, keep)
        return x
