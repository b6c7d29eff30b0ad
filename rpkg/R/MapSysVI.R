#' Map new cells onto a trained model
#'
#' Embeds a query, such as a new sample, in the latent space of a model that [RunSysVI()] has
#' trained, without training it anew (architecture surgery): samples that the model has not seen
#' get weights of their own, which are trained on the query while everything else stays as it is.
#' Cells of the reference keep their place. Optionally the labels of the reference are transferred.
#'
#' The query needs the columns that the model was trained with (the system and the covariates),
#' and the same gene names. Genes it lacks are filled in with their means in the reference. A new
#' system cannot be mapped: it has to take part in training.
#'
#' Where the query brings no new levels of covariates, nothing is left to train and nothing is.
#'
#' @inheritParams RunSysVI
#' @param query A Seurat object or a SingleCellExperiment with the new cells.
#' @param model The trained model: its folder, what [LoadSysVI()] gave, or the object that
#'   [RunSysVI()] has written to.
#' @param name,dimred Name of the reduction whose model is taken, where `model` is an object with
#'   several; `NULL` for the one made last. In the method for a SingleCellExperiment `name` is the
#'   new reducedDim's and `dimred` chooses the model.
#' @param labels Column of the reference's metadata with labels to transfer by neighbors, such as
#'   `"cell_type"`; needs `reference`. A model that was told labels by [RunSysVI()] needs neither.
#' @param reference A Seurat object or a SingleCellExperiment with the labeled cells, which fit the
#'   model. The assay that the model was trained on is read, or else the default assay (Seurat) or
#'   `"logcounts"`.
#' @param n.neighbors Number of the nearest reference cells that vote for a label.
#' @param min.confidence Cells whose fraction of votes is smaller get no label (`NA`).
#' @param max.missing Largest fraction of the model's genes that the query may lack.
#' @param fill What stands for a gene that the query lacks: `"mean"` (its mean in the reference) or
#'   `"zero"`.
#' @param assay,assay.type Assay of the query with log-normalized expression or counts; `NULL` for
#'   the one that the model was trained on, or else the default assay (Seurat) or `"logcounts"`.
#'   Counts are normalized as the model's cells were, and values on another scale are brought to the
#'   model's, with a warning.
#' @param reduction.name,reduction.key Name and key of the reduction that is made; the key is
#'   derived from the name when `NULL`.
#' @param max.epochs Number of epochs; `NULL` for the default, 0 for no training: new samples are
#'   then taken for average ones.
#' @param seed.use Seed; `NULL` draws one from R's random numbers.
#' @param model.dir Folder to save the mapped model in; `NULL` for a new one.
#' @param overwrite Whether an existing reduction, columns of predictions, and a model in
#'   `model.dir` may be replaced.
#' @param control Further settings of the training: see [sysvi_options()].
#' @param ... Passed on to methods.
#'
#' @return `query` with the embedding, as [RunSysVI()] writes it. With `labels`, the metadata have
#'   the columns `predicted.<labels>` (a factor), `predicted.<labels>.confidence` (the fraction of the
#'   neighbors with that label) and `predicted.<labels>.distance` (to the neighbors, in units of
#'   what is usual within the reference: values well above one tell of cells unlike any in it).
#'   Without, and where the model was told labels, it names the cells: see [RunSysVI()].
#' @export
#' @examplesIf scsystems_ready()
#' \dontshow{options(scsystems.model.dir = tempfile("models"))}
#' cells <- simulated_cells(cells = 600)
#' # two epochs are for a page that builds quickly: leave max.epochs out
#' is_new <- cells$donor == "human1"
#' reference <- RunSysVI(cells[, !is_new], system = "species", covariates = "donor", max.epochs = 2)
#' query <- MapSysVI(cells[, is_new], reference, labels = "cell_type", reference = reference,
#'                   max.epochs = 2)
#' table(query$predicted.cell_type, query$cell_type)
MapSysVI <- function(query, model, ...) UseMethod("MapSysVI")

#' @rdname MapSysVI
#' @export
MapSysVI.default <- function(query, model, ...) {
  abort_class(query, "query")
}

