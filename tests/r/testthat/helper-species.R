# Small simulated species with genes of their own: 260 orthologs and 20 further genes each,
# three cell types, two donors.

species_counts_of <- function(species, cells = 90, seed = 1) {
  set.seed(7)
  shared <- matrix(stats::rgamma(260 * 3, 1), 260, 3)  # the same in all species
  set.seed(seed)
  n <- c(alpha = 1, beta = 2, gamma = 3)
  type <- rep(names(n), length.out = cells)
  rate <- rbind(shared, matrix(stats::rgamma(20 * 3, 1), 20, 3))[, n[type]]
  rate <- rate * exp(stats::rnorm(280, sd = 0.2))
  prefix <- c(mouse = "mm", human = "HS", pig = "pig")[[species]]
  counts <- matrix(stats::rpois(280 * cells, rate), 280, cells,
                   dimnames = list(paste0(prefix, 1:280), paste0(species, "_", seq_len(cells))))
  list(
    counts = methods::as(counts, "CsparseMatrix"),
    obs = data.frame(cell_type = factor(type), donor = rep(paste0(species, 1:2), length.out = cells),
                     row.names = colnames(counts))
  )
}

species_seurat <- function(species, ...) {
  data <- species_counts_of(species, ...)
  SeuratObject::CreateSeuratObject(data$counts, meta.data = data$obs)
}

species_sce <- function(species, ...) {
  data <- species_counts_of(species, ...)
  SingleCellExperiment::SingleCellExperiment(list(counts = data$counts), colData = data$obs)
}

species_pairs <- data.frame(mouse = paste0("mm", 1:260), human = paste0("HS", 1:260),
                            pig = paste0("pig", 1:260))

small_species_options <- function(...) {
  scspecies_options(..., n_neighbors = 10, n_hidden = 16, n_features = 16, batch_size = 45)
}

quick_species <- function(context, target, species = c("mouse", "human"), ...,
                          labels = "cell_type", orthologs = species_pairs[1:2], batch = "donor",
                          max.epochs = 2, verbose = FALSE, control = small_species_options()) {
  RunScSpecies(context, target, labels = labels, orthologs = orthologs, species = species,
               batch = batch, dims = 4, max.epochs = max.epochs, verbose = verbose,
               control = control, ...)
}

# A result that several tests look at: trained once.
trained_species <- local({
  results <- list()
  function(kind = "seurat") {
    if (is.null(results[[kind]])) {
      make <- if (kind == "seurat") species_seurat else species_sce
      results[[kind]] <<- quick_species(make("mouse"), make("human", seed = 2))
    }
    results[[kind]]
  }
})
