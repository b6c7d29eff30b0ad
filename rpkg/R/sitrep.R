#' How things stand with Python
#'
#' Says which Python is used, what it lacks, which device is there, whether torch runs at its own
#' speed within R, and what to do about each finding. The first thing to look at, and to report,
#' when something does not work.
#'
#' @param quiet Whether to print nothing.
#'
#' @return Invisibly, a list of the findings.
#' @export
#' @examplesIf scsystems_ready()
#' # starts Python, which cannot be exchanged in this session afterwards
#' scsystems_sitrep()
scsystems_sitrep <- function(quiet = FALSE) {
  report <- structure(list(
    scsystems = as.character(utils::packageVersion("scsystems")),
    r = as.character(getRversion()),
    reticulate = as.character(utils::packageVersion("reticulate")),
    blas = tryCatch(utils::sessionInfo()$BLAS, error = function(e) NA_character_),
    variables = Sys.getenv(c("RETICULATE_PYTHON", "VIRTUAL_ENV", "OMP_NUM_THREADS",
                             "OMP_WAIT_POLICY"), unset = NA),
    environment = has_environment(),
    models = getOption("scsystems.model.dir",
                       file.path(tools::R_user_dir("scsystems", "data"), "models"))
  ), class = "scsystems_sitrep")
  # a Python that is refused is not started: another can then be chosen in this session
  found <- tryCatch({
    start_python(thorough = TRUE)
    reticulate::py_to_r(call_bridge("machine"))
  }, error = function(e) e)
  if (inherits(found, "error")) {
    report$problem <- found
  } else {
    report$executable <- running_python()
    report <- c(report, found)
    class(report) <- "scsystems_sitrep"
  }
  report$advice <- sitrep_advice(report)
  if (!quiet) print(report)
  invisible(report)
}

# What to do, in sentences.
sitrep_advice <- function(report) {
  advice <- character()
  if (isTRUE(report$already_loaded)) {
    advice <- c(advice, "torch was imported before scsystems could see to its speed: restart R and run scsystems first.")
  }
  if (!is.null(report$gflops) && report$gflops < 5) {
    advice <- c(advice, "torch multiplies matrices slowly. On Linux R's BLAS may be in the way: install a fast one (libopenblas0-pthread on Debian).")
  }
  if (!is.null(report$threads) && report$threads > report$cores) {
    advice <- c(advice, sprintf("torch uses %d threads on %d cores: set OMP_NUM_THREADS before R starts.",
                                report$threads, report$cores))
  }
  if (!identical(tolower(report$variables[["OMP_WAIT_POLICY"]]), "passive")) {
    advice <- c(advice, "On a busy machine, set OMP_WAIT_POLICY=passive before R starts (in ~/.Renviron): threads that wait by spinning slow each other down.")
  }
  advice
}

#' @export
print.scsystems_sitrep <- function(x, ...) {
  line <- function(name, value) {
    cli::cat_line("  ", formatC(name, width = -18), if (is.null(value) || is.na(value)) "-" else value)
  }
  cli::cat_line("scsystems ", x$scsystems)
  line("R", x$r)
  line("reticulate", x$reticulate)
  line("BLAS of R", x$blas)
  if (is.null(x$problem)) {
    line("Python", paste0(x$python, " (", x$executable, ")"))
    line("code", x$location)
    line("torch", x$torch)
    line("numpy", x$numpy)
    device <- if (length(x$cuda)) paste("cuda:", paste(unlist(x$cuda), collapse = ", "))
              else if (isTRUE(x$mps)) "mps (Apple GPU)" else "cpu"
    line("device", device)
    line("threads", x$threads)
    line("speed", sprintf("%.0f GFLOP/s, %s", x$gflops,
                          if (isTRUE(x$own_blas)) "torch uses its own BLAS" else "torch may use the BLAS of R"))
  }
  for (name in names(x$variables)) line(name, x$variables[[name]])
  line("models", x$models)
  if (!is.null(x$problem)) {
    cli::cat_line()
    cli::cat_line(cli::col_red("Python cannot be used:"))
    cli::cat_line(rlang::cnd_message(x$problem))
  }
  if (length(x$advice)) {
    cli::cat_line()
    for (text in x$advice) cli::cat_line(strwrap(text, width = 90, initial = "> ", prefix = "  "))
  }
  invisible(x)
}
