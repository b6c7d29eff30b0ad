# Run the tests of the installed R package:  Rscript tests/r/run.R [filter]
# RETICULATE_PYTHON chooses the Python. Warnings and skipped tests count as failures. The last
# line is 'N passed, N failed'.

here <- dirname(sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE)))
filter <- commandArgs(trailingOnly = TRUE)
library(testthat)
library(scsystems)

results <- test_dir(
  file.path(here, "testthat"), package = "scsystems", load_package = "installed",
  reporter = "summary", filter = if (length(filter)) filter[[1]], stop_on_failure = FALSE
)
table <- as.data.frame(results)
failed <- sum(table$failed) + sum(table$error) + sum(table$warning) + sum(table$skipped)
passed <- sum(table$passed)
if (!passed) failed <- max(failed, 1)

cat("\n", packageDescription("scsystems")$Package, " on R ", as.character(getRversion()),
    ", SeuratObject ", as.character(packageVersion("SeuratObject")),
    ", reticulate ", as.character(packageVersion("reticulate")),
    ", Python ", as.character(reticulate::py_version()), "\n", sep = "")
slow <- table[order(-table$real), c("file", "test", "real")]
cat("slowest:", paste0("\n  ", sprintf("%5.1f s  %s", head(slow$real, 5), head(slow$test, 5))), "\n")
cat(sprintf("%d passed, %d failed\n", passed, failed))
quit(status = if (failed) 1 else 0)
