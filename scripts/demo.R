# Integrate human and mouse pancreas cells with sysVI, from a Seurat object: `make demo`.
# Writes pictures, a table of integration metrics, the object and the model into demo/.

suppressPackageStartupMessages({
  library(Seurat)
  library(scsystems)
  library(ggplot2)
  library(patchwork)
})

options(Seurat.warn.umap.uwot = FALSE)  # UMAP in R is what is meant
out <- Sys.getenv("SCSYSTEMS_DEMO", "demo")
dir.create(out, showWarnings = FALSE)
started <- Sys.time()
step <- function(text) {
  spent <- as.double(Sys.time() - started, units = "secs")
  cli::cli_h2(sprintf("%s (%d:%02d)", text, spent %/% 60, floor(spent) %% 60))
}

# The Python side that comes with the R package.
scs <- scsystems_python()

# Real cells if their data package is installed, else simulated ones.
example_cells <- function() {
  tryCatch(scs$datasets$pancreas(), error = function(e) {
    cli::cli_alert_warning("No real cells: {conditionMessage(e)}")
    scs$datasets$simulated(n_cells = 3000L)
  })
}

# Counts and metadata of an AnnData as a Seurat object. Cells x genes stored by rows, as Python
# has them, are genes x cells stored by columns, as R wants them: nothing is transposed.
as_seurat <- function(adata) {
  values <- function(x) reticulate::py_to_r(x)
  counts <- Matrix::sparseMatrix(
    i = values(adata$X$indices), p = values(adata$X$indptr), x = as.double(values(adata$X$data)),
    index1 = FALSE, dims = c(values(adata$n_vars), values(adata$n_obs)),
    dimnames = list(values(adata$var_names$to_list()), values(adata$obs_names$to_list()))
  )
  columns <- c("species", "donor", "cell_type")
  metadata <- lapply(setNames(columns, columns), function(column) {
    factor(values(adata$obs[[column]]$astype("str")$to_list()))
  })
  CreateSeuratObject(counts, meta.data = data.frame(metadata, row.names = colnames(counts)))
}

step("Cells")
adata <- example_cells()
obj <- as_seurat(adata)
cli::cli_alert_info(reticulate::py_to_r(adata$uns[["source"]]))
print(table(obj$cell_type, obj$species))

step("Before: principal components and UMAP")
obj <- NormalizeData(obj, verbose = FALSE)
obj <- FindVariableFeatures(obj, verbose = FALSE)
obj <- ScaleData(obj, verbose = FALSE)
obj <- RunPCA(obj, npcs = 15, verbose = FALSE)
obj <- RunUMAP(obj, reduction = "pca", dims = 1:15, reduction.name = "umap.before",
               reduction.key = "before_", umap.method = "uwot", metric = "cosine", verbose = FALSE)

step("sysVI")
epochs <- Sys.getenv("SCSYSTEMS_DEMO_EPOCHS")
obj <- RunSysVI(obj, system = "species", covariates = "donor",
                max.epochs = if (nzchar(epochs)) as.integer(epochs),
                model.dir = file.path(out, "model"), overwrite = TRUE)
print(TrainingHistory(obj))

step("After: UMAP")
obj <- RunUMAP(obj, reduction = "sysvi", dims = 1:15, reduction.name = "umap.after",
               reduction.key = "after_", umap.method = "uwot", metric = "cosine", verbose = FALSE)

colors <- c("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#17becf",
             "#bcbd22", "#7f7f7f", "#aec7e8", "#ffbb78", "#98df8a", "#ff9896", "#c5b0d5", "#c49c94")
picture <- function(reduction, title) {
  panel <- function(column) {
    colors <- rep_len(colors, nlevels(obj[[column]][[1]]))
    DimPlot(obj, reduction = reduction, group.by = column, shuffle = TRUE, pt.size = 0.3,
            cols = colors) +
      labs(title = paste0(title, ", by ", sub("_", " ", column)), x = "UMAP 1", y = "UMAP 2") +
      theme(axis.text = element_blank(), axis.ticks = element_blank())
  }
  panel("species") | panel("cell_type")
}
ggsave(file.path(out, "umap_before.png"), picture("umap.before", "Before"),
       width = 13, height = 5.5, dpi = 120)
ggsave(file.path(out, "umap_after.png"), picture("umap.after", "After"),
       width = 13, height = 5.5, dpi = 120)
ggsave(file.path(out, "umap.png"),
       picture("umap.before", "Before") / picture("umap.after", "After"),
       width = 13, height = 11, dpi = 100)

step("Metrics")
for (name in c("pca", "sysvi")) {
  reticulate::py_set_item(adata$obsm, name, reticulate::r_to_py(unname(Embeddings(obj, name))))
}
scores <- scs$metrics$evaluate(
  adata, embeddings = list("pca", "sysvi"), system_key = "species", label_key = "cell_type",
  metrics = list("ilisi", "kbet", "graph_connectivity", "clisi", "asw_label", "nmi", "jaccard",
                 "label_transfer"),
  verbose = FALSE
)
columns <- c("embedding", "metric", "category", "level", "group", "value")
scores <- data.frame(lapply(setNames(columns, columns), function(column) {
  unlist(reticulate::py_to_r(scores[[column]]$to_list()))
}))
write.csv(scores, file.path(out, "metrics.csv"), row.names = FALSE)
# the averages, and label transfer in both directions; metrics.csv has every cell type
shown <- scores[scores$level == "overall" | grepl("^\\w+ -> \\w+$", scores$group), ]
shown$metric <- trimws(paste(shown$metric, shown$group))
shown <- reshape(shown[c("embedding", "category", "metric", "value")], direction = "wide",
                 idvar = c("category", "metric"), timevar = "embedding")
names(shown) <- c("category", "metric", "before", "after")
print(shown, digits = 2, row.names = FALSE)

saveRDS(obj, file.path(out, "pancreas.rds"))
step("Done")
cli::cli_alert_success("In {.path {out}}: {.file {list.files(out)}}")
