# Species with their own genes as one object: alone, and on the way to sysVI.

# Human and mouse with genes of the table that comes with the package: names, and how their counts
# come about. `style` makes a species' names out of its symbols and identifiers.
bundled <- local({
  table <- NULL
  function() {
    if (is.null(table)) {
      path <- system.file("python", "scsystems", "data", "orthologs", "human_mouse.tsv.gz",
                          package = "scsystems", mustWork = TRUE)
      table <<- utils::read.delim(path, quote = "")
    }
    table
  }
})

human_and_mouse <- function(n = 300, cells = 30, ids = FALSE, as = "Seurat") {
  table <- bundled()
  one <- table[table$type == "one2one" & nzchar(table$human) & nzchar(table$mouse), ]
  one <- one[!duplicated(one$human) & !duplicated(one$mouse), ][seq_len(n), ]
  ins <- table[table$human %in% "INS", ]
  genes <- list(
    human = if (ids) c(one$human_id, ins$human_id[[1]]) else c(one$human, "INS"),
    mouse = if (ids) c(one$mouse_id, ins$mouse_id) else c(one$mouse, ins$mouse)
  )
  lapply(stats::setNames(nm = names(genes)), function(species) {
    set.seed(match(species, names(genes)))
    names <- c(genes[[species]], paste0(species, "-own-", 1:20))
    counts <- matrix(stats::rpois(length(names) * cells, 2), length(names), cells,
                     dimnames = list(names, paste0("cell", seq_len(cells))))
    object_of(methods::as(counts, "CsparseMatrix"),
              data.frame(donor = rep_len(paste0(species, 1:2), cells), row.names = colnames(counts)),
              as)
  })
}
object_of <- scsystems:::object_of

counts_of <- function(object) {
  source <- scsystems:::cells_source(object)
  source$get("counts")
}
orthologs_of <- function(object) {
  if (is(object, "Seurat")) SeuratObject::Misc(object, "orthologs")
  else S4Vectors::metadata(object)$orthologs
}

for (as in c("Seurat", "SingleCellExperiment")) {
  test_that(paste("human and mouse need no table, and cells and genes are all there:", as), {
    objects <- human_and_mouse(as = as)
    heard <- said_by(JoinSpecies(objects))
    joint <- heard$value
    expect_match(heard$said, "come with scsystems")
    expect_match(heard$said, "human: 300 of 321 genes match by their symbols")
    expect_match(heard$said, "human_cell1")
    expect_s4_class(joint, as)
    expect_equal(dim(joint), c(300, 60))
    expect_identical(rownames(joint), rownames(objects$human)[match(rownames(joint), rownames(objects$human))])
    kept <- orthologs_of(joint)
    expect_identical(rownames(kept$genes), rownames(joint))
    expect_identical(kept$orthology, "one2one")
    both <- counts_of(joint)
    for (species in names(objects)) {
      own <- counts_of(objects[[species]])[kept$genes[[species]], ]
      expect_equal(unname(as.matrix(both[, paste0(species, "_cell", 1:30)])), unname(as.matrix(own)))
    }
    obs <- scsystems:::cells_obs(joint)
    expect_identical(as.character(obs$system), rep(c("human", "mouse"), each = 30))
    expect_identical(unique(obs$donor), c("human1", "human2", "mouse1", "mouse2"))
    # the log-normalized values are those of the joint counts
    data <- scsystems:::cells_source(joint)$get(if (as == "Seurat") "data" else "logcounts")
    expect_equal(as.matrix(data), as.matrix(log_normalized(both)))
  })
}

test_that("groups are sums, by symbols and by identifiers with versions", {
  for (ids in c(FALSE, TRUE)) {
    objects <- human_and_mouse(ids = ids)
    if (ids) {
      genes <- rownames(objects$mouse)
      counts <- counts_of(objects$mouse)
      rownames(counts) <- sub("^(ENSMUSG.*)$", "\\1.7", genes)
      objects$mouse <- object_of(counts, objects$mouse[["donor"]], "Seurat")
    }
    heard <- said_by(JoinSpecies(objects, orthology = "groups"))
    expect_match(heard$said, if (ids) "match by their identifiers" else "match by their symbols")
    joint <- heard$value
    expect_equal(nrow(joint), 301)
    insulin <- if (ids) "ENSG00000254647" else "INS"
    members <- strsplit(orthologs_of(joint)$genes[insulin, "mouse"], ";")[[1]]
    expect_length(members, 2)
    expect_equal(unname(counts_of(joint)[insulin, 31:60]),
                 unname(Matrix::colSums(counts_of(objects$mouse)[members, ])))
  }
})

test_that("RunSysVI() of a list is JoinSpecies() and RunSysVI()", {
  objects <- human_and_mouse()
  fit <- function(object, ...) {
    RunSysVI(object, ..., covariates = "donor", max.epochs = 1, dims = 3, verbose = FALSE,
             control = small_options(min_cells = 2))
  }
  at_once <- fit(objects, orthology = "groups")
  joint <- JoinSpecies(objects, orthology = "groups", verbose = FALSE)
  expect_identical(SeuratObject::Embeddings(at_once, "sysvi"),
                   SeuratObject::Embeddings(fit(joint), "sysvi"))
  expect_s3_class(TrainingHistory(at_once), "sysvi_history")
  expect_identical(orthologs_of(at_once), orthologs_of(joint))
  sce <- fit(human_and_mouse(as = "SingleCellExperiment"), system = "species", name = "MINE")
  expect_identical(SingleCellExperiment::reducedDimNames(sce), "MINE")
  expect_identical(levels(sce$species), c("human", "mouse"))
})

