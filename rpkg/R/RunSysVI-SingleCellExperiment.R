#' @rdname RunSysVI
#' @param name Name of the reducedDim or of the entry of `obsm` that is made.
#' @param assay.type Name of the assay with the log-normalized expression. When it is absent but
#'   there are `"counts"`, these are normalized.
#' @param subset_row Like `features`, in Bioconductor's words: names, positions or a logical vector.
#' @export
RunSysVI.SingleCellExperiment <- function(object, system = "system", covariates = NULL,
                                          features = NULL, name = "SYSVI",
                                          assay.type = "logcounts", subset_row = NULL, dims = 15,
                                          cycle.weight = NULL, max.epochs = NULL, device = "auto",
                                          seed.use = 42, model.dir = NULL, overwrite = FALSE,
                                          verbose = TRUE, control = sysvi_options(), ...) {
  rlang::check_dots_empty()
  rlang::check_installed("SingleCellExperiment")
  settings <- list(
    system = system, covariates = covariates,
    features = sce_features(object, features, subset_row), name = name, dims = dims,
    cycle.weight = cycle.weight, max.epochs = max.epochs, device = device, seed.use = seed.use,
    model.dir = model.dir, overwrite = overwrite, verbose = verbose, control = control
  )
  check_settings(settings)
  check_sce_name(object, name, overwrite)
  data <- sce_data(object, assay.type, settings)
  add_reduced_dim(object, name, fit_sysvi(data, settings))
}

check_sce_name <- function(object, name, overwrite, call = caller_env()) {
  check_string(name, "name", call = call)
  if (name %in% SingleCellExperiment::reducedDimNames(object) && !overwrite) {
    abort_input(c("{.arg name}: the object has a reducedDim {.val {name}} already.",
                  i = "Choose another name, or use {.code overwrite = TRUE}."), call = call)
  }
}

# The reducedDim that is written, with the record of how it came about.
add_reduced_dim <- function(object, name, result) {
  embedding <- result$embedding
  dimnames(embedding) <- list(colnames(object), paste0(name, seq_len(ncol(embedding))))
  SingleCellExperiment::reducedDim(object, name) <- embedding
  S4Vectors::metadata(object)$scsystems[[name]] <- result$record
  object
}

sce_features <- function(object, features, subset_row, call = caller_env()) {
  if (is.null(subset_row)) return(features)
  if (!is.null(features)) {
    abort_input("Give {.arg features} or {.arg subset_row}, not both.", call = call)
  }
  if (is.character(subset_row)) return(subset_row)
  if (is.numeric(subset_row) && any(!subset_row %in% seq_len(nrow(object)))) {
    abort_input(c("{.arg subset_row} has positions beyond the object's {nrow(object)} genes."),
                call = call)
  }
  rownames(object)[subset_row]
}

sce_data <- function(object, assay.type, settings, call = caller_env()) {
  check_string(assay.type, "assay.type", call = call)
  where <- "the object's colData"
  check_names(colnames(object), "cell", "Give every cell a name of its own.", call = call)
  obs <- plain_columns(SummarizedExperiment::colData(object), colnames(object))
  check_system(settings$system, obs, where, call = call)
  check_covariates(settings$covariates, settings$control$continuous_covariates, settings$system,
                   obs, where, call = call)
  check_names(rownames(object), "gene", "Give every gene a name of its own.", call = call)
  check_features(settings$features, rownames(object), call = call)
  found <- SummarizedExperiment::assayNames(object)
  if (!any(c(assay.type, "counts") %in% found)) {
    abort_input(c("{.arg assay.type}: the object has no assay {.val {assay.type}}.",
                  i = "It has {.val {found}}."), call = call)
  }
  data <- log_or_counts(
    function(layer) sce_layer(object, layer),
    wanted = assay.type, counts = "counts", features = settings$features,
    verbose = settings$verbose, where = "the object", call = call
  )
  data$obs <- obs
  data
}

# An assay with the object's names, genes x cells; NULL when there is none.
sce_layer <- function(object, layer) {
  if (!layer %in% SummarizedExperiment::assayNames(object)) return(NULL)
  matrix <- SummarizedExperiment::assay(object, layer, withDimnames = FALSE)
  dimnames(matrix) <- dimnames(object)
  matrix
}
