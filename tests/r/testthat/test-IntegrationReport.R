test_that("a report of the object's own model is one file", {
  object <- simulated_cells()
  folder <- tempfile("report")
  dir.create(folder)
  object <- RunSysVI(object, system = "species", covariates = "donor", max.epochs = 1,
                     model.dir = file.path(folder, "model"), verbose = FALSE)
  file <- file.path(folder, "report.html")
  path <- IntegrationReport(object, file, labels = "cell_type", max.cells = 150, verbose = FALSE)
  expect_identical(normalizePath(path), normalizePath(file))
  page <- paste(readLines(file, encoding = "UTF-8", warn = FALSE), collapse = "\n")
  expect_match(page, "data:image/png;base64", fixed = TRUE)
  expect_match(page, "150 cells out of", fixed = TRUE)
  expect_match(page, "cell type", fixed = TRUE)
  expect_error(IntegrationReport(object, file), "exists already", class = "scsystems_input_error")
  expect_error(IntegrationReport(object, "report.pdf"), "must end in", class = "scsystems_input_error")
  expect_error(IntegrationReport(object, file.path(folder, "a.html"), labels = "type"), "labels",
               class = "scsystems_input_error")
})
