test_that("the report names versions, device and speed", {
  report <- scsystems_sitrep(quiet = TRUE)
  expect_s3_class(report, "scsystems_sitrep")
  expect_null(report$problem)
  expect_true(report$own_blas)
  expect_gt(report$gflops, 0)
  printed <- paste(capture.output(print(report)), collapse = "\n")
  expect_match(printed, "torch +[0-9]")
  expect_match(printed, "own BLAS")
  expect_match(printed, report$executable, fixed = TRUE)
})

test_that("advice follows from what is found", {
  advise <- function(...) {
    report <- list(variables = c(OMP_WAIT_POLICY = "passive"), cores = 2L, ...)
    paste(scsystems:::sitrep_advice(report), collapse = "\n")
  }
  expect_identical(advise(threads = 2), "")
  expect_match(advise(gflops = 1), "slowly")
  expect_match(advise(already_loaded = TRUE), "restart R")
  expect_match(advise(threads = 3), "3 threads on 2 cores.*OMP_NUM_THREADS")
  unset <- scsystems:::sitrep_advice(list(variables = c(OMP_WAIT_POLICY = NA)))
  expect_match(unset, "OMP_WAIT_POLICY=passive")
})

test_that("it says what is wrong where Python cannot be used", {
  out <- in_new_r("scsystems::scsystems_sitrep()", env = "RETICULATE_PYTHON=/nowhere/python")
  expect_match(out, "Python cannot be used")
  expect_match(out, "install_scsystems")
})

# A virtual environment without packages, but with the modules given as lines of Python.
bare_python <- function(modules = list()) {
  sys <- reticulate::import("sys")
  folder <- tempfile("bare")
  system2(sys$`_base_executable`, c("-m", "venv", "--without-pip", folder), env = "LD_LIBRARY_PATH=")
  site <- Sys.glob(file.path(folder, "lib", "python*", "site-packages"))
  for (name in names(modules)) writeLines(modules[[name]], file.path(site, paste0(name, ".py")))
  file.path(folder, "bin", "python")
}

report_of <- function(python) {
  in_new_r(c(
    "report <- scsystems::scsystems_sitrep()",
    "cat('\nstarted:', reticulate::py_available(initialize = FALSE))"
  ), env = paste0("RETICULATE_PYTHON=", python))
}

test_that("a Python that is refused is not started by the report", {
  out <- report_of(bare_python())
  expect_match(out, "Python cannot be used.*lacks.*numpy.*torch.*install_scsystems")
  expect_match(out, "started: FALSE")
})

test_that("the report names modules that cannot be imported, and does not start their Python", {
  modules <- stats::setNames(rep(list("__version__ = '1.0'"), 10), scsystems:::python_modules())
  modules$torch <- "raise OSError('libcudart.so.11: cannot open shared object file')"
  out <- report_of(bare_python(modules))
  expect_match(out, "has torch, but cannot import it.*OSError: libcudart.so.11")
  expect_match(out, "pip install --force-reinstall 'torch>=")
  expect_no_match(out, "lacks")
  expect_match(out, "started: FALSE")
})

test_that("the first call names a numpy that cannot be imported before Python is started", {
  modules <- stats::setNames(rep(list("__version__ = '1.0'"), 10), scsystems:::python_modules())
  modules$numpy <- "import nothing_of_that_name"
  out <- in_new_r(c(
    "error <- rlang::catch_cnd(scsystems:::bridge(), 'error')",
    "cat(class(error), rlang::cnd_message(error), '\nstarted:', reticulate::py_available())"
  ), env = paste0("RETICULATE_PYTHON=", bare_python(modules)))
  expect_match(out, "scsystems_python_error.*numpy.*No module named 'nothing_of_that_name'")
  expect_match(out, "started: FALSE")
})

test_that("a running Python without numpy is told from one whose numpy is too new", {
  out <- in_new_r(c(
    "reticulate::py_run_string('1')",
    "error <- rlang::catch_cnd(scsystems:::bridge(), 'error'); cat(rlang::cnd_message(error))"
  ), env = paste0("RETICULATE_PYTHON=", bare_python()))
  expect_match(out, "lacks.*numpy.*then restart R")
  expect_no_match(out, "cannot use the numpy")
})

test_that("an old Python is refused by its version", {
  probe <- list(version = numeric_version("3.9"), missing = character(), broken = character(),
                numpy = 1L)
  expect_refused(scsystems:::check_python("/usr/bin/python3.9", probe = probe),
                 "scsystems_python_error", "Python 3.9.*too old.*3.10")
})
