#' Pictures of species aligned by scSpecies
#'
#' * `PlotLabelTransfer()`: which labels the cells of every known type were given, as fractions.
#' * `PlotTypeSimilarity()`: how similar the targets' types are to the context's; 1, 2, ... mark the
#'   most similar ones of every row.
#' * `PlotFoldChanges()`: log2 fold changes between the species against their probability, type by
#'   type, with the genes that differ most.
#' * `PlotPrototypes()`: how well the context's types explain every type of the target, epoch by
#'   epoch; 0 is as well as the type itself. The context's type of the same name is bold.
#' * `PlotRelevantGenes()`: the genes that matter most for where the cells of a type lie.
#'
#' @param result What [RunScSpecies()] or [LoadScSpecies()] returned, or the table of it that is
#'   drawn: `cells`, `similarity`, `differential` or `prototypes`. For `PlotRelevantGenes()` also
#'   what [RelevantGenes()] returned.
#' @param target Names of targets; `NULL` for all.
#' @param annotate Whether to write fractions of 5 % and more into the fields.
#' @param colors Colors of the scale, from low to high.
#' @param n.best Number of similar types to mark.
#' @param cell.types Cell types to draw; `NULL` for all.
#' @param kind Fold changes of expression relative to all orthologs, in molecules per cell
#'   (`"absolute"`), or against a random gene (`"null"`).
#' @param n.genes Number of genes to name (at either end), or to draw.
#' @param probability Genes at least this probable to differ are colored; their fraction is in the
#'   panel's title.
#' @param color Color of points or bars.
#' @param palette Colors of the context's types, by name or in their order; `NULL` for ggplot2's.
#' @param species Names of species; `NULL` for all.
#' @param ncol Number of panels in a row; `NULL` lets ggplot2 choose.
#'
#' @return A ggplot.
#' @name scspecies_plots
#' @examplesIf scsystems_ready() && rlang::is_installed(c("SeuratObject", "ggplot2"))
#' \dontshow{options(scsystems.model.dir = tempfile("models"))}
#' cells <- simulated_species()
#' # for pages that build quickly: leave max.epochs and control out
#' result <- RunScSpecies(cells$mouse, cells$human, species = c("mouse", "human"),
#'                        labels = "cell_type", batch = "donor", orthologs = cells$orthologs,
#'                        max.epochs = 2, control = scspecies_options(n_neighbors = 5))
#' PlotLabelTransfer(result)
#' PlotTypeSimilarity(result)
#' PlotFoldChanges(result, cell.types = c("alpha", "beta"))
#' PlotPrototypes(result)
NULL

#' @rdname scspecies_plots
#' @export
PlotLabelTransfer <- function(result, target = NULL, annotate = TRUE,
                              colors = c("#440154", "#21908c", "#fde725")) {
  check_flag(annotate, "annotate")
  table <- species_table(result, "cells", c("target", "known", "label"))
  table <- some_of(table, "target", target, "target")
  table <- table[!is.na(table$known) & !is.na(table$label), , drop = FALSE]
  if (!nrow(table)) {
    abort_input(c("There is no cell with both a known type and a transferred label.",
                  i = "{.arg target.labels} of {.fn RunScSpecies} names the column with known types."))
  }
  fraction <- do.call(rbind, lapply(split(table, table$target), label_fractions))
  # types that both have come first, so that agreement lies on the diagonal
  both <- sort(intersect(fraction$known, fraction$label))
  order <- function(x) c(both, sort(setdiff(x, both)))
  fraction$known <- factor(fraction$known, levels = rev(order(fraction$known)))
  fraction$label <- factor(fraction$label, levels = order(fraction$label))
  plot <- heatmap_of(fraction, "label", "known", "fraction", colors, limits = c(0, 1)) +
    ggplot2::labs(x = "Transferred label", y = "Known type", fill = "Fraction of cells")
  if (annotate) {
    shown <- fraction[fraction$fraction >= 0.05, , drop = FALSE]
    plot <- plot + ggplot2::geom_text(
      ggplot2::aes(label = sprintf("%.2f", .data$fraction), color = .data$fraction > 0.6),
      data = shown, size = 2.5, show.legend = FALSE
    ) + ggplot2::scale_color_manual(values = c(`FALSE` = "white", `TRUE` = "black"))
  }
  by_target(plot, fraction$target)
}

