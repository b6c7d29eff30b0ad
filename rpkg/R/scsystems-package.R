#' scsystems: integrate single-cell data from different systems
#'
#' Species, organoids and tissue, or cells and nuclei differ by more than a usual batch effect.
#' [RunSysVI()] integrates such data with sysVI (Hrovatin et al. 2025), on Seurat,
#' SingleCellExperiment and AnnData objects. [RunScSpecies()] aligns species that keep their own genes
#' with scSpecies (Schächter et al. 2025). [EvaluateIntegration()], [BatchStrength()] and
#' [TuneSysVI()] measure and choose.
#'
#' The models are written in Python, which this package carries along. What Python itself needs
#' (torch and a few others) comes with [install_scsystems()]; [scsystems_sitrep()] says how things
#' stand.
#'
#' Where to begin: `vignette("start-here")` for Seurat, `vignette("single-cell-experiment")`,
#' `vignette("query-mapping")` and `vignette("scspecies")`; [simulated_cells()] to try things on.
#'
#' @keywords internal
#' @importFrom Matrix colSums
#' @importMethodsFrom Matrix coerce
#' @importFrom methods as is new slot
#' @importFrom rlang %||% .data caller_env
"_PACKAGE"

# What this session has found out about Python; filled in by bridge().
the <- new.env(parent = emptyenv())
