# The way every RunScSpecies method takes: counts go to Python, the model is trained, and its
# results are put into objects and data frames.

run_scspecies <- function(objects, orthologs, settings, call = caller_env()) {
  check_species_settings(settings, call = call)
  sources <- species_sources(objects, settings, call = call)
  check_targets_free(objects, sources, settings, call = call)
  folder <- model_folder(settings$model.dir, settings$name, settings$overwrite, call = call)
  control <- settings$control
  species <- names(objects)
  tables <- species_tables(orthologs, species, control$orthologs, call = call)
  full <- send_all(sources, call = call)
  genes <- shared_genes(tables, full, call = call)
  sent <- choose_genes(full, sources, settings, call = call)
  inform(settings$verbose, c(i = "Aligning {.val {species[-1]}} with {.val {species[[1]]}}: {species_text(sent)}, {nrow(genes)} shared ortholog{?s}."))
  seed <- settings$seed.use %||% sample.int(.Machine$integer.max, 1)
  keys <- lapply(sources, function(source) source$columns)
  model <- species_model_arguments(settings$dims, seed, control)
  model$context_labels <- settings$labels
  model$target_labels <- lapply(keys[-1], function(key) key$labels)
  model$batch_key <- lapply(keys, function(key) key$batch)
  started <- Sys.time()
  handle <- call_bridge(
    "train_scspecies", sent[1], sent[-1], tables, model = model,
    train = species_train_arguments(settings$max.epochs, control), device = settings$device,
    callback = if (settings$verbose) python_callback(species_reporter(species)), .call = call
  )
  trained <- keep_scspecies(handle, species, folder, lapply(sources, species_input), started,
                            settings, call = call)
  finish_scspecies(handle, trained, objects, sources, genes, settings, call = call)
}

# Further targets for the context of a result; `new` is a named list of objects.
add_scspecies <- function(before, new, orthologs, settings, call = caller_env()) {
  check_species_settings(settings, call = call)
  check_entries(settings, names(new), call = call)
  control <- settings$control
  known <- intersect(names(new), before$species)
  if (length(known)) {
    abort_input(c("{.arg target}: the result has {.val {known}} already.",
                  i = "Give every species a name of its own."), call = call)
  }
  old <- species_list(before)
  context <- before$species[[1]]
  sources <- lapply(stats::setNames(nm = names(new)), function(name) {
    species_source(new, name, settings, is_context = FALSE, call = call)
  })
  check_targets_free(new, sources, settings, call = call)
  folder <- model_folder(settings$model.dir, settings$name, settings$overwrite, call = call)
  record <- scspecies_record(before, call = call)
  opened <- open_scspecies(record, old, before$assays, device = settings$device, call = call)
  tables <- species_tables(orthologs, c(context, names(new)), control$orthologs, call = call)
  # all of the context's genes, not the model's only
  full <- send_all(c(opened$sources[context], sources), call = call)
  pairs <- shared_genes(tables, full, call = call)
  sent <- choose_genes(full[-1], sources, settings, call = call)
  genes <- merge(before$genes, pairs, by = context, sort = FALSE)
  inform(settings$verbose, c(i = "Aligning {.val {names(new)}} with {.val {context}}: {species_text(sent)}."))
  started <- Sys.time()
  handle <- call_bridge(
    "add_species", opened$handle, sent, tables,
    columns = lapply(sources, function(source) {
      list(target_labels = source$columns$labels, batch_key = source$columns$batch)
    }),
    train = species_train_arguments(settings$max.epochs, control), device = settings$device,
    callback = if (settings$verbose) python_callback(species_reporter(names(new))), .call = call
  )
  inputs <- lapply(c(opened$sources, sources), species_input)
  trained <- keep_scspecies(handle, names(new), folder, inputs, started, settings, call = call)
  finish_scspecies(handle, trained, c(old, new), c(opened$sources, sources), genes, settings,
                   call = call)
}

# Save a model, of which `species` were trained just now; its facts, folder, inputs (by species) and
# history.
keep_scspecies <- function(handle, species, folder, inputs, started, settings,
                           call = caller_env()) {
  facts <- species_facts(handle, call = call)
  check_all_trained(facts, call = call)
  seconds <- as.double(Sys.time() - started, units = "secs")
  say_trained(facts$parts[species], facts$device, seconds, settings$verbose)
  kept <- keep_model(handle, folder, inputs, settings$verbose, call = call)
  list(facts = facts, kept = kept, inputs = inputs, history = new_species_history(facts, seconds))
}

# What is kept of where a species' counts were.
species_input <- function(source) list(object = source$object, assay = source$assay)

check_species_settings <- function(settings, call = caller_env()) {
  check_string(settings$labels, "labels", call = call)
  check_number(settings$dims, "dims", min = 1, whole = TRUE, call = call)
  check_number(settings$max.epochs, "max.epochs", min = 1, whole = TRUE, null = TRUE, call = call)
  check_device(settings$device, call = call)
  check_number(settings$seed.use, "seed.use", min = 0, whole = TRUE, null = TRUE, call = call)
  for (name in c("merge", "overwrite", "verbose")) check_flag(settings[[name]], name, call = call)
  check_string(settings$name, "name of the reduction", call = call)
  check_species_options(settings$control, call = call)
}

