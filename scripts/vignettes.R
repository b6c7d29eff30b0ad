# Build the vignettes:  Rscript scripts/vignettes.R [folder] [name ...]
# The R package has to be installed; RETICULATE_PYTHON chooses the Python. Each is built in an R of
# its own, as R CMD build does, into `folder` (default: build/vignettes).

here <- dirname(sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE)))
given <- commandArgs(trailingOnly = TRUE)
folder <- if (length(given)) given[[1]] else file.path(here, "..", "build", "vignettes")
dir.create(folder, recursive = TRUE, showWarnings = FALSE)
folder <- normalizePath(folder)

sources <- list.files(file.path(here, "..", "vignettes"), "[.]Rmd$", full.names = TRUE)
names <- tools::file_path_sans_ext(basename(sources))
if (length(given) > 1) sources <- sources[names %in% given[-1]]
stopifnot("No such vignette" = length(sources) > 0)

for (source in sources) {
  started <- Sys.time()
  code <- sprintf(
    "rmarkdown::render(%s, output_dir = %s, intermediates_dir = tempfile(), quiet = TRUE)",
    deparse(normalizePath(source)), deparse(folder)
  )
  status <- system2(file.path(R.home("bin"), "Rscript"), c("-e", shQuote(code)))
  if (status != 0) stop("Building ", basename(source), " failed.", call. = FALSE)
  seconds <- as.double(Sys.time() - started, units = "secs")
  cat(sprintf("%s (%.0f s)\n", sub("Rmd$", "html", basename(source)), seconds))
}
