#' Choose settings of sysVI
#'
#' Trains [RunSysVI()]'s model with every setting and seed, measures every run, and ranks the
#' settings as the paper does: `0.6 * biology + 0.4 * mixing`, each scaled over all runs. With
#' labels biology is NMI and Moran's I; without, it is judged by criteria that need none: clusters
#' that every sample forms on its own are kept, cells that meet across systems express the same
#' genes, and the variation within those clusters is kept. Needs the Python package scib-metrics:
#' `install_scsystems(extras = "metrics")`.
#'
#' Runs are trained several at a time, see `n.jobs`. With `folder` every finished run is kept: a
#' search that was cut off, or that gets more settings or seeds, goes on from there. It can be
#' interrupted (Ctrl-C, Escape): what has been trained is compared.
#'
#' @inheritParams RunSysVI
#' @inheritParams EvaluateIntegration
#' @param grid What to compare: a named list of values, of which all combinations are taken, or a
#'   list of settings, each a named list (a `name` among them names the setting). Names are those of
#'   [RunSysVI()] (`cycle.weight`, `dims`, `max.epochs`), or of any argument in Python of `SysVI`,
#'   its `train()` and `plan_kwargs`, such as `prior` or `kl_weight`. `NULL` compares the cycle
#'   weights 1, 3, 5 and 10.
#' @param seeds Seeds; every setting is run with each.
#' @param labels Column with cell types, if there are any.
#' @param batch Column with samples; `NULL` for the first of `covariates`, else the systems.
#' @param max.epochs Number of epochs of all runs; `NULL` for the default.
#' @param biology.metrics,batch.metrics Metrics to score, see [EvaluateIntegration()]; `NULL` for
#'   those of the paper, or those that need no labels.
#' @param metrics Further metrics to compute.
#' @param min.cells Smallest label of the label transfer.
#' @param n.jobs Runs trained at a time, each in a Python process of its own, which takes about
#'   0.6 GB besides the cells; these lie in a temporary folder, for all to look at. Results are
#'   those of one run after the other. `NULL`: on the CPU as many as there are cores, on a GPU
#'   (which all would share) one.
#' @param folder Folder to keep the runs in; `NULL` keeps none.
#' @param report Path of a report with tables and figures, ending in `.html` or `.md`; `NULL` for
#'   none. Needs matplotlib: `install_scsystems(extras = "plots")`.
#' @param assay Assay with the expression: see [RunSysVI()] and, for a SingleCellExperiment, its
#'   `assay.type`.
#' @param control Settings that all runs share: see [sysvi_options()].
#'
#' @return A list of class `sysvi_tuning`, of plain R values:
#' * `ranking`: a data frame with a row per setting, the best first: `setting`, `overall` (mean over
#'   seeds), `sd`, `n_runs`, the metrics, and the `representative` run (of the median score).
#' * `runs`: a data frame with a row per run, and `metrics`: all that was measured, as
#'   [EvaluateIntegration()] gives it, with `setting` and `seed`.
#' * `best`: the best setting's `name` and `parameters`, and the `seed` of its representative run.
#' * `control`: the same as [sysvi_options()], for [RunSysVI()].
#' * `embedding`: the representative run's, cells x dimensions.
#' * `report`: the path, or `NULL`; `failed`: runs that failed and why.
#' @export
#' @examplesIf scsystems_ready("scib_metrics") && rlang::is_installed("SeuratObject")
#' \dontshow{options(scsystems.model.dir = tempfile("models"))}
#' object <- simulated_cells()
#' # one seed and two epochs are for a page that builds quickly: leave seeds and max.epochs out
#' tuned <- TuneSysVI(object, system = "species", covariates = "donor", labels = "cell_type",
#'                    grid = list(cycle.weight = c(1, 3)), seeds = 0, max.epochs = 2,
#'                    moran.min.cells = 20, n.jobs = 1)
#' tuned
#' if (rlang::is_installed("ggplot2")) plot(tuned)
#' object <- RunSysVI(object, system = "species", covariates = "donor", control = tuned$control,
#'                    seed.use = tuned$best$seed, max.epochs = 2)
TuneSysVI <- function(object, system, covariates = NULL, grid = NULL, seeds = 0:2, labels = NULL,
                      batch = NULL, features = NULL, max.epochs = NULL, biology.metrics = NULL,
                      batch.metrics = "ilisi", metrics = NULL, min.cells = 20,
                      moran.min.cells = 500, max.cells = 1e5, n.jobs = NULL, folder = NULL,
                      report = NULL, assay = NULL, device = "auto", verbose = TRUE,
                      control = sysvi_options()) {
  check_number(max.epochs, "max.epochs", min = 1, whole = TRUE, null = TRUE)
  for (argument in c("min.cells", "moran.min.cells")) {
    check_number(get(argument), argument, min = 1, whole = TRUE)
  }
  check_number(max.cells, "max.cells", min = 10, whole = TRUE, null = TRUE)
  check_number(n.jobs, "n.jobs", min = 1, whole = TRUE, null = TRUE)
  for (argument in c("folder", "report")) check_string(get(argument), argument, null = TRUE)
  check_device(device)
  check_flag(verbose, "verbose")
  check_options(control)
  if (!is.null(report) && !grepl("[.](html|md)$", report)) {
    abort_input(c("{.arg report} must end in {.val .html} or {.val .md}.",
                  x = "Found {.val {report}}."))
  }
  if (!is.numeric(seeds) || !length(seeds) || anyDuplicated(seeds) || any(seeds != round(seeds))) {
    abort_input("{.arg seeds} must be whole numbers, every one different.")
  }
  source <- cells_source(object, assay)
  check_evaluated(source, system, labels, batch)
  check_covariates(covariates, control$continuous_covariates, system, source$obs,
                   "the cells' metadata")
  check_features(features, source$genes)
  settings <- tuning_settings(grid, control, max.epochs)
  adata <- send_tuning(source, features, system, covariates, c(labels, batch), control, verbose)
  runs <- tuning_runs(settings, seeds)
  inform(verbose, c(i = "Training and measuring {runs} run{?s}."))
  found <- reticulate::py_to_r(call_bridge(
    "tune", adata, setup = setup_arguments(list(system = system, covariates = covariates), control),
    grid = settings,
    arguments = drop_null(list(
      seeds = as.list(as.integer(seeds)), label_key = labels, batch_key = batch,
      folder = if (!is.null(folder)) path.expand(folder),
      metrics = if (length(metrics)) as.list(metrics),
      biology = if (length(biology.metrics)) as.list(biology.metrics),
      batch = as.list(batch.metrics), min_cells = as.integer(min.cells),
      moran_min_cells = as.integer(moran.min.cells), max_cells = whole_or_null(max.cells),
      n_jobs = whole_or_null(n.jobs)
    )),
    device = device, report = if (!is.null(report)) path.expand(report),
    callback = if (verbose) python_callback(run_reporter())
  ))
  cells <- reticulate::py_to_r(call_bridge("describe_anndata", adata))$cells
  new_tuning(found, as.character(unlist(cells)), labels, control)
}

