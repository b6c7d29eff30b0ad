# The pages of the R package for the documentation site: the reference (pkgdown), and the vignettes
# as they are installed. They go into the folder given, from the installed package, which
# scripts/setup.sh r makes. Without pkgdown there is one page, which says what is missing.
arguments <- commandArgs(TRUE)
folder <- if (length(arguments)) arguments[[1]] else file.path("build", "docs-r", "r")
unlink(folder, recursive = TRUE)
dir.create(folder, recursive = TRUE)
folder <- normalizePath(folder)

if (requireNamespace("pkgdown", quietly = TRUE)) {
  options(pkgdown.internet = FALSE)
  library(scsystems)
  package <- pkgdown::as_pkgdown("rpkg", override = list(destination = folder))
  pkgdown::init_site(package)
  # examples run in R CMD check
  pkgdown::build_reference(package, examples = FALSE, lazy = FALSE, preview = FALSE)
  pkgdown::build_news(package, preview = FALSE)
} else {
  message("pkgdown is not installed: the site is built without the R reference.")
  dir.create(file.path(folder, "reference"))
  writeLines(c(
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>R reference</title>",
    "<p>This site was built without pkgdown (on Debian: <code>apt-get install r-cran-pkgdown</code>),",
    "so the R reference is missing here. In R, <code>help(package = \"scsystems\")</code> has the same",
    "pages.</p>", "<p><a href=\"../../index.html\">Back</a></p></html>"
  ), file.path(folder, "reference", "index.html"))
}

writeLines(c(
  "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>R reference</title>",
  "<meta http-equiv=\"refresh\" content=\"0; url=reference/index.html\">",
  "<a href=\"reference/index.html\">R reference</a></html>"
), file.path(folder, "index.html"))
dir.create(file.path(folder, "doc"))
vignettes <- list.files(file.path("rpkg", "inst", "doc"), "[.]html$", full.names = TRUE)
stopifnot(length(vignettes) > 0)
# rmarkdown gives the contents of a vignette a width that phones do not have
style <- "<style>@media (max-width: 500px) { #TOC { width: auto; } }</style></head>"
for (page in vignettes) {
  lines <- sub("</head>", style, readLines(page, encoding = "UTF-8"), fixed = TRUE)
  writeLines(enc2utf8(lines), file.path(folder, "doc", basename(page)), useBytes = TRUE)
}
