test_that("the plan has a numpy that this reticulate can use", {
  plan <- install_scsystems(gpu = FALSE, dry_run = TRUE)
  numpy <- grep("^numpy", plan$packages, value = TRUE)
  old <- utils::packageVersion("reticulate") < "1.41"
  expect_identical(numpy, if (old) "numpy>=1.26,<2" else "numpy>=1.26")
  expect_identical(plan$torch, "torch>=2.6")
  expect_false(any(grepl("^torch", plan$packages)))
})

test_that("CPU or GPU is chosen by the index that torch comes from", {
  cpu <- install_scsystems(gpu = FALSE, dry_run = TRUE)$torch_options
  if (Sys.info()[["sysname"]] == "Linux") expect_match(cpu[[2]], "whl/cpu$")
  expect_length(install_scsystems(gpu = TRUE, dry_run = TRUE)$torch_options, 0)
  own <- install_scsystems(torch_index = "https://example.org/simple", dry_run = TRUE)
  expect_identical(own$torch_options, c("--index-url", "https://example.org/simple"))
  expect_length(install_scsystems(gpu = FALSE, torch_index = "", dry_run = TRUE)$torch_options, 0)
})

test_that("versions and extras are passed on, mistakes refused", {
  plan <- install_scsystems(torch = "torch==2.5.1", extras = "metrics", dry_run = TRUE)
  expect_identical(plan$torch, "torch==2.5.1")
  expect_true(any(grepl("^scib-metrics", plan$packages)))
  expect_refused(install_scsystems(extras = "nope", dry_run = TRUE), message = "nope.*metrics")
  expect_refused(install_scsystems(gpu = "yes", dry_run = TRUE), message = "gpu")
})

test_that("an installation that fails says so with what to try", {
  error <- expect_refused(
    suppressMessages(install_scsystems(envname = tempfile("env"), python = "/nowhere/python")),
    "scsystems_python_error", "could not be made"
  )
  expect_s3_class(error$parent, "error")
})

test_that("pip does not see R's library path, and R has it back afterwards", {
  before <- Sys.getenv("LD_LIBRARY_PATH", unset = NA)
  seen <- scsystems:::without_library_path(Sys.getenv("LD_LIBRARY_PATH", unset = NA))
  expect_true(is.na(seen))
  expect_identical(Sys.getenv("LD_LIBRARY_PATH", unset = NA), before)
  try(scsystems:::without_library_path(stop("no")), silent = TRUE)
  expect_identical(Sys.getenv("LD_LIBRARY_PATH", unset = NA), before)
})
