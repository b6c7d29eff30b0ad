# What layers hold, cell by cell, and what becomes of it.

# Of every system one sample, d2 and d4, is not normalized.
is_raw <- function(object) object$donor %in% c("d2", "d4")

half_seurat <- function(scale.factor = 1e4) {
  raw <- seurat_object(normalize = FALSE)
  done <- Seurat::NormalizeData(raw[, !is_raw(raw)], scale.factor = scale.factor, verbose = FALSE)
  merge(done, raw[, is_raw(raw)])
}

half_sce <- function(counts = TRUE, normalize = log_normalized) {
  sce <- sce_object()
  mixed <- normalize(SummarizedExperiment::assay(sce, "counts"))
  mixed[, is_raw(sce)] <- SummarizedExperiment::assay(sce, "counts")[, is_raw(sce)]
  SummarizedExperiment::assay(sce, "logcounts") <- mixed
  if (!counts) SummarizedExperiment::assay(sce, "counts") <- NULL
  sce
}

# Size factors that no total explains.
odd_logs <- function(counts) log_normalized(counts, rep(c(8e3, 9e3, 1.2e4), length.out = ncol(counts)))

normalized_merge <- function(...) Seurat::NormalizeData(half_seurat(), ..., verbose = FALSE)

test_that("samples that are not normalized are brought to the scale of the others, with a message", {
  object <- half_seurat()
  found <- said_by(quick(object, verbose = TRUE))
  expect_match(found$said, "40 of 80 cells in assay \"RNA\" are not normalized.*10,000 per cell, natural")
  expect_identical(dim(embedding_of(found$value)), c(80L, 4L))
  expect_equal(embedding_of(found$value), embedding_of(quick(normalized_merge())), tolerance = rounding)
  expect_identical(found$value[["RNA"]], object[["RNA"]])
  expected <- embedding_of(quick(sce_object()))
  for (counts in c(TRUE, FALSE)) {
    found <- said_by(quick(half_sce(counts), verbose = TRUE))
    expect_match(found$said, "40 of 80 cells in the object are not normalized, such as \"cell21\"")
    expect_equal(embedding_of(found$value), expected, tolerance = rounding)
  }
})

test_that("a cell without any count is embedded as it is", {
  sce <- sce_object()
  for (assay in c("counts", "logcounts")) SummarizedExperiment::assay(sce, assay)[, 7] <- 0
  embedding <- embedding_of(expect_silent(quick(sce)))
  expect_true(all(is.finite(embedding)))
  SummarizedExperiment::assay(sce, "logcounts") <- NULL
  expect_equal(embedding_of(quick(sce)), embedding, tolerance = rounding)
})

test_that("cells that have nothing but NA, or zeros, among logarithms are normalized from their counts", {
  sce <- sce_object()
  logs <- as.matrix(SummarizedExperiment::assay(sce, "logcounts"))
  logs[, is_raw(sce)] <- NA
  zeros <- replace(logs, is.na(logs), 0)
  for (matrix in list(logs, methods::as(logs, "CsparseMatrix"), zeros)) {
    SummarizedExperiment::assay(sce, "logcounts") <- matrix
    found <- said_by(quick(sce, verbose = TRUE))
    expect_match(found$said, "40 of 80 cells in the object are not normalized")
    expect_equal(embedding_of(found$value), embedding_of(quick(sce_object())), tolerance = rounding)
    if (!anyNA(matrix)) next
    bare <- sce
    SummarizedExperiment::assay(bare, "counts") <- NULL
    expect_refused(quick(bare), message = "40 of 80 cells.*no counts of \"cell21\"", object = bare)
  }
})

test_that("their scale is the one of the normalized samples, whatever the default", {
  all <- normalized_merge(scale.factor = 2e5)
  found <- said_by(quick(half_seurat(2e5), verbose = TRUE))
  expect_match(found$said, "200,000 per cell")
  expect_equal(embedding_of(found$value), embedding_of(quick(all)), tolerance = rounding)
  input <- found$value[["sysvi"]]@misc$scsystems$input
  expect_equal(input[c("target_sum", "base")], list(target_sum = 2e5, base = exp(1)))
  # binary logarithms, as scuttle takes them
  binary <- function(counts) log_normalized(counts, 500) / log(2)
  sce <- sce_object()
  SummarizedExperiment::assay(sce, "logcounts") <- binary(SummarizedExperiment::assay(sce, "counts"))
  found <- said_by(quick(half_sce(normalize = binary), verbose = TRUE))
  expect_match(found$said, "500 per cell, logarithms of base 2")
  expect_equal(embedding_of(found$value), embedding_of(quick(sce)), tolerance = rounding)
})

