# The way to Python: which one, what it lacks, and the one accessor everything goes through.
# Nothing here runs when the package is loaded.

# What our Python code imports. The same list as in pyproject.toml; lower bounds, so that uv and
# pip find what fits the machine.
python_packages <- function() {
  c("anndata>=0.11", "numba>=0.59", "numpy>=1.26", "pandas>=2.1", "safetensors>=0.4",
    "scanpy>=1.10", "scikit-learn>=1.3", "scipy>=1.11.1,<1.17;python_version<'3.12'",
    "scipy>=1.11.1;python_version>='3.12'", "torch>=2.6", "tqdm>=4.60")
}

# The names these are imported under.
python_modules <- function() {
  c(anndata = "anndata", numba = "numba", numpy = "numpy", pandas = "pandas",
    safetensors = "safetensors", scanpy = "scanpy", "scikit-learn" = "sklearn", scipy = "scipy",
    torch = "torch", tqdm = "tqdm")
}

# A function that only newer versions of a package have.
newer <- function(package, name) getExportedValue(package, name)

environment_name <- "r-scsystems"

# reticulate that asks uv for what packages need, and knows numpy 2
reticulate_is_new <- function() utils::packageVersion("reticulate") >= "1.41"

# The Python side of this package, shipped with it.
python_source <- function() system.file("python", package = "scsystems")

# The module of functions that R calls, imported when first needed.
bridge <- function(call = caller_env()) {
  if (!is.null(the$bridge) && !reticulate::py_is_null_xptr(the$bridge)) return(the$bridge)
  start_python(call = call)
  check_running(call = call)
  the$bridge <- load_bridge(call = call)
  the$bridge
}

#' The Python package scsystems
#'
#' Starts Python if it does not run yet, and gives the Python module that this package carries, for
#' what has no function in R: metrics, ortholog tables, example data. Import torch and scsystems
#' through it (rather than with [reticulate::import()]), so that torch runs at its own speed.
#'
#' @param convert Whether results are converted to R values by reticulate.
#'
#' @return A Python module.
#' @export
#' @examplesIf scsystems_ready()
#' scs <- scsystems_python()
#' adata <- scs$datasets$simulated(n_cells = 500L)
#' adata
scsystems_python <- function(convert = FALSE) {
  check_flag(convert, "convert")
  bridge()
  reticulate::import("scsystems", convert = convert)
}

#' Is there a Python that can be used?
#'
#' Whether the Python that would be used has what the models need, without starting it and without
#' installing anything: for examples, tests and pages that are to run where they can.
#' [scsystems_sitrep()] says what is wrong where the answer is `FALSE`.
#'
#' @param modules Further Python modules that are needed, such as `"scib_metrics"` for
#'   [EvaluateIntegration()].
#'
#' @return `TRUE` or `FALSE`.
#' @export
#' @examples
#' scsystems_ready()
scsystems_ready <- function(modules = character()) {
  if (!is.character(modules) || anyNA(modules)) {
    abort_input(c("{.arg modules} must be names of Python modules.",
                  x = "Found {.obj_type_friendly {modules}}."))
  }
  if (reticulate::py_available(initialize = FALSE)) {
    return(tryCatch({
      check_running()
      !length(missing_modules(modules))
    }, error = function(e) FALSE))
  }
  # a new reticulate would put a Python together when it is only asked for
  chosen <- nzchar(Sys.getenv("RETICULATE_PYTHON")) || has_environment()
  if (!chosen && reticulate_is_new()) return(FALSE)
  tryCatch({
    python <- discover_python()$python
    check_python(python, probe = probe_python(python, further = modules))
    TRUE
  }, error = function(e) FALSE)
}

# Call a function of the bridge. Its warnings become R's, its errors our conditions.
call_bridge <- function(name, ..., .call = caller_env()) {
  python <- bridge(call = .call)
  result <- python[[name]](...)
  # the envelope is a dictionary; its value stays a Python object
  part <- function(key) reticulate::py_get_item(result, key)
  for (message in unlist(reticulate::py_to_r(part("warnings")))) {
    cli::cli_warn("{message}", class = "scsystems_warning")
  }
  error <- reticulate::py_to_r(part("error"))
  if (!is.null(error)) abort_from_python(error, call = .call)
  part("value")
}

# Choose Python, see to it that it has what we need, and start it. `thorough` takes seconds longer.
start_python <- function(thorough = FALSE, call = caller_env()) {
  if (reticulate::py_available(initialize = FALSE)) return(invisible())
  config <- discover_python(call = call)
  if (!isTRUE(config$ephemeral)) check_python(config$python, thorough, call = call)
  started <- tryCatch(quiet_poetry(reticulate::py_available(initialize = TRUE)),
                      error = function(e) e)
  if (!isTRUE(started)) abort_no_python(config$python, started, call = call)
}

