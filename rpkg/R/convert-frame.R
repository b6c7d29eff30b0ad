# Columns of a data frame to Python and back, with missing values, factor levels and their order
# exact. The parts of a column are described in values.py.

column_to_parts <- function(column, name = "column", call = caller_env()) {
  if (is.factor(column)) {
    if (anyNA(levels(column))) column <- factor(column, exclude = NA)
    return(list(kind = "factor", values = codes(as.integer(column)),
                levels = text_list(levels(column)), ordered = is.ordered(column)))
  }
  if (is.object(column) && !inherits(column, "AsIs")) {
    abort_input(c("Column {.val {name}} is of class {.cls {class(column)}}, which cannot go to Python.",
                  i = "Turn it into a factor, text or numbers first."), call = call)
  }
  switch(
    typeof(column),
    character = {
      levels <- unique(column[!is.na(column)])
      list(kind = "character", values = codes(match(column, levels)), levels = text_list(levels))
    },
    logical = list(kind = "logical", values = codes(as.integer(column) + 1L)),
    integer = list(kind = "integer", values = buffer(as.integer(column))),
    double = list(kind = "double", values = buffer(as.double(column))),
    abort_input(c("Column {.val {name}} is of type {.cls {typeof(column)}}, which cannot go to Python.",
                  i = "Turn it into a factor, text or numbers first."), call = call)
  )
}

# Codes from 1, NA where missing -> codes from 0, -1 where missing.
codes <- function(x) {
  x <- x - 1L
  x[is.na(x)] <- -1L
  buffer(x)
}

column_from_parts <- function(parts) {
  values <- as.vector(parts$values)
  levels <- as.character(unlist(parts$levels))
  switch(
    parts$kind,
    factor = structure(uncode(values), levels = levels,
                       class = c(if (parts$ordered) "ordered", "factor")),
    character = levels[uncode(values)],
    logical = as.logical(uncode(values) - 1L),
    integer = as.integer(values),
    double = as.double(values)
  )
}

uncode <- function(values) {
  values <- as.integer(values)
  values[values < 0L] <- NA_integer_
  values + 1L
}

frame_to_parts <- function(frame, columns = colnames(frame), call = caller_env()) {
  parts <- lapply(columns, function(name) column_to_parts(frame[[name]], name, call = call))
  dictionary(stats::setNames(parts, enc2utf8(columns)))
}

frame_from_parts <- function(parts, row.names = NULL) {
  columns <- lapply(parts, column_from_parts)
  as.data.frame(columns, row.names = row.names, check.names = FALSE, optional = TRUE,
                stringsAsFactors = FALSE)
}

# A named list for Python, where an empty one must be a dictionary too.
dictionary <- function(x) if (length(x)) x else reticulate::dict()
