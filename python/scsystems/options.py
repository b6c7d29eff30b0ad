"""Every option of the methods, once: what it is called, what it may be, and what it is by default.

The presets are read from here, and so are the choices that arguments are checked against. The
signatures in Python and R, the command line's help and docs/options.md are tested against it, so
that no door can say another default than the one that acts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

# where an option is given in Python: the constructor, train(), its plan_kwargs, scsystems.pp.prepare
Where = Literal["model", "train", "plan", "prepare"]


class _Unset:
    """Stands for: the paper's value is the default."""

    def __repr__(self) -> str:
        return "as the default"


AS_DEFAULT = _Unset()


@dataclass(frozen=True)
class Option:
    """An option of a method.

    Parameters
    ----------
    name
        In Python.
    default
        Its value if nothing is given; ``None`` where the data decide, as ``doc`` says.
    doc
        One line on what it is.
    paper
        Its value with ``preset="paper"``.
    where
        Where it is given in Python.
    choices
        The values it may have, if it is a word.
    at_least, below
        Bounds of a number.
    whole
        Whether it is a whole number.
    optional
        Whether ``None`` is a value of its own.
    r
        What it is called in R, in ``RunSysVI()``, ``RunScSpecies()`` or their ``control``; ``None`` where R
        has it in the lists of further arguments only.
    cli
        What it is called on the command line, if it is there.
    """

    name: str
    default: Any
    doc: str
    paper: Any = AS_DEFAULT
    where: Where = "model"
    choices: tuple[str, ...] = ()
    at_least: float | None = None
    below: float | None = None
    whole: bool = False
    optional: bool = False
    r: str | None = None
    cli: str | None = None

    def value(self, preset: str) -> Any:
        """Its value with a preset."""
        return self.paper if preset == "paper" and self.paper is not AS_DEFAULT else self.default

    @property
    def by_preset(self) -> bool:
        """Whether the presets differ in it."""
        return self.paper is not AS_DEFAULT


def _count(name: str, default: Any, doc: str, **more: Any) -> Option:
    return Option(name, default, doc, **{"at_least": 1, "whole": True} | more)


def _weight(name: str, default: Any, doc: str, **more: Any) -> Option:
    return Option(name, default, doc, **{"at_least": 0} | more)


