#' Look at a saved model
#'
#' Reads the model that [RunSysVI()] or [MapSysVI()] (or Python) has saved, says what it expects of
#' cells, and checks that an object fits it: genes, systems and covariates, and expression that is
#' log-normalized as the model's was, or counts.
#'
#' @param model Folder of a saved model, or an object that [RunSysVI()] or [MapSysVI()] has written
#'   to.
#' @param object Object that the model has to fit: it needs the model's genes, and no systems and
#'   covariate levels that the model has not seen. `NULL` checks nothing, or, when `model` is an
#'   object, that one.
#' @param name When `model` is an object: name of the reduction, `NULL` for the only one, or the one
#'   that was made last.
#' @param assay Assay of `object` (`assay.type` of a SingleCellExperiment); `NULL` for the one that
#'   the model was trained on, or else the default assay or `"logcounts"`.
#'
#' @return A list of class `sysvi_model`, of plain R values: `path`; `genes`; `system` and `systems`
#'   (the column and its levels); `covariates` (named list of levels); `continuous_covariates`;
#'   `dims`, `prior`, `cells`; `input`, what the model was trained on (class and assay, whether counts
#'   were normalized, to which total, base of the logarithms; `NULL` where it is not known);
#'   `reduction`, of an object the one whose model this is; and `history`, a [sysvi_history]. It serves as `model` of
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
    data <- model_expression(cells_source(checked, assay, loaded$facts$input), loaded$facts)
    check_expression(plain_matrix(data$matrix))
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
  if (!is.null(x$labels)) line("labels", x$labels)
  if (!is.null(x$reduction)) line("reduction", x$reduction)
  if (!is.null(x$input)) line("input", input_text(x$input))
  line("epochs", nrow(x$history$metrics))
  invisible(x)
}

# A model as Python's handle and as plain R facts. `model` is a folder, what LoadSysVI() gave, or
# an object with the record of one; of several `name` chooses.
open_model <- function(model, name = NULL, device = "cpu", verbose = FALSE, call = caller_env()) {
  record <- NULL
  if (inherits(model, "sysvi_model") || is.character(model)) {
    check_one_model(name, call = call)
    if (is.character(model)) check_string(model, "model", call = call)
    path <- if (is.character(model)) path.expand(model) else model$path
  } else {
    record <- find_record(sysvi_records(model), name, call = call)
    path <- record$model
    say_record(record, verbose)
  }
  if (!is.character(model) && !dir.exists(path)) abort_moved(path, call = call)
  handle <- call_bridge("load_model", path, device = device, .call = call)
  facts <- reticulate::py_to_r(call_bridge("describe_model", handle, .call = call))
  check_same_model(record, facts$notes, path, call = call)
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
    continuous_covariates = text(facts$continuous),
    labels = if (nzchar(facts$labels)) facts$labels, dims = facts$dims, prior = facts$prior,
    cells = facts$cells, input = as_input(facts$notes$input), reduction = record$name,
    history = history
  ), class = "sysvi_model"))
}

check_one_model <- function(name, call = caller_env()) {
  if (is.null(name)) return(invisible())
  abort_input(c("{.arg name} chooses among the models of an object.",
                x = "{.arg model} is one model already."), call = call)
}

say_record <- function(record, verbose) {
  time <- if (is.null(record$made)) "" else format(record$made, ", made %Y-%m-%d %H:%M:%S")
  inform(verbose, c(i = "Using the model of {.val {record$name}}{time}."))
}

# Seconds since 1970, as they are kept in files.
as_time <- function(seconds) {
  if (!is.null(seconds)) as.POSIXct(as.double(seconds), origin = "1970-01-01")
}

# A folder that was overwritten since: another model is not the reduction's.
check_same_model <- function(record, notes, path, call = caller_env()) {
  if (is.null(record$made) || isTRUE(abs(notes$made - as.double(record$made)) < 1e-3)) {
    return(invisible())
  }
  cli::cli_abort(c(
    "The model in {.path {path}} is not the one that {.val {record$name}} was made with: another has been saved there since.",
    i = "If the right one was kept elsewhere, give its place: {.code model = \"path/to/model\"}.",
    i = "To use this one on these cells, give it in the same way."
  ), class = c("scsystems_model_file_error", "scsystems_error"), call = call)
}

# An object remembers a folder that is no longer there.
abort_moved <- function(path, run = "RunSysVI", call = caller_env()) {
  place <- if (run == "RunScSpecies") "LoadScSpecies(\"path/to/model\", objects)" else "model = \"path/to/model\""
  cli::cli_abort(c(
    if (is.na(path)) "The trained model could not be saved when it was made, and is lost."
    else "The trained model is not where the object remembers it: {.path {path}}.",
    i = if (!is.na(path)) "If its folder was moved, give the new place: {.code {place}}.",
    i = "If it is gone, the embedding remains in the object; anything else needs {.fn {run}} again."
  ), class = c("scsystems_model_file_error", "scsystems_error"), call = call)
}
