# Arguments of the functions for sysVI, see test-felt.R.

cells <- function(..., normalize = TRUE) {
  object <- seurat_object(..., normalize = normalize)
  other <- log_normalized(simulated_counts(cells = ncol(object) / 2, seed = 5)$counts)
  object[["other"]] <- SeuratObject::CreateAssayObject(other, key = "other_")
  object$half <- rep(c("a", "b"), length.out = ncol(object))
  object$told <- rep(c("a", "b", "unknown", "b"), length.out = ncol(object))
  object
}
sce_cells <- function(...) {
  object <- sce_object(...)
  other <- log_normalized(simulated_counts(cells = ncol(object) / 2, seed = 5)$counts)
  SummarizedExperiment::assay(object, "other") <- other
  object$half <- rep(c("a", "b"), length.out = ncol(object))
  object$told <- rep(c("a", "b", "unknown", "b"), length.out = ncol(object))
  object
}
# A function whose first argument, which it changes in place, is every call's own.
on_copies <- function(run) {
  fun <- run
  body(fun) <- quote({
    object <- object$copy()
    do.call(run, mget(setdiff(names(formals(run)), "..."), inherits = FALSE))
  })
  environment(fun) <- environment()
  fun
}
folders <- function() replicate(2, tempfile())
# Two integrations, the second of them newer.
integrated <- function(object, ...) {
  object <- quick(object, ..., max.epochs = 1, seed.use = 1)
  names <- if (is(object, "Seurat")) list(reduction.name = "second") else list(name = "second")
  do.call(quick, c(list(object, ..., max.epochs = 1, seed.use = 2), names))
}

test_that("arguments of sysvi_options()", {
  object <- seurat_object(normalize = FALSE)
  run <- function(control) {
    RunSysVI(object, "species", dims = 3, max.epochs = 1, control = control, labels = "cell_type",
             verbose = FALSE)
  }
  expect_felt(
    with_options(sysvi_options, run), list(min_cells = 1, n_top_genes = 50),
    list(preset = "paper", prior = "gmm", n_prior_components = 7, pseudoinputs = paste0("cell", 1:4),
         trainable_priors = FALSE, n_hidden = 12, n_layers = 1, n_layers_decoder = 1,
         dropout_rate = 0.3, out_var_mode = "feature", embed_categorical_covariates = TRUE,
         continuous_covariates = "percent", weight_batches = TRUE, batch_size = 33, n_threads = 2,
         train_size = 0.8, early_stopping = TRUE, lr = 0.1, weight_decay = 0.1, kl_weight = 0.3,
         label_weight = 1, hvg_merge = "joint", keep = rownames(object)[1:40],
         n_top_genes = 30, min_cells = 2, give_mean = FALSE, target_sum = 2e4,
         checkpoint_dir = tempfile(), model = list(gmm_init = "random"),
         train = list(precision = "float32"), plan = list(eps = 0.1),
         features = list(flavor = "seurat")),
    stop_at = "latent"
  )
})

test_that("arguments of RunSysVI() for Seurat", {
  at <- folders()
  expect_felt(
    scsystems:::RunSysVI.Seurat,
    list(object = cells(), system = "species", features = all_genes, max.epochs = 1, dims = 3,
         model.dir = at[[1]], overwrite = TRUE, control = small_options(), device = "cpu"),
    list(object = cells(seed = 2), system = "half", covariates = "donor", features = all_genes[1:50],
         assay = "other", reduction.name = "mine", reduction.key = "my_", dims = 4,
         cycle.weight = 9, max.epochs = 2, device = "auto", seed.use = 1, model.dir = at[[2]],
         overwrite = refused(FALSE), verbose = FALSE, control = small_options(lr = 0.1),
         labels = "cell_type", unlabeled = beside("unknown", labels = "told"))
  )
})

test_that("arguments of RunSysVI() for a SingleCellExperiment", {
  at <- folders()
  expect_felt(
    scsystems:::RunSysVI.SingleCellExperiment,
    list(object = sce_cells(), system = "species", features = all_genes, max.epochs = 1, dims = 3,
         model.dir = at[[1]], overwrite = TRUE, control = small_options(), device = "cpu"),
    list(object = sce_cells(seed = 2), system = "half", covariates = "donor",
         features = all_genes[1:50], name = "MINE", assay.type = "other",
         subset_row = beside(all_genes[1:50], features = NULL, control = small_options(min_cells = 1)),
         dims = 4, cycle.weight = 9, max.epochs = 2, device = "auto", seed.use = 1,
         model.dir = at[[2]], overwrite = refused(FALSE), verbose = FALSE,
         control = small_options(lr = 0.1), labels = "cell_type",
         unlabeled = beside("unknown", labels = "told"))
  )
})

