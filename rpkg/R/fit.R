# The way every RunSysVI method takes: expression and columns go to Python, the model is trained,
# embedding and record come back. `settings` are the arguments of RunSysVI() that all methods share.

fit_sysvi <- function(source, settings, where = "the object's metadata", call = caller_env()) {
  folder <- model_folder(settings$model.dir, settings$name, settings$overwrite, call = call)
  data <- training_data(source, settings, where, call = call)
  adata <- send_expression(data, settings, call = call)
  fit_anndata(adata, rownames(data$obs), settings, folder, data$input, call = call)
}

# What goes to Python, see read_expression(), with `obs`, the data frame of the cells.
training_data <- function(source, settings, where, call = caller_env()) {
  continuous <- settings$control$continuous_covariates
  check_system(settings$system, source$obs, where, call = call)
  check_covariates(settings$covariates, continuous, settings$system, source$obs, where, call = call)
  check_labels(settings, source$obs, where, call = call)
  check_names(source$genes, "gene", "Give every gene a name of its own.", call = call)
  check_features(settings$features, source$genes, call = call)
  data <- read_expression(source, settings$features, by = c(settings$system, settings$covariates),
                          target_sum = settings$control$target_sum, verbose = settings$verbose,
                          call = call)
  data$obs <- source$obs[colnames(data$matrix), , drop = FALSE]
  if (!is.null(settings$features)) check_expressed(data, settings$system, call = call)
  data
}

# Features that a whole system lacks are names that it does not use.
check_expressed <- function(data, system, call = caller_env()) {
  filled <- tapply(colSums(data$matrix), category(data$obs[[system]]), sum)
  silent <- names(filled)[filled %in% 0]
  if (!length(silent)) return(invisible())
  abort_input(c("{.arg features}: none of the {nrow(data$matrix)} gene{?s} is found in any cell of {.val {silent}}.",
                x = "For example {.val {utils::head(rownames(data$matrix), 3)}}.",
                i = "The systems need the same gene names: translate them by one-to-one orthologs first."),
              call = call)
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
  columns <- c(settings$system, settings$covariates, control$continuous_covariates,
               settings$labels)
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
    target_sum = data$scale$target_sum, base = data$scale$base, .call = call
  )
}

# Systems, covariates and labels as factors without unused levels, in the order of their levels.
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
  arguments$hvg_merge <- control$hvg_merge
  if (!is.null(control$n_top_genes)) arguments$n_top_genes <- as.integer(control$n_top_genes)
  if (!is.null(control$keep)) arguments$keep <- as.list(control$keep)
  if (length(settings$covariates)) arguments$batch_key <- settings$covariates[[1]]
  call_bridge("select_features", adata, utils::modifyList(arguments, control$features),
              preset = control$preset, .call = call)
}

# Choose features if none were given, train, and fetch what R keeps.
fit_anndata <- function(adata, cells, settings, folder, input, call = caller_env()) {
  control <- settings$control
  verbose <- settings$verbose
  if (is.null(settings$features)) adata <- choose_features(adata, settings, call = call)
  shape <- unlist(reticulate::py_to_r(adata$shape))
  inform(verbose, c(i = "Training sysVI on {shape[[1]]} cell{?s} and {shape[[2]]} gene{?s}."))
  seed <- settings$seed.use %||% sample.int(.Machine$integer.max, 1)
  started <- Sys.time()
  model <- call_bridge(
    "train_sysvi", adata,
    setup = setup_arguments(settings, control),
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
  predictions <- if (!is.null(settings$labels)) {
    told_labels(model, settings$labels, cells, call = call)
  }
  facts <- reticulate::py_to_r(call_bridge("describe", model, .call = call))
  history <- new_history(facts, seconds = seconds, seed = seed, cells = length(cells))
  inform(verbose, c(
    v = "{if (history$interrupted) 'Interrupted after' else 'Trained'} {nrow(history$metrics)} epoch{?s} on {.val {history$device}} in {prettyunits(seconds)}."
  ))
  kept <- keep_model(model, folder, input, verbose, call = call)
  list(embedding = embedding, predictions = predictions,
       record = new_record(kept, history, as.character(facts$genes), input))
}

prettyunits <- function(seconds) {
  if (seconds < 60) sprintf("%.1f s", seconds)
  else sprintf("%d min %02d s", as.integer(seconds %/% 60), as.integer(seconds %% 60))
}
