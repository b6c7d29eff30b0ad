# The scale of expression: what is normalized here, how, and what is kept of it.
#
# A scale is the total of every cell before logarithms, `target_sum`, and the `base` of these. An
# input, kept in the object and with the model, decides what is read for that model later:
#   object      "Seurat", "SingleCellExperiment" or "AnnData"
#   assay       assay of a Seurat object, assay.type of a SingleCellExperiment, layer of an AnnData
#   normalized  whether counts were normalized here
#   target_sum, base   NA where they cannot be told

# Which cells hold counts that are normalized here, `raw`, and to which `scale`; `convert`, the
# scale of the others where it has to be changed; and the `input`. Arguments as in read_expression().
decide_scale <- function(logs, counts, source, target_sum, model, verbose, call = caller_env()) {
  if (is.null(logs) && is.null(counts)) abort_no_expression(source, call = call)
  refuse_layer(logs, source, call = call)
  scale <- wanted_scale(target_sum, model)
  plan <- function(raw, scale, convert = NULL) {
    list(raw = raw, scale = scale, convert = convert,
         input = new_input(source, identical(raw, source$cells), scale))
  }
  if (!"log" %in% logs$kind) {
    if (!all_counts(counts, source)) abort_incomplete(counts, source, call = call)
    say_counts(counts, source, scale, model, verbose)
    return(plan(source$cells, scale))
  }
  empty <- setdiff(logs$cells[is.na(logs$kind)], counts$cells[!is.na(counts$kind)])
  rest <- setdiff(source$cells, c(logs$cells[logs$kind %in% "log"], empty))
  found <- logs$scale
  if (length(log_bases(logs)) > 1) {
    check_bases(logs, counts, source, call = call)
    say_apart(source$cells, source, "all are normalized anew from their counts", scale, verbose)
    return(plan(source$cells, scale))
  }
  if (length(rest)) {
    if (anyNA(found) && all_counts(counts, source)) {
      say_apart(rest, source, "all cells are normalized anew from their counts", scale, verbose)
      return(plan(source$cells, scale))
    }
    check_apart(rest, logs, counts, found, source, call = call)
    say_apart(rest, source, "they are normalized as the others are", found, verbose)
  }
  if (is.null(model)) {
    warn_mixed(logs, source)
    return(plan(rest, found))
  }
  # what is not known of one is taken to be as in the other
  brought <- Map(function(mine, theirs) if (anyNA(c(mine, theirs))) mine else theirs,
                 found, model[names(found)])
  if (same_scale(found, brought)) return(plan(rest, found))
  say_scale(found, brought, source, verbose)
  plan(rest, brought, convert = found)
}

# The scale that counts are normalized to: what the user says, the model's, 10,000.
wanted_scale <- function(target_sum, model) {
  known <- function(x) if (length(x) && !is.na(x)) x
  list(target_sum = as.double(target_sum %||% known(model$target_sum) %||% 1e4),
       base = known(model$base) %||% exp(1))
}

# As far as both are known.
same_scale <- function(one, other, factor = 1.01) {
  same <- c(abs(log(one$target_sum / other$target_sum)) <= log(factor),
            abs(one$base - other$base) < 0.01)
  all(same, na.rm = TRUE)
}

scale_text <- function(scale) {
  total <- format(scale$target_sum, big.mark = ",", digits = 4, scientific = FALSE)
  logs <- if (is.na(scale$base)) "logarithms of unknown base"
          else if (abs(scale$base - exp(1)) < 0.01) "natural logarithms"
          else paste("logarithms of base", format(scale$base))
  paste0(if (!is.na(scale$target_sum)) paste0(total, " per cell, "), logs)
}

# ---- inputs -------------------------------------------------------------------------------------

new_input <- function(source, normalized, scale) {
  list(object = source$object, assay = source$assay, normalized = normalized,
       target_sum = scale$target_sum, base = scale$base)
}

# Of a model that does not say.
unknown_input <- list(normalized = FALSE, target_sum = NA_real_, base = NA_real_)

# The same as it came back from a model's folder or an AnnData; NULL where nothing is known.
as_input <- function(input) {
  if (is.null(input)) return(NULL)
  number <- function(x) if (is.null(x)) NA_real_ else as.double(x)
  list(object = as.vector(input$object), assay = as.vector(input$assay),
       normalized = as.logical(input$normalized), target_sum = number(input$target_sum),
       base = number(input$base))
}

input_text <- function(input) {
  paste0(c(input$assay, input$object)[[1]], if (input$normalized) ", counts normalized here",
         if (!is.na(input$base)) paste0(", ", scale_text(input)))
}

# ---- what is said -------------------------------------------------------------------------------

