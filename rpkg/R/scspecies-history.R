# The training histories of a model's species, side by side: plain numbers and text.

new_species_history <- function(facts, seconds) {
  metrics <- bind_columns(Map(function(part, name) {
    data.frame(species = rep(name, length(part$epoch)), epoch = as.integer(part$epoch),
               lapply(part$history, as.double), check.names = FALSE, stringsAsFactors = FALSE)
  }, facts$parts, names(facts$parts)))
  of_parts <- function(f, type) vapply(facts$parts, f, type)
  structure(list(
    metrics = metrics, device = facts$device, seconds = seconds,
    interrupted = of_parts(function(part) part$interrupted, NA),
    seed = facts$seed, cells = of_parts(function(part) length(part$cells), 0L),
    genes = of_parts(function(part) length(part$genes), 0L), version = facts$version
  ), class = "scspecies_history")
}

#' Training history of scSpecies
#'
#' What was measured in every epoch of every species' training. A plain R object: it is saved with
#' the object it belongs to.
#'
#' @param x A training history, from [TrainingHistory()].
#' @param i Names of species.
#' @param row.names,optional Ignored; for compatibility with the generic.
#' @param metrics Names of the quantities to plot; `NULL` for all that are not zero throughout, as
#'   the parts of the loss that are switched off are.
#' @param ... Ignored.
#'
#' @return `as.data.frame()` gives one row per species, epoch and quantity, with the columns
#'   `species`, `epoch`, `metric` and `value`. `plot()` gives a ggplot. `x[i]` is the history of
#'   some of the species. `print()` gives `x`, invisibly.
#' @name scspecies_history
#' @examplesIf scsystems_ready() && rlang::is_installed("SeuratObject")
#' \dontshow{options(scsystems.model.dir = tempfile("models"))}
#' cells <- simulated_species()
#' # for pages that build quickly: leave max.epochs and control out
#' result <- RunScSpecies(cells$mouse, cells$human, species = c("mouse", "human"),
#'                        labels = "cell_type", batch = "donor", orthologs = cells$orthologs,
#'                        max.epochs = 2, control = scspecies_options(n_neighbors = 5))
#' history <- TrainingHistory(result)
#' history
#' head(as.data.frame(history["human"]))
#' if (rlang::is_installed("ggplot2")) plot(history, metrics = "loss")
NULL

#' @rdname scspecies_history
#' @export
`[.scspecies_history` <- function(x, i) {
  parts <- unclass(x)
  parts$metrics <- parts$metrics[parts$metrics$species %in% i, , drop = FALSE]
  rownames(parts$metrics) <- NULL
  for (name in c("interrupted", "cells", "genes")) parts[[name]] <- parts[[name]][i]
  structure(parts, class = class(x))
}

#' @rdname scspecies_history
#' @export
print.scspecies_history <- function(x, ...) {
  time <- if (is.na(x$seconds)) "" else paste0(prettyunits(x$seconds), " ")
  cli::cat_line("<scspecies_history> ", time, "on ", x$device, ", seed ", x$seed)
  for (name in names(x$cells)) {
    loss <- x$metrics$train_loss[x$metrics$species == name]
    ends <- if (length(loss)) paste0(", loss ", format(loss[[1]], digits = 5), " -> ",
                                     format(loss[[length(loss)]], digits = 5))
    cli::cat_line("  ", name, ": ", length(loss), " epochs",
                  if (x$interrupted[[name]]) " (interrupted)", ", ", x$cells[[name]], " cells x ",
                  x$genes[[name]], " genes", ends)
  }
  invisible(x)
}

#' @rdname scspecies_history
#' @export
as.data.frame.scspecies_history <- function(x, row.names = NULL, optional = FALSE, ...) {
  quantities <- setdiff(colnames(x$metrics), c("species", "epoch"))
  rows <- lapply(quantities, function(name) {
    data.frame(species = x$metrics$species, epoch = x$metrics$epoch,
               metric = rep(sub("^train_|_train$", "", name), nrow(x$metrics)),
               value = x$metrics[[name]], stringsAsFactors = FALSE)
  })
  empty <- data.frame(species = character(), epoch = integer(), metric = character(),
                      value = double(), stringsAsFactors = FALSE)
  table <- do.call(rbind, c(list(empty), rows))
  # a loss that only some species have
  table[!is.na(table$value), , drop = FALSE]
}

#' @rdname scspecies_history
#' @export
plot.scspecies_history <- function(x, metrics = NULL, ...) {
  table <- as.data.frame(x)
  table$species <- factor(table$species, levels = names(x$cells))
  plot_losses(table, color = "species", metrics = metrics)
}
