layer_of <- function(object, assay) scsystems:::assay_matrix(object[[assay]], "data")

python_model <- function(object) {
  scs <- scsystems_python()
  scs$SysVI$load(ModelPath(object), anndata_object())
}

test_that("a Seurat object gets an assay with what Python decodes", {
  object <- quick(seurat_object(), covariates = "donor")
  result <- CorrectedExpression(object, system = "human", verbose = FALSE)
  got <- layer_of(result, "sysvi.expression")
  expect_identical(dimnames(got), list(all_genes, colnames(object)))
  direct <- python_model(object)$get_normalized_expression(transform_batch = "human",
                                                           return_numpy = TRUE)
  expect_equal(unname(as.matrix(got)), t(reticulate::py_to_r(direct)), tolerance = 1e-5)
  expect_identical(result[["RNA"]], object[["RNA"]])
  expect_identical(SeuratObject::DefaultAssay(result), "RNA")
  expect_identical(anyDuplicated(SeuratObject::Key(result)), 0L)
})

test_that("Seurat's functions find genes under the key that the message and the page name", {
  object <- quick(seurat_object())
  said <- testthat::capture_messages(object <- CorrectedExpression(object))
  expect_match(paste(said, collapse = " "), "sysviexpression_gene1")
  found <- SeuratObject::FetchData(object, "sysviexpression_gene3")[[1]]
  expect_equal(found, unname(as.matrix(layer_of(object, "sysvi.expression"))["gene3", ]))
  plot <- Seurat::FeaturePlot(object, "sysviexpression_gene3", reduction = "sysvi")
  expect_equal(sort(plot$data[[4]]), sort(found))
})

test_that("several systems are averaged, none is each cell's own", {
  object <- quick(seurat_object())
  decode <- function(...) {
    as.matrix(layer_of(CorrectedExpression(object, ..., verbose = FALSE), "sysvi.expression"))
  }
  human <- decode("human")
  mouse <- decode("mouse")
  expect_equal(decode(c("human", "mouse")), (human + mouse) / 2, tolerance = 1e-5)
  own <- decode()
  is_human <- object$species == "human"
  expect_equal(own[, is_human], human[, is_human], tolerance = 1e-5)
  expect_equal(own[, !is_human], mouse[, !is_human], tolerance = 1e-5)
  expect_equal(decode("human", features = c("gene9", "gene2")), human[c("gene2", "gene9"), ],
               tolerance = 1e-5)
})

test_that("a SingleCellExperiment gets an alternative experiment with the same values", {
  object <- quick(seurat_object())
  sce <- CorrectedExpression(sce_object(), "mouse", model = ModelPath(object), verbose = FALSE)
  got <- SummarizedExperiment::assay(SingleCellExperiment::altExp(sce, "sysvi.expression"))
  expected <- layer_of(CorrectedExpression(object, "mouse", verbose = FALSE), "sysvi.expression")
  expect_equal(got, as.matrix(expected), tolerance = 1e-5)
  expect_refused(CorrectedExpression(sce, model = ModelPath(object), verbose = FALSE),
                 message = "already.*overwrite", object = sce)
})

test_that("what cannot be decoded is refused and the object stays as it is", {
  object <- quick(seurat_object())
  decode <- function(...) CorrectedExpression(object, ..., verbose = FALSE)
  expect_refused(decode("rat"), message = "system.*rat.*human", object = object)
  expect_refused(decode(features = "NOPE"), message = "not among the model's genes.*NOPE",
                 object = object)
  expect_refused(decode(new.assay = "RNA"), message = "RNA.*already", object = object)
  expect_refused(decode(new.assay = "RNA", overwrite = TRUE), message = "assay that is read",
                 object = object)
  expect_refused(decode(new.assay = "sysvi"), message = "another part", object = object)
  expect_refused(decode(model = tempfile()), "scsystems_model_file_error", "", object = object)
  expect_refused(CorrectedExpression(seurat_object()), message = "no integration")
  expect_refused(CorrectedExpression(1), message = "no method")
  few <- object[1:50, ]
  expect_refused(CorrectedExpression(few), message = "lacks 10 of", object = few)
})
