# Run one comparator from R: needs Seurat (version 4 or 5), Matrix, jsonlite and, by method, limma,
# sva or SingleR with scran (Debian's r-bioc-limma, r-bioc-sva, r-bioc-singler and r-bioc-scran).
#
#     Rscript benchmarks/peers.R METHOD FOLDER OUT.csv SEED
#
# FOLDER holds x.mtx (genes x cells, log-normalized), counts.mtx and obs.csv (system, batch,
# shared_label). Writes the embedding (cells x dimensions) or names of the cells (one column per
# system that is the reference, in the order of the systems' names) and, beside it, OUT.json:
# versions and seconds.

suppressPackageStartupMessages(library(Seurat))
options(Seurat.object.assay.version = "v3")

read_cells <- function(folder) {
  obs <- read.csv(file.path(folder, "obs.csv"), row.names = 1, colClasses = "character")
  counts <- as(Matrix::readMM(file.path(folder, "counts.mtx")), "CsparseMatrix")
  x <- as(Matrix::readMM(file.path(folder, "x.mtx")), "CsparseMatrix")
  names <- list(paste0("g", seq_len(nrow(x))), rownames(obs))
  dimnames(counts) <- dimnames(x) <- names
  object <- CreateSeuratObject(counts, meta.data = obs)
  SetAssayData(object, "data", new.data = x)
}

anchors <- function(folder, reduction) {
  object <- read_cells(folder)
  genes <- rownames(object)
  parts <- SplitObject(object, split.by = "system")
  if (reduction == "rpca") {
    parts <- lapply(parts, function(part) {
      part <- ScaleData(part, features = genes, verbose = FALSE)
      RunPCA(part, features = genes, verbose = FALSE)
    })
  }
  # Seurat's own numbers, as far as the smallest system has cells for them
  smallest <- min(vapply(parts, ncol, 0L))
  found <- FindIntegrationAnchors(
    parts, anchor.features = genes, reduction = reduction, verbose = FALSE
  )
  joint <- IntegrateData(found, k.weight = min(100, smallest - 1), verbose = FALSE)
  joint <- ScaleData(joint, verbose = FALSE)
  joint <- RunPCA(joint, npcs = 30, verbose = FALSE)
  Embeddings(joint, "pca")[colnames(object), ]
}

# expression without the means of samples, which lie within systems; then components of scaled genes
corrected <- function(folder, correct) {
  object <- read_cells(folder)
  x <- correct(as.matrix(GetAssayData(object, "data")), object$batch)
  object <- SetAssayData(object, "data", new.data = as(x, "CsparseMatrix"))
  object <- ScaleData(object, features = rownames(object), verbose = FALSE)
  object <- RunPCA(object, features = rownames(object), npcs = 15, verbose = FALSE)
  Embeddings(object, "pca")
}

names_by_singler <- function(folder) {
  object <- read_cells(folder)
  x <- GetAssayData(object, "data")
  known <- !is.na(object$shared_label) & object$shared_label != ""
  systems <- sort(unique(object$system), method = "radix")
  vapply(systems, function(system) {
    source <- known & object$system == system
    # by Wilcoxon's test, as its manual advises for single cells
    SingleR::SingleR(x, x[, source], object$shared_label[source], de.method = "wilcox")$labels
  }, character(ncol(x)))
}

methods <- list(
  "seurat-cca" = function(folder) anchors(folder, "cca"),
  "seurat-rpca" = function(folder) anchors(folder, "rpca"),
  "limma" = function(folder) {
    corrected(folder, function(x, batch) limma::removeBatchEffect(x, batch = batch))
  },
  "combat" = function(folder) {
    corrected(folder, function(x, batch) sva::ComBat(x, batch))
  },
  "singler" = names_by_singler
)
packages <- c(limma = "limma", combat = "sva", singler = "SingleR")

arguments <- commandArgs(trailingOnly = TRUE)
stopifnot(length(arguments) == 4, arguments[1] %in% names(methods))
set.seed(as.integer(arguments[4]))
time <- proc.time()
embedding <- methods[[arguments[1]]](arguments[2])
time <- proc.time() - time
write.table(embedding, arguments[3], sep = ",", row.names = FALSE, col.names = FALSE)
facts <- list(
  seconds = time[["elapsed"]],
  cpu_seconds = time[["user.self"]] + time[["sys.self"]],
  versions = c(
    list(R = as.character(getRversion())),
    lapply(
      stats::setNames(nm = c("Seurat", na.omit(packages[arguments[1]]))),
      function(package) as.character(packageVersion(package))
    )
  )
)
writeLines(jsonlite::toJSON(facts, auto_unbox = TRUE), sub("csv$", "json", arguments[3]))