SYSVI: tuple[Option, ...] = (
    # -- the model
    Option(
        "prior",
        "vamp",
        "prior of the latent space",
        choices=("standard_normal", "vamp", "gmm"),
        r="prior",
        cli="--prior",
    ),
    _count(
        "n_prior_components",
        20,
        "components of the vamp and gmm priors",
        paper=5,
        r="n_prior_components",
    ),
    Option("trainable_priors", True, "learn the components of the prior", r="trainable_priors"),
    Option(
        "prior_density",
        "joint",
        "mixture over all dimensions together, or in each",
        paper="joint",
        choices=("joint", "factorized"),
    ),
    Option(
        "pseudoinput_choice",
        "spread",
        "cells that the components start from",
        paper="random",
        choices=("spread", "random"),
    ),
    Option("gmm_init", "data", "start of the gmm prior", choices=("data", "random")),
    _count("n_latent", 15, "dimensions of the embedding", r="dims", cli="--dims"),
    _count("n_hidden", 256, "units of a hidden layer", r="n_hidden"),
    _count("n_layers", 2, "hidden layers of the encoder", r="n_layers"),
    _count(
        "n_layers_decoder",
        3,
        "hidden layers of the decoder; None: as many as the encoder's",
        paper=None,
        optional=True,
        r="n_layers_decoder",
    ),
    _weight("dropout_rate", 0.1, "dropout in the hidden layers", below=1, r="dropout_rate"),
    Option(
        "out_var_mode",
        "constant",
        "variance of the decoder: 1, learned per gene, or predicted per cell and gene",
        paper="feature",
        choices=("constant", "feature", "sample_feature"),
        r="out_var_mode",
    ),
    Option(
        "embed_categorical_covariates",
        False,
        "let categorical covariates enter as learned vectors",
        r="embed_categorical_covariates",
    ),
    _count("embedding_dim", 5, "length of these vectors"),
    Option(
        "covariate_init",
        "zero",
        "start of the covariates' weights",
        paper="linear",
        choices=("zero", "linear"),
    ),
    Option("encode_covariates", False, "let the encoder see system and covariates", paper=True),
    Option(
        "cycle_covariates",
        "keep",
        "covariates of the cycle's counterfactual cells",
        paper="zero",
        choices=("keep", "zero"),
    ),
    Option("adversarial", False, "add a system classifier (the ablation ADV)"),
    # -- the loss and its optimizer
    _weight(
        "z_distance_cycle_weight",
        3.0,
        "strength of integration: weight of the cycle",
        paper=5.0,
        where="plan",
        r="cycle.weight",
        cli="--cycle-weight",
    ),
    _weight(
        "kl_weight",
        0.8,
        "weight of the KL divergence",
        paper=1.0,
        where="plan",
        r="kl_weight",
        cli="--kl-weight",
    ),
    _weight("reconstruction_weight", 1.0, "weight of the reconstruction", where="plan"),
    _weight("adversary_weight", 0.0, "weight of the system classifier", where="plan"),
    _weight(
        "label_weight",
        2.0,
        "weight of the labels, where cells have some",
        where="plan",
        r="label_weight",
        cli="--label-weight",
    ),
    Option("optimizer", "Adam", "optimizer", where="plan", choices=("Adam", "AdamW")),
    _weight("lr", 2e-3, "learning rate", paper=1e-3, where="plan", r="lr"),
    _weight("eps", 1e-4, "Adam's eps", paper=0.01, where="plan"),
    _weight("weight_decay", 1e-6, "weight decay", where="plan", r="weight_decay"),
    # -- training
    _count(
        "max_epochs",
        None,
        "passes over the cells; 8,000,000 / number of cells, at most 250 (paper: 400)",
        where="train",
        r="max.epochs",
        cli="--epochs",
    ),
    _count(
        "batch_size",
        128,
        "cells per minibatch",
        where="train",
        at_least=2,
        r="batch_size",
        cli="--batch-size",
    ),
    Option(
        "early_stopping",
        False,
        "stop when the loss no longer falls",
        where="train",
        r="early_stopping",
    ),
    Option(
        "train_size",
        None,
        "fraction of the cells to train on; all, or 0.9 with early stopping",
        where="train",
        at_least=0,
        r="train_size",
    ),
    _count(
        "n_threads",
        None,
        "cores of the CPU; one for small minibatches",
        where="train",
        r="n_threads",
        cli="--threads",
    ),
    Option(
        "precision",
        "auto",
        "number format of the products over all genes",
        where="train",
        choices=("auto", "float32", "bfloat16"),
    ),
    Option(
        "storage",
        "auto",
        "how expression lies on the training device",
        where="train",
        choices=("auto", "dense", "sparse", "disk"),
    ),
    _weight("gradient_clip_val", None, "largest norm of the gradient; none", where="train"),
    _count("early_stopping_patience", 45, "checks without improvement", where="train"),
    _count("checkpoint_every", 10, "epochs between checkpoints", where="train"),
    # -- the genes
    _count(
        "n_top_genes",
        2000,
        "highly variable genes per system",
        paper=3000,
        where="prepare",
        r="n_top_genes",
        cli="--genes",
    ),
    Option(
        "hvg_merge",
        "intersection",
        "genes variable in every system, or those of the best rank over all systems together",
        where="prepare",
        choices=("intersection", "joint"),
        r="hvg_merge",
        cli="--hvg-merge",
    ),
    Option(
        "keep", None, "genes that are used in any case", where="prepare", r="keep", cli="--keep"
    ),
    Option(
        "min_cells",
        20,
        "genes in more cells of a system than this",
        where="prepare",
        at_least=0,
        whole=True,
        r="min_cells",
        cli="--min-cells",
    ),
    Option(
        "target_sum", 1e4, "total that counts are normalized to", where="prepare", r="target_sum"
    ),
)

