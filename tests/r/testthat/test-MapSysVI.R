# The last sample of mouse is left out of the reference.
reference_of <- function(object) object[, object$donor != "d4"]
query_of <- function(object) object[, object$donor == "d4"]
train_reference <- function(object, ...) quick(reference_of(object), covariates = "donor", ...)

test_that("a query of known samples gets the embedding that the reference has", {
  reference <- train_reference(seurat_object())
  query <- reference[, 10:30]
  query[["sysvi"]] <- NULL
  before <- query
  query <- MapSysVI(query, reference, verbose = FALSE)
  expected <- SeuratObject::Embeddings(reference, "sysvi")[10:30, ]
  expect_equal(SeuratObject::Embeddings(query, "sysvi"), expected, tolerance = 1e-5)
  expect_identical(nrow(TrainingHistory(query)$metrics), 0L)
  query@reductions <- before@reductions
  query@commands <- before@commands
  expect_identical(query, before)
})

test_that("a new sample is trained, mapped and labeled as in Python", {
  object <- seurat_object()
  folder <- tempfile("model")
  reference <- train_reference(object, model.dir = folder)
  query <- MapSysVI(query_of(object), folder, labels = "cell_type", reference = reference,
                    n.neighbors = 5, max.epochs = 2, verbose = FALSE,
                    control = sysvi_options(batch_size = 20, plan = list(lr = 0.01)))
  expect_identical(nrow(TrainingHistory(query)$metrics), 2L)
  expect_identical(LoadSysVI(query)$covariates$donor, c("d1", "d2", "d3", "d4"))
  predicted <- query$predicted.cell_type
  expect_s3_class(predicted, "factor")
  expect_identical(levels(predicted), c("alpha", "beta"))
  share <- query$predicted.cell_type.confidence
  expect_true(all(share > 0 & share <= 1))
  expect_true(all(query$predicted.cell_type.distance > 0))

  scs <- scsystems_python()
  adata <- anndata_object()
  donor <- object$donor
  cells <- function(adata, chosen) adata$`__getitem__`(as.list(unname(which(chosen)) - 1L))$copy()
  known <- cells(adata, donor != "d4")
  new <- cells(adata, donor == "d4")
  model <- scs$SysVI$load_query_data(new, folder)
  model$train(max_epochs = 2L, batch_size = 20L, seed = 42L, verbose = FALSE,
              plan_kwargs = list(lr = 0.01))
  expected <- reticulate::py_to_r(model$get_latent_representation())
  expect_equal(unname(SeuratObject::Embeddings(query, "sysvi")), expected, tolerance = 1e-5)
  labels <- model$transfer_labels("cell_type", known, n_neighbors = 5L)
  expect_identical(as.character(predicted),
                   as.character(reticulate::py_to_r(labels$label$astype("str")$tolist())))
})

test_that("a SingleCellExperiment is mapped like a Seurat object", {
  object <- seurat_object()
  reference <- train_reference(object)
  seurat <- MapSysVI(query_of(object), reference, max.epochs = 1, verbose = FALSE,
                     labels = "cell_type", reference = reference,
                     control = sysvi_options(batch_size = 20))
  sce <- MapSysVI(query_of(sce_object()), LoadSysVI(reference), max.epochs = 1, verbose = FALSE,
                  labels = "cell_type", reference = reference_of(sce_object()),
                  control = sysvi_options(batch_size = 20))
  expect_identical(SingleCellExperiment::reducedDimNames(sce), "SYSVI")
  expect_equal(unname(SingleCellExperiment::reducedDim(sce, "SYSVI")),
               unname(SeuratObject::Embeddings(seurat, "sysvi")), tolerance = 1e-5)
  expect_identical(sce$predicted.cell_type, unname(seurat$predicted.cell_type))
  expect_equal(sce$predicted.cell_type.distance, unname(seurat$predicted.cell_type.distance),
               tolerance = 1e-4)
})

