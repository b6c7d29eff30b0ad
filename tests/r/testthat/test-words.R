# Whatever is wrong is said in the words of R: its arguments, functions and values, and nothing that
# only a user of Python could have written or could call.

python_words <- paste(
  "\\badata\\b", "\\bobsm?\\b", "var_names", "obs_names", "scanpy", "\\bsc\\.", "\\bscs\\.",
  "batch_key", "system_key", "label_key", "labels_key", "sample_key", "covariate_keys",
  "plan_kwargs", "n_jobs", "max_epochs", "n_latent", "accelerator", "gene_list", "groupby",
  "transform_batch", "layer=", "train\\(\\)", "load_query_data", "prepare_query", "\\bNone\\b",
  "\\bTrue\\b", "\\bFalse\\b", "AnnData", "Traceback", "DataFrame", "numpy", "pandas",
  sep = "|"
)

# All that an expression says before it ends or fails.
said_by <- function(expr) {
  said <- character()
  keep <- function(c) said <<- c(said, rlang::cnd_message(c))
  tryCatch(withCallingHandlers(expr,
    message = function(m) { keep(m); invokeRestart("muffleMessage") },
    warning = function(w) { keep(w); invokeRestart("muffleWarning") }
  ), error = keep)
  gsub("\\s+", " ", paste(cli::ansi_strip(said), collapse = "\n"))
}

# `code` says something that matches, in R's words.
expect_r <- function(code, pattern) {
  said <- said_by(code)
  expect_match(said, pattern)
  expect_no_match(said, python_words)
}

test_that("training: systems, covariates, expression and genes", {
  object <- seurat_object()
  train <- function(object, ..., control = small_options()) {
    quick(object, ..., max.epochs = 1, control = control)
  }
  object$lone <- c("solo", rep("a", 79))
  expect_r(train(object, covariates = "lone"), "solo.*single|solo.*two cells|single.*solo")
  expect_r(RunSysVI(object, "lone", features = all_genes), "solo")
  counts <- seurat_object(normalize = FALSE)
  linear <- Seurat::NormalizeData(counts, normalization.method = "RC", verbose = FALSE)
  expect_r(quick(linear, max.epochs = 1, verbose = TRUE), "log")
  expect_r(RunSysVI(object, "species", max.epochs = 1, verbose = FALSE,
                    control = small_options(n_top_genes = 10, features = list(flavor = "best"))),
           "flavor")
  expect_r(RunSysVI(object, "species", max.epochs = 1, verbose = FALSE,
                    control = small_options(min_cells = 1000)), "min_cells")
  expect_r(train(object, control = small_options(weight_batches = TRUE)), "experimental")
})

test_that("training: settings", {
  train <- function(...) quick(seurat_object(), max.epochs = 1, control = small_options(...))
  expect_r(train(plan = list(kl_weight = -1)), "kl_weight = -1")
  expect_r(train(plan = list(speed = 2)), "plan.*unknown.*speed")
  expect_r(train(plan = list(lr_patience = 3)), "lr_patience")
  expect_r(train(plan = list(adversary_weight = 2)), "model = list\\(adversarial = TRUE\\)")
  expect_r(train(plan = list(kl_weight = 1, max_kl_weight = 1)), "Give one")
  expect_r(train(plan = list(n_epochs_kl_warmup = 5)), "warmup")
  expect_r(train(model = list(speed = 2)), "unknown.*speed")
  expect_r(train(train = list(speed = 2)), "unknown.*speed")
  expect_r(train(train = list(resume = TRUE)), "train = list\\(resume = TRUE\\).*checkpoint_dir")
  expect_r(train(train = list(resume = TRUE), checkpoint_dir = tempfile()), "no checkpoint")
  expect_r(train(dropout_rate = 1.5), "dropout_rate")
  expect_r(train(train_size = 1.5), "train_size")
  expect_r(train(train_size = 0.001), "train_size")
  expect_r(train(early_stopping = TRUE, train_size = 1), "validation cells")
  expect_r(train(pseudoinputs = 1:3, n_prior_components = 5), "pseudoinputs has 3 cells")
  expect_r(train(pseudoinputs = 1:3, prior = "standard_normal"), "pseudoinputs.*no components")
  expect_r(train(lr = 0), "lr")
  expect_r(train(lr = 1e30), "NaN|nan|infinite")
  if (!reticulate::import("torch")$cuda$is_available()) {
    expect_r(quick(seurat_object(), device = "cuda:1"), "device = \"cuda:1\".*NVIDIA GPU")
  }
  expect_r(quick(seurat_object(), device = "mps"), "device = \"mps\".*Apple GPU")
})

test_that("checkpoints of another training", {
  folder <- tempfile()
  train <- function(max.epochs, ...) {
    quick(seurat_object(), max.epochs = max.epochs, control = small_options(
      checkpoint_dir = folder, train = list(checkpoint_every = 1, ...)
    ))
  }
  train(2)
  expect_r(quick(seurat_object(), max.epochs = 3, cycle.weight = 9, control = small_options(
    checkpoint_dir = folder, train = list(resume = TRUE)
  )), "only max.epochs may differ")
})

