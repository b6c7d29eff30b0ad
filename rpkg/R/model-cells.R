# Cells that go to a saved model. `model` are the facts of LoadSysVI().

holds_cells <- function(object) is(object, "Seurat") || is(object, "SingleCellExperiment")

# Where the cells of an object are: genes, obs, and `get`, which gives a layer (genes x cells) or
# NULL. `assay` is a Seurat object's assay or a SingleCellExperiment's assay.type.
cells_source <- function(object, assay = NULL, call = caller_env()) {
  if (is(object, "Seurat")) {
    rlang::check_installed("SeuratObject")
    assay <- seurat_assay(object, assay, call = call)
    return(list(
      genes = rownames(object[[assay]]), obs = object[[]], wanted = "data",
      get = function(layer) assay_matrix(object[[assay]], layer),
      where = cli::format_inline("assay {.val {assay}}")
    ))
  }
  if (is(object, "SingleCellExperiment")) {
    rlang::check_installed("SingleCellExperiment")
    check_names(colnames(object), "cell", "Give every cell a name of its own.", call = call)
    columns <- SummarizedExperiment::colData(object)
    obs <- plain_columns(columns, colnames(object))
    return(list(
      genes = rownames(object), obs = obs, wanted = assay %||% "logcounts",
      get = function(layer) sce_layer(object, layer), where = "the object"
    ))
  }
  abort_input(c("Expected a Seurat object or a SingleCellExperiment.",
                x = "Found {.obj_type_friendly {object}}."), call = call)
}

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

# Python's AnnData of an object's cells, with the genes and columns that the model reads and the
# columns in `extra`.
model_cells <- function(object, model, assay = NULL, extra = NULL, query = FALSE,
                        target_sum = 1e4, verbose = FALSE, call = caller_env()) {
  source <- cells_source(object, assay, call = call)
  check_fits(model, source$genes, source$obs, source$where, query = query, call = call)
  check_columns(extra, "labels", source$obs, "the cells' metadata", call = call)
  # the first genes go along so that messages can show how genes are named
  chosen <- source$genes %in% model$genes | seq_along(source$genes) <= 3
  data <- log_or_counts(source$get, wanted = source$wanted, counts = "counts",
                        features = source$genes[chosen], verbose = verbose, where = source$where,
                        call = call)
  data$obs <- source$obs[colnames(data$matrix), , drop = FALSE]
  settings <- list(
    system = model$system, covariates = c(names(model$covariates), extra),
    control = list(continuous_covariates = model$continuous_covariates, target_sum = target_sum)
  )
  send_expression(data, settings, call = call)
}
