# Is every argument felt? A call is made twice, with one argument changed, and must come out
# otherwise: in what it sends to Python, says, prints or leaves. Tables have another value for each
# argument; an argument that its table does not have fails, and so does a function without a table
# (test-felt.R).

# Where the result stays the same, another file looks at what the argument does instead.
elsewhere <- function(file, test) {
  lines <- readLines(testthat::test_path(file))
  if (!any(grepl(test, lines, fixed = TRUE))) stop("no test '", test, "' in ", file)
  structure(list(), class = "elsewhere")
}
# Another value, with what other arguments are in both calls.
beside <- function(other, ...) structure(list(other = other, beside = list(...)), class = "beside")
# A value that has to be refused: all that an argument can do.
refused <- function(value, ...) structure(list(other = value, beside = list(...)), class = c("refused", "beside"))
# `...` that the generic demands, and that nothing reads.
unread <- structure(list(), class = "elsewhere")

# `usual` is a call's arguments; `others` has another value of each argument of `fun`, see above.
# `stop_at` and `answers`: see felt().
expect_felt <- function(fun, usual, others, stop_at = NULL, answers = list(),
                        name = deparse(substitute(fun))) {
  known <- names(formals(fun))
  # unknown arguments are refused, where a table does not say what becomes of them
  if ("..." %in% known && !"..." %in% names(others)) {
    expect_error(called(fun, c(usual, no.such.argument = 1)), class = "rlib_error_dots_nonempty",
                 label = paste(name, "with an unknown argument"))
    known <- setdiff(known, "...")
  }
  expect_setequal(names(others), known)
  call_with <- function(arguments, before = NULL) {
    spread <- arguments[["..."]]
    felt(called(fun, c(arguments[names(arguments) != "..."], spread)), stop_at, before, answers)
  }
  base <- call_with(usual)
  expect_true(is_same(call_with(usual, base), base), label = paste(name, "is the same without a change"))
  for (argument in names(others)) {
    other <- others[[argument]]
    if (inherits(other, "elsewhere")) next
    both <- usual
    before <- base
    is_refused <- inherits(other, "refused")
    if (inherits(other, "beside")) {
      both <- utils::modifyList(usual, other$beside)
      if (!is_refused) before <- call_with(both)
      other <- other$other
    }
    both[argument] <- list(other)
    if (is_refused) {
      expect_error(call_with(both), class = "scsystems_error", label = paste(name, argument))
    } else {
      expect_false(is_same(call_with(both, before), before), label = paste(name, argument, "is not felt"))
    }
  }
}

# do.call() with names of values in the call, not the values: these take long to print in errors.
called <- function(fun, arguments) {
  names <- names(arguments)
  place <- list2env(arguments, parent = environment())
  eval(as.call(c(as.name("fun"), stats::setNames(lapply(names, as.name), names))), place)
}

# A function with the arguments of one that makes options, which calls `run` with them.
with_options <- function(make, run) {
  fun <- make
  body(fun) <- quote(run(do.call(make, mget(names(formals(make)), inherits = FALSE))))
  environment(fun) <- environment()
  fun
}

# What a call sends to Python, says, prints and leaves; `stop_at`: what is sent last. A call that
# sends what `before` did is answered as before, which is quick; one that sends something else ends
# there. `answers` are functions that stand in for Python's.
felt <- function(code, stop_at = NULL, before = NULL, answers = list()) {
  sent <- given <- list()
  package <- asNamespace("scsystems")
  bridge <- package$call_bridge
  replace <- function(f) {
    unlockBinding("call_bridge", package)
    assign("call_bridge", f, package)
    lockBinding("call_bridge", package)
  }
  on.exit(replace(bridge))
  replace(function(name, ..., .call = NULL) {
    # a second call finds the folder of the first
    if (name == "holds_model") return(bridge(name, ...))
    n <- length(sent) + 1
    sent[[n]] <<- c(list(name), lapply(list(...), plain_of))
    known <- is.null(before) || identical(sent[n], before$sent[n])
    if (name %in% stop_at || !known) rlang::abort("enough", class = "enough")
    given[[n]] <<- if (!is.null(before)) before$given[[n]]
                   else if (!is.null(answers[[name]])) list(value = answers[[name]](...))
                   else heard(bridge(name, ...))
    for (message in given[[n]]$messages) rlang::cnd_signal(message)
    given[[n]]$value
  })
  left <- NULL
  printed <- utils::capture.output(said <- suppressWarnings(classes = "scsystems_warning", said_by(
    tryCatch(left <- force(code), enough = function(e) NULL)
  )$said))
  list(sent = sent, said = timeless(said), printed = timeless(printed), left = plain_of(left),
       given = given)
}

