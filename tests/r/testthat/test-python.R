test_that("loading the package starts no Python", {
  out <- in_new_r(c("library(scsystems)", "cat(reticulate::py_available())"))
  expect_match(out, "FALSE$")
})

test_that("a Python without torch is refused with the command that mends it, and not started", {
  sys <- reticulate::import("sys")
  folder <- tempfile("bare")
  status <- system2(sys$`_base_executable`, c("-m", "venv", "--without-pip", folder),
                    env = "LD_LIBRARY_PATH=")
  expect_identical(status, 0L)
  python <- file.path(folder, "bin", "python")
  out <- in_new_r(c(
    "error <- rlang::catch_cnd(scsystems:::bridge(), 'error')",
    "cat(class(error), '\\n'); cat(conditionMessage(error), '\\n')",
    "cat('started:', reticulate::py_available())"
  ), env = paste0("RETICULATE_PYTHON=", python))
  expect_match(out, "scsystems_python_error")
  expect_match(out, "torch")
  expect_match(out, "scsystems::install_scsystems()", fixed = TRUE)
  expect_match(out, paste(python, "-m pip install"), fixed = TRUE)
  expect_match(out, "started: FALSE")
})

test_that("a Python that is not there is refused with the command that mends it", {
  out <- in_new_r(c(
    "error <- rlang::catch_cnd(scsystems:::bridge(), 'error')",
    "cat(class(error), '\\n'); cat(conditionMessage(error), '\\n')"
  ), env = "RETICULATE_PYTHON=/nowhere/python")
  expect_match(out, "scsystems_python_error")
  expect_match(out, "scsystems::install_scsystems()", fixed = TRUE)
})

test_that("the user's object survives a missing Python", {
  out <- in_new_r(c(
    "library(scsystems)",
    sprintf("source('%s')", normalizePath(test_path("helper-data.R"))),
    "object <- seurat_object(); before <- serialize(object, NULL)",
    "try(quick(object), silent = TRUE)", "cat('same:', identical(serialize(object, NULL), before))"
  ), env = "RETICULATE_PYTHON=/nowhere/python")
  expect_match(out, "same: TRUE")
})

test_that("the Python package can be reached", {
  scs <- scsystems_python()
  expect_identical(reticulate::py_to_r(scs$`__version__`),
                   as.character(utils::packageVersion("scsystems")))
  expect_identical(scsystems_python(convert = TRUE)$`__version__`,
                   as.character(utils::packageVersion("scsystems")))
})

test_that("torch is bound to its own libraries", {
  expect_true(reticulate::import("scsystems.r.boot")$state$own_blas)
})

test_that("the Python code is the one in the package, of the same version", {
  scs <- reticulate::import("scsystems")
  expect_identical(scs$`__version__`, as.character(utils::packageVersion("scsystems")))
  expect_identical(normalizePath(dirname(dirname(scs$`__file__`))),
                   normalizePath(scsystems:::python_source()))
})

test_that("every module that is needed has the name of its package", {
  packages <- sub("[<>=].*", "", scsystems:::python_packages())
  expect_setequal(names(scsystems:::python_modules()), packages)
  expect_identical(scsystems:::missing_modules(), character())
})

test_that("it is said whether there is a Python, without starting one", {
  expect_true(scsystems_ready())
  expect_false(scsystems_ready("nothing_of_that_name"))
  expect_refused(scsystems_ready(1), message = "modules")
  ask <- function(python, modules = "character()") {
    in_new_r(sprintf(
      "cat(scsystems::scsystems_ready(%s), reticulate::py_available(initialize = FALSE))", modules
    ), env = paste0("RETICULATE_PYTHON=", python))
  }
  here <- reticulate::py_config()$python
  expect_match(ask(here), "TRUE FALSE$")
  expect_match(ask(here, "'nothing_of_that_name'"), "FALSE FALSE$")
  expect_match(ask("/nowhere/python"), "FALSE FALSE$")
})