test_that("arguments of RunSysVI() for an AnnData", {
  at <- folders()
  made <- function(...) {
    adata <- anndata_object(...)
    set <- function(where, name, value) reticulate::py_set_item(where, name, value)
    set(adata$layers, "half", anndata_object(seed = 5)$X)
    set(adata$obs, "half", as.list(rep(c("a", "b"), 40)))
    set(adata$obs, "told", as.list(rep(c("a", "b", "unknown", "b"), 20)))
    adata
  }
  expect_felt(
    on_copies(scsystems:::RunSysVI.python.builtin.object),
    list(object = made(), system = "species", features = all_genes, max.epochs = 1, dims = 3,
         model.dir = at[[1]], overwrite = TRUE, control = small_options(), device = "cpu"),
    list(object = made(seed = 2), system = "half", covariates = "donor", features = all_genes[1:50],
         name = "X_mine", layer = "half", dims = 4, cycle.weight = 9, max.epochs = 2,
         device = "auto", seed.use = 1, model.dir = at[[2]], overwrite = refused(FALSE),
         verbose = FALSE, control = small_options(lr = 0.1), labels = "cell_type",
         unlabeled = beside("unknown", labels = "told"), ... = unread)
  )
})

test_that("arguments of RunSysVI() for a list of species", {
  species <- function(name, seed = 1) {
    object <- species_seurat(name, cells = 30, seed = seed)
    other <- species_counts_of(name, cells = 30, seed = 5)$counts
    object[["other"]] <- SeuratObject::CreateAssayObject(other)
    object
  }
  h <- species("human")
  m <- species("mouse", seed = 2)
  pairs <- species_pairs[c("human", "mouse")]
  expect_felt(
    scsystems:::RunSysVI.list,
    list(object = list(human = h, mouse = m), orthologs = pairs, control = small_options(min_cells = 1),
         max.epochs = 1, dims = 3),
    list(object = list(human = h[, 1:20], mouse = m), system = "species", orthologs = pairs[-1, ],
         orthology = "groups", assay = "other", assay.type = "other", verbose = FALSE,
         control = small_options(min_cells = 1, lr = 0.1), ... = list(seed.use = 3)),
    stop_at = "train_sysvi"
  )
})

test_that("arguments of SysVIIntegration()", {
  at <- folders()
  v5 <- utils::packageVersion("SeuratObject") >= "5"
  made <- function(...) {
    object <- cells(...)
    if (v5) object[["RNA"]] <- suppressMessages(split(object[["RNA"]], f = object$species))
    object
  }
  object <- made()
  # Seurat v4 does not integrate layers: there the table can only be complete
  if (!v5) expect_felt <- function(fun, usual, others) expect_setequal(c(names(others), "..."), names(formals(fun)))
  expect_felt(
    SysVIIntegration,
    list(object = object[["RNA"]], assay = "RNA", features = all_genes, system = "species",
         metadata = object[[]], max.epochs = 1, dims = 3, model.dir = at[[1]], overwrite = TRUE,
         control = small_options(), device = "cpu"),
    # IntegrateLayers() gives `orig` and `scale.layer` to every method
    list(object = made(seed = 2)[["RNA"]], assay = "mine", orig = unread, scale.layer = unread,
         layers = beside("data.human", metadata = NULL, system = "layer"),
         features = all_genes[1:50], system = "half", covariates = "donor",
         metadata = transform(object[[]], species = half), new.reduction = "mine",
         reduction.key = "my_", dims = 4, cycle.weight = 9, max.epochs = 2, device = "auto",
         seed.use = 1, model.dir = at[[2]], overwrite = refused(FALSE), verbose = FALSE,
         control = small_options(lr = 0.1))
  )
})

test_that("arguments of TuneSysVI()", {
  expect_felt(
    TuneSysVI,
    list(object = cells(), system = "species", features = all_genes, grid = list(dims = 3:4),
         control = small_options()),
    list(object = cells(seed = 2), system = "half", covariates = "donor", grid = list(dims = 5),
         seeds = 4, labels = "cell_type", batch = "donor", features = all_genes[1:50],
         max.epochs = 3, biology.metrics = "moran", batch.metrics = "kbet", metrics = "pcr",
         min.cells = 3, moran.min.cells = 30, max.cells = 50, n.jobs = 2, folder = tempfile(),
         report = tempfile(fileext = ".html"), assay = "other", device = "cpu", verbose = FALSE,
         control = small_options(lr = 0.1)),
    stop_at = "tune"
  )
})

# ---- with a model that is trained already --------------------------------------------------------

# One for both classes, with two models.
trained <- local({
  made <- list()
  function(kind = "seurat") {
    if (is.null(made[[kind]])) {
      object <- if (kind == "seurat") cells() else sce_cells()
      made[[kind]] <<- integrated(object, covariates = "donor")
    }
    made[[kind]]
  }
})
models_of <- function(object, names) vapply(names, function(name) ModelPath(object, name), "")
queries <- function(object) {
  if (is(object, "Seurat")) for (name in SeuratObject::Reductions(object)) object[[name]] <- NULL
  else SingleCellExperiment::reducedDims(object) <- NULL
  object$donor <- ifelse(object$donor == "d4", "new", object$donor)
  object$predicted <- object$half
  object
}

