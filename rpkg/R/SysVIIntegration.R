#' Integrate the layers of a Seurat v5 object with sysVI
#'
#' For `Seurat::IntegrateLayers(method = SysVIIntegration)`. [RunSysVI()] gives the same embedding
#' and needs no split layers.
#'
#' @inheritParams RunSysVI
#' @param object,assay,layers,features What `IntegrateLayers()` gives: the assay and its name, the
#'   names of its layers with log-normalized expression, and the genes: the variable features, as
#'   far as they have been scaled.
#' @param orig,scale.layer Given by `IntegrateLayers()` too, and not needed: sysVI starts from
#'   log-normalized expression.
#' @param metadata Data frame of the cells with the columns `system` and `covariates`: give
#'   `object[[]]`, as `IntegrateLayers()` passes on the assay alone. `NULL` takes every layer for
#'   a system of its own.
#' @param new.reduction,reduction.key Name and key of the reduction that is made; the key is derived
#'   from the name when `NULL`.
#' @param overwrite Whether a model in `model.dir` may be replaced.
#' @param ... Must be empty.
#'
#' @return A named list with one DimReduc, which `IntegrateLayers()` puts into the object.
#' @export
#' @examplesIf scsystems_ready() && utils::packageVersion("SeuratObject") >= "5" && rlang::is_installed(c("SeuratObject", "Seurat"))
#' \dontshow{options(scsystems.model.dir = tempfile("models"))}
#' object <- Seurat::NormalizeData(simulated_cells())
#' object <- Seurat::ScaleData(Seurat::FindVariableFeatures(object))
#' object <- Seurat::RunPCA(object, npcs = 10)
#' object[["RNA"]] <- split(object[["RNA"]], f = object$donor)
#' # two epochs are for a page that builds quickly: leave max.epochs out
#' object <- Seurat::IntegrateLayers(
#'   object, method = SysVIIntegration, metadata = object[[]], system = "species",
#'   covariates = "donor", new.reduction = "integrated.sysvi", max.epochs = 2
#' )
SysVIIntegration <- function(object, assay = NULL, orig = NULL, layers = NULL, scale.layer = NULL,
                             features = NULL, system = "system", covariates = NULL,
                             metadata = NULL, new.reduction = "integrated.sysvi",
                             reduction.key = NULL, dims = 15, cycle.weight = NULL,
                             max.epochs = NULL, device = "auto", seed.use = 42, model.dir = NULL,
                             overwrite = FALSE, verbose = TRUE, control = sysvi_options(), ...) {
  refuse_sct(object, assay, ...)
  rlang::check_dots_empty()
  rlang::check_installed("SeuratObject", version = "5.0.0")
  new.reduction <- seurat_name(new.reduction, "new.reduction", verbose)
  settings <- list(
    system = system, covariates = covariates, features = features, name = new.reduction,
    dims = dims, cycle.weight = cycle.weight, max.epochs = max.epochs, device = device,
    seed.use = seed.use, model.dir = model.dir, overwrite = overwrite, verbose = verbose,
    control = control
  )
  check_settings(settings)
  if (!is(object, "StdAssay")) {
    abort_input(c("{.fn SysVIIntegration} needs an assay of Seurat v5 with log-normalized expression.",
                  x = "Found {.cls {class(object)}}.",
                  i = "{.fn RunSysVI} takes the assays of Seurat v4."))
  }
  key <- choose_key(object, new.reduction, reduction.key)
  obs <- metadata %||% layer_systems(object, layers, system)
  if (!is.data.frame(obs) && !is(obs, "DataFrame")) {
    abort_input(c("{.arg metadata} must be a data frame, such as {.code object[[]]}.",
                  x = "Found {.obj_type_friendly {obs}}."))
  }
  obs <- plain_columns(obs, rownames(obs))
  absent <- setdiff(colnames(object), rownames(obs))
  if (length(absent)) {
    abort_input(c("{.arg metadata} lacks {length(absent)} of the assay's {ncol(object)} cells.",
                  x = "For example {.val {utils::head(absent, 3)}}.",
                  i = "Its row names must be the cells' names, as in {.code object[[]]}; a tibble has none."))
  }
  where <- if (is.null(metadata)) "the layers" else "metadata"
  result <- fit_sysvi(assay_source(object, assay, obs), settings, where)
  stats::setNames(list(make_reduction(result, assay, key)), new.reduction)
}
attr(SysVIIntegration, "Seurat.method") <- "integration"

# `IntegrateLayers(normalization.method = "SCT")` hands its argument over, with an SCTAssay.
refuse_sct <- function(object, assay, ..., normalization.method = NULL, call = caller_env()) {
  if (!is(object, "SCTAssay") && !identical(normalization.method, "SCT")) return(invisible())
  abort_input(c(
    if (is(object, "SCTAssay")) "{.arg assay}: {.val {assay %||% 'SCT'}} was made by {.fn SCTransform}."
    else "{.arg normalization.method}: {.val SCT} is made by {.fn SCTransform}.",
    x = "sysVI needs size-factor normalized, log-transformed expression, not values corrected by a model.",
    i = "Use an assay with layers of {.fn NormalizeData}, without {.arg normalization.method}: {.code IntegrateLayers(object, assay = \"RNA\", ...)}."
  ), call = call)
}

# Every layer as a system: a data frame of the cells with one column. Samples without normalized
# expression have their counts.
layer_systems <- function(object, layers, system, call = caller_env()) {
  check_string(system, "system", call = call)
  layers <- layers %||% seurat5("Layers")(object, search = "data")
  layers <- c(layers, seurat5("Layers")(object, search = "counts"))
  cells <- lapply(layers, function(layer) colnames(seurat5("LayerData")(object, layer = layer)))
  names <- rep(sub("^[^.]*[.]", "", layers), lengths(cells))
  cells <- unlist(cells)
  first <- !duplicated(cells)
  obs <- data.frame(names[first], row.names = cells[first])
  stats::setNames(obs, system)
}
