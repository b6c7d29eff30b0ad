test_that("an object knows the history and the model of each reduction", {
  folder <- tempfile()
  object <- quick(seurat_object(), model.dir = folder)
  object <- quick(object, reduction.name = "second", max.epochs = 1)
  expect_identical(ModelPath(object, "sysvi"), normalizePath(folder))
  expect_true(all(c("model.json", "model.safetensors") %in% dir(folder)))
  expect_identical(nrow(TrainingHistory(object, "sysvi")$metrics), 2L)
  expect_identical(nrow(TrainingHistory(object)$metrics), 1L)
  expect_identical(TrainingHistory(object[["sysvi"]]), TrainingHistory(object, "sysvi"))
})

test_that("the last one is the one made last, wherever it stands", {
  object <- quick(seurat_object(), features = all_genes[1:20])
  object <- quick(object, features = all_genes[21:40], reduction.name = "trial")
  object <- quick(object, features = all_genes[41:60], overwrite = TRUE)
  expect_identical(ModelPath(object), ModelPath(object, "sysvi"))
  genes <- function(...) rownames(CorrectedExpression(object, ..., verbose = FALSE)[["sysvi.expression"]])
  expect_setequal(genes(), all_genes[41:60])
  expect_setequal(genes(name = "trial"), all_genes[21:40])
  expect_setequal(LoadSysVI(object)$genes, all_genes[41:60])
  expect_setequal(LoadSysVI(object, name = "trial")$genes, all_genes[21:40])
  expect_setequal(FindSystemMarkers(object, "cell_type", "alpha", n.samples = 20, name = "trial",
                                    verbose = FALSE)$gene, all_genes[21:40])
  mapped <- MapSysVI(seurat_object(), object, name = "trial", verbose = FALSE)
  expect_setequal(LoadSysVI(mapped)$genes, all_genes[21:40])
  sce <- quick(sce_object(), features = all_genes[1:20], name = "B")
  sce <- quick(sce, features = all_genes[21:40], name = "A")
  sce <- quick(sce, features = all_genes[41:60], name = "B", overwrite = TRUE)
  expect_setequal(LoadSysVI(sce)$genes, all_genes[41:60])
  decoded <- function(...) rownames(SingleCellExperiment::altExp(CorrectedExpression(sce, ..., verbose = FALSE)))
  expect_setequal(decoded(), all_genes[41:60])
  expect_setequal(decoded(dimred = "A"), all_genes[21:40])
  mapped <- MapSysVI(sce_object(), sce, dimred = "A", name = "new", verbose = FALSE)
  expect_setequal(LoadSysVI(mapped)$genes, all_genes[21:40])
  adata <- quick(anndata_object(), features = all_genes[1:20], name = "B")
  quick(adata, features = all_genes[21:40], name = "A")
  quick(adata, features = all_genes[41:60], name = "B", overwrite = TRUE)
  file <- tempfile(fileext = ".h5ad")
  adata$write_h5ad(file)
  for (object in list(adata, reticulate::import("anndata", convert = FALSE)$read_h5ad(file))) {
    expect_setequal(LoadSysVI(object)$genes, all_genes[41:60])
    expect_setequal(LoadSysVI(object, name = "A")$genes, all_genes[21:40])
  }
})

test_that("which model is taken is said", {
  object <- quick(seurat_object())
  object <- quick(object, reduction.name = "trial")
  expect_match(said_by(CorrectedExpression(object))$said, "model of \"trial\", made 20")
  expect_match(said_by(CorrectedExpression(object, name = "sysvi"))$said, "model of \"sysvi\", made 20")
  expect_match(said_by(MapSysVI(seurat_object(), object))$said, "model of \"trial\"")
  expect_match(said_by(FindSystemMarkers(object, "cell_type", "alpha", n.samples = 20))$said,
               "model of \"trial\"")
  expect_output(print(LoadSysVI(object)), "reduction +trial")
})

test_that("names that are no integration, or for a model that is given, are refused", {
  object <- quick(seurat_object())
  expect_refused(CorrectedExpression(object, name = "none"), message = "name.*none.*sysvi", object = object)
  expect_refused(FindSystemMarkers(object, "cell_type", name = "none"), message = "none.*sysvi")
  expect_refused(MapSysVI(object, object, name = "none", reduction.name = "x"), message = "none.*sysvi")
  expect_refused(LoadSysVI(object, name = "none"), message = "none.*sysvi")
  for (model in list(ModelPath(object), LoadSysVI(object))) {
    expect_refused(LoadSysVI(model, name = "sysvi"), message = "name.*one model already")
    expect_refused(CorrectedExpression(object, model = model, name = "sysvi"), message = "one model already")
  }
  sce <- quick(sce_object())
  expect_refused(CorrectedExpression(sce, name = "SYSVI"), message = "dimred = \"SYSVI\"", object = sce)
})

