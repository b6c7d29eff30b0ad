collect <- function(code) {
  said <- character()
  withCallingHandlers(code, message = function(m) {
    said <<- c(said, conditionMessage(m))
    invokeRestart("muffleMessage")
  })
  said
}

test_that("without a terminal the first and last epoch are told, with the time left", {
  report <- scsystems:::line_reporter("Training")
  said <- collect(for (epoch in 1:50) expect_null(report(epoch, 50, list(train_loss = 12.5))))
  expect_length(said, 2)
  expect_match(said[[1]], "epoch 1/50, loss 12.5")
  expect_match(said[[2]], "epoch 50/50.*left")
})

test_that("on a terminal it is a bar", {
  withr_options <- options(cli.dynamic = TRUE, cli.progress_show_after = 0)
  on.exit(options(withr_options))
  run <- function() {
    report <- scsystems:::epoch_reporter("Training")
    for (epoch in 1:3) report(epoch, 3, list(train_loss = 1))
  }
  said <- paste(cli::ansi_strip(collect(run())), collapse = "")
  expect_match(said, "Training.*[123]/3 epochs.*loss 1")
})

test_that("times are told in words", {
  expect_identical(scsystems:::prettyunits(3.21), "3.2 s")
  expect_identical(scsystems:::prettyunits(125), "2 min 05 s")
})
