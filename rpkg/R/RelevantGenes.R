#' Genes that matter most for where cells lie
#'
#' How much every gene contributes to where the cells of a type lie in the latent space of
#' [RunScSpecies()]: layer-wise relevance propagation of the latent mean through the encoder,
#' averaged over latent dimensions and cells. Compare ranks, not values, between species: the
#' values depend on all genes of a species. Needs the Python package captum:
#' `install_scsystems(extras = "relevance")`.
#'
#' @inheritParams RunScSpecies
#' @param result What [RunScSpecies()] or [LoadScSpecies()] returned.
#' @param species Names of species; `NULL` for all.
#' @param n.genes Number of genes per species and type; `NULL` for all.
#' @param gamma How much positive contributions are favored.
#' @param n.cells Cells drawn of every type.
#' @param seed.use Seed of this draw.
#'
#' @return A data frame with `species`, `cell_type`, `gene`, `relevance` and `rank`, from 1 for the
#'   largest absolute relevance. A target's cell types are the known ones, or else the transferred.
#' @export
#' @examplesIf scsystems_ready("captum") && rlang::is_installed("SeuratObject")
#' \dontshow{options(scsystems.model.dir = tempfile("models"))}
#' cells <- simulated_species()
#' # for pages that build quickly: leave max.epochs and control out
#' result <- RunScSpecies(cells$mouse, cells$human, species = c("mouse", "human"),
#'                        labels = "cell_type", batch = "donor", orthologs = cells$orthologs,
#'                        max.epochs = 2, control = scspecies_options(n_neighbors = 5))
#' genes <- RelevantGenes(result, n.genes = 5)
#' head(genes)
#' if (rlang::is_installed("ggplot2")) PlotRelevantGenes(genes)
RelevantGenes <- function(result, species = NULL, n.genes = 50, gamma = 0.25, n.cells = 100,
                          device = "auto", seed.use = 42) {
  check_scspecies(result)
  species <- chosen_of(species, "species", result$species)
  check_number(n.genes, "n.genes", min = 1, whole = TRUE, null = TRUE)
  check_number(gamma, "gamma", min = 0)
  check_number(n.cells, "n.cells", min = 1, whole = TRUE)
  check_number(seed.use, "seed.use", min = 0, whole = TRUE)
  check_device(device)
  needed <- union(result$species[[1]], species)
  opened <- open_scspecies(scspecies_record(result), species_list(result)[needed], result$assays,
                           device)
  tables <- lapply(species, function(name) {
    mine <- result$cells[result$cells$target == name, , drop = FALSE]
    labels <- if (nrow(mine) && all(is.na(mine$known))) text_list(mine$label)
    parts <- call_bridge("species_relevance", opened$handle, name, labels, list(
      gamma = as.double(gamma), n_cells = as.integer(n.cells), seed = as.integer(seed.use)
    ))
    top_genes(cbind(species = name, frame_from_parts(reticulate::py_to_r(parts))), n.genes)
  })
  do.call(rbind, tables)
}

# Within every type the most relevant first.
top_genes <- function(table, n) {
  table <- table[order(table$cell_type, -abs(table$relevance)), , drop = FALSE]
  table$rank <- stats::ave(seq_len(nrow(table)), table$cell_type, FUN = seq_along)
  if (!is.null(n)) table <- table[table$rank <= n, , drop = FALSE]
  rownames(table) <- NULL
  table
}

check_scspecies <- function(result, call = caller_env()) {
  if (inherits(result, "scspecies")) return(invisible())
  abort_input(c("Expected what {.fn RunScSpecies} returned.",
                x = "Found {.obj_type_friendly {result}}."), call = call)
}

# What was chosen among names, all if nothing was.
chosen_of <- function(chosen, name, known, call = caller_env()) {
  if (is.null(chosen)) return(known)
  unknown <- setdiff(as.character(chosen), known)
  if (length(unknown) || !length(chosen)) {
    abort_input(c("{.arg {name}}: there {?is/are} no {.val {unknown}}.",
                  i = "There is {.val {utils::head(known, 20)}}."), call = call)
  }
  as.character(chosen)
}
