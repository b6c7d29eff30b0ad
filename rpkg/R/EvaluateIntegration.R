#' Measure integration
#'
#' Computes metrics of how well systems mix, how much biology is preserved, and how well labels
#' carry over, for one or more reductions. Every metric comes pooled and, where it has one, per
#' cell type: pooled values hide the loss of rare types. Needs the Python package scib-metrics:
#' `install_scsystems(extras = "metrics")`.
#'
#' @section Metrics:
#' Mixing (`category` `"batch"`): `ilisi`, `kbet`, `graph_connectivity`, `pcr`, `asw_batch`,
#' `asw_signed` (the only one where less is better). Biology: `clisi`, `asw_label`,
#' `isolated_labels`, `nmi` and `ari` (Leiden at the best resolution), `nmi_fixed` and `ari_fixed`,
#' `jaccard`, `moran`; without labels `cluster_preservation`, `matched_profiles` and `moran`.
#' `label_transfer` between systems.
#'
#' @param object A Seurat object or a SingleCellExperiment.
#' @param reductions Names of reductions (Seurat) or reducedDims to measure, such as
#'   `c("pca", "sysvi")`.
#' @param system Column of the metadata with the systems whose mixing is measured.
#' @param labels Column with cell types; cells without one (`NA`) are left out. Without it only what
#'   needs none is computed.
#' @param batch Column with samples, within which Moran's I is computed; `NULL` for the systems.
#' @param metrics Names of metrics; `NULL` for all that the data allow, a warning naming those that
#'   are left out and why.
#' @param features Genes for the metrics that look at expression (`pcr`, `moran`, those without
#'   labels); `NULL` for those that a reduction was made with by scsystems, or else the variable
#'   features (Seurat), or else all.
#' @param unintegrated Name of the reduction before integration, for `pcr`; `NULL` computes 15
#'   principal components of standardized expression.
#' @param assay Assay with log-normalized expression or counts, which are normalized: a Seurat
#'   object's assay or a SingleCellExperiment's `assay.type`. `NULL` for the one that a reduction was
#'   made from by scsystems, or else the default assay or `"logcounts"`.
#' @param n.neighbors,min.cells Neighbors and smallest label of the label transfer.
#' @param moran.min.cells Smallest group of a sample and a cell type for Moran's I.
#' @param max.cells Larger data are cut to that many cells at random; `NULL` keeps all.
#' @param seed.use Seed of the choice of cells, of clustering and of principal components.
#' @param verbose Whether to show messages.
#'
#' @return A data frame of class `scsystems_evaluation` with a row per reduction, metric, level and
#'   group: `embedding`, `metric`, `category` (`"batch"`, `"biology"`, `"transfer"`), `level`,
#'   `group` and `value`. Level `"overall"` is the value that the literature reports, `"micro"` the
#'   average over cells, `"macro"` that over cell types, `"group"` a single cell type (for label
#'   transfer the direction, or the direction and the type). `summary()` gives a row per reduction
#'   and a column per metric; `plot()` a ggplot.
#' @export
#' @examplesIf scsystems_ready("scib_metrics") && rlang::is_installed("SeuratObject")
#' \dontshow{options(scsystems.model.dir = tempfile("models"))}
#' # two epochs are for a page that builds quickly: leave max.epochs out
#' object <- RunSysVI(simulated_cells(), system = "species", covariates = "donor", max.epochs = 2)
#' table <- EvaluateIntegration(object, "sysvi", system = "species", labels = "cell_type",
#'                              batch = "donor", metrics = c("ilisi", "nmi_fixed", "label_transfer"))
#' summary(table)
#' if (rlang::is_installed("ggplot2")) {
#'   plot(table)
#'   plot(table, "types", metric = "label_transfer")
#' }
EvaluateIntegration <- function(object, reductions, system, labels = NULL, batch = NULL,
                                metrics = NULL, features = NULL, unintegrated = NULL,
                                assay = NULL, n.neighbors = 25, min.cells = 20,
                                moran.min.cells = 500, max.cells = 1e5, seed.use = 0,
                                verbose = TRUE) {
  for (argument in c("n.neighbors", "min.cells", "moran.min.cells")) {
    check_number(get(argument), argument, min = 1, whole = TRUE)
  }
  check_number(max.cells, "max.cells", min = 10, whole = TRUE, null = TRUE)
  check_number(seed.use, "seed.use", min = 0, whole = TRUE)
  check_flag(verbose, "verbose")
  if (!is.null(metrics) && (!is.character(metrics) || !length(metrics))) {
    abort_input(c("{.arg metrics} must be names of metrics, or NULL.",
                  x = "Found {.obj_type_friendly {metrics}}."))
  }
  if (!holds_cells(object)) cells_source(object)
  embeddings <- embeddings_of(object, reductions, unintegrated)
  input <- reduction_input(object, reductions)
  source <- cells_source(object, assay, input)
  check_evaluated(source, system, labels, batch)
  features <- features %||% expression_features(object, reductions, source$genes)
  cells <- Reduce(intersect, lapply(embeddings, rownames))
  sent <- send_evaluated(source, features, cells, c(system, labels, batch), verbose, input,
                         by = c(system, batch))
  inform(verbose, c(i = "Measuring {.val {reductions}} on {length(sent$cells)} cell{?s}."))
  embeddings <- lapply(embeddings, function(x) unname(x[sent$cells, , drop = FALSE]))
  parts <- call_bridge("evaluate", sent$adata, embeddings, text_list(reductions), drop_null(list(
    system_key = system, label_key = labels, batch_key = batch,
    metrics = if (!is.null(metrics)) as.list(metrics), unintegrated = unintegrated,
    k = as.integer(n.neighbors), min_cells = as.integer(min.cells),
    moran_min_cells = as.integer(moran.min.cells), max_cells = whole_or_null(max.cells),
    seed = as.integer(seed.use)
  )))
  new_evaluation(frame_from_parts(reticulate::py_to_r(parts)), labels)
}

