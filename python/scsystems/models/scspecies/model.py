"""ScSpecies: align species whose genes differ to one labeled context species."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from anndata import AnnData

from ... import checks
from ...data.levels import level_name
from ...data.species import Species, check_names
from ...data.species_genes import MIN_CELLS, N_TOP_GENES
from ...errors import InputError
from ...nn.scspecies.alignment import AlignmentMode
from ...nn.scspecies.net import Dispersion, EncoderInput, Library, Likelihood
from ...torch_state import usual_torch_inside
from ...train.checkpoint import folders_by_name, resume_choice
from ...train.device import choose_device, reduced_precision
from ...train.loop import FitSettings
from ...train.parallel.distributed import require_one_process
from ...words import written
from ..base import callback_list
from . import io as files
from . import training as training
from .comparison import Comparison
from .settings import choose
from .species import (
    Embedded,
    OrthologSource,
    Part,
    homologues,
    key_of,
    named_context,
    named_targets,
    per_species,
    warn_small,
)

logger = logging.getLogger(__name__)

# Adam as the paper uses it
ADAM: dict[str, Any] = {"eps": 1e-8, "weight_decay": 0.0}


@usual_torch_inside
class ScSpecies(Comparison):
    """Align target species to a labeled context species (Schächter et al. 2025).

    Species have their own genes; one-to-one orthologs connect them. Each species has a
    variational autoencoder on counts. The context's is trained first. Then every target's is
    trained with the context's frozen inner encoder, its cells being pulled to the context
    cells that explain them best.

    Parameters
    ----------
    context
        Raw counts of the context species, cells x genes; or ``{name: adata}`` to name it.
    targets
        Raw counts of the target species by name.
    context_labels
        Column of the context's ``obs`` with cell types; complete.
    orthologs
        Ortholog table: a file or data frame that :func:`scsystems.data.orthologs.tables.read`
        understands, or what it returned. Only one-to-one pairs are used. A data frame of two
        columns that name neither species holds the context's genes first. A dictionary gives
        a table per target.
    target_labels
        Column of the targets' ``obs`` with cell types, where known; used for tables by type and
        never in training. A dictionary gives a column (or ``None``) per target.
    batch_key
        Column with the batches (sample, donor). ``None``: one batch. Or a dictionary by species.
    layer
        Layer with the counts; ``None`` takes ``X``. Or a dictionary by species.
    n_top_genes
        The most variable genes of each species to train on; orthologs are taken among them. ``None``
        takes all genes, which aligned much worse where it was measured (``docs/scspecies.md``). Or a
        dictionary by species.
    min_cells
        These genes are chosen among those found in at least so many cells of the species.
    preset
        ``"default"``: the best known settings; ``"paper"``: those of the paper. It decides the
        arguments that are ``None``.
    alignment
        What is aligned: ``"intermediate"`` features (300 dimensions) through a frozen inner
        encoder, or ``"latent"`` samples of z, with an inner encoder of its own.
    search_every
        Epochs between searches for every cell's best candidate (default 10); 0 searches in every
        step (paper).
    n_neighbors
        Context neighbors of a target cell that are candidates (paper: k).
    quantile
        Cells are aligned whose neighbors' agreement reaches this quantile of their label.
        Default 0.8 above 10,000 cells, else 0.2. At least ``n_neighbors`` cells of every label
        are aligned.
    kl_weight, eta
        Weight of the KL terms and of the alignment: a number, or two, at the start and from
        epoch ``n_warmup`` on.
    mixing_weight
        Weight of the energy distance between the two species' latent cells of a type, which
        mixes the species (default 5; paper: 0); a target cell counts as of the type of its best
        candidate. Rises from zero over ``n_warmup`` epochs.
    n_warmup
        Epochs over which weights rise.
    likelihood, dispersion
        ``"nb"`` or ``"zinb"`` (paper); dispersion per gene and ``"dataset"``, ``"batch"``, or
        predicted per ``"cell"``.
    library
        Library size: ``"observed"`` total counts, or latent with an ``"encoder"`` (paper).
    encoder_input
        ``"log1p"`` of the counts, or the ``"counts"``.
    homologous_fraction
        Fraction of expression given to homologous genes: ``"observed"`` in the counts, or their
        fraction of the ``"genes"`` (paper).
    n_latent, n_features, n_hidden, dropout_rate
        Dimensions of z and of the intermediate features, width of the other hidden layers.
    seed
        Seed of weights, minibatches and noise.

    Examples
    --------
    >>> import scsystems as scs
    >>> model = scs.ScSpecies(
    ...     context={"mouse": mouse}, targets={"human": human}, context_labels="cell_type",
    ...     batch_key="sample", orthologs="human_mouse.tsv",
    ... )
    >>> model.train()
    >>> human.obsm["X_scspecies"] = model.get_latent_representation("human")
    >>> human.obs = human.obs.join(model.transfer_labels("human"))
    """

    def __init__(
        self,
        context: AnnData | Mapping[str, AnnData],
        targets: Mapping[str, AnnData] | Iterable[tuple[str, AnnData]],
        context_labels: str,
        orthologs: OrthologSource | Mapping[str, OrthologSource],
        *,
        target_labels: str | Mapping[str, str | None] | None = None,
        batch_key: str | Mapping[str, str | None] | None = None,
        layer: str | Mapping[str, str | None] | None = None,
        n_top_genes: int | Mapping[str, int | None] | None = N_TOP_GENES,
        min_cells: int = MIN_CELLS,
        preset: Literal["default", "paper"] = "default",
        alignment: AlignmentMode = "intermediate",
        search_every: int | None = None,
        n_neighbors: int = 25,
        quantile: float | None = None,
        kl_weight: float | tuple[float, float] = (0.1, 1.0),
        eta: float | tuple[float, float] = (10.0, 25.0),
        mixing_weight: float | None = None,
        n_warmup: int = 10,
        likelihood: Likelihood | None = None,
        dispersion: Dispersion | None = None,
        library: Library | None = None,
        encoder_input: EncoderInput | None = None,
        homologous_fraction: Literal["observed", "genes"] | None = None,
        n_latent: int = 10,
        n_features: int = 300,
        n_hidden: int = 200,
        dropout_rate: float = 0.1,
        seed: int = 0,
    ):
        given = locals()
        context_labels = checks.name("context labels", context_labels)
        settings = choose(preset, {name: given[name] for name in files.SETTINGS})
        name, context = named_context(context)
        targets = named_targets(targets, name)
        limit = (n_top_genes, min_cells)
        context = self._choose_genes(name, context, *limit, layer, batch_key)
        genes = check_names(name, context)
        pairs = {}
        for target, adata in targets.items():
            adata = targets[target] = self._choose_genes(target, adata, *limit, layer, batch_key)
            table = per_species(orthologs, target, "orthologs")
            pairs[target] = homologues(table, name, genes, target, adata)
        shared = list(dict.fromkeys(gene for p in pairs.values() for gene in p["context"]))
        if not shared:
            raise InputError(
                "targets is empty. Expected at least one target species: {'human': adata}."
            )
        self._prepare(settings)
        species = Species.from_anndata(
            name,
            context,
            shared,
            key_of(layer, name, "layer"),
            key_of(batch_key, name, "species batch"),
            context_labels,
        )
        self._context = self._part(species, context, self._generator(name), "context labels")
        n_neighbors = settings["n_neighbors"]
        if n_neighbors > context.n_obs:
            raise InputError(
                f"{written('n_neighbors', n_neighbors)}, but {name} has {context.n_obs} cells. "
                "Expected fewer neighbors."
            )
        warn_small(self._context, n_neighbors)
        for target, adata in targets.items():
            keys = [
                key_of(v, target, a)
                for v, a in (
                    (layer, "layer"),
                    (batch_key, "species batch"),
                    (target_labels, "target labels"),
                )
            ]
            self._add(target, adata, pairs[target], *keys)

    def add_target(
        self,
        name: str,
        adata: AnnData,
        orthologs: OrthologSource,
        *,
        target_labels: str | None = None,
        batch_key: str | None = None,
        layer: str | None = None,
        n_top_genes: int | None = N_TOP_GENES,
        min_cells: int = MIN_CELLS,
    ) -> None:
        """Add a further target species; :meth:`train` then aligns it to the context.

        The context's counts are not needed: of a model loaded without them, neighbors are
        found among the context cells as the context's decoder gives them.

        Parameters
        ----------
        name, adata, orthologs, target_labels, batch_key, layer, n_top_genes, min_cells
            As in the constructor, for this species.
        """
        name = level_name(name)
        named_targets([(n, None) for n in (*self._targets, name)], self._context.name)
        adata = self._choose_genes(name, adata, n_top_genes, min_cells, layer, batch_key)
        genes = pd.Index(self._context.species.genes)
        pairs = homologues(orthologs, self._context.name, genes, name, adata)
        given = (
            (layer, "layer"),
            (batch_key, "species batch"),
            (target_labels, "target labels"),
        )
        self._add(name, adata, pairs, *(checks.optional_name(a, v) for v, a in given))

    def train(
        self,
        max_epochs: int | None = None,
        accelerator: str = "auto",
        devices: int | str | list[int] = "auto",
        batch_size: int | None = None,
        *,
        lr: float = 1e-3,
        gradient_clip_val: float | None = None,
        callbacks: Callable[..., Any] | Sequence[Callable[..., Any]] | None = None,
        checkpoint_dir: str | Path | None = None,
        checkpoint_every: int = 10,
        resume: bool | Literal["auto"] = False,
        precision: Literal["auto", "float32", "bfloat16"] = "auto",
        n_threads: int | None = None,
        verbose: bool = True,
    ) -> None:
        """Train what has not been trained: the context, then every target.

        Parameters
        ----------
        max_epochs
            Passes over the cells of each species; default 30 above 10,000 cells, else 60.
        accelerator, devices
            ``"auto"`` takes a GPU if there is one, see :func:`scsystems.train.device.choose_device`.
        batch_size
            Cells per minibatch; default 128 (paper), but at most a seventh of a species' cells, and at
            least 32: small data need several steps per epoch.
        lr, gradient_clip_val
            Learning rate of Adam, and largest norm of the gradient.
        callbacks
            Callables ``f(epoch, max_epochs, losses)``, called after each epoch (from 1) of each
            species; its training stops when one returns ``False``.
        checkpoint_dir, checkpoint_every
            Folder to keep checkpoints in, one per species, and epochs between writings.
        resume
            Go on from the checkpoints in ``checkpoint_dir``: to the identical result where a run was
            cut off. With a larger ``max_epochs`` than a finished run had, the context is trained
            further too, and its targets go on from their alignment to the earlier context. ``"auto"``
            begins where there is no checkpoint.
        precision
            Number format of the products over all genes in training, see :meth:`SysVI.train`.
        n_threads
            Threads of torch to train on; default one for minibatches of less than 2^20 values
            (cells x genes), else as many as torch is set to. More gain little in small steps, and
            lose much where cores are busy.
        verbose
            Show progress bars.
        """
        require_one_process("ScSpecies")
        waiting = [part for part in self._parts() if part.trainings.stopped is None]
        if not waiting:
            raise InputError(
                "All species are trained already. Make a new model to train again, or add_target()."
            )
        device = choose_device(accelerator, devices)
        reduced = reduced_precision(precision, device)
        listed = callback_list(callbacks)
        resume = resume_choice(resume)
        folders = folders_by_name(checkpoint_dir, [part.name for part in waiting], resume)
        for part in waiting:
            cells = part.require_cells("to train")
            settings = FitSettings(
                max_epochs=training.default_epochs(len(cells))
                if max_epochs is None
                else max_epochs,
                batch_size=training.default_batch_size(len(cells))
                if batch_size is None
                else batch_size,
                lr=lr,
                gradient_clip_val=gradient_clip_val,
                n_threads=n_threads,
                checkpoint_dir=folders.get(part.name),
                checkpoint_every=checkpoint_every,
                resume="auto" if resume else False,
                verbose=verbose,
                description=part.name,
                **ADAM,
            )
            logger.info(
                "%s: training on %s, %d cells, %d epochs",
                part.name,
                device,
                len(cells),
                settings.max_epochs,
            )
            result = self._fit(part, device, settings, reduced, listed)
            part.trainings.add(result)
            part.embedded = Embedded(*training.embed(part.net, cells, device))
            if part is self._context:
                self._context_prototypes()
            if result.stopped == "interrupted":
                break

    @property
    def history(self) -> dict[str, dict[str, pd.DataFrame]]:
        """Per species: losses per epoch of all trainings, one data frame per quantity, index ``epoch``."""
        return {part.name: part.trainings.frames() for part in self._parts()}

    @property
    def species(self) -> list[str]:
        """Names of the species, the context first."""
        return [part.name for part in self._parts()]

    def save(self, dir_path: str | Path, overwrite: bool = False) -> None:
        """Write the model into a folder: safetensors and JSON, whole or not at all.

        Besides the weights it holds the latent representation of all cells and the context's
        intermediate features and labels, but no counts.

        Parameters
        ----------
        dir_path
            The folder.
        overwrite
            Replace an existing model there.
        """
        files.save(self, dir_path, overwrite)

    @classmethod
    def load(
        cls,
        dir_path: str | Path,
        adata: Mapping[str, AnnData] | None = None,
        accelerator: str = "cpu",
    ) -> ScSpecies:
        """Read a model that `save` wrote.

        Parameters
        ----------
        dir_path
            The folder.
        adata
            Data by species name. Results that need the counts of a species need it here.
        accelerator
            Device of the weights.

        Raises
        ------
        ModelFileError
            If the folder is incomplete or damaged.
        InputError
            If the data do not fit the model.
        """
        model = files.load(cls, dir_path)
        for part in model._parts():
            part.net.to(choose_device(accelerator))
        if isinstance(adata, AnnData):
            raise InputError("adata is an AnnData. Expected a dictionary of data by species name.")
        for name, data in (adata or {}).items():
            model._part_of(name).attach(data)
        return model

    def __repr__(self) -> str:
        def say(part: Part) -> str:
            state = (
                "not trained"
                if part.trainings.stopped is None
                else f"{len(part.trainings.history['train_loss'])} epochs"
            )
            return f"{part.name} ({len(part.cell_names)} cells, {len(part.species.genes)} genes, {state})"

        targets = ", ".join(say(part) for part in self._targets.values()) or "none"
        mode = self._settings["alignment"]
        return f"ScSpecies: context {say(self._context)}; targets {targets}; alignment {mode}"
