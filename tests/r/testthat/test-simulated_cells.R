test_that("simulated cells are small, quick, counts, and of two species and four donors", {
  time <- system.time(object <- simulated_cells())[["elapsed"]]
  expect_lt(time, 2)
  sce <- simulated_cells("SingleCellExperiment")
  counts <- SingleCellExperiment::counts(sce)
  expect_identical(dim(object), c(300L, 240L))
  expect_identical(as.matrix(counts),
                   as.matrix(scsystems:::assay_matrix(object[["RNA"]], "counts")), ignore_attr = TRUE)
  expect_true(all(counts@x == round(counts@x)) && min(counts@x) > 0)
  cells <- table(sce$species, sce$donor)
  expect_identical(dim(cells), c(2L, 4L))
  expect_identical(sort(unique(as.vector(cells))), c(0L, 60L))
  expect_true(all(table(sce$donor, sce$cell_type) > 0))
})

test_that("a seed decides, and R's own random numbers stay as they are", {
  set.seed(5)
  expected <- stats::runif(2)
  set.seed(5)
  first <- stats::runif(1)
  one <- simulated_cells("SingleCellExperiment", seed = 3)
  expect_identical(c(first, stats::runif(1)), expected)
  two <- simulated_cells("SingleCellExperiment", seed = 3)
  expect_identical(SingleCellExperiment::counts(one), SingleCellExperiment::counts(two))
  other <- simulated_cells("SingleCellExperiment", seed = 4)
  expect_false(identical(SingleCellExperiment::counts(one), SingleCellExperiment::counts(other)))
})

test_that("species have genes and counts of their own, and types that are alike", {
  species <- simulated_species("SingleCellExperiment")
  expect_named(species, c("mouse", "human", "orthologs"))
  means <- lapply(species[1:2], function(object) {
    log1p(Matrix::rowMeans(SingleCellExperiment::counts(object)[seq_len(nrow(species$orthologs)), ]))
  })
  expect_identical(rownames(species$mouse)[1:270], species$orthologs$mouse)
  expect_false(any(rownames(species$mouse) %in% rownames(species$human)))
  expect_gt(stats::cor(means$mouse, means$human), 0.8)
  expect_lt(stats::cor(means$mouse, means$human), 0.999)
})

test_that("sizes that make no cells are refused", {
  expect_refused(simulated_cells(cells = 2), message = "cells.*at least 12")
  expect_refused(simulated_cells(genes = 3.5), message = "genes.*whole")
})
