#' What an object knows of its integration
#'
#' `TrainingHistory()` gives what was measured during training, `ModelPath()` the folder the trained
#' model was saved in.
#'
#' @param object A Seurat object, a DimReduc, a SingleCellExperiment or an AnnData that
#'   [RunSysVI()] has written to, or what [RunScSpecies()] returned or has written to.
#' @param name Name of the reduction; `NULL` for the only (or last) one that was made here.
#' @param ... Passed on to methods.
#'
#' @return `TrainingHistory()`: a [sysvi_history], or a [scspecies_history]. `ModelPath()`: a path.
#' @export
#' @examplesIf scsystems_ready() && rlang::is_installed("SeuratObject")
#' \dontshow{options(scsystems.model.dir = tempfile("models"))}
#' # two epochs are for a page that builds quickly: leave max.epochs out
#' object <- RunSysVI(simulated_cells(), system = "species", covariates = "donor", max.epochs = 2)
#' TrainingHistory(object)
#' ModelPath(object, "sysvi")
TrainingHistory <- function(object, name = NULL, ...) {
  find_record(model_records(object), name)$history
}

#' @rdname TrainingHistory
#' @export
ModelPath <- function(object, name = NULL, ...) {
  find_record(model_records(object), name)$model
}

find_record <- function(records, name, method = "sysVI", call = caller_env()) {
  check_string(name, "name", null = TRUE, call = call)
  if (!length(records)) {
    abort_input(c("The object holds no integration by {method}.",
                  i = "{.fn {if (method == 'scSpecies') 'RunScSpecies' else 'RunSysVI'}} makes one."),
                call = call)
  }
  if (is.null(name)) return(records[[length(records)]])
  if (!name %in% names(records)) {
    abort_input(c("{.arg name}: no integration called {.val {name}}.",
                  i = "The object has {.val {names(records)}}."), call = call)
  }
  records[[name]]
}

# Those of sysVI alone: its functions cannot read the models of scSpecies.
sysvi_records <- function(object) {
  Filter(function(record) !identical(record$method, "scspecies"), model_records(object))
}

# All records of an object, named by reduction.
model_records <- function(object) {
  if (inherits(object, "scspecies")) {
    record <- c(object[c("model", "history")], method = "scspecies")
    records <- stats::setNames(list(record), object$reduction)
  } else if (is(object, "Seurat")) {
    names <- SeuratObject::Reductions(object)
    records <- lapply(names, function(name) reduction_record(object[[name]]))
    records <- stats::setNames(records, names)
  } else if (is(object, "DimReduc")) {
    records <- list(reduction_record(object))
    names(records) <- "reduction"
  } else if (is(object, "SingleCellExperiment")) {
    records <- S4Vectors::metadata(object)$scsystems
    records <- records[intersect(names(records), SingleCellExperiment::reducedDimNames(object))]
  } else if (inherits(object, "anndata._core.anndata.AnnData")) {
    records <- anndata_records(object)
  } else {
    records <- list()
  }
  records[!vapply(records, is.null, logical(1))]
}

reduction_record <- function(reduction) methods::slot(reduction, "misc")$scsystems
