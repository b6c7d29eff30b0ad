# What Python has got, as an ordinary R matrix of cells x genes; nothing of ours is used.
seen_by_python <- function(matrix, dtype = "float64") {
  values <- reticulate::import("scsystems.r.values", convert = FALSE)
  python <- values$matrix_from_parts(scsystems:::matrix_to_parts(matrix), dtype = dtype)
  dense <- if (reticulate::py_has_attr(python, "toarray")) python$toarray() else python
  # reticulate gives NaN as NA or as NaN, depending on its version
  seen <- reticulate::py_to_r(dense)
  seen[is.nan(seen)] <- NA
  seen
}

# There and back.
round_trip <- function(matrix) {
  values <- reticulate::import("scsystems.r.values", convert = FALSE)
  python <- values$matrix_from_parts(scsystems:::matrix_to_parts(matrix), dtype = "float64")
  scsystems:::matrix_from_parts(reticulate::py_to_r(values$matrix_to_parts(python)))
}

example <- function() {
  m <- matrix(0, 3, 5)
  m[cbind(c(1, 3, 2, 1, 3), c(1, 1, 2, 4, 5))] <- c(1.5, 2, 3, 1e-300, 7)
  Matrix::Matrix(m, sparse = TRUE)
}

test_that("a dgCMatrix arrives as cells x genes and comes back slot by slot", {
  m <- example()
  expect_identical(seen_by_python(m), t(as.matrix(m)))
  back <- round_trip(m)
  expect_s4_class(back, "dgCMatrix")
  for (name in c("i", "p", "x", "Dim")) {
    expect_identical(methods::slot(back, name), methods::slot(m, name))
  }
})

test_that("Python's sparse matrix has the slots themselves, without transposition", {
  m <- example()
  values <- reticulate::import("scsystems.r.values", convert = FALSE)
  csr <- values$matrix_from_parts(scsystems:::matrix_to_parts(m), dtype = "float64")
  expect_identical(reticulate::py_to_r(csr$format), "csr")
  expect_identical(as.vector(reticulate::py_to_r(csr$indices)), m@i)
  expect_identical(as.vector(reticulate::py_to_r(csr$indptr)), m@p)
  expect_identical(as.vector(reticulate::py_to_r(csr$data)), m@x)
})

test_that("other kinds of matrices arrive with their values", {
  m <- example()
  dense <- as.matrix(m)
  doubled <- Matrix::sparseMatrix(i = c(1, 1, 3), j = c(2, 2, 5), x = c(1, 2, 4), dims = c(3, 5),
                                  repr = "T")
  expect_s4_class(doubled, "dgTMatrix")
  expect_identical(seen_by_python(doubled), t(as.matrix(doubled)))
  expect_identical(seen_by_python(methods::as(m, "TsparseMatrix")), t(dense))
  expect_identical(seen_by_python(methods::as(m, "RsparseMatrix")), t(dense))
  expect_identical(seen_by_python(m > 0), t(dense > 0) * 1)
  expect_identical(seen_by_python(methods::as(m > 0, "nMatrix")), t(dense > 0) * 1)
  expect_identical(seen_by_python(Matrix::Matrix(dense, sparse = FALSE)), t(dense))
  symmetric <- Matrix::forceSymmetric(Matrix::crossprod(m))
  expect_identical(seen_by_python(symmetric), as.matrix(symmetric) + 0)
})

test_that("dense matrices arrive and come back: double, integer, logical, with missing values", {
  m <- matrix(c(0.5, NA, -Inf, NaN, 1e300, 0), 2)
  expect_identical(is.na(seen_by_python(m)), is.na(t(m)))
  expect_identical(round_trip(m)[!is.na(m)], m[!is.na(m)])
  expect_identical(dim(round_trip(m)), dim(m))
  whole <- matrix(c(1L, NA, 3L, -4L, 5L, .Machine$integer.max), 2)
  expect_identical(seen_by_python(whole), t(whole) * 1)
  logical <- matrix(c(TRUE, NA, FALSE, TRUE), 2)
  expect_identical(seen_by_python(logical), t(logical) * 1)
})

test_that("missing and infinite values of a sparse matrix arrive", {
  m <- Matrix::sparseMatrix(i = 1:3, j = 1:3, x = c(NA, Inf, NaN))
  expect_identical(is.na(seen_by_python(m)), is.na(t(as.matrix(m))))
  expect_identical(seen_by_python(m)[2, 2], Inf)
})

test_that("matrices without values, cells or genes keep their shape", {
  empty <- methods::as(matrix(0, 3, 2), "CsparseMatrix")
  expect_identical(seen_by_python(empty), matrix(0, 2, 3))
  expect_identical(dim(round_trip(empty)), c(3L, 2L))
  expect_identical(dim(round_trip(methods::as(matrix(0, 0, 2), "CsparseMatrix"))), c(0L, 2L))
  expect_identical(dim(round_trip(methods::as(matrix(0, 3, 0), "CsparseMatrix"))), c(3L, 0L))
  expect_identical(round_trip(matrix(2.5, 1, 1)), matrix(2.5, 1, 1))
})

test_that("what Python does with its copy does not reach R", {
  m <- example()
  x <- m@x + 0
  values <- reticulate::import("scsystems.r.values", convert = FALSE)
  csr <- values$matrix_from_parts(scsystems:::matrix_to_parts(m), dtype = "float64")
  csr$data$fill(9)
  expect_identical(m@x, x)
})

test_that("a matrix that is none is refused", {
  expect_refused(scsystems:::matrix_to_parts("no"), message = "class <character>")
  expect_refused(scsystems:::matrix_to_parts(matrix("a")), message = "dgCMatrix")
})
