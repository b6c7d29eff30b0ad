#' Human and mouse pancreas cells
#'
#' Real cells to try things on: 2,142 human and 1,886 mouse cells of Baron et al. (2016), with raw
#' counts of the genes that have a one-to-one ortholog and are measured in both species, under
#' their human names. They lie in the Python package `came`, which is used as data and needs none
#' of its dependencies:
#' `reticulate::py_install("came==0.1.13", pip = TRUE, pip_options = "--no-deps")`.
#'
#' @param as Class of the object: `"Seurat"` or `"SingleCellExperiment"`.
#' @param path The wheel of `came`, if it is not installed.
#'
#' @return An object with counts and the metadata `species`, `donor` (four people and two mice),
#'   `cell_type` (the same names in both species) and `cell_type_fine` (as published).
#'
#' @references Baron M, et al. (2016). A single-cell transcriptomic map of the human and mouse
#'   pancreas reveals inter- and intra-cell population structure. Cell Systems 3, 346-360.
#' @export
#' @examplesIf scsystems_ready("came") && rlang::is_installed("SeuratObject")
#' object <- pancreas_cells()
#' table(object$cell_type, object$species)
pancreas_cells <- function(as = c("Seurat", "SingleCellExperiment"), path = NULL) {
  as <- rlang::arg_match(as)
  check_string(path, "path", null = TRUE)
  rlang::check_installed(if (as == "Seurat") "SeuratObject" else as)
  example_object(call_bridge("pancreas", if (!is.null(path)) path.expand(path)), as)
}

#' Human and mouse pancreas cells with genes of their own
#'
#' The cells of [pancreas_cells()] with all genes of their own species (20,125 and 14,877), and the
#' orthologs between them.
#'
#' @inheritParams pancreas_cells
#'
#' @return A list with an object for `human` and one for `mouse`, as [pancreas_cells()] describes
#'   them, and `orthologs`, a data frame with the columns `human` and `mouse` and the `type` of
#'   the pair.
#' @export
#' @examplesIf scsystems_ready("came") && rlang::is_installed("SeuratObject")
#' cells <- pancreas_species()
#' cells$human
#' head(cells$orthologs)
pancreas_species <- function(as = c("Seurat", "SingleCellExperiment"), path = NULL) {
  as <- rlang::arg_match(as)
  check_string(path, "path", null = TRUE)
  rlang::check_installed(if (as == "Seurat") "SeuratObject" else as)
  value <- call_bridge("pancreas_by_species", if (!is.null(path)) path.expand(path))
  part <- function(name) reticulate::py_get_item(value, name)
  list(human = example_object(part("human"), as), mouse = example_object(part("mouse"), as),
       orthologs = frame_from_parts(reticulate::py_to_r(part("orthologs"))))
}

# An object of what Python gave.
example_object <- function(parts, as) {
  parts <- reticulate::py_to_r(parts)
  counts <- matrix_from_parts(parts$matrix)
  dimnames(counts) <- list(as.character(unlist(parts$genes)), as.character(unlist(parts$cells)))
  obs <- frame_from_parts(parts$obs, row.names = colnames(counts))
  object_of(counts, obs, as)
}
