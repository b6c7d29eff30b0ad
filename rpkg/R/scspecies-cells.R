# Objects of several species: their names, their cells, and what goes to Python. `objects` is a
# list named by species, the context first.

# Context and target(s) as one named list.
species_objects <- function(context, target, species, call = caller_env()) {
  targets <- if (is.list(target) && !is.data.frame(target)) target else list(target)
  if (!length(targets)) {
    abort_input(c("{.arg target} is empty.",
                  i = "Give an object, or a named list of objects: {.code list(human = object)}."),
                call = call)
  }
  kind <- if (is(context, "Seurat")) "Seurat" else "SingleCellExperiment"
  for (object in targets) {
    if (is(object, kind)) next
    abort_input(c("{.arg target} must be of the same class as {.arg context}, {.cls {kind}}.",
                  x = "Found {.obj_type_friendly {object}}.",
                  i = "{.fn Seurat::as.Seurat} and {.fn Seurat::as.SingleCellExperiment} convert."),
                call = call)
  }
  names <- species_names(species, names(targets), length(targets), call = call)
  stats::setNames(c(list(context), unname(targets)), names)
}

species_names <- function(species, given, n, call = caller_env()) {
  if (!is.null(given) && (anyNA(given) || !all(nzchar(given)))) {
    abort_input("{.arg target} must have a name for each of its {n} objects.", call = call)
  }
  if (is.null(species)) {
    names <- c("context", given %||% if (n == 1) "target")
    if (length(names) != n + 1) {
      abort_input(c("{.arg target} is a list without names.",
                    i = "Name its objects by species: {.code list(human = object)}."), call = call)
    }
  } else {
    if (!is.character(species) || anyNA(species) || !all(nzchar(species))) {
      abort_input(c("{.arg species} must be names of species.",
                    x = "Found {.obj_type_friendly {species}}."), call = call)
    }
    names <- if (length(species) == 1) c(species, given) else species
    if (length(names) != n + 1 || (!is.null(given) && !identical(names[-1], given))) {
      abort_input(c(
        "{.arg species} must name the context and then {n} target{?s}.",
        x = "Found {.val {species}}{if (!is.null(given)) paste(', and targets called', paste(given, collapse = ', ')) else ''}.",
        i = "For example {.code species = c(\"mouse\", \"human\")}."
      ), call = call)
    }
  }
  doubled <- unique(names[duplicated(names)])
  if (length(doubled)) {
    abort_input(c("Species names occur more than once: {.val {doubled}}.",
                  i = "Give every species a name of its own."), call = call)
  }
  names
}

# An argument that is one value for all species, or a list named by species.
per_species <- function(value, species, name, call = caller_env()) {
  if (is.null(names(value))) return(value)
  if (!species %in% names(value)) {
    abort_input(c("{.arg {name}} has no entry for {.val {species}}.",
                  i = "It has {.val {names(value)}}."), call = call)
  }
  value[[species]]
}

# Where one species' cells are, and which columns they need. `columns` are the names of columns
# with labels and batches, NULL where there are none. `input` is what a model was trained on.
species_source <- function(objects, species, settings, input = NULL,
                           is_context = species == names(objects)[[1]], call = caller_env()) {
  assay <- per_species(settings$assay, species, "assay", call = call)
  object <- objects[[species]]
  where <- cli::format_inline("the metadata of {.val {species}}")
  source <- counts_source(object, assay, input, species, call = call)
  labels <- if (is_context) settings$labels
            else target_label(settings, species, source$obs, call = call)
  batch <- per_species(settings$batch, species, "batch", call = call)
  check_string(labels, "labels", null = !is_context, call = call)
  check_string(batch, "batch", null = TRUE, call = call)
  check_columns(labels, if (is_context) "labels" else "target.labels", source$obs, where,
                call = call)
  check_columns(batch, "batch", source$obs, where, call = call)
  source$columns <- list(labels = labels, batch = batch)
  source$is_context <- is_context
  source
}

target_label <- function(settings, species, obs, call = caller_env()) {
  given <- settings$target.labels
  if (identical(given, FALSE)) return(NULL)
  if (!is.null(given)) return(per_species(given, species, "target.labels", call = call))
  if (settings$labels %in% colnames(obs)) settings$labels
}

