# What a Seurat object is told of a command: Seurat's own LogSeuratCommand() keeps every argument as
# it is, so that lists cannot be printed and whole objects lie in the log.

# `object` with the command of the calling method in its log, under the name that Seurat would give.
log_command <- function(object, name) {
  caller <- sys.parent()
  arguments <- setdiff(names(formals(sys.function(caller))), c("object", "query", "context", "..."))
  params <- drop_null(lapply(mget(arguments, envir = sys.frame(caller)), loggable))
  command <- new(
    methods::getClass("SeuratCommand", where = asNamespace("SeuratObject")),
    name = paste(c(name, params$assay), collapse = "."), params = params,
    time.stamp = Sys.time(), call.string = call_text(sys.call(caller), name), assay.used = params$assay
  )
  object[[command@name]] <- command
  object
}

# An argument that can be printed: vectors as they are, settings and models as text; NULL for
# objects.
loggable <- function(value) {
  if (is.null(value) || isS4(value)) return(NULL)
  if (is.factor(value)) return(as.character(value))
  if (is.atomic(value)) return(as.vector(value))
  if (inherits(value, "sysvi_model")) return(value$path)
  if (inherits(value, c("sysvi_options", "scspecies_options"))) return(options_text(value))
  if (is.data.frame(value)) return(sprintf("a data frame of %d rows", nrow(value)))
  shorten(text_of(value))
}

# What was chosen among the options: `sysvi_options(n_hidden = 16)`.
options_text <- function(options) {
  kind <- class(options)[[1]]
  defaults <- if (kind == "sysvi_options") sysvi_options() else scspecies_options()
  chosen <- Filter(function(name) !identical(options[[name]], defaults[[name]]), names(options))
  values <- vapply(chosen, function(name) paste(name, "=", shorten(text_of(options[[name]]))), "")
  paste0(kind, "(", paste(values, collapse = ", "), ")")
}

text_of <- function(value) {
  if (is.function(value)) return("a function")
  if (is.environment(value) || isS4(value)) return(paste("a", class(value)[[1]]))
  if (is.atomic(value) && !is.object(value)) {
    return(paste(deparse(value, width.cutoff = 500L, nlines = 1L), collapse = " "))
  }
  if (!is.list(value) || is.data.frame(value)) return(paste("a", class(value)[[1]]))
  parts <- vapply(unclass(value), text_of, "")
  if (!is.null(names(value))) parts <- paste(names(value), "=", parts)
  paste0("list(", paste(parts, collapse = ", "), ")")
}

shorten <- function(text, n = 200) {
  if (nchar(text) > n) paste0(substr(text, 1, n - 3), "...") else text
}

# The call, without objects that lie in it where do.call() or lapply() has made it.
call_text <- function(call, name) {
  parts <- lapply(as.list(call)[-1], function(part) {
    if (is.language(part) || (is.atomic(part) && length(part) < 10)) part
    else as.name(paste0("<", class(part)[[1]], ">"))
  })
  text <- paste(deparse(as.call(c(as.name(name), parts))), collapse = " ")
  shorten(gsub("\\s+", " ", text), 1000)
}