test_that("arguments of MapSysVI() for Seurat", {
  at <- folders()
  reference <- trained()
  models <- models_of(reference, c("sysvi", "second"))
  query <- queries(cells(cells = 20))
  labeled <- list(labels = "cell_type", reference = reference)
  expect_felt(
    scsystems:::MapSysVI.Seurat,
    list(query = query, model = reference, max.epochs = 1, model.dir = at[[1]], overwrite = TRUE,
         labels = "cell_type", reference = reference),
    list(query = queries(cells(cells = 20, seed = 3)), model = models[["sysvi"]], labels = "half",
         reference = reference[, 1:60], n.neighbors = 9, min.confidence = 1,
         max.missing = 0.3, fill = "zero", assay = "other", name = "sysvi",
         reduction.name = "mine", reduction.key = "my_", max.epochs = 2, device = "cpu",
         seed.use = 1, model.dir = at[[2]], overwrite = refused(FALSE), verbose = FALSE,
         control = sysvi_options(batch_size = 20))
  )
})

test_that("arguments of MapSysVI() for a SingleCellExperiment", {
  at <- folders()
  reference <- trained("sce")
  models <- models_of(reference, c("SYSVI", "second"))
  expect_felt(
    scsystems:::MapSysVI.SingleCellExperiment,
    list(query = queries(sce_cells(cells = 20)), model = reference, max.epochs = 1,
         model.dir = at[[1]], overwrite = TRUE, labels = "cell_type", reference = reference),
    list(query = queries(sce_cells(cells = 20, seed = 3)), model = models[["SYSVI"]], labels = "half",
         reference = reference[, 1:60], n.neighbors = 9, min.confidence = 1,
         max.missing = 0.3, fill = "zero", assay.type = "other", name = "MINE", dimred = "SYSVI",
         max.epochs = 2, device = "cpu", seed.use = 1, model.dir = at[[2]],
         overwrite = refused(FALSE), verbose = FALSE, control = sysvi_options(batch_size = 20))
  )
})

test_that("arguments of CorrectedExpression()", {
  object <- CorrectedExpression(trained(), verbose = FALSE)
  expect_felt(
    scsystems:::CorrectedExpression.Seurat, list(object = object, overwrite = TRUE),
    list(object = object[, -1], system = "mouse", model = ModelPath(object, "sysvi"),
         features = all_genes[1:5], assay = "other", name = "sysvi", new.assay = "mine",
         device = "cpu", overwrite = refused(FALSE), verbose = FALSE)
  )
  object <- CorrectedExpression(trained("sce"), verbose = FALSE)
  expect_felt(
    scsystems:::CorrectedExpression.SingleCellExperiment, list(object = object, overwrite = TRUE),
    list(object = object[, -1], system = "mouse", model = ModelPath(object, "SYSVI"),
         features = all_genes[1:5], assay.type = "other", name = "mine", dimred = "SYSVI",
         device = "cpu", overwrite = refused(FALSE), verbose = FALSE)
  )
})

test_that("arguments of FindSystemMarkers()", {
  object <- trained()
  expect_felt(
    FindSystemMarkers, list(object = object, group.by = "cell_type"),
    list(object = object[, -1], group.by = "half", ident.1 = "alpha", ident.2 = beside("beta", ident.1 = "alpha"),
         model = ModelPath(object, "sysvi"), correct.systems = FALSE, mode = "vanilla",
         delta = 0.5, fdr = 0.2, n.samples = 100, assay = "other", name = "sysvi",
         device = "cpu", seed.use = 1, verbose = FALSE),
    stop_at = "differential_expression"
  )
})

test_that("arguments of IntegrationReport()", {
  object <- trained()
  there <- tempfile(fileext = ".html")
  writeLines("there already", there)
  expect_felt(
    IntegrationReport, list(object = object, file = there, overwrite = TRUE),
    list(object = object[, -1], file = tempfile(fileext = ".html"), labels = "half", batch = "half",
         model = ModelPath(object, "sysvi"), name = "sysvi", assay = "other", max.cells = 50,
         overwrite = refused(FALSE), seed.use = 3, verbose = FALSE),
    stop_at = "report"
  )
})

test_that("arguments of LoadSysVI(), ModelPath() and TrainingHistory()", {
  object <- trained()
  expect_felt(
    LoadSysVI, list(model = object),
    list(model = ModelPath(object, "sysvi"), object = refused(cells()[1:40, ]), name = "sysvi",
         assay = refused("none"))
  )
  other <- quick(cells(seed = 3))
  expect_felt(ModelPath, list(object = object), list(object = other, name = "sysvi"))
  expect_felt(TrainingHistory, list(object = object), list(object = other, name = "sysvi"))
})
