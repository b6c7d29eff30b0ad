# Where models go: nothing of the user's is replaced, no result is lost.

# Epochs that were trained while `code` ran with `control`.
trained_epochs <- function(code) {
  epochs <- 0
  control <- small_options(train = list(callbacks = function(epoch, n, losses) {
    epochs <<- epoch
    TRUE
  }))
  code(control)
  epochs
}

test_that("a folder of other things is refused before training, overwrite or not", {
  mine <- tempfile("results")
  dir.create(mine)
  writeLines("mine", file.path(mine, "notes.txt"))
  file <- tempfile("file")
  writeLines("mine", file)
  object <- seurat_object()
  sce <- sce_object()
  epochs <- trained_epochs(function(control) {
    for (overwrite in c(TRUE, FALSE)) {
      run <- function(x, folder) quick(x, model.dir = folder, overwrite = overwrite, control = control)
      expect_refused(run(object, mine), message = if (overwrite) "not the folder of a model.*notes.txt" else "not empty",
                     object = object)
      expect_refused(run(sce, mine), message = "model.dir", object = sce)
      expect_refused(run(anndata_object(), mine), message = "model.dir")
      expect_refused(run(object, file), message = "is a file", object = object)
    }
  })
  expect_identical(epochs, 0)
  expect_identical(readLines(file.path(mine, "notes.txt")), "mine")
  reference <- quick(object)
  epochs <- 0
  count <- sysvi_options(train = list(callbacks = function(...) epochs <<- epochs + 1))
  query <- object
  query$donor <- "d9"
  expect_refused(MapSysVI(query, reference, model.dir = mine, overwrite = TRUE, control = count),
                 message = "not the folder of a model", object = query)
  expect_identical(epochs, 0)
  expect_refused(quick_species(species_seurat("mouse"), species_seurat("human", seed = 2),
                               model.dir = mine, overwrite = TRUE), message = "not the folder of a model")
})

test_that("an empty folder is taken, and a model in it replaced only when that is allowed", {
  folder <- tempfile("empty")
  dir.create(folder)
  object <- quick(seurat_object(), model.dir = folder)
  expect_identical(ModelPath(object), normalizePath(folder))
  expect_refused(quick(seurat_object(), model.dir = folder), message = "overwrite = TRUE")
  again <- quick(seurat_object(), model.dir = folder, overwrite = TRUE, max.epochs = 1)
  expect_identical(nrow(LoadSysVI(folder)$history$metrics), 1L)
})

test_that("~ is the home folder, in model.dir, the option and elsewhere", {
  home <- tempfile("home")
  dir.create(home)
  file <- tempfile(fileext = ".rds")
  saveRDS(sce_object(), file)
  out <- in_new_r(c(
    "suppressMessages({library(scsystems); library(SingleCellExperiment)})",
    sprintf("sce <- readRDS('%s')", file),
    "run <- function(...) RunSysVI(sce, 'species', features = rownames(sce), max.epochs = 1, verbose = FALSE, ...)",
    "first <- run(model.dir = '~/models/first', control = sysvi_options(checkpoint_dir = '~/checkpoints'))",
    "options(scsystems.model.dir = '~/mine')",
    "second <- run()",
    "cat('paths', ModelPath(first), dirname(ModelPath(second)), '\n')",
    "cat('genes', length(LoadSysVI('~/models/first')$genes), '\n')",
    "cat('left', dir(pattern = '^~'), '\n')"
  ), env = c(paste0("HOME=", home), paste0("R_USER=", home)))
  home <- normalizePath(home)
  expect_match(out, paste("paths", file.path(home, "models", "first"), file.path(home, "mine")), fixed = TRUE)
  expect_match(out, "genes 60")
  expect_match(out, "left *$|left *\n")
  expect_true(length(dir(file.path(home, "checkpoints"))) > 0)
})

