"""Architecture surgery (Lotfollahi et al. 2022): new covariate levels in a trained network, the rest frozen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ...nn.layers import CovariateSizes, HiddenLayer
from ...nn.sysvi.net import SysVINet


@dataclass(frozen=True)
class QueryTraining:
    """What trains when a query is mapped: the rows of new levels, and what the options free.

    Parameters
    ----------
    new_rows
        Rows of every layer's covariate weights that belong to new levels.
    new_vectors
        Rows of new levels in the vector tables of embedded covariates, per covariate.
    unfrozen
        Train the whole network.
    freeze_dropout
        No dropout.
    freeze_expression
        Keep the expression weights of the encoder's first layer.
    freeze_decoder_first_layer
        Keep the latent weights of the decoder's first layer.
    freeze_batchnorm_encoder, freeze_batchnorm_decoder
        Keep scale and shift of BatchNorm and use its running statistics, which stay as well.
    freeze_classifier
        Keep the system classifier of the adversarial variant.
    """

    new_rows: tuple[int, ...] = ()
    new_vectors: tuple[tuple[int, ...], ...] = ()
    unfrozen: bool = False
    freeze_dropout: bool = False
    freeze_expression: bool = True
    freeze_decoder_first_layer: bool = True
    freeze_batchnorm_encoder: bool = True
    freeze_batchnorm_decoder: bool = True
    freeze_classifier: bool = True

    @staticmethod
    def from_json(raw: dict) -> QueryTraining:
        """The reverse of ``dataclasses.asdict``."""
        rows = {
            "new_rows": tuple(raw["new_rows"]),
            "new_vectors": tuple(map(tuple, raw["new_vectors"])),
        }
        return QueryTraining(**{**raw, **rows})

    @property
    def trains_anything(self) -> bool:
        """Whether any weight is free."""
        return (
            self.unfrozen
            or bool(self.new_rows)
            or any(self.new_vectors)
            or not self.freeze_expression
            or not self.freeze_decoder_first_layer
            or not self.freeze_batchnorm_encoder
            or not self.freeze_batchnorm_decoder
        )


def row_map(old: CovariateSizes, new: CovariateSizes) -> list[int]:
    """For each row of the old covariate weights its row in the new ones.

    Both lie in blocks: systems, levels of each categorical covariate, dense columns. New levels
    come last in their block.
    """
    if old.embedding_dim:
        return list(range(old.n_total))
    rows = list(range(old.n_systems))
    start = new.n_systems
    for n_old, n_new in zip(old.n_categories, new.n_categories, strict=True):
        rows.extend(range(start, start + n_old))
        start += n_new
    return rows + list(range(new.n_levels, new.n_total))


def new_rows(old: CovariateSizes, new: CovariateSizes) -> tuple[int, ...]:
    """Rows of the new covariate weights that the old ones lack."""
    return tuple(sorted(set(range(new.n_total)) - set(row_map(old, new))))


def new_vectors(old: CovariateSizes, new: CovariateSizes) -> tuple[tuple[int, ...], ...]:
    """Rows of new levels in each embedded covariate's table."""
    if not old.embedding_dim:
        return ()
    return tuple(
        tuple(range(a, b)) for a, b in zip(old.n_categories, new.n_categories, strict=True)
    )


def grow(state: dict[str, Tensor], old: CovariateSizes, new: CovariateSizes) -> dict[str, Tensor]:
    """The weights of a network with more covariate levels.

    A new level starts as the mean of its covariate's known levels, an average sample.

    Parameters
    ----------
    state
        State of the trained network.
    old, new
        Its covariates and those to come.
    """
    rows = torch.tensor(row_map(old, new))
    grown = {}
    for name, value in state.items():
        if name.endswith("covariate_weight"):
            larger = value.new_zeros(new.n_total, value.shape[1])
            larger[rows] = value
            grown[name] = _fill_new_levels(larger, old, new)
        elif name == "prior.design":
            larger = value.new_zeros(len(value), new.n_total)
            larger[:, rows] = value
            grown[name] = larger
        elif name.startswith("covariates.tables."):
            n_added = new.n_categories[int(name.rsplit(".", 1)[1])] - len(value)
            grown[name] = torch.cat([value, value.mean(0, keepdim=True).expand(n_added, -1)])
        else:
            grown[name] = value.clone()
    return grown


def _fill_new_levels(weight: Tensor, old: CovariateSizes, new: CovariateSizes) -> Tensor:
    if old.embedding_dim:
        return weight
    start = new.n_systems
    for n_old, n_new in zip(old.n_categories, new.n_categories, strict=True):
        weight[start + n_old : start + n_new] = weight[start : start + n_old].mean(0)
        start += n_new
    return weight


class _SomeRows(nn.Module):
    """A matrix of which only some rows are parameters.

    Masking gradients would not do: weight decay and momentum move masked rows all the same.
    """

    def __init__(self, matrix: Tensor, rows: tuple[int, ...]):
        super().__init__()
        self.matrix: Tensor
        self.rows: Tensor
        self.register_buffer("matrix", matrix.detach().clone())
        self.register_buffer("rows", torch.tensor(rows, dtype=torch.long, device=matrix.device))

    def forward(self, free: Tensor) -> Tensor:
        return self.matrix.index_copy(0, self.rows, free)

    def right_inverse(self, matrix: Tensor) -> Tensor:
        return matrix[self.rows].clone()


@contextmanager
def partly_frozen(net: SysVINet, plan: QueryTraining | None) -> Iterator[None]:
    """Within the block only what ``plan`` names can be trained; ``None`` leaves all free."""
    if plan is None:
        yield
        return
    halves: tuple[tuple[Any, bool, bool], ...] = (
        (net.encoder.hidden.layers, plan.freeze_batchnorm_encoder, plan.freeze_expression),
        (net.decoder.hidden.layers, plan.freeze_batchnorm_decoder, plan.freeze_decoder_first_layer),
    )
    layers: list[HiddenLayer] = [layer for half, _, _ in halves for layer in half]
    rates = [layer.dropout_rate for layer in layers]
    flags = [(p, p.requires_grad) for p in net.parameters()]
    split: list[tuple[nn.Module, str]] = []
    if net.adversary is not None:
        net.adversary.frozen = plan.freeze_classifier and not plan.unfrozen
    try:
        if plan.freeze_dropout:
            for layer in layers:
                layer.dropout_rate = 0.0
        if not plan.unfrozen:
            net.requires_grad_(False)
            for half, freeze_norm, freeze_first in halves:
                if not freeze_first:
                    half[0].weight.requires_grad_(True)
                    half[0].bias.requires_grad_(True)
                for layer in half:
                    layer.norm_frozen = freeze_norm
                    layer.norm.requires_grad_(not freeze_norm)
                    if plan.new_rows:
                        _split(layer, "covariate_weight", plan.new_rows)
                        split.append((layer, "covariate_weight"))
            for i, rows in enumerate(plan.new_vectors):
                if rows:
                    _split(net.covariates.tables, str(i), rows)
                    split.append((net.covariates.tables, str(i)))
        yield
    finally:
        for module, name in split:
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)
            getattr(module, name).requires_grad_(True)
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
        if net.adversary is not None:
            net.adversary.frozen = False
        for layer, rate in zip(layers, rates, strict=True):
            layer.dropout_rate, layer.norm_frozen = rate, False


def _split(module: nn.Module, name: str, rows: tuple[int, ...]) -> None:
    matrix = getattr(module, name)
    parametrize.register_parametrization(module, name, _SomeRows(matrix, rows))
    free: Any = module.parametrizations
    free[name].original.requires_grad_(True)