# R's words of RunSysVI() as Python's.
tuning_names <- c(cycle.weight = "z_distance_cycle_weight", dims = "n_latent",
                  max.epochs = "max_epochs")

# Python's grid: the shared settings are part of every setting.
tuning_settings <- function(grid, control, max.epochs, call = caller_env()) {
  grid <- grid %||% list(cycle.weight = c(1, 3, 5, 10))
  if (!is.list(grid) || !length(grid)) {
    abort_input(c("{.arg grid} must be a named list of values, or a list of settings.",
                  x = "Found {.obj_type_friendly {grid}}.",
                  i = "For example {.code list(cycle.weight = c(1, 3, 5))}."), call = call)
  }
  shared <- tuning_shared(control, max.epochs)
  if (is.null(names(grid))) {
    return(lapply(grid, function(setting) {
      if (!is.list(setting) || !rlang::is_named(setting)) {
        abort_input(c("{.arg grid} must be a list of settings, each a named list.",
                      x = "Found {.obj_type_friendly {setting}}."), call = call)
      }
      setting <- python_names(setting)
      c(shared[setdiff(names(shared), names(setting))], setting)
    }))
  }
  grid <- python_names(grid)
  shared <- shared[setdiff(names(shared), names(grid))]
  lapply(c(shared, grid), as.list)
}

python_names <- function(setting) {
  known <- intersect(names(setting), names(tuning_names))
  names(setting)[match(known, names(setting))] <- tuning_names[known]
  setting
}

# What all runs share, by Python's names: the settings of sysvi_options() that are not its defaults.
tuning_shared <- function(control, max.epochs, call = caller_env()) {
  # how the cells are prepared is not part of a run
  apart <- c("n_top_genes", "min_cells", "hvg_merge", "keep", "target_sum", "features",
             "continuous_covariates", "weight_batches", "model", "train", "plan", "give_mean", "pseudoinputs")
  defaults <- sysvi_options()
  for (name in c("give_mean", "pseudoinputs")) {
    if (identical(control[[name]], defaults[[name]])) next
    abort_input("{.arg control}: {.field {name}} cannot be tuned with.", call = call)
  }
  names <- setdiff(names(control), apart)
  given <- names[!vapply(names, function(n) identical(control[[n]], defaults[[n]]), NA)]
  shared <- c(control[given], control$model, control$train, control$plan)
  shared$max_epochs <- max.epochs %||% shared$max_epochs
  shared
}

