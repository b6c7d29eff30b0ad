test_that("Seurat objects get reduction, labels, confidence and novelty", {
  mouse <- species_seurat("mouse")
  human <- species_seurat("human", seed = 2)
  result <- trained_species()
  expect_s3_class(result, "scspecies")
  expect_identical(result$species, c("mouse", "human"))
  for (object in list(result$context, result$targets$human)) {
    expect_identical(SeuratObject::Reductions(object), "scspecies")
    expect_identical(colnames(SeuratObject::Embeddings(object, "scspecies")),
                     paste0("scspecies_", 1:4))
  }
  expect_identical(colnames(result$context[[]]), colnames(mouse[[]]))
  added <- c("predicted.cell_type", "predicted.cell_type.confidence",
             "predicted.cell_type.novelty", "predicted.cell_type.novel")
  expect_identical(colnames(result$targets$human[[]]), c(colnames(human[[]]), added))
  metadata <- result$targets$human[[]]
  expect_identical(levels(metadata$predicted.cell_type), c("alpha", "beta", "gamma"))
  expect_true(all(metadata$predicted.cell_type.confidence > 0))
  expect_type(metadata$predicted.cell_type.novel, "logical")
  expect_identical(result$cells$cell, colnames(human))
  expect_identical(result$cells$known, as.character(human$cell_type))
  expect_identical(result$cells$label, unname(metadata$predicted.cell_type))
  counts <- function(object) scsystems:::assay_matrix(object[["RNA"]], "counts")
  expect_identical(counts(result$context), counts(mouse))
})

test_that("tables are data frames, named by target and type", {
  result <- trained_species()
  types <- c("alpha", "beta", "gamma")
  expect_identical(nrow(result$similarity), 9L)
  expect_setequal(result$similarity$context_type, types)
  expect_identical(nrow(result$differential), 3L * 260L)
  expect_identical(result$differential$target_gene[1:3], c("HS1", "HS2", "HS3"))
  expect_identical(result$differential$context_gene[1:3], c("mm1", "mm2", "mm3"))
  expect_identical(sort(unique(result$prototypes$epoch)), 1:2)
  expect_identical(result$genes, species_pairs[1:2])
  for (table in result[c("cells", "similarity", "differential", "prototypes")]) {
    expect_s3_class(table, "data.frame")
    expect_identical(unique(table$target), "human")
  }
})

test_that("it gives what Python gives", {
  result <- trained_species()
  scs <- scsystems_python()
  send <- function(species, seed) {
    data <- species_counts_of(species, seed = seed)
    scsystems:::call_bridge(
      "make_anndata", matrix = scsystems:::matrix_to_parts(data$counts),
      obs = scsystems:::frame_to_parts(data$obs),
      cells = scsystems:::text_list(colnames(data$counts)),
      genes = scsystems:::text_list(rownames(data$counts))
    )
  }
  table <- reticulate::import("pandas", convert = FALSE)$DataFrame(as.list(species_pairs[1:2]))
  model <- scs$ScSpecies(
    list(mouse = send("mouse", 1)), list(human = send("human", 2)), "cell_type", table,
    target_labels = "cell_type", batch_key = "donor", n_latent = 4L, n_neighbors = 10L,
    n_hidden = 16L, n_features = 16L, seed = 42L
  )
  model$train(max_epochs = 2L, batch_size = 45L, verbose = FALSE)
  latent <- function(name) reticulate::py_to_r(model$get_latent_representation(name))
  embedding <- SeuratObject::Embeddings(result$targets$human, "scspecies")
  expect_equal(unname(embedding), latent("human"), tolerance = 1e-5)
  expect_equal(unname(SeuratObject::Embeddings(result$context, "scspecies")), latent("mouse"),
               tolerance = 1e-5)
  column <- function(frame, name) unlist(reticulate::py_to_r(frame[[name]]$tolist()))
  expect_identical(as.character(result$cells$label),
                   column(model$transfer_labels("human"), "label"))
  expect_equal(result$cells$novelty, column(model$novelty("human"), "score"), tolerance = 1e-4)
  found <- model$differential_expression("human")
  expect_equal(result$differential$lfc, column(found, "lfc"), tolerance = 1e-4)
})

