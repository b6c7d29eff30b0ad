test_that("options reach the model", {
  object <- seurat_object()
  folder <- tempfile()
  options <- sysvi_options(
    prior = "gmm", n_prior_components = 3, n_hidden = 24, n_layers = 1, n_layers_decoder = 2,
    dropout_rate = 0.2,
    out_var_mode = "sample_feature", trainable_priors = FALSE, embed_categorical_covariates = TRUE,
    batch_size = 20, n_threads = 2, kl_weight = 0.5, lr = 0.004,
    model = list(embedding_dim = 3, gmm_init = "random")
  )
  quick(object, covariates = "donor", control = options, model.dir = folder)
  text <- paste(readLines(file.path(folder, "model.json"), warn = FALSE), collapse = "\n")
  arguments <- reticulate::import("json")$loads(text)
  used <- arguments$arguments
  expect_identical(used$prior, "gmm")
  expect_identical(used$n_prior_components, 3L)
  expect_identical(used$n_hidden, 24L)
  expect_identical(used$n_layers, 1L)
  expect_identical(used$n_layers_decoder, 2L)
  expect_identical(used$dropout_rate, 0.2)
  expect_identical(used$out_var_mode, "sample_feature")
  expect_false(used$trainable_priors)
  expect_true(used$embed_categorical_covariates)
  expect_identical(used$embedding_dim, 3L)
  expect_identical(used$gmm_init, "random")
  expect_identical(used$n_latent, 4L)
  expect_identical(used$seed, 42L)
  expect_identical(arguments$training$weights$kl, 0.5)
  expect_identical(arguments$training$weights$cycle, 3)
  expect_identical(arguments$training$optimizer, list(lr = 0.004, eps = 1e-4))
  expect_identical(arguments$training$n_threads, 2L)
})

test_that("defaults are those of Python", {
  scs <- reticulate::import("scsystems", convert = FALSE)
  python_default <- function(name, call) {
    parameters <- reticulate::import("inspect", convert = FALSE)$signature(call)$parameters
    reticulate::py_to_r(reticulate::py_get_item(parameters, name)$default)
  }
  ours <- sysvi_options()
  settings <- list(
    list(scs$SysVI, c("preset", "prior", "n_prior_components", "trainable_priors", "n_hidden",
                      "n_layers", "n_layers_decoder", "dropout_rate", "out_var_mode",
                      "embed_categorical_covariates")),
    list(scs$SysVI$train, c("early_stopping", "train_size", "n_threads", "checkpoint_dir")),
    list(scs$SysVI$setup_anndata, "weight_batches"),
    list(scs$pp$select_features, "min_cells")
  )
  for (part in settings) for (name in part[[2]]) {
    expect_equal(ours[[name]], python_default(name, part[[1]]), info = name)
  }
  expect_equal(formals(scsystems:::RunSysVI.Seurat)$dims, python_default("n_latent", scs$SysVI))
})

test_that("the paper's preset is within reach", {
  folder <- tempfile()
  quick(seurat_object(), control = small_options(preset = "paper"), model.dir = folder)
  text <- paste(readLines(file.path(folder, "model.json"), warn = FALSE), collapse = "\n")
  used <- reticulate::import("json")$loads(text)$arguments
  expect_identical(used$n_prior_components, 5L)
  expect_identical(used$covariate_init, "linear")
  training <- reticulate::import("json")$loads(text)$training
  expect_identical(training$weights[c("kl", "cycle")], list(kl = 1, cycle = 5))
})

test_that("weights that are not given are those of the default preset", {
  folder <- tempfile()
  quick(seurat_object(), model.dir = folder)
  text <- paste(readLines(file.path(folder, "model.json"), warn = FALSE), collapse = "\n")
  training <- reticulate::import("json")$loads(text)$training
  expect_identical(training$weights[c("kl", "cycle")], list(kl = 0.8, cycle = 3))
  expect_identical(training$optimizer, list(lr = 0.002, eps = 1e-4))
})

test_that("the preset decides how many genes vary, unless a number is given", {
  presets <- reticulate::import("scsystems.models.sysvi.presets", convert = FALSE)
  expect_identical(reticulate::py_to_r(presets$GENES), list(default = 2000L, paper = 3000L))
  # numbers that tell the presets apart on few genes
  before <- presets$GENES
  on.exit(presets$GENES <- before)
  presets$GENES <- reticulate::dict(default = 10L, paper = 40L)
  n_genes <- function(...) {
    result <- suppressWarnings(
      quick(seurat_object(), features = NULL, control = small_options(min_cells = 5, ...)),
      classes = "scsystems_warning"
    )
    length(result[["sysvi"]]@misc$scsystems$features)
  }
  expect_lte(n_genes(), 10)
  expect_gt(n_genes(preset = "paper"), 10)
  expect_lte(n_genes(preset = "paper", n_top_genes = 10), 10)
})

test_that("pseudoinputs are cells by name or position", {
  object <- seurat_object()
  run <- function(cells) {
    control <- small_options(n_prior_components = 3, pseudoinputs = cells)
    SeuratObject::Embeddings(quick(object, control = control), "sysvi")
  }
  expect_identical(run(c("cell2", "cell50", "cell1")), run(c(2, 50, 1)))
  expect_refused(run(c(1, 2, 81)), message = "There are 80 cells")
  expect_refused(run("no cell"), message = "pseudoinputs")
})

test_that("weights of systems, early stopping, checkpoints and callbacks reach the training", {
  object <- seurat_object()
  expect_warning(quick(object, control = small_options(weight_batches = TRUE)),
                 "experimental")
  folder <- tempfile()
  seen <- integer()
  control <- small_options(checkpoint_dir = folder, early_stopping = TRUE,
    train = list(checkpoint_every = 1, early_stopping_patience = 1, early_stopping_min_delta = 1e9,
                 callbacks = function(epoch, max_epochs, losses) {
                   seen <<- c(seen, epoch)
                   stopifnot(is.numeric(losses$train_loss), max_epochs == 50)
                 })
  )
  result <- quick(object, control = control, max.epochs = 50)
  expect_lt(nrow(TrainingHistory(result)$metrics), 50)
  expect_identical(seen, TrainingHistory(result)$metrics$epoch)
  expect_gt(length(dir(folder)), 0)
})

test_that("a callback that returns FALSE ends the training", {
  control <- small_options(train = list(callbacks = function(epoch, ...) epoch < 3))
  result <- quick(seurat_object(), control = control, max.epochs = 50)
  expect_identical(nrow(TrainingHistory(result)$metrics), 3L)
})

test_that("options of the wrong kind are refused", {
  expect_error(sysvi_options(prior = "cauchy"), "vamp")
  expect_refused(sysvi_options(n_hidden = 0), message = "n_hidden.*at least 1")
  expect_refused(sysvi_options(n_layers = 1.5), message = "n_layers.*1.5")
  expect_refused(sysvi_options(early_stopping = "yes"), message = "early_stopping")
  expect_refused(sysvi_options(batch_size = 1), message = "batch_size.*at least 2")
  expect_refused(sysvi_options(n_threads = 0), message = "n_threads.*at least 1")
  expect_refused(sysvi_options(model = 3), message = "model.*named list")
  expect_refused(sysvi_options(plan = list(1)), message = "plan.*named list")
})
