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
    report <- list(variables = c(OMP_WAIT_POLICY = "passive"), ...)
    paste(scsystems:::sitrep_advice(report), collapse = "\n")
  }
  expect_identical(advise(threads = 1), "")
  expect_match(advise(gflops = 1), "slowly")
  expect_match(advise(already_loaded = TRUE), "restart R")
  expect_match(advise(threads = 10000), "OMP_NUM_THREADS")
  unset <- scsystems:::sitrep_advice(list(variables = c(OMP_WAIT_POLICY = NA)))
  expect_match(unset, "OMP_WAIT_POLICY=passive")
})

test_that("it says what is wrong where Python cannot be used", {
  out <- in_new_r("scsystems::scsystems_sitrep()", env = "RETICULATE_PYTHON=/nowhere/python")
  expect_match(out, "Python cannot be used")
  expect_match(out, "install_scsystems")
})
