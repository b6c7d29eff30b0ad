#' Look at a saved model
#'
#' Reads the model that [RunSysVI()] or [MapSysVI()] (or Python) has saved, says what it expects of
#' cells, and checks that an object fits it.
#'
#' @param model Folder of a saved model, or an object that [RunSysVI()] or [MapSysVI()] has written
#'   to.
#' @param object Object that the model has to fit: it needs the model's genes, and no systems and
#'   covariate levels that the model has not seen. `NULL` checks nothing, or, when `model` is an
#'   object, that one.
#' @param name When `model` is an object: name of the reduction, `NULL` for the only (or last) one.
#' @param assay Assay of a Seurat object; `NULL` for the default assay.
#'
#' @return A list of class `sysvi_model`, of plain R values: `path`; `genes`; `system` and `systems`
#'   (the column and its levels); `covariates` (named list of levels); `continuous_covariates`;
#'   `dims`, `prior`, `cells`; and `history`, a [sysvi_history]. It serves as `model` of
#'   [MapSysVI()], [CorrectedExpression()] and [FindSystemMarkers()]. A folder that is missing or
#'   damaged is an error of class `scsystems_model_file_error`, an object that does not fit one of
#'   class `scsystems_input_error`.
#' @export
#' @examplesIf scsystems_ready() && rlang::is_installed("SeuratObject")
#' \dontshow{options(scsystems.model.dir = tempfile("models"))}
#' # two epochs are for a page that builds quickly: leave max.epochs out
#' object <- RunSysVI(simulated_cells(), system = "species", covariates = "donor", max.epochs = 2)
#' LoadSysVI(ModelPath(object))
#' LoadSysVI(ModelPath(object), object = simulated_cells())
#' head(LoadSysVI(object)$genes)
LoadSysVI <- function(model, object = NULL, name = NULL, assay = NULL) {
  loaded <- open_model(model, name)
  checked <- object %||% if (holds_cells(model)) model
  if (!is.null(checked)) {
    source <- cells_source(checked, assay)
    check_fits(loaded$facts, source$genes, source$obs, source$where)
  }
  loaded$facts
}

#' @param x A `sysvi_model`.
#' @param ... Ignored.
#' @rdname LoadSysVI
#' @export
print.sysvi_model <- function(x, ...) {
  line <- function(name, value) cli::cat_line("  ", formatC(name, width = -12), value)
  some <- function(values) {
    tail <- if (length(values) > 6) sprintf(", ... (%d)", length(values)) else ""
    paste0(paste(utils::head(values, 6), collapse = ", "), tail)
  }
  cli::cat_line(cli::format_inline(
    "<sysvi_model> {length(x$genes)} genes, {x$dims} dimensions, prior {x$prior}, trained on {x$cells} cells"
  ))
  line("folder", x$path)
  line("genes", some(x$genes))
  line(x$system, some(x$systems))
  for (column in names(x$covariates)) line(column, some(x$covariates[[column]]))
  for (column in x$continuous_covariates) line(column, "(continuous)")
  line("epochs", nrow(x$history$metrics))
  invisible(x)
}

# A model as Python's handle and as plain R facts. `model` is a folder, what LoadSysVI() gave, or
# an object with the record of one.
open_model <- function(model, name = NULL, device = "cpu", call = caller_env()) {
  record <- NULL
  if (inherits(model, "sysvi_model")) {
    path <- model$path
  } else if (is.character(model)) {
    check_string(model, "model", call = call)
    path <- path.expand(model)
  } else {
    record <- find_record(sysvi_records(model), name, call = call)
    path <- record$model
  }
  if (!is.character(model) && !dir.exists(path)) abort_moved(path, call = call)
  handle <- call_bridge("load_model", path, device = device, .call = call)
  facts <- reticulate::py_to_r(call_bridge("describe_model", handle, .call = call))
  described <- reticulate::py_to_r(call_bridge("describe", handle, .call = call))
  described$device <- facts$trained_on
  history <- record$history %||%
    new_history(described, seconds = NA_real_, seed = facts$seed, cells = facts$cells)
  text <- function(x) as.character(unlist(x))
  columns <- text(facts$covariates)
  list(handle = handle, facts = structure(list(
    path = normalizePath(path), genes = text(facts$genes), system = facts$system,
    systems = text(facts$systems),
    covariates = stats::setNames(lapply(facts$levels, text), columns),
    continuous_covariates = text(facts$continuous), dims = facts$dims, prior = facts$prior,
    cells = facts$cells, history = history
  ), class = "sysvi_model"))
}

# An object remembers a folder that is no longer there.
abort_moved <- function(path, call = caller_env()) {
  cli::cli_abort(c(
    "The trained model is not where the object remembers it: {.path {path}}.",
    i = "If its folder was moved, give the new place: {.code model = \"path/to/model\"}.",
    i = "If it is gone, the embedding remains in the object; anything else needs {.fn RunSysVI} again."
  ), class = c("scsystems_model_file_error", "scsystems_error"), call = call)
}
