# Columns of cells' metadata, whatever class they are of, as plain vectors and factors: a model knows
# categories (systems, covariates, labels) and numbers (continuous covariates).

# Bioconductor's DataFrame, a tibble or another table as a plain data frame. Columns that are tables
# or lists themselves stay lists, which nothing can use and check_columns() refuses by name.
plain_columns <- function(columns, cells) {
  frame <- data.frame(row.names = seq_along(cells))
  for (name in colnames(columns)) frame[[name]] <- plain_column(columns[[name]], length(cells))
  if (!anyNA(cells) && !anyDuplicated(cells)) rownames(frame) <- cells
  frame
}

plain_column <- function(values, n = length(values)) {
  if (is(values, "Rle")) values <- S4Vectors::decode(values)
  if (is(values, "Factor")) values <- S4Vectors::unfactor(values)
  if (is_nested(values)) return(values)
  atomic <- is.atomic(values) && is.null(dim(values)) && length(values) == n
  if (atomic) return(values)
  # a matrix of one column, as scale() makes it
  if (is.atomic(values) && identical(dim(values), c(n, 1L))) return(as.vector(values))
  structure(rep(list(NULL), n), class = c("nested_column", "list"), of = class(values)[[1]])
}

# A column as categories: a factor without unused levels, in the order of its levels, and with
# missing values that are none.
category <- function(values) {
  if (!is.factor(values)) return(factor(category_text(values)))
  if (anyNA(levels(values))) values <- factor(values, exclude = NA)
  droplevels(values)
}

# Whole numbers as such: as.character() makes 1e+05 of 100000.
category_text <- function(values) {
  if (inherits(values, "integer64")) {
    rlang::check_installed("bit64", reason = "to read columns of 64-bit integers")
  }
  text <- as.character(values)
  if (is.double(values)) text[is.nan(values)] <- NA
  if (is.double(values) && !is.object(values)) {
    whole <- which(is.finite(values) & values == round(values))
    text[whole] <- sprintf("%.0f", values[whole])
  }
  text
}

is_nested <- function(column) inherits(column, "nested_column")

# Dates, times and 64-bit integers are no numbers until the user makes them some.
is_number_column <- function(values) is.numeric(values) && !is.object(values)

missing_values <- function(values) {
  if (is.factor(values)) is.na(as.character(values)) else is.na(values)
}
