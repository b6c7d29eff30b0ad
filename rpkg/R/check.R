# Checks of arguments, shared by the functions users call. Each names the argument, what was
# found and what was expected.

# An argument of the caller without a default.
check_given <- function(name, call = caller_env()) {
  if (!eval(call("missing", as.name(name)), call)) return(invisible())
  abort_input("{.arg {name}} must be given.", call = call)
}

check_string <- function(x, name, null = FALSE, call = caller_env()) {
  if (null && is.null(x)) return(invisible())
  if (is.character(x) && length(x) == 1 && !is.na(x) && nzchar(x)) return(invisible())
  abort_input(c("{.arg {name}} must be one string{if (null) ' or NULL' else ''}.",
                x = "Found {.obj_type_friendly {x}}."), call = call)
}

check_flag <- function(x, name, call = caller_env()) {
  if (is.logical(x) && length(x) == 1 && !is.na(x)) return(invisible())
  abort_input(c("{.arg {name}} must be {.val {TRUE}} or {.val {FALSE}}.",
                x = "Found {.obj_type_friendly {x}}."), call = call)
}

check_number <- function(x, name, min = -Inf, whole = FALSE, null = FALSE, call = caller_env()) {
  if (null && is.null(x)) return(invisible())
  # whole numbers go to Python as integers
  max <- if (whole) .Machine$integer.max else Inf
  good <- is.numeric(x) && length(x) == 1 && is.finite(x) && x >= min && x <= max &&
    (!whole || x == round(x))
  if (good) return(invisible())
  kind <- if (whole) "one whole number" else "one number"
  found <- if (is.numeric(x) && length(x) == 1) format(x) else NULL
  abort_input(c(
    "{.arg {name}} must be {kind} of at least {min}{if (isTRUE(x > max)) paste(' and at most', max) else ''}{if (null) ', or NULL' else ''}.",
    x = if (is.null(found)) "Found {.obj_type_friendly {x}}." else "Found {found}."
  ), call = call)
}

# `"auto"`, or a device as torch names it.
check_device <- function(device, name = "device", call = caller_env()) {
  check_string(device, name, call = call)
  if (grepl("^(auto|cpu|mps|(cuda|gpu)(:[0-9]+)?)$", device)) return(invisible())
  abort_input(c("{.arg {name}} must be {.or {.val {c('auto', 'cpu', 'cuda', 'cuda:1', 'mps')}}}.",
                x = "Found {.val {device}}."), call = call)
}

check_columns <- function(columns, name, frame, where, call = caller_env()) {
  if (is.null(columns)) return(invisible())
  if (!is.character(columns) || anyNA(columns)) {
    abort_input(c("{.arg {name}} must be names of columns of {where}.",
                  x = "Found {.obj_type_friendly {columns}}."), call = call)
  }
  absent <- setdiff(columns, colnames(frame))
  if (length(absent)) {
    abort_input(c(
      "{.arg {name}}: no column{?s} {.val {absent}} in {where}.",
      i = "It has {.val {utils::head(colnames(frame), 20)}}."
    ), call = call)
  }
  for (column in columns) check_plain_column(frame[[column]], name, column, call = call)
  invisible()
}

# A column that is a table or a list has no one value for a cell.
check_plain_column <- function(values, name, column, call = caller_env()) {
  values <- plain_column(values)
  if (!is_nested(values)) return(invisible())
  abort_input(c(
    "{.arg {name}}: column {.val {column}} is of class {.cls {attr(values, 'of')}}.",
    x = "A column with one value for every cell is needed: a factor, text or numbers."
  ), call = call)
}

# The column that says which system a cell is from: at least two systems, none missing.
check_system <- function(system, frame, where, call = caller_env()) {
  check_string(system, "system", call = call)
  check_columns(system, "system", frame, where, call = call)
  values <- category(plain_column(frame[[system]]))
  missing <- which(is.na(values))
  if (length(missing)) {
    cells <- utils::head(rownames(frame)[missing], 3)
    abort_input(c(
      "{.arg system}: column {.val {system}} is NA for {length(missing)} cell{?s}.",
      x = "For example {.val {cells}}.",
      i = "Say which system they are from, or remove them first."
    ), call = call)
  }
  found <- levels(values)
  if (length(found) < 2) {
    abort_input(c(
      "{.arg system}: column {.val {system}} holds only one system, {.val {found}}.",
      x = "sysVI aligns two or more systems, such as two species.",
      i = "For ordinary batches within one system other integration methods serve better."
    ), call = call)
  }
  invisible()
}

