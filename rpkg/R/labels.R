# Labels that a model is told of some cells, and the columns in which it names all of them.

told_columns <- function(labels) {
  paste0("predicted.", labels, c(label = "", probability = ".probability", novelty = ".novelty",
                                 novel = ".novel"))
}

check_labels <- function(settings, obs, where, call = caller_env()) {
  labels <- settings$labels
  if (is.null(labels)) {
    if (is.null(settings$unlabeled)) return(invisible())
    abort_input(c("{.arg unlabeled} is given without {.arg labels}.",
                  i = "Give the column with the labels, too."), call = call)
  }
  check_string(labels, "labels", call = call)
  check_string(settings$unlabeled, "unlabeled", null = TRUE, call = call)
  check_columns(labels, "labels", obs, where, call = call)
  if (labels %in% c(settings$system, settings$covariates, settings$control$continuous_covariates)) {
    abort_input(c("Column {.val {labels}} is both {.arg labels} and the system or a covariate.",
                  i = "What sets systems or samples apart is removed, what labels say is kept: a column cannot be both."),
                call = call)
  }
  check_free(told_columns(labels), colnames(obs), settings$overwrite, "the object", call = call)
}

# Columns that would be written over.
check_free <- function(wanted, columns, overwrite, owner, call = caller_env()) {
  taken <- intersect(wanted, columns)
  if (!length(taken) || overwrite) return(invisible())
  abort_input(c("{.arg labels}: {owner} has column{?s} {.val {taken}} already.",
                i = "Use {.code overwrite = TRUE} to replace {cli::qty(length(taken))}{?it/them}."),
              call = call)
}

# What the model says of its own cells.
told_labels <- function(model, labels, cells, call = caller_env()) {
  parts <- reticulate::py_to_r(call_bridge("predict_labels", model, .call = call))
  stats::setNames(frame_from_parts(parts, row.names = cells), told_columns(labels))
}
