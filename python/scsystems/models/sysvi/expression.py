"""Corrected expression: cells decoded under their own or other systems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from anndata import AnnData
from tqdm.auto import tqdm

from ... import checks
from ...checks import head
from ...data.levels import level_name, texts
from ...data.resident import CellArrays
from ...errors import InputError, NotSupportedError
from ...words import word, written
from ..base import resolve_indices
from .core import SysVICore
from .likelihood import DECODED_VALUES, at_most, repeat_covariates


class ExpressionMixin(SysVICore):
    """``get_normalized_expression`` of `SysVI`."""

    def get_normalized_expression(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        transform_batch: str | Sequence[str | None] | None = None,
        gene_list: Sequence[str] | None = None,
        library_size: float | Literal["latent"] = 1,
        n_samples: int = 1,
        n_samples_overall: int | None = None,
        weights: Literal["uniform"] | None = None,
        batch_size: int | None = None,
        return_mean: bool = True,
        return_numpy: bool | None = None,
        silent: bool = True,
        *,
        give_mean: bool = True,
        transform_covariates: dict[str, str] | None = None,
        seed: int | None = None,
    ) -> pd.DataFrame | np.ndarray:
        """Decode cells: expression with noise removed, and as if from other systems.

        The values are the decoder's means and so on the scale of the input: log-normalized
        expression (a few may lie slightly below zero). By default the posterior mean is
        decoded, and the result is the same in every call.

        Parameters
        ----------
        adata
            Cells; default the model's own.
        indices
            Which cells, as indices or a boolean mask; default all.
        transform_batch
            Decode all cells as cells of this system; of several, the mean over them. ``None``
            (also within a list) is each cell's own system. Other covariates stay as they are
            unless ``transform_covariates`` says otherwise.
        gene_list
            Genes to decode, returned in the model's order; default all.
        library_size
            1 or ``"latent"``, which mean the same: the expression was size-factor normalized
            before it was modeled, and a logarithm cannot be multiplied by a library size.
        n_samples
            More than 1: decode so many latent samples per cell instead of the posterior mean.
        n_samples_overall
            Draw so many cells with replacement and decode one latent sample of each.
        weights
            ``None`` or ``"uniform"``: all cells are equally likely in ``n_samples_overall``.
        batch_size
            Cells at a time.
        return_mean
            The mean over the samples of a cell instead of all of them.
        return_numpy
            An array instead of a data frame. Several samples without their mean always are an
            array.
        silent
            ``False`` shows a progress bar over the systems of ``transform_batch``.
        give_mean
            With ``n_samples=1``: decode the posterior mean (``False``: one latent sample).
        transform_covariates
            Decode all cells under these levels of categorical covariates, ``{column: level}``.
        seed
            Seed of latent samples and drawn cells; default the model's seed.

        Returns
        -------
        n x G, or ``n_samples`` x n x G without ``return_mean``, or ``n_samples_overall`` x G.
        """
        self._require_trained()
        n_samples = checks.count("n_samples", n_samples)
        if library_size not in (1, "latent"):
            raise InputError(
                f"library_size={library_size!r}. Expected 1 or 'latent': the decoded expression is log-normalized, "
                "and a logarithm cannot be scaled to a library size. For linear values take numpy.expm1() of the "
                "result, which has the library size that the input was normalized to."
            )
        if weights not in (None, "uniform"):
            raise NotSupportedError(
                f"weights={weights!r} is not supported. Expected None or 'uniform'."
            )
        genes = self._gene_positions(gene_list)
        systems = self._system_codes(transform_batch)
        obs_names = self._cell_names(adata)
        rng = np.random.default_rng(checks.seed(seed, self._arguments["seed"]))
        chosen = resolve_indices(indices, obs_names)
        chosen = np.arange(len(obs_names)) if chosen is None else chosen
        if n_samples_overall is not None:
            if n_samples != 1:
                raise InputError(
                    f"n_samples={n_samples} and n_samples_overall={n_samples_overall}. Expected one of them."
                )
            if len(chosen) == 0:
                raise InputError("indices select no cells, so none can be drawn.")
            chosen = rng.choice(chosen, checks.count("n_samples_overall", n_samples_overall))
        sampled = n_samples > 1 or n_samples_overall is not None or not give_mean
        values = self._decode(
            adata,
            chosen,
            systems,
            genes,
            n_samples=n_samples if sampled else None,
            covariates=self._covariate_codes(transform_covariates),
            batch_size=batch_size,
            generator=self._noise(int(rng.integers(2**62))),
            mean_over_samples=return_mean or n_samples == 1,
            silent=silent,
        )
        if values.ndim == 3:
            if return_numpy is False:
                raise InputError(
                    f"return_numpy=False with n_samples={n_samples} and return_mean=False. A data frame has two "
                    "dimensions: expected return_mean=True, or return_numpy=True."
                )
            return values
        if return_numpy:
            return values
        names = np.asarray(self.schema.genes)[genes]
        return pd.DataFrame(values, index=obs_names[chosen], columns=names)

    def posterior_predictive_sample(self, *args, **kwargs):
        """Refused, as in scvi-tools: draws around the decoded mean are not cells.

        Raises
        ------
        NotSupportedError
            Always; ``get_normalized_expression()`` gives the decoded means.
        """
        raise NotSupportedError(
            "Sampling expression is not supported by SysVI: its Gaussian noise models the spread of log-normalized "
            "values, not counts. Decode means with get_normalized_expression(), or sample the latent space with "
            "get_latent_representation(give_mean=False)."
        )

    sample = posterior_predictive_sample

    @torch.inference_mode()
    def _decode(
        self,
        adata: AnnData | CellArrays | None,
        indices: np.ndarray,
        systems: list[int | None],
        genes: np.ndarray,
        n_samples: int | None,
        covariates: dict[int, int],
        batch_size: int | None,
        generator: torch.Generator,
        mean_over_samples: bool = True,
        silent: bool = True,
    ) -> np.ndarray:
        """Decoder means of cells, averaged over systems, n x G or samples x n x G.

        ``n_samples=None`` decodes the posterior mean.
        """
        net, repeats = self.net, n_samples or 1
        limit = max(1, DECODED_VALUES // (repeats * max(len(genes), net.sizes.n_hidden)))
        weight = net.decoder.mean.weight[genes]
        bias = net.decoder.mean.bias[genes]
        chunks = []
        for batch, mean, var in self._posterior(adata, indices, at_most(batch_size, limit)):
            z = mean.repeat(repeats, 1)
            if n_samples is not None:
                noise = torch.randn(z.shape, device=z.device, generator=generator)
                z = z + var.sqrt().repeat(repeats, 1) * noise
            categorical = batch.categorical
            if covariates and categorical is not None:
                categorical = categorical.clone()
                for column, code in covariates.items():
                    categorical[:, column] = code
            total: Any = 0.0
            for code in tqdm(systems, desc="Decoding", disable=silent):
                system = batch.system if code is None else torch.full_like(batch.system, code)
                terms = net.covariates(system, categorical, batch.continuous)
                hidden = net.decoder.hidden(z, repeat_covariates(terms, repeats), False, None)
                total = total + F.linear(hidden, weight, bias)
            decoded = (total / len(systems)).view(repeats, len(mean), len(genes))
            chunks.append((decoded.mean(0) if mean_over_samples else decoded).cpu().numpy())
        if not chunks:
            shape = (0, len(genes)) if mean_over_samples else (repeats, 0, len(genes))
            return np.zeros(shape, np.float32)
        return np.concatenate(chunks, axis=-2)

    def _gene_positions(self, gene_list: Sequence[str] | None) -> np.ndarray:
        """Positions of genes, in the model's order."""
        if gene_list is None:
            return np.arange(len(self.schema.genes))
        names = texts("decoded genes", gene_list)
        found = pd.Index(self.schema.genes).get_indexer(names)
        if (found < 0).any() or not names:
            missing = [n for n, at in zip(names, found, strict=True) if at < 0]
            raise InputError(
                f"{word('decoded genes')} holds genes that the model does not have: {head(missing)}. Expected "
                f"some of the model's {len(self.schema.genes)} genes, such as {head(self.schema.genes, 3)}."
                if missing
                else f"{word('decoded genes')} is empty. Expected gene names, or {word('nothing')} for all genes."
            )
        return np.unique(found)

    def _system_codes(self, transform_batch) -> list[int | None]:
        """Codes of one or several systems; ``None`` stays ``None`` (each cell's own)."""
        if transform_batch is None:
            return [None]
        levels, transform_batch = self.schema.systems, checks.plain(transform_batch)
        one = isinstance(transform_batch, str) or np.isscalar(transform_batch)
        given = [
            None if s is None else level_name(s)
            for s in ([transform_batch] if one else transform_batch)
        ]
        unknown = [s for s in given if s is not None and s not in levels]
        if unknown or not given:
            raise InputError(
                f"{written('decoded systems', transform_batch)}: {head(unknown) if unknown else 'nothing'} is "
                f"not a system of the model. Expected one or several of {list(levels)}, or {word('nothing')} for "
                "each cell's own system."
            )
        return [None if s is None else levels.index(s) for s in given]

    def _covariate_codes(self, chosen: dict[str, str] | None) -> dict[int, int]:
        """Position of each covariate and the code of its level."""
        codes, keys = {}, self.schema.setup.categorical_covariate_keys
        for key, level in (chosen or {}).items():
            if key not in keys:
                raise InputError(
                    f"transform_covariates: {key!r} is not a categorical covariate of the model. Expected some of "
                    f"{list(keys)}."
                )
            levels = self.schema.categories[keys.index(key)]
            if level_name(level) not in levels:
                raise InputError(
                    f"transform_covariates: {level!r} is not a level of {key!r}. Expected one of {head(levels, 10)}."
                )
            codes[keys.index(key)] = levels.index(level_name(level))
        return codes
