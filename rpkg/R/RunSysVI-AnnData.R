#' @rdname RunSysVI
#' @param layer Layer of the AnnData with the expression; `NULL` for `X`.
#' @export
RunSysVI.python.builtin.object <- function(object, system = "system", covariates = NULL,
                                           features = NULL, name = "X_sysvi", layer = NULL,
                                           dims = 15, cycle.weight = NULL, max.epochs = NULL,
                                           device = "auto", seed.use = 42, model.dir = NULL,
                                           overwrite = FALSE, verbose = TRUE,
                                           control = sysvi_options(), ...) {
  rlang::check_dots_empty()
  settings <- list(
    system = system, covariates = covariates, features = features, name = name, dims = dims,
    cycle.weight = cycle.weight, max.epochs = max.epochs, device = device, seed.use = seed.use,
    model.dir = model.dir, overwrite = overwrite, verbose = verbose, control = control
  )
  check_settings(settings)
  check_string(name, "name")
  check_string(layer, "layer", null = TRUE)
  adata <- call_bridge("anndata_for_training", object, layer = layer,
                       features = if (!is.null(features)) text_list(features))
  facts <- reticulate::py_to_r(call_bridge("describe_anndata", object))
  if (name %in% unlist(facts$obsm) && !overwrite) {
    abort_input(c("{.arg name}: the AnnData has {.code obsm[{.val {name}}]} already.",
                  i = "Choose another name, or use {.code overwrite = TRUE}."))
  }
  obs <- anndata_obs(object, c(system, covariates, control$continuous_covariates), facts)
  check_system(system, obs, "the AnnData's obs")
  check_covariates(covariates, control$continuous_covariates, system, obs, "the AnnData's obs")
  if (reticulate::py_to_r(call_bridge("looks_like_counts", adata))) {
    inform(verbose, c(i = "The AnnData holds counts: training on log-normalized values, the AnnData stays as it is."))
    call_bridge("normalize", adata, object, layer, target_sum = as.double(control$target_sum))
  }
  result <- fit_anndata(adata, as.character(unlist(facts$cells)), settings)
  record <- result$record
  call_bridge("store_in_anndata", object, name, result$embedding, list(
    model = record$model,
    features = text_list(record$features),
    history = lapply(record$history$metrics, buffer),
    facts = record$history[setdiff(names(record$history), "metrics")]
  ))
  object
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
    list(model = as.vector(record$model), history = history,
         features = as.character(record$features))
  })
}
