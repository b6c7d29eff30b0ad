#' Align species with scSpecies
#'
#' Aligns one or more target species with a labeled context species (Schächter et al. 2025).
#' Every object keeps its own genes; one-to-one orthologs connect them. A model is trained on
#' the context's raw counts first, then one per target, whose cells are pulled to the context cells
#' that explain them best.
#'
#' @section Species and orthologs:
#' The names of the species have to be those that the ortholog table uses for them; common,
#' Latin and short names and NCBI taxon numbers are understood. Tables of Ensembl BioMart, MGI,
#' HCOP and HomoloGene are recognized, and any other with a column per species. Of a data frame
#' with two columns that name neither species, the first is the context's.
#'
#' @section The merged object:
#' It holds the cells of all species and the genes that have a one-to-one ortholog in all of
#' them, under the context's names, with counts and log-normalized values (10,000 counts per cell
#' over all of its genes); the shared reduction; and the metadata of all objects with a column
#' `species` and `predicted.<labels>`, which holds the context's own labels for its cells. Where
#' cells of two species have the same name, all names get the species in front (`human_cell1`).
#'
#' @inheritParams RunSysVI
#' @param context A Seurat object or a SingleCellExperiment with raw counts of the context species;
#'   or what `RunScSpecies()` returned, to align further targets to its context.
#' @param target One object of the same class, or a named list of several target species.
#' @param labels Column of the context's metadata with cell types, complete.
#' @param orthologs Ortholog table: the path of a file (may be compressed), a data frame, or
#'   what Python's `data.orthologs.read()` returned. For several targets one table with all
#'   species, or a named list of tables.
#' @param species Names of the species, the context's first, such as `c("mouse", "human")`. Of
#'   targets in a named list the context's is enough. `NULL` names them `"context"` and `"target"`.
#'   For further targets: their names only.
#' @param batch Column with the batches (sample, donor), within a species; `NULL` for one batch.
#'   Or a list named by species.
#' @param target.labels Column of the targets' metadata with cell types, where known. They are used
#'   for tables by type and never in training. `NULL` takes the column `labels` of the targets that
#'   have it, `FALSE` none.
#' @param features Genes to train on: a list of names, named by species. `NULL` for the highly
#'   variable genes of every species (4,000, see [scspecies_options()]); species that the list
#'   lacks have theirs chosen too.
#' @param assay Assay with the counts; `NULL` for the default assay. Or a list named by species.
#' @param assay.type Name of the assay with the raw counts. Or a list named by species.
#' @param name Name of the reducedDim that is made in every object.
#' @param max.epochs Number of epochs per species; `NULL` for the default, 60 up to 10,000 cells and
#'   30 above.
#' @param merge Whether to make the merged object.
#' @param overwrite Whether existing reductions and columns of the same names, and a model in
#'   `model.dir`, may be replaced.
#' @param control Further settings: see [scspecies_options()].
#'
#' @return A list of class `scspecies`, of plain R values:
#' * `context`: the context's object, and `targets`: a named list of the targets' objects, with the
#'   aligned embedding as a reduction. The targets' metadata have `predicted.<labels>` (a factor),
#'   `predicted.<labels>.confidence` (fraction of the votes), `predicted.<labels>.novelty` (a score;
#'   large for cells of a type that the context does not have) and `predicted.<labels>.novel`
#'   (whether the score is above the threshold).
#' * `merged`: one object of all cells, see below; `NULL` without `merge`.
#' * `cells`: a data frame of the targets' cells: `target`, `cell`, `known` (type, if there is
#'   one), `label`, `confidence`, `novelty`, `novel`.
#' * `similarity`: a data frame with `target`, `target_type`, `context_type` and `log_ratio`, by how
#'   much a context cell explains a target cell worse than the cell itself does: 0 is as good,
#'   **larger is less similar**.
#' * `differential`: a data frame with a row per target, type and pair of orthologs: `lfc` (median
#'   log2 fold change of the target over the context) and `probability` (of one larger than the
#'   threshold) relative to all orthologs; `lfc_absolute`, `probability_absolute` in molecules
#'   per cell; `lfc_null`, `probability_null` against a random gene of the context.
#' * `prototypes`: a data frame with what every type's median cell aligned to, epoch by epoch.
#' * `genes`: a data frame with the orthologs that all species share, a column per species.
#' * `species`, `labels`, `reduction`, `model` (folder) and `history`.
#'
#' @references Schächter C, et al. (2025). scSpecies: enhancement of network architecture alignment
#'   in comparative single-cell studies. Genome Biology 26, 397.
#' @seealso [PlotLabelTransfer()] and further plots, [RelevantGenes()], [LoadScSpecies()].
#' @export
#' @examplesIf scsystems_ready() && rlang::is_installed("SeuratObject")
#' \dontshow{options(scsystems.model.dir = tempfile("models"))}
#' cells <- simulated_species()
#' # for pages that build quickly: leave max.epochs and control out
#' result <- RunScSpecies(cells$mouse, cells$human, species = c("mouse", "human"),
#'                        labels = "cell_type", batch = "donor", orthologs = cells$orthologs,
#'                        max.epochs = 2, control = scspecies_options(n_neighbors = 5))
#' result
#' table(result$targets$human$predicted.cell_type, result$targets$human$cell_type)
#' result$merged
#'
#' # one more target, aligned to the context that has been trained already
#' pairs <- stats::setNames(cells$orthologs, c("mouse", "rat"))
#' RunScSpecies(result, list(rat = cells$human), orthologs = pairs, max.epochs = 2)
RunScSpecies <- function(context, target, ...) UseMethod("RunScSpecies")

