# One column to Python and back.
round_trip <- function(column) {
  values <- reticulate::import("scsystems.r.values", convert = FALSE)
  pandas <- reticulate::import("pandas", convert = FALSE)
  python <- values$column_from_parts(scsystems:::column_to_parts(column))
  parts <- reticulate::py_to_r(values$column_to_parts(pandas$Series(python)))
  scsystems:::column_from_parts(parts)
}

# What Python has got, as Python writes it.
written <- function(column) {
  values <- reticulate::import("scsystems.r.values", convert = FALSE)
  python <- values$column_from_parts(scsystems:::column_to_parts(column))
  reticulate::py_to_r(reticulate::import_builtins(convert = FALSE)$str(python$tolist()))
}

columns <- list(
  factor = factor(c("b", "a", NA, "b"), levels = c("b", "unused", "a")),
  ordered = factor(c("low", "high", NA), levels = c("low", "mid", "high"), ordered = TRUE),
  "factor of nothing but NA" = factor(c(NA, NA), levels = character()),
  "factor of one" = factor("only"),
  logical = c(TRUE, FALSE),
  "logical with NA" = c(TRUE, NA, FALSE),
  "logical, all NA" = c(NA, NA),
  integer = c(0L, -3L, .Machine$integer.max),
  "integer with NA" = c(1L, NA, -.Machine$integer.max),
  double = c(0.1, -Inf, 1e308),
  character = c("x", "", "NA", "x"),
  "character with NA" = c("a", NA, "NA"),
  "text beyond ASCII" = c("\u00e9", "\u65e5\u672c", "{braces}"),
  "character of one" = "one",
  "nothing, character" = character(),
  "nothing, integer" = integer(),
  "nothing, double" = double(),
  "nothing, logical" = logical(),
  "nothing, factor" = factor(character(), levels = "a")
)

for (name in names(columns)) {
  test_that(paste("a column comes back as it went:", name), {
    expect_identical(round_trip(columns[[name]]), columns[[name]])
  })
}

test_that("doubles that are NA and NaN are missing in Python and come back missing", {
  back <- round_trip(c(1, NA, NaN))
  expect_identical(is.na(back), c(FALSE, TRUE, TRUE))
})

test_that("text in another encoding arrives as the same letters", {
  latin <- "caf\xe9"
  Encoding(latin) <- "latin1"
  expect_identical(round_trip(latin), "caf\u00e9")
  expect_identical(levels(round_trip(factor(latin))), "caf\u00e9")
})

test_that("Python sees what R means", {
  expect_identical(written(c(TRUE, NA, FALSE)), "[True, <NA>, False]")
  expect_identical(written(c(5L, NA)), "[5, <NA>]")
  expect_identical(written(c("NA", NA)), "['NA', None]")
  expect_identical(written(factor(c("a", NA))), "['a', nan]")
  expect_identical(written(1:2), "[1, 2]")
})

test_that("factors keep order and unused levels on the way", {
  values <- reticulate::import("scsystems.r.values", convert = FALSE)
  python <- values$column_from_parts(scsystems:::column_to_parts(columns$ordered))
  expect_true(reticulate::py_to_r(python$ordered))
  expect_identical(unlist(reticulate::py_to_r(python$categories$tolist())), c("low", "mid", "high"))
})

test_that("a missing level of a factor is a missing value", {
  expect_identical(round_trip(addNA(factor(c("a", NA)))), factor(c("a", NA)))
})

test_that("columns that cannot be are refused by name", {
  expect_refused(scsystems:::frame_to_parts(data.frame(day = Sys.Date())), message = "day.*Date")
  expect_refused(scsystems:::column_to_parts(list(1), "nested"), message = "nested.*list")
  expect_refused(scsystems:::column_to_parts(1i, "z"), message = "z.*complex")
})

test_that("a data frame arrives with its names and comes back whole", {
  frame <- data.frame(a = 1:2, "odd name" = c("x", NA), row.names = c("r1", "r2"),
                      check.names = FALSE)
  values <- reticulate::import("scsystems.r.values", convert = FALSE)
  python <- values$frame_from_parts(scsystems:::frame_to_parts(frame),
                                    scsystems:::text_list(rownames(frame)))
  parts <- reticulate::py_to_r(values$frame_to_parts(python))
  expect_identical(scsystems:::frame_from_parts(parts, row.names = c("r1", "r2")), frame)
})
