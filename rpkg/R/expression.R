# Expression on its way to Python: what the layers of an object hold, and the matrix that goes. A
# `source` says where cells are, see source.R; what becomes of them is decided in scale.R.

# Log-normalized expression of all cells of a source: `matrix` (genes x cells), `totals` of the
# cells that hold counts still (NA for the others; NULL when there are none), the `scale` these go
# to, and the `input`, what is kept of this. `by` are columns whose groups of cells are judged
# apart; `model` is the input of the model that the cells go to, NULL for one of their own.
read_expression <- function(source, features = NULL, by = NULL, target_sum = NULL, model = NULL,
                            verbose = FALSE, call = caller_env()) {
  judge <- function(layer) judge_layer(source, layer, by, call = call)
  logs <- counts <- NULL
  # what was normalized here is normalized here again
  if (isTRUE(model$normalized) && !source$explicit) counts <- judge(source$counts)
  if (!all_counts(counts, source)) logs <- judge(source$wanted)
  if (all_counts(logs, source)) counts <- logs
  # cells without any logarithm may have counts
  certain <- all_logs(logs, source) && !anyNA(logs$kind) && length(log_bases(logs)) < 2
  if (!certain) counts <- counts %||% judge(source$counts)
  plan <- decide_scale(logs, counts, source, target_sum, model, verbose, call = call)
  assemble(logs, counts, plan, source, features, call = call)
}

# ---- what a layer holds -------------------------------------------------------------------------

# What is known of a layer; NULL when it is not there:
#   matrix   genes x cells
#   cells    their names
#   kind     of each cell: "log", "counts", "fractional" (counts with fractions, as correctors of
#            ambient RNA give, or normalized without logarithms), "mixed" (several of these within a
#            group), "bad" (negative or not finite), NA without any value
#   scales   kind, target_sum and base of every group of cells
#   scale    of all cells of the kind "log" together
judge_layer <- function(source, layer, by, call = caller_env()) {
  matrix <- source$get(layer)
  if (is.null(matrix)) return(NULL)
  whole <- whole_cells(matrix, call = call)
  # cells with nothing but NA are not in the layer
  there <- !is.nan(whole)
  if (!any(there)) return(NULL)
  if (!all(there)) matrix <- matrix[, there, drop = FALSE]
  group <- cell_groups(source$obs[colnames(matrix), , drop = FALSE], by)
  # NA for cells without any value
  group <- interaction(group, whole[there], drop = TRUE)
  chosen <- sample_cells(group)
  some <- plain_matrix(matrix[, chosen, drop = FALSE], call = call)
  found <- reticulate::py_to_r(call_bridge(
    "judge_expression", matrix_to_parts(some), buffer(as.integer(group)[chosen] - 1L), .call = call
  ))
  c(list(matrix = matrix), judged_cells(found, colnames(matrix), as.integer(group)))
}

# `group` is every cell's, from 1.
judged_cells <- function(found, cells, group) {
  found <- lapply(found, function(x) as.vector(unlist(x)))
  scales <- data.frame(kind = as.character(found$kind), target_sum = as.double(found$target_sum),
                       base = as.double(found$base))
  list(cells = cells, kind = scales$kind[group], scales = scales,
       scale = list(target_sum = found$log_target_sum, base = found$log_base))
}

# Which cells have the same values in some columns.
cell_groups <- function(obs, by) {
  columns <- lapply(obs[intersect(by, colnames(obs))], function(x) addNA(factor(x)))
  if (length(columns)) interaction(columns, drop = TRUE) else factor(rep("all", nrow(obs)))
}

