trained_folder <- function(object = seurat_object(), ...) {
  folder <- tempfile("model")
  quick(object, covariates = "donor", model.dir = folder, ...)
  folder
}

test_that("a saved model is described, from its folder and from the object", {
  folder <- tempfile("model")
  object <- quick(seurat_object(), covariates = "donor", model.dir = folder,
                  control = small_options(continuous_covariates = "percent"))
  model <- LoadSysVI(folder)
  expect_s3_class(model, "sysvi_model")
  expect_identical(model$path, normalizePath(folder))
  expect_identical(model$genes, all_genes)
  expect_identical(model$system, "species")
  expect_identical(model$systems, c("human", "mouse"))
  expect_identical(model$covariates, list(donor = c("d1", "d2", "d3", "d4")))
  expect_identical(model$continuous_covariates, "percent")
  expect_identical(model$dims, 4L)
  expect_identical(model$cells, 80L)
  expect_equal(model$history$metrics, TrainingHistory(object)$metrics)
  expect_identical(LoadSysVI(object)$history, TrainingHistory(object))
  expect_identical(LoadSysVI(model)$genes, model$genes)
  expect_false(has_pointer(model))
})

test_that("a model is printed", {
  model <- LoadSysVI(trained_folder())
  shown <- utils::capture.output(print(model))
  expect_match(shown, "60 genes, 4 dimensions.*80 cells", all = FALSE)
  expect_match(shown, "species +human, mouse", all = FALSE)
  expect_match(shown, "donor +d1, d2, d3, d4", all = FALSE)
  expect_match(utils::capture.output(print(model$history)), "2 epochs.*on cpu, seed 42", all = FALSE)
})

test_that("an object that fits passes, whichever class it has", {
  folder <- trained_folder()
  expect_s3_class(LoadSysVI(folder, seurat_object()), "sysvi_model")
  sce <- sce_object()
  sce$nested <- S4Vectors::DataFrame(a = seq_len(ncol(sce)))
  expect_s3_class(LoadSysVI(folder, sce), "sysvi_model")
})

test_that("a folder that is missing, damaged or holds something else is refused", {
  error <- "scsystems_model_file_error"
  expect_refused(LoadSysVI(tempfile("absent")), error, "absent")
  expect_refused(LoadSysVI(1), message = "no integration by sysVI")
  expect_refused(LoadSysVI(c("a", "b")), message = "model.*one string")
  for (file in c("model.json", "model.safetensors")) {
    object <- quick(seurat_object(), model.dir = tempfile("model"))
    path <- file.path(ModelPath(object), file)
    bytes <- readBin(path, "raw", file.size(path))
    writeBin(bytes[seq_len(length(bytes) %/% 2)], path)
    expect_refused(LoadSysVI(object), error, "model", object)
    unlink(path)
    expect_refused(LoadSysVI(object), error, "model", object)
  }
})

test_that("an object of other genes or categories than the model's is refused", {
  folder <- trained_folder()
  object <- seurat_object()
  few <- object[1:50, ]
  expect_refused(LoadSysVI(folder, few), message = "lacks 10 of the model's 60 genes.*gene51",
                 object = few)
  rat <- object
  rat$species <- "rat"
  expect_refused(LoadSysVI(folder, rat), message = "species.*rat.*human", object = rat)
  other <- object
  other$donor <- ifelse(seq_len(80) < 5, "d9", other$donor)
  expect_refused(LoadSysVI(folder, other), message = "donor.*d9.*d1.*MapSysVI", object = other)
  bare <- object
  bare$donor <- NULL
  expect_refused(LoadSysVI(folder, bare), message = "column \"donor\"", object = bare)
  holes <- object
  holes$species[3] <- NA
  expect_refused(LoadSysVI(folder, holes), message = "species.*NA for 1 cell", object = holes)
  expect_refused(LoadSysVI(folder, object, assay = "none"), message = "no assay", object = object)
  expect_refused(LoadSysVI(folder, 1), message = "Seurat object or a SingleCellExperiment")
})
