# How a model's input was made: kept with the model, and used for all cells that come later.

# An assay of its own: other counts than those of RNA.
with_soupx <- function(...) {
  object <- seurat_object(...)
  counts <- simulated_counts()$counts
  counts[seq(1, 60, 3), ] <- 0
  counts <- methods::as(counts, "CsparseMatrix")
  object[["soupx"]] <- SeuratObject::CreateAssayObject(Matrix::drop0(counts))
  Seurat::NormalizeData(object, assay = "soupx", verbose = FALSE)
}

decoded <- function(object, ...) {
  object <- CorrectedExpression(object, ..., verbose = FALSE)
  if (is(object, "Seurat")) as.matrix(assay_matrix(object[["sysvi.expression"]], "data"))
  else SummarizedExperiment::assay(SingleCellExperiment::altExp(object, "sysvi.expression"))
}

input_of <- function(folder) {
  json <- reticulate::import("json")
  json$loads(paste(readLines(file.path(folder, "model.json"), warn = FALSE), collapse = "\n"))$notes$input
}

test_that("what was read is in the object, in the model's folder, and printed", {
  object <- quick(with_soupx(), assay = "soupx")
  input <- object[["sysvi"]]@misc$scsystems$input
  expect_identical(input[c("object", "assay", "normalized")],
                   list(object = "Seurat", assay = "soupx", normalized = FALSE))
  expect_equal(input[c("target_sum", "base")], list(target_sum = 1e4, base = exp(1)))
  expect_equal(input_of(ModelPath(object)), input)
  expect_equal(LoadSysVI(object)$input, input)
  expect_output(print(LoadSysVI(object)), "input +soupx, 10,000 per cell, natural logarithms")
  raw <- quick(seurat_object(normalize = FALSE), control = small_options(target_sum = 2e5))
  expect_equal(LoadSysVI(raw)$input, list(object = "Seurat", assay = "RNA", normalized = TRUE,
                                          target_sum = 2e5, base = exp(1)))
  expect_output(print(LoadSysVI(raw)), "RNA, counts normalized here, 200,000 per cell")
  adata <- quick(anndata_object())
  expect_equal(LoadSysVI(adata)$input, list(object = "AnnData", assay = NULL, normalized = FALSE,
                                            target_sum = 1e4, base = exp(1)))
})

test_that("the assay of the training is read again, unless another is named", {
  object <- quick(with_soupx(), assay = "soupx", covariates = "donor")
  path <- ModelPath(object)
  right <- decoded(object, assay = "soupx")
  expect_identical(decoded(object), right)
  expect_identical(decoded(with_soupx(), model = path), right)
  expect_gt(max(abs(decoded(object, assay = "RNA") - right)), 1e-3)
  markers <- function(...) {
    FindSystemMarkers(object, "cell_type", "alpha", n.samples = 50, verbose = FALSE, ...)$lfc_mean
  }
  expect_identical(markers(), markers(assay = "soupx"))
  expect_false(identical(markers(), markers(assay = "RNA")))
  query <- MapSysVI(with_soupx(), object, verbose = FALSE)
  expect_equal(embedding_of(query), embedding_of(object), tolerance = 1e-5)
  expect_identical(SeuratObject::DefaultAssay(query[["sysvi"]]), "soupx")
  # an assay that another object does not have: its own default
  plain <- MapSysVI(seurat_object(), object, verbose = FALSE)
  expect_identical(SeuratObject::DefaultAssay(plain[["sysvi"]]), "RNA")
  lost <- object
  lost[["soupx"]] <- NULL
  expect_identical(decoded(lost, model = path), decoded(object, assay = "RNA"))
})

test_that("a reference is read like the model's cells, whatever its default assay", {
  object <- quick(with_soupx(), assay = "soupx")
  map <- function(reference, ...) {
    MapSysVI(with_soupx(), object, "cell_type", reference, n.neighbors = 5, verbose = FALSE, ...)
  }
  expected <- map(with_soupx())$predicted.cell_type.distance
  expect_lt(median(expected), 1.5)
  # a default assay that could not be read
  sct <- with_soupx()
  corrected <- methods::as(SeuratObject::CreateAssayObject(simulated_counts()$counts), "SCTAssay")
  SeuratObject::Key(corrected) <- "sct_"
  sct[["SCT"]] <- corrected
  SeuratObject::DefaultAssay(sct) <- "SCT"
  expect_identical(map(sct)$predicted.cell_type.distance, expected)
  expect_error(map(sct, assay = "soupx"), NA)
  # without the training's assay the advice is about the reference
  sct[["soupx"]] <- NULL
  expect_refused(map(sct), message = "reference.*SCT.*DefaultAssay\\(reference\\) <- \"RNA\"")
})

