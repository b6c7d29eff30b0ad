#' Human and mouse pancreas cells
#'
#' Real cells to try things on: 2,142 human and 1,886 mouse cells of Baron et al. (2016), with raw
#' counts of the genes that have a one-to-one orthologue and are measured in both species, under
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
#' @examples
#' \dontrun{
#' object <- pancreas_cells()
#' table(object$cell_type, object$species)
#' }
pancreas_cells <- function(as = c("Seurat", "SingleCellExperiment"), path = NULL) {
  as <- rlang::arg_match(as)
  check_string(path, "path", null = TRUE)
  rlang::check_installed(if (as == "Seurat") "SeuratObject" else as)
  parts <- reticulate::py_to_r(call_bridge("pancreas", if (!is.null(path)) path.expand(path)))
  counts <- matrix_from_parts(parts$matrix)
  dimnames(counts) <- list(as.character(unlist(parts$genes)), as.character(unlist(parts$cells)))
  obs <- frame_from_parts(parts$obs, row.names = colnames(counts))
  if (as == "Seurat") return(SeuratObject::CreateSeuratObject(counts, meta.data = obs))
  SingleCellExperiment::SingleCellExperiment(list(counts = counts), colData = obs)
}
