# An error of one of our classes with a message that matches, after which `object` is as before.
expect_refused <- function(code, class = "scsystems_input_error", message, object = NULL) {
  code <- rlang::enquo(code)
  before <- if (!is.null(object)) serialize(object, NULL)
  error <- rlang::catch_cnd(rlang::eval_tidy(code), "error")
  expect_s3_class(error, class)
  expect_s3_class(error, "scsystems_error")
  text <- gsub("\\s+", " ", rlang::cnd_message(error))
  expect_match(text, message, all = FALSE)
  if (!is.null(object)) expect_identical(serialize(object, NULL), before)
  invisible(error)
}

# Every object that is reachable, to look for what must not be saved.
has_pointer <- function(x) {
  if (typeof(x) %in% c("externalptr", "environment", "closure")) return(TRUE)
  inner <- attributes(x)
  if (is.list(x)) inner <- c(inner, unclass(x))
  any(vapply(inner, has_pointer, logical(1)))
}

# Code in an R of its own, with the environment variables given; returns what it printed.
in_new_r <- function(code, env = character()) {
  script <- tempfile(fileext = ".R")
  on.exit(unlink(script))
  lines <- c(
    sprintf(".libPaths(%s)", paste(deparse(.libPaths()), collapse = "")),
    "options(cli.width = 500, cli.unicode = FALSE)", code
  )
  writeLines(lines, script)
  out <- suppressWarnings(system2(file.path(R.home("bin"), "Rscript"), shQuote(script),
                                  stdout = TRUE, stderr = TRUE, env = env))
  paste(out, collapse = "\n")
}