# A Python that runs, perhaps started by somebody else.
check_running <- function(call = caller_env()) {
  missing <- missing_modules()
  if (length(missing)) abort_missing(running_python(), missing, started = TRUE, call = call)
  if (reticulate::py_numpy_available()) return(invisible())
  broken <- broken_modules("numpy")
  if (length(broken)) abort_broken(running_python(), broken, started = TRUE, call = call)
  abort_python(c(
    "reticulate {utils::packageVersion('reticulate')} cannot use the numpy of {.file {running_python()}}.",
    i = "Versions of reticulate before 1.41 need numpy below 2: run {.run scsystems::install_scsystems()}, then restart R.",
    i = "Or update reticulate: {.code install.packages(\"reticulate\")}."
  ), call = call)
}

# The Python that will be started: one the user chose, else the environment that
# install_scsystems() made, else (new reticulate) one that uv puts together.
discover_python <- function(call = caller_env()) {
  if (has_environment()) {
    # a hint only: RETICULATE_PYTHON, use_python() and active environments come first
    reticulate::use_virtualenv(environment_name, required = FALSE)
  } else if (reticulate_is_new()) {
    prefer_torch_build()
    newer("reticulate", "py_require")(python_packages(), python_version = ">=3.10")
  }
  config <- tryCatch(quiet_poetry(reticulate::py_discover_config()), error = function(e) e)
  if (is.null(config) || inherits(config, "error")) abort_no_python(NULL, config, call = call)
  config
}

has_environment <- function() {
  tryCatch(reticulate::virtualenv_exists(environment_name), error = function(e) FALSE)
}

# uv takes torch from the index of CPU builds when the user asked for that before Python starts.
prefer_torch_build <- function() {
  if (identical(getOption("scsystems.gpu"), FALSE) && !nzchar(Sys.getenv("UV_TORCH_BACKEND"))) {
    Sys.setenv(UV_TORCH_BACKEND = "cpu")
  }
}

# Any project with a pyproject.toml makes reticulate look for Poetry and warn without need.
quiet_poetry <- function(expr) {
  withCallingHandlers(expr, warning = function(w) {
    if (grepl("poetry", conditionMessage(w), ignore.case = TRUE)) invokeRestart("muffleWarning")
  })
}

running_python <- function() {
  if (reticulate::py_available(initialize = FALSE)) reticulate::py_config()$python
}

# Refuse a Python that lacks packages BEFORE it is started: once started, it cannot be changed.
check_python <- function(python, thorough = FALSE, probe = probe_python(python, thorough),
                         call = caller_env()) {
  if (is.null(probe)) abort_no_python(python, NULL, call = call)
  if (probe$version < "3.10") {
    abort_python(c(
      "Python {probe$version} at {.file {python}} is too old: scsystems needs 3.10 or newer.",
      i = "{.run scsystems::install_scsystems()} makes an environment that has all it takes.",
      i = "To use another Python, set {.envvar RETICULATE_PYTHON} to its path before R starts."
    ), call = call)
  }
  if (length(probe$missing)) abort_missing(python, probe$missing, started = FALSE, call = call)
  if (length(probe$broken)) abort_broken(python, probe$broken, started = FALSE, call = call)
  if (probe$numpy >= 2 && !reticulate_is_new()) {
    abort_python(c(
      "reticulate {utils::packageVersion('reticulate')} cannot use numpy {probe$numpy} of {.file {python}}.",
      i = "Run {.run scsystems::install_scsystems()}: it makes an environment with a numpy that works.",
      i = "Or update reticulate to 1.41 or newer."
    ), call = call)
  }
}

# Ask a Python, in a process of its own, for its version, numpy's major version, and which modules it
# lacks; and which cannot be imported, of all (`thorough`) or of numpy, without which reticulate
# starts a Python that is of no use.
probe_python <- function(python, thorough = FALSE, further = character()) {
  imported <- if (thorough) python_modules() else "numpy"
  code <- c(
    "import importlib.util, sys",
    "def there(name):",
    "    try: return importlib.util.find_spec(name) is not None",
    "    except Exception: return False",
    sprintf("names = '%s'.split()", paste(c(python_modules(), further), collapse = " ")),
    "missing = [name for name in names if not there(name)]",
    "print('version %d.%d' % sys.version_info[:2])",
    "print('missing', *missing)",
    sprintf("for name in '%s'.split():", paste(imported, collapse = " ")),
    "    try:",
    "        if name not in missing: module = __import__(name)",
    "    except BaseException as error:",
    "        print('broken', name, type(error).__name__ + ':', ' '.join(str(error).split())[:300])",
    "    else:",
    "        if name == 'numpy' and name not in missing: print('numpy', module.__version__)"
  )
  script <- tempfile(fileext = ".py")
  on.exit(unlink(script))
  writeLines(code, script)
  # R's own library path would make Python load R's libraries
  out <- tryCatch(
    suppressWarnings(system2(python, c("-I", shQuote(script)), stdout = TRUE, stderr = FALSE,
                             env = "LD_LIBRARY_PATH=")),
    error = function(e) character()
  )
  said <- function(word) sub("^[a-z]+ ?", "", grep(paste0("^", word, "\\b"), out, value = TRUE))
  if (!length(said("version"))) return(NULL)
  broken <- said("broken")
  list(
    version = numeric_version(said("version")), missing = strsplit(said("missing"), " ")[[1]],
    numpy = as.integer(sub("[.].*", "", c(said("numpy"), "0")[[1]])),
    broken = stats::setNames(sub("^\\S+ ", "", broken), sub(" .*", "", broken))
  )
}

