# One object of all species: shared orthologs under the context's names, and the reduction.

merge_species <- function(result, sources, call = caller_env()) {
  objects <- species_list(result)
  names <- names(objects)
  cells <- lapply(sources, function(source) colnames(source$get(source$layer)))
  clash <- anyDuplicated(unlist(cells)) > 0
  counts <- data <- obs <- embeddings <- list()
  for (name in names) {
    all <- species_counts(sources[[name]], name, call = call)
    label <- if (clash) paste(name, colnames(all), sep = "_") else colnames(all)
    part <- all[result$genes[[name]], , drop = FALSE]
    if (is.matrix(part)) part <- as(part, "CsparseMatrix")
    dimnames(part) <- list(result$genes[[names[[1]]]], label)
    counts[[name]] <- part
    data[[name]] <- normalized(part, colSums(all))
    embedding <- species_embedding(objects[[name]], result$reduction)
    embeddings[[name]] <- embedding[colnames(all), , drop = FALSE]
    rownames(embeddings[[name]]) <- label
    obs[[name]] <- merged_metadata(objects[[name]], name, result, colnames(all), label)
  }
  counts <- do.call(cbind, unname(counts))
  data <- do.call(cbind, unname(data))
  obs <- bind_columns(obs)
  obs$species <- factor(obs$species, levels = names)
  shared <- list(embedding = do.call(rbind, unname(embeddings)),
                 record = new_record(result[c("model", "made")], result$history,
                                     rownames(counts), NULL, method = "scspecies"))
  if (is(objects[[1]], "Seurat")) merged_seurat(counts, data, obs, shared, result$reduction)
  else merged_sce(counts, data, obs, shared, result$reduction)
}

# All objects by species, the context first.
species_list <- function(result) {
  stats::setNames(c(list(result$context), result$targets), result$species)
}

species_embedding <- function(object, name) {
  if (is(object, "Seurat")) SeuratObject::Embeddings(object, name)
  else SingleCellExperiment::reducedDim(object, name)
}

# log1p of counts scaled to a total per cell.
normalized <- function(counts, totals, target_sum = 1e4) {
  scale <- ifelse(totals > 0, target_sum / totals, 0)
  counts@x <- log1p(counts@x * rep(scale, diff(counts@p)))
  counts
}

merged_metadata <- function(object, species, result, cells, label) {
  obs <- cells_source(object, result$assays[[species]])$obs[cells, , drop = FALSE]
  obs <- obs[!vapply(obs, is_nested, NA)]
  rownames(obs) <- label
  obs$species <- species
  if (species == result$species[[1]]) {
    obs[[species_columns(result$labels)[["label"]]]] <- as.character(obs[[result$labels]])
  }
  obs
}

# Rows of all, columns of any; factors become text where they meet.
bind_columns <- function(frames) {
  columns <- unique(unlist(lapply(frames, colnames)))
  filled <- lapply(frames, function(frame) {
    for (column in columns) {
      values <- frame[[column]]
      frame[[column]] <- if (is.null(values)) NA else if (is.factor(values)) as.character(values)
                         else values
    }
    frame[columns]
  })
  do.call(rbind, unname(filled))
}

merged_seurat <- function(counts, data, obs, shared, name) {
  object <- set_data(SeuratObject::CreateSeuratObject(counts, meta.data = obs), data)
  assay <- SeuratObject::DefaultAssay(object)
  object[[name]] <- make_reduction(shared, assay, choose_key(object, name, NULL))
  object
}

# A Seurat object with log-normalized values in its default assay.
set_data <- function(object, data) {
  if (utils::packageVersion("SeuratObject") >= "5") {
    return(SeuratObject::SetAssayData(object, layer = "data", new.data = data))
  }
  SeuratObject::SetAssayData(object, slot = "data", new.data = data)
}

merged_sce <- function(counts, data, obs, shared, name) {
  object <- SingleCellExperiment::SingleCellExperiment(
    list(counts = counts, logcounts = data),
    colData = S4Vectors::DataFrame(obs, check.names = FALSE)
  )
  add_reduced_dim(object, name, shared)
}
