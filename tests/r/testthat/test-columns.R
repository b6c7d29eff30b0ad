# Columns of metadata of any class, as system, covariate, labels or continuous covariate.

# Text of the levels, and the code of every cell, as Python has them.
as_seen <- function(values) {
  category <- scsystems:::category(scsystems:::plain_column(values))
  list(levels = levels(category), cells = as.character(category))
}

sce_with <- function(...) {
  sce <- sce_object()
  columns <- list(...)
  for (name in names(columns)) SummarizedExperiment::colData(sce)[[name]] <- columns[[name]]
  sce
}

seen_by_model <- function(object, ...) {
  LoadSysVI(quick(object, ...))
}

two <- rep(c("human", "mouse"), each = 40)

test_that("categories are the same text, whatever class they come in", {
  for (values in list(two, factor(two), S4Vectors::Rle(two), S4Vectors::Rle(factor(two)),
                      S4Vectors::Factor(two), ordered(two), I(two), matrix(two, ncol = 1),
                      factor(two, levels = c("human", "spare", "mouse")))) {
    expect_identical(as_seen(values), list(levels = c("human", "mouse"), cells = two))
  }
})

test_that("numbers, dates, times and logical values are text that means one thing", {
  expect_identical(as_seen(c(1, 1e5, 2))$cells, c("1", "100000", "2"))
  expect_identical(as_seen(c(1L, 100000L))$cells, c("1", "100000"))
  expect_identical(as_seen(c(0.5, 1e15))$cells, c("0.5", "1000000000000000"))
  expect_identical(as_seen(c(TRUE, FALSE))$cells, c("TRUE", "FALSE"))
  expect_identical(as_seen(as.Date("2024-02-01") + 0:1)$cells, c("2024-02-01", "2024-02-02"))
  expect_identical(as_seen(as.POSIXct("2024-02-01 10:30:00", tz = "UTC"))$cells,
                   "2024-02-01 10:30:00")
  expect_identical(as_seen(c(NA, 1, NaN, Inf))$cells, c(NA, "1", NA, "Inf"))
})

test_that("a level that is NA is a missing value", {
  values <- addNA(factor(c("a", NA, "b")))
  expect_identical(as_seen(values), list(levels = c("a", "b"), cells = c("a", NA, "b")))
  object <- seurat_object()
  object$holes <- addNA(factor(ifelse(seq_len(80) == 3, NA, object$donor)))
  expect_refused(quick(object, covariates = "holes"), message = "NA for 1 cell", object = object)
  expect_refused(RunSysVI(object, "holes"), message = "NA for 1 cell.*cell3", object = object)
  object$most <- addNA(factor(c("a", rep(NA, 79))))
  expect_refused(EvaluateIntegration(quick(object), "sysvi", "most"), message = "NA for 79")
})

test_that("colData's own classes are understood by every function", {
  n <- 80
  sce <- sce_with(
    species = S4Vectors::Rle(two), donor = S4Vectors::Rle(rep(c(11, 12, 13, 14), each = 20)),
    when = as.Date("2024-02-01") + rep(0:1, 40), depth = S4Vectors::Rle(stats::rnorm(n)),
    cell_type = S4Vectors::Rle(factor(rep(c("alpha", "beta"), 40)))
  )
  SummarizedExperiment::colData(sce)$table <- S4Vectors::DataFrame(a = seq_len(n), b = 1)
  SummarizedExperiment::colData(sce)$list <- as.list(seq_len(n))
  trained <- quick(sce, covariates = c("donor", "when"),
                   control = small_options(continuous_covariates = "depth"))
  facts <- LoadSysVI(trained)
  expect_identical(facts$systems, c("human", "mouse"))
  expect_identical(facts$covariates$donor, c("11", "12", "13", "14"))
  expect_identical(facts$covariates$when, c("2024-02-01", "2024-02-02"))
  plain <- sce_with(species = two, donor = rep(11:14, each = 20), when = as.character(sce$when),
                    depth = as.vector(sce$depth))
  same <- quick(plain, covariates = c("donor", "when"),
                control = small_options(continuous_covariates = "depth"))
  expect_identical(SingleCellExperiment::reducedDim(trained, "SYSVI"),
                   SingleCellExperiment::reducedDim(same, "SYSVI"))
  expect_s3_class(FindSystemMarkers(trained, "cell_type", ident.1 = "beta", n.samples = 100,
                                    verbose = FALSE), "data.frame")
  mapped <- MapSysVI(sce, trained, labels = "cell_type", reference = trained, max.epochs = 0,
                     n.neighbors = 5, verbose = FALSE)
  expect_identical(levels(mapped$predicted.cell_type), c("alpha", "beta"))
  for (column in c("table", "list")) {
    expect_refused(RunSysVI(sce, column), message = paste0("system.*", column, ".*class"))
    expect_refused(quick(sce, covariates = column), message = paste0("covariates.*", column))
    expect_refused(FindSystemMarkers(trained, column), message = paste0("group.by.*", column))
    expect_refused(EvaluateIntegration(trained, "SYSVI", "species", labels = column),
                   message = paste0("labels.*", column))
  }
})