test_that("models and what is done with them", {
  object <- seurat_object()
  reference <- quick(object)
  map <- function(query, ...) MapSysVI(query, reference, ..., max.epochs = 1)
  odd <- object
  rownames <- paste0("other", 1:60)
  odd <- SeuratObject::CreateSeuratObject(
    `rownames<-`(simulated_counts()$counts, rownames), meta.data = simulated_counts()$obs
  )
  expect_r(map(odd), "max.missing")
  expect_r(map(object, max.missing = 2), "max.missing")
  expect_r(map(object, labels = "cell_type", reference = object, min.confidence = 3),
           "min.confidence")
  expect_r(map(object, labels = "cell_type", reference = object, n.neighbors = 80), "n.neighbors")
  expect_r(map(object, labels = "absent", reference = object), "labels.*absent")
  new <- object
  new$species <- c("rat", "mouse")[1 + (object$species == "mouse")]
  expect_r(map(new), "rat.*RunSysVI")
  expect_r(LoadSysVI("nowhere"), "nowhere")
  expect_r(LoadSysVI(reference, object = odd), "lacks 60")
  expect_r(CorrectedExpression(reference, system = "rat"), "rat.*human")
  expect_r(CorrectedExpression(reference, features = "none"), "none")
  expect_r(FindSystemMarkers(reference, "cell_type", ident.1 = "beta", ident.2 = "beta"),
           "share|both|itself|differ")
  expect_r(FindSystemMarkers(reference, "cell_type", fdr = 3), "fdr")
  reference$one <- "a"
  expect_r(FindSystemMarkers(reference, "one"), "group.by = \"one\" has one group")
  damaged <- tempfile("model")
  dir.create(damaged)
  file.copy(list.files(ModelPath(reference), full.names = TRUE), damaged, recursive = TRUE)
  writeLines("{}", file.path(damaged, "model.json"))
  expect_r(LoadSysVI(damaged), "model")
  unlink(list.files(damaged, "safetensors", full.names = TRUE))
  expect_r(LoadSysVI(damaged), "model")
})

test_that("metrics and searches", {
  object <- quick(seurat_object())
  evaluate <- function(...) EvaluateIntegration(object, "sysvi", "species", ..., verbose = FALSE)
  expect_r(evaluate(metrics = "beauty"), "beauty")
  expect_r(evaluate(metrics = "nmi"), "cell types.*labels")
  expect_r(evaluate(labels = "cell_type", metrics = "label_transfer", min.cells = 1000),
           "smaller 'min.cells'")
  expect_r(evaluate(labels = "cell_type", metrics = "label_transfer", n.neighbors = 60,
                    min.cells = 1), "smaller 'n.neighbors'")
  expect_r(evaluate(labels = "cell_type", metrics = "moran"), "moran.min.cells")
  object$flat <- "a"
  expect_r(evaluate(labels = "flat", metrics = "nmi_fixed"), "flat")
  expect_r(BatchStrength(object, "species", "cell_type", "cell_type"), "more than one system")
  tune <- function(...) {
    TuneSysVI(object, "species", labels = "cell_type", features = all_genes, max.epochs = 1,
              seeds = 0, verbose = FALSE, ..., control = small_options())
  }
  expect_r(tune(grid = list(speed = 1)), "Unknown.*speed")
  expect_r(tune(grid = list(cycle.weight = -1), n.jobs = 1), "cycle.weight = -1")
  expect_r(tune(grid = list(dims = c(0, 0.5)), n.jobs = 2), "dims = 0")
  expect_r(tune(grid = list(cycle.weight = c(1, 1)), n.jobs = 1), "every one different")
})

test_that("species, their orthologs and settings", {
  mouse <- species_seurat("mouse")
  human <- species_seurat("human", seed = 2)
  align <- function(...) quick_species(mouse, human, ..., max.epochs = 1)
  expect_r(align(orthologs = data.frame(a = "x", b = "y", c = "z")), "columns.*list\\(columns = ")
  expect_r(align(orthologs = "nowhere.tsv"), "no file")
  expect_r(align(orthologs = species_pairs[1:3, 1:2]), "share|none|3 one-to-one")
  expect_r(align(orthologs = data.frame(mouse = c("mm1", "mm1"), human = c("HS1", "HS2"))),
           "min_score = 5")
  expect_r(align(species = c("cow", "human"), orthologs = species_pairs), "cow")
  expect_r(align(control = small_species_options(orthologs = list(gene = "name"))), "gene")
  expect_r(align(control = small_species_options(orthologs = list(min_score = 3))), "min_score")
  expect_r(align(control = small_species_options(quantile = 2)), "quantile")
  expect_r(align(control = scspecies_options(n_neighbors = 1000)), "n_neighbors")
  expect_r(align(control = small_species_options(model = list(speed = 1))), "speed")
  read <- scsystems_python()$data$orthologs$read(reticulate::r_to_py(species_pairs[1:2]))
  expect_r(align(orthologs = read, control = small_species_options(orthologs = list(gene = "id"))),
           "read already")
  result <- trained_species()
  expect_r(LoadScSpecies(result, list(mouse = mouse, human = human[, 1:20])), "human.*cells")
  expect_r(LoadScSpecies("nowhere"), "nowhere")
  expect_r(RelevantGenes(result, gamma = -1), "gamma")
})
