test_that("an AnnData gets an entry of obsm, and agrees with the Seurat method", {
  adata <- anndata_object()
  result <- quick(adata, covariates = "donor")
  expected <- SeuratObject::Embeddings(quick(seurat_object(), covariates = "donor"), "sysvi")
  expect_equal(embedding_of(result), unname(expected), tolerance = 1e-5)
  expect_identical(embedding_of(adata), embedding_of(result))
})

test_that("history and model are found again, also after a trip through a file", {
  adata <- quick(anndata_object())
  file <- tempfile(fileext = ".h5ad")
  adata$write_h5ad(file)
  back <- reticulate::import("anndata", convert = FALSE)$read_h5ad(file)
  for (object in list(adata, back)) {
    history <- TrainingHistory(object, "X_sysvi")
    expect_s3_class(history, "sysvi_history")
    expect_identical(nrow(history$metrics), 2L)
    expect_identical(history$metrics$epoch, 1:2)
    expect_output(print(history), "2 epochs")
    expect_true(dir.exists(ModelPath(object)))
  }
})

test_that("the AnnData keeps its expression, in X or in a layer", {
  adata <- anndata_object(counts = TRUE)
  before <- reticulate::py_to_r(adata$X$sum())
  expect_message(quick(adata, verbose = TRUE), "counts")
  expect_identical(reticulate::py_to_r(adata$X$sum()), before)
  expect_equal(embedding_of(adata), embedding_of(quick(anndata_object())), tolerance = rounding)
  layered <- anndata_object()
  reticulate::py_set_item(layered$layers, "log", layered$X$copy())
  layered$X <- NULL
  expect_identical(embedding_of(quick(layered, layer = "log")),
                   embedding_of(quick(anndata_object())))
})

test_that("what is wrong with it is said, and nothing is written", {
  adata <- anndata_object()
  expect_refused(quick(adata, layer = "none"), message = "layer 'none'")
  expect_refused(quick(adata, features = c("gene1", "nothing")), message = "nothing")
  expect_refused(RunSysVI(adata, "absent", verbose = FALSE), message = "absent")
  expect_identical(length(reticulate::py_to_r(adata$obsm)), 0L)
  quick(adata)
  expect_refused(quick(adata), message = "X_sysvi.*already")
  quick(adata, overwrite = TRUE)
})

test_that("other objects are refused with the list of those that work", {
  expect_refused(RunSysVI(1:3), message = "Seurat object.*integer")
  frame <- reticulate::import("pandas", convert = FALSE)$DataFrame()
  expect_refused(RunSysVI(frame), message = "AnnData.*DataFrame")
})
