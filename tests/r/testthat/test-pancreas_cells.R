# The published archive in small: three cells of each species.
small_archive <- function() {
  folder <- tempfile("came")
  dir.create(folder)
  run <- reticulate::py_run_string("
import zipfile
from pathlib import Path
import numpy as np, pandas as pd
from anndata import AnnData
from scipy import sparse

def write_archive(folder):
    folder, genes = Path(folder), {'human': ['INS', 'GCG', 'ALONE'], 'mouse': ['Gcg', 'Ins']}
    for name in genes:
        obs = pd.DataFrame({'cell_type1': ['beta', 't_cell', 'alpha'], 'donor': [name + '1'] * 3},
                           index=[name + str(i) for i in range(3)])
        counts = np.arange(3.0 * len(genes[name])).reshape(3, -1)
        AnnData(sparse.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=genes[name])).write_h5ad(
            folder / f'raw-Baron_{name}.h5ad')
    pd.DataFrame({'human.gene.name': ['INS', 'GCG'], 'gene.name': ['Ins', 'Gcg'],
                  'human.homology.type': ['ortholog_one2one'] * 2}).to_csv(
        folder / 'gene_matches_human2mouse.csv', index=False)
    with zipfile.ZipFile(folder / 'sample_data.zip', 'w') as file:
        for part in folder.glob('*[dv]'):
            file.write(part, part.name)
", convert = TRUE)
  run$write_archive(folder)
  file.path(folder, "sample_data.zip")
}

test_that("counts and metadata arrive in either class", {
  path <- small_archive()
  object <- pancreas_cells(path = path)
  expect_s4_class(object, "Seurat")
  counts <- as.matrix(assay_matrix(object[["RNA"]], "counts"))
  expect_setequal(rownames(counts), c("INS", "GCG"))
  # cells by genes, counted row by row: human INS, GCG, ALONE; mouse Gcg, Ins
  expect_equal(counts["INS", ], c(human0 = 0, human1 = 3, human2 = 6, mouse0 = 1, mouse1 = 3, mouse2 = 5))
  expect_equal(counts["GCG", ], c(human0 = 1, human1 = 4, human2 = 7, mouse0 = 0, mouse1 = 2, mouse2 = 4))
  expect_identical(as.character(object$species), rep(c("human", "mouse"), each = 3))
  expect_identical(as.character(object$cell_type), rep(c("beta", "T", "alpha"), 2))
  expect_true(all(c("donor", "cell_type_fine") %in% colnames(object[[]])))
  sce <- pancreas_cells("SingleCellExperiment", path = path)
  expect_s4_class(sce, "SingleCellExperiment")
  expect_equal(as.matrix(SummarizedExperiment::assay(sce, "counts")), counts)
  expect_identical(as.character(sce$donor), as.character(object$donor))
})

test_that("species come with genes of their own, and their orthologs", {
  cells <- pancreas_species(path = small_archive())
  expect_named(cells, c("human", "mouse", "orthologs"))
  expect_setequal(rownames(cells$human), c("INS", "GCG", "ALONE"))
  expect_setequal(rownames(cells$mouse), c("Gcg", "Ins"))
  expect_identical(unique(as.character(cells$mouse$species)), "mouse")
  expect_setequal(paste(cells$orthologs$human, cells$orthologs$mouse),
                  c("INS Ins", "GCG Gcg"))
  sce <- pancreas_species("SingleCellExperiment", path = small_archive())$human
  expect_s4_class(sce, "SingleCellExperiment")
})

test_that("bad input is refused", {
  expect_error(pancreas_cells("AnnData"), "as")
  expect_refused(pancreas_cells(path = 1), message = "path")
  expect_refused(pancreas_species(path = tempfile()), message = "came")
  expect_refused(pancreas_cells(path = tempfile()), message = "came")
})
