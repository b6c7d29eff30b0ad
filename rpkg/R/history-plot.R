# The picture of a training history: a panel per quantity, a line per set or species.

# table: a row per epoch and quantity, as as.data.frame() gives it; color: the column that tells
# lines apart; metrics: what the caller chose.
plot_losses <- function(table, color, metrics = NULL, call = caller_env()) {
  rlang::check_installed("ggplot2", reason = "to plot a training history")
  table <- table[table$metric %in% shown_losses(table, metrics, call), , drop = FALSE]
  table$metric <- factor(table$metric, levels = unique(table$metric))
  ggplot2::ggplot(table, ggplot2::aes(.data$epoch, .data$value, color = .data[[color]])) +
    ggplot2::geom_line() +
    ggplot2::facet_wrap(ggplot2::vars(.data$metric), scales = "free_y") +
    ggplot2::labs(x = "Epoch", y = NULL, color = NULL) +
    ggplot2::theme_minimal()
}

# Parts of the loss that are switched off are zero in every epoch.
shown_losses <- function(table, metrics, call) {
  if (is.null(metrics)) return(unique(table$metric[table$value != 0]))
  absent <- setdiff(metrics, table$metric)
  if (length(absent)) {
    abort_input(c("{.arg metrics}: the history has no {.val {absent}}.",
                  i = "It has {.val {unique(table$metric)}}."), call = call)
  }
  metrics
}
