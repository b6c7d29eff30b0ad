#' Integrate systems with sysVI
#'
#' Embeds cells of two or more systems (species, organoids and tissue, cells and nuclei) in one
#' latent space with sysVI: a conditional variational autoencoder with a VampPrior and latent
#' cycle-consistency (Hrovatin et al. 2025).
#'
#' Systems need shared gene names. Species with their own go in as a list, an object each, named by
#' species: `RunSysVI(list(human = h, mouse = m), covariates = "donor")` puts them together as
#' [JoinSpecies()] does, and returns one object; further arguments are those for its class.
#' Expression has to be size-factor
#' normalized and log-transformed. What every cell holds is judged: where an object has only counts,
#' they are normalized for the training, and where some samples are normalized and others are not,
#' these are brought to the scale of those; a message says so, and the object is left as it is.
#' Scaled values, and those of `SCTransform()` or an integration, are refused.
#'
#' With `features = NULL` the highly variable genes of every system are chosen, with the first
#' covariate as batch, and their intersection is used: 2,000 per system, with the preset `"paper"`
#' 3,000.
#'
#' Training can be interrupted (Ctrl-C, Escape): the embedding of the model as it then stands is
#' written, and the history says so.
#'
#' On an error the object is unchanged. Objects hold plain R values and the path of the model:
#' they can be saved and read in another session. They remember which assay was read and how it was
#' scaled, as the model's folder does: functions that use the model read other cells in the same way.
#'
#' @param object A Seurat object, a SingleCellExperiment, or an AnnData held by reticulate.
#' @param system Column of the cells' metadata that says which system a cell is from.
#' @param covariates Columns with weaker, categorical batch effects, such as sample or donor.
#' @param features Genes to train on; `NULL` for the highly variable genes shared by the systems.
#'   The markers of a rare type should be among them.
#' @param dims Number of dimensions of the embedding.
#' @param cycle.weight Weight of the cycle-consistency, 1 to 50; `NULL` for the preset's (3; 5 for
#'   `"paper"`). More of it mixes systems more, at the price of biological differences. 0 switches
#'   it off.
#' @param max.epochs Number of epochs; `NULL` for the default, which falls with the number of cells
#'   (250 up to 32,000 cells; with the preset `"paper"` 400 up to 20,000).
#' @param device `"auto"`, `"cpu"`, `"cuda"`, `"cuda:1"` or `"mps"`.
#' @param seed.use Seed; `NULL` draws one from R's random numbers. The same seed on the same
#'   machine gives the same result.
#' @param model.dir Folder to save the model in; `NULL` for a new one under
#'   `tools::R_user_dir("scsystems", "data")`, or under the option `scsystems.model.dir`.
#' @param overwrite Whether an existing reduction of the same name, and a model in `model.dir`, may
#'   be replaced.
#' @param verbose Whether to show progress and messages.
#' @param control Further settings: see [sysvi_options()].
#' @param labels Column with labels, such as cell types, that the model is told and names the other
#'   cells by; `NULL` for none. Cells without a label are `NA`, and may be all those of a system.
#'   How much labels weigh is `sysvi_options(label_weight = )`.
#' @param unlabeled What that column holds for cells without a label, if they are not `NA`, for
#'   example `"Unknown"`.
#' @param ... Passed on to methods.
#'
#' @return `object` (of a list the joint object), with the embedding: a DimReduc called `reduction.name` (Seurat), a reducedDim
#'   called `name` (SingleCellExperiment), or `obsm[name]` (AnnData, which is also changed in
#'   place). See [TrainingHistory()] and [ModelPath()] for the rest. With `labels`, the metadata have
#'   the columns `predicted.<labels>` (a factor), `predicted.<labels>.probability` (of that label,
#'   calibrated on labels that training was not told), `predicted.<labels>.novelty` (a score that is
#'   high in cells of a type without a label) and `predicted.<labels>.novel` (whether it is above 2.5).
#'
#' @references Hrovatin K, et al. (2025). Integrating single-cell RNA-seq datasets with substantial
#'   batch effects. BMC Genomics.
#' @export
#' @examplesIf scsystems_ready() && rlang::is_installed(c("SeuratObject", "SingleCellExperiment"))
#' \dontshow{options(scsystems.model.dir = tempfile("models"))}
#' # two epochs are for a page that builds quickly: leave max.epochs out
#' object <- RunSysVI(simulated_cells(), system = "species", covariates = "donor", max.epochs = 2)
#' object
#' TrainingHistory(object)
#'
#' sce <- simulated_cells("SingleCellExperiment")
#' sce <- RunSysVI(sce, system = "species", covariates = "donor", max.epochs = 2)
#' SingleCellExperiment::reducedDim(sce, "SYSVI")[1:3, 1:4]
#'
#' # species with genes of their own
#' cells <- simulated_species()
#' RunSysVI(cells[c("mouse", "human")], orthologs = cells$orthologs, covariates = "donor",
#'          max.epochs = 2)
RunSysVI <- function(object, ...) UseMethod("RunSysVI")

#' @rdname RunSysVI
#' @export
RunSysVI.default <- function(object, ...) {
  abort_class(object, "object", "an AnnData from reticulate")
}

#' @rdname RunSysVI
#' @inheritParams JoinSpecies
#' @export
RunSysVI.list <- function(object, system = "system", orthologs = NULL,
                          orthology = c("one2one", "groups"), assay = NULL, assay.type = NULL,
                          verbose = TRUE, control = sysvi_options(), ...) {
  orthology <- rlang::arg_match(orthology)
  check_string(system, "system")
  check_flag(verbose, "verbose")
  check_options(control)
  if (!is.null(assay) && !is.null(assay.type)) {
    abort_input(c("{.arg assay} and {.arg assay.type} name the same thing here.",
                  i = "Give {.arg assay} for Seurat objects, {.arg assay.type} for SingleCellExperiments."))
  }
  joint <- join_species(object, orthologs, orthology, system, assay %||% assay.type,
                        control$target_sum %||% 1e4, verbose)
  RunSysVI(joint, system = system, verbose = verbose, control = control, ...)
}
