"""Map new samples onto a trained sysVI model, and transfer labels to them."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from ... import checks, words
from ...checks import head
from ...data.levels import check_text, coded, level_name
from ...data.matrix import expression, layer_names, plain
from ...data.opened import opened
from ...errors import InputError, warn
from ...tools.label_transfer import transfer
from ...train.device import choose_device
from ..base import load_weights
from .io import FilesMixin
from .prior import empty_prior
from .surgery import QueryTraining, grow, new_rows, new_vectors

logger = logging.getLogger(__name__)

# missing more of the model's genes than this is warned of
MANY_MISSING = 0.2


class QueryMixin(FilesMixin):
    """``prepare_query_anndata``, ``load_query_data`` and ``transfer_labels`` of `SysVI`."""

    @classmethod
    def prepare_query_anndata(
        cls,
        adata: AnnData,
        reference_model: Any,
        return_reference_var_names: bool = False,
        inplace: bool = True,
        *,
        max_missing: float = 0.5,
        fill: Literal["mean", "zero"] = "mean",
    ) -> AnnData | pd.Index | None:
        """Give a query the genes of the reference model, in its order.

        Genes that the model lacks are dropped. Genes that the query lacks are added, and their
        fraction is logged: the matrix that the model reads gets the gene's mean in the reference,
        all other matrices zeros. ``adata.var["padded"]`` marks them.

        Parameters
        ----------
        adata
            Query: n cells, log-normalized as the reference was, genes under the same names.
        reference_model
            Trained model, or the folder of one.
        return_reference_var_names
            Only return the names of the model's genes.
        inplace
            Change ``adata``; ``False`` returns a new object and leaves ``adata`` alone.
        max_missing
            Largest fraction of the model's genes that the query may lack.
        fill
            ``"mean"``, or ``"zero"`` as scvi-tools does, which tells the encoder that the gene
            is not expressed. On human and mouse pancreas with one donor left out, the mean
            recall of cell types transferred to that donor was 0.91 with all genes; with a
            tenth, three tenths and half of them missing it was 0.89, 0.89 and 0.80 with means,
            0.87, 0.81 and 0.64 with zeros.

        Returns
        -------
        ``None``, the new object, or the names.

        Raises
        ------
        InputError
            If more genes are missing than ``max_missing`` allows, gene names are not unique, the
            layer that the model uses is missing, or holds anything but log-normalized expression.
        """
        model = cls._reference(reference_model)
        genes = pd.Index(model.schema.genes)
        if return_reference_var_names:
            return genes
        checks.choice("fill", fill, ("mean", "zero"))
        max_missing = checks.fraction("missing genes", max_missing)
        check_text(
            checks.anndata("adata", adata).var_names,
            words.word("gene names"),
            words.word("unique genes"),
        )
        expression(adata, model.schema.setup.layer)
        missing = genes.difference(adata.var_names, sort=False)
        fraction = len(missing) / len(genes)
        facts = (
            f"The query lacks {len(missing)} of the model's {len(genes)} genes ({fraction:.1%}): "
            f"{head(missing)}."
        )
        if fraction > max_missing or fraction == 1:
            raise InputError(
                f"{facts} Expected at most {max_missing:.0%}. Check that both use the same gene names (symbols or "
                f"identifiers, orthologs of one species): the query has {head(adata.var_names, 3)}. Pass all genes "
                f"of the query rather than a selection of its own, or set {words.word('missing genes')} higher."
            )
        if fraction > MANY_MISSING:
            warn(f"{facts} The mapping may be poor.")
        elif len(missing):
            logger.info(
                "%s They are filled with %s.", facts, "their means" if fill == "mean" else "zeros"
            )
        else:
            logger.info("The query has all %d genes of the model.", len(genes))
        model.schema.check_expression(adata)
        if adata.var_names.equals(genes):
            return None if inplace else _copy(adata)
        means = model.schema.gene_means if fill == "mean" else ()
        if len(missing) and fill == "mean" and not means:
            logger.warning(
                "The model does not know the genes' means (it was read from scvi-tools without cells): zeros are "
                "filled in. Load it with its cells to have means."
            )
        values = np.asarray(means or np.zeros(len(genes)), dtype=np.float32)
        prepared = _with_genes(adata, genes, model.schema.setup.layer, values)
        if not inplace:
            return prepared
        adata._init_as_actual(prepared)
        return None

    @classmethod
    def load_query_data(
        cls,
        adata: AnnData | str | Path,
        reference_model: Any,
        inplace_subset_query_vars: bool = False,
        accelerator: str = "auto",
        device: int | str = "auto",
        unfrozen: bool = False,
        freeze_dropout: bool = False,
        freeze_expression: bool = True,
        freeze_decoder_first_layer: bool = True,
        freeze_batchnorm_encoder: bool = True,
        freeze_batchnorm_decoder: bool = True,
        freeze_classifier: bool = True,
        **kwargs: Any,
    ):
        """A model for new samples that leaves the reference as it is (architecture surgery).

        Levels of categorical covariates that the reference does not have (new samples, donors)
        get weights of their own, which start as the mean of the known levels; ``train()`` then
        learns these and nothing else, unless the options free more. Reference cells keep their
        place: the model returned embeds both. It can be used before it is trained, with new
        samples taken for average ones. Without new levels nothing is left to train; and when the
        reference's encoder does not see covariates (``encode_covariates=False``), training
        improves the decoded expression of new samples and leaves the embedding as it is.

        Parameters
        ----------
        adata
            Query with the model's genes, see `prepare_query_anndata`, and its obs columns; or
            its path, when the cells stay on disk.
        reference_model
            Trained model, or the folder of one; it is not changed.
        inplace_subset_query_vars
            Cut ``adata`` to the model's genes, in its order.
        accelerator, device
            Where the weights go.
        unfrozen
            Train the whole network; the reference's cells move as well.
        freeze_dropout
            Switch dropout off in training.
        freeze_expression
            Keep the expression weights of the encoder's first layer.
        freeze_decoder_first_layer
            Keep the latent weights of the decoder's first layer.
        freeze_batchnorm_encoder, freeze_batchnorm_decoder
            Keep BatchNorm's scale and shift, and normalize with its running statistics, which
            stay as they are; ``False`` trains them on the query.
        freeze_classifier
            Keep the system classifier of the adversarial variant.

        Raises
        ------
        InputError
            If the query has a system that the reference has not: train a new model with all
            systems instead.
        """
        if "transfer_batch" in kwargs:
            kwargs.pop("transfer_batch")
            warn(
                "The setting of transfer_batch is disabled in SysVI and is automatically set to False."
            )
        if kwargs:
            raise InputError(f"load_query_data() does not know {sorted(kwargs)}.")
        reference = cls._reference(reference_model)
        reference._require_trained()
        adata = opened(adata)
        if inplace_subset_query_vars:
            reference.schema.check_genes(adata)
            adata._inplace_subset_var(list(reference.schema.genes))
        schema = reference.schema.extended(adata)
        model = cls.__new__(cls)
        model._prepare(schema, reference._arguments)
        empty_prior(model.net, model._arguments)
        old, new = reference.net.sizes.covariates, model.net.sizes.covariates
        state = {k: v.detach().cpu() for k, v in reference.net.state_dict().items()}
        load_weights(model.net, grow(state, old, new), "the reference model")
        model.net.to(choose_device(accelerator, [device] if isinstance(device, int) else device))
        model._attach(adata, checked=True)
        model._query = QueryTraining(
            new_rows=new_rows(old, new),
            new_vectors=new_vectors(old, new),
            unfrozen=bool(unfrozen),
            freeze_dropout=bool(freeze_dropout),
            freeze_expression=bool(freeze_expression),
            freeze_decoder_first_layer=bool(freeze_decoder_first_layer),
            freeze_batchnorm_encoder=bool(freeze_batchnorm_encoder),
            freeze_batchnorm_decoder=bool(freeze_batchnorm_decoder),
            freeze_classifier=bool(freeze_classifier),
        )
        _report_new_levels(reference.schema, schema)
        model._past.stopped = reference._past.stopped
        logger.debug("Query training: %s", asdict(model._query))
        return model

    def transfer_labels(
        self,
        labels_key: str,
        reference: AnnData | str | Path,
        query: AnnData | str | Path | None = None,
        n_neighbors: int = 25,
        min_confidence: float = 0.0,
        batch_size: int | None = None,
    ) -> pd.DataFrame:
        """Name query cells by their nearest reference cells in the latent space.

        Parameters
        ----------
        labels_key
            Column of ``reference.obs`` with the labels; reference cells without one do not vote.
        reference
            Labeled cells that this model can embed.
        query
            Cells to name; default the model's own.
        n_neighbors
            Reference cells that vote.
        min_confidence
            Cells with less confidence get no label (NA).
        batch_size
            Cells at a time.

        Returns
        -------
        A row per query cell: ``label``; ``confidence``, the fraction of its neighbors with that
        label; ``distance``, the mean distance to its neighbors in units of what is usual among
        reference cells, so that values well above one tell of cells unlike any in the reference.
        """
        self._require_trained()
        reference = opened(reference, "reference")
        column = checks.column(
            reference, labels_key, "transferred labels", data="reference data", complete=False
        )
        min_confidence = checks.fraction("confidence", min_confidence)
        codes, names = coded(column, words.column(labels_key))
        labeled = np.flatnonzero(codes >= 0)
        k = checks.count("neighbors", n_neighbors)
        if len(labeled) <= k:
            raise InputError(
                f"Column {labels_key!r} of {words.word('reference data')} names {len(labeled)} cells. Expected "
                f"more than {words.written('neighbors', k)}."
            )
        found = nearest_labels(
            self._embed(reference, labeled, batch_size)[0],
            np.array(names, dtype=object)[codes[labeled]],
            self._embed(query, None, batch_size)[0],
            k,
        )
        found.index = self._cell_names(query)
        found.loc[found["confidence"] < min_confidence, "label"] = None
        if isinstance(column.dtype, pd.CategoricalDtype):
            names = list(dict.fromkeys(map(level_name, column.cat.categories)))
        found["label"] = pd.Categorical(found["label"], categories=names)
        return found

    @classmethod
    def _reference(cls, model: Any):
        """A model, or the one in a folder."""
        if isinstance(model, (str, Path)):
            return cls.load(model)
        if not isinstance(model, cls):
            raise InputError(
                f"reference_model is of type {type(model).__name__}. Expected a {cls.__name__} model or its folder."
            )
        return model


def nearest_labels(
    reference: np.ndarray, labels: np.ndarray, query: np.ndarray, n_neighbors: int
) -> pd.DataFrame:
    """The most common label among the nearest reference cells, and how near these are.

    Parameters
    ----------
    reference
        Embedding of the labeled cells, R x L.
    labels
        Their labels, R.
    query
        Embedding of the cells to name, Q x L.
    n_neighbors
        Cells that vote, fewer than R.

    Returns
    -------
    Q rows: ``label``, ``confidence`` (fraction of the votes) and ``distance`` (mean distance to
    the neighbors; 1 is the median of the same among reference cells).
    """
    search = NearestNeighbors(n_neighbors=n_neighbors).fit(reference)
    usual = np.median(search.kneighbors()[0].mean(1))
    distance, at = search.kneighbors(query)
    found = transfer(at, labels)
    found["distance"] = distance.mean(1) / max(usual, 1e-30)
    return found


def _copy(adata: AnnData) -> AnnData:
    """A copy in memory."""
    return adata.to_memory() if adata.isbacked else adata.copy()


def _with_genes(adata: AnnData, genes: pd.Index, layer: str | None, values: np.ndarray) -> AnnData:
    """A copy of the cells with exactly ``genes``; missing ones get ``values`` in the model's matrix."""
    at = adata.var_names.get_indexer(genes)

    def arrange(matrix, fill):
        if matrix is None:
            return None
        matrix = plain(matrix, "a matrix of the query")
        if not sparse.issparse(matrix):
            arranged = np.asarray(matrix)[:, at]
            if not np.issubdtype(arranged.dtype, np.floating) and fill.any():
                arranged = arranged.astype(np.float32)
            arranged[:, at < 0] = fill[at < 0]
            return arranged
        n = matrix.shape[0]
        added = sparse.csr_matrix(np.tile(fill[at < 0], (n, 1)))
        joined = sparse.hstack(
            [matrix, added], format="csr", dtype=added.dtype if fill.any() else matrix.dtype
        )
        order = at.copy()
        order[at < 0] = matrix.shape[1] + np.arange((at < 0).sum())
        return joined[:, order]

    zeros = np.zeros(len(genes), np.float32)
    var = adata.var.reindex(genes)
    var["padded"] = at < 0
    prepared = AnnData(
        X=arrange(adata.X, values if layer is None else zeros),
        obs=adata.obs.copy(),
        var=var,
        uns=dict(adata.uns),
        obsm=dict(adata.obsm),
        layers={
            name: arrange(adata.layers[name], values if name == layer else zeros)
            for name in layer_names(adata)
        },
        obsp=dict(adata.obsp),
        shape=None if adata.X is not None else (adata.n_obs, len(genes)),
    )
    if adata.raw is not None:
        prepared.raw = adata.raw.to_adata()
    return prepared


def _report_new_levels(old, new) -> None:
    for key, known, levels in zip(
        new.setup.categorical_covariate_keys, old.categories, new.categories, strict=True
    ):
        added = levels[len(known) :]
        if added:
            logger.info("New levels of %r that get weights of their own: %s", key, head(added))