# Shares of the labels that cells of a known type were given, zeros included.
label_fractions <- function(table) {
  counts <- base::table(known = as.character(table$known), label = as.character(table$label))
  fraction <- as.data.frame(prop.table(counts, 1), responseName = "fraction", stringsAsFactors = FALSE)
  cbind(target = table$target[[1]], fraction)
}

#' @rdname scspecies_plots
#' @export
PlotTypeSimilarity <- function(result, target = NULL, n.best = 2,
                               colors = c("#fde725", "#21908c", "#440154")) {
  check_number(n.best, "n.best", min = 0, whole = TRUE)
  table <- species_table(result, "similarity",
                         c("target", "target_type", "context_type", "log_ratio"))
  table <- some_of(table, "target", target, "target")
  # differences of small values matter, of large ones do not
  table$shown <- log10(1 + pmax(table$log_ratio, 0))
  table$rank <- stats::ave(table$log_ratio, table$target, table$target_type,
                           FUN = function(x) rank(x, ties.method = "first"))
  table$target_type <- factor(table$target_type, levels = rev(sort(unique(table$target_type))))
  plot <- heatmap_of(table, "context_type", "target_type", "shown", colors) +
    ggplot2::geom_text(ggplot2::aes(label = .data$rank), size = 2.7, color = "black",
                       data = table[table$rank <= n.best, , drop = FALSE]) +
    ggplot2::labs(x = context_name(result), y = "Target type",
                  fill = "Log-likelihood lost\n(log10 of 1 + x)")
  by_target(plot, table$target)
}

context_name <- function(result) {
  if (inherits(result, "scspecies")) paste("Type in", result$species[[1]]) else "Context type"
}

#' @rdname scspecies_plots
#' @export
PlotFoldChanges <- function(result, cell.types = NULL, target = NULL,
                            kind = c("relative", "absolute", "null"), n.genes = 5,
                            probability = 0.9, color = "#33658a", ncol = NULL) {
  kind <- rlang::arg_match(kind)
  check_number(n.genes, "n.genes", min = 0, whole = TRUE)
  check_number(probability, "probability", min = 0)
  check_number(ncol, "ncol", min = 1, whole = TRUE, null = TRUE)
  ending <- c(relative = "", absolute = "_absolute", null = "_null")[[kind]]
  columns <- paste0(c("lfc", "probability"), ending)
  table <- species_table(result, "differential", c("target", "cell_type", "target_gene", columns))
  table <- some_of(some_of(table, "target", target, "target"), "cell_type", cell.types,
                   "cell.types")
  table$x <- table[[columns[[1]]]]
  table$y <- table[[columns[[2]]]]
  table$likely <- table$y >= probability
  group <- interaction(table$target, table$cell_type, drop = TRUE, lex.order = TRUE)
  fraction <- stats::ave(as.numeric(table$likely), group)
  name <- if (length(unique(table$target)) > 1) paste(table$target, table$cell_type, sep = ": ")
          else table$cell_type
  title <- sprintf("%s (%.0f %%)", name, 100 * fraction)
  table$panel <- factor(title, levels = unique(title))
  ggplot2::ggplot(table, ggplot2::aes(.data$x, .data$y)) +
    ggplot2::geom_vline(xintercept = 0, linewidth = 0.3) +
    ggplot2::geom_point(ggplot2::aes(color = .data$likely), size = 0.5, show.legend = FALSE) +
    ggplot2::scale_color_manual(values = c(`FALSE` = "grey70", `TRUE` = color)) +
    gene_lists(table, n.genes, left = TRUE) +
    gene_lists(table, n.genes, left = FALSE) +
    ggplot2::facet_wrap(ggplot2::vars(.data$panel), ncol = ncol) +
    ggplot2::scale_x_continuous(expand = ggplot2::expansion(mult = 0.3)) +
    ggplot2::labs(x = "Median log2 fold change, target over context", y = "Probability") +
    ggplot2::theme_minimal()
}

