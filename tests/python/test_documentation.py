"""What pages, docstrings and vignettes say of defaults is what the code does."""

import inspect
import re

import pytest
from documented import ROOT, pages, usage

import scsystems as scs
from scsystems.metrics import moran, pcs
from scsystems.models.scspecies import training as scspecies_training
from scsystems.models.sysvi import presets
from scsystems.models.sysvi.core import INFERENCE_CHUNK
from scsystems.options import SCSPECIES, SYSVI, defaults
from scsystems.train.loop import MOST_PROCESSES, SMALL_MINIBATCH
from scsystems.train.schedules import default_epochs

PAGES = pages()
MAN = ROOT / "rpkg" / "man"

SYS, SYS_PAPER = defaults(SYSVI, "default"), defaults(SYSVI, "paper")
SPEC, SPEC_PAPER = defaults(SCSPECIES, "default"), defaults(SCSPECIES, "paper")
MOST = {name: preset["most_epochs"] for name, preset in presets.TRAINING.items()}
SCVI = presets.TRAINING["scvi-tools"]["plan"]
R_SPECIES = usage(MAN / "scspecies_options.Rd", "scspecies_options")


def default(function, name):
    return inspect.signature(function).parameters[name].default


def last_with(n_epochs: int) -> int:
    """The largest round number of cells that are trained for so many epochs."""
    n = round(8e6 / n_epochs)
    assert default_epochs(n, n_epochs) == n_epochs > default_epochs(round(1.02 * n), n_epochs)
    return n


def grid() -> tuple:
    (values,) = scs.tune.DEFAULT_GRID.values()
    return tuple(values)


def species_epochs() -> tuple:
    few, many = (scspecies_training.default_epochs(n) for n in (10_000, 10_001))
    return few, many


def species_batch() -> tuple:
    sizes = [scspecies_training.default_batch_size(n) for n in (10**6, 700, 20)]
    assert sizes[1] == 700 // 7
    return sizes[0], sizes[2]


N = r"([\d.,e-]*\d)"