# Python's AnnData of one species' counts.
send_species <- function(source, species, genes = NULL, call = caller_env()) {
  counts <- species_counts(source, species, call = call)
  columns <- unique(unlist(source$columns))
  obs <- source$obs[colnames(counts), columns, drop = FALSE]
  for (column in columns) {
    missing <- rownames(obs)[is.na(obs[[column]])]
    if (length(missing)) {
      abort_input(c(
        "Column {.val {column}} of {.val {species}} is NA for {length(missing)} of {nrow(obs)} cells.",
        x = "For example {.val {utils::head(missing, 3)}}.",
        i = "Remove these cells, or give them a level of their own such as {.val unknown}.",
        i = if (!source$is_context && identical(column, source$columns$labels)) "Labels of targets are not needed: {.code target.labels = FALSE}."
      ), call = call)
    }
  }
  if (!is.null(genes)) {
    absent <- setdiff(genes, rownames(counts))
    if (length(absent)) {
      abort_input(c(
        "{.arg features}: {length(absent)} of {length(genes)} are not genes of {.val {species}}.",
        x = "For example {.val {utils::head(absent, 3)}}; it has {.val {utils::head(rownames(counts), 3)}}."
      ), call = call)
    }
    counts <- counts[genes, , drop = FALSE]
  }
  call_bridge(
    "make_anndata", matrix = matrix_to_parts(counts),
    obs = frame_to_parts(as_categories(obs), call = call),
    cells = text_list(colnames(counts)), genes = text_list(rownames(counts)), .call = call
  )
}

# A source of which the counts are read, in `layer`.
counts_source <- function(object, assay, input, species, call = caller_env()) {
  if (is(object, "SingleCellExperiment") && is.null(assay)) {
    found <- SummarizedExperiment::assayNames(object)
    assay <- c(intersect(input$assay, found), "counts")[[1]]
  }
  source <- cells_source(object, assay, input, needs = "scSpecies needs raw counts", call = call)
  source$layer <- if (is(object, "Seurat")) "counts" else source$wanted
  source
}

# Raw counts of all cells, genes x cells, with names of their own.
species_counts <- function(source, species, call = caller_env()) {
  counts <- source$get(source$layer)
  lacking <- setdiff(source$cells, colnames(counts))
  if (length(lacking)) {
    abort_input(c("{.val {species}}: there are no counts in {source$where}{if (!is.null(counts)) ' for {length(lacking)} of {length(source$cells)} cells' else ''}.",
                  x = "Looked for {.val {source$layer}}{if (!is.null(counts)) paste0(' of ', lacking[[1]]) else ''}.",
                  i = "Name the assay that holds them."), call = call)
  }
  counts <- plain_matrix(counts, call = call)
  check_names(rownames(counts), "gene", "Give every gene a name of its own.", call = call)
  check_names(colnames(counts), "cell", "Give every cell a name of its own.", call = call)
  check_expression(counts, call = call)
  whole <- whole_cells(counts, call = call)
  broken <- colnames(counts)[whole %in% c(0, NaN)]
  if (!length(broken) && any(stored_values(counts) > 1)) return(counts)
  values <- stored_values(counts[, utils::head(broken, 1), drop = FALSE])
  values <- values[values != round(values)]
  abort_input(c(
    "{.val {species}}: {source$where} does not hold raw counts, which scSpecies needs.",
    x = if (length(broken)) "{length(broken)} of {ncol(counts)} cells have values with fractions, such as {signif(values[[1]], 4)} in {.val {broken[[1]]}}."
        else "No count is above one.",
    i = "Name the assay that holds the counts as they came, before any normalization.",
    i = if (length(broken)) "Counts that were corrected for ambient RNA can be rounded: {.code round()}."
  ), call = call)
}

# The ortholog table of every target, as Python takes it.
species_tables <- function(orthologs, species, options, call = caller_env()) {
  targets <- species[-1]
  by_target <- is.list(orthologs) && !is.data.frame(orthologs) &&
    !inherits(orthologs, "python.builtin.object")
  if (by_target) {
    absent <- setdiff(targets, names(orthologs))
    unknown <- setdiff(names(orthologs), targets)
    if (length(absent) || length(unknown)) {
      abort_input(c("{.arg orthologs} must have a table for every target: {.val {targets}}.",
                    x = "Found tables for {.val {names(orthologs)}}."), call = call)
    }
  }
  tables <- lapply(targets, function(target) {
    table <- if (by_target) orthologs[[target]] else orthologs
    call_bridge("ortholog_table", table_source(table, call = call), species[[1]], target,
                if (length(options)) options, .call = call)
  })
  stats::setNames(tables, targets)
}

table_source <- function(table, argument = "orthologs", call = caller_env()) {
  if (inherits(table, "python.builtin.object")) return(table)
  if (is.character(table) && length(table) == 1 && !is.na(table)) return(path.expand(table))
  if (!is.data.frame(table)) {
    abort_input(c("{.arg {argument}} must be the path of a table, or a data frame.",
                  x = "Found {.obj_type_friendly {table}}."), call = call)
  }
  if (!nrow(table) || ncol(table) < 2) {
    abort_input(c("{.arg {argument}} must have a row per pair of genes and a column per species.",
                  x = "Found {nrow(table)} row{?s} and {ncol(table)} column{?s}."), call = call)
  }
  # a tibble's columns are taken one by one, names of genes as text
  columns <- lapply(as.list(table), function(x) if (is.object(x)) as.character(x) else x)
  columns <- Filter(is.atomic, columns)
  frame_to_parts(as.data.frame(columns, optional = TRUE, stringsAsFactors = FALSE), call = call)
}
