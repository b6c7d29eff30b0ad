#' Further options of sysVI
#'
#' The settings that are seldom changed, for the `control` argument of [RunSysVI()]. They have the
#' names of the Python arguments; every other Python argument can be given through `model`, `train`
#' and `plan`. `NULL` leaves a setting to Python's default.
#'
#' @param preset Set of defaults: `"default"`, the best that is known, or `"paper"`, as in Hrovatin
#'   et al. (2025); the number of genes is among them.
#' @param prior The prior of the latent space: `"vamp"` (a mixture of encoded pseudo-cells),
#'   `"standard_normal"` or `"gmm"`.
#' @param n_prior_components Number of components of the `"vamp"` and `"gmm"` priors; `NULL` for the
#'   preset's.
#' @param pseudoinputs Cells (names or positions) that the pseudo-cells of the `"vamp"` prior start
#'   from; `NULL` for the preset's choice.
#' @param trainable_priors Whether the prior's components are trained.
#' @param n_hidden,n_layers Width and number of the hidden layers. Other widths integrated the
#'   pancreas worse or lost a rare type, and so did a deeper encoder.
#' @param n_layers_decoder Number of the decoder's hidden layers; `NULL` for the preset's: 3, with
#'   `"paper"` as many as the encoder has (`n_layers`). With 3 systems mix more than with 2.
#' @param dropout_rate Dropout in the hidden layers.
#' @param out_var_mode Variance of the decoder: 1 for every gene (`"constant"`), learned per gene
#'   (`"feature"`) or per cell and gene (`"sample_feature"`); `NULL` for the preset's: constant, with
#'   `"paper"` per gene.
#' @param embed_categorical_covariates Whether categorical covariates enter as learned vectors.
#'   Worth it with many samples.
#' @param continuous_covariates Columns of numbers used as continuous covariates.
#' @param weight_batches Whether the cycle-consistency weighs systems inversely to their size.
#' @param batch_size Cells per minibatch; `NULL` for 128.
#' @param n_threads Cores of the CPU to train on; `NULL` for one where minibatches are small. With
#'   several, at most four, each takes a minibatch in a process forked from this one, and the result
#'   of a seed depends on their number. If one of these processes hangs or dies, this one does its
#'   part, with the same result and a warning. Elsewhere than on Linux, and with priors other than
#'   the default, they are threads of torch, which gain little.
#' @param train_size Share of the cells that is trained on, the rest is for validation; `NULL`
#'   trains on all.
#' @param early_stopping Whether to stop when the validation loss no longer falls.
#' @param lr,weight_decay Learning rate and weight decay of Adam; `NULL` for the preset's rate (0.002;
#'   0.001 for `"paper"`) and for a decay of 1e-6.
#' @param kl_weight Weight of the Kullback-Leibler term; `NULL` for the preset's (0.8; 1 for
#'   `"paper"`).
#' @param label_weight Weight of the labels that [RunSysVI()] is given; `NULL` for the default (2).
#' @param n_top_genes,min_cells With `features = NULL`: the number of highly variable genes (`NULL` for
#'   the preset's: 2,000, with `"paper"` 3,000), and the smallest number of cells per system a gene has
#'   to be found in.
#' @param hvg_merge How the systems' variable genes are put together: `"intersection"` takes those among
#'   the `n_top_genes` of every system, so that fewer remain the more the systems differ; `"joint"` takes
#'   the `n_top_genes` whose worst rank over the systems is best.
#' @param keep With `features = NULL`: names of genes that are used besides, whether they vary or not,
#'   such as the markers of a rare type.
#' @param give_mean Whether a cell is represented by the mean of its posterior or by one draw.
#' @param target_sum When counts have to be normalized: the total every cell is scaled to. `NULL` for
#'   10,000 or, where cells go to a trained model, what its cells were scaled to.
#' @param checkpoint_dir Folder for checkpoints, from which interrupted training can go on.
#' @param model,train,plan,features Named lists of any further arguments of Python's
#'   `SysVI(...)`, `SysVI.train(...)`, its `plan_kwargs`, and `pp.select_features(...)`.
#'
#' Functions in `train = list(callbacks = )` are called after every epoch with the epoch, the number of
#' epochs and a list of losses; training ends when one returns `FALSE`.
#'
#' @return A list of class `sysvi_options`.
#' @export
#' @examples
#' sysvi_options(n_layers_decoder = 2, n_top_genes = 3000)
sysvi_options <- function(preset = c("default", "paper"),
                          prior = c("vamp", "standard_normal", "gmm"), n_prior_components = NULL,
                          pseudoinputs = NULL, trainable_priors = TRUE, n_hidden = 256,
                          n_layers = 2, n_layers_decoder = NULL, dropout_rate = 0.1,
                          out_var_mode = NULL,
                          embed_categorical_covariates = FALSE, continuous_covariates = NULL,
                          weight_batches = FALSE, batch_size = NULL, n_threads = NULL,
                          train_size = NULL, early_stopping = FALSE, lr = NULL,
                          weight_decay = NULL, kl_weight = NULL, label_weight = NULL,
                          n_top_genes = NULL, min_cells = 20,
                          hvg_merge = c("intersection", "joint"), keep = NULL, give_mean = TRUE,
                          target_sum = NULL, checkpoint_dir = NULL, model = list(),
                          train = list(), plan = list(), features = list()) {
  preset <- rlang::arg_match(preset)
  prior <- rlang::arg_match(prior)
  hvg_merge <- rlang::arg_match(hvg_merge)
  if (!is.null(out_var_mode)) {
    out_var_mode <- rlang::arg_match(out_var_mode, c("constant", "feature", "sample_feature"))
  }
  check_number(n_prior_components, "n_prior_components", min = 1, whole = TRUE, null = TRUE)
  check_flag(trainable_priors, "trainable_priors")
  check_number(n_hidden, "n_hidden", min = 1, whole = TRUE)
  check_number(n_layers, "n_layers", min = 1, whole = TRUE)
  check_number(n_layers_decoder, "n_layers_decoder", min = 1, whole = TRUE, null = TRUE)
  check_number(dropout_rate, "dropout_rate", min = 0)
  check_flag(embed_categorical_covariates, "embed_categorical_covariates")
  check_flag(weight_batches, "weight_batches")
  check_number(batch_size, "batch_size", min = 2, whole = TRUE, null = TRUE)
  check_number(n_threads, "n_threads", min = 1, whole = TRUE, null = TRUE)
  check_number(train_size, "train_size", min = 0, null = TRUE)
  check_flag(early_stopping, "early_stopping")
  check_number(lr, "lr", min = 0, null = TRUE)
  check_number(weight_decay, "weight_decay", min = 0, null = TRUE)
  check_number(kl_weight, "kl_weight", min = 0, null = TRUE)
  check_number(label_weight, "label_weight", min = 0, null = TRUE)
  check_number(n_top_genes, "n_top_genes", min = 1, whole = TRUE, null = TRUE)
  check_number(min_cells, "min_cells", min = 0, whole = TRUE)
  check_keep(keep)
  check_flag(give_mean, "give_mean")
  check_number(target_sum, "target_sum", min = 1, null = TRUE)
  check_string(checkpoint_dir, "checkpoint_dir", null = TRUE)
  for (name in c("model", "train", "plan", "features")) check_named_list(get(name), name)
  structure(mget(names(formals())), class = "sysvi_options")
}

