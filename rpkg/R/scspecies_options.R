#' Further options of scSpecies
#'
#' The settings that are seldom changed, for the `control` argument of [RunScSpecies()]. They have
#' the names of the Python arguments; `NULL` leaves a setting to Python's default. Every other
#' Python argument can be given through the lists at the end.
#'
#' @param preset Set of defaults: `"default"`, the best that is known, or `"paper"`, as in
#'   Schächter et al. (2025).
#' @param alignment What is aligned: `"intermediate"` features through the context's inner encoder
#'   (the default), or `"latent"` samples.
#' @param n_neighbors Number of context neighbors that are candidates of a target cell; `NULL` for 25.
#' @param quantile Cells whose neighbors' agreement reaches this quantile of their label are
#'   aligned; `NULL` for 0.8 above 10,000 cells and 0.2 otherwise.
#' @param kl_weight,eta Weight of the Kullback-Leibler terms and of the alignment: one number, or
#'   two, at the start and after `n_warmup` epochs; `NULL` for 0.1 and 1, and for 10 and 25.
#' @param mixing_weight Weight of the term that mixes the species within cell types; `NULL` for the
#'   preset's: 5, with `"paper"` 0, which switches it off.
#' @param n_warmup Epochs over which weights rise; `NULL` for 10.
#' @param search_every Epochs between searches for every cell's best candidate; `NULL` for the
#'   preset's: 10, with `"paper"` 0, which searches in every step.
#' @param likelihood `"nb"` (the default) or `"zinb"` (with the preset `"paper"`).
#' @param dispersion Dispersion per gene and `"dataset"`, `"batch"` (the default) or `"cell"`.
#' @param library Library size: `"observed"` (the default), or latent with an `"encoder"` (with the
#'   preset `"paper"`).
#' @param encoder_input `"log1p"` of the counts (the default), or the `"counts"`.
#' @param homologous_fraction Fraction of expression given to genes with an ortholog: `"observed"` in
#'   the counts (the default), or their fraction of the `"genes"` (with the preset `"paper"`).
#' @param n_features,n_hidden Number of intermediate features, and width of the other hidden
#'   layers; `NULL` for 300 and 200.
#' @param dropout_rate Dropout in the hidden layers; `NULL` for 0.1.
#' @param batch_size Cells per minibatch; `NULL` for 128, but at most a seventh of a species' cells,
#'   and at least 32.
#' @param n_threads Threads of torch to train on; `NULL` for one where minibatches are small. More
#'   gain little there.
#' @param lr Learning rate of Adam; `NULL` for 0.001.
#' @param n_top_genes,min_cells With `features = NULL`: the number of highly variable genes per
#'   species (`NULL` for 4,000), chosen among those found in at least `min_cells` cells. Orthologs
#'   are taken among them. `n_top_genes = Inf` takes all genes, which aligned much worse where it was
#'   measured.
#' @param checkpoint_dir Folder for checkpoints, from which interrupted training can go on.
#' @param model,train Named lists of any further arguments of Python's `ScSpecies(...)` and
#'   `ScSpecies.train(...)`. Functions in `train = list(callbacks = )` are called after every epoch
#'   of every species with the epoch, the number of epochs and a list of losses; training of the
#'   species ends when one returns `FALSE`.
#' @param orthologs Named list of arguments of Python's `data.orthologs.read(...)`, such as
#'   `list(gene = "id", min_score = 5)`.
#' @param transfer,novelty,similarity,differential Named lists of arguments of the Python methods
#'   that make these results: `transfer_labels(n_neighbors, n_candidates)`,
#'   `novelty(threshold, n_neighbors)`, `similarity(n_samples, seed)` and
#'   `differential_expression(cell_types, n_samples, threshold, ellipse, n_neighbors, seed)`.
#'
#' @return A list of class `scspecies_options`.
#' @export
#' @examples
#' scspecies_options(n_top_genes = 2000, differential = list(threshold = 2))
scspecies_options <- function(preset = NULL, alignment = NULL, n_neighbors = NULL,
                              quantile = NULL, kl_weight = NULL, eta = NULL,
                              mixing_weight = NULL, n_warmup = NULL, search_every = NULL,
                              likelihood = NULL, dispersion = NULL, library = NULL,
                              encoder_input = NULL, homologous_fraction = NULL, n_features = NULL,
                              n_hidden = NULL, dropout_rate = NULL, batch_size = NULL,
                              n_threads = NULL, lr = NULL,
                              n_top_genes = NULL, min_cells = 3, checkpoint_dir = NULL,
                              model = list(), train = list(), orthologs = list(),
                              transfer = list(), novelty = list(), similarity = list(),
                              differential = list()) {
  check_choice(preset, "preset", c("default", "paper"))
  check_choice(alignment, "alignment", c("intermediate", "latent"))
  for (name in c("n_neighbors", "n_features", "n_hidden")) {
    check_number(get(name), name, min = 1, whole = TRUE, null = TRUE)
  }
  for (name in c("n_warmup", "search_every")) {
    check_number(get(name), name, min = 0, whole = TRUE, null = TRUE)
  }
  for (name in c("quantile", "mixing_weight", "dropout_rate", "lr")) {
    check_number(get(name), name, min = 0, null = TRUE)
  }
  for (name in c("kl_weight", "eta")) check_ramp(get(name), name)
  check_choice(likelihood, "likelihood", c("nb", "zinb"))
  check_choice(dispersion, "dispersion", c("dataset", "batch", "cell"))
  check_choice(library, "library", c("observed", "encoder"))
  check_choice(encoder_input, "encoder_input", c("log1p", "counts"))
  check_choice(homologous_fraction, "homologous_fraction", c("observed", "genes"))
  check_number(batch_size, "batch_size", min = 2, whole = TRUE, null = TRUE)
  check_number(n_threads, "n_threads", min = 1, whole = TRUE, null = TRUE)
  if (!identical(n_top_genes, Inf)) {
    check_number(n_top_genes, "n_top_genes", min = 1, whole = TRUE, null = TRUE)
  }
  check_number(min_cells, "min_cells", min = 1, whole = TRUE)
  check_string(checkpoint_dir, "checkpoint_dir", null = TRUE)
  for (name in c("model", "train", "orthologs", "transfer", "novelty", "similarity",
                 "differential")) {
    check_named_list(get(name), name)
  }
  structure(mget(names(formals())), class = "scspecies_options")
}

