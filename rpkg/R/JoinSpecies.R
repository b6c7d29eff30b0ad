#' Put species with their own genes into one object
#'
#' Takes an object of every species, as it comes, and gives one object with the cells of all and
#' the genes that all share: of one-to-one orthologs, or of groups of orthologs, whose counts are
#' summed. [RunSysVI()] does it by itself when it is given a list.
#'
#' @section Orthologs:
#' The pairs of human and mouse come with the package (from Ensembl): they are taken where `orthologs`
#' is `NULL`, the two names of the list are those of human and mouse (`"human"`, `"Homo sapiens"`,
#' `"mmusculus"`, ...) and the objects do not call their genes alike. For other species give a table:
#' those of Ensembl BioMart, MGI, HCOP and HomoloGene, and any other with a column per species are
#' recognized. Symbols and identifiers are told apart, for every species, with version or without; the report says which
#' were taken, and how many genes matched.
#'
#' With `orthology = "groups"` all genes that pairs connect are one: human *INS* is the mouse's *Ins1*
#' and *Ins2*. They are called as in the first species (`"INS"`; several as `"HBA1+HBA2"`). Groups of
#' more than 10 genes are left out.
#'
#' @section What is joined:
#' Where all objects have counts of all cells, their counts are: the joint object has counts, and
#' log-normalized values (10,000 counts per cell over the joint genes). Otherwise their
#' log-normalized values are; counts of those that have nothing else are normalized as the others
#' are. What every object holds is judged.
#'
#' @param objects A list of Seurat objects or of SingleCellExperiments, each with its own genes, named
#'   by species: `list(human = h, mouse = m)`.
#' @param orthologs Table of orthologs: the path of a file (may be compressed), a data frame, or what
#'   Python's `data.orthologs.read()` returned. Of more than two species one table of all, or a list,
#'   named by species, of their tables with the first. `NULL` for that of human and mouse, or for
#'   objects that call their genes alike.
#' @param orthology `"one2one"`: genes of one pair only. `"groups"`: groups of orthologs, summed.
#' @param system Column of the joint metadata that is made, with the species.
#' @param assay Assay with the expression of Seurat objects; of SingleCellExperiments as `assay.type`
#'   of [RunSysVI()]. `NULL` for the usual one. Or a list named by species.
#' @param verbose Whether to say what was paired and lost.
#'
#' @return An object of the same class with the cells of all species. The names of the genes in every
#'   species and the report are in it as a list with `genes` (a data frame), `report`, `orthology`:
#'   `Misc(object, "orthologs")` of a Seurat object, `metadata(object)$orthologs` of a
#'   SingleCellExperiment. Where cells of two species have the same name, all names get the species
#'   in front (`human_cell1`).
#' @export
#' @examplesIf scsystems_ready() && rlang::is_installed("SeuratObject")
#' cells <- simulated_species()
#' joint <- JoinSpecies(cells[c("mouse", "human")], orthologs = cells$orthologs)
#' joint
#' head(SeuratObject::Misc(joint, "orthologs")$genes)
JoinSpecies <- function(objects, orthologs = NULL, orthology = c("one2one", "groups"),
                        system = "system", assay = NULL, verbose = TRUE) {
  orthology <- rlang::arg_match(orthology)
  check_string(system, "system")
  check_flag(verbose, "verbose")
  join_species(objects, orthologs, orthology, system, assay, 1e4, verbose)
}

join_species <- function(objects, orthologs, orthology, system, assay, target_sum, verbose,
                         call = caller_env()) {
  check_species_list(objects, call = call)
  sources <- lapply(stats::setNames(nm = names(objects)), function(name) {
    own <- per_species(assay, name, "assay", call = call)
    cells_source(objects[[name]], own, argument = name, call = call)
  })
  counted <- lapply(sources, own_counts, call = call)
  all_counted <- !any(vapply(counted, is.null, NA))
  sent <- lapply(names(sources), function(name) {
    send_own(sources[[name]], if (all_counted) counted[[name]], call = call)
  })
  joint <- reticulate::py_to_r(call_bridge(
    "join", stats::setNames(sent, names(sources)), system,
    orthologs_for_python(orthologs, call = call), orthology, .call = call
  ))
  report <- as.vector(joint$report)
  if (nzchar(report)) inform(verbose, c(i = "{strsplit(report, '\n', fixed = TRUE)[[1]][[1]]}", say_lines(report)))
  matrix <- matrix_from_parts(joint$matrix)
  cells <- as.character(unlist(joint$cells))
  dimnames(matrix) <- list(as.character(unlist(joint$genes)), cells)
  if (!identical(cells, unlist(lapply(sources, function(s) s$cells), use.names = FALSE))) {
    inform(verbose, c("!" = "Cells of several species have the same names: the species is put in front of all, as in {.val {cells[[1]]}}."))
  }
  counts <- if (all_counted) matrix
  data <- if (all_counted) normalized(matrix, colSums(matrix), target_sum) else matrix
  obs <- joint_metadata(sources, cells, system)
  kept <- list(genes = frame_from_parts(joint$members, row.names = rownames(matrix)),
               report = report, orthology = orthology)
  if (is(objects[[1]], "Seurat")) joint_seurat(counts, data, obs, kept)
  else joint_sce(counts, data, obs, kept)
}