new_evaluation <- function(table, labels) {
  structure(table, class = c("scsystems_evaluation", "data.frame"), labels = labels)
}

check_evaluated <- function(source, system, labels, batch, call = caller_env()) {
  where <- "the cells' metadata"
  check_string(labels, "labels", null = TRUE, call = call)
  check_string(batch, "batch", null = TRUE, call = call)
  check_system(system, source$obs, where, call = call)
  check_columns(labels, "labels", source$obs, where, call = call)
  check_columns(batch, "batch", source$obs, where, call = call)
  if (!is.null(batch) && anyNA(source$obs[[batch]])) {
    abort_input(c("{.arg batch}: column {.val {batch}} is NA for {sum(is.na(source$obs[[batch]]))} cell{?s}.",
                  i = "Fill in or remove these cells first."), call = call)
  }
}

# The embeddings by name, cells x dimensions.
embeddings_of <- function(object, reductions, further = NULL, name = "reductions",
                          call = caller_env()) {
  if (!is.character(reductions) || !length(reductions) || anyNA(reductions)) {
    abort_input(c("{.arg {name}} must be names of reductions.",
                  x = "Found {.obj_type_friendly {reductions}}."), call = call)
  }
  check_string(further, "unintegrated", null = TRUE, call = call)
  found <- if (is(object, "Seurat")) SeuratObject::Reductions(object)
           else SingleCellExperiment::reducedDimNames(object)
  absent <- setdiff(c(reductions, further), found)
  if (length(absent)) {
    abort_input(c("The object has no reduction {.val {absent}}.",
                  i = if (length(found)) "It has {.val {found}}." else "It has none."),
                call = call)
  }
  names <- unique(c(reductions, further))
  embeddings <- lapply(names, function(name) {
    embedding <- as.matrix(species_embedding(object, name))
    storage.mode(embedding) <- "double"
    rownames(embedding) <- rownames(embedding) %||% colnames(object)
    embedding
  })
  stats::setNames(embeddings, names)
}

# What the reduction was made from that was made last, of those named.
reduction_input <- function(object, reductions) {
  records <- sysvi_records(object)
  records <- Filter(function(record) !is.null(record$input),
                    records[intersect(reductions, names(records))])
  if (length(records)) records[[newest(records)]]$input
}

# Genes that expression is looked at: those a reduction was made with, or the variable ones.
expression_features <- function(object, reductions, genes) {
  records <- model_records(object)
  made <- unique(unlist(lapply(records[intersect(reductions, names(records))],
                               function(record) record$features)))
  variable <- if (is(object, "Seurat")) SeuratObject::VariableFeatures(object)
  for (chosen in list(made, variable)) {
    if (length(intersect(chosen, genes)) >= 3) return(intersect(chosen, genes))
  }
  NULL
}

# Python's AnnData of the cells that are measured, and their names.
send_evaluated <- function(source, features, cells, columns, verbose, input = NULL, by = columns,
                           call = caller_env()) {
  check_features(features, source$genes, call = call)
  data <- read_expression(source, features, by = by, model = input, verbose = verbose, call = call)
  cells <- intersect(colnames(data$matrix), cells)
  if (!is.null(data$totals)) data$totals <- data$totals[match(cells, colnames(data$matrix))]
  data$matrix <- data$matrix[, cells, drop = FALSE]
  send_cells(data, source, columns, call = call)
}

send_cells <- function(data, source, columns, call = caller_env()) {
  cells <- colnames(data$matrix)
  data$obs <- source$obs[cells, , drop = FALSE]
  settings <- list(covariates = unique(columns), control = list())
  list(adata = send_expression(data, settings, call = call), cells = cells)
}

#' @param level `"overall"`, `"micro"` or `"macro"`.
#' @rdname EvaluateIntegration
#' @export
summary.scsystems_evaluation <- function(object, level = c("overall", "micro", "macro"), ...) {
  rlang::check_dots_empty()
  level <- rlang::arg_match(level)
  table <- as.data.frame(object)
  table <- table[table$level == level, , drop = FALSE]
  wide <- tapply(table$value, list(factor(table$embedding, unique(table$embedding)),
                                   factor(table$metric, unique(table$metric))), `[[`, 1)
  as.data.frame(wide, optional = TRUE)
}

