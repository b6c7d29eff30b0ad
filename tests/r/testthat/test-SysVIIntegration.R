is_v5 <- utils::packageVersion("SeuratObject") >= "5"

test_that("it is an integration method in Seurat's sense", {
  expect_identical(attr(SysVIIntegration, "Seurat.method"), "integration")
})

if (is_v5) {
  prepared <- function(by = "donor") {
    object <- seurat_object()
    SeuratObject::VariableFeatures(object) <- all_genes
    object <- Seurat::ScaleData(object, features = all_genes, verbose = FALSE)
    object <- suppressWarnings(Seurat::RunPCA(object, npcs = 5, verbose = FALSE))
    object[["RNA"]] <- suppressMessages(split(object[["RNA"]], f = object[[by]][[1]]))
    object
  }
  integrate <- function(object, ...) {
    Seurat::IntegrateLayers(object, method = SysVIIntegration, features = all_genes,
                            max.epochs = 2, dims = 4, verbose = FALSE, control = small_options(), ...)
  }

  test_that("IntegrateLayers gives the embedding of RunSysVI, and layers stay split", {
    object <- prepared()
    result <- integrate(object, metadata = object[[]], system = "species", covariates = "donor")
    expected <- quick(seurat_object(), covariates = "donor")
    reduction <- result[["integrated.sysvi"]]
    expect_equal(unname(SeuratObject::Embeddings(reduction)[colnames(expected), ]),
                 unname(SeuratObject::Embeddings(expected, "sysvi")), tolerance = 1e-5)
    expect_identical(unname(SeuratObject::Key(reduction)), "integratedsysvi_")
    expect_identical(SeuratObject::DefaultAssay(reduction), "RNA")
    expect_identical(result[["RNA"]], object[["RNA"]])
    expect_identical(nrow(TrainingHistory(result)$metrics), 2L)
  })

  test_that("without metadata every layer is a system", {
    result <- integrate(prepared("species"), new.reduction = "mine")
    expected <- quick(seurat_object())
    expect_equal(unname(SeuratObject::Embeddings(result, "mine")[colnames(expected), ]),
                 unname(SeuratObject::Embeddings(expected, "sysvi")), tolerance = 1e-5)
    expect_identical(LoadSysVI(ModelPath(result))$systems, c("human", "mouse"))
  })

  test_that("what cannot be integrated is refused", {
    object <- prepared()
    expect_refused(integrate(object, metadata = object[[]], system = "absent"), message = "absent")
    expect_refused(integrate(object, metadata = object[[]][1:10, ], system = "species"),
                   message = "lacks 70 of the assay's 80 cells")
    expect_refused(integrate(object, metadata = 1), message = "data frame")
    expect_error(integrate(object, systme = "species"), class = "rlib_error_dots_nonempty")
    old <- SeuratObject::CreateAssayObject(simulated_counts()$counts)
    expect_refused(SysVIIntegration(old, features = all_genes), message = "Seurat v5")
  })
} else {
  test_that("Seurat v4 is told what it lacks", {
    expect_error(SysVIIntegration(seurat_object()[["RNA"]]), "SeuratObject")
  })
}