# One weight, or two: at the start and after the warm-up.
check_ramp <- function(x, name, call = caller_env()) {
  if (is.null(x)) return(invisible())
  if (is.numeric(x) && length(x) %in% 1:2 && all(is.finite(x)) && all(x >= 0)) return(invisible())
  abort_input(c("{.arg {name}} must be one weight of at least 0, or two, or NULL.",
                x = "Found {.obj_type_friendly {x}}."), call = call)
}

check_choice <- function(x, name, choices, call = caller_env()) {
  if (is.null(x)) return(invisible())
  if (is.character(x) && length(x) == 1 && x %in% choices) return(invisible())
  abort_input(c("{.arg {name}} must be one of {.or {.val {choices}}}, or NULL.",
                x = if (is.character(x)) "Found {.val {x}}."
                    else "Found {.obj_type_friendly {x}}."), call = call)
}

check_species_options <- function(control, call = caller_env()) {
  if (inherits(control, "scspecies_options")) return(invisible())
  abort_input(c("{.arg control} must come from {.fn scspecies_options}.",
                x = "Found {.obj_type_friendly {control}}."), call = call)
}

# The settings of the model itself, which are fixed once the context is trained.
species_model_options <- c(
  "preset", "alignment", "n_neighbors", "quantile", "kl_weight", "eta", "mixing_weight",
  "n_warmup", "search_every", "likelihood", "dispersion", "library", "encoder_input",
  "homologous_fraction", "n_features", "n_hidden", "dropout_rate"
)

# The arguments of the two Python calls, as lists ready to be sent. Counts go as integers.
species_model_arguments <- function(dims, seed, control) {
  given <- drop_null(control[species_model_options])
  whole <- intersect(names(given), c("n_neighbors", "n_warmup", "search_every", "n_features",
                                     "n_hidden"))
  given[whole] <- lapply(given[whole], as.integer)
  # two weights as a list, one as a number
  pairs <- names(given)[lengths(given) == 2]
  given[pairs] <- lapply(given[pairs], as.list)
  given <- c(given, list(n_latent = as.integer(dims), seed = as.integer(seed)))
  utils::modifyList(given, control$model)
}

species_train_arguments <- function(max.epochs, control) {
  further <- control$train
  further$callbacks <- python_callbacks(further$callbacks)
  utils::modifyList(drop_null(list(
    max_epochs = whole_or_null(max.epochs), batch_size = whole_or_null(control$batch_size),
    n_threads = whole_or_null(control$n_threads), lr = control$lr,
    checkpoint_dir = whole_path(control$checkpoint_dir)
  )), further)
}

whole_or_null <- function(x) if (!is.null(x)) as.integer(x)
