#' Is the batch effect between systems substantial?
#'
#' Compares, per cell type, the distances between samples within and between systems, in an
#' unintegrated embedding: the question to ask before integrating. The effect is called substantial
#' if in at least half of the cell types the distances between systems are significantly larger
#' (one-sided Mann-Whitney U test, false discovery rate 5 %) and at the median 1.5 times as large.
#' With too few samples for any test the silhouette of systems within cell types decides.
#'
#' @inheritParams EvaluateIntegration
#' @param labels Column with cell types; cells without one (`NA`) are left out.
#' @param batch Column with samples; each belongs to one system.
#' @param reduction Name of an unintegrated reduction; `NULL` computes 15 principal components of
#'   standardized expression.
#' @param features Genes for these components; `NULL` for the variable features (Seurat), or else
#'   all.
#' @param min.cells Smallest group of a cell type and a sample.
#' @param min.samples Samples that a cell type needs in each of two systems to be tested.
#' @param max.cells Cells at most that the silhouette is computed on; `NULL` takes all.
#' @param seed.use Seed of the principal components and of the choice of these cells.
#'
#' @return A list of class `batch_strength`: `verdict`, one sentence with the numbers behind it;
#'   `substantial`; and the data frames `tests` (by cell type: `label`, `n_within`, `n_between`,
#'   `median_within`, `median_between`, `ratio`, `u`, `p_value`, `p_adjusted`), `distances` (by cell
#'   type and pair of samples) and `asw` (signed silhouette of systems). `plot()` gives a ggplot.
#' @export
#' @examplesIf scsystems_ready() && rlang::is_installed("SeuratObject")
#' object <- simulated_cells()
#' strength <- BatchStrength(object, system = "species", labels = "cell_type", batch = "donor",
#'                           min.cells = 10, min.samples = 2)
#' strength
#' if (rlang::is_installed("ggplot2")) plot(strength)
BatchStrength <- function(object, system, labels, batch, reduction = NULL, features = NULL,
                          assay = NULL, min.cells = 50, min.samples = 3, max.cells = 1e5,
                          seed.use = 0, verbose = TRUE) {
  check_number(min.cells, "min.cells", min = 1, whole = TRUE)
  check_number(min.samples, "min.samples", min = 2, whole = TRUE)
  check_number(max.cells, "max.cells", min = 10, whole = TRUE, null = TRUE)
  check_number(seed.use, "seed.use", min = 0, whole = TRUE)
  check_flag(verbose, "verbose")
  check_string(labels, "labels")
  check_string(batch, "batch")
  check_string(reduction, "reduction", null = TRUE)
  embedding <- if (!is.null(reduction)) {
    embeddings_of(object, reduction, name = "reduction")[[1]]
  }
  # with a reduction, expression is not looked at
  source <- if (is.null(embedding)) cells_source(object, assay) else list(obs = cells_obs(object))
  check_evaluated(source, system, labels, batch)
  columns <- c(system, labels, batch)
  sent <- if (is.null(embedding)) {
    features <- features %||% expression_features(object, character(), source$genes)
    send_evaluated(source, features, source$cells, columns, verbose, by = c(system, batch))
  } else {
    nothing <- matrix(0, 1, nrow(embedding), dimnames = list("none", rownames(embedding)))
    send_cells(list(matrix = nothing), source, columns)
  }
  if (!is.null(embedding)) embedding <- unname(embedding[sent$cells, , drop = FALSE])
  found <- reticulate::py_to_r(call_bridge("batch_strength", sent$adata, embedding, drop_null(list(
    system_key = system, label_key = labels, sample_key = batch, min_cells = as.integer(min.cells),
    min_samples = as.integer(min.samples), max_cells = whole_or_null(max.cells),
    seed = as.integer(seed.use)
  ))))
  tables <- c("tests", "distances", "asw")
  found[tables] <- lapply(found[tables], frame_from_parts)
  structure(found, class = "batch_strength")
}

#' @param x What `BatchStrength()` returned.
#' @param ... Must be empty in `plot()`; ignored elsewhere.
#' @rdname BatchStrength
#' @export
print.batch_strength <- function(x, ...) {
  cli::cat_line("<batch_strength>")
  cli::cat_line(strwrap(x$verdict, width = 90, prefix = "  "))
  if (nrow(x$tests)) {
    print(x$tests[c("label", "median_within", "median_between", "ratio", "p_adjusted")],
          digits = 3, row.names = FALSE)
  }
  invisible(x)
}

#' @param palette Colors of `within` and `between`, by name or in this order.
#' @rdname BatchStrength
#' @export
plot.batch_strength <- function(x, palette = c(within = "#33658a", between = "#f26419"), ...) {
  rlang::check_dots_empty()
  rlang::check_installed("ggplot2", reason = "to draw distances")
  table <- x$distances
  if (!nrow(table)) {
    abort_input(c("There are no distances to draw: no cell type has two samples that are large enough.",
                  i = "Give {.fn BatchStrength} a smaller {.arg min.cells}."))
  }
  table$kind <- factor(table$kind, levels = c("within", "between"))
  significant <- x$tests$label[x$tests$p_adjusted < 0.05]
  top <- tapply(table$distance, table$label, max)[significant]
  stars <- data.frame(label = as.character(significant), distance = as.vector(top))
  ggplot2::ggplot(table, ggplot2::aes(.data$label, .data$distance)) +
    ggplot2::geom_boxplot(ggplot2::aes(color = .data$kind), outlier.shape = NA, width = 0.7) +
    ggplot2::geom_point(
      ggplot2::aes(color = .data$kind), size = 0.8, alpha = 0.7,
      position = ggplot2::position_jitterdodge(jitter.width = 0.15, dodge.width = 0.7, seed = 1)
    ) +
    ggplot2::geom_text(label = "*", data = stars, vjust = -0.2, size = 6) +
    named_colors(palette, c("within", "between")) +
    ggplot2::expand_limits(y = 0) +
    ggplot2::labs(x = NULL, y = "Distance between samples", color = "Systems") +
    ggplot2::theme_minimal() +
    ggplot2::theme(axis.text.x = ggplot2::element_text(angle = 45, hjust = 1))
}
