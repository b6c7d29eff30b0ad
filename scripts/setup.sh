#!/usr/bin/env bash
# Set up what is missing to run, test and develop the project, and nothing that is there:
#   R with Seurat and SingleCellExperiment (apt), .venv/ (Python), .rlib/ (the R package).
# Usage: scripts/setup.sh [system] [python] [r]     (all three without arguments)
#        scripts/setup.sh docs                      what the documentation site is built with, too
#   PYTHON=/path/to/python3   the Python to make .venv/ from
set -euo pipefail
cd "$(dirname "$0")/.."

# pthread OpenBLAS: R's reference BLAS is many times slower
APT_PACKAGES="r-base-core r-cran-seurat r-cran-reticulate r-bioc-singlecellexperiment
  r-cran-ggplot2 r-cran-patchwork r-cran-cli r-cran-rlang r-cran-testthat r-cran-knitr
  r-cran-rmarkdown r-cran-roxygen2 r-cran-lintr pandoc libopenblas0-pthread python3-venv"
R_PACKAGES="Seurat SingleCellExperiment reticulate ggplot2 patchwork cli rlang testthat knitr
  rmarkdown roxygen2 lintr"

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
fail() { printf 'Error: %s\n' "$*" >&2; exit 1; }

missing_from_system() {
  python3 -c 'import ensurepip, venv' 2>/dev/null || echo "python3-venv"
  command -v pandoc >/dev/null || echo "pandoc"
  command -v Rscript >/dev/null || { echo "R"; return; }
  # names only: loading Seurat would take seconds
  Rscript --vanilla -e 'for (p in commandArgs(TRUE)) if (!nzchar(system.file(package = p))) cat(p, "")' \
    $R_PACKAGES
}

setup_system() {
  local missing
  missing=$(missing_from_system)
  missing=${missing//$'\n'/ }
  [ -n "$missing" ] || return 0
  if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
    fail "missing here: $missing
Set-up installs them on Debian or Ubuntu as root. Otherwise please install R (4.1 or newer) with
the R packages $(echo $R_PACKAGES | sed 's/ /, /g'),
and Python 3.11 or 3.12 with venv. On Debian or Ubuntu:
  sudo apt-get update && sudo apt-get install --no-install-recommends $(echo $APT_PACKAGES)
Then run make again."
  fi
  say "Installing R, Seurat and SingleCellExperiment (apt, about a minute)"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # shellcheck disable=SC2086
  apt-get install -y -qq --no-install-recommends $APT_PACKAGES >/dev/null
  missing=$(missing_from_system)
  [ -z "$missing" ] || fail "apt installed its packages, but still missing: $missing"
}

# reticulate needs a Python with a shared library; the pinned packages need 3.11 or 3.12
usable_python() {
  "$1" -c 'import ensurepip, sys, sysconfig
shared = sysconfig.get_config_var("Py_ENABLE_SHARED") or sys.platform == "darwin"
sys.exit(not (shared and (3, 11) <= sys.version_info[:2] <= (3, 12)))' 2>/dev/null
}

choose_python() {
  local candidate
  for candidate in ${PYTHON:-python3 /usr/bin/python3 python3.11 python3.12}; do
    if usable_python "$candidate"; then echo "$candidate"; return; fi
  done
  fail "no usable Python among: ${PYTHON:-python3, /usr/bin/python3, python3.11, python3.12}.
It has to be Python 3.11 or 3.12 with venv and a shared library (as Debian's python3 is). Name
another with PYTHON=/path/to/python3 make setup."
}

hash=sha256sum
command -v sha256sum >/dev/null || hash="shasum -a 256" # macOS
stamp() { $hash | cut -c1-16; }

setup_python() {
  local key python
  key=$(cat pyproject.toml requirements/*.txt scripts/setup.sh | stamp)
  [ -e ".venv/.done-$key" ] && return 0
  if ! .venv/bin/python -c '' 2>/dev/null; then
    rm -rf .venv # none, or one whose Python is gone
    python=$(choose_python)
    say "Making .venv/ with $("$python" --version)"
    "$python" -m venv .venv
  fi
  say "Installing Python packages into .venv/ (a few minutes the first time)"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check \
    -r requirements/dev.txt -c requirements/constraints.txt
  .venv/bin/python -m pip install --quiet --disable-pip-version-check \
    --no-deps --no-build-isolation --editable .
  # real example cells, used as data; its own dependencies are not wanted
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps came==0.1.13 ||
    say "The came package could not be fetched: the demo will use simulated cells, the vignettes fail."
  rm -f .venv/.done-*
  touch ".venv/.done-$key"
}

setup_r() {
  local key
  key=$({ find -L rpkg/DESCRIPTION rpkg/NAMESPACE rpkg/R rpkg/man rpkg/inst -type f \
      ! -name '*.pyc' -print0 | LC_ALL=C sort -z | xargs -0 $hash; R --version | head -n 1; } | stamp)
  [ -e ".rlib/.done-$key" ] && return 0
  say "Installing the R package into .rlib/"
  mkdir -p .rlib
  PYTHONDONTWRITEBYTECODE=1 R CMD INSTALL --library=.rlib rpkg >.rlib/install.log 2>&1 ||
    { cat .rlib/install.log >&2; fail "R CMD INSTALL failed"; }
  rm -f .rlib/.done-*
  touch ".rlib/.done-$key"
}

# what builds the site, above what .venv/ has; pkgdown where apt can give it
setup_docs() {
  local key packages
  if command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ] &&
      ! Rscript --vanilla -e 'quit(status = !nzchar(system.file(package = "pkgdown")))'; then
    say "Installing pkgdown (apt)"
    apt-get install -y -qq --no-install-recommends r-cran-pkgdown >/dev/null ||
      say "pkgdown could not be installed: the site will lack the R reference."
  fi
  key=$(cat requirements/docs.txt scripts/setup.sh | stamp)
  [ -e ".venv-docs/.done-$key" ] && return 0
  say "Installing Sphinx into .venv-docs/"
  .venv/bin/python -m venv .venv-docs
  .venv-docs/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/docs.txt
  packages=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  echo "$packages" >"$(.venv-docs/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/main.pth"
  rm -f .venv-docs/.done-*
  touch ".venv-docs/.done-$key"
}

for part in "${@:-system python r}"; do
  for step in $part; do "setup_$step"; done
done