# The lines of a report after the first, without more meaning for cli.
say_lines <- function(report) {
  lines <- strsplit(report, "\n", fixed = TRUE)[[1]][-1]
  stats::setNames(gsub("}", "}}", gsub("{", "{{", lines, fixed = TRUE), fixed = TRUE),
                  rep(" ", length(lines)))
}

check_species_list <- function(objects, call = caller_env()) {
  hint <- "Name the objects by species: {.code list(human = h, mouse = m)}."
  if (!is.list(objects) || is.data.frame(objects) || is.object(objects)) {
    abort_input(c("{.arg objects} must be a list of objects, one for each species.",
                  x = "Found {.obj_type_friendly {objects}}.", i = hint), call = call)
  }
  if (length(objects) && !any(vapply(objects, holds_cells, NA))) {
    abort_class(objects, "object", call = call)
  }
  if (length(objects) < 2) {
    abort_input(c("The list has {length(objects)} object{?s}. At least two species are needed.",
                  i = hint), call = call)
  }
  names <- names(objects)
  if (is.null(names) || anyNA(names) || !all(nzchar(names))) {
    abort_input(c("Every object of the list must have a name, that of its species.", i = hint),
                call = call)
  }
  doubled <- unique(names[duplicated(names)])
  if (length(doubled)) {
    abort_input(c("Species names occur more than once: {.val {doubled}}.",
                  i = "Give every species a name of its own."), call = call)
  }
  for (name in names) {
    if (!holds_cells(objects[[name]])) abort_class(objects[[name]], name, call = call)
  }
  kinds <- vapply(objects, function(x) if (is(x, "Seurat")) "Seurat" else "SingleCellExperiment", "")
  if (length(unique(kinds)) > 1) {
    abort_input(c("The objects must be of the same class.",
                  x = "Found {.cls {kinds}} for {.val {names}}.",
                  i = "{.fn Seurat::as.Seurat} and {.fn Seurat::as.SingleCellExperiment} convert."),
                call = call)
  }
}

# Counts of all cells of a source; NULL where there are none.
own_counts <- function(source, call = caller_env()) {
  check_names(source$genes, "gene", "Give every gene a name of its own.", call = call)
  layers <- unique(c(if (source$explicit) source$wanted, if (!source$explicit) source$counts, source$wanted))
  for (layer in layers) {
    found <- judge_layer(source, layer, NULL, call = call)
    if (all_counts(found, source)) return(found$matrix[, source$cells, drop = FALSE])
  }
  NULL
}

# Python's AnnData of an object's counts, or of its log-normalized values.
send_own <- function(source, counts, call = caller_env()) {
  data <- if (is.null(counts)) read_expression(source, target_sum = NULL, call = call)
          else list(matrix = counts)
  # nothing but counts, beside objects with logarithms: these decide on the scale
  if (is.null(counts) && isTRUE(data$input$normalized)) data <- data["matrix"]
  matrix <- plain_matrix(data$matrix, call = call)
  check_names(rownames(matrix), "gene", "Give every gene a name of its own.", call = call)
  check_expression(matrix, source$hint, call = call)
  call_bridge(
    "make_anndata", matrix = matrix_to_parts(matrix), obs = reticulate::dict(),
    cells = text_list(colnames(matrix)), genes = text_list(rownames(matrix)),
    totals = if (!is.null(data$totals)) buffer(as.double(data$totals)),
    target_sum = data$scale$target_sum, base = data$scale$base, .call = call
  )
}

# A table of orthologs, or a list of them, as Python takes it.
orthologs_for_python <- function(orthologs, call = caller_env()) {
  if (is.null(orthologs)) return(NULL)
  several <- is.list(orthologs) && !is.data.frame(orthologs) &&
    !inherits(orthologs, "python.builtin.object")
  if (!several) return(table_source(orthologs, "orthologs", call = call))
  if (is.null(names(orthologs))) {
    abort_input(c("{.arg orthologs} is a list without names.",
                  i = "Name its tables by species: {.code list(mouse = table1, zebrafish = table2)}."),
                call = call)
  }
  lapply(orthologs, table_source, "orthologs", call = call)
}

joint_metadata <- function(sources, cells, system) {
  frames <- lapply(sources, function(source) {
    obs <- source$obs[source$cells, , drop = FALSE]
    obs[!vapply(obs, is_nested, NA)]
  })
  sizes <- vapply(frames, nrow, 0L)
  obs <- bind_columns(frames)
  rownames(obs) <- cells
  obs[[system]] <- factor(rep(names(sources), sizes), levels = names(sources))
  obs
}

joint_seurat <- function(counts, data, obs, kept) {
  object <- SeuratObject::CreateSeuratObject(counts %||% data, meta.data = obs)
  object <- set_data(object, data)
  if (is.null(counts)) object <- without_counts(object, data)
  SeuratObject::Misc(object, "orthologs") <- kept
  object
}

joint_sce <- function(counts, data, obs, kept) {
  object <- SingleCellExperiment::SingleCellExperiment(
    drop_null(list(counts = counts, logcounts = data)),
    colData = S4Vectors::DataFrame(obs, check.names = FALSE)
  )
  S4Vectors::metadata(object)$orthologs <- kept
  object
}

# An object that only has log-normalized values has them as `data`.
without_counts <- function(object, data) {
  if (utils::packageVersion("SeuratObject") >= "5") {
    object[["RNA"]] <- newer("SeuratObject", "CreateAssay5Object")(data = data)
  } else {
    object[["RNA"]] <- SeuratObject::CreateAssayObject(data = data)
  }
  object
}
