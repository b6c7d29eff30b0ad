objects <- list(mouse = species_seurat("mouse"), human = species_seurat("human", seed = 2))

test_that("a folder gives the facts of its model", {
  result <- trained_species()
  facts <- LoadScSpecies(ModelPath(result))
  expect_s3_class(facts, "scspecies_model")
  expect_identical(facts$species, c("mouse", "human"))
  expect_identical(facts$labels, c("alpha", "beta", "gamma"))
  expect_identical(facts$batches$human, c("human1", "human2"))
  expect_identical(facts$columns$mouse, list(labels = "cell_type", batch = "donor"))
  expect_identical(facts$orthologs, species_pairs[1:2])
  expect_output(print(facts), "human aligned with mouse, 4 dimensions")
  expect_false(has_pointer(unclass(facts)))
  expect_identical(LoadScSpecies(result), facts)
  expect_identical(LoadScSpecies(result$targets$human), facts)
})

test_that("with the objects it gives what RunScSpecies gave", {
  result <- trained_species()
  again <- LoadScSpecies(ModelPath(result), objects, verbose = FALSE)
  for (name in c("cells", "similarity", "differential", "prototypes", "genes", "species")) {
    expect_equal(again[[name]], result[[name]], tolerance = 1e-5)
  }
  expect_identical(SeuratObject::Embeddings(again$targets$human, "scspecies"),
                   SeuratObject::Embeddings(result$targets$human, "scspecies"))
  expect_identical(again$merged[[]], result$merged[[]])
})

test_that("a result is read in a new session, and its model found", {
  result <- trained_species()
  file <- tempfile(fileext = ".rds")
  saveRDS(result, file)
  out <- in_new_r(c(
    sprintf("result <- readRDS(%s)", deparse(file)),
    "suppressPackageStartupMessages(library(scsystems))",
    "print(result)",
    "print(nrow(as.data.frame(TrainingHistory(result$targets$human))))",
    "print(sum(RelevantGenes(result, species = 'human', n.genes = 2)$rank))"
  ))
  expect_match(out, "<scspecies> human aligned with mouse")
  history <- as.data.frame(TrainingHistory(result)["human"])
  expect_match(out, paste0("\\[1\\] ", nrow(history), "\n"))
  expect_match(out, "\\[1\\] 9")
})

test_that("counts are read again from the assay of the training", {
  # an assay of its own beside other counts
  with_soupx <- function(object) {
    object[["soupx"]] <- SeuratObject::CreateAssayObject(assay_matrix(object[["RNA"]], "counts"))
    other <- Matrix::drop0(assay_matrix(object[["RNA"]], "counts") %/% 2)
    object[["RNA"]] <- SeuratObject::CreateAssayObject(methods::as(other, "CsparseMatrix"))
    object
  }
  mine <- lapply(objects, with_soupx)
  result <- quick_species(mine$mouse, mine$human, assay = "soupx")
  expect_identical(result$targets$human[["scspecies"]]@misc$scsystems$input,
                   list(object = "Seurat", assay = "soupx"))
  again <- LoadScSpecies(ModelPath(result), mine, verbose = FALSE)
  expect_equal(again$similarity, result$similarity, tolerance = 1e-5)
  expect_identical(unlist(again$assays), c(mouse = "soupx", human = "soupx"))
  expect_refused(LoadScSpecies(ModelPath(result), mine, assay = "RNA", verbose = FALSE),
                 message = "not those that the saved model was trained on")
  sces <- lapply(list(mouse = "mouse", human = "human"), function(name) {
    sce <- species_sce(name, seed = if (name == "human") 2 else 1)
    SummarizedExperiment::assay(sce, "molecules") <- SummarizedExperiment::assay(sce, "counts")
    SummarizedExperiment::assay(sce, "counts") <- NULL
    sce
  })
  result <- quick_species(sces$mouse, sces$human, assay.type = "molecules")
  again <- LoadScSpecies(ModelPath(result), sces, verbose = FALSE)
  expect_equal(again$similarity, result$similarity, tolerance = 1e-5)
  expect_refused(LoadScSpecies(ModelPath(result), sces, assay = "counts", verbose = FALSE),
                 message = "no assay \"counts\".*molecules")
})

test_that("of several models of an object the last is taken, or the one that is named", {
  first <- quick_species(objects$mouse, objects$human)
  context <- first$context
  second <- quick_species(context, objects$human, reduction.name = "second", max.epochs = 1)
  third <- quick_species(second$context, objects$human, overwrite = TRUE, max.epochs = 3)
  expect_identical(LoadScSpecies(third$context, verbose = FALSE)$path, ModelPath(third))
  found <- said_by(LoadScSpecies(third$context, name = "second"))
  expect_match(found$said, "model of \"second\"")
  expect_identical(found$value$path, ModelPath(second))
  expect_refused(LoadScSpecies(third$context, name = "none"), message = "none.*scspecies.*second|none.*second.*scspecies")
  expect_refused(LoadScSpecies(ModelPath(first), name = "second"), message = "one model already")
  there <- tempfile("elsewhere")
  expect_true(file.rename(ModelPath(first), there))
  moved <- "not where the object remembers it.*LoadScSpecies\\(\"path/to/model\", objects\\)"
  error <- "scsystems_model_file_error"
  expect_refused(LoadScSpecies(first), error, moved)
  expect_refused(RelevantGenes(first), error, moved)
  expect_refused(RunScSpecies(first, list(pig = species_seurat("pig", seed = 3)), species_pairs), error, moved)
  expect_s3_class(LoadScSpecies(there, objects, verbose = FALSE), "scspecies")
})

test_that("models and cells that do not fit are refused", {
  result <- trained_species()
  path <- ModelPath(result)
  expect_refused(LoadScSpecies(tempfile()), "scsystems_model_file_error", "")
  expect_refused(LoadScSpecies(quick(seurat_object())), message = "no integration by scSpecies")
  expect_refused(LoadSysVI(result$context), message = "no integration by sysVI")
  expect_refused(LoadSysVI(path), "scsystems_model_file_error", "ScSpecies")
  expect_refused(LoadScSpecies(path, objects$human), message = "objects.*list of the context")
  expect_refused(LoadScSpecies(path, unname(objects)), message = "named by species")
  expect_refused(LoadScSpecies(path, list(human = objects$human, pig = objects$human)),
                 message = "context.*mouse")
  expect_refused(LoadScSpecies(path, list(human = objects$human[, 1:80], mouse = objects$mouse)),
                 message = "not those of the saved model")
  bare <- objects
  bare$human$donor <- NULL
  expect_refused(LoadScSpecies(path, bare), message = "batch.*no column.*donor")
  fewer <- objects
  fewer$human <- fewer$human[1:270, ]
  expect_refused(LoadScSpecies(path, fewer), message = "not genes of.*human")
})

test_that("histories print, plot and become data frames", {
  history <- TrainingHistory(trained_species())
  expect_s3_class(history, "scspecies_history")
  table <- as.data.frame(history)
  expect_setequal(table$species, c("mouse", "human"))
  expect_true(all(is.finite(table$value)))
  expect_output(print(history), "human: 2 epochs, 90 cells x 280 genes, loss")
  expect_s3_class(plot(history), "ggplot")
  expect_s3_class(plot(history["human"], metrics = "loss"), "ggplot")
  expect_refused(plot(history, metrics = "none"), message = "none")
  expect_identical(TrainingHistory(trained_species()$targets$human), history["human"])
})
