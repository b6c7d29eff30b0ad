# Progress of training, driven from R: one call per epoch out of Python. On a terminal this is a
# cli bar with the time left; elsewhere (a log file, knitr) one line now and then.

epoch_reporter <- function(title, .envir = parent.frame()) {
  if (cli::is_dynamic_tty()) bar_reporter(title, .envir) else line_reporter(title)
}

bar_reporter <- function(title, .envir) {
  id <- NULL
  loss <- ""  # shown in the bar
  frame <- environment()
  function(epoch, max_epochs, losses) {
    loss <<- format_loss(losses)
    if (is.null(id)) {
      id <<- cli::cli_progress_bar(
        total = max_epochs, .envir = .envir, clear = TRUE,
        format = paste0("{cli::pb_spin} ", title,
                        " {cli::pb_bar} {cli::pb_current}/{cli::pb_total} epochs",
                        " | {cli::pb_extra$frame$loss} | {cli::pb_eta_str}"),
        extra = list(frame = frame)
      )
    }
    cli::cli_progress_update(set = epoch, id = id, .envir = .envir)
    NULL
  }
}

line_reporter <- function(title) {
  started <- Sys.time()
  said <- started
  function(epoch, max_epochs, losses) {
    now <- Sys.time()
    spent <- as.double(now - started, units = "secs")
    # the first after an epoch, then every ten seconds, and the last
    if (epoch > 1 && epoch < max_epochs && as.double(now - said, units = "secs") < 10) return(NULL)
    said <<- now
    left <- if (epoch > 1) (max_epochs - epoch) * spent / (epoch - 1)
    time <- if (is.null(left)) "" else sprintf(", %s left", prettyunits(left))
    cli::cli_inform("{title}: epoch {epoch}/{max_epochs}, {format_loss(losses)}{time}",
                    class = "scsystems_message")
    NULL
  }
}

# An R function for Python to call, with its arguments turned into R values. R must not take an
# interrupt on its way back to Python: jumping out of Python's call would lose the training (and end
# Rscript). Where one is pending when `f` is done, Python is told, and raises it.
python_callback <- function(f) {
  force(f)
  reticulate::r_to_py(function(...) {
    tryCatch({
      value <- suspendInterrupts(f(...))
      Sys.sleep(0) # takes an interrupt that is pending
      value
    }, interrupt = function(e) interrupted_by_user)
  }, convert = TRUE)
}

# as in r/interrupts.py
interrupted_by_user <- "scsystems: interrupted by the user"

# One function or a list of them, as Python functions.
python_callbacks <- function(callbacks, call = caller_env()) {
  if (is.function(callbacks)) callbacks <- list(callbacks)
  if (!all(vapply(callbacks, is.function, NA))) {
    abort_input(c("{.arg train}: {.field callbacks} must be a function or a list of functions.",
                  x = "Found {.obj_type_friendly {callbacks}}."), call = call)
  }
  if (length(callbacks)) lapply(callbacks, python_callback)
}

format_loss <- function(losses) {
  loss <- losses[["train_loss"]] %||% losses[[1]]
  paste("loss", format(loss, digits = 5))
}
