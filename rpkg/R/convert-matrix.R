# Matrices to Python and back. A matrix of genes x cells stored by columns, as R has it, is in
# memory the matrix of cells x genes stored by rows, as Python wants it: the slots go over as they
# are. See values.py for the other side.

# Any matrix-like object as a dgCMatrix or a dense double, integer or logical matrix.
plain_matrix <- function(matrix, call = caller_env()) {
  if (is(matrix, "dgCMatrix")) return(matrix)
  if (is.matrix(matrix) && (is.numeric(matrix) || is.logical(matrix))) return(matrix)
  if (is.data.frame(matrix)) return(plain_matrix(as.matrix(matrix), call = call))
  if (is(matrix, "sparseMatrix")) {
    # dgTMatrix (doubled entries are summed), dgRMatrix, lgCMatrix, ngCMatrix, symmetric ones
    return(as(as(as(matrix, "dMatrix"), "generalMatrix"), "CsparseMatrix"))
  }
  if (is(matrix, "Matrix")) return(as.matrix(matrix))
  # matrices kept on disk: DelayedMatrix, IterableMatrix
  tryCatch(as(matrix, "dgCMatrix"), error = function(e) {
    abort_input(c("Cannot use an expression matrix of class {.cls {class(matrix)}}.",
                  i = "Turn it into a {.cls dgCMatrix} or a numeric matrix first."), call = call)
  })
}

stored_values <- function(matrix) if (is(matrix, "sparseMatrix")) matrix@x else matrix

matrix_to_parts <- function(matrix) {
  matrix <- plain_matrix(matrix)
  if (is.matrix(matrix)) {
    if (is.logical(matrix)) storage.mode(matrix) <- "integer"
    return(list(dense = reticulate::r_to_py(unname(matrix))))
  }
  list(
    data = buffer(matrix@x),
    indices = buffer(matrix@i),
    indptr = buffer(matrix@p),
    shape = reticulate::r_to_py(as.list(dim(matrix)))
  )
}

matrix_from_parts <- function(parts) {
  if (!is.null(parts$dense)) return(parts$dense)
  matrix <- new("dgCMatrix")
  matrix@x <- as.double(parts$data)
  matrix@i <- as.integer(parts$indices)
  matrix@p <- as.integer(parts$indptr)
  matrix@Dim <- as.integer(unlist(parts$shape))
  matrix
}

# A vector as a numpy array of its own type, whatever its length.
buffer <- function(x) reticulate::r_to_py(array(x, dim = length(x)))

# Text as a Python list of str, whatever its length: a single one would become a str. Lists are
# converted item by item, a hundred times more slowly.
text_list <- function(x) {
  x <- enc2utf8(as.character(x))
  reticulate::r_to_py(if (length(x) == 1) list(x) else x)
}