check_keep <- function(keep, call = caller_env()) {
  if (is.null(keep)) return(invisible())
  if (is.character(keep) && length(keep) && !anyNA(keep)) return(invisible())
  abort_input(c("{.arg keep} must be names of genes, or NULL.",
                x = "Found {.obj_type_friendly {keep}}."), call = call)
}

check_named_list <- function(value, name, call = caller_env()) {
  if (is.list(value) && (!length(value) || rlang::is_named(value))) return(invisible())
  abort_input(c("{.arg {name}} must be a named list of Python arguments.",
                x = "Found {.obj_type_friendly {value}}."), call = call)
}

check_options <- function(control, call = caller_env()) {
  if (inherits(control, "sysvi_options")) return(invisible())
  abort_input(c("{.arg control} must come from {.fn sysvi_options}.",
                x = "Found {.obj_type_friendly {control}}."), call = call)
}

# The arguments of the three Python calls, as lists ready to be sent. Counts go as integers.
setup_arguments <- function(settings, control) {
  list(
    batch_key = settings$system,
    categorical_covariate_keys = if (length(settings$covariates)) as.list(settings$covariates),
    continuous_covariate_keys =
      if (length(control$continuous_covariates)) as.list(control$continuous_covariates),
    weight_batches = control$weight_batches,
    labels_key = settings$labels,
    unlabeled_category = settings$unlabeled
  )
}

model_arguments <- function(dims, seed, control, cells, call = caller_env()) {
  utils::modifyList(drop_null(list(
    preset = control$preset,
    prior = control$prior,
    n_prior_components =
      if (!is.null(control$n_prior_components)) as.integer(control$n_prior_components),
    pseudoinputs_data_indices = cell_positions(control$pseudoinputs, cells, call = call),
    n_latent = as.integer(dims),
    n_hidden = as.integer(control$n_hidden),
    n_layers = as.integer(control$n_layers),
    n_layers_decoder =
      if (!is.null(control$n_layers_decoder)) as.integer(control$n_layers_decoder),
    dropout_rate = as.double(control$dropout_rate),
    out_var_mode = control$out_var_mode,
    trainable_priors = control$trainable_priors,
    embed_categorical_covariates = control$embed_categorical_covariates,
    seed = as.integer(seed)
  )), control$model)
}

train_arguments <- function(max.epochs, cycle.weight, seed, control) {
  plan <- utils::modifyList(drop_null(list(
    lr = control$lr,
    weight_decay = control$weight_decay,
    kl_weight = if (!is.null(control$kl_weight)) as.double(control$kl_weight),
    label_weight = if (!is.null(control$label_weight)) as.double(control$label_weight),
    z_distance_cycle_weight = if (!is.null(cycle.weight)) as.double(cycle.weight)
  )), control$plan)
  further <- control$train
  further$callbacks <- python_callbacks(further$callbacks)
  utils::modifyList(drop_null(list(
    max_epochs = if (!is.null(max.epochs)) as.integer(max.epochs),
    train_size = control$train_size,
    batch_size = if (!is.null(control$batch_size)) as.integer(control$batch_size),
    n_threads = if (!is.null(control$n_threads)) as.integer(control$n_threads),
    early_stopping = control$early_stopping,
    checkpoint_dir = whole_path(control$checkpoint_dir),
    seed = as.integer(seed),
    plan_kwargs = plan
  )), further)
}

drop_null <- function(x) x[!vapply(x, is.null, logical(1))]

# Names or positions of cells, as positions from 0.
cell_positions <- function(which, cells, call = caller_env()) {
  if (is.null(which)) return(NULL)
  positions <- if (is.character(which)) match(which, cells) else as.integer(which)
  if (anyNA(positions) || any(positions < 1 | positions > length(cells))) {
    abort_input(c("{.arg pseudoinputs} must be names or positions of cells that are trained on.",
                  i = "There are {length(cells)} cells."), call = call)
  }
  reticulate::r_to_py(as.list(positions - 1L))
}
