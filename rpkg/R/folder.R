# Where models go: chosen and checked before training, and never a reason to lose what was trained.

# The user's folder, or one of ours that is never used twice. `overwrite` says how it is saved to.
model_folder <- function(model.dir, name, overwrite, call = caller_env()) {
  check_string(model.dir, "model.dir", null = TRUE, call = call)
  chosen <- is.null(model.dir)
  path <- path.expand(if (chosen) new_folder(name) else model.dir)
  parent <- dirname(path)
  made <- dir.exists(parent) || dir.create(parent, recursive = TRUE, showWarnings = FALSE)
  if (!made || file.access(parent, 2) != 0) {
    abort_input(c("{.arg model.dir}: {.path {parent}} cannot be written to.",
                  i = "Choose another folder with {.arg model.dir}."), call = call)
  }
  empty <- dir.exists(path) && !length(dir(path, all.files = TRUE, no.. = TRUE))
  if (file.exists(path) && !empty) check_replaced(path, overwrite, call = call)
  list(path = path, chosen = chosen, overwrite = overwrite || empty)
}

# `~` is the home folder for Python, too.
whole_path <- function(path) if (!is.null(path)) path.expand(path)

# Only a model is replaced, and only when that is allowed.
check_replaced <- function(path, overwrite, call = caller_env()) {
  if (!dir.exists(path)) {
    abort_input(c("{.arg model.dir}: {.path {path}} is a file, not a folder.",
                  i = "Choose another place."), call = call)
  }
  if (!overwrite) {
    abort_input(c("{.arg model.dir}: {.path {path}} is there already and is not empty.",
                  i = "Choose another folder, or use {.code overwrite = TRUE} to replace a model in it."),
                call = call)
  }
  if (reticulate::py_to_r(call_bridge("holds_model", path, .call = call))) return(invisible())
  abort_input(c(
    "{.arg model.dir}: {.path {path}} is not the folder of a model, so it is not replaced.",
    x = "It holds {.file {utils::head(dir(path, all.files = TRUE, no.. = TRUE), 5)}}.",
    i = "Choose a folder of its own for the model, such as {.path {file.path(path, 'sysvi')}}."
  ), call = call)
}

new_folder <- function(name) {
  parent <- getOption("scsystems.model.dir",
                      file.path(tools::R_user_dir("scsystems", "data"), "models"))
  stamp <- format(Sys.time(), "%Y%m%d-%H%M%S")
  # names of folders have no more than 255 bytes
  stem <- substr(gsub("[^A-Za-z0-9]+", "-", name), 1, 60)
  file.path(parent, paste(stem, stamp, basename(tempfile("")), sep = "-"))
}

# Save a trained model, with where its cells came from: its `model` (folder) and when it was `made`.
# Where saving fails the work is not lost: the model goes to a temporary folder, and when there is
# no room for it there either, NA stands for its place.
keep_model <- function(handle, folder, input, verbose, call = caller_env()) {
  made <- Sys.time()
  notes <- list(made = as.double(made), input = input)
  save <- function(path, overwrite) {
    tryCatch(
      reticulate::py_to_r(
        call_bridge("save_model", handle, path, overwrite = overwrite, notes = notes, .call = call)
      ),
      scsystems_error = identity
    )
  }
  path <- save(folder$path, folder$overwrite)
  if (is.character(path)) {
    if (folder$chosen) {
      inform(verbose, c(i = "The model is in {.path {path}}; choose the folder with {.arg model.dir}."))
    }
    return(list(model = path, made = made))
  }
  reason <- conditionMessage(path)
  spare <- save(tempfile("model-"), FALSE)
  rescued <- is.character(spare)
  cli::cli_warn(c(
    "The trained model could not be saved in {.path {folder$path}}. Its results are in the object.",
    x = "{reason}",
    i = if (rescued) "Until this session ends it is in {.path {spare}}: copy that folder, and give {.code model = \"path/to/copy\"} where a model is used."
        else "It could not be kept elsewhere either: what needs the model needs the training again."
  ), class = "scsystems_warning")
  list(model = if (rescued) spare else NA_character_, made = made)
}
