# What rds.py asks of R: one function per question, all by R's own accessors.
# Evaluates to a list of functions; nothing is put into the global environment.
local({
  need <- function(package, how) {
    if (!requireNamespace(package, quietly = TRUE)) {
      stop("the R package ", package, " is needed. In R: ", how, call. = FALSE)
    }
  }

  is_seurat <- function(x) inherits(x, "Seurat")
  is_sce <- function(x) methods::is(x, "SingleCellExperiment")

  read <- function(path) {
    x <- readRDS(path)
    if (!isS4(x)) {
      stop("the file holds an object of class ", paste(class(x), collapse = "/"),
           ". Expected a Seurat or a SingleCellExperiment object.", call. = FALSE)
    }
    from <- attr(class(x), "package")
    if (is_seurat(x)) {
      need("SeuratObject", "install.packages('Seurat')")
      x <- SeuratObject::UpdateSeuratObject(x)
    } else if (identical(from, "SingleCellExperiment") || is_sce(x)) {
      need("SingleCellExperiment", "BiocManager::install('SingleCellExperiment')")
    } else {
      stop("the file holds an object of class ", paste(class(x), collapse = "/"),
           ". Expected a Seurat or a SingleCellExperiment object.", call. = FALSE)
    }
    x
  }

  kind <- function(x) if (is_seurat(x)) "Seurat" else "SingleCellExperiment"

  layers_of <- function(x, assay) {
    if (utils::packageVersion("SeuratObject") >= "5.0.0") {
      return(unique(sub("^(counts|data|scale\\.data)\\..*$", "\\1", SeuratObject::Layers(x[[assay]]))))
    }
    found <- c("counts", "data", "scale.data")
    found[vapply(found, function(l) length(methods::slot(x[[assay]], l)) > 0, NA)]
  }

  matrix_of <- function(x, assay, layer, counts_first) {
    order <- function(counts, logs) if (counts_first) c(counts, logs) else c(logs, counts)
    if (is_seurat(x)) {
      if (is.null(assay)) assay <- SeuratObject::DefaultAssay(x)
      if (!assay %in% SeuratObject::Assays(x)) {
        stop("there is no assay '", assay, "'. Found: ",
             paste(SeuratObject::Assays(x), collapse = ", "), call. = FALSE)
      }
      found <- layers_of(x, assay)
      if (is.null(layer)) layer <- intersect(order("counts", "data"), found)[1]
      if (!layer %in% found) {
        stop("there is no layer '", layer, "' in assay '", assay, "'. Found: ",
             paste(found, collapse = ", "), call. = FALSE)
      }
      if (utils::packageVersion("SeuratObject") >= "5.0.0") {
        part <- x[[assay]]
        # a copy is joined; the object that is written back keeps its split layers
        if (inherits(part, "StdAssay")) part <- SeuratObject::JoinLayers(part)
        m <- SeuratObject::LayerData(part, layer = layer)
      } else {
        m <- SeuratObject::GetAssayData(x, slot = layer, assay = assay)
      }
    } else {
      if (!is.null(assay)) x <- SingleCellExperiment::swapAltExp(x, assay)
      found <- SummarizedExperiment::assayNames(x)
      if (is.null(layer)) layer <- intersect(c(order("counts", "logcounts"), found), found)[1]
      if (!layer %in% found) {
        stop("there is no assay '", layer, "'. Found: ", paste(found, collapse = ", "),
             call. = FALSE)
      }
      m <- SummarizedExperiment::assay(x, layer)
    }
    names <- dimnames(m)
    if (is.null(names[[1]]) || is.null(names[[2]])) {
      stop("the object has no names of ", if (is.null(names[[1]])) "genes" else "cells",
           ". In R: set rownames() and colnames() of the object, and save it again.", call. = FALSE)
    }
    m <- methods::as(m, "CsparseMatrix")
    m <- methods::as(methods::as(m, "dMatrix"), "generalMatrix")
    list(matrix = m, genes = names[[1]], cells = names[[2]], layer = layer)
  }

  column <- function(v) {
    if (is.factor(v)) return(list(type = "factor", values = as.integer(v), levels = levels(v)))
    if (is.character(v)) {
      f <- factor(v)
      return(list(type = "text", values = as.integer(f), levels = levels(f)))
    }
    if (is.logical(v)) return(list(type = "logical", values = as.integer(v)))
    if (is.numeric(v)) return(list(type = "number", values = as.double(v)))
    NULL
  }

  cell_data <- function(x) {
    frame <- if (is_seurat(x)) x[[]] else as.data.frame(SummarizedExperiment::colData(x))
    Filter(Negate(is.null), lapply(frame, column))
  }

  embeddings <- function(x) {
    if (is_seurat(x)) {
      names <- SeuratObject::Reductions(x)
      found <- lapply(names, function(n) SeuratObject::Embeddings(x, reduction = n))
    } else {
      names <- SingleCellExperiment::reducedDimNames(x)
      found <- lapply(names, function(n) as.matrix(SingleCellExperiment::reducedDim(x, n)))
    }
    names(found) <- names
    whole <- vapply(found, function(m) is.numeric(m) && nrow(m) == ncol(x), NA)
    found[whole]
  }

  add_embedding <- function(x, values, name, assay) {
    rownames(values) <- colnames(x)
    if (!is_seurat(x)) {
      colnames(values) <- paste0(name, "_", seq_len(ncol(values)))
      SingleCellExperiment::reducedDim(x, name) <- values
      return(x)
    }
    if (is.null(assay)) assay <- SeuratObject::DefaultAssay(x)
    # two keys alike would make Seurat's plots ignore `reduction`
    keys <- SeuratObject::Key(x)
    key <- paste0(gsub("[^A-Za-z0-9]", "", name), "_")
    while (key %in% keys[names(keys) != name]) key <- sub("_$", "x_", key)
    colnames(values) <- paste0(key, seq_len(ncol(values)))
    x[[name]] <- SeuratObject::CreateDimReducObject(embeddings = values, key = key, assay = assay)
    x
  }

  add_column <- function(x, values, name) {
    if (is.character(values)) values <- factor(values)
    x[[name]] <- values
    x
  }

  list(read = read, kind = kind, matrix_of = matrix_of, cell_data = cell_data,
       embeddings = embeddings, add_embedding = add_embedding, add_column = add_column,
       write = function(x, path) saveRDS(x, path))
})