#' @rdname MapSysVI
#' @export
MapSysVI.Seurat <- function(query, model, labels = NULL, reference = NULL, n.neighbors = 25,
                            min.confidence = 0, max.missing = 0.5, fill = c("mean", "zero"),
                            assay = NULL, name = NULL, reduction.name = "sysvi",
                            reduction.key = NULL, max.epochs = NULL, device = "auto",
                            seed.use = 42, model.dir = NULL, overwrite = FALSE, verbose = TRUE,
                            control = sysvi_options(), ...) {
  rlang::check_dots_empty()
  reduction.name <- seurat_name(reduction.name, "reduction.name", verbose)
  settings <- list(
    labels = labels, n.neighbors = n.neighbors, min.confidence = min.confidence,
    max.missing = max.missing, fill = rlang::arg_match(fill), name = reduction.name, from = name,
    max.epochs = max.epochs, device = device, seed.use = seed.use, model.dir = model.dir,
    overwrite = overwrite, verbose = verbose, control = control
  )
  check_map_settings(settings, reference, colnames(query[[]]))
  check_reduction_name(query, reduction.name, overwrite)
  key <- choose_key(query, reduction.name, reduction.key)
  result <- map_cells(query, model, reference, assay, settings)
  assay <- result$record$input$assay
  query[[reduction.name]] <- make_reduction(result, assay, key)
  query <- add_predictions(query, result$predictions)
  model <- result$reference
  log_command(query, "MapSysVI")
}

#' @rdname MapSysVI
#' @export
MapSysVI.SingleCellExperiment <- function(query, model, labels = NULL, reference = NULL,
                                          n.neighbors = 25, min.confidence = 0,
                                          max.missing = 0.5, fill = c("mean", "zero"),
                                          assay.type = NULL, name = "SYSVI", dimred = NULL,
                                          max.epochs = NULL, device = "auto", seed.use = 42,
                                          model.dir = NULL, overwrite = FALSE, verbose = TRUE,
                                          control = sysvi_options(), ...) {
  rlang::check_dots_empty()
  settings <- list(
    labels = labels, n.neighbors = n.neighbors, min.confidence = min.confidence,
    max.missing = max.missing, fill = rlang::arg_match(fill), name = name, from = dimred,
    max.epochs = max.epochs, device = device, seed.use = seed.use, model.dir = model.dir,
    overwrite = overwrite, verbose = verbose, control = control
  )
  check_map_settings(settings, reference, colnames(SummarizedExperiment::colData(query)))
  check_sce_name(query, name, overwrite)
  result <- map_cells(query, model, reference, assay.type, settings)
  add_reduced_dim(query, name, result)
}

prediction_columns <- function(labels) {
  paste0("predicted.", labels, c(label = "", confidence = ".confidence", distance = ".distance"))
}

check_map_settings <- function(settings, reference, columns, call = caller_env()) {
  check_number(settings$max.epochs, "max.epochs", min = 0, whole = TRUE, null = TRUE, call = call)
  check_device(settings$device, call = call)
  check_number(settings$seed.use, "seed.use", min = 0, whole = TRUE, null = TRUE, call = call)
  check_flag(settings$verbose, "verbose", call = call)
  check_flag(settings$overwrite, "overwrite", call = call)
  check_options(settings$control, call = call)
  check_number(settings$n.neighbors, "n.neighbors", min = 1, whole = TRUE, call = call)
  check_number(settings$min.confidence, "min.confidence", min = 0, call = call)
  check_number(settings$max.missing, "max.missing", min = 0, call = call)
  check_string(settings$labels, "labels", null = TRUE, call = call)
  if (is.null(settings$labels) != is.null(reference)) {
    abort_input(c("{.arg labels} and {.arg reference} belong together.",
                  x = "Only {.arg {if (is.null(reference)) 'labels' else 'reference'}} is given.",
                  i = "Give the object with the labeled cells and the name of its column."),
                call = call)
  }
  if (is.null(reference)) return(invisible())
  if (!holds_cells(reference)) {
    abort_class(reference, "reference", call = call)
  }
  check_free(prediction_columns(settings$labels), columns, settings$overwrite, "the query", call = call)
}

