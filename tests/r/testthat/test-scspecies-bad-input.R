mouse <- species_seurat("mouse")
human <- species_seurat("human", seed = 2)
refused <- function(..., message, class = "scsystems_input_error") {
  expect_refused(quick_species(...), class, message)
}

test_that("classes that do not fit are refused", {
  expect_refused(RunScSpecies(1, human), message = "no method.*numeric")
  refused(mouse, species_sce("human"), message = "same class as `context`")
  refused(species_sce("mouse"), list(human = human), message = "same class as `context`")
  refused(mouse, list(), message = "target.*empty")
  refused(mouse, human, control = sysvi_options(), message = "scspecies_options")
})

test_that("names of species must be clear and distinct", {
  refused(mouse, list(human = human, human = human), species = "mouse",
          message = "more than once.*human")
  refused(mouse, list(mouse = human), species = "mouse", message = "more than once.*mouse")
  refused(mouse, list(human, human), species = NULL, message = "without names")
  refused(mouse, human, species = c("mouse", "human", "pig"), message = "and then 1 target")
  refused(mouse, list(human = human), species = c("mouse", "pig"), message = "targets called human")
  refused(mouse, human, species = 1:2, message = "names of species")
})

test_that("columns must be there and complete", {
  refused(mouse, human, labels = "absent", message = "labels.*no column.*absent.*mouse")
  refused(mouse, human, batch = "absent", message = "batch.*no column.*absent")
  refused(mouse, human, batch = list(mouse = "donor"), message = "batch.*no entry for.*human")
  refused(mouse, human, target.labels = "absent", message = "target.labels.*absent.*human")
  refused(mouse, human, batch = c(mouse = "donor", rat = "donor"), message = "rat")
  unlabeled <- mouse
  unlabeled$cell_type[3] <- NA
  refused(unlabeled, human, message = "cell_type.*mouse.*NA for 1 of 90.*unknown")
  half <- human
  half$cell_type[1:9] <- NA
  refused(mouse, half, message = "NA for 9 of 90.*target.labels = FALSE")
  result <- quick_species(mouse, half, target.labels = FALSE, max.epochs = 1, merge = FALSE)
  expect_true(all(is.na(result$cells$known)))
})

test_that("anything but raw counts is refused", {
  logged <- log_normalized(species_counts_of("human", seed = 2)$counts)
  object <- SeuratObject::CreateSeuratObject(logged, meta.data = human[[]])
  refused(mouse, object, message = "human.*RNA.*raw counts.*fractions, such as")
  sce <- species_sce("human", seed = 2)
  SummarizedExperiment::assay(sce, "logcounts") <- logged
  refused(species_sce("mouse"), sce, assay.type = list(mouse = "counts", human = "logcounts"),
          message = "fractions")
  refused(species_sce("mouse"), sce, assay.type = "none", message = "no assay.*none.*counts")
  refused(mouse, human, assay = "none", message = "no assay.*none")
  broken <- species_sce("mouse")
  SummarizedExperiment::assay(broken)@x[5] <- NaN
  refused(broken, species_sce("human"), class = "scsystems_non_finite_error", message = "NaN")
  rownames(sce)[5] <- "HS1"
  refused(species_sce("mouse"), sce, message = "gene name.*more than once.*HS1")
})

test_that("orthologs must be readable and of these species", {
  refused(mouse, human, orthologs = tempfile(), message = "no file")
  refused(mouse, human, orthologs = 1, message = "orthologs.*path of a table")
  refused(mouse, human, orthologs = species_pairs[0, 1:2], message = "0 rows")
  refused(mouse, human, orthologs = list(pig = species_pairs), message = "table for every target")
  refused(mouse, human, message = "share|genes", orthologs = data.frame(
    mouse = paste0("x", 1:260), human = paste0("y", 1:260)
  ))
  refused(mouse, human, message = "swapped|the other",
          orthologs = data.frame(mouse = species_pairs$human, human = species_pairs$mouse))
  refused(mouse, human, message = "share 30 one-to-one genes",
          orthologs = data.frame(mouse = c(paste0("mm", 1:30), paste0("a", 1:40)),
                                   human = c(paste0("HS", 1:30), paste0("b", 1:40))))
  expect_warning(
    quick_species(mouse, human, orthologs = species_pairs[1:200, 1:2], max.epochs = 1,
                  merge = FALSE),
    "only 200 one-to-one"
  )
})

