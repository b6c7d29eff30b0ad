#' What an object knows of its integration
#'
#' `TrainingHistory()` gives what was measured during training, `ModelPath()` the folder the trained
#' model was saved in.
#'
#' @param object A Seurat object, a DimReduc, a SingleCellExperiment or an AnnData that
#'   [RunSysVI()] has written to, or what [RunScSpecies()] returned or has written to.
#' @param name Name of the reduction; `NULL` for the only one that was made here, or the one that
#'   was made last.
#'
#' @return `TrainingHistory()`: a [sysvi_history], or a [scspecies_history]. `ModelPath()`: a path.
#' @export
#' @examplesIf scsystems_ready() && rlang::is_installed("SeuratObject")
#' \dontshow{options(scsystems.model.dir = tempfile("models"))}
#' # two epochs are for a page that builds quickly: leave max.epochs out
#' object <- RunSysVI(simulated_cells(), system = "species", covariates = "donor", max.epochs = 2)
#' TrainingHistory(object)
#' ModelPath(object, "sysvi")
TrainingHistory <- function(object, name = NULL) {
  find_record(model_records(object), name)$history
}

#' @rdname TrainingHistory
#' @export
ModelPath <- function(object, name = NULL) {
  find_record(model_records(object), name)$model
}

# What is kept of an integration, in the object and (`input`, `made`) with the model:
#   model     folder of the trained model, NA where it could not be saved
#   history   see history.R
#   features  genes
#   input     where the expression came from and how it was scaled, see expression.R
#   made      when
# `kept` is what keep_model() gave.
new_record <- function(kept, history, features, input, ...) {
  list(model = kept$model, history = history, features = features, input = input,
       made = kept$made, ...)
}

# The record of a name, or the one that was made last; it knows its name.
find_record <- function(records, name, method = "sysVI", call = caller_env()) {
  check_string(name, "name", null = TRUE, call = call)
  if (!length(records)) abort_no_record(method, call = call)
  name <- name %||% newest(records)
  if (!name %in% names(records)) {
    abort_input(c("{.arg name}: no integration called {.val {name}}.",
                  i = "The object has {.val {names(records)}}."), call = call)
  }
  c(records[[name]], name = name)
}

abort_no_record <- function(method, call = caller_env()) {
  run <- if (method == "scSpecies") "RunScSpecies" else "RunSysVI"
  abort_input(c(
    "The object holds no integration by {method}.",
    i = "{.fn {run}} makes one.",
    i = "Objects that were merged or converted forget theirs: give the trained model, {.code model = \"path/to/model\"}; {.fn ModelPath} of the object that was trained says where it is."
  ), call = call)
}

# Records of earlier versions have no time: they count as older than any that has one.
newest <- function(records) {
  made <- vapply(records, function(record) as.double(record$made %||% -Inf), 0)
  names(records)[[max(which(made == max(made)))]]
}

# Those of sysVI alone: its functions cannot read the models of scSpecies.
sysvi_records <- function(object) {
  Filter(function(record) !identical(record$method, "scspecies"), model_records(object))
}

# All records of an object, named by reduction.
model_records <- function(object) {
  if (inherits(object, "scspecies")) {
    record <- list(model = object$model, history = object$history, made = object$made,
                   method = "scspecies")
    records <- stats::setNames(list(record), object$reduction)
  } else if (is(object, "Seurat")) {
    names <- SeuratObject::Reductions(object)
    records <- lapply(names, function(name) reduction_record(object[[name]]))
    records <- stats::setNames(records, names)
  } else if (is(object, "DimReduc")) {
    records <- list(reduction_record(object))
    names(records) <- "reduction"
  } else if (is(object, "SingleCellExperiment")) {
    records <- sce_records(object)
  } else if (inherits(object, "anndata._core.anndata.AnnData")) {
    records <- anndata_records(object)
  } else {
    records <- list()
  }
  records[!vapply(records, is.null, logical(1))]
}

# Objects that were put side by side have the metadata of all of them: what was not made by one
# model belongs to none.
sce_records <- function(object) {
  metadata <- S4Vectors::metadata(object)
  parts <- do.call(c, unname(metadata[names(metadata) == "scsystems"]))
  found <- intersect(names(parts), SingleCellExperiment::reducedDimNames(object))
  records <- lapply(stats::setNames(nm = found), function(name) unique(parts[names(parts) == name]))
  lapply(Filter(function(record) length(record) == 1, records), `[[`, 1)
}

reduction_record <- function(reduction) methods::slot(reduction, "misc")$scsystems
