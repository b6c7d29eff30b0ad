# Two types, three donors per species; mouse lies `shift` away.
strength_object <- function(shift = 6, sce = FALSE) {
  set.seed(5)
  donors <- paste0(rep(c("h", "m"), each = 3), 1:3)
  obs <- expand.grid(copy = 1:20, cell_type = c("alpha", "beta"), donor = donors,
                     stringsAsFactors = FALSE)
  obs$species <- ifelse(startsWith(obs$donor, "h"), "human", "mouse")
  rownames(obs) <- paste0("c", seq_len(nrow(obs)))
  place <- stats::rnorm(6)[match(obs$donor, donors)] + shift * (obs$species == "mouse")
  space <- cbind(place, 10 * (obs$cell_type == "beta"), 0) + stats::rnorm(3 * nrow(obs), sd = 0.5)
  dimnames(space) <- list(rownames(obs), paste0("PC_", 1:3))
  counts <- matrix(stats::rpois(nrow(obs) * 10, 5), 10,
                   dimnames = list(paste0("g", 1:10), rownames(obs)))
  counts <- methods::as(counts, "CsparseMatrix")
  if (sce) {
    return(SingleCellExperiment::SingleCellExperiment(
      list(counts = counts), colData = obs, reducedDims = list(PCA = space)))
  }
  object <- SeuratObject::CreateSeuratObject(counts, meta.data = obs)
  object[["pca"]] <- SeuratObject::CreateDimReducObject(space, key = "PC_", assay = "RNA")
  object
}
strength <- function(object, ..., min.cells = 10, verbose = FALSE) {
  BatchStrength(object, "species", "cell_type", "donor", ..., min.cells = min.cells,
                verbose = verbose)
}

test_that("a large effect is called substantial, a small one is not", {
  large <- strength(strength_object(30), reduction = "pca")
  expect_true(large$substantial)
  expect_match(large$verdict, "^Substantial: in 2 of 2 cell types")
  expect_identical(large$tests$label, c("alpha", "beta"))
  expect_identical(nrow(large$distances), 2L * 15L)
  small <- strength(strength_object(0), reduction = "pca")
  expect_false(small$substantial)
  expect_output(print(large), "median_between")
})

test_that("distances are those between means, and the test is wilcox.test's", {
  object <- strength_object()
  found <- strength(object, reduction = "pca")
  space <- SeuratObject::Embeddings(object, "pca")
  mean_of <- function(donor) {
    colMeans(space[object$donor == donor & object$cell_type == "alpha", ])
  }
  row <- found$distances[found$distances$label == "alpha" & found$distances$sample_a == "h1" &
                           found$distances$sample_b == "m2", ]
  expect_equal(row$distance, sqrt(sum((mean_of("h1") - mean_of("m2"))^2)), tolerance = 1e-5)
  alpha <- found$distances[found$distances$label == "alpha", ]
  test <- stats::wilcox.test(alpha$distance[alpha$kind == "between"],
                             alpha$distance[alpha$kind == "within"], alternative = "greater")
  expect_equal(found$tests$p_value[[1]], test$p.value, tolerance = 0.05)
})

test_that("principal components are computed, and a SingleCellExperiment does as well", {
  expect_message(computed <- BatchStrength(strength_object(), "species", "cell_type", "donor",
                                           min.cells = 10), "counts only")
  expect_false(computed$substantial)
  seurat <- strength(strength_object(), reduction = "pca")
  expect_equal(strength(strength_object(sce = TRUE), reduction = "PCA"), seurat)
})

test_that("it is drawn", {
  found <- strength(strength_object(30), reduction = "pca")
  plot <- plot(found)
  expect_s3_class(plot, "ggplot")
  expect_identical(plot$layers[[3]]$data$label, c("alpha", "beta"))
  grDevices::pdf(tempfile(fileext = ".pdf"))
  print(plot)
  grDevices::dev.off()
  none <- strength(strength_object(30), reduction = "pca", min.cells = 50)
  expect_match(none$verdict, "cannot be tested")
  expect_refused(plot(none), message = "smaller")
  expect_refused(plot(found, palette = "red"), message = "palette")
})

test_that("bad input is refused", {
  object <- strength_object()
  object$torn <- rep(c("one", "two"), length.out = ncol(object))
  expect_refused(BatchStrength(object, "species", "cell_type", "torn", reduction = "pca",
                               min.cells = 5, verbose = FALSE), message = "more than one system")
  expect_refused(strength(object, reduction = "umap"), message = "umap")
  expect_refused(BatchStrength(object, "species", "absent", "donor"), message = "labels.*absent")
  expect_refused(BatchStrength(object, "species", "cell_type", "absent"), message = "batch.*absent")
  expect_refused(BatchStrength(object, "species", "cell_type", NULL), message = "batch")
  expect_refused(strength(object, min.samples = 1), message = "min.samples")
})
