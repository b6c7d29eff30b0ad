# A plot that can be drawn, with its data and layers.
drawn <- function(plot) {
  expect_s3_class(plot, "ggplot")
  file <- tempfile(fileext = ".pdf")
  grDevices::pdf(file)
  on.exit(grDevices::dev.off())
  print(plot)
  invisible(plot)
}
labels_of <- function(plot) unlist(plot$labels)

test_that("label transfer is drawn as fractions that add up to one", {
  result <- trained_species()
  plot <- drawn(PlotLabelTransfer(result))
  expect_equal(unname(tapply(plot$data$fraction, plot$data$known, sum)), rep(1, 3), ignore_attr = TRUE)
  cells <- result$cells
  expected <- mean(cells$label[cells$known == "alpha"] == "beta")
  found <- plot$data$fraction[plot$data$known == "alpha" & plot$data$label == "beta"]
  expect_equal(if (length(found)) found else 0, expected)
  drawn(PlotLabelTransfer(result$cells, annotate = FALSE, colors = c("white", "red")))
})

test_that("types that only one species has come last", {
  cells <- data.frame(target = "human", known = c("a", "b", "z"), label = c("b", "b", "a"))
  data <- drawn(PlotLabelTransfer(cells))$data
  expect_identical(rev(levels(data$known)), c("a", "b", "z"))
  expect_identical(levels(data$label), c("a", "b"))
  more <- rbind(cells, data.frame(target = "pig", known = "b", label = "b"))
  expect_s3_class(drawn(PlotLabelTransfer(more))$facet, "FacetWrap")
  expect_identical(unique(PlotLabelTransfer(more, target = "pig")$data$target), "pig")
})

test_that("similarity marks the best of every row", {
  plot <- drawn(PlotTypeSimilarity(trained_species(), n.best = 1))
  marked <- plot$layers[[2]]$data
  expect_identical(sort(as.character(marked$target_type)), c("alpha", "beta", "gamma"))
  table <- trained_species()$similarity
  best <- tapply(table$log_ratio, table$target_type, min)
  expect_equal(marked$log_ratio, as.vector(best[as.character(marked$target_type)]))
  expect_match(labels_of(plot)[["x"]], "mouse")
})

test_that("fold changes are drawn per type, the genes at either end named", {
  result <- trained_species()
  plot <- drawn(PlotFoldChanges(result, n.genes = 2))
  alpha <- result$differential[result$differential$cell_type == "alpha", ]
  ends <- alpha$target_gene[order(alpha$lfc)]
  expect_identical(plot$layers[[3]]$data$text[[1]], paste(ends[1:2], collapse = "\n"))
  expect_identical(plot$layers[[4]]$data$text[[1]], paste(rev(ends)[1:2], collapse = "\n"))
  expect_match(levels(plot$data$panel), "^(alpha|beta|gamma) \\([0-9]+ %\\)$")
  absolute <- drawn(PlotFoldChanges(result, "beta", kind = "absolute", probability = 0.5))
  expect_identical(absolute$data$x, result$differential$lfc_absolute[
    result$differential$cell_type == "beta"])
  drawn(PlotFoldChanges(result$differential, kind = "null", color = "red", n.genes = 0))
})

test_that("prototype curves have a color per context type", {
  plot <- drawn(PlotPrototypes(trained_species()))
  expect_identical(nlevels(plot$data$context_type), 3L)
  expect_identical(sum(plot$data$same), 6L)
  colors <- c(gamma = "red", beta = "blue", alpha = "grey")
  drawn(PlotPrototypes(trained_species(), cell.types = "beta", palette = colors))
  expect_refused(PlotPrototypes(trained_species(), palette = colors[1:2]), message = "alpha")
  expect_refused(PlotPrototypes(trained_species(), palette = c("red", "blue")),
                 message = "2 colors")
})

test_that("relevant genes are drawn from the most relevant down", {
  genes <- RelevantGenes(trained_species(), n.genes = 4)
  plot <- drawn(PlotRelevantGenes(genes, n.genes = 3))
  expect_identical(nrow(plot$data), 18L)
  human <- drawn(PlotRelevantGenes(genes, species = "human", cell.types = c("beta", "alpha")))
  expect_identical(sort(unique(human$data$cell_type)), c("alpha", "beta"))
  # drawn from below: the last is on top
  expect_identical(sub("\r.*", "", rev(levels(human$data$place))[[1]]),
                   genes$gene[genes$species == "human" & genes$cell_type == "beta"][[1]])
  drawn(PlotRelevantGenes(trained_species(), species = "mouse", n.genes = 2))
})

test_that("what cannot be drawn is refused", {
  result <- trained_species()
  expect_refused(PlotLabelTransfer(1), message = "RunScSpecies")
  expect_refused(PlotLabelTransfer(result$similarity), message = "lacks.*known")
  unknown <- result
  unknown$cells$known <- NA_character_
  expect_refused(PlotLabelTransfer(unknown), message = "target.labels")
  expect_refused(PlotTypeSimilarity(result, target = "rat"), message = "target.*rat.*human")
  expect_refused(PlotFoldChanges(result, "epsilon"), message = "cell.types.*epsilon.*alpha")
  expect_error(PlotFoldChanges(result, kind = "other"), "relative")
  unknown["prototypes"] <- list(NULL)
  expect_refused(PlotPrototypes(unknown), message = "no table prototypes")
  expect_refused(PlotRelevantGenes(result$cells), message = "lacks")
})
