is_v5 <- utils::packageVersion("SeuratObject") >= "5"

test_that("a Seurat object gets a reduction and nothing else of it changes", {
  object <- seurat_object()
  result <- quick(object, covariates = "donor")
  reduction <- result[["sysvi"]]
  expect_s4_class(reduction, "DimReduc")
  embedding <- SeuratObject::Embeddings(reduction)
  expect_identical(dimnames(embedding), list(colnames(object), paste0("sysvi_", 1:4)))
  expect_true(all(is.finite(embedding)))
  expect_gt(min(apply(embedding, 2, stats::sd)), 0)
  expect_identical(unname(SeuratObject::Key(reduction)), "sysvi_")
  expect_identical(SeuratObject::DefaultAssay(reduction), "RNA")
  expect_identical(SeuratObject::Reductions(result), "sysvi")
  expect_identical(result[["RNA"]], object[["RNA"]])
  expect_identical(result[[]], object[[]])
  result@reductions <- object@reductions
  result@commands <- object@commands
  expect_identical(result, object)
})

test_that("the command is logged with its arguments, none of them large", {
  result <- quick(seurat_object())
  command <- SeuratObject::Command(result, "RunSysVI.RNA")
  expect_identical(command@params$dims, 4)
  expect_identical(command@params$system, "species")
  expect_identical(command@assay.used, "RNA")
  expect_lt(utils::object.size(command), 50000)
})

test_that("the embedding is what Python gives for the same cells, genes and seed", {
  object <- seurat_object()
  adata <- anndata_object()
  scs <- reticulate::import("scsystems", convert = FALSE)
  scs$SysVI$setup_anndata(adata, batch_key = "species", categorical_covariate_keys = list("donor"))
  embeddings <- lapply(1:2, function(n_threads) {
    result <- quick(object, covariates = "donor", seed.use = 7,
                    control = small_options(n_threads = n_threads))
    model <- scs$SysVI(adata, n_latent = 4L, n_hidden = 16L, seed = 7L)
    model$train(max_epochs = 2L, batch_size = 40L, n_threads = n_threads, verbose = FALSE)
    embedding <- unname(SeuratObject::Embeddings(result, "sysvi"))
    expect_equal(embedding, reticulate::py_to_r(model$get_latent_representation()),
                 tolerance = 1e-5)
    embedding
  })
  expect_false(identical(embeddings[[1]], embeddings[[2]]))
})

test_that("the same seed gives the same embedding, another seed another", {
  object <- seurat_object()
  first <- SeuratObject::Embeddings(quick(object), "sysvi")
  expect_identical(SeuratObject::Embeddings(quick(object), "sysvi"), first)
  expect_false(identical(SeuratObject::Embeddings(quick(object, seed.use = 1), "sysvi"), first))
  set.seed(3)
  drawn <- quick(object, seed.use = NULL)
  set.seed(3)
  expect_identical(TrainingHistory(quick(object, seed.use = NULL))$seed,
                   TrainingHistory(drawn)$seed)
})

test_that("R's random numbers go on as if nothing had happened", {
  object <- seurat_object()
  set.seed(5)
  expected <- stats::runif(1)
  set.seed(5)
  quick(object)
  expect_identical(stats::runif(1), expected)
})

test_that("counts are normalized for the training, with a message, and left in the object", {
  object <- seurat_object(normalize = FALSE)
  expect_message(result <- quick(object, verbose = TRUE), "counts only")
  expect_equal(SeuratObject::Embeddings(result, "sysvi"),
               SeuratObject::Embeddings(quick(seurat_object()), "sysvi"), tolerance = rounding)
  expect_identical(result[["RNA"]], object[["RNA"]])
})

test_that("counts are scaled by a cell's total over all genes, not over the features", {
  object <- seurat_object(normalize = FALSE)
  few <- all_genes[1:30]
  expect_equal(
    SeuratObject::Embeddings(quick(object, features = few), "sysvi"),
    SeuratObject::Embeddings(quick(seurat_object(), features = few), "sysvi"), tolerance = rounding
  )
})

test_that("without features the highly variable genes of both systems are used", {
  options <- small_options(n_top_genes = 40, min_cells = 5)
  result <- suppressWarnings(quick(seurat_object(cells = 60), features = NULL, control = options,
                                   covariates = "donor"),
                             classes = "scsystems_warning")
  genes <- result[["sysvi"]]@misc$scsystems$features
  expect_true(length(genes) > 5 && length(genes) <= 40)
  expect_true(all(genes %in% all_genes))
  expect_identical(TrainingHistory(result)$genes, length(genes))
})

test_that("features are used as given", {
  result <- quick(seurat_object(), features = c("gene7", "gene3", "gene21"))
  expect_identical(result[["sysvi"]]@misc$scsystems$features, c("gene7", "gene3", "gene21"))
})

test_that("reductions have names and keys of their own", {
  object <- quick(seurat_object(), reduction.name = "integrated.sysvi")
  expect_identical(unname(SeuratObject::Key(object[["integrated.sysvi"]])), "integratedsysvi_")
  object <- quick(object, reduction.name = "integrated_sysvi")
  keys <- SeuratObject::Key(object)
  expect_identical(anyDuplicated(keys), 0L)
  object <- quick(object, reduction.name = "third", reduction.key = "mine_")
  expect_identical(colnames(SeuratObject::Embeddings(object, "third")), paste0("mine_", 1:4))
  replaced <- quick(object, reduction.name = "third", overwrite = TRUE, seed.use = 9)
  expect_identical(unname(SeuratObject::Key(replaced[["third"]])), "third_")
})