SCSPECIES: tuple[Option, ...] = (
    _count(
        "n_top_genes",
        4000,
        "most variable genes of each species; orthologs are taken among them",
        optional=True,
        r="n_top_genes",
        cli="--n-top-genes",
    ),
    _count("min_cells", 3, "genes in at least so many cells of a species", r="min_cells"),
    Option(
        "alignment",
        "intermediate",
        "align intermediate features, or latent samples",
        choices=("intermediate", "latent"),
        r="alignment",
    ),
    Option(
        "search_every",
        10,
        "epochs between searches for the best candidates; 0: every step",
        paper=0,
        at_least=0,
        whole=True,
        r="search_every",
    ),
    _count(
        "n_neighbors",
        25,
        "context neighbors that are candidates",
        r="n_neighbors",
        cli="--neighbors",
    ),
    Option(
        "quantile",
        None,
        "agreement of neighbors from which cells are aligned; 0.8 above 10,000 cells, else 0.2",
        at_least=0,
        r="quantile",
    ),
    _weight("kl_weight", (0.1, 1.0), "weight of the KL terms, first and last", r="kl_weight"),
    _weight("eta", (10.0, 25.0), "weight of the alignment, first and last", r="eta"),
    _weight("mixing_weight", 5.0, "weight of mixing within types", paper=0.0, r="mixing_weight"),
    Option("n_warmup", 10, "epochs over which weights rise", at_least=0, whole=True, r="n_warmup"),
    Option(
        "likelihood",
        "nb",
        "likelihood of counts",
        paper="zinb",
        choices=("nb", "zinb"),
        r="likelihood",
    ),
    Option(
        "dispersion",
        "batch",
        "dispersion of a gene: one, one per batch, or predicted",
        paper="batch",
        choices=("dataset", "batch", "cell"),
        r="dispersion",
    ),
    Option(
        "library",
        "observed",
        "library size",
        paper="encoder",
        choices=("observed", "encoder"),
        r="library",
    ),
    Option(
        "encoder_input",
        "log1p",
        "what the encoder sees of counts",
        paper="log1p",
        choices=("log1p", "counts"),
        r="encoder_input",
    ),
    Option(
        "homologous_fraction",
        "observed",
        "fraction of expression of homologous genes: observed, or that of the genes",
        paper="genes",
        choices=("observed", "genes"),
        r="homologous_fraction",
    ),
    _count("n_latent", 10, "dimensions of the embedding", r="dims", cli="--dims"),
    _count("n_features", 300, "intermediate features", r="n_features"),
    _count("n_hidden", 200, "units of the other hidden layers", r="n_hidden"),
    _weight("dropout_rate", 0.1, "dropout in the hidden layers", below=1, r="dropout_rate"),
    _count(
        "max_epochs",
        None,
        "passes over the cells of a species; 30 above 10,000 cells, else 60",
        where="train",
        r="max.epochs",
        cli="--epochs",
    ),
    _count(
        "batch_size",
        None,
        "cells per minibatch; 128, at most a seventh of the cells, at least 32",
        where="train",
        at_least=2,
        r="batch_size",
    ),
    _weight("lr", 1e-3, "learning rate", where="train", r="lr"),
    _count(
        "n_threads",
        None,
        "cores of the CPU; one for small minibatches",
        where="train",
        r="n_threads",
        cli="--threads",
    ),
)


def defaults(options: tuple[Option, ...], preset: str, *where: Where) -> dict[str, Any]:
    """Values by name, of the options given in these places."""
    return {o.name: o.value(preset) for o in options if not where or o.where in where}


def choices(options: tuple[Option, ...]) -> dict[str, tuple[str, ...]]:
    """The words an option may be, by name."""
    return {o.name: o.choices for o in options if o.choices}


def counts(options: tuple[Option, ...], where: Where = "model") -> tuple[str, ...]:
    """Names of options that are whole numbers."""
    return tuple(o.name for o in options if o.whole and o.where == where)


def by_preset(options: tuple[Option, ...]) -> tuple[str, ...]:
    """Names of the model's options that a preset decides."""
    return tuple(o.name for o in options if o.by_preset and o.where == "model")
