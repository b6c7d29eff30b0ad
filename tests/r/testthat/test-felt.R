# Every argument of every exported function is felt: the tables are in test-felt-*.R, and what a
# table is in helper-felt.R.

# `f`, `scsystems:::f` and `wrapped(f)`.
function_in <- function(part) {
  if (is.name(part)) as.character(part)
  else function_in(part[[if (identical(part[[1]], as.name(":::"))) 3 else 2]])
}

tabled <- function() {
  files <- list.files(testthat::test_path(), "^test-felt-.*[.]R$", full.names = TRUE)
  names_in <- function(part) {
    if (!is.call(part)) return(character())
    found <- unlist(lapply(as.list(part), names_in))
    if (!identical(part[[1]], as.name("expect_felt"))) return(found)
    c(found, function_in(part[[2]]))
  }
  unlist(lapply(files, function(file) lapply(as.list(parse(file)), names_in)))
}

test_that("every exported function and method has a table of other values", {
  methods <- getNamespaceInfo("scsystems", "S3methods")
  ours <- c(getNamespaceExports("scsystems"), paste(methods[, 1], methods[, 2], sep = "."))
  # generics hand everything on, their defaults refuse it
  generics <- c("RunSysVI", "MapSysVI", "RunScSpecies", "CorrectedExpression")
  known <- setdiff(ours, c(generics, paste0(generics, ".default")))
  expect_setequal(tabled(), known)
  for (generic in generics) expect_true("..." %in% names(formals(getExportedValue("scsystems", generic))))
})

test_that("an argument that is not felt, or has no other value, is found", {
  dropped <- function(x, y) x
  fails <- function(fun, usual, others) {
    failed <- FALSE
    withCallingHandlers(
      expect_felt(fun, usual, others), expectation = function(e) {
        failed <<- failed || inherits(e, "expectation_failure")
        invokeRestart("continue_test")
      }
    )
    failed
  }
  expect_true(fails(dropped, list(x = 1, y = 1), list(x = 2, y = 2)))
  expect_true(fails(dropped, list(x = 1, y = 1), list(x = 2)))
  expect_true(fails(function(x, ...) x, list(x = 1), list(x = 2)))
  expect_false(fails(function(x) x, list(x = 1), list(x = 2)))
})
