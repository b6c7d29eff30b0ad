#' Look at a saved scSpecies model, or get its results again
#'
#' Reads a model that [RunScSpecies()] (or Python) has saved. With the objects it was trained on it
#' gives what [RunScSpecies()] gave; without, what there is to know of the model.
#'
#' @inheritParams RunScSpecies
#' @param model Folder of a saved model; or what [RunScSpecies()] returned, or an object it has
#'   written to.
#' @param objects The objects that the model was trained on, the same cells in the same order: a
#'   list named by species, with the context and any of the targets. `NULL` for the facts only.
#' @param name When `model` is an object: name of the reduction whose model is taken; `NULL` for the
#'   one made last.
#' @param assay Assay with the counts (`assay.type` of SingleCellExperiments); `NULL` for the one
#'   that the model was trained on. Or a list named by species.
#' @param reduction.name Name of the reduction that is made (`name` in a SingleCellExperiment's
#'   words); `NULL` for `"scspecies"` or `"SCSPECIES"`.
#' @param overwrite Whether existing reductions and columns of the same names may be replaced.
#' @param control Settings of the results: `transfer`, `novelty`, `similarity` and `differential` of
#'   [scspecies_options()].
#'
#' @return With `objects` a list of class `scspecies`, see [RunScSpecies()]; orthologs that the
#'   model was not trained on are not part of it. Otherwise a list of class `scspecies_model`, of
#'   plain R values: `path`; `species`; `genes`, `cells`, `batches` and `columns` (names of the
#'   columns with labels and batches), each a list by species; `labels` (the context's cell types);
#'   `orthologs`, `dims`, `alignment` and `history`, a [scspecies_history].
#' @export
#' @examplesIf scsystems_ready() && rlang::is_installed("SeuratObject")
#' \dontshow{options(scsystems.model.dir = tempfile("models"))}
#' cells <- simulated_species()
#' # for pages that build quickly: leave max.epochs and control out
#' result <- RunScSpecies(cells$mouse, cells$human, species = c("mouse", "human"),
#'                        labels = "cell_type", batch = "donor", orthologs = cells$orthologs,
#'                        max.epochs = 2, control = scspecies_options(n_neighbors = 5))
#' folder <- ModelPath(result)
#' LoadScSpecies(folder)
#' again <- LoadScSpecies(folder, list(mouse = cells$mouse, human = cells$human))
LoadScSpecies <- function(model, objects = NULL, assay = NULL, reduction.name = NULL,
                          device = "auto", merge = TRUE, overwrite = FALSE, verbose = TRUE,
                          control = scspecies_options(), name = NULL) {
  check_device(device)
  check_flag(verbose, "verbose")
  check_species_options(control)
  record <- scspecies_record(model, name, verbose)
  if (is.null(objects)) {
    opened <- open_scspecies(record, NULL, NULL, device = device)
    return(species_model(opened$handle, opened$facts, record$model))
  }
  check_object_list(objects)
  seurat <- is(objects[[1]], "Seurat")
  reduction.name <- reduction.name %||% if (seurat) "scspecies" else "SCSPECIES"
  if (seurat) reduction.name <- seurat_name(reduction.name, "reduction.name", verbose)
  settings <- list(
    assay = assay, name = reduction.name, dims = 1,
    device = device, merge = merge, overwrite = overwrite, verbose = verbose, control = control
  )
  opened <- open_scspecies(record, objects, assay, device = device)
  settings$labels <- opened$facts$parts[[1]]$label_key
  check_species_settings(settings)
  objects <- objects[intersect(opened$facts$species, names(objects))]
  sources <- opened$sources[names(objects)]
  check_targets_free(objects, sources, settings)
  check_all_trained(opened$facts)
  pairs <- frame_from_parts(reticulate::py_to_r(call_bridge("model_pairs", opened$handle)))
  trained <- list(facts = opened$facts, inputs = lapply(sources, species_input),
                  kept = list(model = record$model, made = opened$made),
                  history = new_species_history(opened$facts, NA_real_))
  finish_scspecies(opened$handle, trained, objects, sources, pairs[names(objects)], settings)
}