say_counts <- function(counts, source, scale, model, verbose) {
  held <- if (!"fractional" %in% counts$kind) "counts only"
          else "counts with fractions, or values normalized without logarithms"
  inform(verbose, c(i = "{source$where} holds {held}: they are log-normalized ({scale_text(scale)}), the object stays as it is."))
  # of another scale than the model's, which the user asks for, the model warns
  if (is.null(model) || !anyNA(model[names(scale)])) return(invisible())
  cli::cli_warn(c(
    "The scale of the model's cells is not known; counts were normalized to {scale_text(scale)}.",
    i = "Better give values that are log-normalized as the model's cells were."
  ), class = "scsystems_warning")
}

# Logarithms of different bases do not go together.
check_bases <- function(logs, counts, source, call = caller_env()) {
  if (all_counts(counts, source)) return(invisible())
  texts <- scale_texts(logs)
  abort_input(c("Cells in {source$where} are normalized in different ways: {texts}.",
                x = "There are no counts of all of them.",
                i = "Normalize all cells alike first: {.code {source$remedy}}."), call = call)
}

scale_texts <- function(layer) {
  known <- layer$scales[!is.na(layer$scales$base), , drop = FALSE]
  unique(vapply(seq_len(nrow(known)), function(i) scale_text(known[i, ]), ""))
}

apart_text <- function(rest, source) {
  if (identical(rest, source$cells)) {
    return(cli::format_inline("Cells in {source$where} are normalized in different ways"))
  }
  cli::format_inline("{length(rest)} of {length(source$cells)} cells in {source$where} {cli::qty(length(rest))}{?is/are} not normalized, such as {.val {utils::head(rest, 3)}}")
}

say_apart <- function(rest, source, what, scale, verbose) {
  inform(verbose, c("!" = "{apart_text(rest, source)}: {what} ({scale_text(scale)}), the object stays as it is."))
}

# Counts are needed of the cells that are not normalized, and the scale of those that are.
check_apart <- function(rest, logs, counts, found, source, call = caller_env()) {
  lacking <- setdiff(rest, c(counted(logs), counted(counts)))
  if (!anyNA(found) && !length(lacking)) return(invisible())
  abort_input(c(
    "{apart_text(rest, source)}.",
    x = if (length(lacking)) "There are no counts of {.val {utils::head(lacking, 3)}} either."
        else "How the others were normalized cannot be told, and there are no counts of all cells.",
    i = "Normalize all cells alike first: {.code {source$remedy}}."
  ), call = call)
}

# Values that no normalization of ours makes right.
refuse_layer <- function(layer, source, call = caller_env()) {
  if (!"bad" %in% layer$kind) return(invisible())
  # says the gene and the cell
  if (!is.null(layer$matrix)) check_expression(plain_matrix(layer$matrix), source$hint, call = call)
  abort_input(c("{source$where} holds negative values, as scaled data do.",
                i = "Give log-normalized expression: {.code {source$remedy}}."), call = call)
}

abort_no_expression <- function(source, call = caller_env()) {
  abort_input(c("There is no expression in {source$where}.",
                x = "Looked for {.val {unique(c(source$wanted, source$counts))}}.",
                i = if (length(source$layers)) "It has {.val {source$layers}}."
                    else if (length(source$hint)) "{source$hint}"),
              call = call)
}

abort_incomplete <- function(counts, source, call = caller_env()) {
  lacking <- setdiff(source$cells, counted(counts))
  abort_input(c(
    "{length(lacking)} of {length(source$cells)} cells in {source$where} have neither log-normalized values nor counts.",
    x = "For example {.val {utils::head(lacking, 3)}}.",
    i = "Normalize all cells alike first: {.code {source$remedy}}.", i = if (length(source$hint)) "{source$hint}"
  ), call = call)
}

# A total that differs little is what cells normalized apart have, by scuttle for example.
say_scale <- function(scale, model, source, verbose) {
  text <- c(
    "{source$where} is on another scale than what the model was trained on, and was brought to the model's.",
    i = "Found {scale_text(scale)}; the model has {scale_text(model)}."
  )
  if (same_scale(scale, model, factor = 1.5)) inform(verbose, text)
  else cli::cli_warn(text, class = "scsystems_warning")
}

# Groups of one training whose totals no protocol makes that different.
warn_mixed <- function(logs, source) {
  totals <- logs$scales$target_sum[!is.na(logs$scales$target_sum)]
  if (length(totals) < 2 || max(totals) <= 2 * min(totals)) return(invisible())
  texts <- scale_texts(logs)
  cli::cli_warn(c(
    "Cells in {source$where} are normalized in different ways: {texts}.",
    i = "The model takes that for biology. Normalize all cells alike: {.code {source$remedy}}."
  ), class = "scsystems_warning")
}
