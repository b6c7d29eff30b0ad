"""The command line on files of R: R makes the objects, and R looks at what came back."""

import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import scsystems

ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
    "PYTHONPATH": str(Path(scsystems.__file__).parents[1]),
}

MAKE = """
suppressMessages({library(Seurat); library(SingleCellExperiment)})
set.seed(1); genes <- 60; n <- 120
species <- rep(c("human", "mouse"), n / 2)
type <- sample(c("a", "b", "c"), n, TRUE)
by_type <- exp(matrix(rnorm(genes * 3), genes))[, match(type, c("a", "b", "c"))]
by_species <- exp(matrix(rnorm(genes * 2, 0, .5), genes))[, match(species, c("human", "mouse"))]
counts <- matrix(rpois(genes * n, 3 * by_type * by_species), genes)
dimnames(counts) <- list(paste0("g", 1:genes), paste0("c", 1:n))
counts <- Matrix::Matrix(counts, sparse = TRUE)
cells <- data.frame(species = factor(species), donor = paste0(species, rep(1:3, each = 2, length.out = n)),
                    cell_type = type, score = c(NA, seq_len(n - 1)), flag = c(NA, rep(TRUE, n - 1)),
                    row.names = colnames(counts))
object <- CreateSeuratObject(counts, meta.data = cells)
object <- NormalizeData(object, verbose = FALSE)
object@misc$note <- "mine"
saveRDS(object, "seurat.rds")
sce <- SingleCellExperiment(list(counts = counts, dense = as.matrix(counts)), colData = cells)
reducedDim(sce, "PCA") <- matrix(rnorm(n * 3), n)
metadata(sce)$note <- "mine"
saveRDS(sce, "sce.rds")
saveRDS(1:3, "numbers.rds")
write.csv(as.matrix(counts), "counts.csv"); write.csv(reducedDim(sce, "PCA"), "pca.csv")
"""


# one Python process runs all commands: loading Seurat takes seconds, and R starts once only
COMMANDS = """
import contextlib, io, json, sys
from scsystems.cli import main
results = {}
for name, arguments in json.load(open("commands.json")).items():
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    results[name] = [code, out.getvalue(), err.getvalue()]
json.dump(results, open("results.json", "w"))
"""

OPTIONS = ["--system", "species", "--covariates", "donor", "--epochs", "2", "--dims", "4"]
RUNS = {
    "seurat": ["sysvi", "seurat.rds", "seurat2.rds", *OPTIONS],
    "again": [
        "sysvi",
        "seurat2.rds",
        "seurat3.rds",
        *OPTIONS,
        "--name",
        "sys.vi",
        "--layer",
        "data",
    ],
    "sce": ["sysvi", "sce.rds", "sce2.rds", *OPTIONS, "--layer", "dense"],
    "info": ["info", "sce2.rds"],
    "scspecies": [
        *("scspecies", "aligned", "--context", "a=sce.rds", "--targets", "b=seurat.rds"),
        *("--labels", "cell_type", "--orthologs", "pairs.tsv", "--epochs", "1"),
    ],
}
FAILURES = {
    "class integer. Expected a Seurat or a SingleCellExperiment": ["info", "numbers.rds"],
    "does not exist": ["info", "none.rds"],
    "--system lane": ["sysvi", "seurat.rds", "x.rds", "--system", "lane"],
    "no assay 'ADT'": ["sysvi", "seurat.rds", "x.rds", "--system", "species", "--assay", "ADT"],
    "no assay 'logs'": ["sysvi", "sce.rds", "x.rds", "--system", "species", "--layer", "logs"],
    "same kind of object": ["sysvi", "sce.rds", "x.h5ad", "--system", "species"],
}

LOOK = """
suppressMessages({library(Seurat); library(SingleCellExperiment)})
a <- readRDS("seurat.rds"); b <- readRDS("seurat2.rds")
stopifnot(is(b, "Seurat"), identical(Reductions(b), "sysvi"))
e <- Embeddings(b, "sysvi")
stopifnot(identical(dim(e), c(120L, 4L)), identical(rownames(e), colnames(a)),
          identical(colnames(e), paste0("sysvi_", 1:4)), Key(b[["sysvi"]]) == "sysvi_",
          DefaultAssay(b[["sysvi"]]) == "RNA", sd(e) > 0)
b[["sysvi"]] <- NULL
stopifnot(identical(a[[]], b[[]]), identical(b@misc$note, "mine"),
          identical(GetAssayData(a), GetAssayData(b)))
# keys differ although the names look alike
stopifnot(identical(unname(unlist(Key(readRDS("seurat3.rds")))), c("rna_", "sysvi_", "sysvix_")))

a <- readRDS("sce.rds"); b <- readRDS("sce2.rds")
stopifnot(identical(reducedDimNames(b), c("PCA", "SYSVI")))
e <- reducedDim(b, "SYSVI")
stopifnot(identical(dim(e), c(120L, 4L)), identical(rownames(e), colnames(a)), sd(e) > 0)
reducedDim(b, "SYSVI") <- NULL
stopifnot(identical(counts(a), counts(b)), identical(colData(a), colData(b)),
          identical(metadata(b)$note, "mine"))

a <- readRDS("aligned/a.rds"); b <- readRDS("aligned/b.rds")
stopifnot(identical(reducedDimNames(a), c("PCA", "SCSPECIES")), identical(Reductions(b), "scspecies"),
          is.factor(b$predicted.cell_type), all(b$predicted.cell_type %in% c("a", "b", "c")),
          all(b$predicted.cell_type.confidence <= 1), is.logical(b$predicted.cell_type.novel),
          all(is.finite(b$predicted.cell_type.novelty)))
"""