test_that("another assay can be used", {
  object <- seurat_object()
  other <- object[["RNA"]]
  SeuratObject::Key(other) <- "other_"
  object[["other"]] <- other
  result <- quick(object, assay = "other")
  expect_identical(SeuratObject::DefaultAssay(result[["sysvi"]]), "other")
})

test_that("systems may be text, numbers or logical, with unused levels", {
  object <- seurat_object()
  object$text <- as.character(object$species)
  object$number <- as.integer(object$species)
  object$flag <- object$species == "mouse"
  object$spare <- factor(object$species, levels = c("rat", "human", "mouse"))
  run <- function(system) {
    result <- RunSysVI(object, system, features = all_genes, max.epochs = 1, dims = 2,
                       verbose = FALSE, control = small_options())
    unname(SeuratObject::Embeddings(result, "sysvi"))
  }
  expected <- run("species")
  for (column in c("text", "number", "flag", "spare")) expect_identical(run(column), expected)
})

test_that("three systems are integrated, with several covariates and continuous ones", {
  object <- seurat_object(cells = 60)
  object$species <- rep(c("a", "b", "c"), 40)
  object$chemistry <- rep(c("v2", "v3"), each = 60)
  result <- quick(object, covariates = c("donor", "chemistry"),
                  control = small_options(continuous_covariates = "percent"))
  expect_identical(dim(SeuratObject::Embeddings(result, "sysvi")), c(120L, 4L))
})

test_that("nothing is said without verbose, and progress with it", {
  object <- seurat_object()
  expect_silent(quick(object))
  said <- character()
  withCallingHandlers(quick(object, verbose = TRUE), message = function(m) {
    said <<- c(said, conditionMessage(m))
    invokeRestart("muffleMessage")
  })
  said <- gsub("\\s+", " ", paste(said, collapse = " "))
  expect_match(said, "80 cells and 60 genes")
  expect_match(said, "epoch 2/2")
  expect_match(said, "The model is in")
})

test_that("a dense assay works", {
  object <- seurat_object()
  dense <- suppressWarnings(SeuratObject::CreateSeuratObject(
    SeuratObject::CreateAssayObject(data = as.matrix(log_normalized(simulated_counts()$counts))),
    meta.data = object[[]]
  ))
  expect_equal(SeuratObject::Embeddings(quick(dense), "sysvi"),
               SeuratObject::Embeddings(quick(object), "sysvi"))
})

if (is_v5) {
  test_that("an Assay5, its split layers and an Assay of v4 give the same embedding", {
    object <- seurat_object()
    expect_s4_class(object[["RNA"]], "Assay5")
    expected <- SeuratObject::Embeddings(quick(object), "sysvi")
    split <- object
    split[["RNA"]] <- split(split[["RNA"]], f = split$donor)
    expect_gt(length(SeuratObject::Layers(split[["RNA"]], search = "data")), 2)
    result <- quick(split)
    expect_identical(SeuratObject::Embeddings(result, "sysvi"), expected)
    expect_identical(result[["RNA"]], split[["RNA"]])
    old <- suppressWarnings(SeuratObject::CreateSeuratObject(
      SeuratObject::CreateAssayObject(data = SeuratObject::LayerData(object, layer = "data")),
      meta.data = object[[]]
    ))
    expect_s4_class(old[["RNA"]], "Assay")
    expect_identical(SeuratObject::Embeddings(quick(old), "sysvi"), expected)
  })

  test_that("split layers in another order of cells are matched by name", {
    object <- seurat_object()
    expected <- SeuratObject::Embeddings(quick(object), "sysvi")
    mixed <- object
    mixed[["RNA"]] <- split(mixed[["RNA"]], f = rep(c("x", "y", "z", "x"), 20))
    result <- SeuratObject::Embeddings(quick(mixed), "sysvi")
    expect_identical(rownames(result), rownames(expected))
    expect_equal(result, expected, tolerance = 1e-6)
  })

  test_that("split counts without a data layer are normalized", {
    object <- seurat_object(normalize = FALSE)
    object[["RNA"]] <- split(object[["RNA"]], f = object$donor)
    expect_message(result <- quick(object, verbose = TRUE), "counts only")
    expect_equal(SeuratObject::Embeddings(result, "sysvi"),
                 SeuratObject::Embeddings(quick(seurat_object()), "sysvi"), tolerance = rounding)
  })

  test_that("scaled data are never taken for log-normalized data", {
    object <- seurat_object()
    object <- Seurat::ScaleData(object, features = all_genes, verbose = FALSE)
    SeuratObject::LayerData(object, layer = "data") <- NULL
    expect_message(quick(object, verbose = TRUE), "counts only")
  })
}

test_that("genes are joined by rank over the systems, and kept, where asked", {
  genes <- function(...) {
    result <- suppressWarnings(
      quick(seurat_object(), features = NULL,
            control = small_options(min_cells = 5, n_top_genes = 15, ...)),
      classes = "scsystems_warning"
    )
    result[["sysvi"]]@misc$scsystems$features
  }
  few <- genes()
  joint <- genes(hvg_merge = "joint")
  expect_lt(length(few), 15)
  expect_length(joint, 15)
  missing <- utils::head(setdiff(rownames(seurat_object()), joint), 2)
  expect_setequal(genes(hvg_merge = "joint", keep = missing), c(joint, missing))
  expect_setequal(genes(keep = missing), c(few, missing))
  expect_refused(genes(keep = "nothing"), message = "keep: 1 of 1 are not genes")
  expect_refused(small_options(keep = 1), message = "keep.*names of genes")
  expect_refused(small_options(keep = NA_character_), message = "keep.*names of genes")
  expect_error(small_options(hvg_merge = "union"), "hvg_merge")
})