# Import our Python code into the running Python: torch first, see boot.py.
load_bridge <- function(call = caller_env()) {
  sys <- reticulate::import("sys", convert = FALSE)
  sys$path$insert(0L, python_source())
  tryCatch({
    reticulate::import("scsystems.r.boot", convert = FALSE)$load_torch()
    module <- reticulate::import("scsystems.r.bridge", convert = FALSE)
  }, error = function(e) {
    broken <- broken_modules()
    if (length(broken)) abort_broken(running_python(), broken, started = TRUE, call = call)
    abort_python(c("Python could not load scsystems or what it needs.",
                   i = "{.run scsystems::scsystems_sitrep()} shows the state of Python."),
                 parent = e, call = call)
  })
  check_version(call = call)
  module
}

missing_modules <- function(modules = python_modules()) {
  util <- reticulate::import("importlib.util", convert = FALSE)
  absent <- vapply(modules, function(module) {
    is.null(reticulate::py_to_r(util$find_spec(module)))
  }, logical(1))
  unname(modules[absent])
}

# Which modules cannot be imported into the running Python, and why.
broken_modules <- function(modules = python_modules()) {
  reasons <- lapply(modules, function(module) {
    tryCatch({
      reticulate::import(module, convert = FALSE)
      NULL
    }, error = function(e) gsub("\\s+", " ", trimws(conditionMessage(e))))
  })
  unlist(drop_null(stats::setNames(reasons, modules)))
}

# A scsystems that Python had loaded from elsewhere must be of this package's version.
check_version <- function(call = caller_env()) {
  found <- reticulate::py_to_r(reticulate::import("scsystems", convert = FALSE)$`__version__`)
  expected <- as.character(utils::packageVersion("scsystems"))
  if (!identical(found, expected)) {
    abort_python(c(
      "Python has loaded scsystems {found}, but this is scsystems {expected}.",
      i = "Restart R, and load the R package before importing scsystems in Python."
    ), call = call)
  }
}

# Packages of modules, and the command that installs them.
packages_of <- function(modules) names(python_modules())[match(modules, python_modules())]

pip_command <- function(python, packages, options = NULL) {
  requirements <- python_packages()[sub("[<>=].*", "", python_packages()) %in% packages]
  paste(c(python, "-m pip install", options, shQuote(requirements)), collapse = " ")
}

abort_missing <- function(python, missing, started, call = caller_env()) {
  packages <- packages_of(missing)
  pip <- pip_command(python, packages)
  abort_python(c(
    "Python at {.file {python}} lacks {.pkg {packages}}.",
    i = "{.run scsystems::install_scsystems()} makes an environment that has all it takes{if (started) ' (then restart R)' else ''}.",
    i = "Or add {cli::qty(length(packages))}{?it/them} to this Python: {.code {pip}}"
  ), call = call)
}

# `broken`: reasons, named by module.
abort_broken <- function(python, broken, started, call = caller_env()) {
  packages <- packages_of(names(broken))
  pip <- pip_command(python, packages, "--force-reinstall")
  reasons <- sprintf("%s: %s", packages, broken)
  bullets <- stats::setNames(sprintf("{reasons[[%d]]}", seq_along(reasons)), rep("x", length(reasons)))
  abort_python(c(
    "Python at {.file {python}} has {.pkg {packages}}, but cannot import {cli::qty(length(packages))}{?it/them}.",
    bullets,
    i = "{.run scsystems::install_scsystems()} makes an environment that has all it takes{if (started) ' (then restart R)' else ''}.",
    i = "Or install {cli::qty(length(packages))}{?it/them} anew: {.code {pip}}"
  ), call = call)
}

abort_no_python <- function(python, problem, call = caller_env()) {
  parent <- if (inherits(problem, "error")) problem
  abort_python(c(
    if (is.null(python)) "No Python was found." else "Python at {.file {python}} does not run.",
    i = "{.run scsystems::install_scsystems()} makes an environment with all that is needed.",
    i = "To use a Python of your own, set {.envvar RETICULATE_PYTHON} to its path before R starts."
  ), parent = parent, call = call)
}
