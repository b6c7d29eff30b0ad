# Bad input to RunSysVI: a clear error, and the object as it was.

set_value <- function(object, value, gene = 3, cell = 5) {
  matrix <- Seurat::GetAssayData(object)
  matrix[gene, cell] <- value
  Seurat::SetAssayData(object, new.data = matrix)
}
if (utils::packageVersion("SeuratObject") >= "5") {
  set_value <- function(object, value, gene = 3, cell = 5) {
    matrix <- SeuratObject::LayerData(object, layer = "data")
    matrix[gene, cell] <- value
    SeuratObject::LayerData(object, layer = "data") <- matrix
    object
  }
}

test_that("NaN, NA, infinite and negative expression is refused, naming gene and cell", {
  for (value in c(NaN, NA, Inf)) {
    object <- set_value(seurat_object(), value)
    expect_refused(quick(object), "scsystems_non_finite_error", "gene3.*cell5", object)
  }
  object <- set_value(seurat_object(), -1)
  expect_refused(quick(object), message = "1 negative value.*gene3.*cell5.*scaled", object = object)
})

test_that("expression that is not log-transformed is refused", {
  sce <- sce_object()
  logs <- SummarizedExperiment::assay(sce, "logcounts")
  logs[3, 5] <- 1234.5
  bare <- SingleCellExperiment::SingleCellExperiment(list(logcounts = logs), colData = sce@colData)
  expect_refused(quick(bare), message = "log-normalized|not normalized", object = bare)
  # with counts, all are normalized anew
  object <- set_value(seurat_object(), 1234.5)
  found <- said_by(quick(object, verbose = TRUE))
  expect_match(found$said, "40 of 80 cells.*are not normalized.*as the others are")
  expect_equal(embedding_of(found$value), embedding_of(quick(seurat_object())), tolerance = rounding)
})

test_that("a system column that cannot serve is refused", {
  object <- seurat_object()
  expect_refused(RunSysVI(object, "absent"), message = "no column.*absent.*donor", object = object)
  expect_refused(RunSysVI(object, 1), message = "one string", object = object)
  object$one <- "human"
  expect_refused(RunSysVI(object, "one"), message = "only one system.*human", object = object)
  object$holes <- ifelse(seq_len(80) %in% c(2, 4), NA, object$donor)
  expect_refused(RunSysVI(object, "holes"), message = "NA for 2 cells.*cell2", object = object)
  object$spare <- factor("human", levels = c("human", "mouse"))
  expect_refused(RunSysVI(object, "spare"), message = "only one system", object = object)
})

test_that("a system or a sample of one cell is refused", {
  object <- seurat_object()
  object$lone <- c("odd", rep(c("human", "mouse"), length.out = 79))
  expect_refused(RunSysVI(object, "lone", features = all_genes, max.epochs = 1, verbose = FALSE),
                 message = "odd", object = object)
  expect_refused(quick(object, covariates = "lone"), message = "odd", object = object)
})

test_that("covariates that cannot serve are refused", {
  object <- seurat_object()
  object$holes <- ifelse(seq_len(80) == 3, NA, object$donor)
  expect_refused(quick(object, covariates = "absent"), message = "absent", object = object)
  expect_refused(quick(object, covariates = 3), message = "names of columns", object = object)
  expect_refused(quick(object, covariates = "species"), message = "both the system and",
                 object = object)
  expect_refused(quick(object, covariates = "holes"), message = "NA for 1 cell", object = object)
  expect_refused(quick(object, covariates = "percent"), message = "continuous_covariates",
                 object = object)
  expect_refused(quick(object, control = small_options(continuous_covariates = "donor")),
                 message = "not numeric", object = object)
})

test_that("features that are not there, none or doubled are refused", {
  object <- seurat_object()
  expect_refused(quick(object, features = c("gene1", "NOPE")), message = "1 of 2.*NOPE.*gene1",
                 object = object)
  expect_refused(quick(object, features = character()), message = "names of genes", object = object)
  expect_refused(quick(object, features = c("gene1", "gene1")), message = "more than once",
                 object = object)
})