test_that("a table that names species needs their names, and what is missing is named", {
  expect_refused(RunScSpecies(mouse, human, labels = "cell_type", verbose = FALSE,
                              orthologs = species_pairs),
                 message = "species.*as the ortholog table does.*mouse, human, pig")
  expect_refused(RunScSpecies(mouse, human, orthologs = species_pairs),
                 message = "labels.*must be given")
  expect_refused(RunScSpecies(mouse, labels = "cell_type"), message = "target.*must be given")
  unnamed <- stats::setNames(species_pairs[1:2], c("first", "second"))
  result <- quick_species(mouse, human, species = NULL, orthologs = unnamed, merge = FALSE)
  expect_identical(result$species, c("context", "target"))
})

test_that("genes that hardly any cell has do not disturb the choice of genes", {
  rare <- function(object) {
    counts <- scsystems:::assay_matrix(object[["RNA"]], "counts")
    more <- Matrix::Matrix(0, 400, ncol(counts), sparse = TRUE)
    more[cbind(1:400, 1 + 1:400 %% ncol(counts))] <- 1
    rownames(more) <- paste0("rare", 1:400)
    SeuratObject::CreateSeuratObject(rbind(counts, more), meta.data = object[[]])
  }
  chosen <- quick_species(rare(mouse), rare(human), max.epochs = 1, merge = FALSE,
                          control = small_species_options(n_top_genes = 300))
  expect_identical(chosen$history$genes, c(mouse = 280L, human = 280L))
})

test_that("tables may be files, factors, or have other names", {
  path <- tempfile(fileext = ".tsv")
  utils::write.table(species_pairs[1:2], path, sep = "\t", quote = FALSE, row.names = FALSE)
  expected <- trained_species()$cells
  expect_identical(quick_species(mouse, human, orthologs = path, merge = FALSE)$cells, expected)
  unnamed <- stats::setNames(data.frame(lapply(species_pairs[1:2], factor)), c("first", "second"))
  expect_identical(quick_species(mouse, human, orthologs = unnamed, merge = FALSE)$cells, expected)
  scored <- cbind(species_pairs[1:2], score = rep(1:2, c(5, 255)))
  named <- quick_species(
    mouse, human, orthologs = scored, merge = FALSE, max.epochs = 1,
    control = small_species_options(orthologs = list(
      columns = list(mouse = "mouse", human = "human")
    ))
  )
  expect_identical(nrow(named$genes), 260L)
})

test_that("small groups are warned of", {
  suppressWarnings(expect_warning(
    quick_species(mouse, human, max.epochs = 1, merge = FALSE,
                  control = scspecies_options(n_neighbors = 40, batch_size = 45)),
    "mouse.*fewer cells than n_neighbors=40"
  ))
  tiny <- human[, 1:12]
  result <- suppressWarnings(quick_species(mouse, tiny, max.epochs = 1, merge = FALSE))
  expect_identical(nrow(result$cells), 12L)
})

test_that("settings are checked, and Python refuses those it does not know", {
  refused(mouse, human, max.epochs = 0, message = "max.epochs")
  refused(mouse, human, device = "abacus", message = "abacus")
  refused(mouse, human, merge = NA, message = "merge")
  unknown <- small_species_options(model = list(n_latents = 3))
  refused(mouse, human, control = unknown, message = "n_latents")
  refused(mouse, human, control = small_species_options(transfer = list(k = 3)),
          max.epochs = 1, message = "unknown argument 'k'")
  refused(mouse, human, control = small_species_options(orthologs = list(min = 3)),
          message = "unknown argument 'min'")
  expect_refused(scspecies_options(alignment = "sideways"), message = "alignment.*intermediate")
  expect_refused(scspecies_options(eta = 1:3), message = "eta.*one weight.*or two")
  expect_refused(scspecies_options(n_neighbors = 1.5), message = "n_neighbors")
  expect_refused(scspecies_options(transfer = list(3)), message = "transfer.*named list")
  expect_identical(
    unclass(scsystems:::species_model_arguments(3, 7, scspecies_options(
      eta = c(1, 2), kl_weight = 1, n_neighbors = 5, model = list(dropout_rate = 0.2)
    )))[c("eta", "kl_weight", "n_neighbors", "dropout_rate", "n_latent", "seed")],
    list(eta = list(1, 2), kl_weight = 1, n_neighbors = 5L, dropout_rate = 0.2, n_latent = 3L,
         seed = 7L)
  )
})

test_that("nothing is overwritten unasked, and a failure changes nothing", {
  done <- trained_species()
  refused(done$context, human, message = "scspecies.*already.*overwrite")
  refused(mouse, done$targets$human, reduction.name = "new", message = "predicted.cell_type.*already")
  again <- quick_species(done$context, done$targets$human, overwrite = TRUE, merge = FALSE)
  expect_identical(again$cells, done$cells)
  folder <- tempfile("mine")
  dir.create(folder)
  file.create(file.path(folder, "thesis.txt"))
  refused(mouse, human, model.dir = folder, message = "not empty")
})
