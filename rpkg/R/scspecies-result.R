# What RunScSpecies() returns, and how it is shown.

#' @param x What `RunScSpecies()` returned.
#' @rdname RunScSpecies
#' @export
print.scspecies <- function(x, ...) {
  count <- function(n, what) paste0(format(n, big.mark = ","), " ", what, if (n != 1) "s")
  cells <- x$history$cells
  genes <- x$history$genes
  line <- function(name, value) cli::cat_line("  ", formatC(name, width = -12), value)
  cli::cat_line("<scspecies> ", paste(x$species[-1], collapse = ", "), " aligned with ",
                x$species[[1]], ", ", count(nrow(x$genes), "shared ortholog"))
  for (name in x$species) {
    text <- paste0(count(cells[[name]], "cell"), ", ", count(genes[[name]], "gene"))
    mine <- x$cells[x$cells$target == name, , drop = FALSE]
    if (nrow(mine)) {
      text <- paste0(text, ", ", sum(mine$novel), " novel")
      if (!all(is.na(mine$known))) {
        agree <- mean(as.character(mine$label) == mine$known, na.rm = TRUE)
        text <- paste0(text, sprintf(", %.0f %% of labels as known", 100 * agree))
      }
    } else {
      text <- paste0(text, ", ", count(nlevels(x$cells$label), "cell type"))
    }
    line(name, text)
  }
  line("objects", paste0("$context, $targets$", paste(x$species[-1], collapse = ", $targets$"),
                         if (!is.null(x$merged)) ", $merged"))
  line("tables", paste(c("$cells", "$similarity", if (!is.null(x$differential)) "$differential",
                         if (!is.null(x$prototypes)) "$prototypes", "$genes"), collapse = ", "))
  line("reduction", x$reduction)
  line("model", x$model)
  invisible(x)
}
