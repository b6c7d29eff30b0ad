"""Ctrl-C while R trains: what was learned is kept and the session goes on."""

import os
import signal
import subprocess
import threading

CODE = """
suppressPackageStartupMessages(library(SingleCellExperiment))
set.seed(1)
counts <- matrix(rpois(60 * 200, 3), 60,
                 dimnames = list(paste0("gene", 1:60), paste0("cell", 1:200)))
sce <- SingleCellExperiment(list(counts = counts), colData = DataFrame(species = rep(c("a", "b"), 100)))
ready <- function(epoch, ...) if (epoch == 5) cat("training\\n")
result <- scsystems::RunSysVI(sce, "species", features = rownames(sce), max.epochs = 100000,
  VERBOSE
  control = scsystems::sysvi_options(n_hidden = 16, train = list(callbacks = ready)))
history <- scsystems::TrainingHistory(result)
cat("interrupted:", history$interrupted, "\\n")
cat("epochs:", nrow(history$metrics) >= 5 && nrow(history$metrics) < 100000, "\\n")
cat("embedding:", all(is.finite(reducedDim(result, "SYSVI"))), "\\n")
cat("goes on:", scsystems:::looks_like_counts(counts), "\\n")
"""


def interrupt(library, r_environment, tmp_path, verbose):
    script = tmp_path / "script.R"
    script.write_text(CODE.replace("VERBOSE", f"verbose = {verbose},"))
    libraries = os.pathsep.join([str(library), *filter(None, [os.environ.get("R_LIBS")])])
    r = subprocess.Popen(
        ["Rscript", str(script)],
        cwd=tmp_path,
        env={**r_environment, "R_LIBS": libraries, "R_USER_DATA_DIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    limit = threading.Timer(120, r.kill)
    limit.start()
    try:
        for line in r.stdout:
            if line.startswith("training"):
                break
        # Rscript replaces itself by R: the signal reaches the session
        r.send_signal(signal.SIGINT)
        out, err = r.communicate()
    finally:
        limit.cancel()
    assert r.returncode == 0, err
    return out, err


def test_what_was_learned_is_kept(library, r_environment, tmp_path):
    out, err = interrupt(library, r_environment, tmp_path, "FALSE")
    for expected in ("interrupted: TRUE", "epochs: TRUE", "embedding: TRUE", "goes on: TRUE"):
        assert expected in out, err
    assert "interrupted" in err


def test_it_is_kept_with_progress_shown(library, r_environment, tmp_path):
    out, err = interrupt(library, r_environment, tmp_path, "TRUE")
    for expected in ("interrupted: TRUE", "epochs: TRUE", "embedding: TRUE"):
        assert expected in out, err
