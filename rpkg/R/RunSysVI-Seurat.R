#' @rdname RunSysVI
#' @param assay Assay with the expression; `NULL` for the default assay. Assays of Seurat v4 and v5
#'   work, split layers too. An `SCTAssay` does not: its values are residual-based.
#' @param reduction.name,reduction.key Name and key of the reduction that is made; the key is
#'   derived from the name when `NULL`.
#' @export
RunSysVI.Seurat <- function(object, system = "system", covariates = NULL, features = NULL,
                            assay = NULL, reduction.name = "sysvi", reduction.key = NULL,
                            dims = 15, cycle.weight = NULL, max.epochs = NULL, device = "auto",
                            seed.use = 42, model.dir = NULL, overwrite = FALSE, verbose = TRUE,
                            control = sysvi_options(), labels = NULL,
                            unlabeled = NULL, ...) {
  rlang::check_dots_empty()
  rlang::check_installed("SeuratObject")
  reduction.name <- seurat_name(reduction.name, "reduction.name", verbose)
  settings <- list(
    system = system, covariates = covariates, features = features, name = reduction.name,
    dims = dims, cycle.weight = cycle.weight, max.epochs = max.epochs, device = device,
    seed.use = seed.use, model.dir = model.dir, overwrite = overwrite, verbose = verbose,
    control = control, labels = labels, unlabeled = unlabeled
  )
  check_settings(settings)
  check_reduction_name(object, reduction.name, overwrite)
  reduction.key <- choose_key(object, reduction.name, reduction.key)
  source <- cells_source(object, assay)
  result <- fit_sysvi(source, settings)
  assay <- source$assay
  object[[reduction.name]] <- make_reduction(result, assay, reduction.key)
  object <- add_predictions(object, result$predictions)
  log_command(object, "RunSysVI")
}

# The reduction that is written, with the record of how it came about.
make_reduction <- function(result, assay, key) {
  embedding <- result$embedding
  colnames(embedding) <- paste0(key, seq_len(ncol(embedding)))
  SeuratObject::CreateDimReducObject(
    embeddings = embedding, key = key, assay = assay, misc = list(scsystems = result$record)
  )
}

# Seurat makes the names of an object's parts syntactic: known before rather than after.
seurat_name <- function(name, argument, verbose, call = caller_env()) {
  check_string(name, argument, call = call)
  check_flag(verbose, "verbose", call = call)
  made <- make.names(name)
  if (made != name) inform(verbose, c("!" = "{.arg {argument}}: in Seurat {.val {name}} is called {.val {made}}."))
  made
}

# Columns of predictions; cells that the assay does not have are NA.
add_predictions <- function(object, predictions) {
  if (is.null(predictions)) return(object)
  predictions <- predictions[colnames(object), , drop = FALSE]
  rownames(predictions) <- colnames(object)
  SeuratObject::AddMetaData(object, predictions)
}

check_reduction_name <- function(object, name, overwrite, call = caller_env()) {
  check_string(name, "reduction.name", call = call)
  if (name %in% SeuratObject::Reductions(object)) {
    if (overwrite) return(invisible())
    abort_input(c("{.arg reduction.name}: the object has a reduction {.val {name}} already.",
                  i = "Choose another name, or use {.code overwrite = TRUE}."), call = call)
  }
  if (name %in% names(object)) {
    abort_input(c("{.arg reduction.name}: {.val {name}} is the name of another part of the object.",
                  i = "Choose another name."), call = call)
  }
}

# A key no other part of the object has: two alike make Seurat's plots ignore `reduction`.
choose_key <- function(object, name, key, call = caller_env()) {
  check_string(key, "reduction.key", null = TRUE, call = call)
  keys <- SeuratObject::Key(object)
  taken <- keys[names(keys) != name]
  if (is.null(key)) {
    stem <- gsub("[^A-Za-z0-9]", "", name)
    # v5 wants a letter in front
    if (!grepl("^[A-Za-z]", stem)) stem <- paste0("sysvi", stem)
    candidates <- paste0(c(stem, paste0(stem, "x", seq_len(length(taken) + 1))), "_")
    return(setdiff(candidates, taken)[[1]])
  }
  v5 <- utils::packageVersion("SeuratObject") >= "5"
  if (!grepl(if (v5) "^[A-Za-z][A-Za-z0-9]*_$" else "^[A-Za-z0-9]+_$", key)) {
    abort_input(c("{.arg reduction.key} must be letters and digits{if (v5) ', a letter first' else ''}, then one underscore.",
                  x = "Found {.val {key}}.", i = "For example {.val sysvi_}."), call = call)
  }
  if (key %in% taken) {
    abort_input(c("{.arg reduction.key}: {.val {key}} is the key of {.val {names(taken)[taken == key]}} already.",
                  i = "Choose another, or leave {.arg reduction.key} out."), call = call)
  }
  key
}
