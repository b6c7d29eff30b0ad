#' A report of an integration
#'
#' Writes one file, to be opened in any browser, with what there is to see of a trained model:
#' cells and genes, training, UMAPs before and after, mixing and biology for every cell type, what
#' looks wrong (types that lie among another, components of the prior that no cell uses), settings
#' and versions. What cannot be drawn or measured, for lack of labels or of a Python package, is left
#' out, and the report says so. The pictures need `install_scsystems(extras = "plots")`, the measures
#' `install_scsystems(extras = "metrics")`.
#'
#' @param object A Seurat object or a SingleCellExperiment that [RunSysVI()] or [MapSysVI()] has
#'   written to.
#' @param file Path of the report, ending in `.html` (pictures within it), or `.md` (pictures beside
#'   it).
#' @param labels Column with cell types; `NULL` where there are none.
#' @param batch Column with samples; `NULL` for the first covariate, or else the systems.
#' @param model Folder of the model, or what [LoadSysVI()] gave; `NULL` for the object's own.
#' @param name Name of the reduction, where the object has several models.
#' @param assay Assay with the expression; `NULL` for the one that the model was trained on.
#' @param max.cells More cells are thinned out at random; `NULL` keeps all.
#' @param overwrite Whether `file` may be replaced.
#' @param seed.use Seed of that, of UMAP and of clustering.
#' @param verbose Whether to show messages.
#'
#' @return Invisibly, the path of the report.
#' @export
#' @examplesIf scsystems_ready(c("scib_metrics", "matplotlib")) && rlang::is_installed("SeuratObject")
#' \dontshow{options(scsystems.model.dir = tempfile("models"))}
#' # two epochs are for a page that builds quickly: leave max.epochs out
#' object <- RunSysVI(simulated_cells(), system = "species", covariates = "donor", max.epochs = 2)
#' file <- tempfile(fileext = ".html")
#' IntegrationReport(object, file, labels = "cell_type", max.cells = 200)
#' # browseURL(file)
IntegrationReport <- function(object, file, labels = NULL, batch = NULL, model = NULL, name = NULL,
                              assay = NULL, max.cells = 20000, overwrite = FALSE, seed.use = 0,
                              verbose = TRUE) {
  check_string(file, "file")
  if (!grepl("[.](html|md)$", file)) {
    abort_input(c("{.arg file} must end in {.val .html} or {.val .md}.", x = "Found {.val {file}}."))
  }
  check_number(max.cells, "max.cells", min = 10, whole = TRUE, null = TRUE)
  check_number(seed.use, "seed.use", min = 0, whole = TRUE)
  check_flag(overwrite, "overwrite")
  check_flag(verbose, "verbose")
  if (file.exists(file) && !overwrite) {
    abort_input(c("{.arg file}: {.path {file}} exists already.",
                  i = "Choose another name, or use {.code overwrite = TRUE}."))
  }
  if (!holds_cells(object)) cells_source(object)
  opened <- open_model(model %||% object, name, verbose = verbose)
  source <- cells_source(object, assay, opened$facts$input)
  check_evaluated(source, opened$facts$system, labels, batch)
  data <- model_expression(source, opened$facts, verbose = verbose)
  adata <- send_to_model(data, source, opened$facts, c(labels, batch))
  inform(verbose, c(i = "Writing the report."))
  path <- reticulate::py_to_r(call_bridge("report", opened$handle, adata, path.expand(file),
    drop_null(list(
      label_key = labels, batch_key = batch, max_cells = whole_or_null(max.cells),
      seed = as.integer(seed.use)
    ))))
  inform(verbose, c(i = "The report is in {.path {path}}."))
  invisible(path)
}
