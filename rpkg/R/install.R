#' Install what scsystems needs of Python
#'
#' Makes a Python environment called `r-scsystems` with torch and the other packages the models are
#' written with. It is found by itself afterwards: no setting is needed. The code of scsystems itself
#' is not installed there; it comes with the R package, so that versions always match.
#'
#' With reticulate 1.41 or newer and access to the internet this is not necessary: reticulate then
#' puts together what is needed when it is first used.
#'
#' @param method `"virtualenv"`, or `"conda"`.
#' @param envname Name of the environment. Under another name than `"r-scsystems"` it has to be
#'   chosen in every session, with [reticulate::use_virtualenv()].
#' @param gpu Which build of torch: `TRUE` for NVIDIA GPUs, `FALSE` for the (much smaller) one for
#'   CPUs. `NULL` asks for the GPU build where `nvidia-smi` is found. Has no effect on macOS, where
#'   every build can use the GPU.
#' @param python Python to make the environment with; `NULL` lets reticulate choose.
#' @param torch What to ask pip for, such as `"torch==2.9.1"`; `NULL` for the newest.
#' @param torch_index Address of the index that has torch; `NULL` for PyTorch's own index of CPU
#'   builds when `gpu` is `FALSE`, and pip's usual one otherwise. `""` for pip's usual one.
#' @param extras Further packages: `"metrics"` for [EvaluateIntegration()] and [TuneSysVI()]
#'   (scib-metrics), `"plots"` for the report of [TuneSysVI()] (matplotlib), `"relevance"` for
#'   [RelevantGenes()] (captum).
#' @param dry_run Only return what would be done.
#'
#' @return Invisibly, a list with `envname`, `python`, `packages` and `pip_options`.
#' @export
#' @examples
#' str(install_scsystems(gpu = FALSE, dry_run = TRUE))
install_scsystems <- function(method = c("virtualenv", "conda"), envname = "r-scsystems",
                              gpu = NULL, python = NULL, torch = NULL, torch_index = NULL,
                              extras = character(), dry_run = FALSE) {
  method <- rlang::arg_match(method)
  check_string(envname, "envname")
  check_string(python, "python", null = TRUE)
  check_string(torch, "torch", null = TRUE)
  check_flag(dry_run, "dry_run")
  if (is.null(gpu)) gpu <- nzchar(Sys.which("nvidia-smi"))
  check_flag(gpu, "gpu")
  plan <- list(
    method = method, envname = envname, python = python,
    torch = torch %||% grep("^torch", python_packages(), value = TRUE),
    torch_options = torch_options(gpu, torch_index),
    packages = c(environment_packages(), extra_packages(extras))
  )
  if (dry_run) return(plan)
  if (reticulate::py_available(initialize = FALSE)) {
    cli::cli_inform(c(i = "Python runs already in this session: restart R afterwards."))
  }
  cli::cli_inform(c(i = "Installing into {.val {envname}}: {.val {c(plan$torch, plan$packages)}}."))
  problem <- tryCatch({
    without_library_path(create_environment(plan))
    NULL
  }, error = function(e) e)
  if (!is.null(problem)) {
    abort_python(c(
      "The environment {.val {envname}} could not be made.",
      i = "Pip's own words are above. {.arg torch}, {.arg torch_index} and {.arg python} change what is asked for.",
      i = if (method == "virtualenv") "On Debian and Ubuntu, {.code apt-get install python3-venv python3-pip} may be missing."
    ), parent = problem)
  }
  cli::cli_inform(c(v = "Done. {.run scsystems::scsystems_sitrep()} shows how things stand."))
  invisible(plan)
}

# Everything but torch, with a numpy this reticulate can use.
environment_packages <- function() {
  packages <- grep("^torch", python_packages(), value = TRUE, invert = TRUE)
  if (!reticulate_is_new()) packages[grepl("^numpy", packages)] <- "numpy>=1.26,<2"
  packages
}

extra_packages <- function(extras) {
  known <- list(metrics = c("scib-metrics>=0.5.1", "igraph>=0.11.2"), plots = "matplotlib>=3.8",
                relevance = "captum>=0.7")
  unknown <- setdiff(extras, names(known))
  if (length(unknown)) {
    abort_input(c("{.arg extras}: no {.val {unknown}}.", i = "There is {.val {names(known)}}."),
                call = caller_env())
  }
  unlist(known[extras], use.names = FALSE)
}

torch_options <- function(gpu, torch_index) {
  if (is.null(torch_index)) {
    # the usual index has CPU builds for everything but Linux
    cpu_build <- !gpu && Sys.info()[["sysname"]] == "Linux"
    torch_index <- if (cpu_build) "https://download.pytorch.org/whl/cpu" else ""
  }
  if (nzchar(torch_index)) c("--index-url", torch_index) else character()
}

# R puts its own libraries on the path that other programs search, and a Python may then load a wrong
# one (of ssl, say, without which pip reaches nothing).
without_library_path <- function(expr) {
  before <- Sys.getenv("LD_LIBRARY_PATH", unset = NA)
  if (!is.na(before)) {
    Sys.unsetenv("LD_LIBRARY_PATH")
    on.exit(Sys.setenv(LD_LIBRARY_PATH = before))
  }
  expr
}

create_environment <- function(plan) {
  numpy <- grep("^numpy", plan$packages, value = TRUE)
  # torch first, from its own index: pip then leaves it as it is
  if (plan$method == "conda") {
    python <- plan$python
    if (!plan$envname %in% reticulate::conda_list()$name) {
      reticulate::conda_create(plan$envname, python_version = python %||% "3.11")
    }
    reticulate::conda_install(plan$envname, plan$torch, pip = TRUE,
                              pip_options = plan$torch_options)
    reticulate::conda_install(plan$envname, plan$packages, pip = TRUE)
    return(invisible())
  }
  if (!reticulate::virtualenv_exists(plan$envname)) {
    reticulate::virtualenv_create(plan$envname, python = plan$python, packages = numpy)
  }
  reticulate::virtualenv_install(plan$envname, plan$torch, pip_options = plan$torch_options)
  reticulate::virtualenv_install(plan$envname, plan$packages)
}