# Training during which something gets into the way of saving.
blocked <- function(run) {
  folder <- tempfile("model")
  control <- small_options(train = list(callbacks = function(epoch, n, losses) {
    dir.create(folder, showWarnings = FALSE)
    writeLines("mine", file.path(folder, "notes.txt"))
    TRUE
  }))
  warned <- NULL
  result <- withCallingHandlers(run(folder, control), scsystems_warning = function(w) {
    warned <<- gsub("\\s+", " ", conditionMessage(w))
    rlang::cnd_muffle(w)
  })
  expect_match(warned, "could not be saved in.*results are in the object.*Until this session ends it is in.*model =")
  expect_identical(dir(folder), "notes.txt")
  result
}

test_that("a model that cannot be saved after training leaves the result, and is kept beside", {
  object <- blocked(function(folder, control) quick(seurat_object(), model.dir = folder, control = control))
  expect_equal(embedding_of(object), embedding_of(quick(seurat_object())))
  expect_true(startsWith(ModelPath(object), normalizePath(tempdir())))
  expect_s4_class(CorrectedExpression(object, verbose = FALSE), "Seurat")
  sce <- blocked(function(folder, control) quick(sce_object(), model.dir = folder, control = control))
  expect_identical(LoadSysVI(sce)$genes, all_genes)
  adata <- blocked(function(folder, control) quick(anndata_object(), model.dir = folder, control = control))
  expect_identical(LoadSysVI(adata)$genes, all_genes)
  reference <- quick(seurat_object(), covariates = "donor")
  query <- seurat_object()
  query$donor <- "d9"
  mapped <- blocked(function(folder, control) {
    MapSysVI(query, reference, "cell_type", reference, n.neighbors = 5, model.dir = folder,
             max.epochs = 1, verbose = FALSE, control = sysvi_options(train = control$train))
  })
  expect_identical(sum(!is.na(mapped$predicted.cell_type)), 80L)
  expect_identical(LoadSysVI(mapped)$covariates$donor, c("d1", "d2", "d3", "d4", "d9"))
  result <- blocked(function(folder, control) {
    quick_species(species_seurat("mouse"), species_seurat("human", seed = 2), model.dir = folder,
                  control = small_species_options(train = control$train))
  })
  expect_identical(nrow(result$cells), 90L)
  expect_identical(LoadScSpecies(result, verbose = FALSE)$species, c("mouse", "human"))
})

test_that("a model that cannot be kept anywhere is said to be lost where it is needed", {
  object <- quick(seurat_object())
  reduction <- object[["sysvi"]]
  reduction@misc$scsystems$model <- NA_character_
  object[["sysvi"]] <- reduction
  expect_refused(CorrectedExpression(object), "scsystems_model_file_error", "could not be saved.*RunSysVI", object)
  expect_identical(nrow(TrainingHistory(object)$metrics), 2L)
})

test_that("names that Seurat changes are changed before training, and checked as they are then", {
  object <- seurat_object()
  for (name in c("my/reduction 1", "2nd")) {
    found <- said_by(quick(object, reduction.name = name, verbose = TRUE))
    expect_match(found$said, paste0(name, ".*is called.*", make.names(name)))
    expect_identical(SeuratObject::Reductions(found$value), make.names(name))
    expect_refused(quick(found$value, reduction.name = name), message = "already.*overwrite")
  }
  expect_no_warning(quick(object, reduction.name = "a b"))
  result <- quick_species(species_seurat("mouse"), species_seurat("human", seed = 2), reduction.name = "sc species")
  expect_identical(SeuratObject::Reductions(result$merged), "sc.species")
  sce <- quick(sce_object(), name = "my/reduction 1")
  expect_identical(SingleCellExperiment::reducedDimNames(sce), "my/reduction 1")
  expect_true(dir.exists(ModelPath(sce)))
  expect_refused(quick(anndata_object(), name = "a/b"), message = "slash.*a_b")
})

test_that("more neighbors than labels are refused before a query is trained", {
  object <- seurat_object()
  reference <- quick(object, covariates = "donor")
  query <- object
  query$donor <- "d9"
  epochs <- 0
  count <- sysvi_options(train = list(callbacks = function(...) epochs <<- epochs + 1))
  expect_refused(MapSysVI(query, reference, "cell_type", object, n.neighbors = 80, control = count),
                 message = "n.neighbors.*Found 80, and 80 cells", object = query)
  expect_identical(epochs, 0)
})
