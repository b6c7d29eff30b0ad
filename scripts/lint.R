# The R code, looked at by lintr: any finding fails. Names have dots and capitals, as those of Seurat
# have; messages may run past 100 columns; unknown names are R CMD check's to find.
linters <- lintr::linters_with_defaults(
  line_length_linter = NULL,
  object_name_linter = NULL, commented_code_linter = NULL, object_usage_linter = NULL,
  cyclocomp_linter = NULL,
  T_and_F_symbol_linter = lintr::T_and_F_symbol_linter(),
  any_is_na_linter = lintr::any_is_na_linter(),
  any_duplicated_linter = lintr::any_duplicated_linter(),
  missing_argument_linter = lintr::missing_argument_linter(),
  redundant_ifelse_linter = lintr::redundant_ifelse_linter(),
  seq_linter = lintr::seq_linter(),
  sprintf_linter = lintr::sprintf_linter(),
  unreachable_code_linter = lintr::unreachable_code_linter(),
  vector_logic_linter = lintr::vector_logic_linter()
)
# newer releases of lintr have one more, which judges what the formatter of an editor should
linters$indentation_linter <- NULL
files <- list.files(c("rpkg/R", "tests/r", "scripts"), "[.]R$", full.names = TRUE, recursive = TRUE)
found <- unlist(lapply(files, lintr::lint, linters = linters), recursive = FALSE)
for (lint in found) {
  cat(sprintf("%s:%d: %s [%s]\n", lint$filename, lint$line_number, lint$message, lint$linter))
}
if (length(found)) stop(length(found), " findings of lintr", call. = FALSE)
cat(length(files), "R files: nothing found\n")
