# Cells that go to a saved model. `model` are the facts of LoadSysVI().

# Refuse cells that the model cannot take. A query may lack genes, which are filled in, and have
# new levels of covariates.
check_fits <- function(model, genes, obs, where, query = FALSE, call = caller_env()) {
  check_names(genes, "gene", "Give every gene a name of its own.", call = call)
  lacking <- setdiff(model$genes, genes)
  if (length(lacking) && !query) {
    abort_input(c(
      "{where} lacks {length(lacking)} of the model's {length(model$genes)} genes.",
      x = "For example {.val {utils::head(lacking, 3)}}; it has {.val {utils::head(genes, 3)}}.",
      i = "{.fn MapSysVI} maps cells with other genes onto the model."
    ), call = call)
  }
  covariates <- names(model$covariates)
  columns <- c(model$system, covariates, model$continuous_covariates)
  absent <- setdiff(columns, colnames(obs))
  if (length(absent)) {
    abort_input(c("The model needs column{?s} {.val {absent}} of the cells' metadata.",
                  x = "There {?is/are} only {.val {utils::head(colnames(obs), 20)}}."), call = call)
  }
  for (column in columns) {
    missing <- sum(missing_values(obs[[column]]))
    if (missing) {
      abort_input(c("Column {.val {column}} is NA for {missing} cell{?s}.",
                    i = "Fill in or remove these cells first."), call = call)
    }
  }
  for (column in model$continuous_covariates) {
    if (!is_number_column(obs[[column]])) {
      abort_input(c("Continuous covariate {.val {column}} is not numeric.",
                    x = "Found {.obj_type_friendly {obs[[column]]}}."), call = call)
    }
  }
  new <- setdiff(levels(category(obs[[model$system]])), model$systems)
  if (length(new)) {
    abort_input(c(
      "Column {.val {model$system}} holds {.val {new}}, which the model was not trained on.",
      x = "The model's systems are {.val {model$systems}}.",
      i = "A new system has to take part in training: run {.fn RunSysVI} on all systems together."
    ), call = call)
  }
  if (query) return(invisible())
  for (column in covariates) {
    new <- setdiff(levels(category(obs[[column]])), model$covariates[[column]])
    if (length(new)) {
      abort_input(c(
        "Column {.val {column}} holds level{?s} {.val {new}}, which the model was not trained on.",
        x = "The model knows {.val {utils::head(model$covariates[[column]], 10)}}.",
        i = "{.fn MapSysVI} maps new samples onto the model."
      ), call = call)
    }
  }
  invisible()
}

# Python's AnnData of the cells of a source, with the genes and columns that the model reads and the
# columns in `extra`.
model_cells <- function(source, model, extra = NULL, verbose = FALSE, call = caller_env()) {
  check_columns(extra, "labels", source$obs, "the cells' metadata", call = call)
  data <- model_expression(source, model, verbose = verbose, call = call)
  send_to_model(data, source, model, extra, call = call)
}

# Expression of cells that fit the model, on its scale.
model_expression <- function(source, model, query = FALSE, target_sum = NULL, verbose = FALSE,
                             call = caller_env()) {
  check_fits(model, source$genes, source$obs, source$where, query = query, call = call)
  # the first genes go along so that messages can show how genes are named
  chosen <- source$genes %in% model$genes | seq_along(source$genes) <= 3
  read_expression(source, source$genes[chosen], by = c(model$system, names(model$covariates)),
                  target_sum = target_sum, model = model$input %||% unknown_input,
                  verbose = verbose, call = call)
}

send_to_model <- function(data, source, model, extra = NULL, call = caller_env()) {
  data$obs <- source$obs[colnames(data$matrix), , drop = FALSE]
  settings <- list(
    system = model$system, covariates = c(names(model$covariates), extra),
    control = list(continuous_covariates = model$continuous_covariates)
  )
  send_expression(data, settings, call = call)
}