# page (a pattern), what it says, and what that must be
FACTS = [
    # sysVI in R
    (r"(RunSysVI|SysVIIntegration).Rd", rf"NULL for the preset's \({N}; {N} for \"paper\"\)",
     (SYS["z_distance_cycle_weight"], SYS_PAPER["z_distance_cycle_weight"])),
    (r"(RunSysVI|SysVIIntegration).Rd",
     rf"\({N} up to {N} cells; with the preset \"paper\" {N} up to {N}\)",
     (MOST["default"], last_with(MOST["default"]), MOST["paper"], last_with(MOST["paper"]))),
    ("RunSysVI.Rd", rf"intersection is used: {N} per system, with the preset \"paper\" {N}",
     (SYS["n_top_genes"], SYS_PAPER["n_top_genes"])),
    ("sysvi_options.Rd", rf"NULL for the preset's: {N}, with \"paper\" as many as the encoder has",
     (SYS["n_layers_decoder"],)),
    ("sysvi_options.Rd", r"NULL for the preset's: (\w+), with \"paper\" per (gene)",
     (SYS["out_var_mode"], {"feature": "gene"}[SYS_PAPER["out_var_mode"]])),
    ("sysvi_options.Rd", rf"batch_size: Cells per minibatch; NULL for {N}\.", (SYS["batch_size"],)),
    ("sysvi_options.Rd",
     rf"preset's rate \({N}; {N} for \"paper\"\) and for a decay of {N}\.",
     (SYS["lr"], SYS_PAPER["lr"], SYS["weight_decay"])),
    ("sysvi_options.Rd", rf"Kullback-Leibler term; NULL for the preset's \({N}; {N} for \"paper\"\)",
     (SYS["kl_weight"], SYS_PAPER["kl_weight"])),
    ("sysvi_options.Rd", rf"label_weight: .*; NULL for the default \({N}\)\.", (SYS["label_weight"],)),
    ("sysvi_options.Rd", rf"NULL for the preset's: {N}, with \"paper\" {N}\)",
     (SYS["n_top_genes"], SYS_PAPER["n_top_genes"])),
    ("sysvi_options.Rd", rf"NULL for {N} or, where cells go to a trained model", (SYS["target_sum"],)),
    ("sysvi_options.Rd", r"With several, at most (\w+),", ({4: "four"}[MOST_PROCESSES],)),
    ("TuneSysVI.Rd", rf"compares the cycle weights {N}, {N}, {N} and {N}", grid()),
    (r"(BatchStrength|EvaluateIntegration).Rd|scs.metrics.(batch_strength|evaluate)",
     rf"{N} principal components of standardized", (default(pcs.principal_components, "n_components"),)),
    # scSpecies in R
    ("RunScSpecies.Rd", rf"NULL for the highly variable genes of every species \({N}, see",
     (SPEC["n_top_genes"],)),
    ("RunScSpecies.Rd", rf"NULL for the default, {N} up to 10,000 cells and {N} above",
     species_epochs()),
    ("scspecies_options.Rd", r"features through the context's inner encoder \((the default)\)",
     ({"intermediate": "the default"}[SPEC["alignment"]],)),
    ("scspecies_options.Rd", rf"variable genes per species \(NULL for {N}\), chosen among",
     (SPEC["n_top_genes"],)),
    ("scspecies.md", rf"By default there are {N}\.", (SPEC["n_top_genes"],)),
    ("scspecies_options.Rd", rf"n_neighbors: .*; NULL for {N}\.", (SPEC["n_neighbors"],)),
    (r"scspecies_options.Rd|scs.ScSpecies", rf"(?:NULL for|Default) {N} above 10,000 cells(?: and|, else) {N}",
     tuple(scspecies_training.default_quantile(n) for n in (10_001, 10_000))),
    ("scspecies_options.Rd", rf"NULL for {N} and {N}, and for {N} and {N}\.",
     (*SPEC["kl_weight"], *SPEC["eta"])),
    ("scspecies_options.Rd", rf"mixing_weight: .* preset's: {N}, with \"paper\" {N}, which",
     (SPEC["mixing_weight"], SPEC_PAPER["mixing_weight"])),
    ("scspecies_options.Rd", rf"n_warmup: .*; NULL for {N}\.", (SPEC["n_warmup"],)),
    ("scspecies_options.Rd", rf"search_every: .* preset's: {N}, with \"paper\" {N}, which",
     (SPEC["search_every"], SPEC_PAPER["search_every"])),
    ("scspecies_options.Rd", r"\"(\w+)\" \(the default\) or \"(\w+)\" \(with the preset \"paper\"\)",
     (SPEC["likelihood"], SPEC_PAPER["likelihood"])),
    ("scspecies_options.Rd", r"\"dataset\", \"(\w+)\" \(the default\)", (SPEC["dispersion"],)),
    ("scspecies_options.Rd",
     r"\"(\w+)\" \(the default\), or latent with an \"(\w+)\" \(with the preset \"paper\"\)",
     (SPEC["library"], SPEC_PAPER["library"])),
    ("scspecies_options.Rd", r"\"(\w+)\" of the counts \(the default\)", (SPEC["encoder_input"],)),
    ("scspecies_options.Rd",
     r"\"(\w+)\" in the counts \(the default\), or their fraction of the \"(\w+)\" \(with the preset",
     (SPEC["homologous_fraction"], SPEC_PAPER["homologous_fraction"])),
    ("scspecies_options.Rd", rf"n_features, n_hidden: .*; NULL for {N} and {N}\.",
     (SPEC["n_features"], SPEC["n_hidden"])),
    ("scspecies_options.Rd", rf"hidden layers; NULL for {N}\.", (SPEC["dropout_rate"],)),
    (r"scspecies_options.Rd|scs.ScSpecies.train",
     rf"minibatch; (?:NULL for|default) {N}(?: \(paper\))?, but at most a seventh of a species' "
     rf"cells, and at least {N}",
     species_batch()),
    ("scspecies_options.Rd", rf"lr: .*; NULL for {N}\.", (SPEC["lr"],)),
    # pages
    ("README.md", rf"An embedding \({N} dimensions by default\)", (SYS["n_latent"],)),
    ("README.md", rf"{N} counts per cell, log1p, {N} variable genes per system \(the paper: {N}\)",
     (SYS["target_sum"], SYS["n_top_genes"], SYS_PAPER["n_top_genes"])),
    ("README.md", rf"cycle.weight \(default {N};", (SYS["z_distance_cycle_weight"],)),
    ("README.md", rf"kl_weight = 0.5\), default {N}\)", (SYS["kl_weight"],)),
    ("differences.md", rf"at most {N} \({N} with preset=\"paper\"\)",
     (MOST["default"], MOST["paper"])),
    ("differences.md", rf"from {N} cells on the number is the same", (last_with(MOST["default"]),)),
    ("differences.md", rf"{N} and {N} \({N} and {N} with preset=\"paper\", theirs for models",
     (SYS["kl_weight"], SYS["z_distance_cycle_weight"],
      SYS_PAPER["kl_weight"], SYS_PAPER["z_distance_cycle_weight"])),
    ("differences.md", rf"{N} and {N} \(theirs with preset=\"paper\" and for models",
     (SYS["lr"], SYS["eps"])),
    ("differences.md", rf"with {N} in the denominator Adam .*; {N} keeps more",
     (SYS_PAPER["eps"], SYS["eps"])),
    ("differences.md", rf"pseudocounts default {N}",
     (default(scs.SysVI.differential_expression, "pseudocounts") or 1,)),
    ("scspecies.md", rf"{N} epochs \(the default for so few cells\)", species_epochs()[:1]),
    ("scspecies.md", rf"30 epochs instead of {N},", species_epochs()[:1]),
    (r"(query-mapping|single-cell-experiment).Rmd", rf"the default for so few cells is {N}\.",
     (default_epochs(4028, MOST["default"]),)),
    ("start-here.Rmd", rf"the default for so few cells is {N} epochs",
     (default_epochs(4028, MOST["default"]),)),
    ("start-here.Rmd", rf"raise cycle.weight \({N} by default", (SYS["z_distance_cycle_weight"],)),
    ("start-here.Rmd", rf"KL divergence \({N} by default\)", (SYS["kl_weight"],)),
    ("scspecies.Rmd", rf"max.epochs \({N} for so few cells\) and n_top_genes \({N} highly",
     (species_epochs()[0], SPEC["n_top_genes"])),
    # docstrings
    ("scs.SysVI", rf"n_prior_components .* default {N} \(paper {N}\)",
     (SYS["n_prior_components"], SYS_PAPER["n_prior_components"])),
    ("scs.SysVI", rf"n_layers_decoder .* default {N} \(paper: as many as", (SYS["n_layers_decoder"],)),
    ("scs.SysVI", r"\"(\w+)\" \(default; 1 for every gene.* \"(\w+)\" \(paper; one per gene",
     (SYS["out_var_mode"], SYS_PAPER["out_var_mode"])),
    ("scs.SysVI.get_latent_representation", rf"default {N}\.",
     (INFERENCE_CHUNK,)),
    ("scs.SysVI.train", rf"default min\(round\(20000 / n_cells 400\), {N}\), .* at most {N}\.",
     (MOST["default"], MOST["paper"])),
    ("scs.SysVI.train",
     rf"kl_weight is {N}, z_distance_cycle_weight {N}, lr {N} and eps {N}; .* "
     rf"with {N}, {N}, {N} and {N}\.",
     (SYS_PAPER["kl_weight"], SYS_PAPER["z_distance_cycle_weight"], SYS_PAPER["lr"],
      SYS_PAPER["eps"], SCVI["kl_weight"], SCVI["z_distance_cycle_weight"], SCVI["lr"],
      SCVI["eps"])),
    (r"scs.(SysVI|ScSpecies).train", rf"minibatches of less than 2\^{N} values",
     (SMALL_MINIBATCH.bit_length() - 1,)),
    ("scs.ScSpecies", rf"search_every .* \(default {N}\); {N} searches in every step \(paper\)",
     (SPEC["search_every"], SPEC_PAPER["search_every"])),
    ("scs.ScSpecies", rf"\(default {N}; paper: {N}\)",
     (SPEC["mixing_weight"], SPEC_PAPER["mixing_weight"])),
    ("scs.ScSpecies.train", rf"default {N} above 10,000 cells, else {N}", species_epochs()[::-1]),
    ("scs.metrics.moran_reference", rf"at most {N} genes in each, .* fewer than {N}\.",
     (moran.MOST, moran.FEWEST)),
    ("scs.tune.grid", rf"Default: the cycle weights {N}, {N}, {N} and {N}", grid()),
]  # fmt: skip

