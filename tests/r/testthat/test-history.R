history <- function(...) TrainingHistory(quick(seurat_object(), max.epochs = 3, ...))

test_that("the history has one row per epoch and is plain", {
  h <- history()
  expect_s3_class(h, "sysvi_history")
  expect_identical(h$metrics$epoch, 1:3)
  expect_true(all(vapply(h$metrics, is.numeric, logical(1))))
  expect_false(h$interrupted)
  expect_identical(h$device, "cpu")
  expect_identical(h$seed, 42L)
})

test_that("as.data.frame has one row per epoch, quantity and set", {
  h <- history(control = small_options(train_size = 0.8))
  table <- as.data.frame(h)
  expect_identical(colnames(table), c("epoch", "metric", "set", "value"))
  expect_setequal(table$set, c("train", "validation"))
  loss <- table[table$metric == "loss" & table$set == "train", ]
  expect_identical(loss$value, h$metrics$train_loss)
  expect_true("reconstruction_loss" %in% table$metric)
})

test_that("quantities that are not measured in every epoch have gaps", {
  h <- history(control = small_options(train_size = 0.8,
                                       train = list(check_val_every_n_epoch = 2)))
  expect_identical(is.na(h$metrics$validation_loss), c(TRUE, FALSE, TRUE))
  table <- as.data.frame(h)
  expect_identical(table$epoch[table$set == "validation" & table$metric == "loss"], 2L)
})

test_that("it prints and plots", {
  h <- history()
  expect_output(print(h), "3 epochs, 80 cells x 60 genes")
  plot <- plot(h)
  expect_s3_class(plot, "ggplot")
  expect_gt(length(ggplot2::ggplot_build(plot)$data[[1]]$y), 3)
  expect_s3_class(plot(h, metrics = "loss"), "ggplot")
  # the adversary is switched off
  expect_false("adversary_loss" %in% plot$data$metric)
  expect_true(all(c("loss", "cycle_loss") %in% plot$data$metric))
  expect_s3_class(plot(h, metrics = "adversary_loss"), "ggplot")
  expect_refused(plot(h, metrics = "nope"), message = "nope.*loss")
})

test_that("scSpecies' losses are drawn per species, without those that are switched off", {
  h <- trained_species()$history
  plot <- plot(h)
  expect_s3_class(plot, "ggplot")
  expect_identical(levels(plot$data$species), c("mouse", "human"))
  # what is zero for every species is not drawn
  table <- as.data.frame(h)
  zero <- vapply(split(table$value, table$metric), function(x) all(x == 0), NA)
  expect_setequal(plot$data$metric, names(zero)[!zero])
  h$metrics$train_unused_loss <- 0
  expect_false("unused_loss" %in% plot(h)$data$metric)
  expect_identical(unique(as.character(plot(h, metrics = "unused_loss")$data$metric)),
                   "unused_loss")
  expect_refused(plot(h, metrics = "nope"), message = "nope.*loss")
})
