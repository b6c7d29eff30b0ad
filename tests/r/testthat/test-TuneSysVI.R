tune <- function(object, ..., system = "species", grid = list(cycle.weight = c(0, 5)), seeds = 1:2,
                 features = all_genes, max.epochs = 2, verbose = FALSE, moran.min.cells = 10,
                 n.jobs = 1, control = sysvi_options(n_hidden = 16, batch_size = 40)) {
  TuneSysVI(object, system, n.jobs = n.jobs, grid = grid, seeds = seeds, features = features,
            max.epochs = max.epochs, verbose = verbose, moran.min.cells = moran.min.cells,
            min.cells = 10, control = control, ...)
}

test_that("settings are ranked, and the best one can be trained again", {
  object <- seurat_object()
  said <- utils::capture.output(type = "message", {
    tuned <- tune(object, covariates = "donor", labels = "cell_type", verbose = TRUE)
  })
  expect_match(paste(said, collapse = " "), "Run 4 of 4: z_distance_cycle_weight=5, seed 2")
  expect_s3_class(tuned, "sysvi_tuning")
  expect_identical(nrow(tuned$ranking), 2L)
  expect_identical(nrow(tuned$runs), 4L)
  expect_false(is.unsorted(-tuned$ranking$overall))
  expect_identical(tuned$best$name, tuned$ranking$setting[[1]])
  expect_identical(unname(tuned$scored$batch), "ilisi")
  expect_s3_class(tuned$metrics, "scsystems_evaluation")
  again <- RunSysVI(object, "species", covariates = "donor", features = all_genes,
                    control = tuned$control, seed.use = tuned$best$seed, verbose = FALSE)
  expect_equal(unname(SeuratObject::Embeddings(again, "sysvi")), unname(tuned$embedding),
               tolerance = 1e-4)
  expect_false(has_pointer(unclass(tuned)))
  expect_output(print(tuned), "2 settings, 4 runs; best: z_distance_cycle_weight=")
  expect_s3_class(plot(tuned), "ggplot")
  grDevices::pdf(tempfile(fileext = ".pdf"))
  print(plot(tuned, biology.metric = "label_transfer"))
  grDevices::dev.off()
  expect_refused(plot(tuned, batch.metric = "beauty"), message = "beauty")
})

test_that("runs are kept in a folder, and a report is written", {
  folder <- tempfile("runs")
  report <- tempfile(fileext = ".md")
  first <- tune(sce_object(), labels = "cell_type", seeds = 1, folder = folder)
  files <- file.info(dir(folder, full.names = TRUE))
  second <- tune(sce_object(), labels = "cell_type", seeds = 1:2, folder = folder, report = report)
  expect_identical(file.info(rownames(files))$mtime, files$mtime)
  expect_identical(second$report, normalizePath(report))
  expect_match(paste(readLines(report), collapse = "\n"), "Best of 2 settings")
  runs <- second$runs[second$runs$seed == 1, ]
  expect_setequal(runs$run, first$runs$run)
})

test_that("a report that cannot be written is refused before the search, or its results are kept", {
  file <- tempfile("file")
  file.create(file)
  expect_refused(tune(sce_object(), report = file.path(file, "report.md")), "scsystems_error", "file")
  blocked <- tempfile("report", fileext = ".md")
  dir.create(blocked)
  run <- function(...) tune(sce_object(), labels = "cell_type", grid = list(cycle.weight = c(0, 5)), seeds = 1, ...)
  expect_warning(kept <- run(report = blocked), "could not be written.*complete without it",
                 class = "scsystems_warning")
  expect_null(kept$report)
  expect_equal(kept$embedding, run()$embedding)
})

test_that("several runs at a time are those of one after the other", {
  alone <- tune(sce_object(), labels = "cell_type", seeds = 1)
  said <- utils::capture.output(type = "message", {
    together <- tune(sce_object(), labels = "cell_type", seeds = 1, n.jobs = 2, verbose = TRUE)
  })
  expect_match(paste(said, collapse = " "), "Run 2 of 2: z_distance_cycle_weight=")
  timeless <- function(runs) runs[setdiff(names(runs), "seconds")]
  expect_equal(timeless(together$runs), timeless(alone$runs))
  expect_equal(together$embedding, alone$embedding)
  # R's own library path would have given the processes another libpython
  expect_identical(together$failed, NULL)
})

test_that("without labels and with named settings", {
  grid <- list(list(name = "plain", prior = "standard_normal", cycle.weight = 0),
               list(name = "full", prior = "vamp", dims = 4))
  tuned <- suppressWarnings(tune(seurat_object(normalize = FALSE, cells = 110),
                                 grid = grid, seeds = 1))
  expect_setequal(tuned$ranking$setting, c("plain", "full"))
  expect_true(all(c("cluster_preservation", "matched_profiles") %in% tuned$scored$biology))
  expect_identical(tuned$control$model$n_hidden, 16L)
})

test_that("bad input is refused", {
  object <- seurat_object()
  refused <- function(..., message) expect_refused(tune(object, ...), message = message)
  refused(grid = list(), message = "grid")
  refused(grid = c(a = 1), message = "grid")
  refused(grid = list(3, 4), message = "grid.*settings")
  refused(grid = list(cycle_weights = 1:2), message = "Unknown parameters.*cycle_weights")
  refused(seeds = c(1, 1), message = "seeds")
  refused(labels = "absent", message = "labels.*absent")
  refused(covariates = "absent", message = "covariates.*absent")
  refused(report = "report.pdf", message = "report.*html")
  refused(features = "none", message = "none")
  refused(n.jobs = 0, message = "n.jobs")
  refused(system = "absent", message = "absent")
  refused(labels = "cell_type", biology.metrics = "beauty", message = "beauty")
  refused(control = sysvi_options(give_mean = FALSE), message = "give_mean")
  refused(control = list(), message = "sysvi_options")
  expect_refused(TuneSysVI(1, "species"), message = "Seurat")
})
