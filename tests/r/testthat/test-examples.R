# The examples of every page run, as they are printed there, on the cells that they make.

pages <- tools::Rd_db("scsystems")

# What example() would run of a page.
example_code <- function(page) {
  file <- tempfile(fileext = ".R")
  on.exit(unlink(file))
  tools::Rd2ex(page, file, commentDonttest = FALSE)
  if (file.exists(file)) readLines(file) else character()
}

test_that("no example is there to be looked at only", {
  for (name in names(pages)) {
    text <- paste(utils::capture.output(tools::toRd(pages[[name]])), as.character(pages[[name]]),
                  collapse = " ")
    expect_no_match(text, "dontrun", info = name)
  }
})

test_that("every exported function that users call has an example", {
  with_example <- names(Filter(function(page) length(example_code(page)) > 0, pages))
  aliases <- unlist(lapply(pages[with_example], function(page) {
    tags <- vapply(page, function(part) attr(part, "Rd_tag") %||% "", "")
    vapply(page[tags == "\\alias"], function(part) as.character(part[[1]]), "")
  }))
  expect_setequal(setdiff(getNamespaceExports("scsystems"), aliases), character())
})

v5 <- utils::packageVersion("SeuratObject") >= "5"
# what only another version, or data that are fetched apart, can run
unrun <- c(if (!v5) "SysVIIntegration.Rd",
           if (!scsystems_ready("came")) c("pancreas_cells.Rd", "pancreas_species.Rd"))

for (name in names(pages)) {
  test_that(paste("the examples run:", name), {
    code <- example_code(pages[[name]])
    if (!length(code)) return(succeed())
    place <- new.env(parent = globalenv())
    file <- tempfile(fileext = ".R")
    writeLines(code, file)
    output <- utils::capture.output(
      suppressMessages(source(file, local = place, echo = TRUE, max.deparse.length = Inf)),
      type = "output"
    )
    expect_no_match(paste(output, collapse = "\n"), "Error")
    # examplesIf runs nothing where its condition does not hold
    conditional <- grepl("scsystems_ready", paste(code, collapse = " ")) && name != "scsystems_ready.Rd"
    condition <- sub(" [(]if [(]getRversion.*", "", grep("^if .*examplesIf", code, value = TRUE))
    if (conditional) expect_length(condition, 1)
    expect_identical(vapply(condition, function(text) {
      eval(parse(text = paste(text, "TRUE else FALSE")))
    }, NA, USE.NAMES = FALSE), rep(!name %in% unrun, length(condition)))
  })
}

test_that("without Python the examples run to their end, too", {
  files <- lapply(names(pages), function(name) {
    file <- tempfile(fileext = ".R")
    writeLines(example_code(pages[[name]]), file)
    file
  })
  out <- in_new_r(c(
    "suppressMessages(library(scsystems))",
    sprintf("invisible(utils::capture.output(source('%s')))", unlist(files)),
    "cat('all of them', reticulate::py_available(initialize = FALSE))"
  ), env = "RETICULATE_PYTHON=/nowhere/python")
  expect_match(out, "all of them FALSE$")
})
