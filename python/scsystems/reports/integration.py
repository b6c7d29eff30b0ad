"""The report of a trained model: what went in, what came out, and what looks wrong."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from scsystems import __version__, checks, metrics, plots
from scsystems.data.levels import level_names
from scsystems.data.matrix import readable
from scsystems.data.opened import opened
from scsystems.data.preprocess import Preparation
from scsystems.data.schema import Setup
from scsystems.errors import InputError, MissingExtraError, ScsystemsError
from scsystems.words import column as word_column

from . import findings
from .document import Document

BEFORE, AFTER = "before", "after"
# every metric that may be shown, in the words of who reads it
MEANING = {
    "ilisi": "systems mix around a cell; types that one system lacks keep it below 1",
    "graph_connectivity": "the cells of a type are connected, also across systems",
    "asw_label": "cells lie closer to their own type than to others (silhouette; 0.5 is between two types)",
    "nmi_fixed": "clusters agree with types",
    "jaccard": "small clusters, named by their most common type, agree with it",
    "label_transfer": "a type finds itself in the other system",
    "cluster_preservation": "clusters that a sample has by itself stay together",
    "matched_profiles": "cells that meet across systems express the same genes",
}
SHOWN = ("ilisi", "graph_connectivity", "asw_label", "nmi_fixed", "jaccard", "label_transfer")
WITHOUT_LABELS = ("ilisi", "cluster_preservation", "matched_profiles")
MAX_CELLS = 20_000
PACKAGES = ("torch", "anndata", "numpy", "scipy", "pandas", "scanpy", "scib-metrics", "matplotlib")


def report(
    model,
    path: str | Path,
    adata: AnnData | str | Path | None = None,
    *,
    label_key: str | None = None,
    batch_key: str | None = None,
    max_cells: int | None = MAX_CELLS,
    seed: int = 0,
) -> Path:
    """Write a report of a trained :class:`~scsystems.SysVI`, for people: one file, to be opened anywhere.

    Cells and genes, training, UMAPs before and after integration, mixing and biology for every
    cell type, what looks wrong, settings and versions. What cannot be drawn or measured, for lack
    of labels or of a package, is left out, and the report says so.

    Parameters
    ----------
    model
        A trained model.
    path
        File to write, ending in ``.html`` (pictures within it), or ``.md`` (pictures beside it). A
        file that is there is replaced.
    adata
        Cells that the model knows the systems of, or their path; default the model's own.
    label_key
        Column of ``adata.obs`` with cell types, to measure the result by; default the column that
        the model was told labels by, if it was.
    batch_key
        Column with samples (default: the first categorical covariate, or else the systems).
    max_cells
        More cells are thinned out at random; None keeps all.
    seed
        Seed of that, of UMAP and of clustering.

    Returns
    -------
    The path.
    """
    from scsystems.models.sysvi.model import SysVI

    if not isinstance(model, SysVI):
        raise InputError(f"The model is a {type(model).__name__}. Expected a SysVI.")
    model._require_trained()
    document = Document(path)
    whole = model._require_own().adata if adata is None else opened(adata)
    setup = model.schema.setup
    label_key = setup.labels_key if label_key is None else label_key
    if label_key is not None:
        checks.column(whole, label_key, "report labels", complete=False)
    if batch_key is None:
        batch_key = next(iter(setup.categorical_covariate_keys), setup.batch_key)
    checks.column(whole, batch_key, "report sample", complete=False)
    obs = _columns(whole, setup, label_key, batch_key)
    max_cells = None if max_cells is None else checks.count("max_cells", max_cells, 10)
    cells = np.random.default_rng(checks.seed(seed, 0)).permutation(whole.n_obs)[:max_cells]
    cells.sort()
    shown = AnnData(
        X=readable(whole, setup.layer)[cells],
        obs=obs.iloc[cells].copy(),
        var=pd.DataFrame(index=whole.var_names),
        obsm={AFTER: model.get_latent_representation(whole, cells)},
    )
    shown.obsm[BEFORE] = metrics.principal_components(shown.X, seed=seed)
    keys = (setup.batch_key, label_key, batch_key)
    Writer(document, model, obs, whole.uns.get("preparation"), shown, keys, seed).all()
    return document.write("Integration report")


def _columns(adata: AnnData, setup: Setup, label_key: str | None, batch_key: str) -> pd.DataFrame:
    """The columns of all cells that the report is about; cells that count as without a label have none."""
    keys = list(dict.fromkeys(filter(None, [setup.batch_key, batch_key, label_key])))
    obs = adata.obs[keys].copy()
    if label_key is not None and label_key == setup.labels_key:
        names = level_names(obs[label_key], word_column(label_key))
        names[names == setup.unlabeled_category] = None
        obs[label_key] = pd.Categorical(names)
    return obs


class Writer:
    """Writes the parts, one after the other, and collects what is missing.

    Parameters
    ----------
    document
        Where to.
    model
        The model.
    obs
        Columns of all cells.
    preparation
        How the genes were chosen, as `scsystems.pp.prepare` notes it.
    shown
        The cells that are drawn and measured, with both embeddings.
    keys
        Columns with the systems, the labels (or None) and the samples.
    seed
        Seed.
    """

    def __init__(self, document: Document, model, obs, preparation, shown, keys, seed):
        self.document, self.model, self.obs, self.shown = document, model, obs, shown
        self.preparation = preparation
        self.system, self.labels, self.batch = keys
        self.seed = seed
        self.missing: list[str] = []
        if self.labels is None:
            self.missing.append(
                "No cell types were named (label_key), so that nothing is said of them."
            )

    def all(self) -> None:
        """Write every part."""
        self.document.heading("Integration report", 1)
        self.document.text(repr(self.model) + ".")
        self.document.heading("What looks wrong")
        said = self.warnings()
        self.document.points(said or ["Nothing that this report looks for."])
        for heading, part in (
            ("Before and after", self.umaps),
            ("Mixing and biology", self.measures),
            ("Cells", self.cells),
            ("Genes", self.genes),
            ("Training", self.training),
        ):
            self.document.heading(heading)
            self._try(heading, part)
        if self.missing:
            self.document.heading("What is missing here")
            self.document.points(self.missing)
        self.document.heading("Settings and versions")
        self.settings()

    def _try(self, heading: str, part: Callable[[], None]) -> None:
        """Write a part, or say why it is missing."""
        try:
            part()
        except (ScsystemsError, ImportError) as error:
            self.missing.append(f"{heading}: {error}")
            self.document.text(f"Left out: {error}")

    def warnings(self) -> list[str]:
        """What looks wrong, in sentences."""
        said = []
        if self.model.interrupted:
            said.append("The training was interrupted.")
        sizes = self.obs[self.system].value_counts()
        said += [
            f"{name} has {n} cells only: a system of fewer than 100 is hardly learned."
            for name, n in sizes.items()
            if 0 < n < 100
        ]
        if len(self.model.schema.genes) < 500:
            said.append(
                f"There are {len(self.model.schema.genes)} genes only: types whose markers are not among them are lost."
            )
        said += self.prior_warnings()
        if self.labels is not None:
            labels = self.shown.obs[self.labels]
            names = level_names(labels, word_column(self.labels))
            after = findings.neighbor_types(self.shown.obsm[AFTER], names)
            before = findings.neighbor_types(self.shown.obsm[BEFORE], names)
            rare = findings.rare_types(names)
            said += findings.merged_types(after, before, rare)
            if rare:
                said.append(
                    f"Too few cells ({findings.FEWEST - 1} at most) to say whether they are kept: {', '.join(rare)}."
                )
            said += [
                f"{name} is in {system} alone: see that it does not mix with cells of another."
                for name, system in findings.foreign_types(
                    np.asarray(names, object), self.shown.obs[self.system]
                ).items()
                if name not in rare
            ]
        return said

    def prior_warnings(self) -> list[str]:
        """What is said of the components of the prior."""
        prior = self.model.net.prior
        if not hasattr(prior, "components"):
            return []
        means, variances = prior.components(self.model.net.eval().encode)
        parts = [
            part.detach().cpu().numpy() for part in (means, variances, prior.log_weights().exp())
        ]
        if parts[0].ndim != 2 or parts[2].ndim != 1:
            return []
        chosen = metrics.prior_component(self.shown.obsm[AFTER], *parts)
        unused = findings.unused_components(chosen, len(parts[0]))
        if unused <= len(parts[0]) / 2:
            return []
        return [
            f"{unused} of {len(parts[0])} components of the prior are used by no cell: fewer would do."
        ]

    def cells(self) -> None:
        """Cells by system, sample and type."""
        obs, n = self.obs, len(self.shown)
        if n < len(obs):
            self.document.text(
                f"Pictures and measures are of {n:,} cells out of {len(obs):,}, drawn at random."
            )
        for key in dict.fromkeys([self.batch, self.labels]):
            if key not in (None, self.system):
                table = pd.crosstab(obs[key].astype("string").fillna("(none)"), obs[self.system])
                self.document.table(table.rename_axis(index=key, columns=None))
        total = obs[self.system].value_counts(sort=False).to_frame("cells")
        self.document.table(total.rename_axis(index=self.system))

    def genes(self) -> None:
        """Genes that were trained on, and how they were chosen where that is known."""
        self.document.text(f"Trained on {len(self.model.schema.genes):,} genes.")
        try:
            said = str(Preparation(**self.preparation))
        except (TypeError, KeyError):
            self.missing.append(
                "How the genes were chosen is not known: that is kept by scs.pp.prepare()."
            )
            return
        self.document.points(said.splitlines())

    def training(self) -> None:
        """Losses by epoch."""
        epochs = max(len(frame) for frame in self.model.history.values())
        self.document.text(f"{epochs} epochs on {self.model.device}.")
        axes = plots.training_curves(self.model.history, skip=1 if epochs > 10 else 0)
        figure = next(iter(axes.values())).figure
        self.document.figure(figure, "training", "Losses per epoch.")

    def umaps(self) -> None:
        """UMAPs of both embeddings."""
        color = [self.system] + ([self.labels] if self.labels else [])
        titles = {BEFORE: "before (principal components)", AFTER: "after"}
        axes = plots.umap_panels(
            self.shown, [BEFORE, AFTER], color, titles=titles, seed=self.seed, max_cells=None
        )
        self.document.figure(axes[0, 0].figure, "umap", "UMAP before and after integration.")

    def measures(self) -> None:
        """Metrics of both embeddings, pooled and by type."""
        table = self._measured()
        overall = metrics.summarize(table).T.rename_axis(index="metric")
        self.document.text("From 0 to 1, more is better.")
        self.document.points(
            f"{name}: {MEANING[name]}" for name in MEANING if name in set(overall.index)
        )
        self.document.table(overall)
        groups = table[(table["level"] == "group") & (table["metric"] != "label_transfer")]
        if len(groups):
            by_type = groups.pivot_table(
                index="group", columns=["metric", "embedding"], values="value", sort=False
            )
            by_type.columns = [f"{metric}, {when}" for metric, when in by_type.columns]
            self.document.text("By cell type:")
            self.document.table(by_type.rename_axis(index="cell type"))
        transfer = table[(table["level"] == "group") & (table["metric"] == "label_transfer")]
        if len(transfer):
            self.document.text(
                "Types carried over from one system to the other by 25 neighbors: balanced accuracy, then recall by "
                "type."
            )
            wide = transfer.pivot_table(
                index="group", columns="embedding", values="value", sort=False
            )
            self.document.table(wide.rename_axis(index="direction", columns=None))

    def _measured(self) -> pd.DataFrame:
        names = WITHOUT_LABELS if self.labels is None else SHOWN
        tables = []
        for name in names:
            try:
                tables.append(
                    metrics.evaluate(
                        self.shown,
                        [BEFORE, AFTER],
                        self.system,
                        self.labels,
                        self.batch,
                        [name],
                        max_cells=None,
                        seed=self.seed,
                        verbose=False,
                    )
                )
            except (MissingExtraError, InputError) as error:
                self.missing.append(f"{name}: {error}")
        if not tables:
            raise InputError("no metric could be computed.")
        return pd.concat(tables, ignore_index=True)

    def _covariates(self) -> list[str]:
        setup = self.model.schema.setup
        return [*setup.categorical_covariate_keys, *setup.continuous_covariate_keys]

    def settings(self) -> None:
        """Arguments and versions."""
        setup = self.model.schema.setup
        chosen = {"system": setup.batch_key, "covariates": ", ".join(self._covariates()) or "none"}
        if setup.labels_key is not None:
            chosen["labels that it was told"] = setup.labels_key
        chosen |= {str(k): str(v) for k, v in self.model._arguments.items()}
        self.document.table(pd.DataFrame({"value": chosen}).rename_axis(index="argument"))
        found = {"scsystems": __version__, "Python": platform.python_version()}
        for package in PACKAGES:
            try:
                found[package] = version(package)
            except PackageNotFoundError:
                found[package] = "missing"
        self.document.table(pd.DataFrame({"version": found}).rename_axis(index="package"))