test_that("the merged object has shared orthologs and the reduction", {
  result <- trained_species()
  merged <- result$merged
  expect_equal(dim(merged), c(260, 180))
  expect_identical(rownames(merged), species_pairs$mouse)
  expect_identical(levels(merged$species), c("mouse", "human"))
  expect_identical(unname(merged$predicted.cell_type[1:90]), unname(merged$cell_type[1:90]))
  expect_identical(unname(SeuratObject::Embeddings(merged, "scspecies")),
                   unname(rbind(SeuratObject::Embeddings(result$context, "scspecies"),
                                SeuratObject::Embeddings(result$targets$human, "scspecies"))))
  human <- species_counts_of("human", seed = 2)$counts
  counts <- scsystems:::assay_matrix(merged[["RNA"]], "counts")[, 91:180]
  expect_equal(unname(as.matrix(counts)), unname(as.matrix(human[1:260, ])))
  data <- scsystems:::assay_matrix(merged[["RNA"]], "data")[, 91:180]
  expected <- log1p(t(t(as.matrix(human)) / Matrix::colSums(human)) * 1e4)[1:260, ]
  expect_equal(unname(as.matrix(data)), unname(expected))
})

test_that("a SingleCellExperiment gives the same", {
  result <- trained_species("sce")
  seurat <- trained_species()
  expect_identical(result$cells, seurat$cells)
  expect_identical(result$differential, seurat$differential)
  human <- result$targets$human
  expect_identical(SingleCellExperiment::reducedDimNames(human), "SCSPECIES")
  expect_identical(human$predicted.cell_type, result$cells$label)
  merged <- result$merged
  expect_s4_class(merged, "SingleCellExperiment")
  expect_identical(SummarizedExperiment::assayNames(merged), c("counts", "logcounts"))
  expect_identical(dim(SingleCellExperiment::reducedDim(merged, "SCSPECIES")), c(180L, 4L))
  expect_identical(SummarizedExperiment::assays(result$context),
                   SummarizedExperiment::assays(species_sce("mouse")))
})

test_that("several targets, one table each, without labels of their own; a further one later", {
  human <- species_seurat("human", seed = 2)
  human$cell_type <- NULL
  both <- quick_species(
    species_seurat("mouse"), list(human = human, pig = species_seurat("pig", seed = 3)),
    species = "mouse", merge = FALSE,
    orthologs = list(human = species_pairs[1:2], pig = species_pairs[c("mouse", "pig")][-(1:5), ])
  )
  expect_named(both$targets, c("human", "pig"))
  expect_null(both$merged)
  expect_true(all(is.na(both$cells$known[both$cells$target == "human"])))
  expect_setequal(both$similarity$target, c("human", "pig"))
  expect_identical(both$genes, species_pairs[-(1:5), ], ignore_attr = "row.names")
  later <- RunScSpecies(
    trained_species(), list(pig = species_seurat("pig", seed = 3)), batch = "donor",
    orthologs = species_pairs[c("mouse", "pig")][-(1:5), ], max.epochs = 2, verbose = FALSE,
    control = scspecies_options(batch_size = 45)
  )
  expect_identical(later$species, c("mouse", "human", "pig"))
  expect_identical(later$cells[later$cells$target == "human", ], trained_species()$cells)
  expect_equal(later$cells[later$cells$target == "pig", "novelty"],
               both$cells[both$cells$target == "pig", "novelty"], tolerance = 1e-3)
  expect_equal(dim(later$merged), c(255, 270))
  expect_refused(RunScSpecies(later, species_seurat("pig"), species_pairs, species = "pig"),
                 message = "has \"pig\" already")
  expect_refused(
    RunScSpecies(later, species_seurat("pig"), species_pairs, species = "sow",
                 control = scspecies_options(eta = 3)),
    message = "eta.*cannot be changed"
  )
})

test_that("a cell name that two species have gets the species in front", {
  mouse <- species_seurat("mouse")
  human <- species_seurat("human", seed = 2)
  human <- SeuratObject::RenameCells(human, new.names = colnames(mouse))
  merged <- quick_species(mouse, human, max.epochs = 1)$merged
  expect_identical(colnames(merged)[c(1, 91)], c("mouse_mouse_1", "human_mouse_1"))
})

test_that("genes are chosen, or taken as given", {
  mouse <- species_seurat("mouse")
  human <- species_seurat("human", seed = 2)
  features <- list(mouse = paste0("mm", 1:255), human = paste0("HS", 1:255))
  given <- quick_species(mouse, human, features = features, max.epochs = 1, merge = FALSE)
  expect_identical(given$history$genes, c(mouse = 255L, human = 255L))
  expect_identical(nrow(given$genes), 260L)
  expect_identical(nrow(given$differential), 3L * 255L)
  chosen <- suppressWarnings(quick_species(
    mouse, human, max.epochs = 1, merge = FALSE,
    control = scspecies_options(n_top_genes = 200, n_neighbors = 10, batch_size = 45)
  ))
  expect_identical(chosen$history$genes, c(mouse = 200L, human = 200L))
  expect_refused(quick_species(mouse, human, features = list(human = c("HS1", "none"))),
                 message = "1 of 2 are not genes.*none")
  expect_refused(quick_species(mouse, human, features = "HS1"), message = "features.*list")
  expect_refused(quick_species(mouse, human, features = list(rat = "a")), message = "rat")
})