# The genes that differ most, as a list in a panel's lower corner.
gene_lists <- function(table, n, left) {
  rows <- lapply(split(table, table$panel), function(rows) {
    rows <- utils::head(rows[order(if (left) rows$x else -rows$x), , drop = FALSE], n)
    data.frame(panel = rows$panel[1], text = paste(rows$target_gene, collapse = "\n"))
  })
  ggplot2::geom_text(
    ggplot2::aes(label = .data$text), data = do.call(rbind, rows), size = 2.1, lineheight = 0.9,
    x = if (left) -Inf else Inf, y = -Inf, hjust = if (left) -0.05 else 1.05, vjust = -0.1
  )
}

#' @rdname scspecies_plots
#' @export
PlotPrototypes <- function(result, cell.types = NULL, target = NULL, palette = NULL, ncol = NULL) {
  check_number(ncol, "ncol", min = 1, whole = TRUE, null = TRUE)
  table <- species_table(result, "prototypes",
                         c("target", "epoch", "target_type", "context_type", "difference"))
  table <- some_of(some_of(table, "target", target, "target"), "target_type", cell.types,
                   "cell.types")
  types <- sort(unique(table$context_type))
  table$context_type <- factor(table$context_type, levels = types)
  table$same <- as.character(table$context_type) == table$target_type
  # differences reach from one to thousands
  squeezed <- function(x) asinh(x / 10)
  breaks <- c(-10^(5:1), 0, 10^(1:5))
  several <- length(unique(table$target)) > 1
  facets <- if (several) ggplot2::vars(.data$target, .data$target_type)
            else ggplot2::vars(.data$target_type)
  ggplot2::ggplot(table, ggplot2::aes(.data$epoch, squeezed(.data$difference),
                                      color = .data$context_type)) +
    ggplot2::geom_line(ggplot2::aes(linewidth = .data$same)) +
    ggplot2::scale_linewidth_manual(values = c(`FALSE` = 0.4, `TRUE` = 1.2), guide = "none") +
    ggplot2::scale_y_continuous(breaks = squeezed(breaks), labels = format_breaks(breaks)) +
    ggplot2::scale_x_continuous(breaks = function(x) unique(round(pretty(x, 3)))) +
    ggplot2::facet_wrap(facets, ncol = ncol) +
    named_colors(palette, types) +
    ggplot2::labs(x = "Epoch", y = "Log-likelihood difference", color = context_name(result)) +
    ggplot2::theme_minimal()
}

format_breaks <- function(x) format(x, big.mark = ",", scientific = FALSE, trim = TRUE)

