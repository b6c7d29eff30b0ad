# Errors and messages. Every error has the class "scsystems_error" and one of its own, which is
# the name of the Python class it comes from or would come from (errors.py).

# Bad data or a bad argument. `message` is a cli bullet list, filled in from the caller.
abort_input <- function(message, call = caller_env(), .envir = parent.frame()) {
  cli::cli_abort(message, class = c("scsystems_input_error", "scsystems_error"),
                 call = call, .envir = .envir)
}

# Python is missing, incomplete, or of a kind that does not work here.
abort_python <- function(message, call = caller_env(), .envir = parent.frame(), parent = NULL) {
  cli::cli_abort(message, class = c("scsystems_python_error", "scsystems_error"),
                 call = call, .envir = .envir, parent = parent)
}

inform <- function(verbose, message, .envir = parent.frame()) {
  if (verbose) cli::cli_inform(message, class = "scsystems_message", .envir = .envir)
}

# Python's error classes, the most particular first, and ours.
error_classes <- c(
  InputError = "scsystems_input_error",
  NotTrainedError = "scsystems_not_trained_error",
  NonFiniteError = "scsystems_non_finite_error",
  ModelFileError = "scsystems_model_file_error",
  StoreError = "scsystems_store_error",
  WriteError = "scsystems_write_error",
  NotSupportedError = "scsystems_not_supported_error",
  MissingExtraError = "scsystems_missing_extra_error",
  WorkerError = "scsystems_worker_error",
  DeviceMemoryError = "scsystems_device_memory_error",
  ScsystemsError = "scsystems_python_error"
)

# Say in R what went wrong in Python. `error` is the envelope's: kinds, message, traceback.
abort_from_python <- function(error, call = caller_env()) {
  kinds <- unlist(error$kinds)
  if ("KeyboardInterrupt" %in% kinds) rlang::interrupt()
  known <- intersect(names(error_classes), kinds)
  lines <- strsplit(error$message, "\n", fixed = TRUE)[[1]]
  lines <- if (length(lines)) lines else "unknown error"
  text <- sprintf("{lines[[%d]]}", seq_along(lines))  # the lines themselves may hold braces
  parent <- structure(
    class = c("scsystems_python_traceback", "error", "condition"),
    list(message = error$traceback, call = NULL)
  )
  extra <- regmatches(error$message, regexec("scsystems\\[(\\w+)\\]", error$message))[[1]][2]
  if (!is.na(extra) && "MissingExtraError" %in% kinds) {
    cli::cli_abort(c(
      "{.pkg {missing_module(error$message)}}, which this needs, is not installed in Python.",
      i = "{.code scsystems::install_scsystems(extras = \"{extra}\")} adds it to the environment {.val {environment_name}}; then restart R.",
      i = "For a Python of your own: {.code pip install {paste(shQuote(extra_packages(extra)), collapse = ' ')}}"
    ), class = c("scsystems_missing_extra_error", "scsystems_error"), call = call)
  }
  if (length(known)) {
    # Our own messages say all there is to say: the traceback stays with the condition.
    cli::cli_abort(text, class = c(error_classes[[known[[1]]]], "scsystems_error"),
                   call = call, traceback = error$traceback)
  }
  cli::cli_abort(
    c("Python failed with {.cls {kinds[[1]]}}: {lines[[1]]}",
      i = "This is likely a fault of scsystems: please report it with the traceback below."),
    class = c("scsystems_python_error", "scsystems_error"), call = call, parent = parent
  )
}

missing_module <- function(message) sub("^'([^']+)'.*", "\\1", message)
