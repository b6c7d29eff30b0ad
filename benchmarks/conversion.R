# From a Seurat object to Python's AnnData: seconds, and memory in copies of the matrix.
#   Rscript benchmarks/conversion.R [CELLS] [GENES]
# By default 100,000 cells x 20,000 genes, of which 7 per cent are not zero: 1.7 GB in R. The same
# way is taken by RunSysVI(), MapSysVI() and the others. Memory is measured on Linux.

suppressPackageStartupMessages({
  library(scsystems)
  library(SeuratObject)
})
arguments <- as.integer(commandArgs(trailingOnly = TRUE))
cells <- if (length(arguments)) arguments[[1]] else 100000L
genes <- if (length(arguments) > 1) arguments[[2]] else 20000L

# every 14th gene, from another start in every cell
simulated <- function() {
  rows <- seq(0L, genes - 14L, by = 14L)
  matrix <- new("dgCMatrix")
  matrix@i <- rep(rows, cells) + rep(seq_len(cells) %% 14L, each = length(rows))
  matrix@p <- as.integer(seq(0, by = length(rows), length.out = cells + 1))
  matrix@x <- rep_len(stats::rexp(1e5), length(matrix@i))
  matrix@Dim <- c(genes, cells)
  matrix@Dimnames <- list(paste0("gene", seq_len(genes)), paste0("cell", seq_len(cells)))
  matrix
}

# Resident memory of this process in MB, now and at its largest since the last reset.
memory <- function(what) {
  lines <- tryCatch(readLines("/proc/self/status"), error = function(e) character())
  line <- grep(what, lines, value = TRUE)
  if (length(line)) as.double(gsub("\\D", "", line)) / 1024 else NA_real_
}
reset <- function() try(cat("5", file = "/proc/self/clear_refs"), silent = TRUE)

matrix <- simulated()
size <- as.double(utils::object.size(matrix)) / 2^20
obs <- data.frame(
  species = rep_len(c("human", "mouse"), cells), donor = rep_len(paste0("d", 1:10), cells),
  row.names = colnames(matrix)
)
object <- CreateSeuratObject(CreateAssayObject(data = matrix), meta.data = obs)
rm(matrix)
invisible(scsystems_python())
settings <- list(system = "species", covariates = "donor", features = NULL, verbose = FALSE,
                 control = sysvi_options())

for (run in 1:3) {
  invisible(gc())
  before <- memory("VmRSS")
  reset()
  taking <- system.time(data <- scsystems:::seurat_data(object, "RNA", settings))
  sending <- system.time(adata <- scsystems:::send_expression(data, settings))
  cpu <- sum(taking[c("user.self", "sys.self")], sending[c("user.self", "sys.self")])
  taking <- taking[["elapsed"]]
  sending <- sending[["elapsed"]]
  peak <- memory("VmHWM") - before
  stopifnot(identical(unlist(reticulate::py_to_r(adata$shape)), c(cells, genes)))
  rm(data)
  invisible(gc())
  kept <- memory("VmRSS") - before
  cat(sprintf(
    "%s cells x %s genes, %.2f GB in R: %.2f s (%.2f to read and check the layer, %.2f to send), %.2f of CPU; at most %.2f copies more, %.2f kept by Python\n",
    format(cells, big.mark = ","), format(genes, big.mark = ","), size / 1024, taking + sending,
    taking, sending, cpu, peak / size, kept / size
  ))
  rm(adata)
  reticulate::import("gc")$collect()
}