test_that("lists and tables in a Seurat object's metadata are refused by name, or left alone", {
  object <- seurat_object()
  object@meta.data$notes <- lapply(seq_len(80), function(i) "x")
  object@meta.data$scaled <- matrix(rep(1:4, each = 20), ncol = 1)
  expect_refused(RunSysVI(object, "notes"), message = "system.*notes.*list", object = object)
  result <- quick(object, covariates = "scaled")
  expect_identical(LoadSysVI(result)$covariates$scaled, c("1", "2", "3", "4"))
})

test_that("dates and times are no continuous covariates until they are made numbers", {
  object <- seurat_object()
  object$when <- as.POSIXct("2024-02-01", tz = "UTC") + seq_len(80)
  control <- small_options(continuous_covariates = "when")
  expect_refused(quick(object, control = control), message = "when.*not numeric.*as.numeric")
  object$when <- as.numeric(object$when)
  expect_identical(LoadSysVI(quick(object, control = control))$continuous_covariates, "when")
  object$when[[3]] <- Inf
  expect_refused(quick(object, control = control), message = "when.*infinite")
})

test_that("64-bit integers ask for their package", {
  if (rlang::is_installed("bit64")) {
    expect_identical(as_seen(bit64::as.integer64(c(1, 1e15)))$cells, c("1", "1000000000000000"))
  } else {
    values <- structure(c(4.9e-324, 9.9e-324), class = "integer64")
    expect_error(as_seen(values), "bit64")
  }
})

test_that("names beyond ASCII and long names go to Python and back", {
  odd <- c("M\u00fcller", "\u65e5\u672c\u8a9e", strrep("x", 300), "a b/c{d}")
  object <- seurat_object()
  column <- "Sp\u00e9cies {1}"
  object@meta.data[[column]] <- object$species
  object@meta.data[["\u30c9\u30ca\u30fc"]] <- odd[rep(1:4, each = 20)]
  result <- RunSysVI(object, column, covariates = "\u30c9\u30ca\u30fc", features = all_genes, dims = 3,
                     max.epochs = 1, verbose = FALSE, control = small_options())
  facts <- LoadSysVI(result)
  expect_identical(facts$system, column)
  expect_setequal(facts$covariates[[1]], odd)
  expect_identical(names(facts$covariates), "\u30c9\u30ca\u30fc")
  long <- strrep("reduction", 30)
  sce <- quick(sce_object(), name = long)
  expect_true(dir.exists(ModelPath(sce, long)))
})

test_that("text in another encoding is the same text in Python", {
  object <- seurat_object()
  object$donor <- rep(c("caf\xe9", "th\xe9"), each = 40)
  Encoding(object@meta.data$donor) <- "latin1"
  facts <- LoadSysVI(quick(object, covariates = "donor"))
  expect_identical(facts$covariates$donor, c("caf\u00e9", "th\u00e9"))
})

test_that("an object without names of cells or genes is refused in words", {
  sce <- sce_object()
  colnames(sce) <- NULL
  expect_refused(quick(sce), message = "no cell names.*name of its own")
  expect_refused(EvaluateIntegration(sce, "SYSVI", "species"), message = "no reduction|no cell names")
  expect_refused(MapSysVI(sce, quick(sce_object()), verbose = FALSE), message = "no cell names")
  sce <- sce_object()
  rownames(sce) <- NULL
  expect_refused(quick(sce, features = NULL), message = "no gene names.*name of its own")
})