test_that("systems with gene names of their own are told so, not to raise n_top_genes", {
  data <- simulated_counts()
  human <- data$obs$species == "human"
  rows <- rbind(data$counts, data$counts)
  rownames(rows) <- c(all_genes, toupper(all_genes))
  rows[61:120, human] <- 0
  rows[1:60, !human] <- 0
  object <- SeuratObject::CreateSeuratObject(methods::as(rows, "CsparseMatrix"), meta.data = data$obs)
  expect_refused(quick(object, features = NULL), message = "human.*gene1.*mouse.*GENE1.*same gene names.*orthologs", object = object)
  expect_refused(quick(object, features = all_genes), message = "features.*none of the 60 genes.*mouse.*orthologs", object = object)
})

test_that("an empty intersection of highly variable genes is refused", {
  object <- seurat_object()
  matrix <- log_normalized(simulated_counts()$counts)
  matrix[1:30, 1:40] <- 0
  matrix[31:60, 41:80] <- 0
  object <- suppressWarnings(SeuratObject::CreateSeuratObject(
    SeuratObject::CreateAssayObject(data = methods::as(matrix, "CsparseMatrix")),
    meta.data = object[[]]
  ))
  expect_refused(quick(object, features = NULL), message = "of every system.*same gene names", object = object)
})

test_that("fewer cells than a minibatch are one minibatch, with a warning", {
  object <- seurat_object(cells = 10)
  expect_warning(result <- quick(object), "batch_size=40.*20 cells", class = "scsystems_warning")
  expect_true("sysvi" %in% SeuratObject::Reductions(result))
})

test_that("names and keys that are taken are refused", {
  object <- quick(seurat_object())
  expect_refused(quick(object), message = "reduction.*sysvi.*already.*overwrite", object = object)
  expect_refused(quick(object, reduction.name = "RNA"), message = "another part", object = object)
  expect_refused(quick(object, reduction.name = "new", reduction.key = "sysvi_"),
                 message = "key of.*sysvi", object = object)
  expect_refused(quick(object, reduction.name = "new", reduction.key = "no_key_"),
                 message = "letters and digits", object = object)
})

test_that("assays that cannot serve are refused", {
  object <- seurat_object()
  expect_refused(quick(object, assay = "none"), message = "no assay.*none.*RNA", object = object)
  old <- SeuratObject::CreateAssayObject(simulated_counts()$counts)
  corrected <- methods::as(old, "SCTAssay")
  SeuratObject::Key(corrected) <- "sct_"
  object[["SCT"]] <- corrected
  expect_refused(quick(object, assay = "SCT"), message = "SCTransform.*assay = \"RNA\"",
                 object = object)
})

test_that("arguments of the wrong kind are refused", {
  object <- seurat_object()
  expect_refused(quick(object, cycle.weight = -1), message = "cycle.weight.*at least 0")
  expect_refused(RunSysVI(object, "species", dims = 1:15), message = "dims.*one whole number")
  expect_refused(RunSysVI(object, "species", dims = 2.5), message = "dims.*2.5")
  expect_refused(quick(object, max.epochs = 0), message = "max.epochs.*at least 1")
  expect_refused(quick(object, seed.use = "a"), message = "seed.use")
  expect_refused(quick(object, device = "tpu"), message = "tpu")
  expect_refused(quick(object, control = list()), message = "sysvi_options")
  expect_refused(quick(object, verbose = NA), message = "verbose")
  expect_error(quick(object, max_epochs = 3), class = "rlib_error_dots_nonempty")
})

test_that("Python arguments that do not exist are refused with those that do", {
  object <- seurat_object()
  expect_refused(quick(object, control = sysvi_options(model = list(n_heads = 2))),
                 message = "n_heads.*n_hidden", object = object)
  expect_refused(quick(object, control = sysvi_options(train = list(epochs = 2))),
                 message = "epochs.*max.epochs", object = object)
  expect_refused(quick(object, control = sysvi_options(plan = list(kl = 2))), message = "kl",
                 object = object)
})

test_that("a folder for the model that cannot be used is refused before training", {
  object <- seurat_object()
  full <- tempfile()
  dir.create(full)
  file.create(file.path(full, "precious.txt"))
  expect_refused(quick(object, model.dir = full), message = "not empty", object = object)
  file <- tempfile()
  file.create(file)
  expect_refused(quick(object, model.dir = file.path(file, "model")), message = "cannot be written",
                 object = object)
})