# Covariates are categories; numbers with fractions among them are a mistake.
check_covariates <- function(covariates, continuous, system, frame, where, call = caller_env()) {
  check_columns(covariates, "covariates", frame, where, call = call)
  check_columns(continuous, "continuous_covariates", frame, where, call = call)
  repeated <- intersect(system, c(covariates, continuous))
  if (length(repeated)) {
    abort_input(c("Column {.val {repeated}} is both the system and a covariate.",
                  i = "Leave it out of {.arg covariates}: the system is a covariate already."),
                call = call)
  }
  for (column in covariates) {
    values <- frame[[column]]
    if (is_number_column(values) && any(values != round(values), na.rm = TRUE)) {
      abort_input(c(
        "{.arg covariates}: column {.val {column}} holds numbers with fractions, not categories.",
        i = "For a continuous covariate use {.code control = sysvi_options(continuous_covariates = \"{column}\")}."
      ), call = call)
    }
  }
  for (column in continuous) {
    if (!is_number_column(frame[[column]])) {
      abort_input(c("{.arg continuous_covariates}: column {.val {column}} is not numeric.",
                    x = "Found {.obj_type_friendly {frame[[column]]}}.",
                    i = "Turn it into numbers with {.fn as.numeric} if that makes sense."), call = call)
    }
  }
  for (column in c(covariates, continuous)) {
    missing <- sum(missing_values(frame[[column]]))
    if (missing) {
      abort_input(c("Covariate {.val {column}} is NA for {missing} cell{?s}.",
                    i = "Fill in or remove these cells first."), call = call)
    }
  }
  invisible()
}

check_names <- function(names, what, remedy, call = caller_env()) {
  if (is.null(names)) {
    abort_input(c("The object has no {what} names.", i = "{remedy}"), call = call)
  }
  doubled <- unique(names[duplicated(names)])
  if (length(doubled)) {
    abort_input(c(
      "{length(doubled)} {what} name{?s} occur{?s/} more than once.",
      x = "For example {.val {utils::head(doubled, 3)}}.",
      i = "{remedy}"
    ), call = call)
  }
  invisible()
}

check_features <- function(features, available, of = "the object's", call = caller_env()) {
  if (is.null(features)) return(invisible())
  if (!is.character(features) || !length(features) || anyNA(features)) {
    abort_input(c("{.arg features} must be names of genes, or NULL to choose highly variable ones.",
                  x = "Found {.obj_type_friendly {features}}."), call = call)
  }
  absent <- setdiff(features, available)
  if (length(absent)) {
    abort_input(c(
      "{length(absent)} of {length(features)} {.arg features} {?is/are} not among {of} genes.",
      x = "For example {.val {utils::head(absent, 3)}}.",
      i = "Genes there look like {.val {utils::head(available, 3)}}."
    ), call = call)
  }
  check_names(features, "feature", "Give every feature once.", call = call)
}

# Finite and not negative. One pass; where exactly is looked up only when something is wrong.
# `hint` says where else there is expression.
check_expression <- function(matrix, hint = NULL, call = caller_env()) {
  values <- stored_values(matrix)
  if (!length(values)) return(invisible())
  extremes <- c(min(values), max(values)) # range() would copy them
  if (anyNA(extremes) || any(is.infinite(extremes))) {
    bad <- which(!is.finite(values))
    place <- locate(matrix, bad[[1]])
    cli::cli_abort(c(
      "The expression matrix has {length(bad)} value{?s} that {?is/are} NaN, NA or infinite.",
      x = "The first is {.val {values[[bad[[1]]]]}}, gene {.val {place$gene}} in cell {.val {place$cell}}.",
      i = "Cells without any counts become NaN when they are normalized: remove them first."
    ), class = c("scsystems_non_finite_error", "scsystems_error"), call = call)
  }
  if (extremes[[1]] < 0) {
    bad <- which(values < 0)
    place <- locate(matrix, bad[[1]])
    abort_input(c(
      "The expression matrix has {length(bad)} negative value{?s}.",
      x = "The first is {.val {values[[bad[[1]]]]}}, gene {.val {place$gene}} in cell {.val {place$cell}}.",
      i = "sysVI needs log-normalized expression, not scaled or otherwise corrected data.",
      i = if (length(hint)) "{hint}"
    ), call = call)
  }
  invisible()
}

# Name the gene and the cell of one stored value.
locate <- function(matrix, position) {
  if (is(matrix, "CsparseMatrix")) {
    gene <- matrix@i[[position]] + 1L
    cell <- findInterval(position - 1, matrix@p)
  } else {
    gene <- (position - 1) %% nrow(matrix) + 1
    cell <- (position - 1) %/% nrow(matrix) + 1
  }
  list(gene = rownames(matrix)[[gene]] %||% gene, cell = colnames(matrix)[[cell]] %||% cell)
}