#' @rdname RunScSpecies
#' @export
RunScSpecies.default <- function(context, target, ...) {
  abort_class(context, "context", "what RunScSpecies() returned")
}

#' @rdname RunScSpecies
#' @export
RunScSpecies.Seurat <- function(context, target, labels, orthologs, species = NULL,
                                batch = NULL, target.labels = NULL, features = NULL,
                                assay = NULL, reduction.name = "scspecies", reduction.key = NULL,
                                dims = 10, max.epochs = NULL, device = "auto", seed.use = 42,
                                model.dir = NULL, merge = TRUE, overwrite = FALSE,
                                verbose = TRUE, control = scspecies_options(), ...) {
  rlang::check_dots_empty()
  for (argument in c("target", "labels", "orthologs")) check_given(argument)
  rlang::check_installed("SeuratObject")
  reduction.name <- seurat_name(reduction.name, "reduction.name", verbose)
  settings <- list(
    labels = labels, batch = batch, target.labels = target.labels, features = features,
    assay = assay, name = reduction.name, key = reduction.key, dims = dims,
    max.epochs = max.epochs, device = device, seed.use = seed.use, model.dir = model.dir,
    merge = merge, overwrite = overwrite, verbose = verbose, control = control
  )
  objects <- species_objects(context, target, species)
  result <- run_scspecies(objects, orthologs, settings)
  target <- setdiff(names(objects), result$species[[1]])
  assay <- result$assays[[1]]
  result$context <- log_command(result$context, "RunScSpecies")
  for (name in target) {
    assay <- result$assays[[name]]
    result$targets[[name]] <- log_command(result$targets[[name]], "RunScSpecies")
  }
  result
}

#' @rdname RunScSpecies
#' @export
RunScSpecies.SingleCellExperiment <- function(context, target, labels, orthologs,
                                              species = NULL, batch = NULL, target.labels = NULL,
                                              features = NULL, assay.type = "counts",
                                              name = "SCSPECIES", dims = 10, max.epochs = NULL,
                                              device = "auto", seed.use = 42, model.dir = NULL,
                                              merge = TRUE, overwrite = FALSE, verbose = TRUE,
                                              control = scspecies_options(), ...) {
  rlang::check_dots_empty()
  for (argument in c("target", "labels", "orthologs")) check_given(argument)
  rlang::check_installed("SingleCellExperiment")
  settings <- list(
    labels = labels, batch = batch, target.labels = target.labels, features = features,
    assay = assay.type, name = name, dims = dims, max.epochs = max.epochs, device = device,
    seed.use = seed.use, model.dir = model.dir, merge = merge, overwrite = overwrite,
    verbose = verbose, control = control
  )
  run_scspecies(species_objects(context, target, species), orthologs, settings)
}

#' @rdname RunScSpecies
#' @export
RunScSpecies.scspecies <- function(context, target, orthologs, species = NULL, batch = NULL,
                                   target.labels = NULL, features = NULL, assay = NULL,
                                   max.epochs = NULL, device = "auto", model.dir = NULL,
                                   merge = TRUE, overwrite = FALSE, verbose = TRUE,
                                   control = scspecies_options(), ...) {
  rlang::check_dots_empty()
  for (argument in c("target", "orthologs")) check_given(argument)
  check_species_options(control)
  given <- intersect(species_model_options, names(drop_null(unclass(control))))
  if (length(given) || length(control$model)) {
    abort_input(c("{.arg control}: {.val {given}} cannot be changed, the context is trained already.",
                  i = "Align all species anew with {.fn RunScSpecies} on objects."))
  }
  before <- context
  settings <- list(
    labels = before$labels, batch = batch, target.labels = target.labels, features = features,
    assay = assay, name = before$reduction, dims = 1, max.epochs = max.epochs, device = device,
    seed.use = NULL, model.dir = model.dir, merge = merge, overwrite = overwrite,
    verbose = verbose, control = control
  )
  new <- species_objects(before$context, target, c(before$species[[1]], species))[-1]
  add_scspecies(before, new, orthologs, settings)
}