test_that("where that scale cannot be told all are normalized anew, or without counts refused", {
  found <- said_by(quick(half_sce(normalize = odd_logs), verbose = TRUE))
  expect_match(found$said, "all cells are normalized anew from their counts .10,000 per cell")
  expect_equal(embedding_of(found$value), embedding_of(quick(sce_object())), tolerance = rounding)
  sce <- half_sce(counts = FALSE, normalize = odd_logs)
  expect_refused(quick(sce), message = "40 of 80 cells.*cell21.*cannot be told.*logNormCounts", object = sce)
})

test_that("cells that have neither are refused, with the way out", {
  sce <- half_sce()
  logs <- SummarizedExperiment::assay(sce, "logcounts")
  counts <- SummarizedExperiment::assay(sce, "counts")
  logs[, 3] <- counts[, 3] <- -1
  SummarizedExperiment::assay(sce, "logcounts") <- logs
  SummarizedExperiment::assay(sce, "counts") <- counts
  expect_refused(quick(sce), message = "negative.*gene1.*cell3", object = sce)
})

test_that("an AnnData's samples are normalized alike, too", {
  adata <- anndata_object()
  raw <- anndata_object(counts = TRUE)
  donor <- seurat_object()$donor
  at <- as.list(which(donor %in% c("d2", "d4")) - 1L)
  expected <- embedding_of(quick(anndata_object()))
  dense <- adata$X$toarray()
  reticulate::py_set_item(dense, list(at), reticulate::py_get_item(raw$X$toarray(), list(at)))
  sparse <- reticulate::import("scipy.sparse", convert = FALSE)
  for (matrix in list(dense, sparse$csr_matrix(dense), sparse$csc_matrix(dense))) {
    mixed <- anndata_object()
    mixed$X <- matrix
    before <- reticulate::py_to_r(mixed$X$sum())
    found <- said_by(quick(mixed, verbose = TRUE))
    expect_match(found$said, "40 of 80 cells in the AnnData are not normalized")
    expect_equal(embedding_of(mixed), expected, tolerance = rounding)
    expect_identical(reticulate::py_to_r(mixed$X$sum()), before)
  }
  raw$X <- sparse$csc_matrix(raw$X)
  quick(raw)
  expect_equal(embedding_of(raw), expected, tolerance = rounding)
})

test_that("counts with fractions, and values without logarithms, are normalized as counts are", {
  expected <- embedding_of(quick(seurat_object()))
  data <- simulated_counts()
  # a total of its own, or one for all, does not change what comes out
  for (factor in list(0.97, 1e4 / Matrix::colSums(data$counts))) {
    scaled <- data$counts
    scaled@x <- scaled@x * rep(rep_len(factor, 80), diff(scaled@p))
    object <- SeuratObject::CreateSeuratObject(scaled, meta.data = data$obs)
    found <- said_by(quick(object, verbose = TRUE))
    expect_match(found$said, "counts with fractions.*log-normalized .10,000 per cell")
    expect_equal(embedding_of(found$value), expected, tolerance = rounding)
    sce <- SingleCellExperiment::SingleCellExperiment(list(counts = scaled), colData = data$obs)
    expect_equal(embedding_of(quick(sce)), expected, tolerance = rounding)
  }
  # what a corrector of ambient RNA leaves: whole counts less the gene's part
  corrected <- data$counts
  corrected@x <- pmax(0, corrected@x - ifelse(corrected@i %% 3 == 0, 0.6, 0))
  object <- SeuratObject::CreateSeuratObject(corrected, meta.data = data$obs)
  expect_equal(embedding_of(quick(object)),
               embedding_of(quick(Seurat::NormalizeData(object, verbose = FALSE))),
               tolerance = rounding)
})

test_that("scaled and integrated values are refused, with the assay to use", {
  object <- Seurat::ScaleData(seurat_object(), features = all_genes, verbose = FALSE)
  scaled <- SeuratObject::GetAssayData(object, "scale.data")
  object[["integrated"]] <- SeuratObject::CreateAssayObject(data = scaled)
  SeuratObject::DefaultAssay(object) <- "integrated"
  expect_refused(quick(object), message = "negative.*scaled or otherwise corrected.*RNA", object = object)
  expect_identical(dim(embedding_of(quick(object, assay = "RNA"))), c(80L, 4L))
  sce <- sce_object()
  SummarizedExperiment::assay(sce, "scaled") <- scaled
  expect_refused(quick(sce, assay.type = "scaled"), message = "negative.*assay.type.*logcounts", object = sce)
  adata <- anndata_object()
  adata$X <- adata$X$toarray()$`__sub__`(1)
  expect_refused(quick(adata), message = "negative")
})

