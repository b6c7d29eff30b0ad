# Where the cells of an object are and how they are read: a source, the same for all classes.
#   object, assay    which class of object, and which of its assays
#   where            how messages call it
#   cells, genes     names of the assay's
#   obs              data frame of the object's cells, named by cell
#   wanted, counts   names of the layers with log-normalized values and with counts
#   get              function that gives a layer, genes x cells, or NULL
#   layers           names of those that are there
#   explicit         whether the user has named the layer
#   remedy, hint     code that normalizes, and where else there may be expression

holds_cells <- function(object) is(object, "Seurat") || is(object, "SingleCellExperiment")

# `assay` is a Seurat object's assay or a SingleCellExperiment's assay.type, NULL for what a model
# was trained on (its `input`) or else what is usual. `needs` is for messages on unfit assays,
# `argument` names the object there when it is not the first.
cells_source <- function(object, assay = NULL, input = NULL, argument = NULL, needs = NULL,
                         call = caller_env()) {
  if (is(object, "Seurat")) return(seurat_source(object, assay, input, argument, needs, call))
  if (is(object, "SingleCellExperiment")) return(sce_source(object, assay, input, argument, call))
  abort_class(object, argument %||% "object", call = call)
}

# Something that has no cells as functions read them, with what to do about it. `further` names what
# the function takes besides.
abort_class <- function(object, argument, further = NULL, call = caller_env()) {
  takes <- c("a Seurat object", "a SingleCellExperiment", further)
  abort_input(c(
    "{.arg {argument}} must be {.or {takes}}.",
    x = "Found {.obj_type_friendly {object}}: there is no method for class {.cls {class(object)}}.",
    i = class_hint(object)
  ), call = call)
}

class_hint <- function(object) {
  if (is.character(object)) {
    return("A path or a name is no object: read the file first, for example with {.fn readRDS}.")
  }
  if (is(object, "SummarizedExperiment")) {
    return("{.code as(object, \"SingleCellExperiment\")} makes one of it.")
  }
  if (is(object, "Assay") || is(object, "StdAssay") || is(object, "DimReduc")) {
    return("Give the whole object, not a part of it.")
  }
  if (is.data.frame(object) || !is.null(dim(object))) {
    return("Make an object of counts and metadata: {.code CreateSeuratObject(counts, meta.data = metadata)}, genes in rows.")
  }
  if (is.list(object)) {
    return("Put several objects together first: {.fn merge} for Seurat, {.fn cbind} for SingleCellExperiment; species with their own genes with {.fn JoinSpecies}.")
  }
}

# The metadata alone.
cells_obs <- function(object) {
  if (is(object, "Seurat")) return(plain_columns(object[[]], colnames(object)))
  if (is(object, "SingleCellExperiment")) {
    return(plain_columns(SummarizedExperiment::colData(object), colnames(object)))
  }
  cells_source(object)$obs
}

# "reference: " before what a message says of an object that is not the first argument.
of_argument <- function(argument) if (is.null(argument)) "" else paste0("`", argument, "`: ")

# ---- Seurat -------------------------------------------------------------------------------------

seurat_source <- function(object, assay, input, argument, needs, call = caller_env()) {
  rlang::check_installed("SeuratObject")
  found <- SeuratObject::Assays(object)
  trained <- if (identical(input$object, "Seurat")) intersect(input$assay, found)
  if (length(trained)) assay <- assay %||% trained
  assay <- seurat_assay(object, assay, argument, needs, call = call)
  others <- setdiff(usable_assays(object), assay)
  source <- assay_source(object[[assay]], assay, cells_obs(object), argument)
  if (length(others)) {
    source$hint <- cli::format_inline("Or use another assay: the object has {.val {others}}.")
  }
  source
}

# An assay on its own, with a data frame of its cells.
assay_source <- function(assay, name, obs, argument = NULL) {
  list(
    object = "Seurat", assay = name, explicit = FALSE,
    where = paste0(of_argument(argument), cli::format_inline("assay {.val {name}}")),
    cells = colnames(assay), genes = rownames(assay), obs = obs,
    wanted = "data", counts = "counts", get = function(layer) assay_matrix(assay, layer),
    remedy = sprintf("NormalizeData(%s, assay = \"%s\")", argument %||% "object", name)
  )
}

