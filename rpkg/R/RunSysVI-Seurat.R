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
                            control = sysvi_options(), ...) {
  rlang::check_dots_empty()
  rlang::check_installed("SeuratObject")
  settings <- list(
    system = system, covariates = covariates, features = features, name = reduction.name,
    dims = dims, cycle.weight = cycle.weight, max.epochs = max.epochs, device = device,
    seed.use = seed.use, model.dir = model.dir, overwrite = overwrite, verbose = verbose,
    control = control
  )
  check_settings(settings)
  check_reduction_name(object, reduction.name, overwrite)
  reduction.key <- choose_key(object, reduction.name, reduction.key)
  assay <- seurat_assay(object, assay)
  data <- seurat_data(object, assay, settings)
  result <- fit_sysvi(data, settings)
  object[[reduction.name]] <- make_reduction(result, assay, reduction.key)
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

# `needs` says what an assay made by SCTransform does not give.
seurat_assay <- function(object, assay, call = caller_env(),
                         needs = "sysVI needs size-factor normalized, log-transformed expression") {
  check_string(assay, "assay", null = TRUE, call = call)
  assay <- assay %||% SeuratObject::DefaultAssay(object)
  found <- SeuratObject::Assays(object)
  if (!assay %in% found) {
    abort_input(c("{.arg assay}: the object has no assay {.val {assay}}.",
                  i = "It has {.val {found}}."), call = call)
  }
  if (is(object[[assay]], "SCTAssay")) {
    others <- setdiff(found, assay)
    abort_input(c(
      "{.arg assay}: {.val {assay}} was made by {.fn SCTransform}.",
      x = "{needs}, not values corrected by a model.",
      i = if (length(others)) "Use {.code assay = \"{others[[1]]}\"}."
    ), call = call)
  }
  assay
}

# Expression and metadata of the cells that an assay has.
seurat_data <- function(object, assay, settings, call = caller_env()) {
  where <- "the object's metadata"
  obs <- object[[]]
  check_system(settings$system, obs, where, call = call)
  check_covariates(settings$covariates, settings$control$continuous_covariates, settings$system,
                   obs, where, call = call)
  check_features(settings$features, rownames(object[[assay]]), call = call)
  data <- log_or_counts(
    function(layer) assay_matrix(object[[assay]], layer),
    wanted = "data", counts = "counts", features = settings$features,
    verbose = settings$verbose, where = cli::format_inline("assay {.val {assay}}"), call = call
  )
  data$obs <- obs[colnames(data$matrix), , drop = FALSE]
  data
}

# A layer of an assay, genes x cells: NULL when it is absent or empty. A split layer is put
# together; the object itself stays split.
assay_matrix <- function(assay, layer) {
  if (is(assay, "Assay")) {
    matrix <- slot(assay, layer)
  } else {
    parts <- grep(paste0("^", layer, "(\\.|$)"), seurat5("Layers")(assay), value = TRUE)
    if (!length(parts)) return(NULL)
    if (length(parts) > 1) {
      assay <- seurat5("JoinLayers")(assay, layers = layer, new = layer)
      parts <- layer
    }
    matrix <- seurat5("LayerData")(assay, layer = parts)
  }
  if (any(dim(matrix) == 0)) NULL else matrix
}

# A function of Seurat v5.
seurat5 <- function(name) newer("SeuratObject", name)

# Log-normalized expression if there is any, else counts with their totals.
log_or_counts <- function(get, wanted, counts, features, verbose, where, call = caller_env()) {
  matrix <- get(wanted)
  is_counts <- is.null(matrix)
  if (is_counts) matrix <- get(counts)
  if (is.null(matrix)) {
    abort_input(c("There is no expression in {where}.",
                  x = "Looked for {.val {wanted}} and {.val {counts}}."), call = call)
  }
  # an unnormalized v4 object has its counts in both places
  is_counts <- is_counts || looks_like_counts(matrix)
  totals <- NULL
  if (is_counts) {
    inform(verbose, c(i = "{where} holds counts only: training on log-normalized values, the object stays as it is."))
    matrix <- plain_matrix(matrix, call = call)
    totals <- colSums(matrix)
  }
  if (!is.null(features)) matrix <- matrix[features, , drop = FALSE]
  list(matrix = matrix, totals = totals)
}

# Whole numbers only, and some above one. Looks at a part of a large matrix.
looks_like_counts <- function(matrix) {
  if (!is(matrix, "CsparseMatrix") && !is.matrix(matrix)) {
    # other kinds may lie on disk: a hundred cells are enough to see
    matrix <- plain_matrix(matrix[, seq_len(min(ncol(matrix), 100)), drop = FALSE])
  }
  if (!is.matrix(matrix)) matrix <- plain_matrix(matrix)
  values <- stored_values(matrix)
  every <- max(1, length(values) %/% 1e6)
  values <- values[seq(1, length(values), by = every)]
  values <- values[is.finite(values)]
  length(values) > 0 && min(values) >= 0 && max(values) > 1 && all(values == round(values))
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
    if (!grepl("[A-Za-z]", stem)) stem <- paste0("sysvi", stem)
    candidates <- paste0(c(stem, paste0(stem, "x", seq_len(length(taken) + 1))), "_")
    return(setdiff(candidates, taken)[[1]])
  }
  if (!grepl("^[A-Za-z0-9]+_$", key)) {
    abort_input(c("{.arg reduction.key} must be letters and digits, then one underscore.",
                  x = "Found {.val {key}}.", i = "For example {.val sysvi_}."), call = call)
  }
  if (key %in% taken) {
    abort_input(c("{.arg reduction.key}: {.val {key}} is the key of {.val {names(taken)[taken == key]}} already.",
                  i = "Choose another, or leave {.arg reduction.key} out."), call = call)
  }
  key
}