# sentences that speak of defaults and hold a number that is none of them
NO_DEFAULT = [
    r"ggplot2", r"torch==", r"see below; NULL", r"0 for no training", r"others? 1\.5 to 1\.9|1\.5 to 1\.9",
    r"fewer than the defaults", r"With the paper's settings", r"preset = \"paper\" is the paper's",
    r"With 3 systems mix more", r"group1|group2|batchid1|change_fn", r"With 2000 the pancreas",
    r"all cells train; 0.9", r"check_val_every_n_epoch", r"leave the cells on disk",
]  # fmt: skip

STATES = re.compile(r"\bdefaults?\b|\bpresets?\b|\bNULL\b|\bleave\b.*\bout\b", re.I)
NUMBER = re.compile(r"(?<![\w.])\d")


def number(text: str):
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return text


@pytest.mark.parametrize("fact", FACTS, ids=lambda f: f"{f[0]}: {f[1]}"[:90])
def test_a_stated_default_is_that_of_the_code(fact):
    page, pattern, expected = fact
    said = [
        tuple(map(number, match.groups()))
        for name, sentences in PAGES.items()
        if re.fullmatch(page, name)
        for match in re.finditer(pattern, "\n".join(sentences))
    ]
    assert said, "not said any more"
    assert set(said) == {tuple(number(str(v)) for v in expected)}


