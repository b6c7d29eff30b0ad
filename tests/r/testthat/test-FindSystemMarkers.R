test_that("markers are those that Python finds", {
  object <- quick(seurat_object(), max.epochs = 100, control = small_options(lr = 0.01))
  markers <- FindSystemMarkers(object, "cell_type", n.samples = 500, verbose = FALSE)
  expect_s3_class(markers, "data.frame")
  expect_identical(names(markers)[1:3], c("gene", "group1", "group2"))
  expect_identical(nrow(markers), 120L)
  expect_type(markers$is_de, "logical")
  scs <- scsystems_python()
  model <- scs$SysVI$load(ModelPath(object), anndata_object())
  table <- model$differential_expression(groupby = "cell_type", mode = "change",
                                         batch_correction = TRUE, n_samples_overall = 500L,
                                         seed = 42L, silent = TRUE)
  expect_identical(markers$gene, as.character(reticulate::py_to_r(table$index$tolist())))
  expect_equal(markers$lfc_mean, as.double(reticulate::py_to_r(table$lfc_mean$to_numpy())),
               tolerance = 1e-5)
  expect_identical(unique(markers$group2), "Rest")
  # genes 1 to 10 are the markers of alpha, in both systems
  alpha <- markers[markers$group1 == "alpha", ]
  rise <- stats::setNames(alpha$lfc_mean, alpha$gene)
  expect_gt(mean(rise[all_genes[1:10]]), 0.2)
  expect_lt(mean(rise[all_genes[11:20]]), -0.2)
})

test_that("systems are compared when their differences are not taken out", {
  object <- quick(seurat_object(), max.epochs = 100, control = small_options(lr = 0.01))
  markers <- FindSystemMarkers(object, "species", "mouse", "human", correct.systems = FALSE,
                               mode = "vanilla", n.samples = 500, verbose = FALSE)
  expect_identical(unique(markers$group1), "mouse")
  expect_identical(unique(markers$group2), "human")
  # the data's genes 21 to 40 are higher in mouse
  change <- stats::setNames(markers$scale1 - markers$scale2, markers$gene)
  expect_gt(mean(change[all_genes[21:40]]), mean(change[all_genes[-(21:40)]]) + 0.2)
})

test_that("a SingleCellExperiment gives the same table", {
  object <- quick(seurat_object())
  find <- function(object, ...) {
    FindSystemMarkers(object, "cell_type", "beta", n.samples = 200, verbose = FALSE, ...)
  }
  expect_equal(find(sce_object(), model = LoadSysVI(object)), find(object), tolerance = 1e-5)
})

test_that("comparisons that cannot be made are refused", {
  object <- quick(seurat_object())
  find <- function(...) FindSystemMarkers(object, ..., verbose = FALSE)
  expect_refused(find("absent"), message = "absent", object = object)
  expect_refused(find("cell_type", "gamma"), message = "ident.1.*gamma.*alpha", object = object)
  expect_refused(find("cell_type", "alpha", c("alpha", "beta")), message = "ident.2.*one group")
  expect_refused(find("cell_type", "alpha", "alpha"), message = "share", object = object)
  expect_refused(find("species"), message = "correct.systems = FALSE", object = object)
  expect_refused(find("cell_type", delta = -1), message = "delta")
  expect_refused(find("cell_type", fdr = 2), message = "fdr")
  expect_refused(FindSystemMarkers(1, "cell_type"), message = "Seurat object")
})
