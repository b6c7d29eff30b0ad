library(testthat)
library(scsystems)

# The tests run the real Python; without one they fail. A machine that builds the package but
# cannot have Python may say so by this variable.
if (identical(Sys.getenv("SCSYSTEMS_TEST_PYTHON"), "false")) {
  message("SCSYSTEMS_TEST_PYTHON=false: the tests were not run.")
} else {
  test_check("scsystems")
}