species_sources <- function(objects, settings, call = caller_env()) {
  check_entries(settings, names(objects), call = call)
  sources <- lapply(names(objects), function(name) {
    species_source(objects, name, settings, call = call)
  })
  stats::setNames(sources, names(objects))
}

# Lists by species must not name species that are not there.
check_entries <- function(settings, species, call = caller_env()) {
  for (argument in c("batch", "target.labels", "assay", "features")) {
    unknown <- setdiff(names(settings[[argument]]), species)
    if (length(unknown)) {
      abort_input(c("{.arg {argument}} has {.val {unknown}}, which {?is/are} not among the species.",
                    i = "The species are {.val {species}}."), call = call)
    }
  }
  if (!is.null(settings$features) && !is.list(settings$features)) {
    abort_input(c("{.arg features} must be a list of names of genes, named by species.",
                  x = "Found {.obj_type_friendly {settings$features}}.",
                  i = "For example {.code list(mouse = c(\"Ins1\", ...), human = c(\"INS\", ...))}."),
                call = call)
  }
}

# Nothing of the user's is overwritten unasked.
check_targets_free <- function(objects, sources, settings, call = caller_env()) {
  columns <- species_columns(settings$labels)
  for (name in names(objects)) {
    object <- objects[[name]]
    if (is(object, "Seurat")) {
      check_reduction_name(object, settings$name, settings$overwrite, call = call)
    } else {
      check_sce_name(object, settings$name, settings$overwrite, call = call)
    }
    taken <- intersect(columns, colnames(sources[[name]]$obs))
    if (name != names(objects)[[1]] && length(taken) && !settings$overwrite) {
      abort_input(c("{.arg labels}: {.val {name}} has column{?s} {.val {taken}} already.",
                    i = "Use {.code overwrite = TRUE} to replace {cli::qty(length(taken))}{?it/them}."),
                  call = call)
    }
  }
}

species_columns <- function(labels) {
  ends <- c(label = "", confidence = ".confidence", novelty = ".novelty", novel = ".novel")
  stats::setNames(paste0("predicted.", labels, ends), names(ends))
}

# Python's AnnData of every species with all of its genes.
send_all <- function(sources, call = caller_env()) {
  Map(function(source, name) send_species(source, name, call = call), sources, names(sources))
}

# The same with the genes that are trained on.
choose_genes <- function(full, sources, settings, call = caller_env()) {
  control <- settings$control
  Map(function(adata, source, name) {
    genes <- settings$features[[name]]
    if (!is.null(genes)) return(send_species(source, name, genes = genes, call = call))
    call_bridge("variable_species_genes", adata, name, source$columns$batch,
                gene_arguments(control), .call = call)
  }, full, sources, names(full))
}

# What is given of the number of genes; Python's None takes all.
gene_arguments <- function(control) {
  given <- list(min_cells = as.integer(control$min_cells))
  if (is.null(control$n_top_genes)) return(given)
  all <- is.infinite(control$n_top_genes)
  c(given, list(n_top_genes = if (!all) as.integer(control$n_top_genes)))
}

species_text <- function(sent) {
  shapes <- vapply(sent, function(adata) {
    shape <- unlist(reticulate::py_to_r(adata$shape))
    paste(shape[[1]], "cells x", shape[[2]], "genes")
  }, "")
  paste(paste(names(sent), shapes), collapse = ", ")
}

# Orthologs that all species have, whether trained on or not. What there is to warn of the model
# warns of again.
shared_genes <- function(tables, full, call = caller_env()) {
  parts <- withCallingHandlers(
    call_bridge("ortholog_pairs", tables, full[1], full[-1], .call = call),
    scsystems_warning = function(w) rlang::cnd_muffle(w),
    scsystems_input_error = function(e) {
      unnamed <- names(full)[[1]] == "context" && grepl("not in the table", conditionMessage(e))
      if (unnamed) {
        abort_input(c("{.arg species} must name the species as the ortholog table does.",
                      x = "{conditionMessage(e)}",
                      i = "The context's name comes first: {.code species = c(\"mouse\", \"human\")}."),
                    call = call)
      }
    }
  )
  frame_from_parts(reticulate::py_to_r(parts))
}

# Every species' training begins anew with epoch 1.
species_reporter <- function(species, .envir = parent.frame()) {
  turn <- 0
  report <- NULL
  function(epoch, max_epochs, losses) {
    if (epoch == 1) {
      turn <<- turn + 1
      name <- species[[min(turn, length(species))]]
      report <<- epoch_reporter(paste("Training", name), .envir)
    }
    report(epoch, max_epochs, losses)
  }
}

# Plain R facts of a model: what Python describes, with vectors instead of lists.
species_facts <- function(handle, call = caller_env()) {
  facts <- reticulate::py_to_r(call_bridge("describe_scspecies", handle, .call = call))
  text <- c("cells", "genes", "labels", "batches")
  facts$parts <- lapply(facts$parts, function(part) {
    part[text] <- lapply(part[text], function(x) as.character(unlist(x)))
    part
  })
  facts$species <- as.character(unlist(facts$species))
  facts
}