test_that("missing genes are filled in and reported, too many are refused", {
  object <- seurat_object()
  reference <- train_reference(object)
  query <- query_of(object)
  said <- utils::capture.output(type = "message", {
    mapped <- MapSysVI(query[7:60, ], reference, max.epochs = 0)
  })
  expect_match(gsub("\\s+", " ", paste(said, collapse = " ")),
               "lacks 6 of the model's 60 genes .10.0 %.*Mapping 20 cells.*placed")
  full <- MapSysVI(query, reference, max.epochs = 0, verbose = FALSE)
  change <- SeuratObject::Embeddings(mapped, "sysvi") - SeuratObject::Embeddings(full, "sysvi")
  expect_lt(mean(change^2), mean(apply(SeuratObject::Embeddings(full, "sysvi"), 2, stats::var)))
  few <- query[1:20, ]
  expect_refused(MapSysVI(few, reference, verbose = FALSE), message = "lacks 40 of.*60",
                 object = few)
  expect_warning(MapSysVI(few, reference, max.missing = 0.9, max.epochs = 0, verbose = FALSE),
                 "may be poor")
})

test_that("counts of a query are normalized by the totals of all its genes", {
  reference <- train_reference(seurat_object(), features = all_genes[1:30])
  mapped <- MapSysVI(query_of(seurat_object()), reference, max.epochs = 0, verbose = FALSE)
  counts <- query_of(seurat_object(normalize = FALSE))
  suppressMessages(expect_message(again <- MapSysVI(counts, reference, max.epochs = 0),
                                  "counts only"))
  expect_equal(SeuratObject::Embeddings(again, "sysvi"),
               SeuratObject::Embeddings(mapped, "sysvi"), tolerance = 1e-4)
})

test_that("the logged command holds no objects", {
  object <- seurat_object()
  reference <- train_reference(object)
  query <- MapSysVI(query_of(object), reference, labels = "cell_type", reference = reference,
                    max.epochs = 0, verbose = FALSE)
  command <- SeuratObject::Command(query, "MapSysVI.RNA")
  expect_identical(command@params$model, ModelPath(reference))
  expect_lt(utils::object.size(command), 50000)
})

test_that("queries that cannot be mapped are refused and stay as they are", {
  object <- seurat_object()
  reference <- train_reference(object)
  query <- query_of(object)
  map <- function(query, ...) MapSysVI(query, reference, ..., max.epochs = 0, verbose = FALSE)
  rat <- query
  rat$species <- "rat"
  expect_refused(map(rat), message = "rat.*not trained on.*human", object = rat)
  bare <- query
  bare$donor <- NULL
  expect_refused(map(bare), message = "needs column.*donor", object = bare)
  expect_refused(map(query, labels = "cell_type"), message = "belong together", object = query)
  expect_refused(map(query, labels = "absent", reference = reference), message = "absent",
                 object = query)
  expect_refused(map(query, labels = "cell_type", reference = 1), message = "reference.*must be")
  expect_refused(map(query, labels = "cell_type", reference = query), message = "d4.*not trained",
                 object = query)
  expect_refused(map(query, n.neighbors = 0), message = "n.neighbors")
  expect_refused(map(query, labels = "cell_type", reference = reference, n.neighbors = 500),
                 message = "500", object = query)
  expect_refused(MapSysVI(1, reference), message = "no method")
  expect_refused(MapSysVI(query, tempfile()), "scsystems_model_file_error", "", object = query)
  done <- map(query, labels = "cell_type", reference = reference)
  expect_refused(map(done), message = "already.*overwrite", object = done)
  expect_refused(map(done, labels = "cell_type", reference = reference, reduction.name = "new"),
                 message = "predicted.cell_type.*already", object = done)
  sce <- query_of(sce_object())
  expect_refused(MapSysVI(sce, reference, name = 1, verbose = FALSE), message = "name", object = sce)
})