test_that("records of earlier versions, without a time, are older than those with one", {
  record <- function(made) list(model = "x", made = made)
  records <- list(b = record(as.POSIXct(10, origin = "1970-01-01")), c = record(NULL), a = record(NULL))
  expect_identical(newest(records), "b")
  expect_identical(newest(records[c("c", "a")]), "a")
  records$a$made <- as.POSIXct(11, origin = "1970-01-01")
  expect_identical(newest(records), "a")
})

test_that("objects that were merged or converted are told that model = helps", {
  object <- quick(seurat_object(), covariates = "donor")
  path <- ModelPath(object)
  other <- SeuratObject::RenameCells(seurat_object(), new.names = paste0("other", 1:80))
  merged <- Seurat::NormalizeData(merge(object, other), verbose = FALSE)
  sce <- Seurat::as.SingleCellExperiment(object)
  back <- suppressWarnings(Seurat::as.Seurat(quick(sce_object())))  # of Seurat's, on keys
  lost <- "no integration.*merged or converted.*model = \"path/to/model\".*ModelPath"
  for (x in list(merged, sce, back)) {
    expect_refused(CorrectedExpression(x), message = lost, object = x)
    expect_refused(FindSystemMarkers(x, "cell_type"), message = lost)
    expect_refused(MapSysVI(seurat_object(), x), message = lost)
    expect_refused(LoadSysVI(x), message = lost)
    expect_refused(ModelPath(x), message = lost)
  }
  expect_s4_class(CorrectedExpression(merged, model = path, verbose = FALSE), "Seurat")
  decoded <- CorrectedExpression(sce, model = path, verbose = FALSE)
  expect_identical(dim(SingleCellExperiment::altExp(decoded, "sysvi.expression")), c(60L, 80L))
  expect_identical(nrow(FindSystemMarkers(back, "cell_type", "alpha", model = path, n.samples = 20,
                                          verbose = FALSE)), 60L)
  expect_identical(ModelPath(SeuratObject::UpdateSeuratObject(object)), path)
})

test_that("cells of several models put side by side belong to none of them", {
  one <- quick(sce_object())
  two <- quick(sce_object())
  colnames(two) <- paste0("other", 1:80)
  both <- SummarizedExperiment::cbind
  expect_refused(ModelPath(both(one, two)), message = "merged or converted")
  expect_identical(ModelPath(both(one[, 1:40], one[, 41:80])), ModelPath(one))
})

test_that("a folder that holds another model by now is not taken for the right one", {
  folder <- tempfile("model")
  first <- quick(seurat_object(), model.dir = folder)
  kept <- tempfile("kept")
  dir.create(kept)
  file.copy(dir(folder, full.names = TRUE), kept)
  second <- quick(first, reduction.name = "second", model.dir = folder, overwrite = TRUE, seed.use = 1)
  error <- "scsystems_model_file_error"
  expect_refused(CorrectedExpression(second, name = "sysvi"), error, "not the one that \"sysvi\".*model =", second)
  expect_refused(LoadSysVI(first), error, "another has been saved there", first)
  expect_s3_class(LoadSysVI(second), "sysvi_model")
  expect_s3_class(LoadSysVI(kept, first), "sysvi_model")
})

test_that("it is kept when cells are taken out of the object", {
  object <- quick(seurat_object())
  few <- object[, 1:10]
  expect_identical(TrainingHistory(few), TrainingHistory(object))
  sce <- quick(sce_object())
  expect_identical(ModelPath(sce[, 1:10]), ModelPath(sce))
})

test_that("objects without an integration, and names that are none, are refused", {
  expect_refused(TrainingHistory(seurat_object()), message = "no integration by sysVI")
  expect_refused(ModelPath(1), message = "no integration")
  expect_refused(TrainingHistory(quick(sce_object()), "PCA"), message = "PCA.*SYSVI")
})

test_that("a model's folder is replaced only when that is allowed", {
  folder <- tempfile()
  object <- quick(seurat_object(), model.dir = folder)
  again <- quick(object, model.dir = folder, overwrite = TRUE, max.epochs = 1)
  expect_identical(nrow(TrainingHistory(again)$metrics), 1L)
})

test_that("a saved object holds no pointer and is understood in a new session without Python", {
  object <- quick(seurat_object())
  record <- object[["sysvi"]]@misc
  expect_false(has_pointer(record))
  expect_false(has_pointer(SeuratObject::Command(object, "RunSysVI.RNA")@params))
  sce <- quick(sce_object())
  expect_false(has_pointer(S4Vectors::metadata(sce)))
  file <- tempfile(fileext = ".rds")
  saveRDS(object, file)
  out <- in_new_r(c(
    sprintf("object <- readRDS('%s')", file), "library(scsystems)",
    "print(TrainingHistory(object))", "cat(dir.exists(ModelPath(object)), '\\n')",
    "cat(reticulate::py_available(), '\\n')"
  ), env = "RETICULATE_PYTHON=/nowhere/python")
  expect_match(out, "2 epochs.*TRUE.*FALSE")
})
