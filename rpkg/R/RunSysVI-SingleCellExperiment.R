#' @rdname RunSysVI
#' @param name Name of the reducedDim or of the entry of `obsm` that is made.
#' @param assay.type Name of the assay with the log-normalized expression; counts are normalized.
#'   `NULL` for `"logcounts"` or, where there are none, `"counts"`.
#' @param subset_row Like `features`, in Bioconductor's words: names, positions or a logical vector.
#' @export
RunSysVI.SingleCellExperiment <- function(object, system = "system", covariates = NULL,
                                          features = NULL, name = "SYSVI",
                                          assay.type = NULL, subset_row = NULL, dims = 15,
                                          cycle.weight = NULL, max.epochs = NULL, device = "auto",
                                          seed.use = 42, model.dir = NULL, overwrite = FALSE,
                                          verbose = TRUE, control = sysvi_options(), labels = NULL,
                                          unlabeled = NULL, ...) {
  rlang::check_dots_empty()
  rlang::check_installed("SingleCellExperiment")
  settings <- list(
    system = system, covariates = covariates,
    features = sce_features(object, features, subset_row), name = name, dims = dims,
    cycle.weight = cycle.weight, max.epochs = max.epochs, device = device, seed.use = seed.use,
    model.dir = model.dir, overwrite = overwrite, verbose = verbose, control = control,
    labels = labels, unlabeled = unlabeled
  )
  check_settings(settings)
  check_sce_name(object, name, overwrite)
  source <- cells_source(object, assay.type)
  add_reduced_dim(object, name, fit_sysvi(source, settings, "the object's colData"))
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
  for (column in names(result$predictions)) {
    SummarizedExperiment::colData(object)[[column]] <- result$predictions[[column]]
  }
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
