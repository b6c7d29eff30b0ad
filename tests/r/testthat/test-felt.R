# Every argument of the functions that train, map and measure is felt: with another value something
# else is sent to Python, said or written. Another value stands in a table for each argument, and an
# argument that no table has fails.

# What a call sends to Python, says, and leaves; `stop_at`: what is sent last.
felt <- function(code, stop_at = NULL) {
  sent <- list()
  package <- asNamespace("scsystems")
  bridge <- package$call_bridge
  replace <- function(f) {
    unlockBinding("call_bridge", package)
    assign("call_bridge", f, package)
    lockBinding("call_bridge", package)
  }
  on.exit(replace(bridge))
  replace(function(name, ..., .call = NULL) {
    # a second call finds the folder of the first
    if (name != "holds_model") sent[[length(sent) + 1]] <<- c(list(name), lapply(list(...), plain_of))
    if (name %in% stop_at) rlang::abort("enough", class = "enough")
    bridge(name, ...)
  })
  left <- NULL
  said <- suppressWarnings(classes = "scsystems_warning", said_by(
    tryCatch(left <- force(code), enough = function(e) NULL)
  )$said)
  list(sent = sent, said = sub("in [0-9.]+ s", "", said), left = left_by(left))
}

# Python's own objects are known by their class; what was made for a call, by what it holds.
plain_of <- function(value) {
  if (inherits(value, c("numpy.ndarray", "python.builtin.list", "python.builtin.dict"))) {
    return(reticulate::py_to_r(value))
  }
  if (inherits(value, "python.builtin.object")) return(class(value)[[1]])
  if (is.function(value)) return("function")
  if (is.list(value)) return(lapply(value, plain_of))
  value
}

left_by <- function(object) {
  if (is(object, "Seurat")) {
    list(SeuratObject::Reductions(object), SeuratObject::Key(object), SeuratObject::Assays(object),
         names(object[[]]))
  } else if (is(object, "SingleCellExperiment")) {
    list(SingleCellExperiment::reducedDimNames(object),
         SummarizedExperiment::assayNames(object), names(SummarizedExperiment::colData(object)))
  }
}

# `usual` is a call's arguments, `others` has for each argument another value, or
# beside(another value, argument = what that is in both calls).
beside <- function(other, ...) structure(list(other = other, beside = list(...)), class = "beside")

expect_felt <- function(fun, usual, others, stop_at = NULL, name = deparse(substitute(fun))) {
  expect_setequal(names(others), setdiff(names(formals(fun)), "..."))
  call_with <- function(arguments) felt(do.call(fun, arguments), stop_at)
  base <- call_with(usual)
  expect_identical(base, call_with(usual))
  for (argument in names(others)) {
    other <- others[[argument]]
    if (identical(other, elsewhere)) next
    both <- usual
    before <- base
    if (inherits(other, "beside")) {
      both <- utils::modifyList(usual, other$beside)
      before <- call_with(both)
      other <- other$other
    }
    both[argument] <- list(other)
    expect_false(identical(call_with(both), before), label = paste(name, argument, "is not felt"))
  }
}

# other files look at it
elsewhere <- "elsewhere"

cells <- function(...) {
  object <- seurat_object(...)
  other <- log_normalized(simulated_counts(seed = 5)$counts)
  object[["other"]] <- SeuratObject::CreateAssayObject(other, key = "other_")
  object$half <- rep(c("a", "b"), length.out = ncol(object))
  object
}
# A function with the arguments of one that makes options, which calls `run` with them.
with_options <- function(make, run) {
  fun <- make
  body(fun) <- quote(run(do.call(make, mget(names(formals(make)), inherits = FALSE))))
  environment(fun) <- environment()
  fun
}

test_that("arguments of sysvi_options()", {
  object <- cells()
  run <- function(control) {
    RunSysVI(object, "species", dims = 3, max.epochs = 1, control = control)
  }
  expect_felt(
    with_options(sysvi_options, run), list(min_cells = 1, n_top_genes = 50),
    list(preset = "paper", prior = "gmm", n_prior_components = 7, pseudoinputs = paste0("cell", 1:4),
         trainable_priors = FALSE, n_hidden = 12, n_layers = 1, n_layers_decoder = 1,
         dropout_rate = 0.3, out_var_mode = "feature", embed_categorical_covariates = TRUE,
         continuous_covariates = "percent", weight_batches = TRUE, batch_size = 33, n_threads = 2,
         train_size = 0.8, early_stopping = TRUE, lr = 0.1, weight_decay = 0.1, kl_weight = 0.3,
         label_weight = elsewhere, hvg_merge = "joint", keep = rownames(object)[1:40],
         n_top_genes = 30, min_cells = 2, give_mean = elsewhere,
         target_sum = elsewhere, checkpoint_dir = tempfile(), model = list(gmm_init = "random"),
         train = list(precision = "float32"), plan = list(eps = 0.1),
         features = list(flavor = "seurat")),
    stop_at = "train_sysvi"
  )
})

test_that("arguments of scspecies_options()", {
  mouse <- species_seurat("mouse")
  human <- species_seurat("human", seed = 2)
  run <- function(control) {
    RunScSpecies(mouse, human, labels = "cell_type", orthologs = species_pairs[1:2],
                 species = c("mouse", "human"), dims = 3, max.epochs = 1, control = control)
  }
  expect_felt(
    with_options(scspecies_options, run), list(n_top_genes = 100),
    list(preset = "paper", alignment = "latent", n_neighbors = 9, quantile = 0.5,
         kl_weight = c(0.5, 1), eta = c(1, 2), mixing_weight = 1, n_warmup = 3, search_every = 2,
         likelihood = "zinb", dispersion = "cell", library = "encoder", encoder_input = "counts",
         homologous_fraction = "genes", n_features = 12, n_hidden = 12, dropout_rate = 0.3,
         batch_size = 33, n_threads = 2, lr = 0.1, n_top_genes = 120, min_cells = elsewhere,
         checkpoint_dir = tempfile(), model = list(layer = "x"), train = list(precision = "float32"),
         orthologs = elsewhere, transfer = elsewhere, novelty = elsewhere, similarity = elsewhere,
         differential = elsewhere),
    stop_at = "train_scspecies"
  )
})

test_that("arguments of EvaluateIntegration() and BatchStrength()", {
  object <- cells()
  set.seed(1)
  for (name in c("one", "two")) {
    object[[name]] <- SeuratObject::CreateDimReducObject(
      matrix(stats::rnorm(4 * ncol(object)), ncol(object),
             dimnames = list(colnames(object), paste0(name, "_", 1:4))),
      key = paste0(name, "_"), assay = "RNA"
    )
  }
  other <- object[, -1]
  expect_felt(
    EvaluateIntegration,
    list(object = object, reductions = "one", system = "species", labels = "cell_type",
         features = all_genes, metrics = "ilisi"),
    list(object = other, reductions = "two", system = "half", labels = "half", batch = "donor",
         metrics = "clisi", features = all_genes[1:50], unintegrated = "two", assay = "other",
         n.neighbors = 9, min.cells = 5, moran.min.cells = 20, max.cells = 50, seed.use = 3,
         verbose = FALSE),
    stop_at = "evaluate"
  )
  expect_felt(
    BatchStrength,
    list(object = object, system = "species", labels = "cell_type", batch = "donor",
         features = all_genes),
    list(object = other, system = elsewhere, labels = "half", batch = elsewhere, reduction = "one",
         features = all_genes[1:50], assay = "other", min.cells = 5, min.samples = 2, max.cells = 50,
         seed.use = 3, verbose = elsewhere),
    stop_at = "batch_strength"
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