test_that("samples with logarithms of different bases are normalized anew, or refused without counts", {
  sce <- sce_object()
  logs <- SummarizedExperiment::assay(sce, "logcounts")
  logs[, is_raw(sce)] <- logs[, is_raw(sce)] / log(2)
  SummarizedExperiment::assay(sce, "logcounts") <- logs
  found <- said_by(quick(sce, covariates = "donor", verbose = TRUE))
  expect_match(found$said, "different ways: all are normalized anew from their counts")
  expect_equal(embedding_of(found$value), embedding_of(quick(sce_object(), covariates = "donor")),
               tolerance = rounding)
  SummarizedExperiment::assay(sce, "counts") <- NULL
  expect_refused(quick(sce, covariates = "donor"), object = sce,
                 message = "different ways.*natural logarithms.*base 2.*no counts")
})

test_that("samples with totals that no protocol makes are warned of", {
  sce <- sce_object()
  counts <- SummarizedExperiment::assay(sce, "counts")
  SummarizedExperiment::assay(sce, "logcounts") <- log_normalized(counts, ifelse(is_raw(sce), 1e4, 4e4))
  expect_warning(quick(sce, covariates = "donor"), "different ways.*40,000 per cell.*10,000 per cell",
                 class = "scsystems_warning")
})

test_that("a query that is half normalized is embedded like one that is", {
  reference <- quick(seurat_object(), covariates = "donor")
  expected <- embedding_of(MapSysVI(seurat_object(), reference, verbose = FALSE))
  expect_equal(embedding_of(MapSysVI(half_seurat(), reference, verbose = FALSE)), expected, tolerance = 1e-4)
  expect_equal(embedding_of(MapSysVI(half_sce(), reference, verbose = FALSE)), expected, tolerance = 1e-4)
  expect_equal(embedding_of(MapSysVI(half_sce(FALSE), reference, verbose = FALSE)), expected, tolerance = 1e-4)
  # labels come from a reference that is half normalized, too
  map <- function(reference) {
    MapSysVI(seurat_object(), ModelPath(trained), "cell_type", reference, n.neighbors = 5, verbose = FALSE)
  }
  trained <- reference
  expect_equal(map(half_sce())$predicted.cell_type.distance,
               map(sce_object())$predicted.cell_type.distance, tolerance = 1e-3)
  path <- ModelPath(reference)
  decoded <- function(object) {
    sce <- CorrectedExpression(object, model = path, verbose = FALSE)
    SummarizedExperiment::assay(SingleCellExperiment::altExp(sce, "sysvi.expression"))
  }
  expect_equal(decoded(half_sce()), decoded(sce_object()), tolerance = 1e-4)
  markers <- function(object) {
    FindSystemMarkers(object, "cell_type", "alpha", model = path, n.samples = 50, verbose = FALSE)
  }
  expect_equal(markers(half_sce())$lfc_mean, markers(sce_object())$lfc_mean, tolerance = 1e-3)
})

test_that("LoadSysVI() judges the expression of the object", {
  folder <- ModelPath(quick(seurat_object(), covariates = "donor"))
  expect_s3_class(LoadSysVI(folder, half_seurat()), "sysvi_model")
  expect_s3_class(LoadSysVI(folder, seurat_object(normalize = FALSE)), "sysvi_model")
  sce <- sce_object()
  SummarizedExperiment::assay(sce, "scaled") <- SummarizedExperiment::assay(sce, "logcounts") - 1
  expect_refused(LoadSysVI(folder, sce, assay = "scaled"), message = "negative", object = sce)
  logs <- SummarizedExperiment::assay(sce, "logcounts")
  logs[3, 5] <- NaN
  SummarizedExperiment::assay(sce, "logcounts") <- logs
  expect_refused(LoadSysVI(folder, sce), "scsystems_non_finite_error", "gene3.*cell5", object = sce)
})