def test_every_sentence_on_a_default_is_among_the_facts():
    unknown = []
    for name, sentences in PAGES.items():
        patterns = [pattern for page, pattern, _ in FACTS if re.fullmatch(page, name)]
        for sentence in sentences:
            if not (STATES.search(sentence) and NUMBER.search(sentence)):
                continue
            if any(re.search(pattern, sentence) for pattern in [*patterns, *NO_DEFAULT]):
                continue
            unknown.append(f"{name}: {sentence}")
    assert not unknown, "\n".join(unknown)


# --- defaults of R's functions are those of Python's ------------------------------------------

METHODS = {"RunSysVI.Rd": "RunSysVI.Seurat", "RunScSpecies.Rd": "RunScSpecies.Seurat"}
IN_R = {"SysVI": ("RunSysVI.Rd", "sysvi_options.Rd"),
        "ScSpecies": ("RunScSpecies.Rd", "scspecies_options.Rd")}  # fmt: skip


def written(page: str) -> dict[str, str]:
    return usage(MAN / page, METHODS.get(page, page.removesuffix(".Rd")))


def literal(text: str):
    """The value of an R literal; of a vector of choices the first."""
    if text.startswith("c("):
        text = text[2:-1].split(",")[0]
    known = {"NULL": None, "TRUE": True, "FALSE": False, '""': ""}
    return known[text] if text in known else number(text.strip('"'))


OPTIONS = [
    pytest.param(model, option, id=f"{model}-{option.r}")
    for model, table in (("SysVI", SYSVI), ("ScSpecies", SCSPECIES))
    for option in table
    if option.r is not None
]


@pytest.mark.parametrize(("model", "option"), OPTIONS)
def test_options_of_r_have_the_default_of_the_table(model, option):
    places = [written(page) for page in IN_R[model] if option.r in written(page)]
    assert places, "R does not have it"
    for place in places:
        value = literal(place[option.r])
        # NULL: Python decides, by the preset or the data
        assert value is None or value == option.default
        if option.by_preset:
            assert value is None


# page of R -> argument -> function of Python and its argument
SAME = {
    "MapSysVI.Rd": {
        "n.neighbors": (scs.SysVI.transfer_labels, "n_neighbors"),
        "min.confidence": (scs.SysVI.transfer_labels, "min_confidence"),
        "max.missing": (scs.SysVI.prepare_query_anndata, "max_missing"),
        "fill": (scs.SysVI.prepare_query_anndata, "fill"),
    },
    "FindSystemMarkers.Rd": {
        "delta": (scs.SysVI.differential_expression, "delta"),
        "fdr": (scs.SysVI.differential_expression, "fdr_target"),
        "n.samples": (scs.SysVI.differential_expression, "n_samples_overall"),
    },
    "EvaluateIntegration.Rd": {
        "n.neighbors": (scs.metrics.evaluate, "k"),
        "min.cells": (scs.metrics.evaluate, "min_cells"),
        "moran.min.cells": (scs.metrics.evaluate, "moran_min_cells"),
        "max.cells": (scs.metrics.evaluate, "max_cells"),
        "seed.use": (scs.metrics.evaluate, "seed"),
        "unintegrated": (scs.metrics.evaluate, "unintegrated"),
    },
    "BatchStrength.Rd": {
        "min.cells": (scs.metrics.batch_strength, "min_cells"),
        "min.samples": (scs.metrics.batch_strength, "min_samples"),
        "max.cells": (scs.metrics.batch_strength, "max_cells"),
        "seed.use": (scs.metrics.batch_strength, "seed"),
    },
    "TuneSysVI.Rd": {
        "min.cells": (scs.tune.grid, "min_cells"),
        "moran.min.cells": (scs.tune.grid, "moran_min_cells"),
        "max.cells": (scs.tune.grid, "max_cells"),
        "n.jobs": (scs.tune.grid, "n_jobs"),
        "folder": (scs.tune.grid, "folder"),
    },
    "RelevantGenes.Rd": {
        "gamma": (scs.ScSpecies.relevance, "gamma"),
        "n.cells": (scs.ScSpecies.relevance, "n_cells"),
    },
}


@pytest.mark.parametrize(
    ("page", "argument"), [(page, name) for page, names in SAME.items() for name in names]
)
def test_functions_of_r_have_the_defaults_of_python(page, argument):
    function, name = SAME[page][argument]
    place = usage(MAN / page, {"MapSysVI.Rd": "MapSysVI.Seurat"}.get(page, page[:-3]))
    assert literal(place[argument]) == default(function, name)


def test_seeds_of_the_search_are_those_of_python():
    first, last = written("TuneSysVI.Rd")["seeds"].split(":")
    assert tuple(range(int(first), int(last) + 1)) == tuple(default(scs.tune.grid, "seeds"))
