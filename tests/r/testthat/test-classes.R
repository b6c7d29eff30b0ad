# Things that are no objects with cells are refused with what to do.

data <- simulated_counts()
things <- list(
  "readRDS" = "cells.rds", "CreateSeuratObject" = as.matrix(data$counts),
  "CreateSeuratObject.*" = data$counts, "CreateSeuratObject.* " = data$obs,
  "merge.*cbind" = list(1, 2), "NULL" = NULL, "number" = 3
)

test_that("each function says what it takes, what it found and what to do", {
  for (hint in names(things)) {
    thing <- things[[hint]]
    pattern <- paste0("must be a Seurat object.*", trimws(hint))
    expect_refused(RunSysVI(thing, "species"), message = pattern)
    expect_refused(MapSysVI(thing, "folder"), message = pattern)
    expect_refused(CorrectedExpression(thing), message = pattern)
    expect_refused(RunScSpecies(thing, thing), message = pattern)
    expect_refused(TuneSysVI(thing, "species"), message = pattern)
    expect_refused(BatchStrength(thing, "species", "cell_type", "donor"), message = pattern)
    expect_refused(FindSystemMarkers(thing, "cell_type"), message = pattern)
    expect_refused(EvaluateIntegration(thing, "sysvi", "species"), message = pattern)
  }
})

test_that("parts of objects and related classes are told apart", {
  object <- seurat_object()
  expect_refused(RunSysVI(object[["RNA"]], "species"), message = "whole object")
  se <- SummarizedExperiment::SummarizedExperiment(list(counts = data$counts))
  expect_refused(RunSysVI(se, "species"), message = "as\\(object, \"SingleCellExperiment\"\\)")
  reference <- quick(object)
  expect_refused(MapSysVI(object, reference, labels = "cell_type", reference = list(object)),
                 message = "reference.*must be a Seurat object.*merge")
})

test_that("SCTransform's assays are refused before anything else", {
  sct <- methods::new(methods::getClass("SCTAssay", where = asNamespace("Seurat")))
  expect_refused(SysVIIntegration(sct, assay = "SCT", normalization.method = "SCT"),
                 message = "SCT.*SCTransform.*assay = \"RNA\"")
  expect_refused(SysVIIntegration(NULL, normalization.method = "SCT"),
                 message = "normalization.method.*SCTransform")
})

test_that("callbacks that are no functions are refused before training", {
  control <- small_options(train = list(callbacks = list("stop")))
  expect_refused(quick(seurat_object(), control = control), message = "callbacks.*function")
})

test_that("devices, and whole numbers that are too large, are refused before anything is sent", {
  object <- seurat_object()
  for (device in c("tpu", "cuda:x", "cpu ", "cuda:-1")) {
    expect_refused(quick(object, device = device), message = paste0("device.*auto.*", device))
    expect_refused(LoadScSpecies("folder", device = device), message = "device")
  }
  expect_refused(quick(object, max.epochs = 1e10), message = "max.epochs.*at most 2147483647")
  expect_refused(quick(object, seed.use = 2^31), message = "seed.use")
})