# also in a process of its own
READ = """
import numpy as np, pandas as pd
from scsystems.r.rds import RdsFile
for name in ("seurat.rds", "sce.rds"):
    adata = RdsFile(name).adata
    counts = pd.read_csv("counts.csv", index_col=0)
    assert list(adata.obs_names) == list(counts.columns)
    assert list(adata.var_names) == list(counts.index)
    np.testing.assert_array_equal(adata.X.toarray(), counts.T.to_numpy())
    obs = adata.obs
    assert obs["species"].cat.categories.tolist() == ["human", "mouse"]
    assert np.isnan(obs["score"].iloc[0]) and obs["score"].iloc[5] == 5
    assert obs["flag"].isna().sum() == 1 and obs["flag"].iloc[1] == True
    assert obs["donor"].iloc[1] == "mouse1"
np.testing.assert_allclose(adata.obsm["PCA"], pd.read_csv("pca.csv", index_col=0))
"""


def process(folder, *command):
    done = subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """R's objects, and what the commands made of them."""
    assert shutil.which("Rscript"), "these tests need R with Seurat and SingleCellExperiment"
    path = tmp_path_factory.mktemp("rds")
    process(path, "Rscript", "--vanilla", "-e", MAKE)
    pairs = "a\tb\n" + "".join(f"g{i}\tg{i}\n" for i in range(1, 61))
    (path / "pairs.tsv").write_text(pairs)
    (path / "commands.json").write_text(json.dumps({**RUNS, **FAILURES}))
    process(path, sys.executable, "-c", COMMANDS)
    return path


@pytest.fixture(scope="module")
def results(folder):
    """Exit code, output and messages of every command."""
    return json.loads((folder / "results.json").read_text())


@pytest.mark.parametrize("name", RUNS)
def test_commands_go_through(results, name):
    code, _, messages = results[name]
    assert code == 0, messages


def test_objects_get_an_embedding_and_stay_the_same_otherwise(folder, results):
    process(folder, "Rscript", "--vanilla", "-e", LOOK)


def test_info_describes_the_object(results):
    said = results["info"][1]
    assert "SingleCellExperiment: 120 cells, 60 genes" in said
    assert "PCA (3), SYSVI (4)" in said
    assert "species: category" in said


def test_what_r_holds_is_what_python_reads(folder):
    process(folder, sys.executable, "-c", READ)


@pytest.mark.parametrize("message", FAILURES)
def test_wrong_files_and_names_are_one_clear_message(folder, results, message):
    code, _, said = results[message]
    assert code == 1
    assert message in said
    assert "Traceback" not in said
    assert not (folder / "x.rds").exists()


def test_nothing_temporary_is_left(folder, results):
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]


# what R would do as soon as it looks at the object of the file: make another file
LOOK_AND_RUN = """
x <- readRDS("evil.rds")
invisible(inherits(x, "Seurat"))
"""
LET_THROUGH = """
suppressMessages(library(SingleCellExperiment))
counts <- Matrix::rsparsematrix(20, 10, .5)
saveRDS(SingleCellExperiment(list(counts = counts)), "nameless.rds")
dimnames(counts) <- list(paste0("g", 1:20), paste0("c", 1:10))
sce <- SingleCellExperiment(list(counts = counts))
unused <- function(x, y) function() x
metadata(sce)$function_with_its_arguments <- unused(file.create("pwned"), 1)
metadata(sce)$formula <- local({ delayedAssign("p", file.create("pwned")); y ~ x })
for (how in c("gzip", "bzip2", "xz")) saveRDS(sce, paste0(how, ".rds"), compress = how)
saveRDS(sce, "plain.rds", compress = FALSE)
saveRDS(sce, "v2.rds", version = 2)
"""


def integers(*values):
    return struct.pack(f">{len(values)}i", *values)


def test_code_in_place_of_an_object_is_not_run(tmp_path):
    """CVE-2024-27322: a promise, file.create("pwned"), in the global environment."""

    def word(letters):
        return integers(0x40009, len(letters)) + letters

    call = (
        integers(6, 1) + word(b"file.create") + integers(2, 16, 1) + word(b"pwned") + integers(254)
    )
    promise = integers(5 | 0x400, 253, 252) + call
    stream = b"X\n" + integers(2, 0x40202, 0x20300) + promise
    (tmp_path / "evil.rds").write_bytes(gzip.compress(stream))
    done = subprocess.run(
        ["Rscript", "--vanilla", "-e", LOOK_AND_RUN],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    # it is indeed harmful, unless R refuses it by itself, as from 4.4 on
    assert (tmp_path / "pwned").exists() or "promise" in done.stderr.lower()
    (tmp_path / "pwned").unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "scsystems", "info", "evil.rds"],
        cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "code in place of a value" in done.stderr
    assert not (tmp_path / "pwned").exists()


def test_functions_with_arguments_that_were_never_used_are_no_attack(tmp_path):
    process(tmp_path, "Rscript", "--vanilla", "-e", LET_THROUGH)
    code = "import sys; from scsystems.r.rds import RdsFile; [RdsFile(f) for f in sys.argv[1:]]"
    files = [f"{name}.rds" for name in ("gzip", "bzip2", "xz", "plain", "v2")]
    process(tmp_path, sys.executable, "-c", code, *files)
    assert not (tmp_path / "pwned").exists()
    with pytest.raises(AssertionError, match=r"nameless.rds: the object has no names of genes"):
        process(tmp_path, sys.executable, "-c", code, "nameless.rds")
