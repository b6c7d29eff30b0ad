test_that("a SingleCellExperiment gets a reducedDim and nothing else changes", {
  sce <- sce_object()
  result <- quick(sce, covariates = "donor")
  expect_identical(SingleCellExperiment::reducedDimNames(result), "SYSVI")
  embedding <- SingleCellExperiment::reducedDim(result, "SYSVI")
  expect_identical(dimnames(embedding), list(colnames(sce), paste0("SYSVI", 1:4)))
  expect_identical(SummarizedExperiment::assays(result), SummarizedExperiment::assays(sce))
  expect_identical(SummarizedExperiment::colData(result), SummarizedExperiment::colData(sce))
})

test_that("it agrees with the Seurat method", {
  expect_identical(
    unname(SingleCellExperiment::reducedDim(quick(sce_object(), name = "X"), "X")),
    unname(SeuratObject::Embeddings(quick(seurat_object()), "sysvi"))
  )
})

test_that("assays are chosen by assay.type, and counts are normalized", {
  sce <- sce_object()
  expected <- SingleCellExperiment::reducedDim(quick(sce), "SYSVI")
  SummarizedExperiment::assay(sce, "mine") <- SummarizedExperiment::assay(sce, "logcounts")
  expect_identical(SingleCellExperiment::reducedDim(quick(sce, assay.type = "mine"), "SYSVI"),
                   expected)
  expect_message(given <- quick(sce, assay.type = "counts", verbose = TRUE), "counts only")
  SummarizedExperiment::assay(sce, "logcounts") <- NULL
  expect_message(missing <- quick(sce, verbose = TRUE), "counts only")
  for (result in list(given, missing)) {
    expect_equal(SingleCellExperiment::reducedDim(result, "SYSVI"), expected, tolerance = rounding)
  }
})

test_that("subset_row takes names, positions and logical vectors", {
  sce <- sce_object()
  by_name <- quick(sce, features = NULL, subset_row = all_genes[1:20])
  for (rows in list(1:20, seq_len(60) <= 20)) {
    expect_identical(SingleCellExperiment::reducedDim(quick(sce, features = NULL, subset_row = rows)),
                     SingleCellExperiment::reducedDim(by_name))
  }
  expect_refused(quick(sce, subset_row = 1:3), message = "not both", object = sce)
  expect_refused(quick(sce, features = NULL, subset_row = 61), message = "beyond", object = sce)
})

test_that("what is wrong with the object is said and the object is unchanged", {
  sce <- sce_object()
  done <- quick(sce)
  expect_refused(quick(done), message = "SYSVI.*already", object = done)
  expect_refused(quick(sce, covariates = "absent"), message = "absent", object = sce)
  # an assay that is named has to be there, even when there are counts
  expect_refused(quick(sce, assay.type = "none"), message = "no assay.*none.*counts.*logcounts",
                 object = sce)
  bare <- sce
  SummarizedExperiment::assay(bare, "counts") <- NULL
  expect_refused(quick(bare, assay.type = "none"), message = "no assay.*none.*logcounts")
  colnames(bare) <- NULL
  expect_refused(quick(bare), message = "no cell names")
  doubled <- sce
  colnames(doubled)[2] <- "cell1"
  expect_refused(quick(doubled), message = "cell name.*more than once.*cell1", object = doubled)
  rownames(sce)[5] <- "gene1"
  expect_refused(quick(sce), message = "gene name.*more than once.*gene1", object = sce)
})

test_that("columns of colData that are not used may be of any kind", {
  sce <- sce_object()
  sce$nested <- S4Vectors::DataFrame(a = seq_len(ncol(sce)))
  expect_identical(SingleCellExperiment::reducedDimNames(quick(sce)), "SYSVI")
})
