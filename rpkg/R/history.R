# The training history R keeps: plain numbers and text, nothing of Python.

new_history <- function(facts, seconds, seed, cells) {
  metrics <- data.frame(epoch = as.integer(facts$epoch), lapply(facts$history, as.double),
                        check.names = FALSE)
  structure(
    list(
      metrics = metrics, device = facts$device, interrupted = facts$interrupted,
      seconds = seconds, seed = as.integer(seed), cells = cells,
      genes = length(facts$genes), version = facts$version
    ),
    class = "sysvi_history"
  )
}

#' Training history of sysVI
#'
#' What was measured in every epoch of training. A plain R object: it is saved with the object it
#' belongs to.
#'
#' @param x A training history, from [TrainingHistory()].
#' @param row.names,optional Ignored; for compatibility with the generic.
#' @param metrics Names of the quantities to plot; `NULL` for all that are not zero throughout, as
#'   the parts of the loss that are switched off are.
#' @param ... Must be empty in `plot()`; ignored elsewhere.
#'
#' @return `as.data.frame()` gives one row per epoch and quantity, with the columns `epoch`,
#'   `metric` (such as `"reconstruction_loss"`), `set` (`"train"` or `"validation"`) and `value`.
#'   `plot()` gives a ggplot. `print()` gives `x`, invisibly.
#' @name sysvi_history
#' @examplesIf scsystems_ready() && rlang::is_installed("SeuratObject")
#' \dontshow{options(scsystems.model.dir = tempfile("models"))}
#' # two epochs are for a page that builds quickly: leave max.epochs out
#' object <- RunSysVI(simulated_cells(), system = "species", covariates = "donor", max.epochs = 2)
#' history <- TrainingHistory(object)
#' history
#' head(as.data.frame(history))
#' if (rlang::is_installed("ggplot2")) plot(history)
NULL

#' @rdname sysvi_history
#' @export
print.sysvi_history <- function(x, ...) {
  epochs <- nrow(x$metrics)
  cli::cat_line(cli::format_inline(
    "<sysvi_history> {epochs} epoch{?s}{if (x$interrupted) ' (interrupted)' else ''}, {x$cells} cells x {x$genes} genes, {if (is.na(x$seconds)) '' else paste0(prettyunits(x$seconds), ' ')}on {x$device}, seed {x$seed}"
  ))
  if (epochs) {
    last <- x$metrics[epochs, -1, drop = FALSE]
    width <- max(nchar(names(last)))
    for (name in names(last)) {
      first <- x$metrics[[name]][[1]]
      cli::cat_line("  ", formatC(name, width = -width), "  ", format(first, digits = 5), " -> ",
                    format(last[[name]], digits = 5))
    }
  }
  invisible(x)
}

#' @rdname sysvi_history
#' @export
as.data.frame.sysvi_history <- function(x, row.names = NULL, optional = FALSE, ...) {
  names <- setdiff(colnames(x$metrics), "epoch")
  set <- ifelse(grepl("validation", names), "validation", "train")
  metric <- sub("^(train|validation)_|_(train|validation)$", "", names)
  rows <- lapply(seq_along(names), function(i) {
    data.frame(epoch = x$metrics$epoch, metric = rep(metric[[i]], nrow(x$metrics)),
               set = rep(set[[i]], nrow(x$metrics)), value = x$metrics[[names[[i]]]])
  })
  empty <- data.frame(epoch = integer(), metric = character(), set = character(),
                      value = double())
  table <- do.call(rbind, c(list(empty), rows))
  table[!is.na(table$value), , drop = FALSE]
}

#' @rdname sysvi_history
#' @export
plot.sysvi_history <- function(x, metrics = NULL, ...) {
  rlang::check_dots_empty()
  plot_losses(as.data.frame(x), color = "set", metrics = metrics)
}
