#' Corrected expression
#'
#' Decodes cells from the latent space: expression with noise removed and, with `system`, as if all
#' cells came from one system, or from several, averaged. Values are on the scale of the data that
#' the model was trained on, log-normalized expression (a few may lie slightly below zero). They
#' are the same in every call.
#'
#' @inheritParams MapSysVI
#' @param object A Seurat object or a SingleCellExperiment that fits the model.
#' @param system Systems to decode all cells under, such as `"human"`; of several, the mean.
#'   `NULL` decodes every cell under its own.
#' @param model The trained model: its folder, what [LoadSysVI()] gave, or `NULL` for the one that
#'   `object` was integrated (or mapped) with; of several the one that `name` or `dimred` says, or
#'   else the last.
#' @param features Genes to decode, of those of the model; `NULL` for all of them. The result is a
#'   dense matrix, 8 bytes per cell and gene.
#' @param new.assay Name of the assay that is made.
#' @param assay,assay.type Assay with log-normalized expression or counts; `NULL` for the one that
#'   the model was trained on, or else the default assay (Seurat) or `"logcounts"`.
#' @param name,dimred Name of the reduction whose model is taken; `NULL` for the one made last. In
#'   the method for a SingleCellExperiment `name` is that of the alternative experiment that is made,
#'   and `dimred` chooses the model.
#' @param overwrite Whether an existing assay or alternative experiment of that name may be
#'   replaced.
#' @param verbose Whether to show messages.
#'
#' @return `object` with the values: in an assay called `new.assay`, layer `data` (Seurat), or, as
#'   the model's genes are seldom all of the object's, in assay `"logcounts"` of an alternative
#'   experiment called `name` (SingleCellExperiment).
#' @export
#' @examplesIf scsystems_ready() && rlang::is_installed(c("SeuratObject", "SingleCellExperiment"))
#' \dontshow{options(scsystems.model.dir = tempfile("models"))}
#' # two epochs are for a page that builds quickly: leave max.epochs out
#' object <- RunSysVI(simulated_cells(), system = "species", covariates = "donor", max.epochs = 2)
#' object <- CorrectedExpression(object, system = "human")
#' # Seurat puts the assay's key in front of genes' names
#' key <- SeuratObject::Key(object[["sysvi.expression"]])
#' key
#' head(SeuratObject::FetchData(object, paste0(key, "gene1")))
#'
#' sce <- simulated_cells("SingleCellExperiment")
#' sce <- RunSysVI(sce, system = "species", covariates = "donor", max.epochs = 2)
#' sce <- CorrectedExpression(sce, system = c("human", "mouse"))
#' SingleCellExperiment::altExp(sce, "sysvi.expression")
CorrectedExpression <- function(object, ...) UseMethod("CorrectedExpression")

#' @rdname CorrectedExpression
#' @export
CorrectedExpression.default <- function(object, ...) {
  abort_class(object, "object")
}