check_all_trained <- function(facts, call = caller_env()) {
  trained <- vapply(facts$parts, function(part) part$trained, NA)
  if (all(trained)) return(invisible())
  cli::cli_abort(c(
    "Training was interrupted before {.val {names(trained)[!trained]}} {?was/were} trained.",
    i = "With {.code control = scspecies_options(checkpoint_dir = , train = list(resume = TRUE))} it can be resumed."
  ), class = c("scsystems_not_trained_error", "scsystems_error"), call = call)
}

say_trained <- function(parts, device, seconds, verbose) {
  epochs <- vapply(parts, function(part) length(part$epoch), 0L)
  text <- paste(paste0(names(epochs), ": ", epochs, " epochs"), collapse = ", ")
  interrupted <- any(vapply(parts, function(part) part$interrupted, NA))
  inform(verbose, c(v = "{if (interrupted) 'Interrupted' else 'Trained'} ({text}) on {.val {device}} in {prettyunits(seconds)}."))
}

# Fetch what a trained model says and put it into the objects.
finish_scspecies <- function(handle, trained, objects, sources, genes, settings,
                             call = caller_env()) {
  control <- settings$control
  facts <- trained$facts
  context <- facts$species[[1]]
  targets <- setdiff(names(objects), context)
  cells <- tables <- list()
  inform(settings$verbose, c(i = "Transferring labels and comparing expression."))
  for (name in targets) {
    parts <- call_bridge("species_labels", handle, name, dictionary(control$transfer),
                         dictionary(control$novelty), .call = call)
    cells[[name]] <- label_table(parts, name, facts$parts[[name]]$cells)
    tables[[name]] <- species_results(handle, name, cells[[name]], control, call = call)
  }
  stack <- function(what) stack_frames(lapply(tables, function(table) table[[what]]), "target")
  for (name in names(objects)) {
    embedding <- reticulate::py_to_r(call_bridge("species_latent", handle, name, .call = call))
    rownames(embedding) <- facts$parts[[name]]$cells
    record <- new_record(trained$kept, trained$history[name], facts$parts[[name]]$genes,
                         trained$inputs[[name]], method = "scspecies", species = name)
    objects[[name]] <- write_species(objects[[name]], list(embedding = embedding, record = record),
                                     cells[[name]], sources[[name]]$assay, settings)
  }
  result <- structure(list(
    context = objects[[context]], targets = objects[targets], merged = NULL,
    cells = stack_frames(cells, NULL), similarity = stack("similarity"),
    differential = stack("differential"), prototypes = stack("prototypes"), genes = genes,
    species = names(objects), labels = settings$labels, reduction = settings$name,
    model = trained$kept$model, made = trained$kept$made, assays = lapply(sources, function(source) source$assay),
    history = trained$history
  ), class = "scspecies")
  if (settings$merge) result["merged"] <- list(merge_species(result, sources, call = call))
  result
}

label_table <- function(parts, target, cells) {
  table <- frame_from_parts(reticulate::py_to_r(parts))
  table$known <- as.character(table$known)
  data.frame(target = target, cell = cells, table, stringsAsFactors = FALSE)
}

species_results <- function(handle, target, cells, control, call = caller_env()) {
  # types of the cells: known, or else transferred
  labels <- if (all(is.na(cells$known))) text_list(cells$label)
  fetch <- function(name, ...) {
    parts <- reticulate::py_to_r(call_bridge(name, handle, target, ..., .call = call))
    if (!is.null(parts)) frame_from_parts(parts)
  }
  list(
    similarity = fetch("species_similarity", labels, dictionary(control$similarity)),
    differential = fetch("species_differential", labels, dictionary(control$differential)),
    prototypes = fetch("species_prototypes")
  )
}

# One below the other, with a column of their names in front.
stack_frames <- function(frames, column) {
  frames <- drop_null(frames)
  if (!is.null(column)) {
    frames <- Map(function(frame, name) cbind(stats::setNames(list(name), column), frame),
                  lapply(frames, as.data.frame), names(frames))
  }
  table <- do.call(rbind, unname(frames))
  if (!is.null(table)) rownames(table) <- NULL
  table
}

# Reduction and metadata into one object.
write_species <- function(object, result, cells, assay, settings) {
  table <- NULL
  if (!is.null(cells)) {
    wanted <- species_columns(settings$labels)
    table <- stats::setNames(cells[names(wanted)], wanted)
    rownames(table) <- cells$cell
  }
  if (is(object, "Seurat")) {
    key <- choose_key(object, settings$name, settings$key)
    object[[settings$name]] <- make_reduction(result, assay, key)
    if (is.null(table)) return(object)
    # cells that the assay does not have are NA
    table <- table[colnames(object), , drop = FALSE]
    rownames(table) <- colnames(object)
    return(SeuratObject::AddMetaData(object, table))
  }
  object <- add_reduced_dim(object, settings$name, result)
  for (column in names(table)) SummarizedExperiment::colData(object)[[column]] <- table[[column]]
  object
}
