# The log of commands prints, holds no objects, and says what was chosen.

printed <- function(object, name) {
  paste(utils::capture.output(print(SeuratObject::Command(object, name))), collapse = "\n")
}

test_that("commands print, with the options that were chosen", {
  seen <- 0
  control <- small_options(train = list(callbacks = function(...) seen <<- seen + 1))
  object <- quick(seurat_object(), covariates = "donor", control = control)
  text <- printed(object, "RunSysVI.RNA")
  expect_match(text, "Command: RunSysVI(object", fixed = TRUE)
  expect_match(text, "system : species")
  expect_match(text, "control : sysvi_options(n_hidden = 16, batch_size = 40", fixed = TRUE)
  expect_match(text, "callbacks = a function")
  expect_no_match(text, "dropout_rate")
  expect_lt(utils::object.size(SeuratObject::Command(object, "RunSysVI.RNA")), 50000)
})

test_that("an object in the call, or a model's facts, are not kept", {
  object <- seurat_object()
  results <- list(do.call(quick, list(object)), lapply(list(object), quick)[[1]],
                  do.call(RunSysVI, list(object, "species", features = all_genes, max.epochs = 1,
                                         verbose = FALSE, control = small_options())))
  for (result in results) {
    command <- SeuratObject::Command(result, "RunSysVI.RNA")
    expect_lt(utils::object.size(command), 50000)
    expect_lt(nchar(paste(command@call.string, collapse = "")), 1001)
  }
  facts <- LoadSysVI(results[[1]])
  corrected <- CorrectedExpression(results[[1]], model = facts, verbose = FALSE)
  command <- SeuratObject::Command(corrected, "CorrectedExpression.RNA")
  expect_identical(command@params$model, facts$path)
  expect_match(printed(corrected, "CorrectedExpression.RNA"), facts$path, fixed = TRUE)
  expect_identical(command@assay.used, "RNA")
})

test_that("commands of all functions print", {
  object <- quick(seurat_object())
  mapped <- MapSysVI(seurat_object(), object, labels = "cell_type", reference = object,
                     n.neighbors = 5, max.epochs = 0, verbose = FALSE)
  expect_match(printed(mapped, "MapSysVI.RNA"), "labels : cell_type")
  species <- trained_species()
  expect_match(printed(species$context, "RunScSpecies.RNA"), "a data frame of 260 rows")
  expect_match(printed(species$targets$human, "RunScSpecies.RNA"), "species : mouse human")
})