#' @rdname CorrectedExpression
#' @export
CorrectedExpression.Seurat <- function(object, system = NULL, model = NULL, features = NULL,
                                       assay = NULL, name = NULL, new.assay = "sysvi.expression",
                                       device = "auto", overwrite = FALSE, verbose = TRUE, ...) {
  rlang::check_dots_empty()
  new.assay <- seurat_name(new.assay, "new.assay", verbose)
  check_flag(overwrite, "overwrite")
  check_string(device, "device")
  taken <- new.assay %in% SeuratObject::Assays(object)
  if (taken && !overwrite) {
    abort_input(c("{.arg new.assay}: the object has an assay {.val {new.assay}} already.",
                  i = "Choose another name, or use {.code overwrite = TRUE}."))
  }
  if (!taken && new.assay %in% names(object)) {
    abort_input(c("{.arg new.assay}: {.val {new.assay}} is the name of another part of the object.",
                  i = "Choose another name."))
  }
  opened <- open_model(model %||% object, name, device, verbose)
  source <- cells_source(object, assay, opened$facts$input)
  assay <- source$assay
  if (assay == new.assay) {
    abort_input("{.arg new.assay}: {.val {new.assay}} is the assay that is read. Choose another name.")
  }
  key <- choose_key(object, new.assay, NULL)
  decoded <- decode_cells(source, opened, system, features, verbose)
  withCallingHandlers(object[[new.assay]] <- new_assay(decoded, key), warning = function(w) {
    # v5 warns that the assay has no counts
    if (grepl("No layers found", conditionMessage(w))) invokeRestart("muffleWarning")
  })
  # Seurat allows no dots in a key, so that it is another name than the assay's
  gene <- paste0(SeuratObject::Key(object[[new.assay]]), rownames(decoded)[[1]])
  inform(verbose, c(i = "Assay {.val {new.assay}} holds corrected expression; Seurat's functions find its genes as {.val {gene}}."))
  if (holds_cells(model)) model <- ModelPath(model)
  log_command(object, "CorrectedExpression")
}

#' @rdname CorrectedExpression
#' @export
CorrectedExpression.SingleCellExperiment <- function(object, system = NULL, model = NULL,
                                                     features = NULL, assay.type = NULL,
                                                     name = "sysvi.expression", dimred = NULL,
                                                     device = "auto", overwrite = FALSE,
                                                     verbose = TRUE, ...) {
  rlang::check_dots_empty()
  check_string(name, "name")
  check_flag(overwrite, "overwrite")
  check_flag(verbose, "verbose")
  check_string(device, "device")
  if (name %in% names(sysvi_records(object))) {
    abort_input(c("{.arg name} is what is made; {.val {name}} is an integration of the object.",
                  i = "To choose its model, use {.code dimred = \"{name}\"}."))
  }
  if (name %in% SingleCellExperiment::altExpNames(object) && !overwrite) {
    abort_input(c("{.arg name}: the object has an alternative experiment {.val {name}} already.",
                  i = "Choose another name, or use {.code overwrite = TRUE}."))
  }
  opened <- open_model(model %||% object, dimred, device, verbose)
  source <- cells_source(object, assay.type, opened$facts$input)
  decoded <- decode_cells(source, opened, system, features, verbose)
  SingleCellExperiment::altExp(object, name) <-
    SingleCellExperiment::SingleCellExperiment(list(logcounts = decoded))
  object
}

# Decoded expression, genes x cells.
decode_cells <- function(source, opened, system, features, verbose, call = caller_env()) {
  facts <- opened$facts
  unknown <- setdiff(as.character(system), facts$systems)
  if (length(unknown)) {
    abort_input(c("{.arg system}: the model has no system {.val {unknown}}.",
                  i = "It has {.val {facts$systems}}."), call = call)
  }
  check_features(features, facts$genes, of = "the model's", call = call)
  adata <- model_cells(source, facts, verbose = verbose, call = call)
  parts <- reticulate::py_to_r(call_bridge(
    "decode", opened$handle, adata,
    systems = if (length(system)) text_list(system),
    genes = if (!is.null(features)) text_list(features), .call = call
  ))
  matrix <- matrix_from_parts(parts)
  cells <- reticulate::py_to_r(call_bridge("describe_anndata", adata, .call = call))$cells
  dimnames(matrix) <- list(as.character(unlist(parts$genes)), as.character(unlist(cells)))
  matrix
}

# An assay of the kind that this version of Seurat makes.
new_assay <- function(data, key) {
  v5 <- utils::packageVersion("SeuratObject") >= "5"
  make <- if (v5) seurat5("CreateAssay5Object") else SeuratObject::CreateAssayObject
  # v5 makes it sparse anyway, with a warning
  assay <- make(data = if (v5) as(data, "CsparseMatrix") else data)
  SeuratObject::Key(assay) <- key
  assay
}
