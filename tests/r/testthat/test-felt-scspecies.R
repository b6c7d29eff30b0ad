# Arguments of the functions for scSpecies and for species with genes of their own, see test-felt.R.

# Species with another assay of counts, and a column of other types.
species <- function(name, as = "seurat", ...) {
  object <- if (as == "seurat") species_seurat(name, ...) else species_sce(name, ...)
  other <- species_counts_of(name, cells = ncol(object), seed = 9)$counts
  if (as == "seurat") object[["other"]] <- SeuratObject::CreateAssayObject(other)
  else SummarizedExperiment::assay(object, "other") <- other
  object$half <- rep(c("a", "b"), length.out = ncol(object))
  object
}
small <- function(...) small_species_options(n_top_genes = 100, ...)
aligned <- list(mouse = species("mouse"), human = species("human", seed = 2))

test_that("arguments of scspecies_options()", {
  at <- tempfile()
  run <- function(control) {
    RunScSpecies(aligned$mouse, aligned$human, labels = "cell_type", orthologs = species_pairs[1:2],
                 species = c("mouse", "human"), dims = 3, max.epochs = 1, control = control,
                 merge = FALSE, verbose = FALSE, model.dir = at, overwrite = TRUE)
  }
  expect_felt(
    with_options(scspecies_options, run),
    list(n_top_genes = 100, n_hidden = 16, n_features = 16, n_neighbors = 10),
    list(preset = "paper", alignment = "latent", n_neighbors = 9, quantile = 0.5,
         kl_weight = c(0.5, 1), eta = c(1, 2), mixing_weight = 1, n_warmup = 3, search_every = 2,
         likelihood = "zinb", dispersion = "cell", library = "encoder", encoder_input = "counts",
         homologous_fraction = "genes", n_features = 12, n_hidden = 12, dropout_rate = 0.3,
         batch_size = 33, n_threads = 2, lr = 0.1, n_top_genes = 120, min_cells = 5,
         checkpoint_dir = tempfile(), model = list(layer = "x"), train = list(precision = "float32"),
         orthologs = list(kind = "one2one"), transfer = list(n_neighbors = 3),
         novelty = list(n_neighbors = 3), similarity = list(n_samples = 3),
         differential = list(n_samples = 20)),
    stop_at = "species_prototypes"
  )
})

test_that("arguments of RunScSpecies() for Seurat", {
  at <- replicate(2, tempfile())
  expect_felt(
    scsystems:::RunScSpecies.Seurat,
    list(context = aligned$mouse, target = aligned$human, labels = "cell_type",
         orthologs = species_pairs[1:2], species = c("mouse", "human"), dims = 3, max.epochs = 1,
         model.dir = at[[1]], overwrite = TRUE, control = small()),
    list(context = aligned$mouse[, -1], target = aligned$human[, -1], labels = "half",
         orthologs = species_pairs[-1, 1:2],
         species = beside(c("mouse", "homo"), orthologs = cbind(species_pairs[1:2], homo = species_pairs$human)),
         batch = "donor", target.labels = "half",
         features = list(human = paste0("HS", 1:80)), assay = "other", reduction.name = "mine",
         reduction.key = "my_", dims = 4, max.epochs = 2, device = "cpu", seed.use = 1,
         model.dir = at[[2]], merge = FALSE, overwrite = refused(FALSE), verbose = FALSE,
         control = small(lr = 0.1))
  )
})

test_that("arguments of RunScSpecies() for SingleCellExperiments", {
  at <- replicate(2, tempfile())
  mouse <- species("mouse", "sce")
  human <- species("human", "sce", seed = 2)
  expect_felt(
    scsystems:::RunScSpecies.SingleCellExperiment,
    list(context = mouse, target = human, labels = "cell_type",
         orthologs = species_pairs[1:2], species = c("mouse", "human"), dims = 3, max.epochs = 1,
         model.dir = at[[1]], overwrite = TRUE, control = small()),
    list(context = mouse[, -1], target = human[, -1], labels = "half",
         orthologs = species_pairs[-1, 1:2],
         species = beside(c("mouse", "homo"), orthologs = cbind(species_pairs[1:2], homo = species_pairs$human)),
         batch = "donor", target.labels = "half",
         features = list(human = paste0("HS", 1:80)), assay.type = "other", name = "MINE",
         dims = 4, max.epochs = 2, device = "cpu", seed.use = 1, model.dir = at[[2]],
         merge = FALSE, overwrite = refused(FALSE), verbose = FALSE, control = small(lr = 0.1))
  )
})

# One that all further tests look at.
result <- quick_species(aligned$mouse, aligned$human, batch = NULL)

test_that("arguments of RunScSpecies() for further species", {
  at <- replicate(2, tempfile())
  pig <- species("pig", seed = 3)
  pairs <- cbind(species_pairs[c(1, 3)], hog = species_pairs$pig)
  other <- quick_species(aligned$mouse, aligned$human, seed.use = 3, batch = NULL)
  expect_felt(
    scsystems:::RunScSpecies.scspecies,
    list(context = result, target = pig, species = "pig", orthologs = pairs,
         max.epochs = 1, model.dir = at[[1]], overwrite = TRUE),
    list(context = other, target = pig[, -1], orthologs = pairs[-1, ], species = "hog",
         batch = "donor", target.labels = "half",
         features = list(pig = paste0("pig", 1:80)), assay = list(pig = "other"),
         max.epochs = 2, device = "cpu", model.dir = at[[2]], merge = FALSE,
         overwrite = refused(FALSE), verbose = FALSE, control = scspecies_options(lr = 0.1))
  )
})

test_that("arguments of LoadScSpecies() and RelevantGenes()", {
  two <- quick_species(result$context, aligned$human, reduction.name = "second", batch = NULL)
  written <- changed <- list(mouse = result$context, human = result$targets$human)
  changed$human$mine <- 1
  expect_felt(
    LoadScSpecies, list(model = two$context, objects = written, overwrite = TRUE),
    list(model = ModelPath(result), objects = changed, assay = refused("other"),
         reduction.name = "mine", device = "cpu", merge = FALSE, overwrite = refused(FALSE, reduction.name = "scspecies"),
         verbose = FALSE, control = scspecies_options(transfer = list(n_neighbors = 3)),
         name = "scspecies")
  )
  expect_felt(
    RelevantGenes, list(result = result),
    list(result = two, species = "human", n.genes = 3, gamma = 0.5, n.cells = 5, device = "cpu",
         seed.use = 1)
  )
})

test_that("arguments of JoinSpecies()", {
  objects <- list(human = species("human", cells = 30), mouse = species("mouse", cells = 30))
  pairs <- species_pairs[c("human", "mouse")]
  twice <- rbind(pairs, data.frame(human = "HS1", mouse = "mm261"))
  expect_felt(
    JoinSpecies, list(objects = objects, orthologs = twice),
    list(objects = rev(objects), orthologs = pairs[-1, ], orthology = "groups", system = "mine",
         assay = "other", verbose = FALSE)
  )
})