# What every MapSysVI method does: embedding and record as fit_anndata() gives them, and with
# labels a data frame of predictions, named by cell.
map_cells <- function(query, model, reference, assay, settings, call = caller_env()) {
  verbose <- settings$verbose
  folder <- model_folder(settings$model.dir, settings$name, settings$overwrite, call = call)
  opened <- open_model(model, settings$from, settings$device, verbose, call = call)
  facts <- opened$facts
  target_sum <- settings$control$target_sum
  source <- cells_source(query, assay, facts$input, call = call)
  if (is.null(reference) && length(facts$labels)) {
    check_free(told_columns(facts$labels), colnames(source$obs), settings$overwrite, "the query", call = call)
  }
  if (!is.null(reference)) {
    there <- cells_source(reference, NULL, facts$input, argument = "reference", call = call)
    check_fits(facts, there$genes, there$obs, there$where, call = call)
    check_labeled(there, settings, call = call)
    labeled <- model_cells(there, facts, extra = settings$labels, verbose = verbose, call = call)
  }
  data <- model_expression(source, facts, TRUE, target_sum, verbose, call = call)
  adata <- send_to_model(data, source, facts, call = call)
  names_of <- reticulate::py_to_r(call_bridge("describe_anndata", adata, .call = call))
  cells <- as.character(unlist(names_of$cells))
  lacking <- length(setdiff(facts$genes, source$genes))
  if (lacking) {
    inform(verbose, c(i = "The query lacks {lacking} of the model's {length(facts$genes)} genes ({sprintf('%.1f', 100 * lacking / length(facts$genes))} %): filled in with {if (settings$fill == 'mean') 'their means' else 'zeros'}."))
  }
  inform(verbose, c(i = "Mapping {length(cells)} cell{?s} onto the model."))
  seed <- settings$seed.use %||% sample.int(.Machine$integer.max, 1)
  train <- train_arguments(settings$max.epochs, cycle.weight = NULL, seed, settings$control)
  started <- Sys.time()
  mapped <- call_bridge(
    "map_query", opened$handle, adata,
    prepare = list(max_missing = as.double(settings$max.missing), fill = settings$fill),
    train = train, device = settings$device,
    callback = if (verbose) python_callback(epoch_reporter("Mapping with sysVI")),
    .call = call
  )
  seconds <- as.double(Sys.time() - started, units = "secs")
  embedding <- reticulate::py_to_r(
    call_bridge("latent", mapped, give_mean = settings$control$give_mean, .call = call)
  )
  rownames(embedding) <- cells
  predictions <- if (!is.null(reference)) {
    predict_labels(mapped, labeled, cells, settings, call = call)
  } else if (length(facts$labels)) {
    told_labels(mapped, facts$labels, cells, call = call)
  }
  described <- reticulate::py_to_r(call_bridge("describe", mapped, .call = call))
  history <- new_history(described, seconds = seconds, seed = seed, cells = length(cells))
  inform(verbose, c(v = "{if (nrow(history$metrics)) paste('Trained', nrow(history$metrics), 'epochs of') else 'No new samples to train: placed'} the query in {prettyunits(seconds)}."))
  kept <- keep_model(mapped, folder, data$input, verbose, call = call)
  list(embedding = embedding, predictions = predictions, reference = facts$path,
       record = new_record(kept, history, facts$genes, data$input))
}

# Fewer labels than neighbors would be found out after the training.
check_labeled <- function(source, settings, call = caller_env()) {
  check_columns(settings$labels, "labels", source$obs, "the reference's metadata", call = call)
  labeled <- sum(!is.na(source$obs[source$cells, settings$labels]))
  if (labeled > settings$n.neighbors) return(invisible())
  abort_input(c("{.arg n.neighbors} must be smaller than the number of labeled cells.",
                x = "Found {settings$n.neighbors}, and {labeled} cell{?s} of the reference {?has/have} a label in {.val {settings$labels}}."),
              call = call)
}

predict_labels <- function(mapped, labeled, cells, settings, call = caller_env()) {
  parts <- reticulate::py_to_r(call_bridge(
    "transfer_labels", mapped, settings$labels, labeled, as.integer(settings$n.neighbors),
    as.double(settings$min.confidence), .call = call
  ))
  found <- frame_from_parts(parts, row.names = cells)
  stats::setNames(found, prediction_columns(settings$labels))
}
