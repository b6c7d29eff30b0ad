# Small simulated data: two systems, two cell types, counts of genes x cells.

simulated_counts <- function(cells = 40, genes = 60, seed = 1) {
  set.seed(seed)
  n <- 2 * cells
  type <- rep(c("alpha", "beta"), length.out = n)
  system <- rep(c("human", "mouse"), each = cells)
  rate <- matrix(stats::rgamma(genes, 2), genes, n)
  rate[1:10, type == "alpha"] <- rate[1:10, type == "alpha"] * 6
  rate[11:20, type == "beta"] <- rate[11:20, type == "beta"] * 6
  rate[21:40, system == "mouse"] <- rate[21:40, system == "mouse"] * 3
  counts <- matrix(stats::rpois(genes * n, rate), genes, n,
                   dimnames = list(paste0("gene", seq_len(genes)), paste0("cell", seq_len(n))))
  list(
    counts = methods::as(counts, "CsparseMatrix"),
    obs = data.frame(
      species = factor(system), donor = rep(c("d1", "d2", "d3", "d4"), each = cells / 2),
      cell_type = type, percent = stats::runif(n), row.names = colnames(counts)
    )
  )
}

log_normalized <- function(counts, target = 1e4) {
  scale <- target / Matrix::colSums(counts)
  counts@x <- log1p(counts@x * rep(scale, diff(counts@p)))
  counts
}

seurat_object <- function(normalize = TRUE, ...) {
  data <- simulated_counts(...)
  object <- SeuratObject::CreateSeuratObject(data$counts, meta.data = data$obs)
  if (normalize) object <- Seurat::NormalizeData(object, verbose = FALSE)
  object
}

sce_object <- function(...) {
  data <- simulated_counts(...)
  SingleCellExperiment::SingleCellExperiment(
    list(counts = data$counts, logcounts = log_normalized(data$counts)), colData = data$obs
  )
}

anndata_object <- function(counts = FALSE, ...) {
  data <- simulated_counts(...)
  matrix <- if (counts) data$counts else log_normalized(data$counts)
  scsystems:::call_bridge(
    "make_anndata", matrix = scsystems:::matrix_to_parts(matrix),
    obs = scsystems:::frame_to_parts(data$obs),
    cells = scsystems:::text_list(colnames(matrix)), genes = scsystems:::text_list(rownames(matrix))
  )
}

# Training as short as it can be, on all genes.
small_options <- function(...) sysvi_options(..., n_hidden = 16, batch_size = 40)
all_genes <- paste0("gene", 1:60)
# what two ways of normalizing differ by after training: single precision here, double there, and
# Adam enlarges what differs in small gradients (1e-4); a total that is 1% off makes 5e-3
rounding <- 1e-3
quick <- function(object, ..., features = all_genes, max.epochs = 2, verbose = FALSE,
                  control = small_options()) {
  RunSysVI(object, "species", ..., features = features, max.epochs = max.epochs,
           verbose = verbose, control = control, dims = 4)
}

# What is said while code runs, and its value.
said_by <- function(code) {
  said <- character()
  value <- withCallingHandlers(code, message = function(m) {
    said <<- c(said, conditionMessage(m))
    invokeRestart("muffleMessage")
  })
  list(value = value, said = gsub("\\s+", " ", paste(said, collapse = " ")))
}

# Cells by their numbers, whatever the class.
embedding_of <- function(object, name = NULL) {
  if (is(object, "Seurat")) {
    embedding <- SeuratObject::Embeddings(object, if (is.null(name)) "sysvi" else name)
    return(unname(embedding[paste0("cell", seq_len(ncol(object))), ]))
  }
  if (is(object, "SingleCellExperiment")) {
    return(unname(SingleCellExperiment::reducedDim(object, if (is.null(name)) 1 else name)))
  }
  name <- if (is.null(name)) "X_sysvi" else name
  unname(reticulate::py_to_r(reticulate::py_get_item(object$obsm, name)))
}