test_that("measures see half normalized objects as normalized ones", {
  embedding <- matrix(stats::rnorm(160), 80, dimnames = list(paste0("cell", 1:80), NULL))
  measured <- function(object) {
    if (is(object, "Seurat")) {
      colnames(embedding) <- c("x_1", "x_2")
      object[["x"]] <- SeuratObject::CreateDimReducObject(embedding[colnames(object), ], key = "x_", assay = "RNA")
    } else {
      SingleCellExperiment::reducedDim(object, "x") <- embedding
    }
    table <- EvaluateIntegration(object, "x", "species", metrics = "pcr", features = all_genes, verbose = FALSE)
    table$value
  }
  expected <- measured(seurat_object())
  expect_equal(measured(half_sce()), expected, tolerance = 1e-4)
  expect_equal(measured(half_seurat()), expected, tolerance = 1e-4)
  strength <- function(object) {
    BatchStrength(object, "species", "cell_type", "donor", features = all_genes, min.cells = 5,
                  min.samples = 2, verbose = FALSE)$distances$distance
  }
  expect_equal(strength(half_sce()), strength(sce_object()), tolerance = 1e-3)
})

test_that("a search trains on what RunSysVI() would", {
  adata_of <- function(object, ...) {
    adata <- send_tuning(cells_source(object), all_genes, "species", "donor", "cell_type", sysvi_options(...), FALSE)
    reticulate::py_to_r(adata$X$toarray())
  }
  expected <- t(as.matrix(log_normalized(simulated_counts()$counts)))
  expect_equal(adata_of(half_sce()), unname(expected), tolerance = 1e-5)
  expect_equal(adata_of(seurat_object(normalize = FALSE)), unname(expected), tolerance = 1e-5)
  expect_equal(adata_of(seurat_object(normalize = FALSE), target_sum = 500),
               unname(t(as.matrix(log_normalized(simulated_counts()$counts, 500)))), tolerance = 1e-5)
})

test_that("scSpecies refuses species whose counts are partly something else", {
  mouse <- species_seurat("mouse")
  counts <- SeuratObject::GetAssayData(mouse, "counts")
  counts[, 1:45] <- log_normalized(counts)[, 1:45]
  mixed <- SeuratObject::CreateSeuratObject(counts, meta.data = mouse[[]])
  human <- species_seurat("human", seed = 2)
  expect_refused(quick_species(mixed, human), message = "mouse.*45 of 90 cells.*fractions.*mouse_1", object = mixed)
  sce <- species_sce("human", seed = 2)
  SummarizedExperiment::assay(sce, "counts") <- SummarizedExperiment::assay(sce, "counts") * 0.97
  expect_refused(quick_species(species_sce("mouse"), sce), message = "human.*90 of 90 cells.*round\\(\\)", object = sce)
})

test_that("whole cells are told in blocks, in dense and sparse matrices", {
  dense <- cbind(c(1, 0, 2), c(0, 0.5, 0), 0, c(1, NaN, 0), c(-1, 0, 3), NA, c(0, NaN, NaN))
  expected <- c(1, 0, NA, 0, 1, NaN, NaN)
  for (matrix in list(dense, methods::as(dense, "CsparseMatrix"), methods::as(dense, "TsparseMatrix"))) {
    for (values in c(3, 7, 1e6)) expect_identical(whole_cells(matrix, values), expected)
  }
  expect_identical(whole_cells(matrix(0, 3, 0)), double())
})

test_that("a sample has cells of every group, all of small ones", {
  group <- factor(c(rep("a", 5000), rep("b", 7), NA))
  chosen <- sample_cells(group, most = 1000)
  expect_identical(sum(group[chosen] == "b"), 7L)
  expect_identical(sum(group[chosen] == "a"), 500L)
  expect_identical(anyDuplicated(chosen), 0L)
  expect_identical(sample_cells(factor(c(NA, NA))), integer())
})

test_that("logarithms of one scale are those of another", {
  counts <- simulated_counts()$counts
  from <- list(target_sum = 500, base = 2)
  for (matrix in list(log_normalized(counts, 500) / log(2), as.matrix(log_normalized(counts, 500) / log(2)))) {
    expect_equal(as.matrix(rescaled(matrix, from, list(target_sum = 1e4, base = exp(1)))),
                 as.matrix(log_normalized(counts)))
  }
})

if (utils::packageVersion("SeuratObject") >= "5") {
  test_that("IntegrateLayers takes samples that are not normalized", {
    object <- half_seurat()
    expect_lt(length(SeuratObject::Layers(object, search = "data")), 2)
    metadata <- object[[]]
    reductions <- SysVIIntegration(object[["RNA"]], "RNA", features = all_genes, system = "species",
                                   metadata = metadata, max.epochs = 2, dims = 4, verbose = FALSE,
                                   control = small_options())
    embedding <- SeuratObject::Embeddings(reductions[[1]])[paste0("cell", 1:80), ]
    expect_equal(unname(embedding), embedding_of(quick(seurat_object())), tolerance = rounding)
  })
}