test_that("genes are those that Python chooses", {
  objects <- list(mouse = species_seurat("mouse"), human = species_seurat("human", seed = 2))
  ours <- function(...) {
    result <- suppressWarnings(
      quick_species(objects$mouse, objects$human, max.epochs = 1, merge = FALSE,
                    control = small_species_options(...)),
      classes = "scsystems_warning"
    )
    lapply(list(mouse = result$context, human = result$targets$human), function(object) {
      sort(object[["scspecies"]]@misc$scsystems$features)
    })
  }
  scs <- reticulate::import("scsystems", convert = FALSE)
  pd <- reticulate::import("pandas", convert = FALSE)
  cells <- lapply(c(mouse = 1, human = 2), function(seed) {
    data <- species_counts_of(c("mouse", "human")[[seed]], seed = seed)
    reticulate::import("anndata", convert = FALSE)$AnnData(
      reticulate::r_to_py(t(as.matrix(data$counts))), obs = reticulate::r_to_py(data$obs),
      var = pd$DataFrame(index = as.list(rownames(data$counts)))
    )
  })
  theirs <- function(...) {
    model <- scs$ScSpecies(
      reticulate::dict(mouse = cells$mouse), reticulate::dict(human = cells$human), "cell_type",
      pd$DataFrame(lapply(species_pairs[1:2], as.list)), batch_key = "donor", n_neighbors = 10L, ...
    )
    both <- scsystems:::species_facts(model)$parts
    lapply(both, function(part) sort(part$genes))
  }
  chosen <- ours(n_top_genes = 180)
  expect_identical(chosen, theirs(n_top_genes = 180L))
  expect_identical(lengths(chosen), c(mouse = 180L, human = 180L))
  expect_identical(ours(), theirs())
  expect_identical(ours(n_top_genes = Inf), theirs(n_top_genes = NULL))
  expect_identical(ours(n_top_genes = 180, min_cells = 40), theirs(n_top_genes = 180L, min_cells = 40L))
  # nothing is given that the user did not give
  expect_identical(scsystems:::gene_arguments(scspecies_options()), list(min_cells = 3L))
})

test_that("the logged command holds no objects", {
  command <- SeuratObject::Command(trained_species()$targets$human, "RunScSpecies.RNA")
  expect_identical(command@params$target, "human")
  expect_lt(utils::object.size(command), 50000)
})

test_that("progress names the species, and callbacks are called", {
  said <- utils::capture.output(type = "message", {
    seen <- 0
    result <- quick_species(
      species_seurat("mouse"), species_seurat("human", seed = 2), verbose = TRUE, merge = FALSE,
      control = small_species_options(train = list(callbacks = function(...) seen <<- seen + 1))
    )
  })
  said <- gsub("\\s+", " ", paste(said, collapse = " "))
  expect_match(said, "Training mouse: epoch 2/2.*Training human: epoch 1/2.*human: 2 epochs")
  expect_identical(seen, 4)
})

test_that("training goes on from checkpoints to the same result", {
  mouse <- species_seurat("mouse")
  human <- species_seurat("human", seed = 2)
  folder <- tempfile("checkpoints")
  run <- function(...) {
    quick_species(mouse, human, max.epochs = 3, merge = FALSE,
                  control = small_species_options(train = list(checkpoint_every = 1, ...),
                                                  checkpoint_dir = folder))
  }
  # stop the target after two of its three epochs
  seen <- 0
  cut <- run(callbacks = function(...) (seen <<- seen + 1) < 5)
  expect_identical(as.vector(table(cut$history$metrics$species)[c("mouse", "human")]), c(3L, 2L))
  resumed <- run(resume = TRUE)
  straight <- quick_species(mouse, human, max.epochs = 3, merge = FALSE)
  for (name in c("cells", "differential")) expect_equal(resumed[[name]], straight[[name]])
})

test_that("threads go to Python as a whole number, and only if asked for", {
  arguments <- function(...) scsystems:::species_train_arguments(NULL, scspecies_options(...))
  expect_identical(arguments(n_threads = 2)$n_threads, 2L)
  expect_false("n_threads" %in% names(arguments()))
  expect_refused(scspecies_options(n_threads = 1.5), message = "n_threads.*1.5")
})