# A value, and the messages on the way to it, which are said later.
heard <- function(code) {
  messages <- list()
  value <- withCallingHandlers(code, message = function(m) {
    messages[[length(messages) + 1]] <<- m
    invokeRestart("muffleMessage")
  })
  list(value = value, messages = messages)
}

is_same <- function(call, other) {
  what <- c("sent", "said", "printed", "left")
  identical(call[what], other[what])
}

timeless <- function(text) gsub("in [0-9.]+ s|made [-0-9]+ [0-9:]+|[0-9.]+ GFLOP", "", text)

# A value as what compares: Python's own objects by their class (cells by what they hold, too),
# pictures by what they draw, and nothing that a clock says.
plain_of <- function(value) {
  if (inherits(value, "anndata._core.anndata.AnnData")) return(cells_of_python(value))
  if (inherits(value, c("numpy.ndarray", "python.builtin.list", "python.builtin.dict"))) {
    return(reticulate::py_to_r(value))
  }
  if (inherits(value, "python.builtin.object")) return(class(value)[[1]])
  if (is.function(value)) return("function")
  if (is(value, "Seurat")) return(plain_seurat(value))
  if (is(value, "SingleCellExperiment")) return(plain_sce(value))
  if (inherits(value, "ggplot")) return(drawn_by(value))
  if (inherits(value, "POSIXct")) return(NULL)
  if (is.list(value) && !is.data.frame(value)) {
    timeless <- unclass(value)[!names2(value) %in% c("seconds", "made", "gflops")]
    return(list(class(value), lapply(timeless, plain_of)))
  }
  value
}

names2 <- function(x) if (is.null(names(x))) rep("", length(x)) else names(x)

cells_of_python <- function(adata) {
  list(unlist(reticulate::py_to_r(adata$shape)), as.double(reticulate::py_to_r(adata$X$sum())),
       unlist(reticulate::py_to_r(adata$obs$columns$tolist())),
       unlist(reticulate::py_to_r(adata$var_names$tolist())))
}

plain_seurat <- function(object) {
  reductions <- SeuratObject::Reductions(object)
  list(
    SeuratObject::Key(object), SeuratObject::Assays(object), object[[]],
    lapply(SeuratObject::Assays(object), function(name) {
      scsystems:::assay_matrix(object[[name]], "data")
    }),
    lapply(reductions, function(name) {
      list(SeuratObject::Embeddings(object, name), SeuratObject::DefaultAssay(object[[name]]),
           plain_of(methods::slot(object[[name]], "misc")))
    }),
    plain_of(SeuratObject::Misc(object))
  )
}

plain_sce <- function(object) {
  list(
    SingleCellExperiment::reducedDimNames(object),
    as.list(SingleCellExperiment::reducedDims(object)),
    as.list(SummarizedExperiment::assays(object)), as.list(SummarizedExperiment::colData(object)),
    lapply(SingleCellExperiment::altExps(object), plain_sce), plain_of(S4Vectors::metadata(object))
  )
}

# Every layer as it is drawn, with colors, and how panels and axes are laid out.
drawn_by <- function(plot) {
  built <- ggplot2::ggplot_build(plot)
  facet <- plot$facet$params[c("ncol", "free")]
  list(lapply(built$data, as.list), lapply(plot$labels, format), facet,
       lapply(plot$data, as.character))
}