#' @param x What `EvaluateIntegration()` returned.
#' @param type What to draw: mixing against biology (`"tradeoff"`), or a metric by cell type
#'   (`"types"`).
#' @param batch.metric,biology.metric Metrics on the axes of the trade-off; `NULL` for `"ilisi"`,
#'   and for `"nmi_fixed"`, or without labels `"cluster_preservation"`. The pooled value is drawn as
#'   a dot, the average over cell types, where there is one, as a ring joined to it.
#' @param metric Metric to draw by cell type, such as `"jaccard"`, `"ilisi"` or `"label_transfer"`.
#' @param palette Colors of the reductions, by name or in order; `NULL` for ggplot2's.
#' @param ... Must be empty in `plot()` and `summary()`; ignored elsewhere.
#' @rdname EvaluateIntegration
#' @export
plot.scsystems_evaluation <- function(x, type = c("tradeoff", "types"), batch.metric = NULL,
                                      biology.metric = NULL, metric = "jaccard", palette = NULL,
                                      ...) {
  rlang::check_dots_empty()
  rlang::check_installed("ggplot2", reason = "to draw metrics")
  type <- rlang::arg_match(type)
  table <- as.data.frame(x)
  names <- unique(table$embedding)
  if (type == "types") return(plot_types(table, metric, names, palette))
  measured <- unique(table$metric)
  biology <- intersect(c("nmi_fixed", "cluster_preservation", "moran"), measured)
  plot_tradeoff(table, batch.metric %||% "ilisi", biology.metric %||% c(biology, "nmi_fixed")[[1]],
                names, palette)
}

as_plain <- function(x) {
  class(x) <- "data.frame"
  attr(x, "labels") <- NULL
  x
}

#' @export
as.data.frame.scsystems_evaluation <- function(x, row.names = NULL, optional = FALSE, ...) {
  as_plain(x)
}

plot_tradeoff <- function(table, batch, biology, names, palette, call = caller_env()) {
  measured <- unique(table$metric)
  for (metric in c(batch, biology)) {
    if (metric %in% measured) next
    abort_input(c("The table has no metric {.val {metric}}.",
                  i = "It has {.val {measured}}."), call = call)
  }
  value <- function(metric, level) {
    rows <- table[table$metric == metric & table$level == level, , drop = FALSE]
    rows$value[match(names, rows$embedding)]
  }
  points <- data.frame(
    embedding = factor(names, levels = names), x = value(batch, "overall"),
    y = value(biology, "overall"), x.macro = value(batch, "macro"), y.macro = value(biology, "macro")
  )
  # where a metric has no average over types, the pooled value stands in
  has <- !is.na(points$x.macro) | !is.na(points$y.macro)
  rings <- points[has, , drop = FALSE]
  rings$x.macro <- ifelse(is.na(rings$x.macro), rings$x, rings$x.macro)
  rings$y.macro <- ifelse(is.na(rings$y.macro), rings$y, rings$y.macro)
  ggplot2::ggplot(points, ggplot2::aes(.data$x, .data$y, color = .data$embedding)) +
    ggplot2::geom_segment(ggplot2::aes(xend = .data$x.macro, yend = .data$y.macro), data = rings,
                          linetype = "dotted", show.legend = FALSE) +
    ggplot2::geom_point(ggplot2::aes(.data$x.macro, .data$y.macro), data = rings, shape = 1,
                        size = 3, show.legend = FALSE) +
    ggplot2::geom_point(size = 3) +
    named_colors(palette, names, call = call) +
    ggplot2::labs(x = paste0("Mixing of systems (", batch, ")"),
                  y = paste0("Biology (", biology, ")"), color = NULL,
                  caption = "Dots: over all cells. Rings: mean over cell types.") +
    ggplot2::theme_minimal()
}

plot_types <- function(table, metric, names, palette, call = caller_env()) {
  check_string(metric, "metric", call = call)
  rows <- table[table$metric == metric & table$level == "group" & !is.na(table$value), ,
                drop = FALSE]
  if (!nrow(rows)) {
    with_groups <- unique(table$metric[table$level == "group"])
    abort_input(c("{.arg metric}: there are no values of {.val {metric}} by cell type.",
                  i = if (length(with_groups)) "There are of {.val {with_groups}}."
                      else "{.arg labels} of {.fn EvaluateIntegration} names the cell types."),
                call = call)
  }
  rows$embedding <- factor(rows$embedding, levels = names)
  rows$group <- factor(rows$group, levels = rev(unique(rows$group)))
  ggplot2::ggplot(rows, ggplot2::aes(.data$value, .data$group, color = .data$embedding)) +
    ggplot2::geom_point(size = 2, alpha = 0.8) +
    named_colors(palette, names, call = call) +
    ggplot2::labs(x = metric, y = NULL, color = NULL) +
    ggplot2::theme_minimal()
}