test_that("a SingleCellExperiment's assay.type is read again, for references too", {
  binary <- function(counts) log_normalized(counts, 500) / log(2)
  with_lognorm <- function(...) {
    sce <- sce_object(...)
    SummarizedExperiment::assay(sce, "lognorm") <- binary(SummarizedExperiment::assay(sce, "counts"))
    SummarizedExperiment::assay(sce, "logcounts") <- NULL
    sce
  }
  reference <- quick(with_lognorm(), assay.type = "lognorm")
  expect_equal(LoadSysVI(reference)$input[c("assay", "target_sum", "base")],
               list(assay = "lognorm", target_sum = 500, base = 2))
  right <- decoded(reference, assay.type = "lognorm")
  expect_identical(decoded(reference), right)
  # counts go to the model's scale, binary logarithms
  counts <- with_lognorm()
  SummarizedExperiment::assay(counts, "lognorm") <- NULL
  expect_equal(decoded(counts, model = ModelPath(reference)), right, tolerance = 1e-5)
  query <- with_lognorm(seed = 7)
  map <- function(reference) {
    MapSysVI(query, model, "cell_type", reference, n.neighbors = 5, verbose = FALSE, name = "m")
  }
  model <- ModelPath(reference)
  expected <- map(reference)
  expect_equal(map(counts)$predicted.cell_type.distance, expected$predicted.cell_type.distance, tolerance = 1e-3)
})

test_that("the total that counts were normalized to is used again", {
  raw <- seurat_object(normalize = FALSE)
  model <- quick(raw, control = small_options(target_sum = 1e6))
  by_data <- Seurat::NormalizeData(raw, scale.factor = 1e6, verbose = FALSE)
  right <- decoded(model)
  expect_equal(decoded(by_data, model = ModelPath(model)), right, tolerance = 1e-5)
  # counts are read again where values on another scale are beside them
  other <- Seurat::NormalizeData(raw, verbose = FALSE)
  expect_equal(decoded(other, model = ModelPath(model)), right, tolerance = 1e-5)
  sce <- sce_object()
  expect_equal(decoded(sce, model = ModelPath(model)), right, tolerance = 1e-5)
  mapped <- MapSysVI(raw, model, verbose = FALSE, reduction.name = "again")
  expect_equal(embedding_of(mapped, "again"), embedding_of(model), tolerance = 1e-5)
  expect_warning(MapSysVI(raw, model, verbose = FALSE, reduction.name = "again",
                          control = sysvi_options(target_sum = 1e4)),
                 "another scale.*10,000", class = "scsystems_warning")
})

test_that("counts in an assay of another name are normalized again", {
  sce <- sce_object()
  SummarizedExperiment::assay(sce, "molecules") <- SummarizedExperiment::assay(sce, "counts")
  other <- SummarizedExperiment::assay(sce, "counts")
  other[1:30, ] <- 1
  SummarizedExperiment::assay(sce, "counts") <- other
  model <- quick(sce, assay.type = "molecules")
  expect_equal(decoded(model), decoded(model, assay.type = "molecules"))
})

test_that("values on another scale are brought to the model's, with a warning", {
  model <- quick(seurat_object(), covariates = "donor")
  right <- decoded(model)
  path <- ModelPath(model)
  other <- Seurat::NormalizeData(seurat_object(), scale.factor = 1e6, verbose = FALSE)
  expect_warning(found <- decoded(other, model = path),
                 "another scale.*1,000,000.*natural.*model has 10,000", class = "scsystems_warning")
  expect_equal(found, right, tolerance = 1e-4)
  sce <- sce_object()
  counts <- SummarizedExperiment::assay(sce, "counts")
  for (base in c(2, 10)) {
    SummarizedExperiment::assay(sce, "logcounts") <- log_normalized(counts, 1e4) / log(base)
    expect_warning(mapped <- MapSysVI(sce, path, verbose = FALSE), paste("logarithms of base", base),
                   class = "scsystems_warning")
    expect_equal(embedding_of(mapped), embedding_of(model), tolerance = 1e-4)
    expect_warning(LoadSysVI(path, sce), "another scale", class = "scsystems_warning")
    expect_warning(FindSystemMarkers(sce, "cell_type", "alpha", model = path, n.samples = 20,
                                     verbose = FALSE), "another scale", class = "scsystems_warning")
  }
  # totals of cells that were normalized apart differ a little: said, not warned of
  SummarizedExperiment::assay(sce, "logcounts") <- log_normalized(counts, 1.2e4)
  found <- said_by(MapSysVI(sce, path))
  expect_match(found$said, "12,000 per cell.*model has 10,000")
  expect_equal(embedding_of(found$value), embedding_of(model), tolerance = 1e-4)
})

