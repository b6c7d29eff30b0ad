"""Ctrl-C while R trains: what was learned is kept and the session goes on."""

import os
import signal
import subprocess
import threading

import pytest

CODE = """
suppressPackageStartupMessages(library(SingleCellExperiment))
set.seed(1)
counts <- matrix(rpois(60 * 200, 3), 60,
                 dimnames = list(paste0("gene", 1:60), paste0("cell", 1:200)))
sce <- SingleCellExperiment(list(counts = counts), colData = DataFrame(species = rep(c("a", "b"), 100)))
ready <- function(epoch, ...) if (epoch == 5) cat("training\\n")
result <- scsystems::RunSysVI(sce, "species", features = rownames(sce), max.epochs = 100000,
  VERBOSE
  control = scsystems::sysvi_options(n_hidden = 16, n_threads = THREADS, train = list(callbacks = ready)))
processes <- system2("ps", c("--ppid", Sys.getpid(), "-o", "comm="), stdout = TRUE)
cat("processes left:", setdiff(processes, c("ps", "sh")), "\\n")
history <- scsystems::TrainingHistory(result)
cat("interrupted:", history$interrupted, "\\n")
cat("epochs:", nrow(history$metrics) >= 5 && nrow(history$metrics) < 100000, "\\n")
cat("embedding:", all(is.finite(reducedDim(result, "SYSVI"))), "\\n")
cat("goes on:", reticulate::py_eval("1 + 1") == 2, "\\n")
"""


TUNE = """
suppressPackageStartupMessages(library(SingleCellExperiment))
set.seed(1)
counts <- matrix(rpois(60 * 200, 3), 60,
                 dimnames = list(paste0("gene", 1:60), paste0("cell", 1:200)))
sce <- SingleCellExperiment(list(counts = counts), colData = DataFrame(
  species = rep(c("a", "b"), 100), type = rep(c("x", "y"), each = 100)))
python <- function() {
  sum(grepl("python", system2("ps", c("--ppid", Sys.getpid(), "-o", "comm="), stdout = TRUE)))
}
ready <- function(m) {
  if (grepl("Run 1 of 2", conditionMessage(m))) cat("processes:", python(), "\\ntraining\\n")
}
tuned <- withCallingHandlers(message = ready, scsystems::TuneSysVI(
  sce, "species", features = rownames(sce), labels = "type", biology.metrics = "label_transfer",
  min.cells = 5, seeds = 1, n.jobs = 2, control = scsystems::sysvi_options(n_hidden = 16),
  grid = list(list(name = "short", max.epochs = 1), list(name = "long", max.epochs = 1e6))))
cat("compared:", tuned$ranking$setting, "\\n")
cat("left:", python(), "\\n")
"""


def interrupt(library, r_environment, tmp_path, code):
    script = tmp_path / "script.R"
    script.write_text(code)
    libraries = os.pathsep.join([str(library), *filter(None, [os.environ.get("R_LIBS")])])
    r = subprocess.Popen(
        ["Rscript", str(script)],
        cwd=tmp_path,
        env={**r_environment, "R_LIBS": libraries, "R_USER_DATA_DIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    limit = threading.Timer(300, r.kill)
    limit.start()
    try:
        seen = []
        for line in r.stdout:
            seen.append(line)
            if line.startswith("training"):
                break
        # Rscript replaces itself by R: the signal reaches the session
        r.send_signal(signal.SIGINT)
        out, err = r.communicate()
    finally:
        limit.cancel()
    assert r.returncode == 0, err
    return "".join(seen) + out, err


def code(verbose, threads="NULL"):
    return CODE.replace("VERBOSE", f"verbose = {verbose},").replace("THREADS", threads)


@pytest.mark.parametrize("threads", ["NULL", "2"])
def test_what_was_learned_is_kept(library, r_environment, tmp_path, threads):
    out, err = interrupt(library, r_environment, tmp_path, code("FALSE", threads))
    for expected in (
        "interrupted: TRUE",
        "epochs: TRUE",
        "embedding: TRUE",
        "processes left:  \n",
        "goes on: TRUE",
    ):
        assert expected in out, err
    assert "interrupted" in err


def test_it_is_kept_with_progress_shown(library, r_environment, tmp_path):
    out, err = interrupt(library, r_environment, tmp_path, code("TRUE"))
    for expected in ("interrupted: TRUE", "epochs: TRUE", "embedding: TRUE"):
        assert expected in out, err


def test_a_search_compares_what_is_finished_and_ends_its_processes(
    library, r_environment, tmp_path
):
    out, err = interrupt(library, r_environment, tmp_path, TUNE)
    for expected in ("processes: 2", "compared: short", "left: 0"):
        assert expected in out, err
    assert "Interrupted: 1 of 2 runs" in err
