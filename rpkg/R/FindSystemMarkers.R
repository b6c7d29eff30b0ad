#' Genes that differ between groups of cells
#'
#' Differential expression from the model: cells of either group are drawn, decoded from the latent
#' space, and compared. With `correct.systems` both groups are decoded under the same systems, so
#' that differences between systems do not count as differences between groups; without it, groups
#' can be systems themselves (within one cell type, say).
#'
#' Fold changes are log2 fold changes of `1 + expression`, in units of the library size that the
#' data were normalized to: smaller than those of counts for genes that are hardly expressed.
#'
#' @inheritParams CorrectedExpression
#' @param assay Assay (`assay.type` of a SingleCellExperiment) with log-normalized expression or
#'   counts; `NULL` for the one that the model was trained on, or else the default assay or
#'   `"logcounts"`.
#' @param name Name of the reduction whose model is taken; `NULL` for the one made last.
#' @param group.by Column of the metadata with the groups.
#' @param ident.1 Groups to test, each on its own; `NULL` for all.
#' @param ident.2 Group to compare with; `NULL` for all other cells.
#' @param correct.systems Whether to decode both groups under the same systems, all of the model's.
#' @param mode `"change"`: is the fold change larger than `delta`; `"vanilla"`: which group has the
#'   larger value.
#' @param delta Smallest absolute log2 fold change of interest in mode `"change"`; `NULL` estimates
#'   it from the data.
#' @param fdr Expected fraction of false discoveries among the genes that are called.
#' @param n.samples Number of samples per group.
#' @param seed.use Seed of the samples; `NULL` draws one from R's random numbers.
#'
#' @return A data frame with a row per gene and group, the most certain first: `gene`, `group1`,
#'   `group2`; in mode `"change"` `proba_de` (the probability of a change larger than `delta`),
#'   `is_de` (whether it is called) and `lfc_mean`, `lfc_median`, `lfc_std`, `lfc_min`, `lfc_max`;
#'   in mode `"vanilla"` `proba_m1`, `proba_m2` and `bayes_factor`; `scale1`, `scale2` (mean decoded
#'   value); and what the data say: `raw_mean1`, `raw_mean2`, `non_zeros_proportion1`,
#'   `non_zeros_proportion2` and others.
#' @export
#' @examplesIf scsystems_ready() && rlang::is_installed("SeuratObject")
#' \dontshow{options(scsystems.model.dir = tempfile("models"))}
#' # two epochs are for a page that builds quickly: leave max.epochs out
#' object <- RunSysVI(simulated_cells(), system = "species", covariates = "donor", max.epochs = 2)
#' # markers of beta cells that hold in every system
#' head(FindSystemMarkers(object, "cell_type", ident.1 = "beta"))
#'
#' # what differs between species within beta cells
#' beta <- subset(object, cell_type == "beta")
#' head(FindSystemMarkers(beta, "species", ident.1 = "mouse", correct.systems = FALSE))
FindSystemMarkers <- function(object, group.by, ident.1 = NULL, ident.2 = NULL, model = NULL,
                              correct.systems = TRUE, mode = c("change", "vanilla"),
                              delta = 0.25, fdr = 0.05, n.samples = 5000, assay = NULL, name = NULL,
                              device = "auto", seed.use = 42, verbose = TRUE) {
  mode <- rlang::arg_match(mode)
  check_string(group.by, "group.by")
  check_flag(correct.systems, "correct.systems")
  check_number(delta, "delta", min = 0, null = TRUE)
  check_number(fdr, "fdr", min = 0)
  check_number(n.samples, "n.samples", min = 1, whole = TRUE)
  check_number(seed.use, "seed.use", min = 0, whole = TRUE, null = TRUE)
  check_device(device)
  check_flag(verbose, "verbose")
  if (!holds_cells(object)) cells_source(object)
  opened <- open_model(model %||% object, name, device, verbose)
  source <- cells_source(object, assay, opened$facts$input)
  check_columns(group.by, "group.by", source$obs, "the cells' metadata")
  groups <- unique(as.character(source$obs[[group.by]]))
  check_groups(ident.1, "ident.1", groups, group.by)
  check_groups(ident.2, "ident.2", groups, group.by, one = TRUE)
  if (correct.systems && group.by == opened$facts$system) {
    abort_input(c("{.arg group.by}: {.val {group.by}} is the system, whose differences {.arg correct.systems} takes out.",
                  i = "To compare systems, use {.code correct.systems = FALSE}."))
  }
  adata <- model_cells(source, opened$facts, extra = group.by, verbose = verbose)
  parts <- reticulate::py_to_r(call_bridge("differential_expression", opened$handle, adata, list(
    groupby = group.by,
    group1 = if (length(ident.1)) text_list(ident.1),
    group2 = if (length(ident.2)) as.character(ident.2),
    mode = mode, delta = if (!is.null(delta)) as.double(delta),
    batch_correction = correct.systems, fdr_target = as.double(fdr),
    n_samples_overall = as.integer(n.samples),
    seed = as.integer(seed.use %||% sample.int(.Machine$integer.max, 1))
  )))
  table <- frame_from_parts(parts)
  names(table)[startsWith(names(table), "is_de_fdr_")] <- "is_de"
  table$comparison <- NULL
  first <- c("gene", "group1", "group2")
  table[c(first, setdiff(names(table), first))]
}

check_groups <- function(given, name, groups, column, one = FALSE, call = caller_env()) {
  if (is.null(given)) return(invisible())
  if (one && length(given) != 1) {
    abort_input(c("{.arg {name}} must be one group, or NULL for all other cells.",
                  x = "Found {length(given)}."), call = call)
  }
  unknown <- setdiff(as.character(given), groups)
  if (length(unknown) || !length(given)) {
    abort_input(c("{.arg {name}}: {.val {unknown}} {?is/are} not in column {.val {column}}.",
                  i = "It has {.val {utils::head(groups, 20)}}."), call = call)
  }
}