species_model <- function(handle, facts, path) {
  by_species <- function(what) lapply(facts$parts, function(part) part[[what]])
  structure(list(
    path = path, species = facts$species, genes = by_species("genes"),
    cells = by_species("cells"), batches = by_species("batches"),
    columns = lapply(facts$parts, function(part) {
      list(labels = part$label_key, batch = part$batch_key)
    }),
    labels = facts$parts[[1]]$labels,
    orthologs = frame_from_parts(reticulate::py_to_r(call_bridge("model_pairs", handle))),
    dims = facts$dims, alignment = facts$alignment,
    history = new_species_history(facts, NA_real_)
  ), class = "scspecies_model")
}

#' @param x A `scspecies_model`.
#' @param ... Ignored.
#' @rdname LoadScSpecies
#' @export
print.scspecies_model <- function(x, ...) {
  line <- function(name, value) cli::cat_line("  ", formatC(name, width = -12), value)
  cli::cat_line("<scspecies_model> ", paste(x$species[-1], collapse = ", "), " aligned with ",
                x$species[[1]], ", ", x$dims, " dimensions, ", x$alignment, " alignment")
  for (name in x$species) {
    batch <- x$columns[[name]]$batch
    line(name, paste0(length(x$cells[[name]]), " cells, ", length(x$genes[[name]]), " genes",
                      if (!is.null(batch)) paste0(", ", length(x$batches[[name]]), " batches in ",
                                                  batch)))
  }
  line("cell types", paste0(x$columns[[1]]$labels, ": ", paste(x$labels, collapse = ", ")))
  line("orthologs", nrow(x$orthologs))
  line("folder", x$path)
  invisible(x)
}

# The record of a model: of its folder alone, or of an object, of several the one called `name`.
scspecies_record <- function(model, name = NULL, verbose = FALSE, call = caller_env()) {
  if (is.character(model) || inherits(model, "scspecies_model")) {
    check_one_model(name, call = call)
    if (is.character(model)) check_string(model, "model", call = call)
    path <- if (is.character(model)) path.expand(model) else model$path
    return(list(model = normalizePath(path, mustWork = FALSE)))
  }
  records <- Filter(function(record) identical(record$method, "scspecies"), model_records(model))
  record <- find_record(records, name, "scSpecies", call = call)
  say_record(record, verbose)
  if (!dir.exists(record$model)) abort_moved(record$model, "RunScSpecies", call = call)
  record
}

check_object_list <- function(objects, call = caller_env()) {
  good <- is.list(objects) && length(objects) > 1 && rlang::is_named(objects) &&
    (all(vapply(objects, is, NA, "Seurat")) ||
       all(vapply(objects, is, NA, "SingleCellExperiment")))
  if (good) return(invisible())
  abort_input(c("{.arg objects} must be a list of the context and targets, named by species.",
                x = "Found {.obj_type_friendly {objects}}.",
                i = "For example {.code list(mouse = mouse, human = human)}, all Seurat objects or all SingleCellExperiments."),
              call = call)
}

# The model of a record as Python's handle and as plain R facts, with the cells of `objects`, a list
# by species; `sources` say where these are, `made` when it was trained.
open_scspecies <- function(record, objects, assays, device = "cpu", call = caller_env()) {
  path <- record$model
  handle <- call_bridge("load_scspecies", path, device = device, .call = call)
  facts <- species_facts(handle, call = call)
  check_same_model(record, facts$notes, path, call = call)
  opened <- list(handle = handle, facts = facts, made = as_time(facts$notes$made))
  if (is.null(objects)) return(opened)
  unknown <- setdiff(names(objects), facts$species)
  if (length(unknown) || !facts$species[[1]] %in% names(objects)) {
    abort_input(c(
      "{.arg objects} must hold the model's context, {.val {facts$species[[1]]}}, and targets.",
      x = "Found {.val {names(objects)}}.", i = "The model's species are {.val {facts$species}}."
    ), call = call)
  }
  sources <- sent <- list()
  for (name in names(objects)) {
    part <- facts$parts[[name]]
    settings <- list(labels = part$label_key, assay = assays, batch = part$batch_key,
                     target.labels = part$label_key %||% FALSE)
    sources[[name]] <- species_source(objects, name, settings, facts$notes$input[[name]],
                                      is_context = name == facts$species[[1]], call = call)
    sent[[name]] <- send_species(sources[[name]], name, genes = part$genes, call = call)
  }
  opened$handle <- call_bridge("load_scspecies", path, sent, device = device, .call = call)
  c(opened, list(sources = sources))
}
