# Labels that a model is told.

told_cells <- function(class = "Seurat") {
  cells <- simulated_cells(class, cells = 240)
  types <- as.character(cells$cell_type)
  types[cells$species == unique(as.character(cells$species))[2]] <- NA
  cells$told <- types
  cells
}

columns_of <- function(cells) {
  if (is(cells, "Seurat")) cells[[]] else as.data.frame(SummarizedExperiment::colData(cells))
}

for (class in c("Seurat", "SingleCellExperiment")) {
  test_that(paste("all cells are named by the labels of some:", class), {
    cells <- told_cells(class)
    folder <- tempfile()
    found <- RunSysVI(cells, system = "species", max.epochs = 2, labels = "told", model.dir = folder,
                      verbose = FALSE)
    columns <- columns_of(found)
    expect_s3_class(columns$predicted.told, "factor")
    expect_setequal(levels(columns$predicted.told), unique(stats::na.omit(cells$told)))
    expect_true(all(columns$predicted.told.probability > 0 & columns$predicted.told.probability <= 1))
    expect_identical(columns$predicted.told.novel, columns$predicted.told.novelty > 2.5)
    expect_identical(rownames(columns), colnames(cells))
    model <- LoadSysVI(folder)
    expect_identical(model$labels, "told")
    # the column need not be there when new cells are named
    query <- cells[, 1:60]
    query$told <- NULL
    mapped <- MapSysVI(query, folder, max.epochs = 0, verbose = FALSE)
    expect_identical(as.character(columns_of(mapped)$predicted.told),
                     as.character(columns$predicted.told)[1:60])
    expect_error(MapSysVI(found[, 1:60], folder, max.epochs = 0, overwrite = FALSE, verbose = FALSE,
                          name = if (class == "Seurat") NULL else "OTHER",
                          model.dir = tempfile()),
                 "already")
  })
}

test_that("a category stands for no label, and labels weigh as much as they are told to", {
  cells <- told_cells()
  cells$named <- ifelse(is.na(cells$told), "Unknown", cells$told)
  run <- function(labels, weight = NULL, ...) {
    set <- RunSysVI(cells, system = "species", max.epochs = 2, labels = labels, verbose = FALSE,
                    control = sysvi_options(label_weight = weight), ...)
    SeuratObject::Embeddings(set, "sysvi")
  }
  usual <- run("told")
  expect_equal(run("named", unlabeled = "Unknown"), usual)
  expect_gt(max(abs(run("told", 50) - usual)), 1e-3)
})

test_that("labels that cannot be used are refused before training", {
  cells <- told_cells()
  cells$predicted.told <- "mine"
  refused <- function(pattern, ...) {
    expect_error(RunSysVI(cells, system = "species", verbose = FALSE, ...), pattern,
                 class = "scsystems_input_error")
  }
  refused("no column", labels = "nothing")
  refused("both", labels = "species")
  refused("without", unlabeled = "Unknown")
  refused("already", labels = "told")
  cells$predicted.told <- NULL
  cells$one <- "a"
  refused("one label only", labels = "one")
})

test_that("an AnnData gets the columns, too", {
  adata <- reticulate::import("scsystems")$datasets$simulated(n_cells = 240L, n_genes = 200L, seed = 0L)
  genes <- as.character(adata$var_names$to_list())
  RunSysVI(adata, system = "system", features = genes, labels = "cell_type", max.epochs = 2,
           verbose = FALSE)
  columns <- as.character(adata$obs_keys())
  expect_true(all(paste0("predicted.cell_type", c("", ".probability", ".novelty", ".novel")) %in% columns))
})
