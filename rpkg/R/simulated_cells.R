#' Small simulated cells
#'
#' Cells to try the functions on in seconds, made in R alone: two species, four donors (or two per
#' species with `simulated_species()`), three cell types and counts. What is found in them means
#' nothing; for real cells see [pancreas_cells()].
#'
#' `simulated_species()` gives the species apart, each with genes of its own, for [RunScSpecies()].
#'
#' @param as Class of the object: `"Seurat"` or `"SingleCellExperiment"`.
#' @param cells,genes Number of cells and genes (of each species, with `simulated_species()`).
#' @param seed Seed; R's own random numbers stay as they are.
#'
#' @return `simulated_cells()`: an object with counts and the metadata `species`, `donor` and
#'   `cell_type`. `simulated_species()`: a list with an object for `mouse` and one for `human`, and
#'   `orthologs`, a data frame of the pairs of genes.
#' @export
#' @examplesIf rlang::is_installed("SingleCellExperiment")
#' object <- simulated_cells("SingleCellExperiment")
#' object
#' names(simulated_species("SingleCellExperiment"))
simulated_cells <- function(as = c("Seurat", "SingleCellExperiment"), cells = 240, genes = 300,
                            seed = 1) {
  as <- rlang::arg_match(as)
  check_simulated(as, cells, genes, seed)
  obs <- simulated_metadata(c("human", "mouse"), cells)
  rates <- with_own_seed(seed, simulated_rates(obs, genes))
  object_of(with_own_seed(seed, poisson_counts(rates, paste0("gene", seq_len(genes)), obs)), obs, as)
}

#' @rdname simulated_cells
#' @export
simulated_species <- function(as = c("Seurat", "SingleCellExperiment"), cells = 120, genes = 300,
                              seed = 1) {
  as <- rlang::arg_match(as)
  check_simulated(as, cells, genes, seed)
  names <- list(mouse = paste0("mm", seq_len(genes)), human = paste0("HS", seq_len(genes)))
  made <- lapply(stats::setNames(nm = names(names)), function(species) {
    obs <- simulated_metadata(species, cells)
    # types are alike in both, and every species has something of its own
    rates <- with_own_seed(seed, simulated_rates(obs, genes))
    own <- seed + match(species, names(names))
    rates <- with_own_seed(own, rates * exp(stats::rnorm(genes, sd = 0.3)))
    object_of(with_own_seed(own, poisson_counts(rates, names[[species]], obs)), obs, as)
  })
  # the last tenth of the genes has no counterpart
  paired <- seq_len(floor(0.9 * genes))
  c(made, list(orthologs = data.frame(mouse = names$mouse[paired], human = names$human[paired])))
}

check_simulated <- function(as, cells, genes, seed, call = caller_env()) {
  check_number(cells, "cells", min = 12, whole = TRUE, call = call)
  check_number(genes, "genes", min = 30, whole = TRUE, call = call)
  check_number(seed, "seed", min = 0, whole = TRUE, call = call)
  rlang::check_installed(if (as == "Seurat") "SeuratObject" else as, call = call)
}

# Every donor has cells of all types.
simulated_metadata <- function(species, cells) {
  donors <- paste0(rep(species, each = 4 / length(species)), seq_len(4 / length(species)))
  donor <- rep(donors, length.out = cells)
  type <- rep(c("alpha", "beta", "delta"), each = 4, length.out = cells)
  obs <- data.frame(species = factor(sub("[0-9]+$", "", donor), species), donor = factor(donor),
                    cell_type = factor(type))
  rownames(obs) <- paste0(obs$species, "_cell", seq_len(cells))
  obs
}

# A rate per gene and cell: of the gene, raised or lowered in a type, a species and a donor.
simulated_rates <- function(obs, genes) {
  effect <- function(column, sd) {
    matrix(stats::rnorm(genes * 4, sd = sd), genes)[, as.integer(obs[[column]]), drop = FALSE]
  }
  exp(stats::rnorm(genes) + effect("cell_type", 1) + effect("species", 0.7) + effect("donor", 0.2))
}

poisson_counts <- function(rates, genes, obs) {
  counts <- matrix(stats::rpois(length(rates), rates), nrow(rates),
                   dimnames = list(genes, rownames(obs)))
  as(counts, "CsparseMatrix")
}

# An object of counts and metadata.
object_of <- function(counts, obs, as) {
  if (as == "Seurat") return(SeuratObject::CreateSeuratObject(counts, meta.data = obs))
  SingleCellExperiment::SingleCellExperiment(list(counts = counts), colData = obs)
}

# Random numbers of a seed, after which R goes on with its own.
with_own_seed <- function(seed, expr) {
  before <- get0(".Random.seed", globalenv(), inherits = FALSE)
  on.exit(if (is.null(before)) rm(".Random.seed", envir = globalenv())
          else assign(".Random.seed", before, globalenv()))
  set.seed(seed, kind = "Mersenne-Twister", normal.kind = "Inversion", sample.kind = "Rejection")
  expr
}
