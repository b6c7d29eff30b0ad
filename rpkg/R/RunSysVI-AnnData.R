#' @rdname RunSysVI
#' @param layer Layer of the AnnData with the expression; `NULL` for `X`.
#' @export
RunSysVI.python.builtin.object <- function(object, system = "system", covariates = NULL,
                                           features = NULL, name = "X_sysvi", layer = NULL,
                                           dims = 15, cycle.weight = NULL, max.epochs = NULL,
                                           device = "auto", seed.use = 42, model.dir = NULL,
                                           overwrite = FALSE, verbose = TRUE,
                                           control = sysvi_options(), labels = NULL,
                                           unlabeled = NULL, ...) {
  rlang::check_dots_empty()
  settings <- list(
    system = system, covariates = covariates, features = features, name = name, dims = dims,
    cycle.weight = cycle.weight, max.epochs = max.epochs, device = device, seed.use = seed.use,
    model.dir = model.dir, overwrite = overwrite, verbose = verbose, control = control,
    labels = labels, unlabeled = unlabeled
  )
  check_settings(settings)
  check_string(name, "name")
  check_string(layer, "layer", null = TRUE)
  check_obsm_name(name)
  folder <- model_folder(model.dir, name, overwrite)
  adata <- call_bridge("anndata_for_training", object, layer = layer,
                       features = if (!is.null(features)) text_list(features))
  facts <- reticulate::py_to_r(call_bridge("describe_anndata", object))
  if (name %in% unlist(facts$obsm) && !overwrite) {
    abort_input(c("{.arg name}: the AnnData has {.code obsm[{.val {name}}]} already.",
                  i = "Choose another name, or use {.code overwrite = TRUE}."))
  }
  obs <- anndata_obs(object, c(system, covariates, control$continuous_covariates, labels), facts)
  check_system(system, obs, "the AnnData's obs")
  check_covariates(covariates, control$continuous_covariates, system, obs, "the AnnData's obs")
  check_labels(settings, obs, "the AnnData's obs")
  source <- anndata_source(object, layer, facts)
  logs <- judge_anndata(source, object, layer, c(system, covariates))
  plan <- decide_scale(logs, logs, source, control$target_sum, NULL, verbose)
  call_bridge("scale_anndata", adata, object, layer, buffer(source$cells %in% plan$raw),
              plan$scale$target_sum, plan$scale$base)
  result <- fit_anndata(adata, source$cells, settings, folder, plan$input)
  record <- result$record
  call_bridge("store_in_anndata", object, name, result$embedding, list(
    model = if (is.na(record$model)) "" else record$model,
    features = text_list(record$features),
    history = lapply(record$history$metrics, buffer),
    facts = record$history[setdiff(names(record$history), "metrics")],
    input = drop_null(record$input), made = as.double(record$made)
  ), predictions = if (!is.null(result$predictions)) frame_to_parts(result$predictions))
  object
}

# The AnnData as a source, without its expression: that stays in Python.
anndata_source <- function(object, layer, facts) {
  list(
    object = "AnnData", assay = layer, cells = as.character(unlist(facts$cells)),
    where = if (is.null(layer)) "the AnnData" else cli::format_inline("layer {.val {layer}}"),
    remedy = "scanpy.pp.normalize_total(adata); scanpy.pp.log1p(adata)"
  )
}

# What its expression holds, see judge_layer().
judge_anndata <- function(source, object, layer, by, call = caller_env()) {
  found <- reticulate::py_to_r(call_bridge("judge_anndata", object, layer, text_list(by),
                                           .call = call))
  judged_cells(found, source$cells, uncode(as.vector(found$group)))
}

# Files of AnnData have folders inside, which a slash would make.
check_obsm_name <- function(name, call = caller_env()) {
  if (!grepl("/", name, fixed = TRUE)) return(invisible())
  abort_input(c("{.arg name}: {.val {name}} has a slash, with which the AnnData could not be written to a file.",
                i = "Use {.val {gsub('/', '_', name, fixed = TRUE)}}, for example."), call = call)
}

# The columns of obs that are needed, as a data frame with the names of all columns known.
anndata_obs <- function(object, wanted, facts, call = caller_env()) {
  present <- as.character(unlist(facts$columns))
  wanted <- intersect(wanted, present)
  parts <- reticulate::py_to_r(call_bridge("obs_parts", object, text_list(wanted), .call = call))
  obs <- frame_from_parts(parts, row.names = make.unique(as.character(unlist(facts$cells))))
  # the other columns are named in messages only
  for (column in setdiff(present, wanted)) obs[[column]] <- NA
  obs
}

anndata_records <- function(object) {
  records <- reticulate::py_to_r(call_bridge("records_in_anndata", object))
  lapply(records, function(record) {
    metrics <- as.data.frame(lapply(record$history, as.vector), optional = TRUE)
    metrics$epoch <- as.integer(metrics$epoch)
    facts <- lapply(record$facts, as.vector)
    whole <- c("seed", "cells", "genes")
    facts[whole] <- lapply(facts[whole], as.integer)
    history <- structure(c(list(metrics = metrics), facts), class = "sysvi_history")
    path <- as.vector(record$model)
    kept <- list(model = if (nzchar(path)) path else NA_character_, made = as_time(record$made))
    new_record(kept, history,
               as.character(record$features), as_input(record$input))
  })
}