test_that("an assay that is named and not there is refused everywhere, with those that are", {
  sce <- quick(sce_object())
  missing <- "assay.type.*no assay \"logcount\".*\"counts\" and \"logcounts\""
  expect_refused(quick(sce, assay.type = "logcount", name = "x"), message = missing, object = sce)
  expect_refused(CorrectedExpression(sce, assay.type = "logcount"), message = missing, object = sce)
  expect_refused(MapSysVI(sce, sce, assay.type = "logcount", name = "x"), message = missing, object = sce)
  expect_refused(FindSystemMarkers(sce, "cell_type", assay = "logcount"), message = missing)
  expect_refused(LoadSysVI(sce, assay = "logcount"), message = missing)
  expect_refused(EvaluateIntegration(sce, "SYSVI", "species", assay = "logcount"), message = missing)
  expect_refused(BatchStrength(sce, "species", "cell_type", "donor", assay = "logcount"), message = missing)
  expect_refused(TuneSysVI(sce, "species", assay = "logcount"), message = missing)
  object <- quick(seurat_object())
  missing <- "assay.*no assay \"rna\".*\"RNA\""
  expect_refused(CorrectedExpression(object, assay = "rna"), message = missing, object = object)
  expect_refused(MapSysVI(object, object, assay = "rna", reduction.name = "x"), message = missing)
  expect_refused(FindSystemMarkers(object, "cell_type", assay = "rna"), message = missing)
  expect_refused(LoadSysVI(object, assay = "rna"), message = missing)
  expect_refused(EvaluateIntegration(object, "sysvi", "species", assay = "rna"), message = missing)
  expect_refused(TuneSysVI(object, "species", assay = "rna"), message = missing)
})

test_that("an embedding is measured with the assay it was made from", {
  object <- quick(with_soupx(), assay = "soupx")
  measured <- function(...) {
    EvaluateIntegration(object, "sysvi", "species", metrics = "pcr", verbose = FALSE, ...)$value
  }
  expect_identical(measured(), measured(assay = "soupx"))
  expect_false(identical(measured(), measured(assay = "RNA")))
})

test_that("a model that Python trained is known by what it saw", {
  scs <- scsystems_python()
  adata <- anndata_object()
  scs$SysVI$setup_anndata(adata, batch_key = "species")
  model <- scs$SysVI(adata, n_latent = 4L, n_hidden = 16L)
  model$train(max_epochs = 1L, batch_size = 40L, verbose = FALSE)
  folder <- tempfile("python")
  model$save(folder)
  expect_equal(LoadSysVI(folder)$input[c("normalized", "target_sum", "base")],
               list(normalized = FALSE, target_sum = 1e4, base = exp(1)))
  other <- Seurat::NormalizeData(seurat_object(), scale.factor = 1e6, verbose = FALSE)
  expect_warning(mapped <- MapSysVI(other, folder, verbose = FALSE), "another scale",
                 class = "scsystems_warning")
  expect_equal(embedding_of(mapped), reticulate::py_to_r(model$get_latent_representation()),
               tolerance = 1e-4)
})

test_that("a model that does not say takes counts with a warning, and logarithms as they are", {
  facts <- list(genes = all_genes, system = "species", systems = c("human", "mouse"), covariates = list(),
                continuous_covariates = character(), input = NULL)
  read <- function(object) model_expression(cells_source(object), facts)
  expect_warning(data <- read(seurat_object(normalize = FALSE)), "not known.*10,000 per cell",
                 class = "scsystems_warning")
  expect_identical(data$scale$target_sum, 1e4)
  for (total in c(1e4, 1e6)) {
    object <- Seurat::NormalizeData(seurat_object(), scale.factor = total, verbose = FALSE)
    expect_identical(read(object)$matrix, assay_matrix(object[["RNA"]], "data"))
  }
})

test_that("scales are compared as far as they are known", {
  scale <- function(target_sum, base = exp(1)) list(target_sum = target_sum, base = base)
  expect_true(same_scale(scale(1e4), scale(1e4 * 1.009)))
  expect_false(same_scale(scale(1e4), scale(1e4 * 1.02)))
  expect_false(same_scale(scale(1e4), scale(1e4, 2)))
  expect_true(same_scale(scale(NA_real_), scale(1e4)))
  expect_false(same_scale(scale(NA_real_, 2), scale(1e4)))
  expect_identical(wanted_scale(NULL, NULL), scale(1e4))
  expect_identical(wanted_scale(NULL, scale(500, 2)), scale(500, 2))
  expect_identical(wanted_scale(1e6, scale(500, 2)), scale(1e6, 2))
  expect_identical(wanted_scale(NULL, scale(NA_real_, NA_real_)), scale(1e4))
})
