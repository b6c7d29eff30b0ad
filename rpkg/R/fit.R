# The way every RunSysVI method takes: expression and columns go to Python, the model is trained,
# embedding and record come back. `data` is what a method has taken out of its object:
#   matrix   genes x cells
#   totals   NULL, or every cell's total when the matrix holds counts
#   obs      data frame of the cells
# `settings` are the arguments of RunSysVI() that all methods share.

fit_sysvi <- function(data, settings, call = caller_env()) {
  check_settings(settings, call = call)
  adata <- send_expression(data, settings, call = call)
  fit_anndata(adata, rownames(data$obs), settings, call = call)
}

check_settings <- function(settings, call = caller_env()) {
  check_number(settings$dims, "dims", min = 1, whole = TRUE, call = call)
  check_number(settings$cycle.weight, "cycle.weight", min = 0, null = TRUE, call = call)
  check_number(settings$max.epochs, "max.epochs", min = 1, whole = TRUE, null = TRUE, call = call)
  check_device(settings$device, call = call)
  check_number(settings$seed.use, "seed.use", min = 0, whole = TRUE, null = TRUE, call = call)
  check_flag(settings$verbose, "verbose", call = call)
  check_flag(settings$overwrite, "overwrite", call = call)
  check_options(settings$control, call = call)
}

# Check what a method took out of its object, and build Python's AnnData from it.
send_expression <- function(data, settings, call = caller_env()) {
  control <- settings$control
  columns <- c(settings$system, settings$covariates, control$continuous_covariates)
  matrix <- plain_matrix(data$matrix, call = call)
  check_names(rownames(matrix), "gene", "Give every gene a name of its own.", call = call)
  check_names(colnames(matrix), "cell", "Give every cell a name of its own.", call = call)
  check_expression(matrix, call = call)
  obs <- as_categories(data$obs[, columns, drop = FALSE],
                       except = control$continuous_covariates)
  call_bridge(
    "make_anndata",
    matrix = matrix_to_parts(matrix),
    obs = frame_to_parts(obs, call = call),
    cells = text_list(colnames(matrix)),
    genes = text_list(rownames(matrix)),
    totals = if (!is.null(data$totals)) buffer(as.double(data$totals)),
    target_sum = as.double(control$target_sum),
    .call = call
  )
}

# Systems and covariates as factors without unused levels, in the order of their levels.
as_categories <- function(frame, except = NULL) {
  for (column in setdiff(colnames(frame), except)) {
    frame[[column]] <- category(frame[[column]])
  }
  frame
}

# Keep the genes that vary in every system.
choose_features <- function(adata, settings, call = caller_env()) {
  control <- settings$control
  arguments <- list(system_key = settings$system, min_cells = as.integer(control$min_cells))
  if (!is.null(control$n_top_genes)) arguments$n_top_genes <- as.integer(control$n_top_genes)
  if (length(settings$covariates)) arguments$batch_key <- settings$covariates[[1]]
  call_bridge("select_features", adata, utils::modifyList(arguments, control$features),
              preset = control$preset, .call = call)
}

# Choose features if none were given, train, and fetch what R keeps.
fit_anndata <- function(adata, cells, settings, call = caller_env()) {
  control <- settings$control
  verbose <- settings$verbose
  folder <- model_folder(settings$model.dir, settings$name, settings$overwrite, call = call)
  if (is.null(settings$features)) adata <- choose_features(adata, settings, call = call)
  shape <- unlist(reticulate::py_to_r(adata$shape))
  inform(verbose, c(i = "Training sysVI on {shape[[1]]} cell{?s} and {shape[[2]]} gene{?s}."))
  seed <- settings$seed.use %||% sample.int(.Machine$integer.max, 1)
  started <- Sys.time()
  model <- call_bridge(
    "train_sysvi", adata,
    setup = setup_arguments(settings$system, settings$covariates, control),
    model = model_arguments(settings$dims, seed, control, cells, call = call),
    train = train_arguments(settings$max.epochs, settings$cycle.weight, seed, control),
    device = settings$device,
    callback = if (verbose) python_callback(epoch_reporter("Training sysVI")),
    .call = call
  )
  seconds <- as.double(Sys.time() - started, units = "secs")
  embedding <- reticulate::py_to_r(
    call_bridge("latent", model, give_mean = control$give_mean, .call = call)
  )
  rownames(embedding) <- cells
  facts <- reticulate::py_to_r(call_bridge("describe", model, .call = call))
  path <- reticulate::py_to_r(
    call_bridge("save_model", model, folder$path, overwrite = settings$overwrite, .call = call)
  )
  history <- new_history(facts, seconds = seconds, seed = seed, cells = length(cells))
  inform(verbose, c(
    v = "{if (history$interrupted) 'Interrupted after' else 'Trained'} {nrow(history$metrics)} epoch{?s} on {.val {history$device}} in {prettyunits(seconds)}."
  ))
  if (folder$chosen) {
    inform(verbose, c(i = "The model is in {.path {path}}; choose the folder with {.arg model.dir}."))
  }
  list(embedding = embedding,
       record = list(model = path, history = history, features = as.character(facts$genes)))
}

prettyunits <- function(seconds) {
  if (seconds < 60) sprintf("%.1f s", seconds)
  else sprintf("%d min %02d s", as.integer(seconds %/% 60), as.integer(seconds %% 60))
}

# Where the model goes: the user's folder, or one of ours that is never used twice.
model_folder <- function(model.dir, name, overwrite, call = caller_env()) {
  check_string(model.dir, "model.dir", null = TRUE, call = call)
  if (is.null(model.dir)) {
    parent <- getOption("scsystems.model.dir",
                        file.path(tools::R_user_dir("scsystems", "data"), "models"))
    stamp <- format(Sys.time(), "%Y%m%d-%H%M%S")
    tail <- basename(tempfile(""))
    path <- file.path(parent, paste(gsub("[^A-Za-z0-9]+", "-", name), stamp, tail, sep = "-"))
  } else {
    path <- path.expand(model.dir)
    if (dir.exists(path) && length(dir(path, all.files = TRUE, no.. = TRUE)) && !overwrite) {
      abort_input(c(
        "{.arg model.dir}: {.path {path}} is there already and is not empty.",
        i = "Choose another folder, or use {.code overwrite = TRUE}."
      ), call = call)
    }
  }
  parent <- dirname(path)
  made <- dir.exists(parent) || dir.create(parent, recursive = TRUE, showWarnings = FALSE)
  if (!made || file.access(parent, 2) != 0) {
    abort_input(c("{.arg model.dir}: {.path {parent}} cannot be written to.",
                  i = "Choose another folder with {.arg model.dir}."), call = call)
  }
  list(path = path, chosen = is.null(model.dir))
}
