#!/usr/bin/env bash
# R CMD check of the built R package; any error or warning fails. The vignettes take minutes and
# have a test of their own.
set -euo pipefail
package=$(cd "$(dirname "$0")/../rpkg" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
R CMD build --no-build-vignettes "$package"
# Suggested packages that Debian lacks may be absent
_R_CHECK_FORCE_SUGGESTS_=false R CMD check --no-manual --ignore-vignettes "$@" ./*.tar.gz
if ! grep -qE '^Status: (OK|[0-9]+ NOTEs?)$' ./*.Rcheck/00check.log; then
  echo "R CMD check must end without errors and warnings" >&2
  exit 1
fi
