# A Seurat object with two reductions: one that keeps the systems apart, one of noise.
measured <- function(sce = FALSE, ...) {
  object <- if (sce) sce_object(cells = 60, ...) else seurat_object(cells = 60, ...)
  set.seed(3)
  cells <- colnames(object)
  apart <- cbind(object$species == "mouse", object$cell_type == "beta", 0) * 8
  spaces <- list(apart = apart + stats::rnorm(length(apart)),
                 mixed = apart %*% diag(c(0, 1, 1)) + stats::rnorm(length(apart)))
  for (name in names(spaces)) {
    space <- spaces[[name]]
    dimnames(space) <- list(cells, paste0(name, "_", 1:3))
    if (sce) {
      SingleCellExperiment::reducedDim(object, name) <- space
    } else {
      object[[name]] <- SeuratObject::CreateDimReducObject(space, key = paste0(name, "_"),
                                                           assay = "RNA")
    }
  }
  object
}
few <- c("ilisi", "nmi_fixed", "jaccard", "label_transfer", "pcr")
evaluate_few <- function(object, ..., metrics = few, verbose = FALSE) {
  EvaluateIntegration(object, c("apart", "mixed"), "species", ..., metrics = metrics,
                      n.neighbors = 10, min.cells = 10, verbose = verbose)
}

test_that("the table tells what mixes, and is what Python gives", {
  object <- measured()
  table <- evaluate_few(object, labels = "cell_type", batch = "donor")
  expect_s3_class(table, c("scsystems_evaluation", "data.frame"), exact = TRUE)
  expect_named(table, c("embedding", "metric", "category", "level", "group", "value"))
  wide <- summary(table)
  expect_identical(rownames(wide), c("apart", "mixed"))
  expect_setequal(names(wide), few)
  expect_gt(wide["mixed", "ilisi"], wide["apart", "ilisi"] + 0.5)
  expect_gt(wide["mixed", "pcr"], 0.5)
  expect_identical(levels(factor(table$group[table$metric == "jaccard" & table$level == "group"])),
                   c("alpha", "beta"))

  scs <- scsystems_python()
  adata <- anndata_object(cells = 60)
  # set from Python: no value goes through automatic conversion
  run <- reticulate::py_run_string(
    "def put(adata, name, space):\n    adata.obsm[name] = space", convert = FALSE)
  run$put(adata, "mixed", unname(SeuratObject::Embeddings(object, "mixed")))
  found <- scs$metrics$evaluate(
    adata, list("mixed"), "species", "cell_type", "donor", metrics = as.list(few), k = 10L,
    min_cells = 10L, verbose = FALSE
  )
  expected <- unlist(reticulate::py_to_r(found$value$tolist()))
  expect_equal(table$value[table$embedding == "mixed"], expected, tolerance = 1e-4)
})

test_that("a SingleCellExperiment gives the same, and counts are normalized", {
  expected <- evaluate_few(measured(), labels = "cell_type")
  sce <- measured(sce = TRUE)
  expect_equal(evaluate_few(sce, labels = "cell_type"), expected, tolerance = 1e-4)
  SummarizedExperiment::assay(sce, "logcounts") <- NULL
  said <- utils::capture.output(type = "message", {
    counted <- evaluate_few(sce, labels = "cell_type", verbose = TRUE)
  })
  expect_match(paste(said, collapse = " "), "counts only")
  expect_equal(counted, expected, tolerance = 1e-3)
})

test_that("without labels, what needs none is computed", {
  table <- evaluate_few(measured(), metrics = c("ilisi", "pcr"))
  expect_setequal(table$metric, c("ilisi", "pcr"))
  refused <- expect_refused(evaluate_few(measured()), message = "need cell types")
})

test_that("metrics that the data do not allow are left out with a warning", {
  object <- measured()
  warned <- rlang::catch_cnd(
    table <- evaluate_few(object, labels = "cell_type", metrics = NULL), "warning")
  expect_match(conditionMessage(warned), "left out")
})

test_that("genes are those the reduction was made with", {
  object <- quick(measured(), covariates = "donor", features = all_genes[1:30])
  expect_identical(scsystems:::expression_features(object, "sysvi", rownames(object)),
                   all_genes[1:30])
  expect_null(scsystems:::expression_features(object, "apart", rownames(object)))
  SeuratObject::VariableFeatures(object) <- all_genes[5:20]
  expect_identical(scsystems:::expression_features(object, "apart", rownames(object)),
                   all_genes[5:20])
})

test_that("pictures are drawn", {
  table <- evaluate_few(measured(), labels = "cell_type")
  plot <- plot(table, palette = c(mixed = "red", apart = "blue"))
  expect_s3_class(plot, "ggplot")
  expect_equal(plot$data$x, summary(table)$ilisi)
  types <- plot(table, "types", metric = "jaccard")
  expect_identical(nrow(types$data), 4L)
  grDevices::pdf(tempfile(fileext = ".pdf"))
  print(plot)
  print(types)
  grDevices::dev.off()
  expect_refused(plot(table, "types", metric = "kbet"), message = "no values of.*kbet")
  expect_refused(plot(table, biology.metric = "moran"), message = "no metric.*moran")
  expect_refused(plot(table, palette = c(mixed = "red")), message = "palette.*apart")
})

test_that("bad input is refused", {
  object <- measured()
  refused <- function(..., message) {
    expect_refused(EvaluateIntegration(object, ..., verbose = FALSE), message = message)
  }
  refused("umap", "species", message = "no reduction.*umap.*apart")
  refused(character(), "species", message = "reductions.*names")
  refused("apart", "absent", message = "system.*absent")
  refused("apart", "species", labels = "absent", message = "labels.*absent")
  refused("apart", "species", batch = "absent", message = "batch.*absent")
  refused("apart", "species", metrics = "beauty", message = "beauty")
  refused("apart", "species", metrics = 3, message = "metrics")
  refused("apart", "species", features = "none", message = "none")
  refused("apart", "species", unintegrated = "umap", message = "umap")
  refused("apart", "species", max.cells = 2, message = "max.cells")
  refused("apart", "species", assay = "none", message = "none")
  object$one <- "human"
  refused("apart", "one", message = "only one system")
  expect_refused(EvaluateIntegration(1, "apart", "species"), message = "Seurat")
})

test_that("a missing extra is named, with the command that installs it", {
  object <- measured()
  python <- reticulate::py_run_string("
import sys
kept = {}
def hide():
    for name in list(sys.modules):
        if name.split('.')[0] == 'scib_metrics':
            kept[name] = sys.modules.pop(name)
    sys.modules['scib_metrics'] = None
def show():
    del sys.modules['scib_metrics']
    sys.modules.update(kept)
", convert = TRUE)
  python$hide()
  on.exit(python$show())
  expect_refused(evaluate_few(object, labels = "cell_type", metrics = "ilisi"),
                 "scsystems_missing_extra_error",
                 'scib_metrics.*not installed.*install_scsystems\\(extras = "metrics"\\)')
})
