# Training inside R against training in plain Python: the same cells, genes, seed and epochs; and
# the wait for the first epoch in a fresh R.
#   Rscript benchmarks/r_against_python.R [EPOCHS]         # both
#   Rscript benchmarks/r_against_python.R [EPOCHS] first   # the first epoch alone
# Set OMP_NUM_THREADS and OMP_WAIT_POLICY=passive as for the work itself. Uses the pancreas cells if
# their data package is installed, else simulated ones.

suppressPackageStartupMessages({
  library(scsystems)
  library(SingleCellExperiment)
})
arguments <- commandArgs(trailingOnly = TRUE)
numbers <- grep("^[0-9]+$", arguments, value = TRUE)
epochs <- if (length(numbers)) as.integer(numbers[[1]]) else 20L

scs <- scsystems_python()
# numba, which prepares the cells, sets the threads that torch has, too
threads <- reticulate::import("torch", convert = FALSE)$get_num_threads()
adata <- tryCatch(scs$datasets$pancreas(), error = function(e) scs$datasets$simulated(n_cells = 4000L))
values <- reticulate::import("scsystems.r.values", convert = FALSE)
as_sce <- function(adata, assay) {
  matrix <- scsystems:::matrix_from_parts(reticulate::py_to_r(values$matrix_to_parts(adata$X)))
  dimnames(matrix) <- list(reticulate::py_to_r(adata$var_names$tolist()),
                           reticulate::py_to_r(adata$obs_names$tolist()))
  column <- function(name) reticulate::py_to_r(adata$obs[[name]]$astype("str")$tolist())
  SingleCellExperiment(stats::setNames(list(matrix), assay),
                       colData = DataFrame(species = column("species"), donor = column("donor")))
}

# From the first call in a fresh R, which starts Python, to the end of the first epoch. What users
# wait for before the call, R's own packages, is told apart.
counts <- tempfile(fileext = ".rds")
saveRDS(as_sce(adata, "counts"), counts)
first <- sprintf('
begin <- proc.time()
suppressPackageStartupMessages({ library(scsystems); library(SingleCellExperiment) })
sce <- readRDS("%s")
loaded <- proc.time()
said <- function(...) {
  time <- proc.time() - loaded
  cat(time[["elapsed"]], sum(time[-3]), (loaded - begin)[["elapsed"]], "\\n")
}
invisible(RunSysVI(sce, "species", "donor", max.epochs = 1, device = "cpu", verbose = FALSE,
                   model.dir = tempfile(), control = sysvi_options(train = list(callbacks = said))))
', counts)
fresh <- tempfile(fileext = ".R")
writeLines(first, fresh)
in_fresh_r <- function() {
  load <- strsplit(system2("uptime", stdout = TRUE), "average: ?")[[1]][[2]]
  out <- system2(file.path(R.home("bin"), "Rscript"), fresh, stdout = TRUE)
  c(stats::setNames(as.numeric(strsplit(out[[1]], " ")[[1]]), c("wall", "cpu", "packages before")),
    load = as.numeric(sub(",.*", "", load)))
}
cat("From RunSysVI() in a fresh R to the end of the first epoch, seconds:\n")
print(t(replicate(3, in_fresh_r())), digits = 4)
if ("first" %in% arguments) quit()

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

sce <- as_sce(adata, "logcounts")
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
