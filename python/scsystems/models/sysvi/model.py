"""SysVI: integrate data sets of different systems in one latent space."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from anndata import AnnData

from ... import checks
from ...data.levels import level_name
from ...data.matrix import in_memory, stays_on_disk
from ...data.opened import is_path, opened, remember, remembered
from ...data.schema import Schema, Setup
from ...errors import InputError, warn
from ...nn.layers import CovariateInit
from ...nn.sysvi.net import OutVarMode, SysVINet
from ...nn.sysvi.priors import Density
from ...torch_state import usual_torch_inside
from ...words import word, written
from ..base import resolve_indices
from . import presets
from .arguments import check_arguments, embedding_arguments
from .differential_abundance import DifferentialAbundanceMixin
from .differential_expression import DifferentialExpressionMixin
from .expression import ExpressionMixin
from .io import FilesMixin
from .labels import LabelsMixin
from .likelihood import ScoresMixin
from .prior import start_prior
from .query import QueryMixin
from .training import TrainingMixin

logger = logging.getLogger(__name__)


@usual_torch_inside
class SysVI(
    ScoresMixin,
    DifferentialExpressionMixin,
    ExpressionMixin,
    DifferentialAbundanceMixin,
    QueryMixin,
    TrainingMixin,
    LabelsMixin,
    FilesMixin,
):
    """Conditional VAE with VampPrior and latent cycle-consistency (Hrovatin et al. 2025).

    Names and defaults follow ``scvi.external.SysVI``; call :meth:`setup_anndata` first.

    Parameters
    ----------
    adata
        Data set up by :meth:`setup_anndata`: n cells x G genes, log-normalized; an AnnData, or
        the path of an ``.h5ad`` file or ``.zarr`` store, whose expression stays on disk.
    prior
        ``"vamp"`` (mixture of the posteriors of pseudoinputs), ``"standard_normal"``, or
        ``"gmm"`` (mixture of free Gaussians).
    n_prior_components
        Components of the ``"vamp"`` and ``"gmm"`` priors; default 20 (paper 5). More of them
        keep rare cell types apart.
    pseudoinputs_data_indices
        Cells that the prior's components start from, one index per component; without
        ``n_prior_components`` there are as many components. Default: see
        ``pseudoinput_choice``.
    trainable_priors
        Whether pseudoinputs (or the Gaussians) are learned.
    prior_density
        ``"joint"``: a mixture over all latent dimensions together; ``"factorized"``: a mixture
        in each dimension, see :func:`scsystems.nn.sysvi.priors.mixture_log_density`. Default
        ``"joint"``.
    pseudoinput_choice
        How those cells are chosen: ``"spread"`` (default) over the expression of every system
        alike, so that rare cell types tend to get one, too
        (:func:`scsystems.data.spread.spread_cells`);
        ``"random"`` (paper).
    gmm_init
        Start of the ``"gmm"`` prior: ``"data"`` (encoded cells) or ``"random"`` (means in
        [0, 1), variance 1).
    n_latent, n_hidden, n_layers, dropout_rate
        Latent dimensions, and width, number and dropout rate of the hidden layers. Other widths
        integrated the pancreas worse or lost a rare type, and so did a deeper encoder, see
        ``docs/defaults.md``.
    n_layers_decoder
        Hidden layers of the decoder; default 3 (paper: as many as of the encoder, ``n_layers``).
        With 3 systems mix more than with 2, see ``docs/defaults.md``.
    out_var_mode
        Variance of the decoder: ``"constant"`` (default; 1 for every gene, so that the
        reconstruction loss is half the squared error), ``"feature"`` (paper; one per gene,
        learned) or ``"sample_feature"`` (predicted per cell and gene). A learned variance counts
        a gene of noise as much as a marker of a cell type, see ``docs/defaults.md``.
    embed_categorical_covariates
        Let categorical covariates enter as learned vectors, for many samples.
    embedding_dim
        Length of these vectors.
    embedding_kwargs
        ``{"embedding_dim": n}``, as scvi-tools takes it.
    covariate_init
        Start of the covariates' weights: ``"zero"`` (default), or ``"linear"`` (paper) as one
        linear layer over expression and one-hot covariates would have them.
    encode_covariates
        Whether the encoder sees system and covariates; the decoder always does. Default no
        (paper: yes).
    cycle_covariates
        Covariates of the counterfactual cells of the cycle: ``"keep"`` (default) or ``"zero"``
        (paper).
    adversarial
        Add a system classifier on the latent space (the paper's ADV ablation); its weight is
        ``plan_kwargs={"adversary_weight": kappa}``.
    preset
        Which defaults to use, those of `train` included: ``"default"``, the best known, or
        ``"paper"``. An argument that is given always wins. The paper's 3000 variable genes per
        system are for :func:`scsystems.pp.prepare`.
    seed
        Seed of the initial weights and of the cells the prior starts from.

    Examples
    --------
    >>> import scsystems as scs
    >>> adata = scs.datasets.simulated(n_cells=300, seed=0)
    >>> adata = scs.pp.prepare(adata, system_key="system", n_top_genes=200)
    >>> scs.SysVI.setup_anndata(adata, batch_key="system", categorical_covariate_keys=["donor"])
    >>> model = scs.SysVI(adata)
    >>> model.train(max_epochs=5, verbose=False)
    >>> adata.obsm["X_sysvi"] = model.get_latent_representation()
    """

    def __init__(
        self,
        adata: AnnData | str | Path,
        prior: Literal["standard_normal", "vamp", "gmm"] = "vamp",
        n_prior_components: int | None = None,
        pseudoinputs_data_indices: Sequence[int] | np.ndarray | None = None,
        *,
        trainable_priors: bool = True,
        prior_density: Density | None = None,
        pseudoinput_choice: Literal["spread", "random"] | None = None,
        gmm_init: Literal["data", "random"] = "data",
        n_latent: int = 15,
        n_hidden: int = 256,
        n_layers: int = 2,
        n_layers_decoder: int | None = None,
        dropout_rate: float = 0.1,
        out_var_mode: OutVarMode | None = None,
        embed_categorical_covariates: bool = False,
        embedding_dim: int = 5,
        embedding_kwargs: dict[str, Any] | None = None,
        covariate_init: CovariateInit | None = None,
        encode_covariates: bool | None = None,
        cycle_covariates: Literal["keep", "zero"] | None = None,
        adversarial: bool = False,
        preset: Literal["default", "paper"] = "default",
        seed: int = 0,
    ):
        arguments = dict(locals())
        for name in ("self", "adata", "pseudoinputs_data_indices", "embedding_kwargs"):
            del arguments[name]
        path, adata = adata, opened(adata)
        prior_cells = resolve_indices(
            pseudoinputs_data_indices, adata.obs_names, "pseudoinputs_data_indices"
        )
        if n_prior_components is None and prior_cells is not None:
            arguments["n_prior_components"] = len(prior_cells)
        arguments |= presets.choose(preset, {k: arguments[k] for k in presets.MODEL["default"]})
        arguments |= embedding_arguments(embedding_kwargs)
        check_arguments(arguments)
        schema, hashes = remembered(path) if is_path(path) else None, None
        if schema is None:
            setup = Setup.read(adata)
            ready = adata if stays_on_disk(adata, setup.layer) else in_memory(adata, setup.layer)
            schema, hashes = Schema.with_hashes(ready, setup)
        self._prepare(schema, arguments)
        self._attach(adata, checked=True, hashes=hashes)
        start_prior(self.net, self._require_own().cells, arguments, prior_cells, self._generator)

    @classmethod
    def setup_anndata(
        cls,
        adata: AnnData | str | Path,
        batch_key: str,
        layer: str | None = None,
        categorical_covariate_keys: Sequence[str] | None = None,
        continuous_covariate_keys: Sequence[str] | None = None,
        weight_batches: bool = False,
        *,
        labels_key: str | None = None,
        unlabeled_category: str | None = None,
    ) -> None:
        """Say which parts of ``adata`` a model uses, and check them.

        Parameters
        ----------
        adata
            n cells x G genes; size-factor normalized, log1p-transformed expression. Of a path
            (``.h5ad``, ``.zarr``) this is remembered by the process, as long as the file stays
            the same; the file is not changed.
        batch_key
            Column of ``adata.obs`` with the system: the strong batch effect (species; organoid
            and tissue; cells and nuclei). Two or more levels.
        layer
            Layer with the expression; ``None`` takes ``adata.X``.
        categorical_covariate_keys
            Columns with weaker batch effects, such as sample or donor: a list of names, or one.
        continuous_covariate_keys
            Numeric columns to correct for; they are standardized.
        weight_batches
            Weight the cycle loss of a cell by the inverse of its system's size (mean weight 1).
        labels_key
            Column with labels, such as cell types, that the model is to be told and to name other
            cells by, see `predict`. Some cells may be without one, or all of a system.
        unlabeled_category
            What that column holds for cells without a label; missing values are always without.

        Raises
        ------
        InputError
            For counts, negative values, one system, missing columns or values, duplicated names,
            levels of a single cell.
        NonFiniteError
            For NaN or infinite expression.
        """
        setup = Setup(
            batch_key=checks.name("system", batch_key),
            layer=None if layer is None else checks.name("layer", layer),
            categorical_covariate_keys=_keys("covariates", categorical_covariate_keys),
            continuous_covariate_keys=_keys("continuous", continuous_covariate_keys),
            weight_batches=checks.flag("weight_batches", weight_batches),
            labels_key=None if labels_key is None else checks.name("cell labels", labels_key),
            unlabeled_category=_unlabeled(labels_key, unlabeled_category),
        )
        if batch_key in setup.categorical_covariate_keys:
            raise InputError(
                f"{word('covariates')} holds {batch_key!r}, which is the {word('system')} already. Leave it out."
            )
        keys = (*setup.categorical_covariate_keys, *setup.continuous_covariate_keys)
        if labels_key is not None and labels_key in (batch_key, *keys):
            raise InputError(
                f"{written('cell labels', labels_key)} is the {word('system')} or a covariate already. "
                "Expected a column of its own: what sets systems or samples apart is removed, what labels say is kept."
            )
        path, adata = adata, opened(adata)
        schema = Schema.from_anndata(adata, setup)
        if setup.weight_batches:
            warn("The use of inverse batch proportion weights is experimental.")
        if is_path(path):
            remember(path, schema)
        else:
            setup.write(adata)

    def report(
        self, path: str | Path, adata: AnnData | str | Path | None = None, **options: Any
    ) -> Path:
        """Write a report of this model, see :func:`scsystems.report`.

        Parameters
        ----------
        path
            File ending in ``.html`` (one file) or ``.md`` (figures in a folder beside it).
        adata
            Cells, or their path; default the model's own.
        **options
            Of :func:`scsystems.report`, such as ``label_key``.
        """
        from ...reports.integration import report

        return report(self, path, adata, **options)

    def __repr__(self) -> str:
        a = self._arguments
        state = (
            f"trained ({len(self._past.history.get('train_loss', []))} epochs)"
            if self.is_trained
            else "not trained"
        )
        return (
            f"SysVI: {self._n_cells} cells, {len(self.schema.genes)} genes, systems {', '.join(self.schema.systems)}; "
            f"prior {a['prior']}, {a['n_latent']} latent dimensions; {state}"
        )

    @property
    def module(self) -> SysVINet:
        """The network, under the name that scripts for scvi-tools use."""
        return self.net


def _keys(argument: str, keys: Any) -> tuple[str, ...]:
    """Columns that an argument names."""
    found = () if keys is None else tuple(checks.names(argument, keys))
    if len(set(found)) < len(found):
        raise InputError(f"{word(argument)} names a column twice: {list(found)}. Name each once.")
    return found


def _unlabeled(labels_key: Any, category: Any) -> str | None:
    """Name of the level that stands for no label."""
    if category is None:
        return None
    if labels_key is None:
        raise InputError(
            f"{written('unlabeled', category)} is given without {word('cell labels')}, so it would do nothing."
        )
    return level_name(category)
