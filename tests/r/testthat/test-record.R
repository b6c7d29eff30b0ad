test_that("an object knows the history and the model of each reduction", {
  folder <- tempfile()
  object <- quick(seurat_object(), model.dir = folder)
  object <- quick(object, reduction.name = "second", max.epochs = 1)
  expect_identical(ModelPath(object, "sysvi"), normalizePath(folder))
  expect_true(all(c("model.json", "model.safetensors") %in% dir(folder)))
  expect_identical(nrow(TrainingHistory(object, "sysvi")$metrics), 2L)
  expect_identical(nrow(TrainingHistory(object)$metrics), 1L)
  expect_identical(TrainingHistory(object[["sysvi"]]), TrainingHistory(object, "sysvi"))
})

test_that("it is kept when cells are taken out of the object", {
  object <- quick(seurat_object())
  few <- object[, 1:10]
  expect_identical(TrainingHistory(few), TrainingHistory(object))
  sce <- quick(sce_object())
  expect_identical(ModelPath(sce[, 1:10]), ModelPath(sce))
})

test_that("objects without an integration, and names that are none, are refused", {
  expect_refused(TrainingHistory(seurat_object()), message = "no integration by sysVI")
  expect_refused(ModelPath(1), message = "no integration")
  expect_refused(TrainingHistory(quick(sce_object()), "PCA"), message = "PCA.*SYSVI")
})

test_that("a model's folder is replaced only when that is allowed", {
  folder <- tempfile()
  object <- quick(seurat_object(), model.dir = folder)
  again <- quick(object, model.dir = folder, overwrite = TRUE, max.epochs = 1)
  expect_identical(nrow(TrainingHistory(again)$metrics), 1L)
})

test_that("a saved object holds no pointer and is understood in a new session without Python", {
  object <- quick(seurat_object())
  record <- object[["sysvi"]]@misc
  expect_false(has_pointer(record))
  expect_false(has_pointer(SeuratObject::Command(object, "RunSysVI.RNA")@params))
  sce <- quick(sce_object())
  expect_false(has_pointer(S4Vectors::metadata(sce)))
  file <- tempfile(fileext = ".rds")
  saveRDS(object, file)
  out <- in_new_r(c(
    sprintf("object <- readRDS('%s')", file), "library(scsystems)",
    "print(TrainingHistory(object))", "cat(dir.exists(ModelPath(object)), '\\n')",
    "cat(reticulate::py_available(), '\\n')"
  ), env = "RETICULATE_PYTHON=/nowhere/python")
  expect_match(out, "2 epochs.*TRUE.*FALSE")
})