tuning_runs <- function(settings, seeds) {
  length(seeds) * if (is.null(names(settings))) length(settings) else prod(lengths(settings))
}

# Python's AnnData of the cells, with the genes that are trained on.
send_tuning <- function(source, features, system, covariates, further, control, verbose,
                        call = caller_env()) {
  check_names(source$genes, "gene", "Give every gene a name of its own.", call = call)
  data <- read_expression(source, features, by = c(system, covariates),
                          target_sum = control$target_sum, verbose = verbose, call = call)
  data$obs <- source$obs[colnames(data$matrix), , drop = FALSE]
  settings <- list(system = system, covariates = unique(c(covariates, further)), control = control)
  adata <- send_expression(data, settings, call = call)
  if (!is.null(features)) return(adata)
  settings$covariates <- covariates
  choose_features(adata, settings, call = call)
}

run_reporter <- function() {
  function(done, runs, text) {
    cli::cli_inform("Run {done} of {runs}: {text}", class = "scsystems_message")
    NULL
  }
}

new_tuning <- function(found, cells, labels, control) {
  tables <- c("ranking", "runs", "metrics")
  found[tables] <- lapply(found[tables], frame_from_parts)
  best <- found$best
  for (part in c("model", "train", "plan")) {
    control[[part]] <- utils::modifyList(control[[part]], as.list(best[[part]]))
  }
  rownames(found$embedding) <- cells
  structure(list(
    ranking = found$ranking, runs = found$runs,
    metrics = new_evaluation(found$metrics, labels),
    best = list(name = best$name, parameters = best$parameters, seed = found$seed),
    representative = found$representative, control = control, embedding = found$embedding,
    scored = lapply(found$scored, function(x) as.character(unlist(x))),
    failed = unlist(found$failed), report = found$report
  ), class = "sysvi_tuning")
}

#' @param x What `TuneSysVI()` returned.
#' @param ... Ignored.
#' @rdname TuneSysVI
#' @export
print.sysvi_tuning <- function(x, ...) {
  cli::cat_line("<sysvi_tuning> ", nrow(x$ranking), " settings, ", nrow(x$runs), " runs; best: ",
                x$best$name)
  columns <- c("setting", "overall", "sd", x$scored$batch, x$scored$biology)
  shown <- x$ranking[intersect(columns, names(x$ranking))]
  print(shown, digits = 3, row.names = FALSE)
  if (length(x$failed)) cli::cat_line("  failed: ", paste(names(x$failed), collapse = "; "))
  if (!is.null(x$report)) cli::cat_line("  report: ", x$report)
  invisible(x)
}

#' @param palette Colors of the settings, by name or in the order of the ranking; `NULL` for
#'   ggplot2's.
#' @rdname TuneSysVI
#' @export
plot.sysvi_tuning <- function(x, batch.metric = NULL, biology.metric = NULL, palette = NULL, ...) {
  rlang::check_installed("ggplot2", reason = "to draw settings")
  batch.metric <- batch.metric %||% x$scored$batch[[1]]
  biology.metric <- biology.metric %||% x$scored$biology[[1]]
  chosen_of(c(batch.metric, biology.metric), "batch.metric and biology.metric",
            names(Filter(is.numeric, x$runs)))
  names <- x$ranking$setting
  points <- data.frame(setting = factor(x$runs$setting, levels = names),
                       x = x$runs[[batch.metric]], y = x$runs[[biology.metric]])
  means <- stats::aggregate(cbind(x, y) ~ setting, points, mean)
  ggplot2::ggplot(points, ggplot2::aes(.data$x, .data$y, color = .data$setting)) +
    ggplot2::geom_point(size = 1.5, alpha = 0.7) +
    ggplot2::geom_point(data = means, shape = 4, size = 4, stroke = 1.2) +
    named_colors(palette, names) +
    ggplot2::labs(x = paste0("Mixing of systems (", batch.metric, ")"),
                  y = paste0("Biology (", biology.metric, ")"), color = "Best first",
                  caption = "Dots: runs. Crosses: means over seeds.") +
    ggplot2::theme_minimal()
}