#' @rdname scspecies_plots
#' @export
PlotRelevantGenes <- function(result, cell.types = NULL, species = NULL, n.genes = 10,
                              color = "#33658a", ncol = NULL) {
  check_number(n.genes, "n.genes", min = 1, whole = TRUE)
  check_number(ncol, "ncol", min = 1, whole = TRUE, null = TRUE)
  if (inherits(result, "scspecies")) result <- RelevantGenes(result, species, n.genes = n.genes)
  table <- species_table(result, NULL, c("species", "cell_type", "gene", "relevance", "rank"))
  table <- some_of(some_of(table, "species", species, "species"), "cell_type", cell.types,
                   "cell.types")
  table <- table[table$rank <= n.genes, , drop = FALSE]
  table <- table[order(table$cell_type, table$species, -table$rank), , drop = FALSE]
  # the same gene has another place in every panel
  place <- paste(table$gene, table$species, table$cell_type, sep = "\r")
  table$place <- factor(place, levels = place)
  several <- length(unique(table$species)) > 1
  panel <- if (several) paste(table$cell_type, table$species, sep = ", ") else table$cell_type
  table$panel <- factor(panel, levels = unique(panel))
  ggplot2::ggplot(table, ggplot2::aes(.data$relevance, .data$place)) +
    ggplot2::geom_col(fill = color) +
    ggplot2::geom_vline(xintercept = 0, linewidth = 0.3) +
    ggplot2::scale_x_continuous(n.breaks = 3) +
    ggplot2::scale_y_discrete(labels = function(x) sub("\r.*", "", x)) +
    ggplot2::facet_wrap(ggplot2::vars(.data$panel), scales = "free", ncol = ncol) +
    ggplot2::labs(x = "Relevance", y = NULL) +
    ggplot2::theme_minimal()
}

# A result's table, or the table itself, with the columns that are drawn.
species_table <- function(result, name, columns, call = caller_env()) {
  rlang::check_installed("ggplot2", reason = "to draw this")
  table <- if (inherits(result, "scspecies") && !is.null(name)) result[[name]] else result
  if (is.null(table)) {
    abort_input(c("The result has no table {.field {name}}.",
                  i = "Interrupted or resumed training leaves none of prototypes, and species without a common type none of fold changes."),
                call = call)
  }
  absent <- if (is.data.frame(table)) setdiff(columns, names(table)) else columns
  if (length(absent) || !nrow(table)) {
    abort_input(c(
      "{.arg result} must be what {.fn RunScSpecies} returned, or the table of it that is drawn.",
      x = if (length(absent)) "It lacks {.val {absent}}." else "It has no rows."
    ), call = call)
  }
  table
}

# The rows whose `column` is among those chosen, in that order.
some_of <- function(table, column, chosen, name, call = caller_env()) {
  if (is.null(chosen)) return(table)
  chosen <- chosen_of(chosen, name, unique(as.character(table[[column]])), call = call)
  table <- table[table[[column]] %in% chosen, , drop = FALSE]
  table[order(match(table[[column]], chosen)), , drop = FALSE]
}

heatmap_of <- function(table, x, y, fill, colors, limits = NULL) {
  ggplot2::ggplot(table, ggplot2::aes(.data[[x]], .data[[y]])) +
    ggplot2::geom_tile(ggplot2::aes(fill = .data[[fill]])) +
    ggplot2::scale_fill_gradientn(colors = colors, limits = limits) +
    ggplot2::scale_x_discrete(expand = c(0, 0)) +
    ggplot2::scale_y_discrete(expand = c(0, 0)) +
    ggplot2::theme_minimal() +
    ggplot2::theme(axis.text.x = ggplot2::element_text(angle = 90, hjust = 1, vjust = 0.5),
                   panel.grid = ggplot2::element_blank())
}

# A panel per target where there are several.
by_target <- function(plot, target) {
  if (length(unique(target)) < 2) return(plot)
  plot + ggplot2::facet_wrap(ggplot2::vars(.data$target), scales = "free")
}

# Colors of names, as the user gave them.
named_colors <- function(palette, names, aesthetic = "colour", call = caller_env()) {
  if (is.null(palette)) return(NULL)
  absent <- setdiff(names, names(palette))
  if ((!is.null(names(palette)) && length(absent)) || length(palette) < length(names)) {
    abort_input(c("{.arg palette} must have a color for each of {.val {names}}.",
                  x = if (is.null(names(palette))) "Found {length(palette)} color{?s}."
                      else "There is none for {.val {absent}}."), call = call)
  }
  ggplot2::scale_color_manual(values = palette, aesthetics = aesthetic)
}