# For every cell, whether all of its values are whole numbers (1 or 0); NA for cells without any, NaN
# for cells with nothing but missing ones. `values` are looked at together.
whole_cells <- function(matrix, values = 5e7, call = caller_env()) {
  step <- max(1, values %/% max(1, nrow(matrix)))
  starts <- seq(1, by = step, length.out = ceiling(ncol(matrix) / step))
  whole <- lapply(starts, function(start) {
    cells <- seq(start, min(start + step - 1, ncol(matrix)))
    part <- plain_matrix(matrix[, cells, drop = FALSE], call = call)
    count <- function(flag) {
      flag[is.na(flag)] <- TRUE
      if (is.matrix(part)) return(colSums(flag))
      part@x <- as.double(flag)
      colSums(part)
    }
    x <- stored_values(part)
    filled <- count(x != 0)
    state <- ifelse(filled > 0, as.double(count(x != round(x)) == 0), NA)
    ifelse(filled > 0 & count(is.na(x)) == filled, NaN, state)
  })
  as.double(unlist(whole))
}

# Some cells of every group, evenly spaced.
sample_cells <- function(group, most = 10000) {
  each <- max(50, most %/% max(1, nlevels(group)))
  chosen <- lapply(split(seq_along(group), group), function(cells) {
    cells[unique(round(seq(1, length(cells), length.out = min(each, length(cells)))))]
  })
  as.integer(unlist(chosen, use.names = FALSE))
}

holds_all <- function(layer, source) !is.null(layer) && all(source$cells %in% layer$cells)

all_logs <- function(layer, source) {
  holds_all(layer, source) && all(layer$kind %in% c("log", NA))
}

# Bases of the logarithms of a layer's groups, as far as they are known.
log_bases <- function(layer) unique(layer$scales$base[!is.na(layer$scales$base)])

all_counts <- function(layer, source) {
  holds_all(layer, source) && all(layer$kind %in% c(raw_kinds, NA)) && !all(is.na(layer$kind))
}

raw_kinds <- c("counts", "fractional")

# Cells that a layer has counts of, if anything.
counted <- function(layer) layer$cells[layer$kind %in% c(raw_kinds, NA)]

# ---- the matrix that goes -----------------------------------------------------------------------

# `plan` is what decide_scale() gave.
assemble <- function(logs, counts, plan, source, features, call = caller_env()) {
  kept <- setdiff(source$cells, plan$raw)
  data <- list(scale = plan$scale, input = plan$input)
  if (!length(kept)) {
    matrix <- plain_matrix(counts$matrix, call = call)
    return(c(list(matrix = some_genes(matrix, features), totals = colSums(matrix)), data))
  }
  matrix <- some_genes(logs$matrix, features)
  if (length(plan$raw)) matrix <- matrix[, kept, drop = FALSE]
  if (!is.null(plan$convert)) matrix <- rescaled(matrix, plan$convert, plan$scale)
  if (!length(plan$raw)) return(c(list(matrix = matrix), data))
  totals <- stats::setNames(rep(NA_real_, length(source$cells)), source$cells)
  # counts are in the layer of counts, or else in the other
  for (layer in list(counts, logs)) {
    cells <- intersect(plan$raw, counted(layer))
    cells <- cells[is.na(totals[cells])]
    if (!length(cells)) next
    raw <- as_sparse(layer$matrix[, cells, drop = FALSE])
    totals[cells] <- colSums(raw)
    matrix <- cbind(as_sparse(matrix), raw[rownames(matrix), , drop = FALSE])
  }
  c(list(matrix = matrix[, source$cells, drop = FALSE], totals = totals), data)
}

some_genes <- function(matrix, features) {
  if (is.null(features)) matrix else matrix[features, , drop = FALSE]
}

as_sparse <- function(matrix) as(plain_matrix(matrix), "CsparseMatrix")

# Logarithms of values on one scale as those of another; totals that are not known are the same.
rescaled <- function(matrix, from, to) {
  matrix <- plain_matrix(matrix)
  factor <- to$target_sum / from$target_sum
  if (is.na(factor)) factor <- 1
  convert <- function(x) log1p(expm1(x * log(from$base)) * factor) / log(to$base)
  if (is.matrix(matrix)) matrix <- convert(matrix) else matrix@x <- convert(matrix@x)
  matrix
}
