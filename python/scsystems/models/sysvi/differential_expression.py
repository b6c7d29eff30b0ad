"""Differential expression between groups of cells, from decoded posterior samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from tqdm.auto import tqdm

from ... import checks, words
from ...checks import head
from ...data.levels import level_name, level_names, texts
from ...data.opened import opened
from ...data.resident import CellArrays
from ...errors import InputError, NotSupportedError
from ..base import positions
from . import effect_sizes
from .expression import ExpressionMixin

Cells = Sequence[int] | Sequence[bool] | np.ndarray | str


class DifferentialExpressionMixin(ExpressionMixin):
    """``differential_expression`` of `SysVI`."""

    def differential_expression(
        self,
        adata: AnnData | None = None,
        groupby: str | None = None,
        group1: str | Sequence[str] | None = None,
        group2: str | None = None,
        idx1: Cells | None = None,
        idx2: Cells | None = None,
        mode: Literal["vanilla", "change"] = "vanilla",
        delta: float | None = 0.25,
        batch_size: int | None = None,
        all_stats: bool = True,
        batch_correction: bool = False,
        batchid1: Sequence[str] | None = None,
        batchid2: Sequence[str] | None = None,
        fdr_target: float = 0.05,
        silent: bool = False,
        weights: Literal["uniform"] | None = "uniform",
        filter_outlier_cells: bool = False,
        *,
        n_samples_overall: int = 5_000,
        use_permutation: bool = False,
        m_permutation: int = 10_000,
        change_fn: Callable[..., np.ndarray] | Literal["log-fold"] | None = None,
        m1_domain_fn: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None,
        pseudocounts: float | None = None,
        test_mode: Literal["two", "three"] = "three",
        cred_interval_lvls: Sequence[float] | None = None,
        seed: int | None = None,
    ) -> pd.DataFrame:
        """Genes whose decoded expression differs between two groups of cells.

        Cells of either group are drawn with replacement, a latent sample of each is decoded, and
        the pairs are compared. The values are log-normalized expression, so that the log2 fold
        change ``lfc_*`` is that of ``1 + expression``, in units of the library size the data
        were normalized to: ``(value1 - value2) / log(2)``. It is smaller than the fold change of
        counts for genes that are hardly expressed, and ``delta`` is on the same scale.

        Parameters
        ----------
        adata
            Cells; default the model's own.
        groupby
            Column of ``adata.obs`` with the groups.
        group1
            Groups to test, each on its own; default all.
        group2
            Group to compare with; default all other cells.
        idx1, idx2
            Cells to compare instead of groups: indices, a mask, or a query of ``adata.obs`` such
            as ``"cell_type == 'beta'"``. Without ``idx2``: against all other cells.
        mode
            ``"vanilla"``: which group has the larger value (``proba_m1``, ``bayes_factor``);
            ``"change"``: is the log fold change larger than ``delta`` (``proba_de``,
            ``is_de_fdr_<fdr_target>``).
        delta
            Smallest absolute log2 fold change of interest in mode ``"change"``; ``None``
            estimates it from the data.
        batch_size
            Cells at a time.
        all_stats
            Add what the input says of the groups, see
            :func:`scsystems.models.sysvi.effect_sizes.expression_statistics`.
        batch_correction
            Decode both groups under the same systems (``batchid1``, ``batchid2``) and compare
            within each, which takes differences between systems out; ``False`` decodes each
            cell under its own system.
        batchid1, batchid2
            Systems to decode group 1 and group 2 under, with ``batch_correction``; default all.
            Either the same for both, or none in common.
        fdr_target
            Expected fraction of false discoveries among the genes called in mode ``"change"``.
        silent
            No progress bar.
        weights
            ``"uniform"`` or ``None``: all cells of a group are equally likely to be drawn.
        filter_outlier_cells
            Leave out cells that lie outside their group in the latent space.
        n_samples_overall
            Samples per group.
        use_permutation, m_permutation
            Compare ``m_permutation`` random pairs of the samples instead of one pair each.
        change_fn
            Effect size in mode ``"change"``: ``f(values1, values2, pseudocounts)`` on samples x G
            log-normalized values; default the log2 fold change.
        m1_domain_fn
            Own rule for a change: ``f(effect sizes) -> (is increase, is decrease)``.
        pseudocounts
            Added to linear expression in the fold change; ``None`` is 1, see above.
        test_mode
            ``"three"``: increase and decrease are separate hypotheses; ``"two"``: any change.
        cred_interval_lvls
            Levels of credible intervals of the effect size, for example ``[0.95]``.
        seed
            Seed of cells and latent samples; default the model's seed.

        Returns
        -------
        A row per gene (and group), the most certain first. ``scale1``, ``scale2``: mean decoded
        value of each group.

        Raises
        ------
        InputError
            For unknown columns, groups, systems or cells, and for empty or overlapping groups.
        """
        self._require_trained()
        if mode not in ("vanilla", "change"):
            raise InputError(f"mode={mode!r}. Expected 'vanilla' or 'change'.")
        if weights not in (None, "uniform"):
            raise NotSupportedError(
                f"weights={weights!r} is not supported. Expected None or 'uniform'."
            )
        if not (callable(change_fn) or change_fn in (None, "log-fold")):
            raise InputError(
                f"change_fn={change_fn!r}. Expected 'log-fold' or a function of two arrays and a number."
            )
        fdr_target = checks.fraction("false discoveries", fdr_target, zero=False, one=False)
        if delta is not None:
            delta = checks.number("delta", delta, at_least=0)
        if pseudocounts is not None:
            pseudocounts = checks.number("pseudocounts", pseudocounts, above=0)
        given, adata = adata, opened(self._require_own().adata if adata is None else adata)
        rng = np.random.default_rng(checks.seed(seed, self._arguments["seed"]))
        systems = self._systems_to_compare(batch_correction, batchid1, batchid2)
        sampling: dict[str, Any] = {
            "n_samples": checks.count("n_samples_overall", n_samples_overall),
            "n_pairs": checks.count("m_permutation", m_permutation) if use_permutation else None,
            "batch_size": batch_size,
        }
        cells = self._require_own().unchanged() if given is None else self.schema.arrays(adata)
        comparisons = _comparisons(adata, groupby, group1, group2, idx1, idx2)
        tables = []
        for name1, name2, first, second in tqdm(comparisons, desc="DE", disable=silent):
            if filter_outlier_cells:
                first, second = (self._without_outliers(given, g) for g in (first, second))
            pairs = self._paired_samples(cells, first, second, systems, rng, **sampling)
            facts: dict[str, Any]
            if mode == "vanilla":
                facts = effect_sizes.probability_larger(*pairs)
            else:
                p = 1.0 if pseudocounts is None else pseudocounts
                change = (
                    change_fn(*pairs, p)
                    if callable(change_fn)
                    else effect_sizes.log_fold_change(*pairs, p)
                )
                facts = effect_sizes.probability_changed(
                    change, delta, test_mode, m1_domain_fn, int(rng.integers(2**31))
                )
                spread = effect_sizes.describe(change, cred_interval_lvls or ())
                facts |= {"pseudocounts": p, **{f"lfc_{k}": v for k, v in spread.items()}}
            facts |= {"scale1": pairs[0].mean(0), "scale2": pairs[1].mean(0)}
            table = pd.DataFrame(facts, index=list(self.schema.genes))
            if all_stats:
                found = effect_sizes.expression_statistics(cells.x, first, second)
                table = table.join(found.set_index(table.index))
            if mode == "change":
                called = effect_sizes.is_de(table["proba_de"].to_numpy(), fdr_target)
                table[f"is_de_fdr_{fdr_target}"] = called
            if name1 is not None:
                table["comparison"] = f"{name1} vs {name2}"
                table["group1"], table["group2"] = name1, name2
            key = "proba_de" if mode == "change" else "bayes_factor"
            tables.append(table.sort_values(key, ascending=False, kind="stable"))
        return pd.concat(tables)

    def _systems_to_compare(
        self, batch_correction: bool, batchid1, batchid2
    ) -> list[tuple[list[int | None], list[int | None]]]:
        """Pairs of lists of systems: samples of each pair are compared with one another."""
        if not batch_correction:
            if batchid1 is not None or batchid2 is not None:
                raise InputError(
                    "batchid1 and batchid2 choose the systems to decode under, but batch_correction=False decodes "
                    "each cell under its own. Give batch_correction=True as well."
                )
            return [([None], [None])]
        everything = list(self.schema.systems)
        one = self._system_codes(everything if batchid1 is None else batchid1)
        two = self._system_codes(everything if batchid2 is None else batchid2)
        if set(one) == set(two):
            return [([s], [s]) for s in sorted(set(one), key=lambda s: -1 if s is None else s)]
        if set(one) & set(two):
            raise InputError(
                f"batchid1={batchid1!r} and batchid2={batchid2!r} overlap in part, so that the difference mixes "
                "groups and systems. Expected the same systems for both, or none in common."
            )
        return [(one, two)]

    def _paired_samples(
        self,
        cells: CellArrays,
        first: np.ndarray,
        second: np.ndarray,
        systems: list[tuple[list[int | None], list[int | None]]],
        rng: np.random.Generator,
        n_samples: int,
        n_pairs: int | None,
        batch_size: int | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Decoded samples of two groups, samples x G each, row by row to be compared."""

        def draw(group: np.ndarray, codes: list[int | None], n: int) -> np.ndarray:
            parts = []
            for code, size in zip(codes, _even_parts(n, len(codes)), strict=True):
                generator = self._noise(int(rng.integers(2**62)))
                parts.append(
                    self._decode(
                        cells,
                        rng.choice(group, size),
                        [code],
                        np.arange(len(self.schema.genes)),
                        1,
                        {},
                        batch_size,
                        generator,
                    )
                )
            # no pairing of one system's samples with one certain other's
            return rng.permutation(np.concatenate(parts)) if len(parts) > 1 else parts[0]

        ones, twos = [], []
        for (codes1, codes2), size in zip(
            systems, _even_parts(n_samples, len(systems)), strict=True
        ):
            one, two = draw(first, codes1, size), draw(second, codes2, size)
            if n_pairs is not None:
                n = max(1, n_pairs // len(systems))
                one, two = one[rng.integers(size, size=n)], two[rng.integers(size, size=n)]
            ones.append(one)
            twos.append(two)
        return np.concatenate(ones), np.concatenate(twos)

    def _without_outliers(self, adata: AnnData | None, group: np.ndarray) -> np.ndarray:
        """Cells inside a robust ellipse around their group in the latent space."""
        from sklearn.covariance import EllipticEnvelope

        z, _ = self._embed(adata, group, None)
        # a robust covariance needs clearly more cells than dimensions
        if len(group) <= 2 * z.shape[1]:
            return group
        inside = EllipticEnvelope(random_state=self._arguments["seed"]).fit_predict(z) == 1
        return group[inside]


def _comparisons(adata: AnnData, groupby, group1, group2, idx1, idx2):
    """Names (``None`` for cells chosen by index) and cells of the two sides of each comparison."""
    if idx1 is not None or idx2 is not None:
        if idx1 is None:
            raise InputError("idx2 is given without idx1. Expected idx1, the cells to compare.")
        if any(v is not None for v in (groupby, group1, group2)):
            raise InputError(
                "idx1 and groupby (or group1, group2) both choose the cells. Expected one of the two."
            )
        first = _cells(idx1, adata.obs, "idx1")
        if idx2 is None:
            second = np.setdiff1d(np.arange(adata.n_obs), first)
        else:
            second = _cells(idx2, adata.obs, "idx2")
        _check_groups("idx1", first, "idx2" if idx2 is not None else "all other cells", second)
        return [(None, None, first, second)]
    if groupby is None:
        raise InputError("Nothing says which cells to compare. Expected groupby, or idx1.")
    column = checks.column(adata, groupby, "groups", complete=False)
    values = level_names(column, words.column(groupby))
    levels = sorted({v for v in values if v is not None})
    if group1 is None:
        group1 = levels
        if len(levels) < 2:
            raise InputError(
                f"{words.written('groups', groupby)} has one group only ({head(levels)}). Expected two or more."
            )
    group1 = texts("first group", group1)
    group2 = None if group2 is None else level_name(group2)
    for name, given in (
        ("first group", group1),
        ("second group", [] if group2 is None else [group2]),
    ):
        unknown = [g for g in given if g not in levels]
        if unknown:
            raise InputError(
                f"{words.word(name)} holds {head(unknown)}, not a group of {groupby!r}. Expected some of "
                f"{head(levels, 20)}."
            )
    comparisons = []
    for group in group1:
        first = np.flatnonzero(values == group)
        other = "Rest" if group2 is None else group2
        second = np.flatnonzero(values != group if group2 is None else values == group2)
        _check_groups(group, first, other, second)
        comparisons.append((group, other, first, second))
    return comparisons


def _cells(chosen: Cells, obs: pd.DataFrame, argument: str) -> np.ndarray:
    """Positions of cells given as a query of ``obs``, a mask, or indices."""
    if not isinstance(chosen, str):
        return np.unique(positions(chosen, obs.index, argument) % max(len(obs), 1))
    try:
        found = obs.reset_index(drop=True).query(chosen).index
    except Exception as error:
        raise InputError(
            f"{argument}={chosen!r} is not a query of {words.word('cell data')} ({error}). Expected for example "
            "\"cell_type == 'beta'\"."
        ) from error
    return np.asarray(found)


def _check_groups(name1: str, first: np.ndarray, name2: str, second: np.ndarray) -> None:
    for name, cells in ((name1, first), (name2, second)):
        if len(cells) == 0:
            raise InputError(f"{name!r} has no cells. Expected at least one on either side.")
    common = np.intersect1d(first, second)
    if len(common):
        raise InputError(
            f"{name1!r} and {name2!r} share {len(common)} cells. Expected groups without cells in common."
        )


def _even_parts(n: int, parts: int) -> list[int]:
    """``n`` samples shared among parts as evenly as possible, each at least one."""
    return [max(1, n // parts + (i < n % parts)) for i in range(parts)]