usable_assays <- function(object) {
  Filter(function(name) !is(object[[name]], "SCTAssay"), SeuratObject::Assays(object))
}

# `needs` says what an assay made by SCTransform does not give.
seurat_assay <- function(object, assay, argument = NULL, needs = NULL, call = caller_env()) {
  check_string(assay, "assay", null = TRUE, call = call)
  given <- !is.null(assay)
  assay <- assay %||% SeuratObject::DefaultAssay(object)
  found <- SeuratObject::Assays(object)
  if (!assay %in% found) {
    abort_input(c("{.arg assay}: {argument %||% 'the object'} has no assay {.val {assay}}.",
                  i = "It has {.val {found}}."), call = call)
  }
  if (is(object[[assay]], "SCTAssay")) {
    others <- usable_assays(object)
    needs <- needs %||% "sysVI needs size-factor normalized, log-transformed expression"
    of_reference <- !given && !is.null(argument)
    abort_input(c(
      if (of_reference) "{.arg {argument}}: its default assay, {.val {assay}}, was made by {.fn SCTransform}."
      else "{.arg assay}: {.val {assay}} was made by {.fn SCTransform}.",
      x = "{needs}, not values corrected by a model.",
      i = if (!length(others)) NULL
          else if (of_reference) "Use {.code DefaultAssay({argument}) <- \"{others[[1]]}\"} first."
          else "Use {.code assay = \"{others[[1]]}\"}."
    ), call = call)
  }
  assay
}

# A layer of an assay, genes x cells: NULL when it is absent or empty. A split layer is put
# together; the object itself stays split.
assay_matrix <- function(assay, layer) {
  if (is(assay, "Assay")) {
    matrix <- slot(assay, layer)
  } else {
    parts <- grep(paste0("^", layer, "(\\.|$)"), seurat5("Layers")(assay), value = TRUE)
    if (!length(parts)) return(NULL)
    if (length(parts) > 1) {
      assay <- seurat5("JoinLayers")(assay, layers = layer, new = layer)
      parts <- layer
    }
    matrix <- seurat5("LayerData")(assay, layer = parts)
  }
  if (any(dim(matrix) == 0)) NULL else matrix
}

# A function of Seurat v5.
seurat5 <- function(name) newer("SeuratObject", name)

# ---- SingleCellExperiment -----------------------------------------------------------------------

sce_source <- function(object, assay.type, input, argument, call = caller_env()) {
  rlang::check_installed("SingleCellExperiment")
  check_string(assay.type, "assay.type", null = TRUE, call = call)
  found <- SummarizedExperiment::assayNames(object)
  explicit <- !is.null(assay.type)
  if (explicit && !assay.type %in% found) {
    abort_input(c("{.arg assay.type}: {argument %||% 'the object'} has no assay {.val {assay.type}}.",
                  i = if (length(found)) "It has {.val {found}}." else "It has none."), call = call)
  }
  trained <- if (identical(input$object, "SingleCellExperiment")) intersect(input$assay, found)
  usual <- intersect(c("logcounts", "counts"), found)
  assay.type <- c(assay.type, trained, usual, "logcounts")[[1]]
  check_names(colnames(object), "cell", "Give every cell a name of its own.", call = call)
  list(
    object = "SingleCellExperiment", assay = assay.type, explicit = explicit,
    where = paste0(of_argument(argument),
                   if (assay.type == "logcounts") "the object" else cli::format_inline("assay {.val {assay.type}}")),
    cells = colnames(object), genes = rownames(object), obs = cells_obs(object),
    wanted = assay.type, counts = if (isTRUE(input$normalized)) c(trained, "counts")[[1]] else "counts",
    get = function(layer) sce_layer(object, layer), layers = found,
    remedy = sprintf("scuttle::logNormCounts(%s)", argument %||% "object"),
    hint = if (length(found) > 1) cli::format_inline("Or use another assay: {.arg assay.type} may be one of {.val {found}}.")
  )
}

# An assay with the object's names, genes x cells; NULL when there is none.
sce_layer <- function(object, layer) {
  if (!layer %in% SummarizedExperiment::assayNames(object)) return(NULL)
  matrix <- SummarizedExperiment::assay(object, layer, withDimnames = FALSE)
  dimnames(matrix) <- dimnames(object)
  matrix
}
