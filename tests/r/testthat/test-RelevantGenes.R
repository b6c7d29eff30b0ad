test_that("genes are ranked within species and type", {
  genes <- RelevantGenes(trained_species(), n.genes = 3)
  expect_identical(dim(genes), c(18L, 5L))
  expect_identical(genes$rank, rep(1:3, 6))
  expect_setequal(genes$species, c("mouse", "human"))
  expect_true(all(startsWith(genes$gene[genes$species == "human"], "HS")))
  all <- RelevantGenes(trained_species("sce"), "human", n.genes = NULL)
  expect_identical(nrow(all), 3L * 280L)
  top <- all[all$cell_type == "beta", ]
  expect_false(is.unsorted(-abs(top$relevance)))
})

test_that("what cannot be is refused", {
  expect_refused(RelevantGenes(1), message = "RunScSpecies.*returned")
  expect_refused(RelevantGenes(trained_species(), "rat"), message = "species.*rat")
  expect_refused(RelevantGenes(trained_species(), n.cells = 0), message = "n.cells")
})