test_that("what every object holds is judged by itself", {
  cells <- simulated_species()
  pairs <- cells$orthologs
  objects <- cells[c("mouse", "human")]
  all_counts <- JoinSpecies(objects, pairs, verbose = FALSE)
  # the normalization over an object's own genes
  logs <- lapply(objects, function(object) {
    counts <- log_normalized(counts_of(object))
    scsystems:::without_counts(object, counts)
  })
  joint <- JoinSpecies(logs, pairs, verbose = FALSE)
  values <- scsystems:::cells_source(joint)$get("data")
  own <- scsystems:::cells_source(logs$mouse)$get("data")
  expect_equal(unname(as.matrix(values[, 1:120])), unname(as.matrix(own[pairs$mouse, ])), tolerance = 1e-6)
  expect_warning(mixed <- JoinSpecies(list(mouse = logs$mouse, human = objects$human), pairs, verbose = FALSE),
                 "'mouse' looks log-transformed.*'human' looks like raw counts")
  expect_equal(as.matrix(scsystems:::cells_source(mixed)$get("data")), as.matrix(values), tolerance = 1e-5)
  # logarithms whose counts are there, too: the counts are taken
  normal <- lapply(objects, Seurat::NormalizeData, verbose = FALSE)
  expect_equal(counts_of(JoinSpecies(normal, pairs, verbose = FALSE)), counts_of(all_counts))
})

test_that("three species take one table, or one of each with the first", {
  objects <- list(mouse = species_seurat("mouse", 30), human = species_seurat("human", 30),
                  pig = species_seurat("pig", 30))
  joint <- JoinSpecies(objects, species_pairs, verbose = FALSE)
  expect_equal(dim(joint), c(260, 90))
  apart <- list(human = species_pairs[c("mouse", "human")], pig = species_pairs[c("mouse", "pig")])
  again <- JoinSpecies(objects, apart, verbose = FALSE)
  expect_equal(counts_of(again)[rownames(joint), ], counts_of(joint))
})

test_that("bad input is refused in words", {
  objects <- human_and_mouse(cells = 10)
  pairs <- data.frame(human = rownames(objects$human)[1:300], mouse = rownames(objects$mouse)[1:300])
  refused <- function(message, ...) {
    expect_refused(RunSysVI(...), message = message)
    arguments <- list(...)
    names(arguments)[[1]] <- "objects"
    expect_refused(do.call(JoinSpecies, arguments), message = message)
  }
  refused("has 1 object", objects["human"])
  refused("must have a name", unname(objects))
  refused("must have a name", stats::setNames(objects, c("human", "")))
  refused("more than once", stats::setNames(objects, c("human", "human")))
  refused("same class", c(objects["human"], human_and_mouse(cells = 10, as = "SingleCellExperiment")["mouse"]))
  refused("must be a Seurat object", list(human = objects$human, mouse = "mouse.rds"))
  refused("swapped", stats::setNames(objects, c("mouse", "human")))
  refused("swapped", objects, orthologs = stats::setNames(pairs, c("mouse", "human")))
  refused("no gene in common.*orthologs", stats::setNames(objects, c("human", "pig")))
  refused("share 40 genes.*at least 50", objects, orthologs = pairs[1:40, ])
  refused("column per species", objects, orthologs = pairs["human"])
  refused("no file", objects, orthologs = "nowhere.tsv")
  refused("list without names", objects, orthologs = list(pairs))
  refused("one of each of", objects, orthologs = list(pig = pairs))
  refused("genes are among the table's", objects,
          orthologs = data.frame(human = paste0("h", 1:300), mouse = paste0("m", 1:300)))
  expect_error(JoinSpecies(objects, orthology = "one2many"), "one2one")
  expect_refused(RunSysVI(objects, assay = "RNA", assay.type = "counts"), message = "assay.*assay.type.*same thing")
  doubled <- human_and_mouse(cells = 10, as = "SingleCellExperiment")
  rownames(doubled$human)[[2]] <- rownames(doubled$human)[[1]]
  refused("1 gene name occurs? more than once", doubled)
  # not whole, scaled: no counts and no logarithms
  scaled <- human_and_mouse(cells = 10)
  scaled$mouse <- scsystems:::without_counts(
    scaled$mouse, methods::as(as.matrix(counts_of(scaled$mouse)) - 2, "CsparseMatrix")
  )
  refused("negative", scaled)
})

test_that("few genes are pointed out, pairs that are incomplete or ambiguous left out", {
  objects <- human_and_mouse(cells = 10)
  pairs <- data.frame(human = rownames(objects$human)[1:300], mouse = rownames(objects$mouse)[1:300])
  expect_warning(JoinSpecies(objects, pairs[1:100, ], verbose = FALSE), "share 100 genes, which is few")
  pairs$mouse[[1]] <- NA
  pairs$human[[2]] <- pairs$human[[3]]
  expect_equal(nrow(JoinSpecies(objects, pairs, verbose = FALSE)), 297)
  expect_equal(nrow(JoinSpecies(objects, pairs, "groups", verbose = FALSE)), 298)
})
