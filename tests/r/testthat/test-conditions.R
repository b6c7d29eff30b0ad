# An envelope as Python sends it.
envelope <- function(kinds, message = "it {went} wrong\nand more") {
  list(kinds = as.list(kinds), message = message, traceback = "Traceback: line 1")
}

test_that("each Python error has its condition class, and braces in messages are harmless", {
  for (kind in c("InputError", "NotTrainedError", "NonFiniteError", "ModelFileError",
                 "NotSupportedError", "MissingExtraError")) {
    class <- scsystems:::error_classes[[kind]]
    error <- expect_refused(
      scsystems:::abort_from_python(envelope(c(kind, "ScsystemsError", "Exception"))),
      class, "it \\{went\\} wrong.*and more"
    )
    expect_match(error$traceback, "line 1")
  }
})

test_that("the classes are those of errors.py", {
  errors <- reticulate::import("scsystems.errors")
  names <- grep("Error$", names(errors), value = TRUE)
  expect_setequal(names(scsystems:::error_classes), names)
})

test_that("an error that is no message of ours carries the traceback", {
  error <- expect_refused(scsystems:::abort_from_python(envelope(c("KeyError", "Exception"))),
                          "scsystems_python_error", "KeyError.*report")
  expect_match(conditionMessage(error$parent), "line 1")
})

test_that("an interrupt in Python is an interrupt in R", {
  caught <- tryCatch(scsystems:::abort_from_python(envelope("KeyboardInterrupt")),
                     interrupt = function(i) "interrupted")
  expect_identical(caught, "interrupted")
})

test_that("errors and warnings of a real call come through", {
  expect_refused(scsystems:::call_bridge("train_sysvi", NULL, list(nothing = 1), list(), list()),
                 message = "nothing.*weight_batches")
  expect_refused(scsystems:::call_bridge("latent", 3L), "scsystems_python_error", "AttributeError")
})
