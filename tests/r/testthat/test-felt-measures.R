# Arguments of the functions that measure and draw, and of all others, see test-felt.R.

# A function that gives the version a module tells, as its argument `convert` has it.
with_value <- function(python) {
  function(convert = FALSE) class(python(convert)$`__version__`)
}
measured <- function() {
  object <- seurat_object(normalize = FALSE)
  counts <- simulated_counts(seed = 5)$counts
  object[["other"]] <- SeuratObject::CreateAssayObject(counts, key = "other_")
  object$half <- rep(c("a", "b"), length.out = ncol(object))
  object$sample <- paste0(object$donor, ceiling(seq_len(ncol(object)) / 10) %% 2)
  set.seed(1)
  for (name in c("one", "two")) {
    object[[name]] <- SeuratObject::CreateDimReducObject(
      matrix(stats::rnorm(4 * ncol(object)), ncol(object),
             dimnames = list(colnames(object), paste0(name, "_", 1:4))),
      key = paste0(name, "_"), assay = "RNA"
    )
  }
  object
}

test_that("arguments of EvaluateIntegration() and BatchStrength()", {
  object <- measured()
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
    list(object = other, system = "half", labels = "half", batch = "sample", reduction = "one",
         features = all_genes[1:50], assay = "other", min.cells = 5, min.samples = 2, max.cells = 50,
         seed.use = 3, verbose = FALSE),
    stop_at = "batch_strength"
  )
})

test_that("arguments of what prints, draws and sums up measures", {
  strength <- function(reduction) {
    BatchStrength(measured(), "species", "cell_type", "sample", reduction, min.cells = 2, verbose = FALSE)
  }
  expect_felt(scsystems:::print.batch_strength, list(x = strength("one")),
              list(x = strength("two"), ... = unread))
  expect_felt(scsystems:::plot.batch_strength, list(x = strength("one")),
              list(x = strength("two"), palette = c("red", "blue")))

  rows <- expand.grid(embedding = c("one", "two"), metric = c("ilisi", "nmi_fixed", "jaccard", "moran"),
                      level = c("overall", "micro", "macro", "group"), stringsAsFactors = FALSE)
  rows$group <- ifelse(rows$level == "group", "alpha", NA)
  rows$value <- seq_len(nrow(rows)) / 40
  made <- function(rows) scsystems:::new_evaluation(rows, "cell_type")
  table <- made(rows)
  other <- made(transform(rows, value = value / 2))
  expect_felt(scsystems:::as.data.frame.scsystems_evaluation, list(x = table),
              list(x = other, row.names = unread, optional = unread, ... = unread))
  expect_felt(scsystems:::summary.scsystems_evaluation, list(object = table),
              list(object = other, level = "macro"))
  expect_felt(
    scsystems:::plot.scsystems_evaluation, list(x = table),
    list(x = other, type = "types", batch.metric = "moran", biology.metric = "moran",
         metric = beside("ilisi", type = "types"), palette = c("red", "blue"))
  )

  tuned <- function(shift) {
    runs <- data.frame(setting = c("a", "a", "b"), seed = c(0, 1, 0), ilisi = c(0.1, 0.2, 0.5) + shift,
                       nmi = c(0.6, 0.7, 0.2), pcr = c(0.9, 0.8, 0.7))
    structure(list(ranking = data.frame(setting = c("a", "b"), overall = c(0.6, 0.5) + shift), runs = runs,
                   best = list(name = "a"), scored = list(batch = "ilisi", biology = "nmi")),
              class = "sysvi_tuning")
  }
  expect_felt(scsystems:::print.sysvi_tuning, list(x = tuned(0)), list(x = tuned(0.1), ... = unread))
  expect_felt(
    scsystems:::plot.sysvi_tuning, list(x = tuned(0)),
    list(x = tuned(0.1), batch.metric = "pcr", biology.metric = "pcr", palette = c("red", "blue"))
  )
})

