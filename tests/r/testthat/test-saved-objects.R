# Objects that were saved and are read in a new session, by an R of its own.

saved <- function(object) {
  file <- tempfile(fileext = ".rds")
  saveRDS(object, file)
  file
}

# What a new session says to some code, with the objects read first.
later <- function(files, code, env = character()) {
  read <- sprintf("%s <- readRDS('%s')", names(files), files)
  in_new_r(c("suppressMessages(library(scsystems))", read, code), env)
}

# A Python that is another one than this session's, with the same packages.
another_python <- function() {
  sys <- reticulate::import("sys")
  folder <- tempfile("venv")
  system2(sys$`_base_executable`, c("-m", "venv", "--without-pip", folder), env = "LD_LIBRARY_PATH=")
  packages <- Filter(function(path) grepl("site-packages$", path), as.character(sys$path))
  site <- Sys.glob(file.path(folder, "lib", "python3*", "site-packages"))
  writeLines(packages, file.path(site, "others.pth"))
  file.path(folder, "bin", "python")
}

test_that("saved Seurat objects are complete and go on working, with another Python too", {
  reference <- quick(seurat_object(), "donor", max.epochs = 3)
  query <- seurat_object(seed = 7)
  query$donor <- "d9"
  files <- c(reference = saved(reference), query = saved(query))
  expected <- CorrectedExpression(reference, "human", verbose = FALSE)
  expected <- sum(assay_matrix(expected[["sysvi.expression"]], "data"))
  code <- c(
    "cat('epochs', nrow(TrainingHistory(reference)$metrics), dir.exists(ModelPath(reference)), '\n')",
    "cat('embedding', dim(SeuratObject::Embeddings(reference, 'sysvi')), '\n')",
    "cat('asleep', reticulate::py_available(), '\n')",
    "corrected <- CorrectedExpression(reference, 'human', verbose = FALSE)",
    "cat('sum', format(sum(scsystems:::assay_matrix(corrected[['sysvi.expression']], 'data')), digits = 6), '\n')",
    "mapped <- MapSysVI(query, reference, 'cell_type', reference, max.epochs = 1, verbose = FALSE,",
    "                   n.neighbors = 5, model.dir = tempfile())",
    "cat('labels', sum(!is.na(mapped$predicted.cell_type)), '\n')",
    "markers <- FindSystemMarkers(reference, 'cell_type', 'alpha', n.samples = 50, verbose = FALSE)",
    "cat('genes', nrow(markers), '\n')",
    "cat('python', reticulate::py_config()$python, '\n')"
  )
  python <- another_python()
  out <- later(files, code, env = paste0("RETICULATE_PYTHON=", python))
  expect_match(out, "epochs 3 TRUE")
  expect_match(out, "embedding 80 4")
  expect_match(out, "asleep FALSE")
  expect_match(out, paste("sum", format(expected, digits = 6)), fixed = TRUE)
  expect_match(out, "labels 80")
  expect_match(out, "genes 60")
  expect_match(out, paste("python", python), fixed = TRUE)
})

test_that("saved SingleCellExperiments do as well", {
  sce <- quick(sce_object(), "donor")
  out <- later(c(sce = saved(sce)), c(
    "suppressMessages(library(SingleCellExperiment))",
    "cat('epochs', nrow(TrainingHistory(sce)$metrics), dim(reducedDim(sce, 'SYSVI')), '\n')",
    "corrected <- CorrectedExpression(sce, 'mouse', verbose = FALSE)",
    "cat('corrected', dim(altExp(corrected, 'sysvi.expression')), '\n')"
  ))
  expect_match(out, "epochs 2 80 4")
  expect_match(out, "corrected 60 80")
})

test_that("a model that was moved is missed with the way out, and found where it is", {
  object <- quick(seurat_object(), model.dir = tempfile("model"))
  loaded <- LoadSysVI(object)
  there <- tempfile("elsewhere")
  expect_true(file.rename(ModelPath(object), there))
  error <- "scsystems_model_file_error"
  moved <- "not where the object remembers it.*model.*If its folder was moved.*model = \"path/to/model\""
  expect_refused(CorrectedExpression(object), error, moved, object)
  expect_refused(MapSysVI(seurat_object(), object), error, moved)
  expect_refused(FindSystemMarkers(object, "cell_type"), error, moved, object)
  expect_refused(LoadSysVI(object), error, moved, object)
  expect_refused(MapSysVI(seurat_object(), loaded), error, moved)
  expect_identical(nrow(TrainingHistory(object)$metrics), 2L)
  found <- CorrectedExpression(object, model = there, verbose = FALSE)
  expect_true("sysvi.expression" %in% SeuratObject::Assays(found))
})
