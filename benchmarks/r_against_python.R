# Training inside R against training in plain Python: the same cells, genes, seed and epochs.
#   Rscript benchmarks/r_against_python.R [EPOCHS]
# Set OMP_NUM_THREADS and OMP_WAIT_POLICY=passive as for the work itself. Uses the pancreas cells if
# their data package is installed, else simulated ones.

suppressPackageStartupMessages({
  library(scsystems)
  library(SingleCellExperiment)
})
arguments <- commandArgs(trailingOnly = TRUE)
epochs <- if (length(arguments)) as.integer(arguments[[1]]) else 20L

scs <- scsystems_python()
# numba, which prepares the cells, sets the threads that torch has, too
threads <- reticulate::import("torch", convert = FALSE)$get_num_threads()
adata <- tryCatch(scs$datasets$pancreas(), error = function(e) scs$datasets$simulated(n_cells = 4000L))
adata <- scs$pp$prepare(adata, system_key = "species", batch_key = "donor", n_top_genes = 3000L)
torch <- reticulate::import("torch", convert = FALSE)
torch$set_num_threads(threads)
file <- tempfile(fileext = ".h5ad")
adata$write_h5ad(file)

plain <- '
import sys, time
import anndata, torch
import scsystems as scs
adata = anndata.read_h5ad(sys.argv[1])
wall, cpu = time.perf_counter(), time.process_time()
scs.SysVI.setup_anndata(adata, batch_key="species", categorical_covariate_keys=["donor"])
model = scs.SysVI(adata, seed=42)
model.train(max_epochs=int(sys.argv[2]), accelerator="cpu", seed=42, verbose=False)
model.get_latent_representation()
print(time.perf_counter() - wall, time.process_time() - cpu, float(model.history["train_loss"].iloc[-1, 0]),
      torch.get_num_threads())
'
script <- tempfile(fileext = ".py")
writeLines(plain, script)
in_python <- function() {
  out <- system2(reticulate::py_config()$python, c(script, file, epochs), stdout = TRUE,
                 env = c("LD_LIBRARY_PATH=", paste0("PYTHONPATH=", system.file("python", package = "scsystems"))))
  stats::setNames(as.numeric(strsplit(utils::tail(out, 1), " ")[[1]]), c("wall", "cpu", "loss", "threads"))
}

values <- reticulate::import("scsystems.r.values", convert = FALSE)
logcounts <- scsystems:::matrix_from_parts(reticulate::py_to_r(values$matrix_to_parts(adata$X)))
dimnames(logcounts) <- list(reticulate::py_to_r(adata$var_names$tolist()),
                            reticulate::py_to_r(adata$obs_names$tolist()))
column <- function(name) reticulate::py_to_r(adata$obs[[name]]$astype("str")$tolist())
sce <- SingleCellExperiment(list(logcounts = logcounts),
                            colData = DataFrame(species = column("species"), donor = column("donor")))
in_r <- function() {
  time <- system.time(result <- RunSysVI(
    sce, "species", "donor", features = rownames(sce), max.epochs = epochs, device = "cpu",
    verbose = FALSE, model.dir = tempfile()
  ))
  c(wall = time[["elapsed"]], cpu = sum(time[c("user.self", "sys.self")]),
    loss = utils::tail(TrainingHistory(result)$metrics$train_loss, 1),
    threads = reticulate::py_to_r(torch$get_num_threads()))
}

cat(ncol(sce), "cells x", nrow(sce), "genes,", epochs, "epochs; seconds\n")
# the first of each pays for loading; turn and turn about, so that a busy machine is fair to both
invisible(in_r())
table <- rbind(Python = in_python(), R = in_r(), Python = in_python(), R = in_r())
print(table, digits = 4)