test_that("arguments of what shows models and their histories", {
  object <- quick(seurat_object())
  other <- quick(seurat_object(seed = 3))
  history <- TrainingHistory(object)
  expect_felt(scsystems:::print.sysvi_model, list(x = LoadSysVI(object)),
              list(x = LoadSysVI(other), ... = unread))
  expect_felt(scsystems:::print.sysvi_history, list(x = history),
              list(x = TrainingHistory(other), ... = unread))
  expect_felt(scsystems:::as.data.frame.sysvi_history, list(x = history),
              list(x = TrainingHistory(other), row.names = unread, optional = unread, ... = unread))
  expect_felt(scsystems:::plot.sysvi_history, list(x = history),
              list(x = TrainingHistory(other), metrics = "loss"))

  result <- trained_species()
  other <- quick_species(species_seurat("mouse"), species_seurat("human", seed = 3))
  history <- TrainingHistory(result)
  expect_felt(scsystems:::print.scspecies, list(x = result), list(x = other, ... = unread))
  expect_felt(scsystems:::print.scspecies_model, list(x = LoadScSpecies(result, verbose = FALSE)),
              list(x = LoadScSpecies(other, verbose = FALSE), ... = unread))
  expect_felt(scsystems:::print.scspecies_history, list(x = history),
              list(x = TrainingHistory(other), ... = unread))
  expect_felt(scsystems:::`[.scspecies_history`, list(x = history, i = "human"),
              list(x = TrainingHistory(other), i = "mouse"))
  expect_felt(scsystems:::as.data.frame.scspecies_history, list(x = history),
              list(x = TrainingHistory(other), row.names = unread, optional = unread, ... = unread))
  expect_felt(scsystems:::plot.scspecies_history, list(x = history),
              list(x = TrainingHistory(other), metrics = "loss"))
})

test_that("arguments of the plots of scSpecies", {
  # two targets that differ
  two <- trained_species()
  for (table in c("cells", "similarity", "differential", "prototypes")) {
    pig <- two[[table]]
    pig$target <- "pig"
    number <- vapply(pig, is.double, NA)
    pig[number] <- pig[number] / 2
    two[[table]] <- rbind(two[[table]], pig)
  }
  one <- trained_species()
  expect_felt(
    PlotLabelTransfer, list(result = two),
    list(result = one, target = "pig", annotate = FALSE, colors = c("white", "red"))
  )
  expect_felt(
    PlotTypeSimilarity, list(result = two),
    list(result = one, target = "pig", n.best = 1, colors = c("white", "red"))
  )
  expect_felt(
    PlotFoldChanges, list(result = two),
    list(result = one, cell.types = "beta", target = "pig", kind = "absolute", n.genes = 2,
         probability = 0.2, color = "red", ncol = 1)
  )
  expect_felt(
    PlotPrototypes, list(result = two),
    list(result = one, cell.types = "beta", target = "pig", palette = c("red", "blue", "grey"), ncol = 1)
  )
  genes <- RelevantGenes(one, n.genes = 4)
  expect_felt(
    PlotRelevantGenes, list(result = genes),
    list(result = genes[-1, ], cell.types = "beta", species = "human", n.genes = 2, color = "red",
         ncol = 1)
  )
})

test_that("arguments of simulated cells", {
  others <- list(as = "SingleCellExperiment", cells = 20, genes = 50, seed = 2)
  expect_felt(simulated_cells, list(cells = 24, genes = 40), others)
  expect_felt(simulated_species, list(cells = 24, genes = 40), others)
})

test_that("arguments of the pancreas", {
  parts <- function(n) {
    counts <- Matrix::rsparsematrix(n, n, 0.5)
    list(matrix = scsystems:::matrix_to_parts(counts), genes = as.list(letters[1:n]),
         cells = as.list(LETTERS[1:n]),
         obs = scsystems:::frame_to_parts(data.frame(donor = letters[1:n])))
  }
  answers <- list(
    pancreas = function(...) reticulate::r_to_py(parts(5)),
    pancreas_by_species = function(...) {
      reticulate::r_to_py(list(
        human = parts(5), mouse = parts(6),
        orthologs = scsystems:::frame_to_parts(data.frame(human = "a", mouse = "b"))
      ))
    }
  )
  expect_felt(pancreas_cells, list(), list(as = "SingleCellExperiment", path = tempfile()),
              answers = answers)
  expect_felt(pancreas_species, list(), list(as = "SingleCellExperiment", path = tempfile()),
              answers = answers)
})

test_that("arguments of the installation and the report on it", {
  expect_felt(
    install_scsystems, list(gpu = FALSE, dry_run = TRUE),
    list(method = "conda", envname = "other", gpu = TRUE, python = "python3.11",
         torch = "torch==2.6", torch_index = "https://example.org", extras = "plots",
         dry_run = elsewhere("test-install.R", "an installation that fails says so"))
  )
  # the module's own functions tell whether they convert
  expect_felt(with_value(scsystems_python), list(), list(convert = TRUE))
  expect_felt(scsystems_ready, list(), list(modules = "no_such_module"))
  report <- scsystems_sitrep(quiet = TRUE)
  other <- report
  other$torch <- "0"
  expect_felt(scsystems:::print.scsystems_sitrep, list(x = report), list(x = other, ... = unread))
  expect_felt(scsystems_sitrep, list(), list(quiet = TRUE))
})
